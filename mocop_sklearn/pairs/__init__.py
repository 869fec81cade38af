"""Corpora: molecules with their profiles, in memory or stored, and how they are built from plates."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._anndata import pairs_from_anndata, pairs_to_anndata
    from ._build import build_pairs
    from ._pairs import PairedProfiles

__all__ = ["PairedProfiles", "build_pairs", "pairs_from_anndata", "pairs_to_anndata"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "PairedProfiles": "_pairs",
        "build_pairs": "_build",
        "pairs_from_anndata": "_anndata",
        "pairs_to_anndata": "_anndata",
    },
)
