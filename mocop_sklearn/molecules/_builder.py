"""RDKit molecules → integer arrays."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from rdkit import Chem

from ._columns import Bonds, Columns, assemble
from ._fields import Featurizer, Field, resolve_featurizer
from ._graphs import MoleculeGraphs, concatenate
from ._packed import MAX_ATOMS, Unpacked, unpack
from ._packed_fields import PACKED_ATOMS, PACKED_BONDS
from ._parse import InvalidMolecule, because
from ._readers import bonds_of

# Charges, isotopes, radicals, rings, aromatic and dative bonds, stereochemistry, all hybridisations.
_EXAMPLES = (
    "C", "[13CH3]c1cc[nH]c1", "C[N+](C)(C)CC(=O)[O-]", "C[CH2]", "C/C=C/C#N", "F/C=C\\[C@H](N)[C@@H]1CC2CC1C2",
    "FS(F)(F)(F)(F)F", "FP(F)(F)(F)F", "[NH3]->[Cu+2]", "[2H]C(Br)[O-]", "C[235U]",
)  # fmt: skip


class GraphBuilder:
    """RDKit molecules → ``MoleculeGraphs``.

    Making an atom or a bond in Python costs a microsecond, reading a property of it a tenth. So RDKit packs a molecule
    into bytes, in one call, and ``build`` reads the bytes of many molecules at once. Large molecules are read one atom
    at a time, as are all molecules where RDKit's binary format is not the one that is known here; both ways agree.

    Parameters
    ----------
    featurizer : str or Featurizer
    """

    def __init__(self, featurizer: str | Featurizer):
        featurizer = resolve_featurizer(featurizer)
        self._packed = _PackedMolecules(featurizer)
        self._by_atom = _AtomByAtom(featurizer)
        self._max_packed = MAX_ATOMS if _format_is_known() else 0
        self._is_by_atom: list[bool] = []

    def __len__(self) -> int:
        return len(self._is_by_atom)

    def add(self, mol: Chem.Mol, smiles: str) -> None:
        """Append one molecule with at least one atom.

        Parameters
        ----------
        mol : Mol
        smiles : str
            What ``mol`` was read from: it shows which fields are zero throughout.

        Raises
        ------
        InvalidMolecule
            When a field cannot be read. Nothing is appended.
        """
        n_atoms = mol.GetNumAtoms()
        # atoms of no element and bonds of no order are queries, whose records differ
        by_atom = n_atoms > self._max_packed or "*" in smiles or "~" in smiles
        try:
            (self._by_atom if by_atom else self._packed).add(mol, smiles, n_atoms)
        except RuntimeError as error:  # RDKit's, of a call that is not a field's
            raise InvalidMolecule(because(error)) from error
        self._is_by_atom.append(by_atom)

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        by_atom = np.array(self._is_by_atom, dtype=bool)
        if by_atom.all():
            return self._by_atom.build()
        graphs = self._packed.build()
        if not by_atom.any():
            return graphs
        rows = np.where(by_atom, len(graphs) + np.cumsum(by_atom), np.cumsum(~by_atom)) - 1
        return concatenate([graphs, self._by_atom.build()]).take(torch.from_numpy(rows))


class _AtomByAtom:
    """Molecules whose fields are read by their readers. The memory is linear in the number of atoms."""

    def __init__(self, featurizer: Featurizer):
        self._featurizer = featurizer
        self._atoms = Columns(featurizer.atom_fields)
        self._bonds = Columns(featurizer.bond_fields)
        self._begin, self._end = array("q"), array("q")
        self._n_atoms, self._n_bonds = array("q"), array("q")

    def add(self, mol: Chem.Mol, smiles: str, n_atoms: int) -> None:
        """Append a molecule."""
        n_bonds = mol.GetNumBonds()
        atoms, bonds = self._atoms.read(mol, smiles, n_atoms), self._bonds.read(mol, smiles, n_bonds)
        self._atoms.append(n_atoms, atoms)
        self._bonds.append(n_bonds, bonds)
        self._begin.extend(map(Chem.Bond.GetBeginAtomIdx, bonds_of(mol)))
        self._end.extend(map(Chem.Bond.GetEndAtomIdx, bonds_of(mol)))
        self._n_atoms.append(n_atoms)
        self._n_bonds.append(n_bonds)

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        bonds = Bonds(np.array(self._n_bonds), np.array(self._begin), np.array(self._end))
        return assemble(self._featurizer, np.array(self._n_atoms), bonds, self._atoms.arrays(), self._bonds.arrays())


class _PackedMolecules:
    """Molecules that are kept as bytes. Fields that the bytes do not tell are read by their readers."""

    def __init__(self, featurizer: Featurizer):
        self._featurizer = featurizer
        self._atoms = Columns(field for field in featurizer.atom_fields if field.read not in PACKED_ATOMS)
        self._bonds = Columns(field for field in featurizer.bond_fields if field.read not in PACKED_BONDS)
        self._molecules: list[bytes] = []

    def add(self, mol: Chem.Mol, smiles: str, n_atoms: int) -> None:
        """Append a molecule of up to ``MAX_ATOMS`` atoms."""
        n_bonds = mol.GetNumBonds()
        atoms = () if self._atoms.are_zero(smiles) else self._atoms.read(mol, smiles, n_atoms)
        bonds = () if self._bonds.are_zero(smiles) else self._bonds.read(mol, smiles, n_bonds)
        packed = mol.ToBinary(0)
        # nothing fails from here on
        self._atoms.append(n_atoms, atoms)
        self._bonds.append(n_bonds, bonds)
        self._molecules.append(packed)

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        found = unpack(self._molecules)
        of_atoms, of_bonds = self._atoms.arrays(), self._bonds.arrays()
        of_atoms |= _told(found, self._featurizer.atom_fields, PACKED_ATOMS)
        of_bonds |= _told(found, self._featurizer.bond_fields, PACKED_BONDS)
        bonds = Bonds(found.n_bonds, found.begin, found.end)
        return assemble(self._featurizer, found.n_atoms, bonds, of_atoms, of_bonds)


def _told(found: Unpacked, fields: Sequence[Field], packed: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {field.name: packed[field.read](found) for field in fields if field.read in packed}


@cache
def _format_is_known() -> bool:
    """Whether RDKit packs some molecules so that ``unpack`` agrees with reading them one atom at a time."""
    every = Featurizer(
        "every packed field",
        tuple(Field(str(i), 1, read) for i, read in enumerate(PACKED_ATOMS)),
        tuple(Field(str(i), 5, read) for i, read in enumerate(PACKED_BONDS)),
    )
    ways = _PackedMolecules(every), _AtomByAtom(every)
    for smiles in _EXAMPLES:
        mol = Chem.MolFromSmiles(smiles)
        for way in ways:
            way.add(mol, smiles, mol.GetNumAtoms())
    try:
        found = ways[0].build()
    except (ValueError, IndexError):
        return False
    return found.equals(ways[1].build())
