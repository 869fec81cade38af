"""Checks of profiles that users hand in."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from ..tables._frames import as_frame
from ..utils._arrays import without_mask
from ._features import describe_columns, feature_matrix, refuse_cells

_FLOATS = [np.float64, np.float32]
_NOT_NUMERIC = ("text", "bool", "date", "duration", "category", "complex", "object")


def check_profiles(profiles: Any, n_rows: int | None = None, name: str = "profiles") -> tuple[Any, list[str] | None]:
    """Return profiles as a float32 matrix, and their column names when they have some.

    Parameters
    ----------
    profiles : array-like of float, DataFrame or pyarrow.Table, shape (n_rows, n_features)
        NaN and infinities are allowed; masked values become NaN. Only the features of a table are taken, see
        :func:`feature_columns`.
    n_rows : int, optional
        The number of rows they must have.
    name : str
        Of the profiles, in messages.

    Raises
    ------
    ValueError
        When the matrix is not two-dimensional, not numeric, empty, or of another length.
    """
    profiles = as_frame(profiles)
    names = None
    if hasattr(profiles, "columns"):
        names = _features_of(profiles, name)
        matrix = feature_matrix(profiles, names) if names else np.empty((len(profiles), 0), dtype=np.float32)
    else:
        matrix = _matrix(profiles, name)
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (rows, features), got shape {matrix.shape}.")
    if matrix.shape[1] == 0:
        raise ValueError(f"{name} has 0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
    if n_rows is not None and len(matrix) != n_rows:
        raise ValueError(f"{name} has {len(matrix)} rows but X has {n_rows}: pass one profile per row of X.")
    return matrix, names


def _matrix(profiles: Any, name: str) -> np.ndarray:
    """Return an array of numbers as float32; values beyond its range become infinite."""
    if sparse.issparse(profiles):
        raise TypeError(f"{name} is a sparse matrix; a dense one is needed: use {name}.toarray().")
    try:
        matrix = np.asarray(without_mask(profiles))
        if matrix.dtype.kind not in "biufO":
            raise ValueError(f"values of type {matrix.dtype} are not supported")
        if matrix.dtype.kind == "O":
            refuse_cells(matrix)
        with np.errstate(over="ignore"):
            return matrix.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a matrix of numbers, one row per molecule: {error}.") from error


def _features_of(frame: Any, name: str) -> list[str]:
    """Return the names of the features of a table in memory, all of whose other columns have to be metadata by name."""
    columns = describe_columns(frame)
    chosen = columns.select(where=name)
    strange = [f"{c} ({why})" for c, why in columns.left_out.items() if why in _NOT_NUMERIC]
    if strange:
        raise ValueError(
            f"{name} has columns that are not numeric: {', '.join(strange[:10])}. Convert or drop them, or start the "
            'names of metadata with "Metadata_".'
        )
    return chosen


def validate_profiles(estimator: Any, X: Any, **checks: Any) -> np.ndarray:
    """Return features as a float matrix, checked by scikit-learn's ``validate_data``.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``, of the features alone.
    X : array-like of float, DataFrame or pyarrow.Table, shape (n_rows, n_features)
        NaN and infinities are allowed; masked values become NaN.
    **checks
        More arguments of ``validate_data``.

    Raises
    ------
    ValueError
        When a value is not a number, with its row and column.
    """
    X = as_frame(X)
    if hasattr(X, "columns"):
        chosen = _features_of(X, "X")
        if len(chosen) < len(X.columns):
            X = X[[column for column in X.columns if str(column) in set(chosen)]]
    return validate_matrix(estimator, X, **checks)


def validate_matrix(estimator: Any, X: Any, **checks: Any) -> np.ndarray:
    """Return a float matrix as :func:`validate_profiles` does, of all columns.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``.
    X : array-like of float, shape (n_rows, n_features)
    **checks
        More arguments of ``validate_data``.
    """
    X = without_mask(X)
    if isinstance(X, (list, tuple)) or getattr(X, "dtype", None) == np.object_:
        try:
            cells = np.asarray(X, dtype=object)
        except ValueError:  # rows of different lengths, which validate_data refuses
            cells = np.empty((0, 0), dtype=object)
        if cells.ndim == 2:
            refuse_cells(cells, "X")
    return validate_data(estimator, X, dtype=_FLOATS, ensure_all_finite=False, **checks)
