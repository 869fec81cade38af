"""Types of atoms, recognised by a hash that RDKit computes for a whole molecule in one call."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcExactMolWt, GetConnectivityInvariants

from ._readers import atoms_of

PROPERTIES = ("GetAtomicNum", "GetTotalNumHs", "GetFormalCharge")
_PERIODIC_TABLE = Chem.GetPeriodicTable()
_HYDROGEN = _PERIODIC_TABLE.GetMostCommonIsotopeMass(1)
_ELECTRON = 0.00054857991
_PER_CHARGE = 1e6  # added to the masses of atoms and of molecules; more than any molecule here weighs
_TOLERANCE = 1e-3


class AtomTypes:
    """A table from the connectivity invariant of an atom to its element, hydrogens and charge.

    The invariant is a hash of 32 bits of the element, the degree, the number of hydrogens, the charge, the isotope and
    whether the atom is in a ring. An atom is looked at once, when its invariant is new; from then on the table knows
    it. Two kinds of atoms may have the same hash: an isotope whose mass is within one dalton of the element's mean
    (carbon-13) always does, others do by chance. No wrong row is returned for them, because the rows of a molecule must
    add up to its exact mass, which tells elements, hydrogens and isotopes apart, and to its charge. A molecule whose
    rows do not is not read. The degree and the rings are not taken from the table.
    """

    def __init__(self) -> None:
        self._weight: dict[int, float] = {}
        self._rows: dict[int, tuple[int, ...]] = {}
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None
        self._lock = Lock()

    def read(self, mol: Chem.Mol, smiles: str) -> Sequence[int] | None:
        """Return the type of each atom, or None when they cannot be told: isotopes, or two kinds with one hash.

        Parameters
        ----------
        mol : Mol
        smiles : str
            What ``mol`` was read from: without brackets it has no charges.
        """
        types: Sequence[int] = GetConnectivityInvariants(mol)
        try:
            weight = sum(map(self._weight.__getitem__, types))
        except KeyError:
            if not self._learn(mol, types):
                return None
            weight = sum(map(self._weight.__getitem__, types))
        expected = CalcExactMolWt(mol)
        if "[" in smiles:
            expected += _PER_CHARGE * Chem.GetFormalCharge(mol)
        return types if abs(weight - expected) < _TOLERANCE else None

    def _learn(self, mol: Chem.Mol, types: Sequence[int]) -> bool:
        """Look at the atoms of new types; isotopes are not learned, because their hash may be that of the element."""
        atoms = list(atoms_of(mol))
        if any(map(Chem.Atom.GetIsotope, atoms)):
            return False
        with self._lock:
            for type_, atom in zip(types, atoms, strict=True):
                if type_ not in self._weight:
                    element, hydrogens, charge = row = tuple(getattr(atom, name)() for name in PROPERTIES)
                    mass = _PERIODIC_TABLE.GetMostCommonIsotopeMass(element) if element else 0.0
                    self._rows[type_] = row
                    self._weight[type_] = mass + hydrogens * _HYDROGEN + charge * (_PER_CHARGE - _ELECTRON)
            self._sorted = None
        return True

    def properties(self, types: np.ndarray) -> np.ndarray:
        """Return element, hydrogens and charge of atoms by their types, shape (n_atoms, 3)."""
        with self._lock:
            if self._sorted is None:
                known = np.array(sorted(self._rows), dtype=np.int64)
                rows = np.array([self._rows[int(type_)] for type_ in known], dtype=np.int64)
                self._sorted = known, rows.reshape(-1, len(PROPERTIES))
            known, rows = self._sorted
        return rows[np.searchsorted(known, types)]


ATOM_TYPES = AtomTypes()  # of this process
