"""The private names of scikit-learn that this package uses, so that a new release breaks one file at most."""

import functools
from typing import Any

from sklearn.utils import _safe_indexing as take_rows
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils._param_validation import HasMethods, Hidden, Interval, StrOptions, make_constraint, validate_params
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_method_params as take_rows_of_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Mixin of estimators that could have callbacks."""

    def with_callbacks(fit: Any) -> Any:
        """Return what calls ``fit``, from one frame more, as the decorator of scikit-learn does."""

        @functools.wraps(fit)
        def call(*args: Any, **kwargs: Any) -> Any:
            return fit(*args, **kwargs)

        return call


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "StrOptions",
    "accept_molecules",
    "check_sample_weight",
    "is_pandas_na",
    "is_scalar_nan",
    "make_constraint",
    "take_rows",
    "take_rows_of_params",
    "validate_params",
    "with_callbacks",
    "with_index",
]


def accept_molecules(tags: Any, invalid: str) -> None:
    """Say in an estimator's tags that X is one column of molecules."""
    tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    tags.input_tags.allow_nan = invalid == "nan"


def with_index(estimator: Any, rows: Any, X: Any) -> Any:
    """Return rows with the index of a Series where ``set_output`` asks for pandas.

    Before version 1.8, scikit-learn keeps the index of a DataFrame only.
    """
    if (
        hasattr(X, "to_frame")
        and hasattr(X, "index")
        and _get_output_config("transform", estimator)["dense"] == "pandas"
    ):
        import pandas as pd

        return pd.DataFrame(rows, index=X.index)
    return rows
