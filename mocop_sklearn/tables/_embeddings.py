"""Files of embeddings, written a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..utils._files import atomic_write
from ._formats import TablePath, ending
from ._molecules import MoleculeBatch
from ._rows import row_writer

_Write = Callable[[MoleculeBatch, np.ndarray], None]


@contextmanager
def embedding_writer(
    path: TablePath,
    columns: Sequence[str],
    names: Sequence[str],
    n_rows: int,
    record: Mapping[str, Any] | None = None,
) -> Iterator[_Write]:
    """Open a file of embeddings; it replaces ``path`` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` or ``.csv`` file as of :func:`row_writer`, or an ``.npy`` file, with the matrix alone.
    columns : sequence of str
        Columns of the molecules, of text.
    names : sequence of str
        Names of the dimensions.
    n_rows : int
        The number of rows in all.
    record : dict, optional
        As of :func:`row_writer`.

    Yields
    ------
    callable
        Writes a MoleculeBatch and an ndarray of float32, shape (n_batch, n_dimensions).

    Raises
    ------
    ValueError
        When fewer or more rows were written than were announced.
    """
    if ending(path) == ".npy":
        with _npy_writer(path, len(names), n_rows) as write_matrix:
            yield lambda batch, z: write_matrix(z)
    else:
        kinds = [(name, str) for name in molecule_columns(columns, names)] + [(name, float) for name in names]
        with row_writer(path, kinds, n_rows, record) as write:
            yield lambda batch, z: write(batch.rows, [*batch.columns.values(), *np.ascontiguousarray(z.T)])


def molecule_columns(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Columns of molecules as an output names them: structures are ``smiles`` where another column has their name."""
    structure, *others = columns
    return ["smiles" if structure in ("row", *names) else structure, *others]


@contextmanager
def _npy_writer(path: TablePath, width: int, n_rows: int) -> Iterator[Callable[[np.ndarray], None]]:
    written = 0
    with atomic_write(path) as temporary:
        with open(temporary, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, width)}
            np.lib.format.write_array_header_1_0(file, header)

            def write(z: np.ndarray) -> None:
                nonlocal written
                file.write(np.ascontiguousarray(z, dtype="<f4").data)
                written += len(z)

            yield write
        if written != n_rows:
            raise ValueError(f"{written} rows were written to {str(path)!r}, but {n_rows} were announced.")
