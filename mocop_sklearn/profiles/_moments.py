"""Statistics of columns, computed a block at a time so that temporaries stay small beside the matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.utils import gen_batches

_BLOCK = 2**21  # numbers in a block


def blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows (or columns) of ``width`` numbers each."""
    return gen_batches(n, max(16, _BLOCK // width)) if n else iter(())


def has_values(X: np.ndarray) -> np.ndarray:
    """Return which rows hold a finite value, shape (n_rows,)."""
    return np.concatenate([np.isfinite(X[rows]).any(axis=1) for rows in blocks(*X.shape)])


def moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the count, mean and variance (over n) of the finite values of each column; 0 for a column without any."""
    finite = np.isfinite(X)
    count = finite.sum(axis=0)
    mean = X.sum(axis=0, where=finite) / np.maximum(count, 1)
    return count, mean, ((X - mean) ** 2).sum(axis=0, where=finite) / np.maximum(count, 1)


def merged_moments(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the moments of two sets of rows together, by the formulas of Chan, Golub and LeVeque.

    Parameters
    ----------
    one, other : ndarray, shape (4, n_features)
        Count, mean, sum of squared deviations from the mean, and largest size of the finite values.
    """
    (n, mean, scatter, peak), (count, other_mean, other_scatter, other_peak) = one, other
    total = np.maximum(n + count, 1)
    delta = other_mean - mean
    scatter = scatter + other_scatter + delta**2 * n * count / total
    return np.stack([n + count, mean + delta * count / total, scatter, np.maximum(peak, other_peak)])
