"""Profiles: which columns are features, how they are scaled, normalised and filtered."""

from ._filter import ProfileFilter
from ._normalizer import ProfileNormalizer
from ._scaler import ProfileScaler, feature_columns

__all__ = ["ProfileFilter", "ProfileNormalizer", "ProfileScaler", "feature_columns"]
