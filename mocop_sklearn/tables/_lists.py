"""Columns of a parquet file whose cells are lists of numbers, as deep-learning profiles have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._formats import TableError, TablePath


def holds_lists(kind: Any) -> bool:
    """Whether the cells of an Arrow type are lists of numbers, of one size or of any."""
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def list_width(file: Any, name: str) -> int:
    """Return how many numbers the first list of a column holds; 0 where there is none.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
    name : str
    """
    for batch in file.iter_batches(256, columns=[name]):
        widths = _lengths(batch.column(0))
        if (widths >= 0).any():
            return int(widths[widths >= 0][0])
    return 0


def numbered(name: str, width: int) -> list[str]:
    """Names of the columns that the numbers of a list become: ``name_0``, ``name_1`` and so on."""
    return [f"{name}_{i}" for i in range(width)]


def list_matrix(column: Any, name: str, width: int, path: TablePath, first_row: int) -> np.ndarray:
    """Return the lists of a column below one another, float32, shape (n_rows, width); NaN where one is missing.

    Parameters
    ----------
    column : pyarrow.Array
    name : str
    width : int
        The length that every list must have.
    path : str or Path
    first_row : int
        The number of the first row, in messages.

    Raises
    ------
    TableError
        Naming the first row whose list is shorter or longer.
    """
    lengths = _lengths(column)
    ragged = np.flatnonzero((lengths >= 0) & (lengths != width))
    if len(ragged):
        problem = (
            f"row {first_row + ragged[0]} holds {lengths[ragged[0]]} numbers in the column {name!r}, and the rows "
            f"before it {width}. All lists of a column must have one length: drop or mend this row"
        )
        raise TableError(path, problem)
    matrix = np.full((len(column), width), np.nan, dtype=np.float32)
    with np.errstate(over="ignore"):
        matrix[lengths >= 0] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return matrix


def _lengths(column: Any) -> np.ndarray:
    """Length of each list; -1 where one is missing."""
    import pyarrow.compute as pc

    lengths: Sequence[int] = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, dtype=np.int64)
