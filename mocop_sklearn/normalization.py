"""Profiles between the microscope and the model: centred on each plate's controls, and filtered by column."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .profiles import feature_columns

Array = NDArray[Any]

PAPER_BLOCKLIST = (
    "Nuclei_Correlation_RWC",
    "Nuclei_Correlation_Manders",
    "Nuclei_Granularity_14",
    "Nuclei_Granularity_15",
    "Nuclei_Granularity_16",
)
_BLOCK = 2**21  # numbers at a time, so that temporaries stay small beside the matrix
_TINY = 10 * np.finfo(np.float64).eps  # a spread below this share of the values is rounding


class PlateStatistics(NamedTuple):
    """What one plate's wells are centred on and divided by; NaN where too few control values are finite."""

    center: Array  # (n_features,)
    scale: Array  # (n_features,)
    n_wells: int


class Whitening(NamedTuple):
    """A linear map that gives the control wells of one batch unit covariance."""

    center: Array  # (n_features,)
    scale: Array  # (n_features,)
    axes: Array  # (n_axes, n_features), orthonormal rows
    gain: Array  # (n_axes,)
    rest: float | None  # gain of every direction outside the axes; None: the result is the coordinates on the axes

    def apply(self, Z: Array) -> Array:
        """Whiten rows; a missing value counts as the controls' mean."""
        Z = np.nan_to_num((Z - self.center) / self.scale)
        on_axes = Z @ self.axes.T  # (n, n_axes)
        if self.rest is None:
            return on_axes * self.gain
        return self.rest * Z + (on_axes * (self.gain - self.rest)) @ self.axes


class _Wells(NamedTuple):
    """Metadata of the rows of one call."""

    rows: Mapping[Hashable, Array]  # plate → its rows
    controls: Array | None  # which rows are control wells; None: all
    batch_of: Mapping[Hashable, Hashable]  # plate → batch
    given: Mapping[str, bool]


class ProfileNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Centre and scale every plate on its own control wells; optionally whiten on the controls of a batch.

    ``fit`` keeps the statistics of each plate. ``transform`` uses them for the plates it knows; a plate
    that ``fit`` has not seen gets its statistics from the control wells among the rows of that call, and
    nothing is kept. So ``fit_transform`` equals ``transform`` on the same rows, and single wells of a
    fitted plate need no controls. A split by compound puts all DMSO wells on one side: normalise before
    splitting (with controls no treated well enters the statistics) or keep controls on both sides.

    Without ``plates`` all rows are one plate; without ``controls`` all wells are the reference. Where a
    plate holds few conditions the mean of its wells *is* the signal and goes with it: recall at 10 fell
    from 0.378 to 0.153 in one reported comparison. Prefer controls.

    NaN and infinities are left out of the statistics and are NaN in the output. A column with fewer than
    ``min_controls`` finite control values on a plate is NaN on that plate. A spread of 0 counts as 1.

    Parameters
    ----------
    method : {"robust", "mad", "standardize"}, default="robust"
        Median and inter-quartile range (no factor 1.349), as in the MoCoP paper; median and 1.4826 times the
        median absolute deviation; mean and standard deviation.
    whiten : bool or {"ZCA", "ZCA-cor", "PCA", "PCA-cor"}, default=False
        After that, sphere the profiles so that the controls of each batch have unit covariance (on z-scores
        where the name ends in ``-cor``). True is "ZCA-cor". Directions in which the controls do not vary are
        scaled like the weakest in which they do. The axes of PCA differ from batch to batch: one batch only,
        and missing values come out as the controls' mean.
    epsilon : float, default=1e-18
        Added to the scaled median absolute deviation (method "mad").
    whiten_epsilon : float, default=1e-6
        Added to the singular values of the centred controls.
    on_missing : {"raise", "plate", "drop"}, default="raise"
        A plate with fewer than ``min_controls`` control wells is an error, is normalised on all its wells, or
        becomes NaN rows with a warning.
    min_controls : int, default=2
        A control well counts when it has a finite value.
    plate_column, batch_column : str or list of str, default="Metadata_Plate" and None
        Columns of X, when it is a DataFrame with ``Metadata_*`` columns, that stand in for ``plates`` and
        ``batches``. Several columns are an id together: ``["Metadata_Batch", "Metadata_Plate"]`` where
        plate names repeat. None: one plate, one batch.
    control_column : str, default="Metadata_IsNegcon"
        The same for ``controls``. None: all wells are the reference.
    control_label : str or list of str, default=None
        The values in ``controls`` that mark a control well. None: they are booleans.

    Attributes
    ----------
    statistics_ : dict of plate id to PlateStatistics
        ``center``, ``scale`` (after the rule for 0) and the number of reference wells. The id is None
        without ``plates``, and a tuple when it has several columns.
    whitenings_ : dict of batch id to Whitening
        Empty without ``whiten``.
    n_dropped_ : int
        Rows in ``fit`` on plates without enough controls, with ``on_missing="drop"``.
    n_features_in_ : int
        Without ``Metadata_*`` columns, as ``feature_names_in_``.

    Notes
    -----
    The methods are those of pycytominer's ``normalize``: robustize, mad_robustize, standardize and spherize. It
    divides by ``epsilon`` where the median absolute deviation is 0, and refuses to sphere constant columns and
    linearly dependent ones.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.normalization import ProfileNormalizer
    >>> P = np.array([[0.0], [1.0], [2.0], [9.0], [10.0], [14.0], [18.0], [22.0]])
    >>> plates = ["A"] * 4 + ["B"] * 4
    >>> dmso = np.array([True, True, True, False] * 2)
    >>> normalizer = ProfileNormalizer().fit(P, plates=plates, controls=dmso)
    >>> normalizer.transform(P, plates=plates).ravel().tolist()
    [-1.0, 0.0, 1.0, 8.0, -1.0, 0.0, 1.0, 2.0]
    """

    __metadata_request__fit = {"plates": True, "controls": True, "batches": True}  # noqa: RUF012
    __metadata_request__transform = {"plates": True, "controls": True, "batches": True}  # noqa: RUF012

    def __init__(
        self,
        method: str = "robust",
        *,
        whiten: bool | str = False,
        epsilon: float = 1e-18,
        whiten_epsilon: float = 1e-6,
        on_missing: str = "raise",
        min_controls: int = 2,
        plate_column: str | Sequence[str] | None = "Metadata_Plate",
        control_column: str | None = "Metadata_IsNegcon",
        batch_column: str | Sequence[str] | None = None,
        control_label: str | Sequence[str] | None = None,
    ):
        self.method = method
        self.whiten = whiten
        self.epsilon = epsilon
        self.whiten_epsilon = whiten_epsilon
        self.on_missing = on_missing
        self.min_controls = min_controls
        self.plate_column = plate_column
        self.control_column = control_column
        self.batch_column = batch_column
        self.control_label = control_label

    def fit(
        self, X: Any, y: Any = None, *, plates: Any = None, controls: Any = None, batches: Any = None
    ) -> ProfileNormalizer:
        """Learn the statistics of every plate.

        Parameters
        ----------
        X : array-like or DataFrame of float, shape (n_samples, n_features)
            ``Metadata_*`` columns of a DataFrame are no features.
        y : ignored
        plates : array-like of shape (n_samples,) or (n_samples, n_keys), optional
            Plate of each well; several columns are an id together. Goes before ``plate_column``.
        controls : array-like of bool, shape (n_samples,), optional
            Control wells (or labels, see ``control_label``). Goes before ``control_column``.
        batches : array-like of shape (n_samples,) or (n_samples, n_keys), optional
            Batch of each well, for ``whiten``. Goes before ``batch_column``.
        """
        self._check_parameters()
        X, wells = self._read(X, plates, controls, batches, fitted=None)
        self.statistics_, references = self._learn(X, wells.rows, wells.controls)
        self.whitenings_ = self._learn_whitening(X, wells, self.statistics_, references, known=())
        self.n_dropped_ = sum(len(rows) for plate, rows in wells.rows.items() if plate not in self.statistics_)
        self._fitted = wells._replace(rows={}, controls=None)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, plates: Any = None, controls: Any = None, batches: Any = None
    ) -> Array:
        """Fit, and normalise the same rows; see ``fit`` and ``transform``."""
        metadata = {"plates": plates, "controls": controls, "batches": batches}
        return self.fit(X, y, **metadata)._normalize(X, **metadata)

    def transform(self, X: Any, *, plates: Any = None, controls: Any = None, batches: Any = None) -> Array:
        """Normalise wells, each with the statistics of its plate.

        Parameters
        ----------
        X : array-like or DataFrame of float, shape (n_samples, n_features)
        plates, controls, batches : array-like, optional
            As in ``fit``. ``controls`` are used for plates that were not in ``fit``.

        Returns
        -------
        ndarray of float32 or float64 as X, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        return self._normalize(X, plates, controls, batches)

    def _normalize(self, X: Any, plates: Any, controls: Any, batches: Any) -> Array:
        X, wells = self._read(X, plates, controls, batches, fitted=self._fitted)
        unseen = {plate: rows for plate, rows in wells.rows.items() if plate not in self.statistics_}
        learned, references = self._learn(X, unseen, wells.controls)
        statistics = {**self.statistics_, **learned}
        whitenings = {
            **self.whitenings_,
            **self._learn_whitening(X, wells, statistics, references, known=self.whitenings_),
        }
        out = np.full_like(X, np.nan)
        for plate, rows in wells.rows.items():
            if plate not in statistics:
                continue
            for part in _parts(rows, X.shape[1]):
                Z = _scaled(X[part], statistics[plate])
                if self.whiten:
                    whitening = whitenings[wells.batch_of[plate]]
                    lost = np.isnan(Z) if whitening.rest is not None else np.isnan(Z).all(axis=1, keepdims=True)
                    Z = np.where(lost, np.nan, whitening.apply(Z))
                out[part] = Z
        dropped = [plate for plate in wells.rows if plate not in statistics]
        if dropped:
            count = sum(len(wells.rows[plate]) for plate in dropped)
            warnings.warn(
                f"{count} rows became NaN: {len(dropped)} plates have fewer than min_controls={self.min_controls} "
                f"control wells: {_listing(dropped)}.",
                stacklevel=4,
            )
        return out

    def _learn(
        self, X: Array, plates: Mapping[Hashable, Array], controls: Array | None
    ) -> tuple[dict[Hashable, PlateStatistics], dict[Hashable, Array]]:
        """Statistics of plates, and the rows they come from."""
        statistics, references, short = {}, {}, {}
        for plate, rows in plates.items():
            reference = _with_values(X, rows if controls is None else rows[controls[rows]])
            if len(reference) < self.min_controls and self.on_missing == "plate":
                reference = _with_values(X, rows)
            if len(reference) < self.min_controls:
                short[plate] = len(reference)
                continue
            references[plate] = reference
            statistics[plate] = _plate_statistics(X, reference, self.method, self.epsilon, self.min_controls)
        if short and self.on_missing != "drop":
            wells = "wells" if self.on_missing == "plate" else "control wells"
            others = "'drop'" if self.on_missing == "plate" else "'plate' or 'drop'"
            counts = ", ".join(f"{plate!r} (n_samples={count})" for plate, count in [*short.items()][:10])
            raise ValueError(
                f"{len(short)} plate(s) have fewer than min_controls={self.min_controls} {wells}: {counts}. A plate "
                "that was not in fit needs its control wells, marked by controls= or control_column, among the rows "
                f"of the call; otherwise set on_missing to {others}."
            )
        return statistics, references

    def _learn_whitening(
        self,
        X: Array,
        wells: _Wells,
        statistics: Mapping[Hashable, PlateStatistics],
        references: Mapping[Hashable, Array],
        known: Any,
    ) -> dict[Hashable, Whitening]:
        """Maps of the batches that are not known."""
        if not self.whiten:
            return {}
        controls: dict[Hashable, list[Array]] = {}
        for plate, batch in wells.batch_of.items():
            if plate in statistics and batch not in known:
                part = X[references[plate]] if plate in references else X[:0]
                controls.setdefault(batch, []).append(_scaled(part, statistics[plate]))
        method = self.whiten if isinstance(self.whiten, str) else "ZCA-cor"
        if method.startswith("PCA") and len(controls) + len(known) > 1:
            raise ValueError(
                f"whiten={method!r} has other axes in every batch, and there are batches "
                f"{_listing([*known, *controls])}: choose 'ZCA' or 'ZCA-cor', or leave out batches."
            )
        empty = [batch for batch, parts in controls.items() if sum(map(len, parts)) < 2]
        if empty:
            raise ValueError(
                f"batches {_listing(empty)} have fewer than 2 control wells to whiten on: a batch that was not in fit "
                "needs plates with control wells that were not in fit either."
            )
        return {b: _whitening(np.concatenate(p), method, self.whiten_epsilon) for b, p in controls.items()}

    def _read(self, X: Any, plates: Any, controls: Any, batches: Any, fitted: _Wells | None) -> tuple[Array, _Wells]:
        """Check everything that comes in, and group the rows by plate."""
        matrix = _matrix(self, X, reset=fitted is None)
        n = len(matrix)
        plates = self._column(X, "plates", "plate_column") if plates is None else plates
        controls = self._column(X, "controls", "control_column", fitted is None) if controls is None else controls
        if not self.whiten:
            batches = None
        elif batches is None:
            batches = self._column(X, "batches", "batch_column")
        given = {"plates": plates is not None, "controls": controls is not None, "batches": batches is not None}
        for name in ("plates", "batches"):
            if fitted is not None and given[name] != fitted.given[name]:
                fit, here = ("with", "without") if fitted.given[name] else ("without", "with")
                raise ValueError(
                    f"fit was called {fit} {name} and transform {here}: pass {name}= to both or to neither. Pipelines "
                    "pass them on after sklearn.set_config(enable_metadata_routing=True); a DataFrame with Metadata_* "
                    "columns carries them along."
                )
        plate_ids: list[Hashable] = [None] * n if plates is None else _ids(plates, n, "plates")
        batch_ids: list[Hashable] = [None] * n if batches is None else _ids(batches, n, "batches")
        batch_of = {} if fitted is None else dict(fitted.batch_of)
        for plate, batch in zip(plate_ids, batch_ids, strict=True):
            if batch_of.setdefault(plate, batch) != batch:
                raise ValueError(
                    f"plate {plate!r} occurs in the batches {batch_of[plate]!r} and {batch!r}: make the ids of plates "
                    'unique, as with plate_column=["Metadata_Batch", "Metadata_Plate"].'
                )
        marked: Array | None = None
        if controls is not None:
            marked = _flags(controls, n, self.control_label)
        elif fitted is not None and fitted.given["controls"]:
            marked = np.zeros(n, dtype=bool)
        return matrix, _Wells(_rows_by_id(plate_ids), marked, batch_of, given)

    def _column(self, X: Any, argument: str, parameter: str, required: bool = True) -> Any:
        """A metadata column of a table of wells, or several side by side; None where X is no such table."""
        wanted, there = getattr(self, parameter), [str(c) for c in getattr(X, "columns", ())]
        metadata = [c for c in there if c.startswith("Metadata_")]
        if wanted is None or not metadata:
            return None
        absent = [c for c in ([wanted] if isinstance(wanted, str) else wanted) if c not in metadata]
        if absent and required:
            raise ValueError(
                f"X has no column {absent[0]!r} among its metadata ({_listing(metadata)}): pass {argument}=, or set "
                f"{parameter} to the name of a column, or to None to do without {argument}."
            )
        if absent:
            return None
        if isinstance(wanted, str):
            return np.asarray(X[wanted])
        return np.column_stack([np.asarray(X[c], dtype=object) for c in wanted])

    def _check_parameters(self) -> None:
        choices = {
            "method": ("robust", "mad", "standardize"),
            "whiten": (False, True, "ZCA", "ZCA-cor", "PCA", "PCA-cor"),
            "on_missing": ("raise", "plate", "drop"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("epsilon", "whiten_epsilon"):
            _check_number(self, name, 0.0, np.inf)
        _check_number(self, "min_controls", 1, np.inf, kind=Integral)
        for name in ("plate_column", "control_column", "batch_column"):
            columns = getattr(self, name)
            for column in [columns] if isinstance(columns, str) else columns or ():
                if not str(column).startswith("Metadata_"):
                    raise ValueError(f"{name} must name Metadata_* columns, the others are features; got {columns!r}.")

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the features, or ``pc0``, ``pc1``, … after whitening by PCA."""
        names = super().get_feature_names_out(input_features)
        if str(self.whiten).startswith("PCA"):
            names = np.array([f"pc{i}" for i in range(len(names))], dtype=object)
        return names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


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
        centring on medians every plate with an odd number of controls adds an exact 0 to each column, and more
        than 20 such plates are enough for 0.05.
    unique_cut : float, default=None
        Drop columns with fewer different values than this share of the rows.
    outlier_cutoff : float, default=None
        Drop columns with a larger absolute value; an infinity is larger than any.
    correlation_threshold : float, default=None
        Of two columns with a Pearson correlation above it (the sign counts) drop the one whose absolute
        correlations with all columns left by the other rules sum to more; of equals, the later one.

    Attributes
    ----------
    support_ : ndarray of bool, shape (n_features_in_,)
    report_ : dict of rule to list of str
        Names of the columns that each rule dropped; ``len`` counts them.
    n_features_in_ : int
        Without ``Metadata_*`` columns, as ``feature_names_in_``.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.normalization import ProfileFilter
    >>> P = np.array([[0.0, 1.0, 1.0, 9.0], [1.0, 1.0, 0.0, -9.0], [2.0, 1.0, np.nan, 9.0]])
    >>> selector = ProfileFilter().fit(P)
    >>> selector.get_support().tolist()
    [True, False, False, False]
    >>> selector.report_
    {'max_missing': ['x2'], 'min_std': ['x1'], 'max_std': ['x3']}
    """

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
            Profiles of the training rows. ``Metadata_*`` columns of a DataFrame are no features.
        y : ignored
        """
        for name in ("max_missing", "freq_cut", "unique_cut", "correlation_threshold"):
            _check_number(self, name, 0.0, 1.0, optional=True)
        for name in ("min_std", "max_std", "variance_threshold", "outlier_cutoff"):
            _check_number(self, name, 0.0, np.inf, optional=True)
        X = _matrix(self, X, reset=True, ensure_min_samples=2)
        rows = _with_values(X, np.arange(len(X)))
        X = X[rows] if 0 < len(rows) < len(X) else X
        names = getattr(self, "feature_names_in_", None)
        if len(self.blocklist) and names is None:
            raise ValueError(
                "blocklist goes by the names of columns, and X has none: pass a DataFrame, call "
                'set_output(transform="pandas") on the step before, or set blocklist=().'
            )
        names = np.array([f"x{i}" for i in range(X.shape[1])]) if names is None else names
        self.support_ = np.ones(X.shape[1], dtype=bool)
        self.report_: dict[str, list[str]] = {}
        for rule, dropped in self._rules(X, names):
            self.report_[rule] = names[dropped & self.support_].tolist()
            self.support_ &= ~dropped
        if not self.support_.any():
            counts = ", ".join(f"{rule} dropped {len(columns)}" for rule, columns in self.report_.items())
            warnings.warn(f"None of the {X.shape[1]} columns is left: {counts}. Loosen these rules.", stacklevel=2)
        return self

    def _rules(self, X: Array, names: Array) -> Iterator[tuple[str, Array]]:
        """Name of every rule that is on, and the columns it drops; the costly ones look only at columns still there."""
        if len(self.blocklist):
            parts = [self.blocklist] if isinstance(self.blocklist, str) else self.blocklist
            yield "blocklist", np.array([any(part in name for part in parts) for name in names])
        missing, variance, peak = _column_statistics(X)
        if self.max_missing is not None:
            yield "max_missing", missing > self.max_missing
        if self.min_std is not None:
            yield "min_std", np.sqrt(variance) < self.min_std
        if self.max_std is not None:
            yield "max_std", np.sqrt(variance) > self.max_std
        if self.variance_threshold is not None:
            yield "variance_threshold", ~(variance > self.variance_threshold)
        if self.freq_cut is not None or self.unique_cut is not None:
            ratio, different = _repeats(X, self.support_)
            if self.freq_cut is not None:
                yield "freq_cut", ratio < self.freq_cut
            if self.unique_cut is not None:
                yield "unique_cut", different < self.unique_cut
        if self.outlier_cutoff is not None:
            yield "outlier_cutoff", peak > self.outlier_cutoff
        if self.correlation_threshold is not None:
            dropped = np.zeros(len(names), dtype=bool)
            dropped[self.support_] = _redundant(_correlations(X, self.support_), self.correlation_threshold)
            yield "correlation_threshold", dropped

    def transform(self, X: Any) -> Array:
        """Keep the selected columns.

        Parameters
        ----------
        X : array-like or DataFrame of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32 or float64 as X, shape (n_samples, n_kept)
        """
        check_is_fitted(self)
        return _matrix(self, X, reset=False)[:, self.support_]

    def _get_support_mask(self) -> Array:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


# What comes in: features, ids, flags, numbers.


def _matrix(estimator: Any, X: Any, **checks: Any) -> Array:
    """The features as a float matrix; a value that is no number is named."""
    if hasattr(X, "columns"):
        names = [c for c in X.columns if not str(c).startswith("Metadata_")]
        numeric = set(feature_columns(X))
        strange = [c for c in names if str(c) not in numeric]
        if strange:
            raise ValueError(
                f"X has columns that are not numeric: {_listing(strange)}. Convert or drop them, or prefix metadata "
                'with "Metadata_".'
            )
        X = X if len(names) == len(X.columns) else X[names]
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


def _ids(values: Any, n_rows: int, name: str) -> list[Hashable]:
    """One hashable id per row, a tuple where there are several columns."""
    array = np.asarray(values)
    if array.ndim not in (1, 2) or len(array) != n_rows:
        raise ValueError(f"{name} has shape {array.shape} but X has {n_rows} rows: pass one id per row.")
    single = array.ndim == 1 or array.shape[1] == 1
    ids = array.ravel().tolist() if single else [tuple(row) for row in array.tolist()]
    for row, key in enumerate(ids):
        if any(part is None or type(part).__name__ == "NAType" or part != part for part in ([key] if single else key)):
            raise ValueError(f"{name} has no id in row {row} ({key!r}): fill it in or leave the row out.")
    return ids


def _flags(controls: Any, n_rows: int, label: Any) -> Array:
    """Which rows are control wells."""
    array = np.asarray(controls)
    if array.shape != (n_rows,):
        raise ValueError(f"controls has shape {array.shape} but X has {n_rows} rows: pass one value per row.")
    if label is not None:
        labels = {label} if isinstance(label, str) else set(label)
        return np.array([value in labels for value in array.tolist()])
    strange = [] if array.dtype == bool else [(i, v) for i, v in enumerate(array.tolist()) if not isinstance(v, bool)]
    if strange:
        row, value = strange[0]
        raise ValueError(
            f"controls must be boolean, but row {row} holds {value!r}: use == to make it so, or name the values that "
            "mark a control well with control_label=."
        )
    return array.astype(bool)


def _check_number(estimator: Any, name: str, low: float, high: float, kind: Any = Real, optional: bool = False) -> None:
    value = getattr(estimator, name)
    if value is None and optional:
        return
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
        what = "an integer" if kind is Integral else "a number"
        raise ValueError(f"{name} must be {what} from {low} to {high}{' or None' * optional}, got {value!r}.")


def _listing(items: Sequence[Any]) -> str:
    """The first ten, as Python writes them."""
    items = [repr(item) for item in items]
    return ", ".join(items[:10]) + (f" and {len(items) - 10} more" if len(items) > 10 else "")


# Rows and plates.


def _rows_by_id(ids: list[Hashable]) -> dict[Hashable, Array]:
    """Rows of every id, in the order of the ids' first rows."""
    codes: dict[Hashable, int] = {}
    code = np.fromiter((codes.setdefault(key, len(codes)) for key in ids), dtype=np.intp, count=len(ids))
    order = np.argsort(code, kind="stable")
    return dict(zip(codes, np.split(order, np.cumsum(np.bincount(code))[:-1]), strict=True))


def _parts(rows: Array, n_features: int) -> Iterator[Array]:
    step = max(1, _BLOCK // max(n_features, 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _with_values(X: Array, rows: Array) -> Array:
    parts = [part[np.isfinite(X[part]).any(axis=1)] for part in _parts(rows, X.shape[1])]
    return np.concatenate(parts) if parts else rows


def _column_blocks(n_rows: int, n_features: int) -> Iterator[slice]:
    step = max(16, _BLOCK // n_rows)
    for start in range(0, n_features, step):
        yield slice(start, start + step)


def _scaled(X: Array, statistics: PlateStatistics) -> Array:
    Z = (X.astype(np.float64) - statistics.center) / statistics.scale
    Z[~np.isfinite(Z)] = np.nan
    return Z


def _plate_statistics(X: Array, rows: Array, method: str, epsilon: float, min_controls: int) -> PlateStatistics:
    """Centre and scale of the columns over some rows."""
    center, scale = np.empty(X.shape[1]), np.empty(X.shape[1])
    for columns in _column_blocks(len(rows), X.shape[1]):
        block = X[rows, columns].astype(np.float64)
        block[~np.isfinite(block)] = np.nan
        count = len(rows) - np.isnan(block).sum(axis=0)
        if method == "standardize":
            middle, variance = _moments(block, count)
            spread = np.sqrt(variance)
        else:
            block.sort(axis=0)  # NaN last
            middle = _quantile(block, count, 0.5)
            if method == "robust":
                spread = _quantile(block, count, 0.75) - _quantile(block, count, 0.25)
            else:
                spread = 1.4826 * _quantile(np.sort(np.abs(block - middle), axis=0), count, 0.5)
        spread = np.where(spread <= _TINY * np.abs(middle), 1.0, spread) + (epsilon if method == "mad" else 0.0)
        enough = count >= min_controls
        center[columns], scale[columns] = np.where(enough, [middle, spread], np.nan)
    return PlateStatistics(center, scale, len(rows))


def _moments(block: Array, count: Array) -> tuple[Array, Array]:
    """Mean and variance of the columns, NaN aside; 0 for a column of nothing else."""
    known = ~np.isnan(block)
    mean = block.sum(axis=0, where=known) / np.maximum(count, 1)
    return mean, ((block - mean) ** 2).sum(axis=0, where=known) / np.maximum(count, 1)


def _quantile(ordered: Array, count: Array, q: float) -> Array:
    """Quantile of sorted columns, of which the first ``count`` values are known, by linear interpolation."""
    last = np.maximum(count - 1, 0)
    position = last * q
    low = position.astype(np.intp)
    below, above = np.take_along_axis(ordered, np.stack([low, np.minimum(low + 1, last)]), axis=0)
    return below + (above - below) * (position - low)


def _whitening(Z: Array, method: str, epsilon: float) -> Whitening:
    """Whitening on the rows of Z: W = √(n - 1) V (S + ε)⁻¹ Vᵀ for Z = U S Vᵀ; PCA leaves out the last Vᵀ.

    Kessy, Lewin and Strimmer (2018), "Optimal whitening and decorrelation". Singular values past the rank count as
    the last one before it, which for ZCA leaves one factor for the whole null space: V is never completed.
    """
    n, d = Z.shape
    center, variance = _moments(Z, n - np.isnan(Z).sum(axis=0))
    spread = np.sqrt(variance) if method.endswith("-cor") else np.ones(d)
    scale = np.where(spread <= _TINY * np.abs(center), 1.0, spread)
    principal = method.startswith("PCA")
    _, s, axes = np.linalg.svd(np.nan_to_num((Z - center) / scale), full_matrices=principal and n < d)
    rank = int((s > s[0] * max(n, d) * np.finfo(np.float64).eps).sum())
    gain = np.sqrt(n - 1) / (s[:rank] + epsilon) if rank else np.ones(1)
    if principal:
        gain = np.append(gain[:rank], np.full(d - rank, gain[-1]))
        signs = np.sign(axes[np.arange(d), np.abs(axes).argmax(axis=1)])
        return Whitening(center, scale, axes * signs[:, None], gain, None)
    return Whitening(center, scale, axes[:rank], gain[:rank], float(gain[-1]))


# Columns.


def _column_statistics(X: Array) -> tuple[Array, Array, Array]:
    """Share of missing values, variance of the finite ones, largest absolute value (an infinity counts)."""
    missing, variance, peak = np.empty((3, X.shape[1]))
    for columns in _column_blocks(*X.shape):
        block = X[:, columns].astype(np.float64)
        peak[columns] = np.fmax.reduce(np.abs(block), axis=0)
        block[~np.isfinite(block)] = np.nan
        lost = np.isnan(block).sum(axis=0)
        missing[columns] = lost / len(X)
        variance[columns] = _moments(block, len(X) - lost)[1]
    return missing, variance, peak


def _repeats(X: Array, support: Array) -> tuple[Array, Array]:
    """Of each column: count of the second most common value over that of the most common; different values per row."""
    ratio, different = np.ones((2, len(support)))
    for column in np.flatnonzero(support):
        values = np.sort(X[np.isfinite(X[:, column]), column])
        ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
        counts = np.sort(np.diff(ends, prepend=-1))
        ratio[column] = counts[-2] / counts[-1] if len(counts) > 1 else 0.0
        different[column] = len(counts) / len(X)
    return ratio, different


def _correlations(X: Array, support: Array) -> Array:
    """Pearson correlations of columns, over the rows in which both are finite, summed up by blocks of rows."""
    kept = np.flatnonzero(support)
    mean, std, known = np.empty((3, len(kept)))
    for part in _column_blocks(len(X), len(kept)):
        block = X[:, kept[part]].astype(np.float64)
        block[~np.isfinite(block)] = np.nan
        known[part] = (~np.isnan(block)).sum(axis=0)
        mean[part], variance = _moments(block, known[part])
        std[part] = np.where(variance > 0, np.sqrt(variance), 1.0)
    complete = bool((known == len(X)).all())
    xy = np.zeros((len(kept), len(kept)))
    x, xx, count = (np.zeros_like(xy) for _ in range(3))
    for rows in _parts(np.arange(len(X)), len(kept)):
        Z = (X[np.ix_(rows, kept)] - mean) / std
        finite = np.isfinite(Z).astype(np.float64)
        Z = np.where(finite, Z, 0.0)
        xy += Z.T @ Z
        if not complete:  # entry (i, j): over the rows in which j is known
            x += Z.T @ finite
            xx += (Z**2).T @ finite
            count += finite.T @ finite
    if complete:
        return xy / len(X)
    count = np.maximum(count, 1.0)
    variance = xx - x**2 / count
    scale = np.sqrt(variance * variance.T)
    return np.divide(xy - x * x.T / count, scale, out=np.zeros_like(xy), where=scale > 0)


def _redundant(correlation: Array, threshold: float) -> Array:
    """Columns that correlate above the threshold with one that is less correlated with all."""
    total = np.abs(correlation).sum(axis=0).round(8)  # rounded, so that equal columns tie on every machine
    order = np.lexsort([np.arange(len(total)), total])
    dropped = np.empty(len(total), dtype=bool)
    dropped[order] = np.tril((correlation > threshold)[np.ix_(order, order)], k=-1).any(axis=1)
    return dropped
