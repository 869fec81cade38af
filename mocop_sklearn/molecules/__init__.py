"""Molecules: how they are parsed, standardised, identified and featurised."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._parse import canonical_smiles, check_molecules

__all__ = ["canonical_smiles", "check_molecules"]
__getattr__, __dir__ = lazy_names(__name__, {"canonical_smiles": "_parse", "check_molecules": "_parse"})
