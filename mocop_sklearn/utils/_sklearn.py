"""The private names of scikit-learn that this package uses, so that a new release breaks one file at most."""

from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils._param_validation import Hidden, Interval, StrOptions, make_constraint, validate_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "Hidden",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "is_pandas_na",
    "is_scalar_nan",
    "make_constraint",
    "validate_params",
]
