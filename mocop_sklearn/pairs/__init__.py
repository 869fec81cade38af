"""Corpora: molecules with their profiles, in memory or stored, and how they are built from plates."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._build import build_pairs
    from ._pairs import PairedProfiles

__all__ = ["PairedProfiles", "build_pairs"]
__getattr__, __dir__ = lazy_names(__name__, {"PairedProfiles": "_pairs", "build_pairs": "_build"})
