"""Rows with missing values: find them, leave them out, and put the answers for the other rows back in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import indexable

from ._sklearn import is_pandas_na, is_scalar_nan, take_rows, take_rows_of_params


def invalid_rows(X: Any, how: str) -> np.ndarray:
    """Return for each row of X whether all values in it are missing, or any of them, shape (n_samples,)."""
    if sp.issparse(X):
        cells = X.tocsr().tocoo()
        n_missing = np.bincount(cells.row[_is_missing(cells.data)], minlength=X.shape[0])
        return np.asarray(n_missing >= (max(X.shape[1], 1) if how == "all" else 1))
    values = np.asarray(X)
    invalid = np.zeros(values.shape[:1], dtype=bool)
    if values.size:
        values = values.reshape(len(values), -1)
        if how == "any":
            invalid[:] = _is_missing(values).any(axis=1)
        else:  # most rows start with a number, and need no look at the rest
            rows = np.flatnonzero(_is_missing(values[:, 0]))
            invalid[rows] = _is_missing(values[rows]).all(axis=1)
    return invalid


def _is_missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind == "O":
        return np.frompyfunc(lambda v: v is None or is_scalar_nan(v) or is_pandas_na(v), 1, 1)(values).astype(bool)
    return np.zeros(values.shape, dtype=bool)


def valid_part(valid: np.ndarray, X: Any, y: Any, params: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return the valid rows of X, of y, and of the metadata that have an entry per row."""
    rows = np.flatnonzero(valid)
    X, y = indexable(X, y)
    whole = {name: value for name, value in params.items() if name == "classes"}
    selected = take_rows_of_params(X, params, rows) | whole
    return take_rows(X, rows), None if y is None else take_rows(y, rows), selected


def index_of(X: Any) -> Any:
    """Return the index of a DataFrame of pandas, None for other containers."""
    return X.index if hasattr(X, "iloc") else None


def places_among_valid(invalid: np.ndarray) -> np.ndarray:
    """Return for each row its place among the valid rows, -1 for invalid rows."""
    return np.where(invalid, -1, np.cumsum(~invalid) - 1)


def in_place(answer: Any, places: np.ndarray, index: Any) -> Any:
    """Return the answer for the valid rows at the places of these rows among all, missing elsewhere."""
    if isinstance(answer, (tuple, list)):
        return type(answer)(in_place(part, places, index) for part in answer)
    if hasattr(answer, "iloc"):
        # -1 is not a label of the new index, so that pandas fills these rows.
        frame = answer.reset_index(drop=True).reindex(places)
        return frame.set_axis(range(len(places)) if index is None else index, axis=0)
    if type(answer).__module__.startswith("polars"):
        return _polars_in_place(answer, places)
    if sp.issparse(answer):
        missing = sp.csr_array(np.full((1, answer.shape[1]), np.nan))
        return type(answer)(sp.vstack([answer, missing], format="csr")[places])
    values = np.asarray(answer)
    if values.dtype.kind in "iub":
        values = values.astype(np.float64)
    elif values.dtype.kind not in "fc":
        values = values.astype(object)
    result = values[places]
    result[places < 0] = None if values.dtype == object else np.nan
    return result


def _polars_in_place(frame: Any, places: np.ndarray) -> Any:
    import polars as pl

    valid = pl.Series(places >= 0)
    rows = frame.select(pl.all().gather(pl.Series(places).set(~valid, None)))
    return rows.with_columns(pl.when(valid).then(pl.selectors.float()).otherwise(float("nan")))
