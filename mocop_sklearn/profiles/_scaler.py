"""The scaling of profiles that comes before a model."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from ._checks import validate_matrix
from ._moments import blocks

_PCA_ROWS = 20_000  # rows that the principal axes are computed from


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
        Keep this many principal components (at most the rank of the data). The features of a profile are highly
        correlated, and few directions carry what replicates agree on. None keeps the columns.
    whitening : float, default=1.0
        Each principal component is divided by its standard deviation to this power, and all of them then by one number
        that makes the mean of their variances one. With 1, every component has a variance of one. With 0, they keep
        their proportions. Between them, directions of much variance count more, but do not drown the others. Without
        ``n_components``, it has no effect.

    Attributes
    ----------
    center_, scale_ : ndarray, shape (n_features,), of the type of X
        Median and robust standard deviation; 0 and 1 for columns that are dropped.
    kept_ : ndarray of bool, shape (n_features,)
        Columns with at least two different finite values.
    whitening_ : ndarray of float32, shape (n_kept, n_components), or None
        Principal axes, scaled as ``whitening`` says.
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

    def __init__(self, clip: float = 10.0, n_components: int | None = None, whitening: float = 1.0):
        self.clip = clip
        self.n_components = n_components
        self.whitening = whitening

    def fit(self, X: Any, y: Any = None) -> ProfileScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)
        y : ignored
        """
        self._check_types()
        if not self.clip > 0:
            raise ValueError(f"clip must be greater than 0, got {self.clip!r}.")
        if self.n_components is not None and not self.n_components >= 1:
            raise ValueError(f"n_components must be None or at least 1, got {self.n_components!r}.")
        if not 0 <= self.whitening <= 1:
            raise ValueError(f"whitening must be between 0 and 1, got {self.whitening!r}.")
        X = validate_matrix(self, X, ensure_min_samples=2)
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

    def _check_types(self) -> None:
        """Raise ``TypeError`` unless each parameter is a number of its kind."""
        kinds = {"clip": Real, "n_components": Integral, "whitening": Real}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and not (name == "n_components" and value is None):
                what = "an integer or None" if name == "n_components" else "a number"
                raise TypeError(f"{name} must be {what}, got {value!r}.")

    def _fit_whitening(self, scaled: np.ndarray) -> None:
        pca = PCA(min(self.n_components, *scaled.shape), random_state=0).fit(scaled)
        # beyond the rank of the data there is only rounding to whiten
        real = pca.explained_variance_ > 1e-6 * pca.explained_variance_[0]
        variance = pca.explained_variance_[real]
        power = variance ** (float(self.whitening) / 2)
        common = np.sqrt(np.mean(variance / power**2))
        self.mean_ = pca.mean_.astype(np.float32)
        self.whitening_ = (pca.components_[real].T / (power * common)).astype(np.float32)

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
        X = validate_matrix(self, X, reset=False)
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


def default_scaler() -> ProfileScaler:
    """Return what scales profiles where no other transformer is given.

    Half-way whitening retrieves better than none and than a whole one: on NCI-60 the columns are few and the last
    components are noise, on plates of images the first components are size and number of cells.
    """
    return ProfileScaler(n_components=64, whitening=0.75)


def _n_levels_exceed_one(block: np.ndarray) -> np.ndarray:
    """Which columns hold at least two different values, NaN aside."""
    low = np.where(np.isnan(block), np.inf, block).min(axis=0)
    high = np.where(np.isnan(block), -np.inf, block).max(axis=0)
    return low < high
