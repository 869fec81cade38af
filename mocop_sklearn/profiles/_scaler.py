"""Morphological profiles: which columns they are, and how they are scaled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

_PCA_ROWS = 20_000  # rows that the principal axes are computed from
_BLOCK = 2**21  # numbers at a time, so that temporaries stay small beside the matrix


class ProfileScaler(TransformerMixin, BaseEstimator):
    """Impute, robust-scale, clip, drop constant columns; and, when asked to, whiten.

    Each column is centred on its median and divided by its inter-quartile range over 1.349, which for
    normal data is the standard deviation; a range of 0 counts as 1. Missing and infinite values take
    the median. What lies further out than ``clip`` is clipped: values of 335,200 standard deviations
    occur in public plates.

    Parameters
    ----------
    clip : float, default=10.0
        Limit after scaling, in robust standard deviations; of whitened components, too.
    n_components : int, default=None
        Keep this many principal components (at most the rank of the data), each scaled to a variance of
        one. The features of a profile are highly correlated, and few directions carry what replicates
        agree on. None keeps the columns.

    Attributes
    ----------
    center_, scale_ : ndarray, shape (n_features_in_,), of the type of X
        Median and robust standard deviation; 0 and 1 for columns that are dropped.
    kept_ : ndarray of bool, shape (n_features_in_,)
        Columns with at least two different finite values.
    whitening_ : ndarray of float32, shape (n_kept, n_components), or None
        Principal axes divided by the standard deviation along them.
    mean_ : ndarray of float32, shape (n_kept,), or None
        Mean of the scaled columns, only with ``n_components``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when fitted on a DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.profiles import ProfileScaler
    >>> P = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0], [np.nan, 7.0], [1e6, 7.0]])
    >>> ProfileScaler().fit_transform(P).astype(float).round(2).ravel().tolist()
    [-1.35, -0.67, 0.0, 0.67, 0.0, 10.0]
    """

    def __init__(self, clip: float = 10.0, n_components: int | None = None):
        self.clip = clip
        self.n_components = n_components

    def fit(self, X: Any, y: Any = None) -> ProfileScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)
        y : ignored
        """
        if not self.clip > 0:
            raise ValueError(f"clip must be greater than 0, got {self.clip!r}.")
        if self.n_components is not None and not self.n_components >= 1:
            raise ValueError(f"n_components must be None or at least 1, got {self.n_components!r}.")
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False, ensure_min_samples=2)
        n_features = X.shape[1]
        self.center_ = np.zeros(n_features, dtype=X.dtype)
        self.scale_ = np.ones(n_features, dtype=X.dtype)
        self.kept_ = np.zeros(n_features, dtype=bool)
        for columns in blocks(n_features, len(X)):
            block = np.where(np.isfinite(X[:, columns]), X[:, columns], np.nan)
            kept = _n_levels_exceed_one(block)
            low, center, high = np.nanquantile(block[:, kept], [0.25, 0.5, 0.75], axis=0) if kept.any() else ((),) * 3
            spread = (np.asarray(high) - np.asarray(low)) / 1.349
            self.kept_[columns] = kept
            self.center_[columns][kept] = center
            self.scale_[columns][kept] = np.where(spread > 0, spread, 1.0)
        if not self.kept_.any():
            raise ValueError(f"All {n_features} profile columns are constant or without finite values.")
        self.mean_ = self.whitening_ = None
        if self.n_components is not None:
            sample = np.random.default_rng(0).permutation(len(X))[:_PCA_ROWS]
            self._fit_whitening(self._scale(X[np.sort(sample)]))
        return self

    def _fit_whitening(self, scaled: np.ndarray) -> None:
        pca = PCA(min(self.n_components, *scaled.shape), random_state=0).fit(scaled)
        # beyond the rank of the data there is only rounding to whiten
        real = pca.explained_variance_ > 1e-6 * pca.explained_variance_[0]
        self.mean_ = pca.mean_.astype(np.float32)
        self.whitening_ = (pca.components_[real].T / np.sqrt(pca.explained_variance_[real])).astype(np.float32)

    def transform(self, X: Any) -> np.ndarray:
        """Scale profiles.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_kept or n_components)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False, reset=False)
        scaled = self._scale(X)
        if self.whitening_ is None:
            return scaled
        return np.clip((scaled - self.mean_) @ self.whitening_, -self.clip, self.clip)

    def _scale(self, X: np.ndarray) -> np.ndarray:
        X = X[:, self.kept_]
        missing = ~np.isfinite(X)
        with np.errstate(over="ignore"):  # what overflows is clipped
            X = (X - self.center_[self.kept_]) / self.scale_[self.kept_]
        X[missing] = 0.0
        return np.clip(X, -self.clip, self.clip).astype(np.float32, copy=False)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that are kept, or of the components."""
        check_is_fitted(self)
        if self.whitening_ is not None:
            return np.array([f"pc{i}" for i in range(self.whitening_.shape[1])], dtype=object)
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


