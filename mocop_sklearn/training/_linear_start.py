"""Regularised linear models of representations: where the last layer of a fine-tuning starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

# On standardised columns, of which there are more than rows: chosen by cross-validation on small ADME sets.
_C, _ALPHA = 1e-3, 1e3

# outputs that could be learned, shape (n_learned,); coefficients, (n_learned, n_features); intercepts, (n_learned,)
Solution = tuple[np.ndarray, np.ndarray, np.ndarray]


def linear_start(
    solve: Callable[[np.ndarray, np.ndarray, np.ndarray], Solution],
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
) -> Solution:
    """Fit a linear model for each output, for the features as they come.

    Parameters
    ----------
    solve : callable
        The ``start`` of an ``Objective``.
    features : ndarray, shape (n, n_features)
    targets, weights : ndarray
        As in ``LabelledMolecules``.
    """
    features = features.astype(np.float64)  # in single precision, logistic regressions end before they converge
    scaler = StandardScaler().fit(features)
    outputs, W, b = solve(scaler.transform(features), targets, weights)
    W = W / scaler.scale_
    return outputs, W, b - W @ scaler.mean_


def ridge_columns(X: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Solution:
    """Fit a ridge regression for each output, on the rows where it was measured."""

    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, float] | None:
        if not len(y):
            return None
        model = Ridge(alpha=_ALPHA).fit(x, y, _summing_to(len(y), w))
        return model.coef_, model.intercept_

    return _columns(fit, X, targets, weights)


def logistic_columns(X: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Solution:
    """Fit a logistic regression for each output; where replicates disagree, a target is a probability."""

    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, float] | None:
        found, W, b = _logistic(x, np.stack([w * (1 - y), w * y], axis=1))
        return (W[1] - W[0], b[1] - b[0]) if len(found) else None

    return _columns(fit, X, targets, weights)


def logistic_classes(X: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Solution:
    """Fit one logistic regression of exclusive classes."""
    return _logistic(X, weights * targets)


def _columns(
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float] | None],
    X: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
) -> Solution:
    """Fit one model for each output, on the rows where it was measured."""
    outputs, coefficients, intercepts = [], [], []
    for output in range(targets.shape[1]):
        known = weights[:, output] > 0
        found = fit(X[known], targets[known, output], weights[known, output])
        if found is not None:
            outputs.append(output)
            coefficients.append(found[0])
            intercepts.append(found[1])
    W = np.array(coefficients, dtype=float).reshape(len(outputs), X.shape[1])
    return np.array(outputs, dtype=int), W, np.array(intercepts, dtype=float)


def _logistic(X: np.ndarray, mass: np.ndarray) -> Solution:
    """Fit one model of the classes that occur, on a row of X for each; ``mass`` is (n, n_classes).

    A single class leaves nothing to learn.
    """
    row, label = np.nonzero(mass)
    found = np.unique(label)
    if len(found) < 2:
        return found[:0], np.zeros((0, X.shape[1])), np.zeros(0)
    weights = _summing_to(len(np.unique(row)), mass[row, label])
    model = LogisticRegression(C=_C, tol=1e-6, max_iter=1000).fit(X[row], label, weights)
    if len(found) == 2:  # a single logit, of the second class
        return found, np.concatenate([-model.coef_, model.coef_]) / 2, np.array([-0.5, 0.5]) * model.intercept_
    return found, model.coef_, model.intercept_


def _summing_to(n_molecules: int, weights: np.ndarray) -> np.ndarray:
    """Scale weights such that the regularisation is that of this number of molecules."""
    return weights * n_molecules / weights.sum()
