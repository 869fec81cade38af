"""Regularised linear models of representations: where the last layer of a fine-tuning starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

# On standardised columns, of which there are more than rows: chosen by cross-validation on small ADME sets.
_C, _ALPHA = 1e-3, 1e3
_TOLERANCE = 1e-6  # of the gradient, relative to the one at zero
_NEWTON_STEPS, _CG_STEPS = 100, 500
# Outputs whose measured rows fill this share of a block are solved together: one product of matrices for all of them
# is some ten times as fast as one of a matrix and a vector for each.
_FILLED = 0.2
_CELLS_PER_BLOCK = 2**23
_MANY = 16  # outputs, from which on it pays to rotate X

# outputs that could be learned, shape (n_learned,); coefficients, (n_learned, n_features); intercepts, (n_learned,)
Solution = tuple[np.ndarray, np.ndarray, np.ndarray]
# prediction → expected label, and its derivative
Link = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def linear_start(
    solve: Callable[[np.ndarray, Any, Any], Solution],
    features: np.ndarray,
    targets: np.ndarray | sp.csc_array,
    weights: np.ndarray | sp.csc_array,
) -> Solution:
    """Fit a linear model for each output, for the features as they come.

    Parameters
    ----------
    solve : callable
        The ``start`` of an ``Objective``.
    features : ndarray, shape (n, n_features)
    targets, weights : ndarray or csc_array
        As in ``LabelledMolecules``.
    """
    features = features.astype(np.float64)  # in single precision, logistic regressions end before they converge
    scaler = StandardScaler().fit(features)
    outputs, W, b = solve(scaler.transform(features, copy=False), targets, weights)
    W = W / scaler.scale_
    return outputs, W, b - W @ scaler.mean_


def ridge_columns(X: np.ndarray, targets: np.ndarray | sp.csc_array, weights: np.ndarray | sp.csc_array) -> Solution:
    """Fit a ridge regression for each output, on the rows where it was measured."""

    def identity(prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return prediction, np.ones_like(prediction)

    return _columns(identity, _ALPHA, _TOLERANCE, _any, X, targets, weights)


def logistic_columns(X: np.ndarray, targets: np.ndarray | sp.csc_array, weights: np.ndarray | sp.csc_array) -> Solution:
    """Fit a logistic regression for each output; where replicates disagree, a target is a probability."""

    def logistic(prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = expit(prediction)
        return p, p * (1 - p)

    return _columns(logistic, 1 / _C, 0.1, _of_two_classes, X, targets, weights)


def logistic_classes(X: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Solution:
    """Fit one logistic regression of exclusive classes."""
    mass = weights * targets
    row, label = np.nonzero(mass)
    found = np.unique(label)
    if len(found) < 2:  # a single class leaves nothing to learn
        return found[:0], np.zeros((0, X.shape[1])), np.zeros(0)
    model = LogisticRegression(C=_C, tol=1e-6, max_iter=1000)
    model.fit(X[row], label, _summing_to(len(np.unique(row)), mass[row, label]))
    if len(found) == 2:  # a single logit, of the second class
        return found, np.concatenate([-model.coef_, model.coef_]) / 2, np.array([-0.5, 0.5]) * model.intercept_
    return found, model.coef_, model.intercept_


def measured_column(targets: Any, weights: Any, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows where an output was measured, with their targets and weights.

    Parameters
    ----------
    targets, weights : ndarray or csc_array, shape (n, n_outputs)
        As in ``LabelledMolecules``.
    column : int
    """
    if sp.issparse(weights):  # targets and weights store the same places
        part = slice(*weights.indptr[column : column + 2])
        known = weights.data[part] > 0
        return weights.indices[part][known], targets.data[part][known], weights.data[part][known]
    weight = weights[:, min(column, weights.shape[1] - 1)]
    rows = np.flatnonzero(weight > 0)
    return rows, targets[rows, column], weight[rows]


def _any(targets: np.ndarray) -> bool:
    return len(targets) > 0


def _of_two_classes(targets: np.ndarray) -> bool:
    """Return whether targets have both classes; a target between 0 and 1 has by itself."""
    return len(targets) > 0 and targets.min() < 1 and targets.max() > 0


# ---------------------------------------------------------------------------------------------
# Many outputs at once
# ---------------------------------------------------------------------------------------------


def _columns(
    link: Link,
    alpha: float,
    exactness: float,
    is_learnable: Callable[[np.ndarray], bool],
    X: np.ndarray,
    targets: np.ndarray | sp.csc_array,
    weights: np.ndarray | sp.csc_array,
) -> Solution:
    """Fit one model for each output that can be learned, on the rows where it was measured."""
    labels = {output: measured_column(targets, weights, output) for output in range(targets.shape[1])}
    labels = {output: label for output, label in labels.items() if is_learnable(label[1])}
    outputs = np.array(list(labels), dtype=int)
    axes = _principal_axes(X, alpha) if len(outputs) >= _MANY else np.eye(X.shape[1])
    X = X @ axes if len(outputs) >= _MANY else X
    W, b = np.zeros((len(outputs), X.shape[1])), np.zeros(len(outputs))
    place = {output: i for i, output in enumerate(outputs.tolist())}
    for block, rows in _blocks({output: rows for output, (rows, _, _) in labels.items()}, len(X)):
        y, w = np.zeros((2, len(rows), len(block)))
        for i, output in enumerate(block):
            known, target, weight = labels[output]
            at = np.searchsorted(rows, known)
            y[at, i], w[at, i] = target, _summing_to(len(known), weight.astype(np.float64))
        own = [place[output] for output in block]
        W[own], b[own] = _solve(link, alpha, exactness, X if len(rows) == len(X) else X[rows], y, w)
    return outputs, W @ axes.T, b


