"""Profiles: which columns are features, how they are scaled, normalised and filtered."""

from ._features import feature_columns
from ._filter import ProfileFilter
from ._normalizer import ProfileNormalizer
from ._scaler import ProfileScaler

__all__ = ["ProfileFilter", "ProfileNormalizer", "ProfileScaler", "feature_columns"]
