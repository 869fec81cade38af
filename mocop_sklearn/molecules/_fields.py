"""What is read from a molecule: fields, and the featurisers that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rdkit import Chem

from ._readers import (
    AtomProperty,
    bond_orders,
    bond_stereo,
    bonds_in_rings,
    chirality,
    isotope_shifts,
    smallest_rings,
)

# The 43 elements of the paper's one-hot, in its order; every other element takes the last place.
ELEMENTS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn "
    "Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt Hg Pb"
).split()
_ATOMIC_NUMBERS = tuple(map(Chem.GetPeriodicTable().GetAtomicNumber, ELEMENTS))
_KINDS = Chem.HybridizationType
_HYBRIDIZATIONS = tuple(map(int, (_KINDS.SP, _KINDS.SP2, _KINDS.SP3, _KINDS.SP3D, _KINDS.SP3D2)))
_MAX_BOND_CODES = 2**15 - 1


@dataclass(frozen=True)
class Field:
    """One integer of every atom or bond: what is read, how it is coded and how wide it is.

    Parameters
    ----------
    name : str
    size : int
        Columns of the features. A field of size 1 enters as the number itself, from -128 to 127 for an atom and 0 or 1
        for a bond; a wider one is one-hot.
    read : callable
        ``read(mol)`` returns one integer for every atom in the order of ``mol.GetAtoms()``, or for every bond in the
        order of ``mol.GetBonds()``. A function of a module, so that the field can be pickled. It must not depend on
        the order of the atoms.
    code : tuple of int, optional
        The ``size - 1`` integers that have a column of their own, in the order of the columns; all others share the
        last column. By default an integer is its own column, and the first and the last column take what lies outside.
    only_with : str, default=""
        The reader is called only for a molecule whose SMILES holds one of these characters; elsewhere the integers
        are 0. With "", it is called for every molecule.

    Examples
    --------
    >>> from rdkit import Chem
    >>> from mocop_sklearn.molecules import FEATURIZERS, Featurizer, Field
    >>> def radicals(mol):
    ...     return [atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()]
    >>> rich = FEATURIZERS["rich"]
    >>> mine = Featurizer("rich with radicals", (*rich.atom_fields, Field("radicals", 3, radicals)), rich.bond_fields)
    >>> mine.n_atom_features - rich.n_atom_features
    3
    """

    name: str
    size: int
    read: Callable[[Chem.Mol], Sequence[int]]
    code: tuple[int, ...] | None = None
    only_with: str = ""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"The field {self.name!r} has size {self.size}; it needs at least one column.")
        if not callable(self.read):
            raise TypeError(f"The field {self.name!r} needs a function read(mol), got {type(self.read).__name__}.")
        if self.code is not None and len(self.code) != self.size - 1:
            raise ValueError(
                f"The field {self.name!r} has size {self.size} but a code of {len(self.code)} integers. The size must "
                "be one more, for the column of all other integers."
            )


@dataclass(frozen=True)
class Featurizer:
    """The fields that turn a molecule into numbers.

    Two featurisers with the same fields are equal, hash alike and stay so after pickling.

    Parameters
    ----------
    name : str
    atom_fields : tuple of Field
    bond_fields : tuple of Field, default=()
        Empty: bonds only say which atoms are neighbours.
    """

    name: str
    atom_fields: tuple[Field, ...]
    bond_fields: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        if not self.atom_fields:
            raise ValueError(f"The featuriser {self.name!r} has no atom fields; it needs at least one.")
        for fields in (self.atom_fields, self.bond_fields):
            names = [field.name for field in fields]
            if len(set(names)) < len(names):
                raise ValueError(f"The fields of the featuriser {self.name!r} must have different names, got {names}.")
        n_codes = prod(max(field.size, 2) for field in self.bond_fields)
        if n_codes > _MAX_BOND_CODES:
            raise ValueError(
                f"The bond fields of the featuriser {self.name!r} have {n_codes:,} combinations, more than "
                f"{_MAX_BOND_CODES:,}. Give it fewer or smaller fields."
            )

    @property
    def n_atom_features(self) -> int:
        """Columns of an atom's features."""
        return sum(field.size for field in self.atom_fields)

    @property
    def n_bond_features(self) -> int:
        """Columns of a bond's features, 0 without bond fields."""
        return sum(field.size for field in self.bond_fields)

    def vocabulary(self) -> dict[str, Any]:
        """Return names, sizes and codes of all fields as plain data, as they are written into model files."""
        return {
            "name": self.name,
            "atom_fields": [_described(field) for field in self.atom_fields],
            "bond_fields": [_described(field) for field in self.bond_fields],
        }


def _described(field: Field) -> list[Any]:
    return [field.name, field.size, None if field.code is None else list(field.code)]


_ELEMENT = Field("element", len(ELEMENTS) + 1, AtomProperty("GetAtomicNum"), _ATOMIC_NUMBERS)
_CHARGE = Field("charge", 1, AtomProperty("GetFormalCharge"))
_AROMATIC = Field("aromatic", 1, AtomProperty("GetIsAromatic"))

FEATURIZERS = {
    # arXiv 2305.09790: 75 atom features, no bonds, no chirality
    "paper": Featurizer(
        "paper",
        (
            _ELEMENT,
            Field("degree", 11, AtomProperty("GetDegree")),
            Field("implicit_hydrogens", 7, AtomProperty("GetNumImplicitHs")),
            _CHARGE,
            Field("hybridization", 6, AtomProperty("GetHybridization"), _HYBRIDIZATIONS),
            _AROMATIC,
            Field("explicit_hydrogens", 5, AtomProperty("GetNumExplicitHs")),
        ),
    ),
    # what RDKit tells of a whole molecule in one call, and what tells isotopes and stereoisomers apart
    "rich": Featurizer(
        "rich",
        (
            _ELEMENT,
            Field("degree", 8, AtomProperty("GetDegree")),
            Field("hydrogens", 6, AtomProperty("GetTotalNumHs")),
            _CHARGE,
            Field("isotope", 1, isotope_shifts),
            _AROMATIC,
            Field("ring_size", 7, smallest_rings),
            Field("chirality", 3, chirality, only_with="@"),
        ),
        (
            Field("order", 5, bond_orders),
            Field("ring", 1, bonds_in_rings),
            Field("stereo", 3, bond_stereo, only_with="/\\"),
        ),
    ),
}


def resolve_featurizer(featurizer: str | Featurizer) -> Featurizer:
    """Return the featuriser of a name, or the featuriser itself.

    Raises
    ------
    ValueError
        When no featuriser has that name.
    TypeError
        When ``featurizer`` is neither a name nor a ``Featurizer``.
    """
    if isinstance(featurizer, Featurizer):
        return featurizer
    if not isinstance(featurizer, str):
        raise TypeError(f"featurizer must be a name or a Featurizer, got {type(featurizer).__name__}.")
    if featurizer not in FEATURIZERS:
        raise ValueError(f"featurizer must be one of {sorted(FEATURIZERS)} or a Featurizer, got {featurizer!r}.")
    return FEATURIZERS[featurizer]
