"""The normalisation of plates: centred and scaled on their controls, and whitened on the controls of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.extmath import svd_flip
from sklearn.utils.validation import check_is_fitted

from ..tables._columns import is_metadata
from ..tables._frames import as_frame
from ..utils._arrays import as_array
from ..utils._sklearn import Interval, StrOptions
from ._checks import validate_profiles
from ._moments import blocks, has_values, moments


class PlateStatistics(NamedTuple):
    """Centre and scale of the wells of one plate; NaN where too few values of controls are finite."""

    center: np.ndarray  # (n_features,)
    scale: np.ndarray  # (n_features,)
    n_wells: int

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Scale rows, in double precision."""
        Z = (X.astype(np.float64) - self.center) / self.scale
        Z[~np.isfinite(Z)] = np.nan
        return Z


class Whitening(NamedTuple):
    """A linear map that gives the control wells of one batch unit covariance."""

    center: np.ndarray  # (n_features,)
    scale: np.ndarray  # (n_features,)
    axes: np.ndarray  # (n_axes, n_features), orthonormal rows
    gain: np.ndarray  # (n_axes,)
    rest: float | None  # gain of every direction outside the axes; None: the result is the coordinates on the axes

    def apply(self, Z: np.ndarray) -> np.ndarray:
        """Whiten rows; a missing value counts as the controls' mean, and stays missing unless features become axes."""
        missing = np.isnan(Z)
        Z = np.nan_to_num((Z - self.center) / self.scale)
        on_axes = Z @ self.axes.T  # (n, n_axes)
        if self.rest is None:
            return np.where(missing.all(axis=1, keepdims=True), np.nan, on_axes * self.gain)
        return np.where(missing, np.nan, self.rest * Z + (on_axes * (self.gain - self.rest)) @ self.axes)


