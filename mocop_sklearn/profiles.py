"""Morphological profiles: which columns they are, and how they are scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

_BLOCK = 256  # columns at a time, so that temporaries stay small beside the matrix


class ProfileScaler(TransformerMixin, BaseEstimator):
    """Impute, robust-scale, clip, and drop constant columns.

    Each column is centred on its median and divided by its inter-quartile range over 1.349, which for
    normal data is the standard deviation; a range of 0 counts as 1. Missing and infinite values take
    the median. What lies further out than ``clip`` is clipped: values of 335,200 standard deviations
    occur in public plates.

    Parameters
    ----------
    clip : float, default=5.0
        Limit after scaling, in robust standard deviations.

    Attributes
    ----------
    center_, scale_ : ndarray of float32, shape (n_features_in_,)
        Median and robust standard deviation; 0 and 1 for columns that are dropped.
    kept_ : ndarray of bool, shape (n_features_in_,)
        Columns with at least two different finite values.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when fitted on a DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.profiles import ProfileScaler
    >>> P = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [np.nan, 7.0], [1e6, 7.0]])
    >>> ProfileScaler().fit_transform(P).round(2).ravel().tolist()
    [-0.0, -0.0, 0.0, 0.0, 5.0]
    """

    def __init__(self, clip: float = 5.0):
        self.clip = clip

    def fit(self, X: Any, y: Any = None) -> ProfileScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)
        y : ignored
        """
        if not self.clip > 0:
            raise ValueError(f"clip must be greater than 0, got {self.clip!r}.")
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False)
        n_features = X.shape[1]
        self.center_ = np.zeros(n_features, dtype=np.float32)
        self.scale_ = np.ones(n_features, dtype=np.float32)
        self.kept_ = np.zeros(n_features, dtype=bool)
        for start in range(0, n_features, _BLOCK):
            columns = slice(start, start + _BLOCK)
            block = np.where(np.isfinite(X[:, columns]), X[:, columns], np.nan)
            kept = _n_levels_exceed_one(block)
            low, center, high = np.nanquantile(block[:, kept], [0.25, 0.5, 0.75], axis=0) if kept.any() else ((),) * 3
            spread = (np.asarray(high) - np.asarray(low)) / 1.349
            rows = np.arange(start, start + len(kept))[kept]
            self.kept_[rows] = True
            self.center_[rows] = center
            self.scale_[rows] = np.where(spread > 0, spread, 1.0)
        if not self.kept_.any():
            raise ValueError(f"All {n_features} profile columns are constant or without finite values.")
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale profiles.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_kept)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False, reset=False)
        X = (X[:, self.kept_] - self.center_[self.kept_]) / self.scale_[self.kept_]
        X[~np.isfinite(X)] = 0.0
        return np.clip(X, -self.clip, self.clip).astype(np.float32, copy=False)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that are kept."""
        check_is_fitted(self)
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return np.asarray(input_features, dtype=object)[self.kept_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _n_levels_exceed_one(block: np.ndarray) -> np.ndarray:
    """Which columns hold at least two different values, NaN aside."""
    low = np.where(np.isnan(block), np.inf, block).min(axis=0)
    high = np.where(np.isnan(block), -np.inf, block).max(axis=0)
    return low < high


def feature_columns(frame: Any) -> list[str]:
    """Names of a table's profile features: every numeric column that does not start with ``Metadata_``.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
    """
    numeric = frame.select_dtypes("number").columns if hasattr(frame, "select_dtypes") else _polars_numeric(frame)
    return [str(name) for name in numeric if not str(name).startswith("Metadata_")]


def _polars_numeric(frame: Any) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
