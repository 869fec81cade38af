"""Molecular embeddings learned from cells: MoCoP pretraining as a scikit-learn transformer."""

__version__ = "0.1.0"

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedder import MoCoPEmbedder
    from .finetune import MoCoPClassifier, MoCoPRegressor
    from .pairs import PairedProfiles

__all__ = ["MoCoPClassifier", "MoCoPEmbedder", "MoCoPRegressor", "PairedProfiles", "__version__"]

_ROOM = {
    "MoCoPClassifier": "finetune",
    "MoCoPEmbedder": "embedder",
    "MoCoPRegressor": "finetune",
    "PairedProfiles": "pairs",
}


def __getattr__(name: str) -> Any:
    """Import the public classes, and torch with them, when they are first asked for."""
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOM[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
