"""Molecules: how they are read, standardised and turned into graphs of numbers."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._blocks import BlockScaler
    from ._canonical import canonical_smiles
    from ._fields import FEATURIZERS, Featurizer, Field
    from ._fingerprints import AtomPairCounts, MorganCounts, TorsionCounts
    from ._parse import check_molecules
    from ._pyg import to_arrays, to_pyg
    from ._tables import MiniMol, MoleculeDescriptors

__all__ = [
    "FEATURIZERS",
    "AtomPairCounts",
    "BlockScaler",
    "Featurizer",
    "Field",
    "MiniMol",
    "MoleculeDescriptors",
    "MorganCounts",
    "TorsionCounts",
    "canonical_smiles",
    "check_molecules",
    "to_arrays",
    "to_pyg",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FEATURIZERS": "_fields",
        "AtomPairCounts": "_fingerprints",
        "BlockScaler": "_blocks",
        "Featurizer": "_fields",
        "Field": "_fields",
        "MiniMol": "_tables",
        "MoleculeDescriptors": "_tables",
        "MorganCounts": "_fingerprints",
        "TorsionCounts": "_fingerprints",
        "canonical_smiles": "_canonical",
        "check_molecules": "_parse",
        "to_arrays": "_pyg",
        "to_pyg": "_pyg",
    },
)
