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
    fitted plate need no controls. Splitting by compound puts all DMSO wells on one side: normalise before
    splitting, or give the controls to both sides. Only controls enter the statistics, so that leaks no treatment.

    Without ``plates`` all rows are one plate; without ``controls`` all wells are the reference. Where a
    plate holds few conditions the mean of its wells *is* the signal and goes with it: recall at 10 fell
    from 0.378 to 0.153 in a published comparison. Prefer controls.

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
                stacklevel=3,
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
            counts = _listing([f"{plate!r} (n_samples={count})" for plate, count in short.items()])
            raise ValueError(
                f"{len(short)} plate(s) have fewer than min_controls={self.min_controls} {wells}: {counts}. A plate "
                "that was not in fit needs its control wells, marked by controls= or control_column, among the rows "
                f"of the call; otherwise choose on_missing={'' if wells == 'wells' else 'plate or '}'drop'."
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
        method = "ZCA-cor" if self.whiten is True else str(self.whiten)
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

    def _read(
        self, X: Any, plates: Any, controls: Any, batches: Any, fitted: _Wells | None
    ) -> tuple[Array, _Wells]:
        """Check everything that comes in, and group the rows by plate."""
        matrix = _matrix(self, X, reset=fitted is None)
        n = len(matrix)
        plates = _column(X, self.plate_column, "plates") if plates is None else plates
        controls = _column(X, self.control_column, "controls", fitted is None) if controls is None else controls
        if not self.whiten:
            batches = None
        elif batches is None:
            batches = _column(X, self.batch_column, "batches")
        given = {"plates": plates is not None, "controls": controls is not None, "batches": batches is not None}
        for name in ("plates", "batches"):
            if fitted is not None and given[name] != fitted.given[name]:
                fit, here = ("with", "without") if fitted.given[name] else ("without", "with")
                raise ValueError(
                    f"fit was called {fit} {name} and transform {here}: pass {name}= to both or to neither. Pipelines "
                    "pass them on after sklearn.set_config(enable_metadata_routing=True); a DataFrame with Metadata_* "
                    "columns carries them along."
                )
        plate_ids = [None] * n if plates is None else _ids(plates, n, "plates")
        batch_ids = [None] * n if batches is None else _ids(batches, n, "batches")
        batch_of = {} if fitted is None else dict(fitted.batch_of)
        for plate, batch in zip(plate_ids, batch_ids, strict=True):
            if batch_of.setdefault(plate, batch) != batch:
                raise ValueError(
                    f"plate {plate!r} occurs in the batches {batch_of[plate]!r} and {batch!r}: make the ids of plates "
                    'unique, as with plate_column=["Metadata_Batch", "Metadata_Plate"].'
                )
        if controls is not None:
            marked = _flags(controls, n, self.control_label)
        else:  # all wells, unless fit was told which
            marked = None if fitted is None or not fitted.given["controls"] else np.zeros(n, dtype=bool)
        return matrix, _Wells(_rows_by_id(plate_ids), marked, batch_of, given)

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
    reported under the first rule that drops it. Fit on training rows only, after ``ProfileNormalizer``. Of each
    group of columns that are correlated, those that are more correlated with all the others go.
    The defaults are the rules of the MoCoP paper except for the names, which need a DataFrame (or ``set_output``
    on the step before): ``ProfileFilter.paper()`` has those too.

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
        Drop columns in which the second most common value is rarer than this share of the most common one.
    unique_cut : float, default=None
        Drop columns with fewer different values than this share of the rows.
    outlier_cutoff : float, default=None
        Drop columns with a larger absolute value; an infinity is larger than any.
    correlation_threshold : float, default=None
        Of two columns with a Pearson correlation above it (the sign counts) drop the one whose absolute
        correlations with all columns still there sum to more; of equals, the later one.

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
        names = getattr(self, "feature_names_in_", None)
        if len(self.blocklist) and names is None:
            raise ValueError(
                "blocklist goes by the names of columns, and X has none: pass a DataFrame, call "
                'set_output(transform="pandas") on the step before, or set blocklist=().'
            )
        blocked = [self.blocklist] if isinstance(self.blocklist, str) else self.blocklist
        missing, std, peak = _column_statistics(X)
        masks = {
            "blocklist": np.array([any(part in name for part in blocked) for name in names if len(blocked)]),
        }
        return self

    def _get_support_mask(self) -> Array:
        check_is_fitted(self)
        return self.support_
