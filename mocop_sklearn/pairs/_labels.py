"""Texts of rows, stored as numbers into a list of names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    def text(self) -> np.ndarray:
        """Return the text of each row."""
        return self.names[self.codes]
