"""Arrays from the inputs of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

_ROWS = 64  # of each block, always


def as_array(values: Any) -> np.ndarray:
    """Return values as an array: objects for a list with strings, and missing values where a mask or Arrow has them.

    NumPy would turn the numbers and the NaN in a list with strings into strings.
    """
    if is_arrow(values):
        return np.asarray(values.to_pandas())
    if isinstance(values, np.ma.MaskedArray):
        return without_mask(values)
    array: np.ndarray = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=object)
    return array


def is_arrow(values: Any) -> bool:
    """Return whether a value is a table, a batch, an array or a chunked array of pyarrow."""
    return type(values).__module__.partition(".")[0] == "pyarrow" and hasattr(values, "to_pandas")


def without_mask(values: Any) -> Any:
    """Return a masked array as a plain one, in which masked entries are missing: NaN, or None among objects.

    Whatever is not a masked array is returned as it is. Real floats keep their type, booleans and strings become
    objects, and other numbers become float64.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.is_masked(values):
        return np.asarray(values)
    if values.dtype.kind == "f":
        return np.ma.filled(values, np.nan)
    if values.dtype.kind in "iu":
        return np.ma.filled(values.astype(np.float64), np.nan)
    plain = np.ma.getdata(values).astype(object)
    plain[np.ma.getmaskarray(values)] = None
    return plain


def floats_of(values: Any, dtype: Any = np.float64) -> np.ndarray:
    """Return numbers of any container as an array of floats; what is masked, or pandas' NA, is NaN.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number.
    """
    shapes: dict[str, Any] = {"ensure_2d": False, "allow_nd": True, "ensure_min_samples": 0, "ensure_min_features": 0}
    array: np.ndarray = check_array(without_mask(values), dtype=dtype, ensure_all_finite=False, **shapes)
    return array


def numbers_of(table: Any, n_rows: int, what: str) -> np.ndarray:
    """Return what a transformer made of molecules as a dense matrix of floats.

    Parameters
    ----------
    table : array-like, DataFrame or sparse matrix
    n_rows : int
        Number of the molecules.
    what : str
        The transformer, in messages.

    Raises
    ------
    ValueError
        When it is not one row of numbers for each molecule.
    """
    try:
        matrix = floats_of(table.toarray() if sparse.issparse(table) else table, [np.float64, np.float32])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must return numbers for molecules: {error}") from error
    if matrix.ndim != 2 or len(matrix) != n_rows:
        raise ValueError(
            f"{what} must return one row for each of {n_rows} molecules, but it returned an array of shape "
            f"{matrix.shape}."
        )
    return matrix


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Divide each row by its length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.where(lengths > 0, lengths, 1.0)
    return scaled


def by_blocks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Apply a function of rows to 64 of them at a time, the last filled up with zeros.

    Matrix products of one shape sum in one order, so that the last bit of a result does not depend on the other rows.
    """
    padded = np.pad(rows, ((0, -len(rows) % _ROWS), (0, 0)))
    parts = [function(padded[start : start + _ROWS]) for start in range(0, max(len(padded), 1), _ROWS)]
    return np.concatenate(parts)[: len(rows)]
