"""Tables: wells read at once; molecules read, and embeddings written, a batch of rows at a time."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..utils._files import atomic_write

_SMILES_COLUMNS = (
    "metadata_smiles",
    "smiles",
    "metadata_canonical_smiles",
    "canonical_smiles",
    "metadata_inchi",
    "inchi",
)
_SMILES_LINE = re.compile(r"^(\S*)\s*(.*?)\s*$")
_SMILES_FILES = (".smi", ".smiles")
_PARQUET_FILES = (".parquet", ".pq")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}

_Path = str | os.PathLike[str]
_Write = Callable[[Any, np.ndarray], object]


def _ending(path: _Path) -> str:
    """The ending of a file's name that tells its format; ``.gz`` does not."""
    return Path(os.fspath(path).lower().removesuffix(".gz")).suffix


class _Unsuitable(ValueError):
    """Raised with what follows the name of the file in a sentence."""


@contextmanager
def _reading(path: _Path) -> Iterator[None]:
    """Say in errors which file cannot be read, or what is not installed."""
    try:
        yield
    except _Unsuitable as error:
        raise ValueError(f"{os.fspath(path)!r} {error}") from None
    except ImportError as error:
        raise ImportError("Reading tables needs pandas and pyarrow: pip install 'mocop-sklearn[data]'.") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"No table at {os.fspath(path)!r}.") from error
    except Exception as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be read as a table: {error}") from error


def _read_text(path: _Path, **options: Any) -> Any:
    import pandas as pd

    separator = _SEPARATORS.get(_ending(path))
    if separator is None:
        raise _Unsuitable("is no .parquet, .csv or .tsv file (molecules may also be in a .smi file).")
    return pd.read_csv(path, sep=separator, **options)


def find_structure_column(columns: Sequence[Any], smiles: str | None) -> Any:
    """Return the column named ``smiles``, or else the first of the usual names, in any case.

    Raises
    ------
    ValueError
        With what follows the name of the table in a sentence.
    """
    known = {str(column).lower(): column for column in reversed(columns)}
    column = smiles if smiles is not None else next((known[name] for name in _SMILES_COLUMNS if name in known), None)
    if column is None or column not in columns:
        raise _Unsuitable(
            f"has no column {smiles or 'of structures'!r}; its first columns are {list(map(str, columns[:12]))}. "
            "Name the column that holds the SMILES."
        )
    return column


# ---------------------------------------------------------------------------------------------
# Whole tables
# ---------------------------------------------------------------------------------------------


def read_table(path: _Path) -> Any:
    """Read a parquet, CSV or TSV file into a pandas DataFrame.

    Parameters
    ----------
    path : str or Path
        A ``.parquet``, ``.csv``, ``.csv.gz`` or ``.tsv`` file.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ImportError
        Without pandas: the extra ``data`` brings it.
    ValueError
        When the file is broken or its name ends otherwise.
    """
    with _reading(path):
        import pandas as pd

        return pd.read_parquet(path) if _ending(path) in _PARQUET_FILES else _read_text(path, low_memory=False)


def read_wells(path: _Path, smiles: str | None = None) -> tuple[list[Any], Any]:
    """Read a table of wells.

    Parameters
    ----------
    path : str or Path
        A ``.parquet``, ``.csv``, ``.csv.gz`` or ``.tsv`` file.
    smiles : str, optional
        The column of structures; by default the first of ``Metadata_SMILES``, ``SMILES``,
        ``Metadata_InChI`` and the like, in any case.

    Returns
    -------
    molecules : list
        One value per well, missing ones included.
    frame : pandas.DataFrame
        The whole table.

    Raises
    ------
    ValueError
        When the file cannot be read, or has no column of structures.
    """
    frame = read_table(path)
    with _reading(path):
        return frame[find_structure_column(list(frame.columns), smiles)].tolist(), frame


def write_table(frame: Any, path: _Path) -> None:
    """Write a table without its index; the file is replaced when all is written.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : str or Path
        A ``.parquet`` file, or else CSV is written.
    """
    with atomic_write(path) as temporary:
        write = frame.to_parquet if _ending(path) in _PARQUET_FILES else frame.to_csv
        write(temporary, index=False)


# ---------------------------------------------------------------------------------------------
# Molecules in, a batch of rows at a time
# ---------------------------------------------------------------------------------------------


