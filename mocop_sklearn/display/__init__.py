"""Plots in the style of scikit-learn's Display classes. They need the extra ``plot``."""

from ._domain import DomainDisplay
from ._history import TrainingHistoryDisplay
from ._hits import HitSheetDisplay
from ._map import EmbeddingMapDisplay
from ._plates import PlateDisplay, WellFatesDisplay
from ._retrieval import RetrievalComparisonDisplay, RetrievalDisplay

__all__ = [
    "DomainDisplay",
    "EmbeddingMapDisplay",
    "HitSheetDisplay",
    "PlateDisplay",
    "RetrievalComparisonDisplay",
    "RetrievalDisplay",
    "TrainingHistoryDisplay",
    "WellFatesDisplay",
]
