"""The choice of profile columns: by name, missing values, spread, repeats, outliers and correlation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted

from ..utils._sklearn import Interval
from ._checks import validate_profiles
from ._moments import blocks, has_values, moments

PAPER_BLOCKLIST = (
    "Nuclei_Correlation_RWC",
    "Nuclei_Correlation_Manders",
    "Nuclei_Granularity_14",
    "Nuclei_Granularity_15",
    "Nuclei_Granularity_16",
)


class ProfileFilter(SelectorMixin, BaseEstimator):
    """Drop profile columns by name, missing values, spread, repeated values, outliers and correlation.

    Every rule is a parameter, and None switches it off. They apply in the order of the parameters; a column is
    reported under the first rule that drops it. Fit on training rows only, after ``ProfileNormalizer``; rows
    without any finite value do not count. The defaults are the rules of the MoCoP paper except for the names, which
    need a DataFrame, or ``set_output(transform="pandas")`` on the step before: ``ProfileFilter.paper()`` has those too.

    Parameters
    ----------
    blocklist : sequence of str, default=()
        Drop columns whose name contains one of these.
    max_missing : float, default=0.0
        Drop columns in which a larger share of the values is NaN or infinite. With a positive share, missing
        values stay in the output.
    min_std, max_std : float, default=0.1 and 5.0
        Drop columns whose standard deviation (over n, NaN aside) is smaller or larger.
    variance_threshold : float, default=None
        Drop columns whose variance is not above it.
    freq_cut : float, default=None
        Drop columns in which the second most common value is rarer than this share of the most common one. After
        centring on medians, every plate with an odd number of controls adds an exact 0 to each column; more than 20
        such plates reach 0.05.
    unique_cut : float, default=None
        Drop columns with fewer different values than this share of the rows.
    outlier_cutoff : float, default=None
        Drop columns with a larger absolute value; an infinity is larger than any.
    correlation_threshold : float, default=None
        Of two columns with a Pearson correlation above it (the sign counts) drop the one whose absolute
        correlations with all columns left by the other rules sum to more; of equals, the later one.

    Attributes
    ----------
    support_ : ndarray of bool, shape (n_features,)
    report_ : dict of rule to list of str
        Names of the columns that each rule dropped; ``len`` counts them.
    n_features_in_ : int
        Features alone, as ``feature_names_in_``.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.profiles import ProfileFilter
    >>> P = np.array([[0.0, 1.0, 1.0, 9.0], [1.0, 1.0, 0.0, -9.0], [2.0, 1.0, np.nan, 9.0]])
    >>> selector = ProfileFilter().fit(P)
    >>> selector.get_support().tolist()
    [True, False, False, False]
    >>> selector.report_
    {'max_missing': ['x2'], 'min_std': ['x1'], 'max_std': ['x3']}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "blocklist": ["array-like"],
        "max_missing": [Interval(Real, 0, 1, closed="both"), None],
        "min_std": [Interval(Real, 0, None, closed="left"), None],
        "max_std": [Interval(Real, 0, None, closed="left"), None],
        "variance_threshold": [Interval(Real, 0, None, closed="left"), None],
        "freq_cut": [Interval(Real, 0, 1, closed="both"), None],
        "unique_cut": [Interval(Real, 0, 1, closed="both"), None],
        "outlier_cutoff": [Interval(Real, 0, None, closed="left"), None],
        "correlation_threshold": [Interval(Real, 0, 1, closed="both"), None],
    }

    def __init__(
        self,
        *,
        blocklist: Sequence[str] = (),
        max_missing: float | None = 0.0,
        min_std: float | None = 0.1,
        max_std: float | None = 5.0,
        variance_threshold: float | None = None,
        freq_cut: float | None = None,
        unique_cut: float | None = None,
        outlier_cutoff: float | None = None,
        correlation_threshold: float | None = None,
    ):
        self.blocklist = blocklist
        self.max_missing = max_missing
        self.min_std = min_std
        self.max_std = max_std
        self.variance_threshold = variance_threshold
        self.freq_cut = freq_cut
        self.unique_cut = unique_cut
        self.outlier_cutoff = outlier_cutoff
        self.correlation_threshold = correlation_threshold

    @classmethod
    def paper(cls, **overrides: Any) -> ProfileFilter:
        """Rules of the MoCoP paper: standard deviation within 0.1 to 5, five blocked names, nothing missing."""
        return cls(**{"blocklist": PAPER_BLOCKLIST, **overrides})

    @classmethod
    def pycytominer(cls, **overrides: Any) -> ProfileFilter:
        """Rules and defaults of pycytominer's ``feature_select``, without noise removal; blocked names as the paper."""
        rules = {
            "blocklist": PAPER_BLOCKLIST,
            "max_missing": 0.05,
            "min_std": None,
            "max_std": None,
            "variance_threshold": 1e-6,
            "freq_cut": 0.05,
            "unique_cut": 0.01,
            "outlier_cutoff": 500.0,
            "correlation_threshold": 0.9,
        }
        return cls(**{**rules, **overrides})

    def fit(self, X: Any, y: Any = None) -> ProfileFilter:
        """Find the columns to keep.

        Parameters
        ----------
        X : array-like or DataFrame of float, shape (n_samples, n_features)
            Profiles of the training rows. Of a table, only the columns that are features by :func:`feature_columns`.
        y : ignored
        """
        self._validate_params()
        X = validate_profiles(self, X, ensure_min_samples=2)
        filled = has_values(X)
        X = X[filled] if 0 < filled.sum() < len(X) else X
        return self._choose(_column_statistics(X), X)

    def fit_statistics(
        self, names: Sequence[str], missing: np.ndarray, mean: np.ndarray, variance: np.ndarray, peak: np.ndarray
    ) -> ProfileFilter:
        """Find the columns to keep from statistics of columns, where the profiles are too many for memory.

        Parameters
        ----------
        names : sequence of str, length n_features
        missing : ndarray of float, shape (n_features,)
            Share of the values that are missing.
        mean, variance : ndarray of float, shape (n_features,)
            Of the finite values, the variance over n.
        peak : ndarray of float, shape (n_features,)
            Largest absolute value.

        Raises
        ------
        ValueError
            When a rule needs the profiles themselves.
        """
        self._validate_params()
        costly = [r for r in ("freq_cut", "unique_cut", "correlation_threshold") if getattr(self, r) is not None]
        if costly:
            raise ValueError(
                f"{costly} need all profiles at once: switch them off with None, and let a ProfileFilter with these "
                "rules alone be the first step of profile_transformer."
            )
        self.feature_names_in_ = np.asarray(names, dtype=object)
        self.n_features_in_ = len(names)
        return self._choose(np.stack([missing, mean, variance, peak]), None)

    def _choose(self, statistics: np.ndarray, X: np.ndarray | None) -> ProfileFilter:
        if len(self.blocklist) and not hasattr(self, "feature_names_in_"):
            raise ValueError(
                "blocklist compares names of columns, and X has none: pass a DataFrame, call "
                'set_output(transform="pandas") on the step before, or set blocklist=().'
            )
        n_features = self.n_features_in_
        names = np.asarray(getattr(self, "feature_names_in_", [f"x{i}" for i in range(n_features)]))
        self.support_ = np.ones(n_features, dtype=bool)
        self.report_: dict[str, list[str]] = {}
        for rule, dropped in self._rules(names, statistics, X):
            self.report_[rule] = names[dropped & self.support_].tolist()
            self.support_ &= ~dropped
        if not self.support_.any():
            counts = ", ".join(f"{rule} dropped {len(columns)}" for rule, columns in self.report_.items())
            warnings.warn(f"The rules drop all {n_features} columns: {counts}. Loosen them.", stacklevel=2)
        return self

    def _rules(
        self, names: np.ndarray, statistics: np.ndarray, X: np.ndarray | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each rule in use and the columns that it drops; costly rules look at the remaining columns only."""
        if len(self.blocklist):
            yield "blocklist", np.array([any(part in name for part in self.blocklist) for name in names])
        missing, mean, variance, peak = statistics
        std = np.sqrt(variance)
        if self.max_missing is not None:
            yield "max_missing", missing > self.max_missing
        if self.min_std is not None:
            yield "min_std", std < self.min_std
        if self.max_std is not None:
            yield "max_std", std > self.max_std
        if self.variance_threshold is not None:
            yield "variance_threshold", variance <= self.variance_threshold
        if X is not None and (self.freq_cut is not None or self.unique_cut is not None):
            ratio, different = _repeats(X, self.support_)
            if self.freq_cut is not None:
                yield "freq_cut", ratio < self.freq_cut
            if self.unique_cut is not None:
                yield "unique_cut", different < self.unique_cut
        if self.outlier_cutoff is not None:
            yield "outlier_cutoff", peak > self.outlier_cutoff
        if X is not None and self.correlation_threshold is not None:
            left = np.flatnonzero(self.support_)
            dropped = np.zeros(len(names), dtype=bool)
            dropped[left] = _redundant(_correlations(X, left, mean[left], std[left]), self.correlation_threshold)
            yield "correlation_threshold", dropped

    def transform(self, X: Any) -> np.ndarray:
        """Keep the selected columns.

        Parameters
        ----------
        X : array-like or DataFrame of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32 or float64 as X, shape (n_samples, n_kept)
        """
        check_is_fitted(self)
        return validate_profiles(self, X, reset=False)[:, self.support_]

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _column_statistics(X: np.ndarray) -> np.ndarray:
    """Share of missing values, mean and variance of the finite ones, largest absolute value (an infinity counts)."""
    missing, mean, variance, peak = statistics = np.empty((4, X.shape[1]))
    for columns in blocks(X.shape[1], len(X)):
        block = X[:, columns].astype(np.float64)
        count, mean[columns], variance[columns] = moments(block)
        missing[columns] = (len(X) - count) / len(X)
        peak[columns] = np.fmax.reduce(np.abs(block), axis=0)
    return statistics


def _repeats(X: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column: count of the second most common value over that of the most common; different values per row."""
    ratio, different = np.ones((2, len(support)))
    for column in np.flatnonzero(support):
        values = X[:, column]
        counts = np.sort(np.unique(values[np.isfinite(values)], return_counts=True)[1])
        ratio[column] = counts[-2] / counts[-1] if len(counts) > 1 else 0.0
        different[column] = len(counts) / len(X)
    return ratio, different


def _correlations(X: np.ndarray, columns: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Pearson correlations of columns, over the rows in which both are finite, summed up by blocks of rows."""
    xy, x, xx, count = np.zeros((4, len(columns), len(columns)))
    for rows in blocks(*X.shape):
        Z = (X[rows][:, columns] - mean) / np.where(std > 0, std, 1.0)
        finite = np.isfinite(Z)
        Z = np.where(finite, Z, 0.0)
        known = finite.astype(np.float64) if not finite.all() else np.ones((len(Z), 1))
        xy += Z.T @ Z
        x += Z.T @ known  # entry (i, j): over the rows in which j is known
        xx += (Z**2).T @ known
        count += known.T @ known
    count = np.maximum(count, 1.0)
    variance = xx - x**2 / count
    scale = np.sqrt(variance * variance.T)
    return np.divide(xy - x * x.T / count, scale, out=np.zeros_like(xy), where=scale > 0)


def _redundant(correlation: np.ndarray, threshold: float) -> np.ndarray:
    """Columns that correlate above the threshold with one that is less correlated with all."""
    total = np.abs(correlation).sum(axis=0).round(8)  # rounded, so that equal columns tie on every machine
    order = np.lexsort([np.arange(len(total)), total])
    dropped = np.empty(len(total), dtype=bool)
    dropped[order] = np.tril((correlation > threshold)[np.ix_(order, order)], k=-1).any(axis=1)
    return dropped