class MoleculeFile:
    """A file with one molecule per row, of any length.

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

    def __init__(self, path: _Path, smiles: str | None = None):
        self.path = path
        with _reading(path):
            if _ending(path) in _SMILES_FILES:
                self.columns = ["smiles", "name"]
                with self._lines() as lines:
                    self.n_rows = sum(1 for _ in lines)
            elif _ending(path) in _PARQUET_FILES:
                import pyarrow.parquet as pq

                self.columns = [find_structure_column(pq.read_schema(path).names, smiles)]
                self.n_rows = pq.read_metadata(path).num_rows
            else:
                self.columns = [find_structure_column(_read_text(path, nrows=0).columns.tolist(), smiles)]
                self.n_rows = sum(map(len, self._text_frames(1 << 18)))
            if not self.n_rows:
                raise _Unsuitable("holds no rows.")

    def batches(self, size: int, rows: range | None = None) -> Iterator[Any]:
        """Read the file from its beginning, every cell as it is written.

        Parameters
        ----------
        size : int
            Rows in memory at a time.
        rows : range, optional
            The rows that are wanted, by default all.

        Yields
        ------
        pandas.DataFrame
            At least one row and at most ``size``, indexed by their number from 0.
        """
        rows = range(self.n_rows) if rows is None else rows
        first = 0
        with _reading(self.path):
            import pandas as pd

            for frame in self._frames(size):
                frame.index = pd.RangeIndex(first, first + len(frame))
                first += len(frame)
                wanted = frame.loc[rows.start : rows.stop - 1]
                if len(wanted):
                    yield wanted
                if first >= rows.stop:
                    return

    def _frames(self, size: int) -> Iterator[Any]:
        import pandas as pd

        if _ending(self.path) in _SMILES_FILES:
            with self._lines() as lines:
                while chunk := [_SMILES_LINE.findall(line)[0] for line in islice(lines, size)]:
                    yield pd.DataFrame(chunk, columns=self.columns, dtype=object)
        elif _ending(self.path) in _PARQUET_FILES:
            import pyarrow as pa
            import pyarrow.parquet as pq

            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(size, columns=self.columns):
                    texts = batch.column(0).cast(pa.string())
                    yield pd.DataFrame({self.columns[0]: texts.to_pylist()}, dtype=object)
        else:
            yield from self._text_frames(size)

    def _text_frames(self, size: int) -> Iterator[Any]:
        as_written = {"dtype": object, "keep_default_na": False, "encoding_errors": "replace"}
        with _read_text(self.path, usecols=self.columns, chunksize=size, **as_written) as frames:
            yield from frames

    def _lines(self) -> Any:
        opener: Any = gzip.open if os.fspath(self.path).lower().endswith(".gz") else open
        return opener(self.path, "rt", encoding="utf-8-sig", errors="replace")


# ---------------------------------------------------------------------------------------------
# Embeddings out
# ---------------------------------------------------------------------------------------------


@contextmanager
def embedding_writer(path: _Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    """Open a file of embeddings; it replaces ``path`` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` or ``.csv`` file, with the columns ``row``, ``columns`` and ``names``, or an
        ``.npy`` file, with the matrix alone.
    columns : sequence of str
        Columns of the molecules, of text.
    names : sequence of str
        Names of the dimensions.
    n_rows : int
        The number of rows in all.

    Yields
    ------
    callable
        Writes a batch: a DataFrame of molecules, indexed by row, and an ndarray of float32, shape
        (n_batch, n_dimensions).
    """
    writer = {".parquet": _parquet_writer, ".npy": _npy_writer, ".csv": _csv_writer}[_ending(path)]
    with atomic_write(path) as temporary, writer(temporary, columns, names, n_rows) as write:
        yield write


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("row", pa.int64()), *((c, pa.string()) for c in columns), *((name, pa.float32()) for name in names)]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_statistics=["row"]) as file:

        def write(frame: Any, z: np.ndarray) -> None:
            values = [frame.index, *(frame[c].tolist() for c in columns), *np.ascontiguousarray(z.T)]
            arrays = [pa.array(v, kind) for v, kind in zip(values, schema.types, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


@contextmanager
def _npy_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, len(names))}
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda _, z: file.write(np.ascontiguousarray(z, dtype="<f4").data)


@contextmanager
def _csv_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    import pandas as pd

    with open(path, "w", encoding="utf-8", newline="") as file:
        pd.DataFrame(columns=["row", *columns, *names]).to_csv(file, index=False)
        yield lambda frame, z: frame.join(pd.DataFrame(z, frame.index, names)).to_csv(file, header=False)