class _Wells(NamedTuple):
    """Metadata of the rows of one call."""

    rows: dict[Hashable, np.ndarray]  # plate → its rows
    controls: np.ndarray  # (n,) which rows are the reference
    batch_of: dict[Hashable, Hashable]  # plate → batch, also of the plates in fit


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
        Features alone, as ``feature_names_in_``.

    Notes
    -----
    The methods are those of pycytominer's ``normalize``: robustize, mad_robustize, standardize and spherize. It
    divides by ``epsilon`` where the median absolute deviation is 0, and refuses to sphere constant columns and
    linearly dependent ones.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.profiles import ProfileNormalizer
    >>> P = np.array([[0.0], [1.0], [2.0], [9.0], [10.0], [14.0], [18.0], [22.0]])
    >>> plates = ["A"] * 4 + ["B"] * 4
    >>> dmso = np.array([True, True, True, False] * 2)
    >>> normalizer = ProfileNormalizer().fit(P, plates=plates, controls=dmso)
    >>> normalizer.transform(P, plates=plates).ravel().tolist()
    [-1.0, 0.0, 1.0, 8.0, -1.0, 0.0, 1.0, 2.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"robust", "mad", "standardize"})],
        "whiten": ["boolean", StrOptions({"ZCA", "ZCA-cor", "PCA", "PCA-cor"})],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "whiten_epsilon": [Interval(Real, 0, None, closed="left")],
        "on_missing": [StrOptions({"raise", "plate", "drop"})],
        "min_controls": [Interval(Integral, 1, None, closed="left")],
        "plate_column": [str, "array-like", None],
        "control_column": [str, None],
        "batch_column": [str, "array-like", None],
        "control_label": [str, "array-like", None],
    }
    # Metadata is routed by default, so that nobody has to call set_fit_request.
    __metadata_request__fit: ClassVar = {"plates": True, "controls": True, "batches": True}
    __metadata_request__transform: ClassVar = {"plates": True, "controls": True, "batches": True}

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
            Of a table, only the columns that are features by :func:`feature_columns`.
        y : ignored
        plates : array-like of shape (n_samples,) or (n_samples, n_keys), optional
            Plate of each well; several columns are an id together. Takes precedence over ``plate_column``.
        controls : array-like of bool, shape (n_samples,), optional
            Control wells (or labels, see ``control_label``). Takes precedence over ``control_column``.
        batches : array-like of shape (n_samples,) or (n_samples, n_keys), optional
            Batch of each well, for ``whiten``. Takes precedence over ``batch_column``.
        """
        self._validate_params()
        X, wells = self._read(X, plates, controls, batches, reset=True)
        self.statistics_, self.whitenings_ = self._learn(X, wells, {}, {})
        self.n_dropped_ = sum(len(rows) for plate, rows in wells.rows.items() if plate not in self.statistics_)
        self._batch_of = wells.batch_of
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, plates: Any = None, controls: Any = None, batches: Any = None
    ) -> np.ndarray:
        """Fit, and normalise the same rows; see ``fit`` and ``transform``."""
        metadata = {"plates": plates, "controls": controls, "batches": batches}
        return self.fit(X, y, **metadata).transform(X, **metadata)

    def transform(self, X: Any, *, plates: Any = None, controls: Any = None, batches: Any = None) -> np.ndarray:
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
        X, wells = self._read(X, plates, controls, batches, reset=False)
        statistics, whitenings = self._learn(X, wells, self.statistics_, self.whitenings_)
        out = np.full_like(X, np.nan)
        dropped = {}
        for plate, rows in wells.rows.items():
            if plate not in statistics:
                dropped[plate] = len(rows)
                continue
            for part in blocks(len(rows), X.shape[1]):
                Z = statistics[plate].apply(X[rows[part]])
                out[rows[part]] = whitenings[wells.batch_of[plate]].apply(Z) if self.whiten else Z
        if dropped:
            warnings.warn(
                f"{sum(dropped.values())} rows became NaN: {len(dropped)} plates have fewer than "
                f"min_controls={self.min_controls} control wells: {[*dropped][:10]}.",
                stacklevel=3,
            )
        return out

    def _learn(
        self,
        X: np.ndarray,
        wells: _Wells,
        statistics: dict[Hashable, PlateStatistics],
        whitenings: dict[Hashable, Whitening],
    ) -> tuple[dict[Hashable, PlateStatistics], dict[Hashable, Whitening]]:
        """Statistics and whitenings as given, and those of the other plates and batches."""
        statistics, whitenings = statistics.copy(), whitenings.copy()
        usable = has_values(X)
        short: list[str] = []
        scaled: dict[Hashable, list[np.ndarray]] = {}  # batch → its controls
        for plate, rows in wells.rows.items():
            if plate in statistics:
                continue
            rows = rows[usable[rows]]
            reference = rows[wells.controls[rows]]
            if len(reference) < self.min_controls and self.on_missing == "plate":
                reference = rows
            if len(reference) < self.min_controls:
                short.append(f"{plate!r} (n_samples={len(reference)})")
                continue
            statistics[plate] = _plate_statistics(X, reference, self.method, self.epsilon, self.min_controls)
            if self.whiten and (batch := wells.batch_of[plate]) not in whitenings:
                scaled.setdefault(batch, []).append(statistics[plate].apply(X[reference]))
        if short and self.on_missing != "drop":
            kind, remedy = ("wells", "'drop'") if self.on_missing == "plate" else ("control wells", "'plate' or 'drop'")
            raise ValueError(
                f"{len(short)} plate(s) have fewer than min_controls={self.min_controls} {kind}: "
                f"{', '.join(short[:10])}. A plate that was not in fit needs its control wells, marked by the metadata "
                f"controls or control_column, among the rows of the call; otherwise set on_missing to {remedy}."
            )
        method = self.whiten if isinstance(self.whiten, str) else "ZCA-cor"
        for batch, parts in scaled.items():
            whitenings[batch] = _whitening(np.concatenate(parts), method, self.whiten_epsilon)
        return statistics, whitenings

    def _read(self, X: Any, plates: Any, controls: Any, batches: Any, *, reset: bool) -> tuple[np.ndarray, _Wells]:
        """Check all input, and group the rows by plate."""
        X = as_frame(X)
        matrix = validate_profiles(self, X, reset=reset)
        n = len(matrix)
        plates = self._column(X, "plates", "plate_column") if plates is None else plates
        controls = self._column(X, "controls", "control_column", required=reset) if controls is None else controls
        if not self.whiten:
            batches = None
        elif batches is None:
            batches = self._column(X, "batches", "batch_column")
        batch_of = {} if reset else self._batch_of
        for name, values, fitted in (("plates", plates, batch_of.keys()), ("batches", batches, batch_of.values())):
            if not reset and (values is None) != (None in fitted):
                fit, here = ("with", "without") if values is None else ("without", "with")
                raise ValueError(
                    f"fit was called {fit} {name} and transform {here}: pass {name}= to both or to neither. Pipelines "
                    "pass them on after sklearn.set_config(enable_metadata_routing=True); a DataFrame with Metadata_* "
                    "columns carries them along."
                )
        rows, batch_of = _group_by_plate(_ids(plates, n, "plates"), _ids(batches, n, "batches"), batch_of)
        if str(self.whiten).startswith("PCA") and len(set(batch_of.values())) > 1:
            raise ValueError(
                f"whiten={self.whiten!r} has other axes in every batch, and there are batches "
                f"{[*dict.fromkeys(batch_of.values())][:10]}: choose 'ZCA' or 'ZCA-cor', or leave out batches."
            )
        if reset:
            self._uses_controls = controls is not None
        marked = np.full(n, not self._uses_controls) if controls is None else _flags(controls, n, self.control_label)
        return matrix, _Wells(rows, marked, batch_of)

    def _column(self, X: Any, argument: str, parameter: str, required: bool = True) -> Any:
        """Return a metadata column of a table of wells, or several side by side; None when X is not such a table."""
        wanted = getattr(self, parameter)
        columns = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if not all(is_metadata(c) for c in columns):
            raise ValueError(
                f"{parameter} must name metadata (Metadata_*), because other columns are features; got {wanted!r}."
            )
        metadata = [c for c in map(str, getattr(X, "columns", ())) if is_metadata(c)]
        absent = [c for c in columns if c not in metadata]
        if absent and metadata and required:
            raise ValueError(
                f"X has no column {absent[0]!r} among its metadata ({metadata[:10]}): pass {argument}=, or set "
                f"{parameter} to the name of a column, or to None to work without {argument}."
            )
        if absent or not columns:
            return None
        return np.column_stack([np.asarray(X[c], dtype=object) for c in columns])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
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


def _ids(values: Any, n_rows: int, name: str) -> list[Hashable]:
    """One hashable id per row, a tuple where there are several columns; None without values."""
    if values is None:
        return [None] * n_rows
    array = as_array(values)
    if array.ndim not in (1, 2) or len(array) != n_rows:
        raise ValueError(f"{name} has shape {array.shape} but X has {n_rows} rows: pass one id per row.")
    keys = [tuple(row) for row in array.reshape(n_rows, -1).tolist()]
    for row, key in enumerate(keys):
        if any(part is None or type(part).__name__ == "NAType" or part != part for part in key):
            raise ValueError(
                f"{name} has no id in row {row} ({', '.join(map(repr, key))}): fill it in or leave the row out."
            )
    return [key if len(key) > 1 else key[0] for key in keys]


def _group_by_plate(
    plates: list[Hashable], batches: list[Hashable], batch_of: dict[Hashable, Hashable]
) -> tuple[dict[Hashable, np.ndarray], dict[Hashable, Hashable]]:
    """Rows of every plate, and ``batch_of`` completed by plates that it does not hold."""
    rows: dict[Hashable, list[int]] = {}
    batch_of = batch_of.copy()
    for row, (plate, batch) in enumerate(zip(plates, batches, strict=True)):
        rows.setdefault(plate, []).append(row)
        if batch_of.setdefault(plate, batch) != batch:
            raise ValueError(
                f"plate {plate!r} occurs in the batches {batch_of[plate]!r} and {batch!r}: make the ids of plates "
                'unique, as with plate_column=["Metadata_Batch", "Metadata_Plate"].'
            )
    return {plate: np.array(members) for plate, members in rows.items()}, batch_of


def _flags(controls: Any, n_rows: int, label: Any) -> np.ndarray:
    """Which rows are control wells."""
    array = as_array(controls)
    if array.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(f"controls has shape {array.shape} but X has {n_rows} rows: pass one value per row.")
    values = array.ravel().tolist()
    if label is not None:
        labels = {label} if isinstance(label, str) else set(label)
        return np.array([value in labels for value in values])
    for row, value in enumerate(values):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(
                f"controls must be boolean, but row {row} holds {value!r}: use == to make it so, or name the values "
                "that mark a control well with control_label=."
            )
    return np.array(values)


def _plate_statistics(
    X: np.ndarray, rows: np.ndarray, method: str, epsilon: float, min_controls: int
) -> PlateStatistics:
    """Centre and scale of the columns over some rows."""
    center, scale = np.empty((2, X.shape[1]))
    for columns in blocks(X.shape[1], len(rows)):
        block = X[rows, columns].astype(np.float64)
        block[~np.isfinite(block)] = np.nan
        count = len(rows) - np.isnan(block).sum(axis=0)
        if method == "standardize":
            _, middle, variance = moments(block)
            spread = np.sqrt(variance)
        else:
            block.sort(axis=0)  # NaN last
            low, middle, high = (_quantile(block, count, q) for q in (0.25, 0.5, 0.75))
            spread = high - low
            if method == "mad":
                spread = 1.4826 * _quantile(np.sort(np.abs(block - middle), axis=0), count, 0.5)
        spread = _one_for_zero(spread, middle) + (epsilon if method == "mad" else 0.0)
        center[columns], scale[columns] = np.where(count >= min_controls, [middle, spread], np.nan)
    return PlateStatistics(center, scale, len(rows))


def _one_for_zero(spread: np.ndarray, center: np.ndarray) -> np.ndarray:
    """A spread of 0 counts as 1; below this share of the values it is rounding."""
    return np.where(spread <= 10 * np.finfo(np.float64).eps * np.abs(center), 1.0, spread)


def _quantile(ordered: np.ndarray, count: np.ndarray, q: float) -> np.ndarray:
    """Quantile of sorted columns, of which the first ``count`` values are known, by linear interpolation."""
    last = np.maximum(count - 1, 0)
    position = last * q
    low = position.astype(np.intp)
    below, above = np.take_along_axis(ordered, np.stack([low, np.minimum(low + 1, last)]), axis=0)
    return below + (above - below) * (position - low)


def _whitening(Z: np.ndarray, method: str, epsilon: float) -> Whitening:
    """Whitening on the rows of Z: W = √(n - 1) V (S + ε)⁻¹ Vᵀ for Z = U S Vᵀ; PCA leaves out the last Vᵀ.

    Kessy, Lewin and Strimmer (2018), "Optimal whitening and decorrelation". Singular values past the rank count as
    the last one before it, which for ZCA leaves one factor for the whole null space: V is never completed.
    """
    n, d = Z.shape
    _, center, variance = moments(Z)
    scale = _one_for_zero(np.sqrt(variance), center) if method.endswith("-cor") else np.ones(d)
    principal = method.startswith("PCA")
    _, s, axes = np.linalg.svd(np.nan_to_num((Z - center) / scale), full_matrices=principal and n < d)
    rank = int((s > s[0] * max(n, d) * np.finfo(np.float64).eps).sum())
    gain = np.sqrt(n - 1) / (s[np.minimum(np.arange(d), rank - 1)] + epsilon) if rank else np.ones(d)
    if principal:
        return Whitening(center, scale, svd_flip(None, axes, u_based_decision=False)[1], gain, None)
    return Whitening(center, scale, axes[:rank], gain[:rank], float(gain[-1]))
