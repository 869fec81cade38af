"""Parquet files: whole tables, and one column as texts."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def parquet_texts(path: TablePath, column: str, size: int) -> Iterator[list[str | None]]:
    """Yield the values of a column as texts, at most ``size`` at a time; None where one is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(size, columns=[column]):
            yield batch.column(0).cast(pa.string()).to_pylist()
