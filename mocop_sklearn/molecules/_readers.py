"""Readers: functions that return one integer for every atom or every bond of a molecule."""

from __future__ import annotations

from functools import cache
from itertools import repeat
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdCIPLabeler, rdqueries

_ATOM = Chem.Atom
_BOND = Chem.Bond
_HYBRIDIZATION = Chem.HybridizationType
_HYBRIDIZATION_CODES = {
    int(_HYBRIDIZATION.SP): 1,
    int(_HYBRIDIZATION.SP2): 2,
    int(_HYBRIDIZATION.SP3): 3,
    int(_HYBRIDIZATION.SP3D): 4,
    int(_HYBRIDIZATION.SP3D2): 5,
}
_ORDER_CODES = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}
_CIP_CODES = {"R": 1, "r": 1, "S": 2, "s": 2}
_EZ_CODES = {"Z": 1, "z": 1, "E": 2, "e": 2}
_MAX_RING_SIZE = 8
_MAX_CIP_STEPS = 100_000  # about 0.1 s; drug-like molecules take a thousandth of it


def _atoms(mol: Chem.Mol) -> Any:
    return map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))


def _bonds(mol: Chem.Mol) -> Any:
    return map(mol.GetBondWithIdx, range(mol.GetNumBonds()))


# ---------------------------------------------------------------------------------------------
# Atoms
# ---------------------------------------------------------------------------------------------


def atomic_numbers(mol: Chem.Mol) -> list[int]:
    """Atomic numbers; 0 for a dummy atom."""
    return list(map(_ATOM.GetAtomicNum, _atoms(mol)))


def degrees(mol: Chem.Mol) -> list[int]:
    """Numbers of neighbours that are atoms of the graph."""
    return list(map(_ATOM.GetDegree, _atoms(mol)))


def charges(mol: Chem.Mol) -> list[int]:
    """Formal charges."""
    return list(map(_ATOM.GetFormalCharge, _atoms(mol)))


def implicit_hydrogens(mol: Chem.Mol) -> list[int]:
    """Numbers of hydrogens that the valence implies."""
    return list(map(_ATOM.GetNumImplicitHs, _atoms(mol)))


def explicit_hydrogens(mol: Chem.Mol) -> list[int]:
    """Numbers of hydrogens that are spelled out, as in ``[nH]``."""
    return list(map(_ATOM.GetNumExplicitHs, _atoms(mol)))


def hybridizations(mol: Chem.Mol) -> list[int]:
    """1 for sp, 2 for sp2, 3 for sp3, 4 for sp3d, 5 for sp3d2, and 0 for all others."""
    return [_HYBRIDIZATION_CODES.get(int(h), 0) for h in map(_ATOM.GetHybridization, _atoms(mol))]


def aromatic_atoms(mol: Chem.Mol) -> list[int]:
    """1 for an aromatic atom, else 0."""
    return list(map(_ATOM.GetIsAromatic, _atoms(mol)))


def smallest_rings(mol: Chem.Mol) -> list[int]:
    """Size of the smallest ring of each atom, coded from 1 (three) to 6 (eight or more); 0 outside rings."""
    codes = [0] * mol.GetNumAtoms()
    for ring in mol.GetRingInfo().AtomRings():
        code = min(len(ring), _MAX_RING_SIZE) - 2
        for atom in ring:
            if not codes[atom] or code < codes[atom]:
                codes[atom] = code
    return codes


def chirality(mol: Chem.Mol) -> list[int]:
    """1 for R or r, 2 for S or s, else 0; unlike chiral tags, these labels do not depend on the order of the atoms."""
    label_stereo(mol)
    atoms = list(_atoms(mol))
    labelled = list(map(_ATOM.HasProp, atoms, repeat("_CIPCode")))
    if any(labelled):
        for i, has_label in enumerate(labelled):
            if has_label:
                labelled[i] = _CIP_CODES.get(atoms[i].GetProp("_CIPCode"), 0)
    return labelled


# ---------------------------------------------------------------------------------------------
# Bonds
# ---------------------------------------------------------------------------------------------


def bond_orders(mol: Chem.Mol) -> list[int]:
    """0 for a single, 1 for a double, 2 for a triple, 3 for an aromatic bond, and 4 for all others."""
    return [_ORDER_CODES.get(order, 4) for order in map(_BOND.GetBondTypeAsDouble, _bonds(mol))]


def conjugated_bonds(mol: Chem.Mol) -> list[int]:
    """1 for a conjugated bond, else 0."""
    return list(map(_BOND.GetIsConjugated, _bonds(mol)))


def bonds_in_rings(mol: Chem.Mol) -> list[int]:
    """1 for a bond of a ring, else 0."""
    return list(map(_BOND.IsInRing, _bonds(mol)))


def bond_stereo(mol: Chem.Mol) -> list[int]:
    """1 for a double bond that is Z, 2 for one that is E, else 0."""
    label_stereo(mol)
    stereo = _legacy_stereo if Chem.GetUseLegacyStereoPerception() else _labelled_stereo
    return [stereo(bond) if bond.GetBondTypeAsDouble() == 2.0 else 0 for bond in _bonds(mol)]


_LEGACY_CODES = {
    Chem.BondStereo.STEREOZ: 1,
    Chem.BondStereo.STEREOCIS: 1,
    Chem.BondStereo.STEREOE: 2,
    Chem.BondStereo.STEREOTRANS: 2,
}


def _legacy_stereo(bond: Chem.Bond) -> int:
    return _LEGACY_CODES.get(bond.GetStereo(), 0)


def _labelled_stereo(bond: Chem.Bond) -> int:
    """Read the CIP label: cis and trans of the new perception refer to neighbours that come first in the text."""
    return _EZ_CODES.get(bond.GetProp("_CIPCode"), 0) if bond.HasProp("_CIPCode") else 0


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
