"""Tables of metadata, joined to wells on the columns that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..tables._columns import is_metadata
from ..tables._read import read_table
from ._labels import Labels
from ._matching import Join, near_misses

_LOOKED_THROUGH = 200_000  # rows of a table among which near misses are looked for


class MetadataTable:
    """A table that is joined to wells on the ``Metadata_*`` columns that it shares with them."""

    def __init__(self, path: str):
        self.path = path
        # a column of a large table repeats few texts
        self._frame = read_table(path).astype("category")
        self._indices: dict[tuple[str, ...], tuple[Any, np.ndarray]] = {}

    def join(self, wells: Any, number: int, where: str) -> tuple[Any, Join] | None:
        """Return the wells with the table's other columns, and how many were found; None without a shared column."""
        keys = tuple(c for c in self._frame.columns if is_metadata(c) and c in wells.columns)
        if not keys:
            return None
        texts = _index_of([column_labels(wells[key]) for key in keys], keys)
        index, row_of = self._index(keys, where)
        places = index.get_indexer(texts)
        rows = np.append(row_of, -1)[places]  # -1 stays -1
        others = [c for c in self._frame.columns if c not in keys]
        added = {c: self._frame[c].array.take(rows, allow_fill=True) for c in others}
        found = int((rows >= 0).sum())
        example, near = ("", []) if found else self._near(index, texts)
        join = Join(number, Path(self.path).name, [str(key) for key in keys], len(wells), found, example, near)
        return wells.assign(**added), join

    def _index(self, keys: tuple[str, ...], where: str) -> tuple[Any, np.ndarray]:
        """Return the texts of the rows in the columns ``keys``, and their places; no well has a row without any."""
        if keys not in self._indices:
            labels = [column_labels(self._frame[key]) for key in keys]
            row_of = np.flatnonzero(np.logical_or.reduce([own.which(bool) for own in labels]))
            index = _index_of([own[row_of] for own in labels], keys)
            if index.has_duplicates:
                example = dict(zip(keys, index[index.duplicated()][0], strict=True))
                raise ValueError(
                    f"{where} finds more than one row for {example} in {self.path!r}: remove the others there."
                )
            self._indices[keys] = index, row_of
        return self._indices[keys]

    @staticmethod
    def _near(index: Any, texts: Any) -> tuple[str, list[str]]:
        """Text of a well that was not found, and rows of the table that differ from it in notation only."""
        wanted = ", ".join(map(str, texts[0]))
        rows = (", ".join(map(str, row)) for row in islice(index, _LOOKED_THROUGH))
        return wanted, near_misses(wanted, rows)


def _index_of(labels: Sequence[Labels], names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.MultiIndex([own.names for own in labels], [own.codes for own in labels], names=names)


def joined(wells: Any, tables: Sequence[str], where: str) -> tuple[Any, list[Join]]:
    """Join all tables to the wells, each as soon as there is a column to join it on.

    Parameters
    ----------
    wells : DataFrame
        The metadata of one file.
    tables : sequence of str
        Paths.
    where : str
        The file of the wells, in messages.

    Raises
    ------
    ValueError
        When a table shares no column with the wells and the other tables, or has two rows for one well.
    """
    left, joins = dict(enumerate(tables)), []
    while left:
        for number, path in left.items():
            result = _table(path).join(wells, number, where)
            if result is not None:
                wells, join = result
                joins.append(join)
                del left[number]
                break
        else:
            lonely = next(iter(left.values()))
            raise ValueError(
                f"{where} shares no Metadata_ column with the table {lonely!r}; it has "
                f"{[str(c) for c in wells.columns][:12]}. Rename a column of one of them, so that both have it."
            )
    return wells, joins


def _table(path: str) -> MetadataTable:
    status = os.stat(path)
    return _table_as_of(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _table_as_of(path: str, *version: int) -> MetadataTable:
    return MetadataTable(path)


def metadata_of(wells: Any, column: str, where: str) -> Any:
    """Return a column of the wells.

    Raises
    ------
    ValueError
        When there is no such column.
    """
    if column not in wells.columns:
        raise ValueError(
            f"{where} has no column {column!r}; its metadata are {[str(c) for c in wells.columns][:20]}. Give the name "
            "of one of them."
        )
    return wells[column]


def column_labels(column: Any, text_of: Callable[[Any], str] | None = None) -> Labels:
    """Return a column as text, empty where a value is missing.

    Parameters
    ----------
    column : Series
    text_of : callable, optional
        The text of a value that is not missing; by default :func:`plain_text`.
    """
    text_of = text_of or plain_text
    if column.dtype == object:  # True and 1 may be in it, which are one value to factorize
        missing = column.isna().to_numpy()
        return Labels.as_met("" if gap else text_of(value) for value, gap in zip(column, missing, strict=True))
    codes, values = column.factorize()
    texts = Labels.as_met(["", *map(text_of, values.tolist())])
    return Labels(texts.codes[codes + 1], texts.names).compact()


def structure_labels(column: Any) -> Labels:
    """Return a column of structures as text without outer blanks, empty where it holds something else."""
    return column_labels(column, lambda value: value.strip() if isinstance(value, str) else "")


def plain_text(value: Any) -> str:
    """Return a label as text.

    Whole numbers are written without a point, because pandas reads a column of them as floats when one is missing.
    """
    is_whole = isinstance(value, (float, np.floating)) and value.is_integer() and abs(float(value)) < 2**53
    return str(int(value) if is_whole else value)
