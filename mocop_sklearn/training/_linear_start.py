"""Regularised linear models of representations: where the last layer of a fine-tuning starts."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

# On standardised columns, of which there are more than rows: chosen by cross-validation on small ADME sets.
_C, _ALPHA = 1e-3, 1e3


def linear_head(
    objective: str, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a ridge or a logistic regression for each output.

    Parameters
    ----------
    objective : {"binary", "multiclass", "regression"}
    features : ndarray, shape (n, n_features)
    targets, weights : ndarray
        As in ``supervised_loss``.

    Returns
    -------
    outputs : ndarray of int, shape (n_learned,)
        Outputs that could be learned; not those without two classes.
    coefficients : ndarray, shape (n_learned, n_features)
    intercepts : ndarray, shape (n_learned,)
        Of the features as they came.
    """
    scaler = StandardScaler().fit(features)
    X = scaler.transform(features)
    if objective == "multiclass":
        outputs, W, b = _logistic(X, weights * targets)
    else:
        outputs, W, b = _columns(objective, X, targets, weights)
    W = W / scaler.scale_
    return outputs, W, b - W @ scaler.mean_


def _columns(
    objective: str, X: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One model for each output, on the rows where it was measured."""
    outputs, coefficients, intercepts = [], [], []
    for output in range(targets.shape[1]):
        known = weights[:, output] > 0
        x, y, w = X[known], targets[known, output], weights[known, output]
        if objective == "regression":
            if not len(y):
                continue
            model = Ridge(alpha=_ALPHA).fit(x, y, _summing_to(len(y), w))
            coefficient, intercept = model.coef_, model.intercept_
        else:  # where replicates disagree, y is a probability
            found, W, b = _logistic(x, np.stack([w * (1 - y), w * y], axis=1))
            if not len(found):
                continue
            coefficient, intercept = W[1] - W[0], b[1] - b[0]
        outputs.append(output)
        coefficients.append(coefficient)
        intercepts.append(intercept)
    W = np.array(coefficients, dtype=float).reshape(len(outputs), X.shape[1])
    return np.array(outputs, dtype=int), W, np.array(intercepts, dtype=float)


def _logistic(X: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One model of the classes that occur, on a row of X for each; ``mass`` is (n, n_classes). None of a single one."""
    row, label = np.nonzero(mass)
    found = np.unique(label)
    if len(found) < 2:
        return found[:0], np.zeros((0, X.shape[1])), np.zeros(0)
    weights = _summing_to(len(np.unique(row)), mass[row, label])
    model = LogisticRegression(C=_C, max_iter=300).fit(X[row], label, weights)
    if len(found) == 2:  # a single logit, of the second class
        return found, np.concatenate([-model.coef_, model.coef_]) / 2, np.array([-0.5, 0.5]) * model.intercept_
    return found, model.coef_, model.intercept_


def _summing_to(n_molecules: int, weights: np.ndarray) -> np.ndarray:
    """Weights scaled such that the regularisation is that of so many molecules."""
    return weights * n_molecules / weights.sum()
