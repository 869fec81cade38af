"""Which atom of a molecule, as it was given, is which atom of its graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem

from ..molecules._parse import molecule_text

_MOST_MATCHES = 256


def given_molecule(value: Any) -> Chem.Mol:
    """Return a valid molecule as it was given: the object itself, or what RDKit reads from the text.

    Parameters
    ----------
    value : str or Mol
        A text from which this package has read a molecule.
    """
    if isinstance(value, Chem.Mol):
        return value
    if value.startswith("InChI="):
        return Chem.MolFromInchi(value)
    parameters: Any = Chem.SmilesParserParams()
    parameters.strictCXSMILES = False
    return Chem.MolFromSmiles(molecule_text(value), parameters)


def places_in_standard(given: Chem.Mol, standard: Chem.Mol) -> np.ndarray | None:
    """Find the atoms of a molecule in its standardised form.

    Standardisation leaves out fragments and hydrogens, and changes charges. What stays are the elements and how they
    are connected.

    Returns
    -------
    ndarray of int, shape (n_atoms of given,), or None
        Index in ``standard``, -1 for an atom that it lacks. None when ``standard`` is not a part of ``given``.
    """
    n_atoms, in_order = given.GetNumAtoms(), _outline(given) == _outline(standard)
    if in_order and _as_written(given) == _as_written(standard):
        return np.arange(n_atoms)
    match = given.GetSubstructMatch(standard, useChirality=True) or given.GetSubstructMatch(standard)
    match = match or _match_by_elements(given, standard, [tuple(range(n_atoms))] if in_order else [])
    if not match:
        return None
    places = np.full(given.GetNumAtoms(), -1)
    places[list(match)] = np.arange(len(match))
    return places


def _outline(mol: Chem.Mol) -> tuple[list[int], list[list[int]]]:
    bonds = sorted(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds())
    return [atom.GetAtomicNum() for atom in mol.GetAtoms()], bonds


def _as_written(mol: Chem.Mol) -> str:
    """SMILES in the order of the atoms, which tells OC=O from O=CO: they have one outline."""
    return str(Chem.MolToSmiles(mol, canonical=False))


def _match_by_elements(given: Chem.Mol, standard: Chem.Mol, first: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Match where bond orders differ, as in another tautomer: as many bonds alike as can be, of equals the first."""
    adjustments: Any = Chem.AdjustQueryParameters.NoAdjustments()
    adjustments.makeBondsGeneric = True
    query = Chem.AdjustQueryProperties(standard, adjustments)
    matches = given.GetSubstructMatches(query, uniquify=False, maxMatches=_MOST_MATCHES)

    def n_alike(match: tuple[int, ...]) -> int:
        pairs = ((b, given.GetBondBetweenAtoms(match[b.GetBeginAtomIdx()], match[b.GetEndAtomIdx()]))
                 for b in standard.GetBonds())  # fmt: skip
        return sum(own.GetBondType() == other.GetBondType() for own, other in pairs)

    return max([*first, *matches], key=n_alike, default=())
