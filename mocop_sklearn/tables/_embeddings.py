"""Files of embeddings, written a batch of rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..utils._files import atomic_write
from ._formats import TablePath, ending
from ._molecules import MoleculeBatch

_Write = Callable[[MoleculeBatch, np.ndarray], None]


@contextmanager
def embedding_writer(path: TablePath, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    """Open a file of embeddings; it replaces ``path`` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` or ``.csv`` file, with the columns ``row``, ``columns`` and ``names``, or an
        ``.npy`` file, with the matrix alone. A column of molecules called as another column is written as ``smiles``.
    columns : sequence of str
        Columns of the molecules, of text.
    names : sequence of str
        Names of the dimensions.
    n_rows : int
        The number of rows in all.

    Yields
    ------
    callable
        Writes a MoleculeBatch and an ndarray of float32, shape (n_batch, n_dimensions).

    Raises
    ------
    ValueError
        When fewer or more rows were written than were announced.
    """
    writer = {".parquet": _parquet_writer, ".npy": _npy_writer, ".csv": _csv_writer}[ending(path)]
    columns = ["smiles" if column in ("row", *names) else column for column in columns]
    written = 0
    with atomic_write(path) as temporary:
        with writer(temporary, columns, names, n_rows) as write:

            def count(batch: MoleculeBatch, z: np.ndarray) -> None:
                nonlocal written
                write(batch, z)
                written += len(z)

            yield count
        if written != n_rows:
            raise ValueError(f"{written} rows were written to {str(path)!r}, but {n_rows} were announced.")


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("row", pa.int64()), *((c, pa.string()) for c in columns), *((name, pa.float32()) for name in names)]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_statistics=["row"]) as file:

        def write(batch: MoleculeBatch, z: np.ndarray) -> None:
            values = [batch.rows, *batch.columns.values(), *np.ascontiguousarray(z.T)]
            arrays = [pa.array(v, kind) for v, kind in zip(values, schema.types, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


@contextmanager
def _npy_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, len(names))}
        np.lib.format.write_array_header_1_0(file, header)

        def write(batch: MoleculeBatch, z: np.ndarray) -> None:
            file.write(np.ascontiguousarray(z, dtype="<f4").data)

        yield write


@contextmanager
def _csv_writer(path: Path, columns: Sequence[str], names: Sequence[str], n_rows: int) -> Iterator[_Write]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["row", *columns, *names])

        def write(batch: MoleculeBatch, z: np.ndarray) -> None:
            for row, texts, values in zip(batch.rows, zip(*batch.columns.values(), strict=True), z, strict=True):
                numbers = ["" if text == "nan" else text for text in values.astype(str).tolist()]
                lines.writerow([row, *texts, *numbers])

        yield write
