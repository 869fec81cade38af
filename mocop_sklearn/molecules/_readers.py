"""Readers: functions that return one integer for every atom or every bond of a molecule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdCIPLabeler, rdqueries

_ORDER_CODES = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}
_CIP_CODES = {"R": 1, "r": 1, "S": 2, "s": 2}
_EZ_CODES = {"Z": 1, "z": 1, "E": 2, "e": 2}
_LEGACY_CODES = {
    Chem.BondStereo.STEREOZ: 1,
    Chem.BondStereo.STEREOCIS: 1,
    Chem.BondStereo.STEREOE: 2,
    Chem.BondStereo.STEREOTRANS: 2,
}
_MAX_RING_SIZE = 8
_MAX_CIP_STEPS = 100_000  # about 0.1 s; drug-like molecules take a thousandth of it


def atoms_of(mol: Chem.Mol) -> Iterator[Chem.Atom]:
    """Yield the atoms, at half the cost of ``mol.GetAtoms()``."""
    return map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))


def bonds_of(mol: Chem.Mol) -> Iterator[Chem.Bond]:
    """Yield the bonds, at half the cost of ``mol.GetBonds()``."""
    return map(mol.GetBondWithIdx, range(mol.GetNumBonds()))


# ---------------------------------------------------------------------------------------------
# Atoms
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtomProperty:
    """A reader of one property of every atom. Fields that are read so share one pass over the atoms.

    Parameters
    ----------
    name : str
        Method of ``rdkit.Chem.Atom`` without arguments that returns an integer, such as ``"GetFormalCharge"``.
    """

    name: str

    @property
    def of_atom(self) -> Callable[[Chem.Atom], int]:
        """The method, which takes an atom."""
        return getattr(Chem.Atom, self.name)

    def __call__(self, mol: Chem.Mol) -> list[int]:
        """Return the property of every atom of ``mol``."""
        return list(map(self.of_atom, atoms_of(mol)))


def isotope_shifts(mol: Chem.Mol) -> list[int]:
    """Mass numbers of labelled isotopes, less that of the element's most common isotope; 0 without a label."""
    return [_isotope_shift(atom) for atom in atoms_of(mol)]


def _isotope_shift(atom: Chem.Atom) -> int:
    element, isotope = atom.GetAtomicNum(), atom.GetIsotope()
    return isotope - Chem.GetPeriodicTable().GetMostCommonIsotope(element) if element and isotope else 0


def smallest_rings(mol: Chem.Mol) -> list[int]:
    """Size of the smallest ring of each atom, coded from 1 (three) to 6 (eight or more); 0 outside rings."""
    codes = [0] * mol.GetNumAtoms()
    for ring in mol.GetRingInfo().AtomRings():
        code = ring_code(len(ring))
        for atom in ring:
            if not codes[atom] or code < codes[atom]:
                codes[atom] = code
    return codes


def ring_code(size: int) -> int:
    """Code of the size of a ring, as ``smallest_rings`` returns it."""
    return min(size, _MAX_RING_SIZE) - 2


def chirality(mol: Chem.Mol) -> list[int]:
    """1 for R or r, 2 for S or s, else 0; unlike chiral tags, these labels do not depend on the order of the atoms."""
    label_stereo(mol)
    return [_CIP_CODES.get(_label(atom), 0) for atom in atoms_of(mol)]


# ---------------------------------------------------------------------------------------------
# Bonds
# ---------------------------------------------------------------------------------------------


def bond_orders(mol: Chem.Mol) -> list[int]:
    """0 for a single, 1 for a double, 2 for a triple, 3 for an aromatic bond, and 4 for all others."""
    return [order_code(order) for order in map(Chem.Bond.GetBondTypeAsDouble, bonds_of(mol))]


def order_code(order: float) -> int:
    """Code of a bond order, as ``bond_orders`` returns it."""
    return _ORDER_CODES.get(order, 4)


def bonds_in_rings(mol: Chem.Mol) -> list[int]:
    """1 for a bond of a ring, else 0."""
    return list(map(Chem.Bond.IsInRing, bonds_of(mol)))


def bond_stereo(mol: Chem.Mol) -> list[int]:
    """1 for a double bond that is Z, 2 for one that is E, else 0."""
    label_stereo(mol)
    stereo = _legacy_stereo if Chem.GetUseLegacyStereoPerception() else _labelled_stereo
    return [stereo(bond) if bond.GetBondTypeAsDouble() == 2.0 else 0 for bond in bonds_of(mol)]


def _legacy_stereo(bond: Chem.Bond) -> int:
    return _LEGACY_CODES.get(bond.GetStereo(), 0)


def _labelled_stereo(bond: Chem.Bond) -> int:
    """Read the CIP label: cis and trans of the new perception refer to neighbours that come first in the text."""
    return _EZ_CODES.get(_label(bond), 0)


def _label(item: Chem.Atom | Chem.Bond) -> str:
    return item.GetProp("_CIPCode") if item.HasProp("_CIPCode") else ""


# ---------------------------------------------------------------------------------------------
# Labels of Cahn, Ingold and Prelog
# ---------------------------------------------------------------------------------------------


def label_stereo(mol: Chem.Mol) -> None:
    """Set the labels that the parser leaves out, those of pseudo-asymmetric centres as in 1,4-dimethylcyclohexane.

    With RDKit's new stereo perception the parser leaves out all of them.
    """
    if not Chem.GetUseLegacyStereoPerception() or mol.HasSubstructMatch(_unlabelled_stereocentre()):
        try:
            rdCIPLabeler.AssignCIPLabels(mol, maxRecursiveIterations=_MAX_CIP_STEPS)
        except RuntimeError:  # a symmetric cage: no label is better than those of the atoms that happened to come first
            labelled: list[Any] = [*mol.GetAtoms(), *mol.GetBonds()]
            for item in labelled:
                item.ClearProp("_CIPCode")


@cache
def _unlabelled_stereocentre() -> Chem.Mol:
    query = rdqueries.HasChiralTagQueryAtom()
    query.ExpandQuery(rdqueries.HasPropQueryAtom("_CIPCode", negate=True))
    mol = Chem.RWMol(Chem.MolFromSmarts("*"))
    mol.ReplaceAtom(0, query)
    return mol.GetMol()