def _principal_axes(X: np.ndarray, alpha: float) -> np.ndarray:
    """Return the principal axes of X that regularisation leaves something of, shape (n_features, n_axes).

    On these the curvature is almost diagonal, and squared coefficients stay what they are.
    """
    size, axes = np.linalg.eigh(X.T @ X)
    return axes[:, size > 1e-6 * alpha]


def _blocks(rows: dict[int, np.ndarray], n: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield outputs that are solved together, and the rows that these have: one output alone when it has few."""
    together = [output for output, own in rows.items() if len(own) >= _FILLED * n]
    step = max(1, _CELLS_PER_BLOCK // max(1, n))
    for start in range(0, len(together), step):
        yield together[start : start + step], np.arange(n)
    for output in rows.keys() - set(together):
        yield [output], rows[output]


def _solve(
    link: Link, alpha: float, exactness: float, X: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the loss of each column of y plus ``alpha`` / 2 × the squared coefficients, by Newton's method.

    The intercept is a coefficient of a column of ones, which is not regularised. A step solves the system of each
    column by conjugate gradients, whose products with X are those of all columns at once. A step that leads beyond
    the minimum is halved.

    Parameters
    ----------
    exactness : float
        How far a step may be from the solution of its system, relative to the gradient.
    X : ndarray, shape (n, n_features)
    y, w : ndarray, shape (n, n_columns)
        Labels and weights; a row of weight 0 is not measured.

    Returns
    -------
    W : ndarray, shape (n_columns, n_features)
    b : ndarray, shape (n_columns,)
    """
    X = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    penalty = np.full((X.shape[1], 1), alpha)
    penalty[-1] = 0
    squares = np.square(X)
    beta, step = np.zeros((2, X.shape[1], y.shape[1]))
    active, decrease, start = np.arange(y.shape[1]), np.full(y.shape[1], np.inf), np.zeros(y.shape[1])
    for n_steps in range(_NEWTON_STEPS):
        expected, slope = link(X @ beta[:, active])
        gradient = X.T @ (w[:, active] * (expected - y[:, active])) + penalty * beta[:, active]
        size = np.abs(gradient).max(axis=0)
        start = start if n_steps else np.maximum(size, np.finfo(float).tiny)
        far = np.abs((gradient * step[:, active]).sum(axis=0)) > decrease[active]  # beyond the minimum
        step[:, active[far]] /= 2
        beta[:, active[far]] += step[:, active[far]]
        ongoing = far | (size > _TOLERANCE * start[active])
        if not ongoing.any():
            break
        near = ongoing & ~far
        if near.any():
            columns, curvature = active[near], w[:, active[near]] * slope[:, near]
            diagonal = np.maximum(squares.T @ curvature + penalty, np.finfo(float).tiny)
            # as exact as the gradient is small, so that the last steps converge quadratically
            goal = size[near] * np.clip(size[near] / start[columns], _TOLERANCE, exactness)
            solved = _conjugate_gradients(X, curvature, penalty, diagonal, gradient[:, near], goal)
            beta[:, columns] -= solved
            step[:, columns], decrease[columns] = solved, (gradient[:, near] * solved).sum(axis=0)
        active = active[ongoing]
    return beta[:-1].T, beta[-1]


def _conjugate_gradients(
    X: np.ndarray, curvature: np.ndarray, penalty: np.ndarray, diagonal: np.ndarray, right: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """Solve (Xᵀ diag(curvature) X + diag(penalty)) s = right for each column, until no residual is above its goal."""
    s, residual = np.zeros_like(right), right.copy()
    z = residual / diagonal
    direction, product = z.copy(), (residual * z).sum(axis=0)
    tiny = np.finfo(float).tiny  # of a column that is solved exactly, which has a direction of 0
    for _ in range(_CG_STEPS):
        if (np.abs(residual).max(axis=0) <= goal).all():
            break
        applied = X.T @ (curvature * (X @ direction)) + penalty * direction
        length = product / np.maximum((direction * applied).sum(axis=0), tiny)
        s += length * direction
        residual -= length * applied
        z = residual / diagonal
        before, product = product, (residual * z).sum(axis=0)
        direction = z + product / np.maximum(before, tiny) * direction
    return s


def _summing_to(n_molecules: int, weights: np.ndarray) -> np.ndarray:
    """Scale weights such that the regularisation is that of this number of molecules."""
    return weights * n_molecules / weights.sum()
