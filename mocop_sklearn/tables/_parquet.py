"""Parquet files: whole tables, and one column as texts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ._formats import TablePath, refuse_repeated
from ._frames import index_as_columns


def parquet_names(path: TablePath) -> list[str]:
    """Return the names of all columns, the levels of an index included.

    Raises
    ------
    TableError
        When two columns have one name.
    """
    import pyarrow.parquet as pq

    names = list(pq.read_schema(path).names)
    refuse_repeated(path, names)
    return names


def count_parquet_rows(path: TablePath) -> int:
    """Return the number of rows, from the end of the file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def read_parquet(path: TablePath) -> Any:
    """Read a file, or a folder of files, into a DataFrame with the named levels of its index as columns."""
    import pandas as pd

    if os.path.isfile(path):
        parquet_names(path)
    return index_as_columns(pd.read_parquet(path))


def parquet_texts(path: TablePath, columns: Sequence[str], size: int) -> Iterator[list[list[str | None]]]:
    """Yield the values of columns as texts, at most ``size`` rows at a time; None where one is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(size, columns=list(columns)):
            yield [batch.column(name).cast(pa.string()).to_pylist() for name in columns]


def parquet_head(path: TablePath, size: int) -> dict[str, list[str | None]]:
    """Return the first rows of the columns of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def is_text(kind: Any) -> bool:
        return pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)

    names = [field.name for field in pq.read_schema(path) if is_text(field.type)]
    return dict(zip(names, next(parquet_texts(path, names, size), []), strict=False)) if names else {}
