"""Labels with missing values: which were measured, their weights and their moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite

from ..utils._arrays import as_array
from ..utils._sklearn import is_pandas_na, is_scalar_nan

_LABELS_PER_BLOCK = 2**24


@dataclass(frozen=True)
class Entries:
    """The labels of rows that were measured, in the manner of a sparse matrix by rows.

    Attributes
    ----------
    values : ndarray, shape (n_entries,)
        Labels as they came.
    column : ndarray of int, shape (n_entries,)
        The task of each.
    indptr : ndarray of int, shape (n_rows + 1,)
        Entries ``indptr[i]`` to ``indptr[i + 1]`` belong to row i.
    shape : tuple of int
        ``(n_rows,)`` or ``(n_rows, n_tasks > 1)``.
    """

    values: np.ndarray
    column: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, ...]

    @property
    def n_tasks(self) -> int:
        """Number of columns, 1 for a vector."""
        return math.prod(self.shape[1:])

    @property
    def row(self) -> np.ndarray:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def of_rows(self, wanted: np.ndarray) -> Entries:
        """Return these labels without those of the rows that a mask leaves out."""
        kept = wanted[self.row]
        lengths = np.where(wanted, np.diff(self.indptr), 0)
        return Entries(self.values[kept], self.column[kept], _pointers(lengths), self.shape)


def measured_entries(y: Any, missing: Any, name: str = "y") -> Entries:
    """Return the labels that were measured, in memory proportional to their number, whatever the shape of y.

    Parameters
    ----------
    y : array-like or sparse matrix, shape (n_rows,) or (n_rows, n_tasks)
        An array in a file (``numpy.memmap``) is read a block of rows at a time.
    missing : object
        A label that means "not measured".
    name : str
        What the messages call y.
    """
    if sp.issparse(y):
        return _stored_entries(y, missing, name)
    labels, mask = _as_labels(y, name)
    block = max(1, _LABELS_PER_BLOCK // math.prod(labels.shape[1:]))
    values, columns, lengths = [labels[:0].ravel()], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=int)]
    for start in range(0, len(labels), block):
        rows = slice(start, start + block)
        measured = _is_measured(labels[rows], None if mask is None else mask[rows], missing, name)
        values.append(labels[rows][measured])
        by_row = measured.reshape(len(measured), -1)
        columns.append(np.nonzero(by_row)[1].astype(np.int32))
        lengths.append(by_row.sum(axis=1))
    return Entries(
        np.concatenate(values), np.concatenate(columns), _pointers(np.concatenate(lengths)), _plain_shape(labels.shape)
    )


def measured_labels(y: Any, missing: Any, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Return labels of shape (n,) or (n, tasks > 1) and, of the same shape, which of them were measured.

    Entries that a sparse matrix does not store, and masked entries, were not measured.
    """
    if sp.issparse(y):
        entries = _stored_entries(y, missing, name)
        labels, measured = np.full(entries.shape, np.nan), np.zeros(entries.shape, dtype=bool)
        place = (entries.row, entries.column)[: len(entries.shape)]
        labels[place], measured[place] = entries.values, True
        return labels, measured
    labels, mask = _as_labels(y, name)
    return labels, _is_measured(labels, mask, missing, name)


