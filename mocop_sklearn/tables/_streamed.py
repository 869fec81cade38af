"""Parquet files of wells that need not fit into memory: their numbers come a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ._columns import is_metadata
from ._formats import TablePath, reading, refuse_repeated
from ._frames import index_as_columns
from ._lists import holds_lists, list_matrix, list_width, numbered
from ._parquet import parquet_names

_ROWS = 2**14
_COLUMNS = 128  # that are decoded side by side: each has a page and a dictionary of about a MiB in memory
_BUFFER = 2**18  # bytes of a column that are read at a time; 0 would read all of its row group
_NUMBERS_OF_A_BATCH = 2**21


class StreamedWells:
    """A parquet file of which all but the numbers is read at once.

    Parquet files are stored by column, and JUMP's assembled files have one row group of some 800,000 rows. So the
    numbers are read some columns at a time, over all rows, and memory does not depend on the size of the file.

    Parameters
    ----------
    path : str or Path
    is_read : callable
        Takes the name of a column, and tells whether it is read at once though it may hold numbers: metadata.

    Attributes
    ----------
    frame : pandas.DataFrame
        The columns that are read at once: metadata, texts, the levels of an index and the like.
    numbers : list of str
        Names of the numeric columns, those that lists become among them.
    order : list of str
        Names of all columns, in the order of the file.

    Raises
    ------
    TableError
        When the file is broken or two columns have one name.
    """

    def __init__(self, path: TablePath, is_read: Callable[[str], bool]):
        import pandas as pd

        self.path = path
        with reading(path), _open(path) as file:
            names = parquet_names(path)
            index = _index_columns(file.schema_arrow)
            self._plain, self._lists = _columns_of_numbers(file, {*filter(is_read, names), *index})
            at_once = [name for name in names if name not in {*self._plain, *self._lists}]
            self.frame = pd.DataFrame(index=pd.RangeIndex(file.metadata.num_rows))
            if at_once:
                self.frame = index_as_columns(pd.read_parquet(path, columns=at_once))
            self.order = [name for name in index if name in self.frame.columns]
            self.order += [own for n in names if n not in index for own in self._lists.get(n, [n])]
            refuse_repeated(path, self.order)
        numbers = {*self._plain, *chain.from_iterable(self._lists.values())}
        self.numbers = [name for name in self.order if name in numbers]

    def blocks(self, names: Sequence[str]) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield the values of numeric columns, a block of rows and columns at a time.

        Parameters
        ----------
        names : sequence of str
            Some of ``numbers``.

        Yields
        ------
        rows : slice
        columns : ndarray of int
            Places in ``names``.
        values : ndarray of float32, shape (n_rows_of_block, n_columns_of_block)
            NaN where a value is missing, infinite where float32 cannot hold it.
        """
        place = {name: i for i, name in enumerate(names)}
        plain = [name for name in self._plain if name in place]
        for first in range(0, len(plain), _COLUMNS):
            own = plain[first : first + _COLUMNS]
            columns = np.array([place[name] for name in own])
            for start, batch in self._batches(own, _ROWS):
                yield slice(start, start + batch.num_rows), columns, _matrix(batch)
        for name, numbers in self._lists.items():
            wanted = [i for i, number in enumerate(numbers) if number in place]
            if not wanted:
                continue
            columns = np.array([place[numbers[i]] for i in wanted])
            for start, batch in self._batches([name], max(16, min(_ROWS, _NUMBERS_OF_A_BATCH // len(numbers)))):
                matrix = list_matrix(batch.column(0), name, len(numbers), self.path, start)
                yield slice(start, start + batch.num_rows), columns, matrix[:, wanted]

    def _batches(self, names: Sequence[str], size: int) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the record batch, at most ``size`` rows at a time."""
        start = 0
        with reading(self.path), _open(self.path) as file:
            for batch in file.iter_batches(size, columns=list(names), use_threads=False):
                yield start, batch
                start += batch.num_rows


def holds_columns_of_lists(path: TablePath) -> bool:
    """Whether a parquet file has a column whose cells are lists of numbers, metadata aside."""
    return bool(_names_of_lists(path))


def read_lists_as_columns(path: TablePath) -> Any:
    """Read a parquet file into a DataFrame in which each column of lists has become numbered columns of float32."""
    import pandas as pd

    lists = _names_of_lists(path)
    wells = StreamedWells(path, lambda name: name not in lists)
    matrix = np.empty((len(wells.frame), len(wells.numbers)), dtype=np.float32)
    for rows, columns, values in wells.blocks(wells.numbers):
        matrix[rows, columns] = values
    return pd.concat([wells.frame, pd.DataFrame(matrix, columns=wells.numbers)], axis=1)[wells.order]


def _names_of_lists(path: TablePath) -> set[str]:
    import pyarrow.parquet as pq

    fields = pq.read_schema(path)
    return {field.name for field in fields if holds_lists(field.type) and not is_metadata(field.name)}


def _open(path: TablePath) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


def _columns_of_numbers(file: Any, others: set[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the plain numeric columns, and of those with lists the names that their numbers get."""
    import pyarrow as pa

    plain, lists = [], {}
    for field in file.schema_arrow:
        if field.name in others:
            continue
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
            plain.append(field.name)
        elif holds_lists(field.type):
            lists[field.name] = numbered(field.name, list_width(file, field.name))
    return plain, lists


def _index_columns(schema: Any) -> list[str]:
    """Columns in which pandas has stored an index."""
    stored = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in stored if isinstance(name, str)]


def _matrix(batch: Any) -> np.ndarray:
    columns = np.empty((batch.num_columns, batch.num_rows), dtype=np.float32)
    with np.errstate(over="ignore"):
        for own, column in zip(columns, batch.columns, strict=True):
            own[:] = column.to_numpy(zero_copy_only=False)
    return columns.T
