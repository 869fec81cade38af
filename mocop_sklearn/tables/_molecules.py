"""Files of molecules of any length, read a batch of rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..molecules._text import split_name
from ._columns import find_structure_column
from ._formats import PARQUET_FILES, SMILES_FILES, TableError, TablePath, ending, reading
from ._parquet import count_parquet_rows, parquet_names, parquet_texts
from ._text import TextTable, open_text

_Columns = list[list[str | None]]


@dataclass(frozen=True)
class MoleculeBatch:
    """Consecutive rows of a file of molecules.

    Attributes
    ----------
    rows : range
        Their numbers in the file, from 0.
    columns : dict of str to list of str
        The structures, and for a ``.smi`` file the names.
    """

    rows: range
    columns: dict[str, list[str | None]]

    @property
    def structures(self) -> list[str | None]:
        """The structures as they are written; None where one is missing."""
        return next(iter(self.columns.values()))


class MoleculeFile:
    """A file with one molecule per row, of any length.

    Neither pandas nor, except for parquet, pyarrow is needed.

    Parameters
    ----------
    path : str or Path
        A ``.smi`` file, every line of which is a row, or a ``.parquet``, ``.csv`` or ``.tsv`` file;
        text may be compressed as ``.gz``.
    smiles : str, optional
        The column of structures; by default as in :func:`read_wells`. Not for ``.smi`` files.

    Attributes
    ----------
    columns : list of str
        What is read: the column of structures; of a ``.smi`` file, ``smiles`` and ``name``.
    n_rows : int

    Raises
    ------
    ValueError
        When the file cannot be read, has no column of structures, or no rows.
    """

    def __init__(self, path: TablePath, smiles: str | None = None):
        self.path = path
        self._format = ending(path)
        where = repr(os.fspath(path))
        with reading(path):
            self._version = self._stat()
        if self._format in SMILES_FILES:
            self.columns = ["smiles", "name"]
        else:
            with reading(path):
                names = self._names()
            self.columns = [find_structure_column(names, smiles, where)]
        with reading(path):
            self.n_rows = self._count()
        if not self.n_rows:
            raise ValueError(f"{where} holds no rows.")

    def batches(self, size: int, rows: range | None = None) -> Iterator[MoleculeBatch]:
        """Read the file from its beginning, every cell as it is written.

        Parameters
        ----------
        size : int
            Rows in memory at a time.
        rows : range, optional
            The rows that are wanted, by default all.

        Yields
        ------
        MoleculeBatch
            Of at least one row and at most ``size``.

        Raises
        ------
        TableError
            When the file cannot be read, or was changed since it was opened.
        """
        rows = range(self.n_rows) if rows is None else rows
        first = 0
        with reading(self.path):
            for columns in self._parts(size):
                last = min(first + len(columns[0]), rows.stop)
                wanted = range(max(first, rows.start), last)
                if wanted:
                    cut = slice(wanted.start - first, wanted.stop - first)
                    yield MoleculeBatch(wanted, {n: c[cut] for n, c in zip(self.columns, columns, strict=True)})
                first += len(columns[0])
                if first >= rows.stop:
                    break
            if first < rows.stop or self._stat() != self._version:
                raise TableError(self.path, "it was changed while it was read")

    def _stat(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_size, status.st_mtime_ns

    def _names(self) -> list[str]:
        if self._format not in PARQUET_FILES:
            return self._table().header
        return parquet_names(self.path)

    def _count(self) -> int:
        if self._format in SMILES_FILES:
            with open_text(self.path, "replace") as lines:
                return sum(1 for _ in lines)
        if self._format not in PARQUET_FILES:
            return sum(1 for _ in self._table().rows())
        return count_parquet_rows(self.path)

    def _table(self) -> TextTable:
        return TextTable(self.path, "replace")

    def _parts(self, size: int) -> Iterator[_Columns]:
        """Yield the columns of at most ``size`` rows at a time."""
        if self._format in SMILES_FILES:
            with open_text(self.path, "replace") as lines:
                while part := [split_line(line) for line in islice(lines, size)]:
                    yield [list(column) for column in zip(*part, strict=True)]
        elif self._format in PARQUET_FILES:
            yield from ([texts] for texts in parquet_texts(self.path, self.columns[0], size))
        else:
            table = self._table()
            place = table.header.index(self.columns[0])
            rows = table.rows()
            while part_of_rows := list(islice(rows, size)):
                texts: list[str | None] = [row[place] for row in part_of_rows]
                yield [texts]


def split_line(line: str) -> tuple[str, str]:
    """Split a line of a ``.smi`` file into the structure, with extensions of CXSMILES, and the name.

    A line that begins with a space has no structure.
    """
    return ("", line.strip()) if line[:1].isspace() else split_name(line)
