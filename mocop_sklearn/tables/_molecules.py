"""Files of molecules of any length, read a batch of rows at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..molecules._text import split_name
from ._anndata import h5ad_texts
from ._formats import ANNDATA_FILES, PARQUET_FILES, SD_FILES, SMILES_FILES, TableError, TablePath, ending, reading
from ._guess import N_SAMPLED, structure_column
from ._parquet import count_parquet_rows, parquet_head, parquet_names, parquet_texts
from ._sdf import sdf_records, sdf_structure, sdf_values
from ._text import TextTable, open_text

_UNREADABLE = "\ufffd"  # stands for a byte that is not text
_Columns = list[list[str | None]]


@dataclass(frozen=True)
class MoleculeBatch:
    """Consecutive rows of a file of molecules.

    Attributes
    ----------
    rows : range
        Their numbers in the file, from 0.
    columns : dict of str to list of str
        The structures first, then the other columns of the file that are read.
    """

    rows: range
    columns: dict[str, list[str | None]]

    @property
    def structures(self) -> list[str | None]:
        """The structures as they are written; None where one is missing."""
        return next(iter(self.columns.values()))


class MoleculeFile:
    """A file with one molecule per row, of any length.

    Neither pandas nor, except for parquet, pyarrow is needed; for AnnData, anndata is.

    Parameters
    ----------
    path : str or Path
        A ``.smi`` file, every line of which is a row, an ``.sdf`` file, every record of which is a row, or a
        ``.parquet``, ``.csv`` or ``.tsv`` file; all but parquet may be compressed as ``.gz``. Of an ``.h5ad`` file,
        the table ``obs`` is read, with its index as ``obs_names``, and not the matrix.
    smiles : str, optional
        The column of structures; by default as in :func:`read_wells`. Not for ``.smi`` and ``.sdf`` files.
    keep : sequence of str
        Further columns to read: of a table, or tags of an ``.sdf`` file.

    Attributes
    ----------
    columns : list of str
        What is read: the column of structures, of ``.smi`` and ``.sdf`` files ``smiles`` and ``name``, and ``keep``.
    n_rows : int

    Raises
    ------
    ValueError
        When the file cannot be read, lacks a column, or has no rows.
    """

    def __init__(self, path: TablePath, smiles: str | None = None, keep: Sequence[str] = ()):
        self.path = path
        self._format = ending(path)
        self._named = self._format in SMILES_FILES + SD_FILES
        where = repr(os.fspath(path))
        with reading(path):
            self._version = self._stat()
        with reading(path):
            names, self.n_rows = self._names_and_count()
        if not self.n_rows:
            raise ValueError(f"{where} holds no rows.")
        self.columns = ["smiles", "name"] if self._named else [structure_column(names, smiles, where, self._head)]
        lacking = [name for name in keep if name not in names]
        if lacking:
            raise ValueError(f"{where} has no column {lacking[0]!r}; its columns are {names[:50]}.")
        self.columns += [name for name in dict.fromkeys(keep) if name not in self.columns]

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

        Warns
        -----
        UserWarning
            When values other than structures hold bytes that are not UTF-8.
        """
        rows = range(self.n_rows) if rows is None else rows
        first, n_strange, example = 0, 0, ""
        is_text = self._format not in PARQUET_FILES + ANNDATA_FILES
        with reading(self.path):
            for columns in self._parts(size):
                last = min(first + len(columns[0]), rows.stop)
                wanted = range(max(first, rows.start), last)
                if wanted:
                    cut = slice(wanted.start - first, wanted.stop - first)
                    if is_text:
                        strange = [t for column in columns[1:] for t in column[cut] if t and _UNREADABLE in t]
                        n_strange += len(strange)
                        example = example or next(iter(strange), "")
                    yield MoleculeBatch(wanted, {n: c[cut] for n, c in zip(self.columns, columns, strict=True)})
                first += len(columns[0])
                if first >= rows.stop:
                    break
            if first < rows.stop or self._stat() != self._version:
                raise TableError(self.path, "it was changed while it was read")
        if n_strange:
            warnings.warn(
                f"{os.fspath(self.path)!r} is not UTF-8 text: {n_strange} values hold letters that cannot be read, "
                f"such as {example!r}. Save it as UTF-8.",
                UserWarning,
                stacklevel=2,
            )

    @property
    def why_missing(self) -> str:
        """Reason why a structure may be None."""
        return "RDKit cannot read the record" if self._format in SD_FILES else "missing value"

    def _stat(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_size, status.st_mtime_ns

    def _names_and_count(self) -> tuple[list[str], int]:
        """Names of all columns, and the number of rows."""
        if self._format in SMILES_FILES:
            with open_text(self.path, "replace") as lines:
                return ["smiles", "name"], sum(1 for _ in lines)
        if self._format in SD_FILES:
            tags: dict[str, None] = {"smiles": None, "name": None}
            n_rows = 0
            for record in sdf_records(self.path):
                tags |= dict.fromkeys(sdf_values(record))
                n_rows += 1
            return list(tags), n_rows
        if self._format in PARQUET_FILES:
            return parquet_names(self.path), count_parquet_rows(self.path)
        if self._format in ANNDATA_FILES:
            self._obs = h5ad_texts(self.path)
            return list(self._obs), len(self._obs["obs_names"])
        table = self._table()
        return table.header, sum(1 for _ in table.rows())

    def _head(self) -> dict[str, list[str | None]]:
        """First rows of a table, for a guess."""
        if self._format in PARQUET_FILES:
            return parquet_head(self.path, N_SAMPLED)
        if self._format in ANNDATA_FILES:
            return {name: texts[:N_SAMPLED] for name, texts in self._obs.items()}
        table = self._table()
        rows = islice(table.rows(), N_SAMPLED)
        return {name: list(values) for name, values in zip(table.header, zip(*rows, strict=True), strict=True)}

    def _table(self) -> TextTable:
        return TextTable(self.path, "replace")

    def _parts(self, size: int) -> Iterator[_Columns]:
        """Yield the columns of at most ``size`` rows at a time."""
        if self._format in PARQUET_FILES:
            yield from parquet_texts(self.path, self.columns, size)
            return
        if self._format in ANNDATA_FILES:
            for first in range(0, self.n_rows, size):
                yield [self._obs[name][first : first + size] for name in self.columns]
            return
        rows = self._rows()
        while part := list(islice(rows, size)):
            yield [list(column) for column in zip(*part, strict=True)]

    def _rows(self) -> Iterator[Sequence[str | None]]:
        """Yield the wanted texts of each row of a text file."""
        if self._format in SMILES_FILES:
            with open_text(self.path, "replace") as lines:
                yield from map(split_line, lines)
        elif self._format in SD_FILES:
            for record in sdf_records(self.path):
                values = sdf_values(record)
                name = record[0].strip() if record else ""
                yield [sdf_structure(record), name, *(values.get(tag, "") for tag in self.columns[2:])]
        else:
            table = self._table()
            places = [table.header.index(name) for name in self.columns]
            for row in table.rows():
                yield [row[place] for place in places]


def split_line(line: str) -> tuple[str, str]:
    """Split a line of a ``.smi`` file into the structure, with extensions of CXSMILES, and the name.

    A line that begins with a space has no structure.
    """
    return ("", line.strip()) if line[:1].isspace() else split_name(line)
