"""Tanimoto similarity of many fingerprints at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

_COLUMNS_PER_BLOCK = 512  # fingerprints of Y that are dense at a time


def tanimoto_kernel(X: Any, Y: Any = None) -> np.ndarray:
    r"""Tanimoto similarity of rows of counts or bits.

    .. math:: T(x, y) = \frac{\sum_j \min(x_j, y_j)}{\sum_j \max(x_j, y_j)}

    For bits this is the number of common bits over the number of bits in either. It is a kernel: its matrices are
    positive semi-definite [1]_. Two rows of zeros have the similarity 1.

    Parameters
    ----------
    X : array-like or sparse matrix of non-negative integers, shape (n_X, n_columns)
    Y : array-like or sparse matrix of non-negative integers, shape (n_Y, n_columns), default=None
        None is X.

    Returns
    -------
    ndarray of float32, shape (n_X, n_Y)

    Raises
    ------
    ValueError
        When a value is negative or not a whole number, or the numbers of columns differ.

    References
    ----------
    .. [1] Ralaivola, Swamidass, Saigo, Baldi. Graph kernels for chemical informatics. Neural Networks 18, 1093, 2005.

    Examples
    --------
    >>> from mocop_sklearn.baselines import tanimoto_kernel
    >>> tanimoto_kernel([[2, 1, 0]], [[1, 1, 1], [2, 1, 0], [0, 0, 3]]).tolist()
    [[0.5, 1.0, 0.0]]
    """
    X = _counts(X, "X")
    Y = X if Y is None else _counts(Y, "Y")
    if X.shape[1] != Y.shape[1]:
        raise ValueError(f"X has {X.shape[1]} columns and Y has {Y.shape[1]}: they must be fingerprints of one kind.")
    n_levels = int(max(X.data.max(initial=0), Y.data.max(initial=0)))
    left, right = _unrolled(X, n_levels), _unrolled(Y, n_levels)
    sizes, other_sizes = left.sum(axis=1), right.sum(axis=1)
    similarity = np.empty((X.shape[0], Y.shape[0]), dtype=np.float32)
    for start in range(0, Y.shape[0], _COLUMNS_PER_BLOCK):
        block = slice(start, start + _COLUMNS_PER_BLOCK)
        common = left @ right[block].T.toarray()
        union = sizes[:, None] + other_sizes[block] - common
        similarity[:, block] = np.divide(common, union, where=union > 0, out=np.ones_like(common))
    return similarity


def _counts(X: Any, name: str) -> Any:
    matrix = sparse.csr_array(X if sparse.issparse(X) else np.atleast_2d(np.asarray(X)))
    if matrix.dtype.kind not in "biuf" or not (matrix.data >= 0).all() or (matrix.data % 1 != 0).any():
        raise ValueError(
            f"{name} must hold counts or bits, which are whole numbers from 0. Of MorganCounts, take log=False."
        )
    if not matrix.data.all():
        matrix = matrix.copy()  # X shares its arrays
        matrix.eliminate_zeros()
    return matrix


def _unrolled(counts: Any, n_levels: int) -> Any:
    """Write each count c as c columns of 1, so that a product of two rows is the sum of the smaller counts."""
    repeats = counts.data.astype(np.int64)
    rows = np.repeat(np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)), repeats)
    level = np.arange(len(rows)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    columns = np.repeat(counts.indices.astype(np.int64), repeats) * n_levels + level
    shape = (counts.shape[0], counts.shape[1] * max(n_levels, 1))
    return sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
