"""Molecular embeddings learned from cells: MoCoP pretraining as a scikit-learn transformer."""

from typing import TYPE_CHECKING

from ._version import __version__
from .utils._lazy import lazy_names

if TYPE_CHECKING:
    from .classifier import MoCoPClassifier
    from .embedder import MoCoPEmbedder
    from .model_file import list_models
    from .pairs import PairedProfiles, build_pairs
    from .pipeline import SkipInvalid
    from .regressor import MoCoPRegressor

__all__ = [
    "MoCoPClassifier",
    "MoCoPEmbedder",
    "MoCoPRegressor",
    "PairedProfiles",
    "SkipInvalid",
    "__version__",
    "build_pairs",
    "list_models",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MoCoPClassifier": "classifier",
        "MoCoPEmbedder": "embedder",
        "MoCoPRegressor": "regressor",
        "PairedProfiles": "pairs",
        "SkipInvalid": "pipeline",
        "build_pairs": "pairs",
        "list_models": "model_file",
    },
)
