"""``SkipInvalid``: an estimator that gives no answer for a row without a molecule."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base._callbacks import handed_on
from .utils._rows import in_place, index_of, invalid_rows, places_among_valid, valid_part
from .utils._sklearn import (
    CallbackSupportMixin,
    HasMethods,
    StrOptions,
    take_rows,
    take_rows_of_params,
    with_callbacks,
)

# The methods of the inner estimator that may be given metadata.
_ROUTED = (
    "fit",
    "partial_fit",
    "fit_transform",
    "fit_predict",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score",
)


def _inner_has(method: str) -> Callable[[SkipInvalid], bool]:
    """Condition for ``available_if``: the inner estimator has this method."""

    def check(self: SkipInvalid) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)  # its AttributeError is the explanation
        return True

    return check


class SkipInvalid(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Estimator that leaves invalid rows out of ``fit`` and gives no answer for them.

    A row of X is invalid when every value in it is missing (NaN, None or pandas' NA), as in the rows that
    ``MoCoPEmbedder(invalid="nan")`` returns for values that are not molecules. Forests and gradient boosting accept
    such rows and predict a class with confidence; other estimators refuse the whole of X.

    Parameters
    ----------
    estimator : estimator
        A classifier, regressor, transformer, clusterer or outlier detector. It sees the valid rows only.
    how : {"all", "any"}, default="all"
        A row is invalid when all its values are missing, or when any is. ``"all"`` leaves a row with some values
        missing to the inner estimator, which may impute them or refuse them. ``"any"`` is for an embedding beside
        other columns, as from a ``FeatureUnion`` or a ``ColumnTransformer``, for these may have a number in the row.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone of ``estimator``.
    classes_ : ndarray of shape (n_classes,)
        Where the inner estimator has it.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the inner estimator has it.
    offset_ : float
        Of an outlier detector.

    See Also
    --------
    mocop_sklearn.MoCoPEmbedder : Returns rows of NaN with ``invalid="nan"``.

    Notes
    -----
    - Invalid rows are NaN in all that comes back. Where integers and booleans meet an invalid row, the array becomes
      one of float64; labels of strings and other objects become an array of objects with None. Without an invalid row,
      the answer is that of the inner estimator, type included.
    - ``y``, ``sample_weight`` and other metadata with one entry per row lose the same rows as X.
    - ``score`` leaves invalid rows out, and so do cross-validation and searches with their default scoring. A scorer by
      name, as ``scoring="roc_auc"``, sees the NaN and fails.
    - This estimator belongs around all others that follow the embedder, as ``SkipInvalid(make_pipeline(PCA(), SVC()))``
      and ``SkipInvalid(CalibratedClassifierCV(SVC()))``. An imputer before it would fill the rows. Calibration, voting
      and stacking around it would take the NaN for scores, and turn it into a class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from mocop_sklearn import SkipInvalid
    >>> X, y = [[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.9, 0.2]], [0, 1, 0, 1]
    >>> unknown = [[1.0, 0.1], [np.nan, np.nan]]
    >>> RandomForestClassifier(random_state=0).fit(X, y).predict(unknown)
    array([1, 1])
    >>> SkipInvalid(RandomForestClassifier(random_state=0)).fit(X, y).predict(unknown)
    array([ 1., nan])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit"])],
        "how": [StrOptions({"all", "any"})],
    }
    # The weights are the inner estimator's: it is there that they are requested.
    __metadata_request__fit: ClassVar = {"sample_weight": UNUSED}
    __metadata_request__partial_fit: ClassVar = {"sample_weight": UNUSED}
    __metadata_request__score: ClassVar = {"sample_weight": UNUSED}

    def __init__(self, estimator: Any, *, how: str = "all") -> None:
        self.estimator = estimator
        self.how = how

    # -- fitting ------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any) -> Self:
        """Fit a clone of the estimator to the valid rows.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
            Invalid rows are left out, with one warning.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs), default=None
        sample_weight : array-like, shape (n_samples,), default=None
        **params
            Further metadata for ``fit`` of the inner estimator. Whatever has n_samples entries loses the same rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When every row of X is invalid.
        """
        self._fit("fit", X, y, params | {"sample_weight": sample_weight})
        return self

    @available_if(_inner_has("partial_fit"))
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any) -> Self:
        """Continue to fit, on the valid rows of a batch.

        Parameters
        ----------
        X, y, sample_weight, **params
            As in ``fit``. ``classes`` is handed on as it is.

        Returns
        -------
        self
        """
        started = getattr(self, "estimator_", None)
        self._fit("partial_fit", X, y, params | {"sample_weight": sample_weight}, started)
        return self

    @available_if(_inner_has("fit_transform"))
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to the valid rows and transform them.

        Parameters
        ----------
        X, y, **params
            As in ``fit``.

        Returns
        -------
        array, sparse matrix or DataFrame, shape (n_samples, n_features_out)
            As from ``transform``.
        """
        return self._fit("fit_transform", X, y, params)

    @available_if(_inner_has("fit_predict"))
    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to the valid rows and predict their labels.

        Parameters
        ----------
        X, y, **params
            As in ``fit``.

        Returns
        -------
        ndarray, shape (n_samples,)
            As from ``predict``.
        """
        return self._fit("fit_predict", X, y, params)

    def _fit(self, method: str, X: Any, y: Any, params: dict[str, Any], started: Any = None) -> Any:
        """Call a method that fits, on the valid rows; return its answer for all rows, if it gives one."""
        self._validate_params()
        estimator = clone(self.estimator) if started is None else started
        params = self._route(method, params)
        invalid = invalid_rows(X, self.how)
        index = index_of(X)
        if invalid.any():
            message = self._message(invalid)
            if invalid.all():
                raise ValueError(f"{message}. {type(estimator).__name__} needs at least one valid row for {method}.")
            warnings.warn(f"{message} and are left out of {method}: {_numbers(invalid)}.", UserWarning, stacklevel=3)
            X, y, params = valid_part(~invalid, X, y, params)
        answer = self._fit_inner(estimator, method, X, y, params)
        self.estimator_ = estimator
        self._valid_row = take_rows(indexable(X)[0], [0])
        if answer is estimator or not invalid.any():
            return answer
        return in_place(answer, places_among_valid(invalid), index)

    @with_callbacks
    def _fit_inner(self, estimator: Any, method: str, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Call a method that fits, and hand the callbacks of scikit-learn on."""
        with handed_on(self, estimator, X, y):
            return getattr(estimator, method)(X, y, **params)

    # -- answers ------------------------------------------------------------------------------

    @available_if(_inner_has("predict"))
    def predict(self, X: Any, **params: Any) -> Any:
        """Predict labels or numbers.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
        **params
            For ``predict`` of the inner estimator, as ``return_std``. With ``return_cov``, the columns of invalid rows
            are NaN, too.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs), or a tuple of arrays
            NaN for invalid rows; None where the labels are strings or other objects.
        """
        answer = self._answer("predict", X, params)
        invalid = invalid_rows(X, self.how)
        if params.get("return_cov") and invalid.any():
            mean, covariance = answer
            return mean, in_place(covariance.swapaxes(0, 1), places_among_valid(invalid), None).swapaxes(0, 1)
        return answer

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X: Any, **params: Any) -> Any:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
        **params
            For ``predict_proba`` of the inner estimator.

        Returns
        -------
        ndarray of float, shape (n_samples, n_classes), or a list of them, one per output
            NaN for invalid rows.
        """
        return self._answer("predict_proba", X, params)

    @available_if(_inner_has("predict_log_proba"))
    def predict_log_proba(self, X: Any, **params: Any) -> Any:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
        **params
            For ``predict_log_proba`` of the inner estimator.

        Returns
        -------
        ndarray of float, shape (n_samples, n_classes), or a list of them, one per output
            NaN for invalid rows.
        """
        return self._answer("predict_log_proba", X, params)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: Any, **params: Any) -> Any:
        """Compute the decision function.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
        **params
            For ``decision_function`` of the inner estimator.

        Returns
        -------
        ndarray of float, shape (n_samples,) or (n_samples, n_classes)
            NaN for invalid rows.
        """
        return self._answer("decision_function", X, params)

    @available_if(_inner_has("score_samples"))
    def score_samples(self, X: Any) -> Any:
        """Compute the score of each row, as a log-density.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float, shape (n_samples,)
            NaN for invalid rows.
        """
        return self._answer("score_samples", X, {})

    @available_if(_inner_has("transform"))
    def transform(self, X: Any, **params: Any) -> Any:
        """Transform X.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
        **params
            For ``transform`` of the inner estimator.

        Returns
        -------
        array, sparse matrix or DataFrame, shape (n_samples, n_features_out)
            NaN for invalid rows. A DataFrame has the index of X, if X has one.
        """
        return self._answer("transform", X, params)

    @available_if(_inner_has("score"))
    def score(self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any) -> float:
        """Score the inner estimator on the valid rows.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix, shape (n_samples, n_features)
            Invalid rows are left out, with one warning.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs), default=None
        sample_weight : array-like, shape (n_samples,), default=None
        **params
            Further metadata for ``score`` of the inner estimator.

        Returns
        -------
        float
            Its meaning is that of ``score`` of the inner estimator.

        Raises
        ------
        ValueError
            When every row of X is invalid.
        """
        check_is_fitted(self)
        params = self._route("score", params | {"sample_weight": sample_weight})
        invalid = invalid_rows(X, self.how)
        if invalid.any():
            message = self._message(invalid)
            if invalid.all():
                raise ValueError(f"{message}, so that there is nothing to score.")
            warnings.warn(f"{message} and are left out of the score: {_numbers(invalid)}.", UserWarning, stacklevel=2)
            X, y, params = valid_part(~invalid, X, y, params)
        return self.estimator_.score(X, y, **params)

    def _answer(self, method: str, X: Any, params: dict[str, Any]) -> Any:
        """Call a method that answers row by row, on the valid rows; return its answer for all rows."""
        check_is_fitted(self)
        params = self._route(method, params)
        ask = getattr(self.estimator_, method)
        invalid = invalid_rows(X, self.how)
        if not invalid.any():
            return ask(X, **params)
        validate_data(self, X, reset=False, skip_check_array=True)
        index = index_of(X)
        if invalid.all():
            # Any valid row shows the shape and the type of an answer.
            part, params = self._valid_row, take_rows_of_params(X, params, [0])
        else:
            part, _, params = valid_part(~invalid, X, None, params)
        return in_place(ask(part, **params), places_among_valid(invalid), index)

    # -- the scikit-learn contract ------------------------------------------------------------

    @property
    def classes_(self) -> Any:
        """The classes of the inner estimator."""
        return self.estimator_.classes_

    @property
    def n_features_in_(self) -> int:
        """The number of columns seen in ``fit``."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """The names of the columns seen in ``fit``."""
        return self.estimator_.feature_names_in_

    @property
    def offset_(self) -> Any:
        """What an outlier detector subtracts from the scores of rows to decide."""
        return self.estimator_.offset_

    @available_if(_inner_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            As in ``get_feature_names_out`` of the inner estimator.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    @available_if(_inner_has("set_output"))
    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container that ``transform`` returns, in the inner estimator.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            None leaves it as it is.

        Returns
        -------
        self
        """
        for estimator in (self.estimator, getattr(self, "estimator_", None)):
            if estimator is not None:
                estimator.set_output(transform=transform)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: each method passes to the inner estimator what that requests.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping()
        for method in _ROUTED:
            mapping.add(caller=method, callee=method)
        return MetadataRouter(owner=type(self).__name__).add(estimator=self.estimator, method_mapping=mapping)

    def _route(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the metadata for a method of the inner estimator; all of it without scikit-learn's routing."""
        given = {name: value for name, value in params.items() if value is not None}
        if not get_config()["enable_metadata_routing"]:
            return given
        return dict(process_routing(self, method, **given)["estimator"][method])

    def _message(self, invalid: np.ndarray) -> str:
        what = "only missing values" if self.how == "all" else "missing values"
        return f"{invalid.sum()} of {len(invalid)} rows of X hold {what}"

    def __sklearn_tags__(self) -> Any:
        tags = get_tags(self.estimator)
        tags.input_tags.allow_nan = True
        tags.array_api_support = False
        tags.requires_fit = True
        return tags


def _numbers(invalid: np.ndarray) -> str:
    """The numbers of the first ten invalid rows, for a message."""
    rows = np.flatnonzero(invalid)
    noun = "row" if len(rows) == 1 else "rows"
    return f"{noun} {', '.join(map(str, rows[:10]))}{', ...' * (len(rows) > 10)}"
