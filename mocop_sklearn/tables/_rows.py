"""Tables of texts and numbers, written a batch of rows at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..utils._files import atomic_write
from ._formats import PARQUET_FILES, TablePath, ending, needing_libraries_to_write

Column = tuple[str, type]
Write = Callable[[range, Sequence[Any]], None]


@contextmanager
def row_writer(
    path: TablePath, columns: Sequence[Column], n_rows: int, record: Mapping[str, Any] | None = None
) -> Iterator[Write]:
    """Open a table; it replaces ``path`` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` or ``.csv`` file, with the columns ``row`` and ``columns``.
    columns : sequence of (str, type)
        Names of columns, and whether they hold texts (``str``) or numbers (``float``). Numbers are written in single
        precision, and one that is NaN as nothing in CSV.
    n_rows : int
        The number of rows in all.
    record : dict, optional
        Where the values come from, as plain data: JSON in the metadata of the schema of a ``.parquet`` file, with the
        key ``mocop_sklearn``.

    Yields
    ------
    callable
        Writes the numbers of consecutive rows and the values of all columns in their order.

    Raises
    ------
    ValueError
        When fewer or more rows were written than were announced, or two columns have one name.
    """
    names = ["row", *(name for name, _ in columns)]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"{str(path)!r} would have two columns called {twice[0]!r}. Rename one of them in the input.")
    writer = _parquet_writer if ending(path) in PARQUET_FILES else _csv_writer
    written = 0
    if writer is _parquet_writer:
        with needing_libraries_to_write(path):
            import pyarrow.parquet  # noqa: F401
    with atomic_write(path) as temporary:
        with writer(temporary, columns, record or {}) as write:

            def count(rows: range, values: Sequence[Any]) -> None:
                nonlocal written
                write(rows, values)
                written += len(rows)

            yield count
        if written != n_rows:
            raise ValueError(f"{written} rows were written to {str(path)!r}, but {n_rows} were announced.")


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[Column], record: Mapping[str, Any]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("row", pa.int64()), *((name, pa.string() if kind is str else pa.float32()) for name, kind in columns)]
    schema = pa.schema(fields, metadata={"mocop_sklearn": json.dumps(record)})
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_statistics=["row"]) as file:

        def write(rows: range, values: Sequence[Any]) -> None:
            singles = (v if kind is str else np.float32(v) for v, (_, kind) in zip(values, columns, strict=True))
            arrays = [pa.array(v, kind) for v, kind in zip([rows, *singles], schema.types, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


@contextmanager
def _csv_writer(path: Path, columns: Sequence[Column], record: Mapping[str, Any]) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["row", *(name for name, _ in columns)])

        def write(rows: range, values: Sequence[Any]) -> None:
            words = [v if kind is str else _words(v) for v, (_, kind) in zip(values, columns, strict=True)]
            lines.writerows(zip(rows, *words, strict=True))

        yield write


def _words(numbers: Any) -> list[str]:
    """Numbers in single precision as they are written, NaN as nothing."""
    return ["" if word == "nan" else word for word in np.float32(numbers).astype(str).tolist()]
