"""Labels, of which not all were measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite
from sklearn.utils._missing import is_pandas_na, is_scalar_nan


def measured_labels(y: Any, missing: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of shape (n,) or (n, tasks > 1) and, of the same shape, which of them were measured.

    What a sparse matrix does not store was not measured.
    """
    if sp.issparse(y):
        y = _stored(y)
    try:
        labels = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    except ValueError as error:
        raise ValueError(f"y must be a vector or a matrix, but its rows have different lengths: {error}") from error
    if labels.ndim not in (1, 2) or not labels.shape[-1]:
        raise ValueError(f"y must have the shape (n_samples,) or (n_samples, n_tasks), got {labels.shape}.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "f":
        assert_all_finite(labels, allow_nan=True, input_name="y")
        measured = ~np.isnan(labels)
    elif labels.dtype.kind == "O":
        known = [not (v is None or is_scalar_nan(v) or is_pandas_na(v)) for v in labels.ravel()]
        measured = np.array(known, dtype=bool).reshape(labels.shape)
    else:
        measured = np.ones(labels.shape, dtype=bool)
    if missing is not None and not is_scalar_nan(missing):
        marked = [value == missing for value in labels[measured].tolist()]
        measured[measured] = ~np.array(marked, dtype=bool)
    return labels, measured


def _stored(y: Any) -> np.ndarray:
    entries = sp.coo_matrix(y)
    entries.sum_duplicates()
    if entries.nnz and (entries.data == 1).all():
        raise ValueError(
            "y is sparse and stores nothing but ones, and what it does not store counts as not measured. Store the "
            "zeros that were measured, or pass y.toarray() when all others are 0."
        )
    labels = np.full(entries.shape, np.nan)
    labels[entries.row, entries.col] = entries.data
    return labels


def check_same_shape(labels: np.ndarray, predicted: np.ndarray) -> None:
    """Raise ``ValueError`` unless there is one prediction for each label."""
    if labels.shape != predicted.shape:
        raise ValueError(f"y has the shape {labels.shape}, but the predictions have {predicted.shape}.")


def plain_labels(labels: np.ndarray) -> np.ndarray:
    """Objects as the numbers or strings that they are."""
    return np.array(labels.tolist()) if labels.dtype.kind == "O" else labels


def numeric_labels(labels: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Targets in double precision, 0 where not measured."""
    numbers = np.zeros(labels.shape)
    try:
        numbers[measured] = labels[measured].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}") from error
    assert_all_finite(numbers, input_name="y")
    return numbers


def weighted_moments(targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 0 and 1 where there is nothing to take them from."""
    total = np.maximum(weights.sum(axis=0), np.finfo(float).tiny)
    mean = (weights * targets).sum(axis=0) / total
    scale = np.sqrt((weights * (targets - mean) ** 2).sum(axis=0) / total)
    # a constant leaves nothing but rounding
    return mean, np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)


def class_factors(class_weight: Any, mass: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Factor of the weight of each class of each task.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        As in scikit-learn.
    mass : ndarray, shape (n_tasks, n_classes)
        Sum of the weights of the rows.
    classes : ndarray, shape (n_classes,)

    Returns
    -------
    ndarray of float64, shape (n_tasks, n_classes)
    """
    if isinstance(class_weight, Mapping):
        unknown = [c for c in class_weight if c not in classes.tolist()]
        if unknown:
            raise ValueError(f"class_weight names {unknown}, but the classes are {classes.tolist()}.")
        return np.broadcast_to([class_weight.get(c, 1.0) for c in classes.tolist()], mass.shape)
    if class_weight is None:
        return np.ones_like(mass)
    present = np.maximum(1, (mass > 0).sum(axis=1, keepdims=True))
    return mass.sum(axis=1, keepdims=True) / np.where(mass > 0, mass * present, np.inf)
