"""Molecules: how they are read, standardised and turned into graphs of numbers."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._fields import FEATURIZERS, Featurizer, Field
    from ._parse import canonical_smiles, check_molecules
    from ._pyg import to_pyg

__all__ = ["FEATURIZERS", "Featurizer", "Field", "canonical_smiles", "check_molecules", "to_pyg"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FEATURIZERS": "_fields",
        "Featurizer": "_fields",
        "Field": "_fields",
        "canonical_smiles": "_parse",
        "check_molecules": "_parse",
        "to_pyg": "_pyg",
    },
)
