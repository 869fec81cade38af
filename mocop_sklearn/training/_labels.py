"""Labels with missing values: which were measured, their weights and their moments."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite

from ..utils._arrays import as_array
from ..utils._sklearn import is_pandas_na, is_scalar_nan


def measured_labels(y: Any, missing: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of shape (n,) or (n, tasks > 1) and, of the same shape, which of them were measured.

    Entries that a sparse matrix does not store, and masked entries, were not measured.
    """
    mask = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else None
    if sp.issparse(y):
        y = _stored(y)
    if y is None:
        raise ValueError("y must hold labels, but it is None.")
    try:
        labels = as_array(y)
    except ValueError as error:
        raise ValueError(f"y must be a vector or a matrix, but its rows have different lengths: {error}") from error
    if labels.ndim not in (1, 2) or not labels.shape[-1]:
        raise ValueError(f"y must have the shape (n_samples,) or (n_samples, n_tasks), got {labels.shape}.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
        mask = None if mask is None else mask[:, 0]
    if labels.dtype.kind == "f":
        measured = ~np.isnan(labels)
    elif labels.dtype.kind == "O":
        known = [not (v is None or is_scalar_nan(v) or is_pandas_na(v)) for v in labels.ravel()]
        measured = np.array(known, dtype=bool).reshape(labels.shape)
    else:
        measured = np.ones(labels.shape, dtype=bool)
    if mask is not None:
        measured &= ~mask
    if missing is not None and not is_scalar_nan(missing):
        marker = missing
        if labels.dtype.kind == "f" and isinstance(missing, Real):
            marker = float(labels.dtype.type(missing))  # a marker is rounded as the labels are
        marked = [value == marker for value in labels[measured].tolist()]
        measured[measured] = ~np.array(marked, dtype=bool)
    if labels.dtype.kind == "f":
        assert_all_finite(labels[measured], input_name="y")
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
    if labels.dtype.kind != "O":
        return labels
    plain = np.array(labels.tolist())
    if plain.dtype.kind == "U" and (other := [v for v in labels if not isinstance(v, str)]):
        raise ValueError(f"y mixes strings with other labels, as {other[0]!r}. Make them all strings or all numbers.")
    return plain


def numeric_labels(labels: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return targets in double precision, 0 where not measured.

    Raises
    ------
    ValueError
        Naming the first row that does not hold a finite number.
    """
    if labels.dtype.kind in "cmM":
        raise ValueError(f"y must hold real numbers, got the type {labels.dtype}.")
    numbers = np.zeros(labels.shape)
    if labels.dtype.kind in "biuf":
        numbers[measured] = labels[measured]
    else:
        for place in zip(*np.nonzero(measured), strict=True):
            numbers[place] = _number(labels[place], place)
    assert_all_finite(numbers, input_name="y")
    return numbers


def _number(value: Any, place: tuple[Any, ...]) -> float:
    where = f"row {int(place[0])}" + (f", column {int(place[1])}" if len(place) > 1 else "")
    if isinstance(value, str) or not isinstance(value, (Real, Decimal)):
        raise ValueError(f"y must hold numbers, but {where} holds {value!r}, a {type(value).__name__}.")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"y must hold numbers, but the one in {where} is too large for a float.") from error


def weighted_moments(targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 0 for a constant, NaN without values."""
    total = weights.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    mean = (weights * targets).sum(axis=0) / total
    scale = np.sqrt((weights * (targets - mean) ** 2).sum(axis=0) / total)
    # the spread of a constant is only rounding error
    return mean, np.where(scale <= 1e-12 * np.abs(mean), 0.0, scale)


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
        bad = {c: w for c, w in class_weight.items() if not (isinstance(w, Real) and 0 <= float(w) < np.inf)}
        if bad:
            raise ValueError(f"The weights in class_weight must be finite numbers and not negative, got {bad}.")
        unknown = [c for c in class_weight if c not in classes.tolist()]
        if unknown:
            raise ValueError(f"class_weight names {unknown}, but the classes are {classes.tolist()}.")
        return np.broadcast_to([class_weight.get(c, 1.0) for c in classes.tolist()], mass.shape)
    if class_weight is None:
        return np.ones_like(mass)
    present = np.maximum(1, (mass > 0).sum(axis=1, keepdims=True))
    return mass.sum(axis=1, keepdims=True) / np.where(mass > 0, mass * present, np.inf)