def _as_labels(y: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels as an array of one or more dimensions, and the mask of a masked array."""
    mask = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else None
    if y is None:
        raise ValueError(f"{name} must hold labels, but it is None.")
    try:
        labels = as_array(y)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a vector or a matrix, but its rows have different lengths: {error}"
        ) from error
    if labels.ndim not in (1, 2) or not labels.shape[-1]:
        raise ValueError(f"{name} must have the shape (n_samples,) or (n_samples, n_tasks), got {labels.shape}.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
        mask = None if mask is None else mask[:, 0]
    return labels, mask


def _is_measured(labels: np.ndarray, mask: np.ndarray | None, missing: Any, name: str) -> np.ndarray:
    """Return which labels were measured, of the shape of ``labels``."""
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
        if labels.dtype.kind in "biuf" and isinstance(missing, (int, float, np.number)):
            # a marker is rounded as the labels are
            measured &= labels != (labels.dtype.type(missing) if labels.dtype.kind == "f" else missing)
        else:
            marked = np.array([value == missing for value in labels[measured].tolist()], dtype=bool)
            if not marked.any():
                _check_marker(labels[measured], missing, name)
            measured[measured] = ~marked
    if labels.dtype.kind == "f":
        assert_all_finite(labels[measured], input_name=name)
    return measured


def _check_marker(labels: np.ndarray, missing: Any, name: str) -> None:
    """Refuse a marker that is text where labels have that value as a number, or the other way round."""
    number = _number_in(missing)
    same = [
        label
        for label in ([] if number is None else set(labels.tolist()))
        if isinstance(label, str) != isinstance(missing, str) and _number_in(label) == number
    ]
    if same:
        raise ValueError(
            f"missing={missing!r} marks no label, but {name} holds {same[0]!r}: give missing as a value of the "
            f"type {type(same[0]).__name__}."
        )


def _number_in(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _stored_entries(y: Any, missing: Any, name: str) -> Entries:
    """Return what a sparse matrix stores, zeros too."""
    if y.ndim != 2 or not y.shape[1]:
        raise ValueError(f"{name} must have the shape (n_samples, n_tasks) when it is sparse, got {y.shape}.")
    if y.format in ("bsr", "dia"):
        raise ValueError(
            f"{name} is sparse in the format {y.format!r}, which does not tell the zeros that were measured from "
            "others. Store the labels as scipy.sparse.coo_array((values, (rows, columns)), shape=...) does."
        )
    stored = sp.csr_array(y)
    if not stored.has_canonical_format:
        stored = stored.copy()  # the matrix of the user stays as it is
        stored.sum_duplicates()
    if stored.nnz < y.nnz:
        _refuse_repeated(y, name)
    if stored.nnz and (stored.data == 1).all():
        raise ValueError(
            f"{name} is sparse and stores nothing but ones, and what it does not store counts as not measured. Store "
            "the zeros that were measured, as scipy.sparse.coo_array((values, (rows, columns)), shape=...) does, or "
            f"pass {name}.toarray() when all others are 0."
        )
    entries = Entries(stored.data, stored.indices, stored.indptr, _plain_shape(stored.shape))
    measured = _is_measured(stored.data, None, missing, name)
    lengths = np.bincount(entries.row[measured], minlength=stored.shape[0])
    return Entries(stored.data[measured], stored.indices[measured], _pointers(lengths), entries.shape)


def _refuse_repeated(y: Any, name: str) -> None:
    """Raise ``ValueError``, naming the first cell that a sparse matrix stores more than once."""
    cells = y.tocoo()
    order = np.lexsort((cells.col, cells.row))
    row, column = cells.row[order], cells.col[order]
    first = np.flatnonzero((np.diff(row) == 0) & (np.diff(column) == 0))[0]
    raise ValueError(
        f"{name} stores row {row[first]}, column {column[first]} more than once, which a sparse matrix adds up. "
        "Average such labels, or give each of them a row of its own."
    )


def _plain_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of labels, of which one column is a vector."""
    return shape[:1] if shape[1:] == (1,) else shape


def _pointers(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


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


def numeric_entries(labels: Entries) -> np.ndarray:
    """Return the measured labels in double precision.

    Raises
    ------
    ValueError
        Naming the first row that does not hold a finite number.
    """
    values = labels.values
    if values.dtype.kind in "OSU":
        places = zip(labels.row, labels.column, strict=True)
        values = np.array([_number(v, place[: len(labels.shape)]) for v, place in zip(values, places, strict=True)])
    return numeric_labels(values, np.ones(len(values), dtype=bool))


def weighted_moments(
    column: np.ndarray, targets: np.ndarray, weights: np.ndarray, n_columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 0 for a constant, NaN without values.

    Parameters
    ----------
    column, targets, weights : ndarray, shape (n_entries,)
    """

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(column, values, minlength=n_columns)

    total = sums(weights)
    total = np.where(total > 0, total, np.nan)
    mean = sums(weights * targets) / total
    scale = np.sqrt(sums(weights * (targets - mean[column]) ** 2) / total)
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
