"""Molecules: how they are read, standardised and turned into graphs of numbers."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._blocks import BlockScaler
    from ._canonical import canonical_smiles
    from ._fields import FEATURIZERS, Featurizer, Field
    from ._parse import check_molecules
    from ._pyg import to_arrays, to_pyg
    from ._tables import MiniMol, MoleculeDescriptors, MorganCounts

__all__ = [
    "FEATURIZERS",
    "BlockScaler",
    "Featurizer",
    "Field",
    "MiniMol",
    "MoleculeDescriptors",
    "MorganCounts",
    "canonical_smiles",
    "check_molecules",
    "to_arrays",
    "to_pyg",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FEATURIZERS": "_fields",
        "BlockScaler": "_blocks",
        "Featurizer": "_fields",
        "Field": "_fields",
        "MiniMol": "_tables",
        "MoleculeDescriptors": "_tables",
        "MorganCounts": "_tables",
        "canonical_smiles": "_canonical",
        "check_molecules": "_parse",
        "to_arrays": "_pyg",
        "to_pyg": "_pyg",
    },
)
