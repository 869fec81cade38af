"""What is read off atoms and bonds: the one place that knows the vocabularies of the featurisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem

# The 43 elements of the paper's one-hot, in its order; every other element is "other".
ELEMENTS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn "
    "Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt Hg Pb"
).split()
OTHER_ELEMENT = len(ELEMENTS)
HYBRIDIZATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")  # code 0 is "other"


def _lookup(size: int, default: int, codes: dict[int, int]) -> np.ndarray:
    table = np.full(size, default, dtype=np.uint8)
    for key, code in codes.items():
        table[key] = code
    return table


_periodic_table = Chem.GetPeriodicTable()
ELEMENT_CODE = _lookup(256, OTHER_ELEMENT, {_periodic_table.GetAtomicNumber(e): i for i, e in enumerate(ELEMENTS)})
HYBRIDIZATION_CODE = _lookup(
    256, 0, {int(getattr(Chem.HybridizationType, h)): i + 1 for i, h in enumerate(HYBRIDIZATIONS)}
)
# GetBondTypeAsDouble × 2 → single, double, triple, aromatic, other
BOND_TYPE_CODE = _lookup(256, 4, {2: 0, 4: 1, 6: 2, 3: 3})
# none/any, Z (or cis), E (or trans)
STEREO_CODE = _lookup(
    256,
    0,
    {
        int(Chem.BondStereo.STEREOZ): 1,
        int(Chem.BondStereo.STEREOCIS): 1,
        int(Chem.BondStereo.STEREOE): 2,
        int(Chem.BondStereo.STEREOTRANS): 2,
    },
)
CHIRALITY_CODE = {"R": 1, "r": 1, "S": 2, "s": 2}
MAX_RING_SIZE = 8  # ring sizes 3 to 8, larger ones count as 8; code 0 is "not in a ring"


@dataclass(frozen=True)
class Field:
    """One integer per atom or bond: ``size`` > 1 is one-hot, ``size`` 1 enters as the number itself."""

    name: str
    size: int


@dataclass(frozen=True)
class Featurizer:
    """The vocabulary of one featuriser: which integers are read off a molecule, and how wide they become."""

    name: str
    atom_fields: tuple[Field, ...]
    bond_fields: tuple[Field, ...] = ()

    @property
    def n_atom_features(self) -> int:
        """Columns of an atom's features."""
        return sum(field.size for field in self.atom_fields)

    @property
    def n_bond_features(self) -> int:
        """Columns of a bond's features, 0 when bonds are not read."""
        return sum(field.size for field in self.bond_fields)

    def vocabulary(self) -> dict[str, Any]:
        """The vocabulary as plain data, as it is written into model files."""
        return {
            "name": self.name,
            "elements": [*ELEMENTS, "other"],
            "hybridizations": ["other", *HYBRIDIZATIONS],
            "atom_fields": [[field.name, field.size] for field in self.atom_fields],
            "bond_fields": [[field.name, field.size] for field in self.bond_fields],
        }


_PAPER_FIELDS = (
    Field("element", OTHER_ELEMENT + 1),
    Field("degree", 11),
    Field("implicit_h", 7),
    Field("charge", 1),
    Field("hybridization", len(HYBRIDIZATIONS) + 1),
    Field("aromatic", 1),
    Field("explicit_h", 5),
)

FEATURIZERS = {
    # arXiv 2305.09790: 75 atom features, no bonds, no chirality
    "paper": Featurizer("paper", _PAPER_FIELDS),
    # adds what tells stereoisomers and ring systems apart
    "rich": Featurizer(
        "rich",
        (*_PAPER_FIELDS, Field("chirality", 3), Field("ring_size", MAX_RING_SIZE - 1)),
        (Field("type", 5), Field("conjugated", 1), Field("ring", 1), Field("stereo", 3)),
    ),
}
