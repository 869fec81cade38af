"""Texts of rows, stored as numbers into a list of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WELL_COLUMNS = ("source", "batch", "plate", "well")


def metadata_column(label: str) -> str:
    """Column of a table that holds a label of wells: ``Metadata_Plate`` for ``plate``."""
    return f"Metadata_{label.title()}"


@dataclass(frozen=True)
class Labels:
    """A text per row, as a number into a list of names.

    Attributes
    ----------
    codes : ndarray of int32, shape (n_rows,)
    names : ndarray of str, or of objects that are str
    """

    codes: np.ndarray
    names: np.ndarray

    @classmethod
    def of(cls, values: Sequence[str] | np.ndarray) -> Labels:
        """Number the values in their sorted order."""
        names, codes = np.unique(np.asarray(values, dtype=str), return_inverse=True)
        return cls(codes.astype(np.int32), names)

    @classmethod
    def as_met(cls, values: Iterable[str]) -> Labels:
        """Number the values in the order in which they are met: the fastest way, and long texts take no more memory."""
        place: dict[str, int] = {}
        codes = [place.setdefault(value, len(place)) for value in values]
        return cls(np.array(codes, dtype=np.int32), np.array([*place], dtype=object))

    def __getitem__(self, rows: Any) -> Labels:
        return Labels(self.codes[rows], self.names)

    def compact(self) -> Labels:
        """Return the same labels without the names that no row has."""
        used, codes = np.unique(self.codes, return_inverse=True)
        return Labels(codes.astype(np.int32), self.names[used])

    def renamed(self, name: Callable[[str], str]) -> Labels:
        """Return the same rows with other names; ``name`` is asked once for each of them."""
        found = Labels.as_met(map(name, self.names.tolist()))
        return Labels(found.codes[self.codes], found.names)

    def which(self, test: Callable[[str], object]) -> np.ndarray:
        """Which rows have a text that passes a test, which sees each name once; shape (n_rows,)."""
        return np.array([bool(test(name)) for name in self.names.tolist()], dtype=bool)[self.codes]

    def counts(self) -> dict[str, int]:
        """Rows of each text that some row has, in the order of the texts."""
        n = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: rows for name, rows in sorted(zip(self.names.tolist(), n, strict=True)) if rows}

    def text(self) -> np.ndarray:
        """Return the text of each row."""
        return self.names[self.codes]
