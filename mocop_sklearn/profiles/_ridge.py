"""Kernel ridge regression to profiles, from a kernel that was computed before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.model_selection import GroupKFold

from ..metrics import retrieval_score
from ..utils._arrays import unit_rows


def solve(gram: np.ndarray, targets: np.ndarray, alpha: float) -> np.ndarray:
    """Return the dual coefficients, shape (n_samples, n_targets)."""
    regularised = gram.copy()
    regularised[np.diag_indices_from(regularised)] += alpha
    coefficients: np.ndarray = cho_solve(cho_factor(regularised, lower=True, overwrite_a=True), targets)
    return coefficients


def cross_validate(
    gram: np.ndarray, targets: np.ndarray, groups: np.ndarray, alphas: Sequence[float], n_folds: int
) -> dict[float, float]:
    """Return the mean retrieval score of the folds for each alpha; a group is in one fold."""
    scores: dict[float, list[float]] = {alpha: [] for alpha in alphas}
    for train, test in GroupKFold(n_folds).split(gram, groups=groups):
        inner, outer = gram[np.ix_(train, train)], gram[np.ix_(test, train)]
        mean = targets[train].mean(axis=0)
        for alpha in alphas:
            predicted = outer @ solve(inner, targets[train] - mean, alpha) + mean
            scores[alpha].append(retrieval_score(unit_rows(predicted), unit_rows(targets[test])))
    return {alpha: float(np.mean(folds)) for alpha, folds in scores.items()}
