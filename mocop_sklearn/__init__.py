"""Molecular embeddings learned from cells: MoCoP pretraining as a scikit-learn transformer."""

__version__ = "0.1.0"

from .embedder import MoCoPEmbedder
from .pairs import PairedProfiles

__all__ = ["MoCoPEmbedder", "PairedProfiles", "__version__"]