def matching_columns(names: Sequence[str], patterns: Sequence[str], what: str) -> list[str]:
    """Return the names that one of the patterns describes, in their order; all of them without patterns.

    Parameters
    ----------
    names : sequence of str
    patterns : sequence of str
        Names, or patterns like ``Cells_*``.
    what : str
        The table, for the error message.

    Raises
    ------
    ValueError
        When nothing answers to a pattern.
    """
    matches = {p: [name for name in names if name == p or fnmatchcase(name, p)] for p in patterns}
    lacking = [pattern for pattern, found in matches.items() if not found]
    if lacking:
        raise ValueError(f"{what} has no numeric column {lacking} outside Metadata_*.".lstrip())
    wanted = set(chain(*matches.values())) if patterns else set(names)
    return [name for name in names if name in wanted]


def check_profiles(profiles: Any, n_rows: int | None = None, name: str = "profiles") -> tuple[Any, list[str] | None]:
    """Return profiles as a float32 matrix, and their column names when they have some.

    Parameters
    ----------
    profiles : array-like of float or DataFrame, shape (n_rows, n_features)
        NaN and infinities are allowed. ``Metadata_*`` columns of a DataFrame are left out.
    n_rows : int, optional
        The number of rows they must have.

    Raises
    ------
    ValueError
        When the matrix is not two-dimensional, not numeric, empty, or of another length.
    """
    names = None
    if hasattr(profiles, "columns"):
        profiles = _without_metadata(profiles, name)
        names = [str(c) for c in profiles.columns]
        profiles = frame_to_numpy(profiles)
    if sparse.issparse(profiles):
        raise TypeError(f"{name} is a sparse matrix; a dense one is needed: use {name}.toarray().")
    try:
        matrix = np.asarray(profiles)
        if matrix.dtype.kind not in "biufO":
            raise ValueError(f"values of type {matrix.dtype} are not supported")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            matrix = matrix.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a matrix of numbers, one row per molecule: {error}.") from error
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (rows, features), got shape {matrix.shape}.")
    if matrix.shape[1] == 0:
        raise ValueError(f"{name} has 0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
    if n_rows is not None and len(matrix) != n_rows:
        raise ValueError(f"{name} has {len(matrix)} rows but X has {n_rows}: pass one profile per row of X.")
    return matrix, names


def _without_metadata(frame: Any, name: str) -> Any:
    """The features of a table; every column but the metadata must be one, with a name of its own."""
    labels = [c for c in frame.columns if not str(c).startswith("Metadata_")]
    names = [str(c) for c in labels]
    repeated = sorted({c for c in names if names.count(c) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise ValueError(f"{name} has more than one column of the names {repeated[:10]}. Rename or drop them.")
    numeric = set(feature_columns(frame))
    strange = [c for c in names if c not in numeric]
    if strange:
        raise ValueError(
            f"{name} has columns that are not numeric: {strange[:10]}. Convert or drop them, or prefix metadata "
            'with "Metadata_".'
        )
    return frame if len(labels) == len(frame.columns) else frame[labels]


def frame_to_numpy(frame: Any) -> np.ndarray:
    """Values of a numeric table; the missing values of nullable columns become NaN."""
    matrix = frame.to_numpy()
    if matrix.dtype == object and hasattr(frame, "isna"):
        matrix = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return matrix


def validate_profiles(estimator: Any, X: Any, **checks: Any) -> np.ndarray:
    """Features as a float matrix, checked as scikit-learn's ``validate_data`` does; a value that is no number is named.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``, without the ``Metadata_*`` columns.
    X : array-like of float or DataFrame, shape (n_rows, n_features)
        NaN and infinities are allowed.
    **checks
        More arguments of ``validate_data``.
    """
    X = _without_metadata(X, "X") if hasattr(X, "columns") else X
    try:
        return validate_data(estimator, X, dtype=[np.float64, np.float32], ensure_all_finite=False, **checks)
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        for (row, column), value in np.ndenumerate(np.asarray(X, dtype=object)):
            if isinstance(value, str) and str(error).endswith(repr(value)):
                raise ValueError(
                    f"X holds {value!r} in row {row}, column {column}, which is no number: convert it, to NaN where "
                    "it stands for a missing value."
                ) from error
        raise


def blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows (or columns) of some width, so that temporaries stay small beside the matrix."""
    return gen_batches(n, max(16, _BLOCK // width))


def has_values(X: np.ndarray) -> np.ndarray:
    """Which rows hold a finite value."""
    return np.concatenate([np.isfinite(X[rows]).any(axis=1) for rows in blocks(*X.shape)])


def moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and variance (over n) of the finite values of each column; 0 where there are none."""
    finite = np.isfinite(X)
    count = finite.sum(axis=0)
    mean = X.sum(axis=0, where=finite) / np.maximum(count, 1)
    return count, mean, ((X - mean) ** 2).sum(axis=0, where=finite) / np.maximum(count, 1)
