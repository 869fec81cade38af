"""``BlockScaler``: blocks of columns, of any width, that weigh alike in a distance."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..utils._arrays import without_mask
from ..utils._sklearn import Interval

_MOST_ROWS = 20_000  # evenly spaced ones, which are enough for quantiles
_SMALLEST = 1e-6  # spread of a column, beside the size of its values, below which it counts as constant


class BlockScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale a block of columns so that blocks of any width weigh alike in a distance.

    Columns are standardised, clipped, and divided by the root of their number. So each block contributes about 1 to the
    squared length of a row, and an RBF kernel with gamma = 1 / number of blocks sees all blocks alike. A missing or
    infinite number becomes the mean; a row in which all numbers are missing stays missing.

    Parameters
    ----------
    clip : float, default=8.0
        Limit of the standardised values.
    winsorize : float, default=0.0005
        Mean and spread are those of the values after what lies beyond this quantile, or its counterpart, was moved to
        it.
    balance : bool, default=True
        Whether to divide by the root of the number of columns.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64, shape (n_features,)
        A constant column, or one without a number, has the scale 1 and becomes 0.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.molecules import BlockScaler
    >>> block = BlockScaler().fit_transform(np.random.default_rng(0).normal(5, 3, (1000, 40)))
    >>> round(float((block**2).sum(axis=1).mean()), 1)
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "clip": [Interval(Real, 0, None, closed="neither")],
        "winsorize": [Interval(Real, 0, 0.5, closed="left")],
        "balance": ["boolean"],
    }

    def __init__(self, *, clip: float = 8.0, winsorize: float = 0.0005, balance: bool = True):
        self.clip = clip
        self.winsorize = winsorize
        self.balance = balance

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the means and the spreads.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        BlockScaler
        """
        self._validate_params()
        X = validate_data(self, without_mask(X), dtype=[np.float64, np.float32], ensure_all_finite=False)
        X = _finite(X[:: -(-len(X) // _MOST_ROWS)]).astype(np.float64)
        self.mean_ = np.zeros(X.shape[1])
        self.scale_ = np.ones(X.shape[1])
        known = ~np.isnan(X).all(axis=0)
        self._constant = ~known
        if known.any():
            low, high = np.nanquantile(X[:, known], [self.winsorize, 1 - self.winsorize], axis=0)
            usual = np.clip(X[:, known], low, high)
            self.mean_[known] = np.nanmean(usual, axis=0)
            spread = np.nanstd(usual, axis=0)
            varies = spread > _SMALLEST * np.abs(usual).max(axis=0, initial=0.0, where=~np.isnan(usual))
            self.scale_[known] = np.where(varies, spread, 1.0)
            self._constant[known] = ~varies
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale a block.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = _finite(validate_data(self, without_mask(X), dtype=np.float64, ensure_all_finite=False, reset=False))
        absent = np.isnan(X).all(axis=1)
        scaled = np.clip((X - self.mean_) / self.scale_, -self.clip, self.clip)
        scaled[np.isnan(scaled)] = 0.0
        scaled[:, self._constant] = 0.0
        scaled[absent] = np.nan
        return (scaled / np.sqrt(X.shape[1]) if self.balance else scaled).astype(np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _finite(X: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(X), X, np.nan)
