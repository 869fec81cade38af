"""Scores of predictions with bootstrap intervals: each score is computed for all resamples at once.

A resample is a vector of weights, the number of times that each row was drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_CELLS = 2**22  # of weights at a time


def resampled(score: Score, truth: np.ndarray, predicted: np.ndarray, seed: int, n_resamples: int = 1000) -> np.ndarray:
    """Return the score of all rows, and of resamples of them with replacement, shape (1 + n_resamples,).

    Rows whose truth or prediction is NaN are drawn, but not scored. The resamples depend on the seed and the number of
    rows alone, so that models, and targets of one table, can be compared pair by pair.
    """
    rng = np.random.default_rng(seed)
    n, known = len(truth), ~np.isnan(truth) & ~np.isnan(predicted)
    truth, predicted = truth[known], predicted[known]
    if not len(truth):
        return np.full(1 + n_resamples, np.nan)
    block = max(1, _CELLS // n)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [score(truth, predicted, np.ones((1, len(truth))))]
        for start in range(0, n_resamples, block):
            size = min(block, n_resamples - start)
            drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)[:, known]
            parts.append(score(truth, predicted, weights.astype(float)))
    return np.concatenate(parts)


def auroc(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for labels 0 and 1, shape (n_resamples,); NaN where a resample has one class."""
    (positive, negative), _ = _by_value(predicted, weights * truth, weights * (1 - truth))
    below = np.cumsum(negative, axis=1) - negative / 2
    return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision for labels 0 and 1; NaN where a resample has no 1."""
    (positive, all_rows), _ = _by_value(-predicted, weights * truth, weights)
    found, seen = np.cumsum(positive, axis=1), np.cumsum(all_rows, axis=1)
    return (positive * np.where(seen > 0, found / seen, 0)).sum(axis=1) / positive.sum(axis=1)


def accuracy(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the rows whose class is right."""
    return weights @ (truth == predicted) / weights.sum(axis=1)


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the share that is right."""
    members = [(truth == name).astype(float) for name in np.unique(truth)]
    shares = [weights @ (m * (truth == predicted)) / (weights @ m) for m in members]
    return np.nansum(shares, axis=0) / np.isfinite(shares).sum(axis=0)


def rmse(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Root of the mean squared error."""
    return np.sqrt(weights @ (truth - predicted) ** 2 / weights.sum(axis=1))


def mae(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error."""
    return weights @ np.abs(truth - predicted) / weights.sum(axis=1)


def r2(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance that is explained; NaN where a resample has one value."""
    total = weights.sum(axis=1)
    centered = truth - truth.mean()
    spread = weights @ centered**2 - (weights @ centered) ** 2 / total
    return np.where(spread > 1e-12 * total, 1 - weights @ (truth - predicted) ** 2 / spread, np.nan)


def spearman(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank correlation; NaN where a resample has one value."""
    total = weights.sum(axis=1)
    a, b = (_ranks(values, weights) - (total[:, None] + 1) / 2 for values in (truth, predicted))
    return (weights * a * b).sum(axis=1) / np.sqrt((weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rank of each row among the drawn rows, shape (n_resamples, n)."""
    (drawn,), place = _by_value(values, weights)
    return (np.cumsum(drawn, axis=1) - drawn / 2 + 0.5)[:, place]


def _by_value(values: np.ndarray, *weights: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Sums of weights for each distinct value in ascending order, and the place of each row among these values."""
    order = np.argsort(values, kind="stable")
    _, first, place = np.unique(values[order], return_index=True, return_inverse=True)
    places = np.empty(len(values), dtype=np.int64)
    places[order] = place
    return [np.add.reduceat(w[:, order], first, axis=1) for w in weights], places


# What is reported for each kind of task, the first being the one that models are compared by.
SCORES: dict[str, dict[str, Score]] = {
    "binary": {"AUROC": auroc, "average precision": average_precision},
    "multiclass": {"balanced accuracy": balanced_accuracy, "accuracy": accuracy},
    "regression": {"RMSE": rmse, "MAE": mae, "R²": r2, "Spearman": spearman},
}
