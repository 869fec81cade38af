"""RDKit molecules → integer arrays."""

from __future__ import annotations

from array import array

import numpy as np
import torch
from rdkit import Chem

from ._columns import Columns, Edges, assemble, starts
from ._fields import Featurizer, resolve_featurizer
from ._graphs import MoleculeGraphs, concatenate
from ._readers import bonds_of
from ._whole import WholeMolecules


class GraphBuilder:
    """RDKit molecules → ``MoleculeGraphs``.

    Making an atom or a bond in Python costs a microsecond, reading a property of it a tenth. So what a call answers for
    a whole molecule is read so, and all else is left to ``build``, which works on many molecules at once. Molecules
    that are large or that have isotopes are read one atom at a time; both ways agree.

    Parameters
    ----------
    featurizer : str or Featurizer
    """

    def __init__(self, featurizer: str | Featurizer):
        self._whole = WholeMolecules(resolve_featurizer(featurizer))
        self._by_atom = _AtomByAtom(resolve_featurizer(featurizer))
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
        FieldError
            When a field cannot be read. Nothing is appended.
        """
        by_atom = not self._whole.add(mol, smiles)
        if by_atom:
            self._by_atom.add(mol, smiles)
        self._is_by_atom.append(by_atom)

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        graphs = self._whole.build()
        by_atom = np.array(self._is_by_atom, dtype=bool)
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
        self._ends = array("q"), array("q")
        self._n_atoms, self._n_bonds = array("q"), array("q")

    def add(self, mol: Chem.Mol, smiles: str) -> None:
        """Append a molecule."""
        n_atoms, n_bonds = mol.GetNumAtoms(), mol.GetNumBonds()
        atoms, bonds = self._atoms.read(mol, smiles, n_atoms), self._bonds.read(mol, smiles, n_bonds)
        self._atoms.append(n_atoms, atoms)
        self._bonds.append(n_bonds, bonds)
        self._ends[0].extend(map(Chem.Bond.GetBeginAtomIdx, bonds_of(mol)))
        self._ends[1].extend(map(Chem.Bond.GetEndAtomIdx, bonds_of(mol)))
        self._n_atoms.append(n_atoms)
        self._n_bonds.append(n_bonds)

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        n_atoms, n_bonds = np.array(self._n_atoms), np.array(self._n_bonds)
        first_atom = starts(n_atoms)
        begin, end = (np.array(ends) + np.repeat(first_atom, n_bonds) for ends in self._ends)
        atoms = np.arange(n_atoms.sum())
        receivers, senders = np.concatenate([atoms, begin, end]), np.concatenate([atoms, end, begin])
        order = np.lexsort((senders, receivers))
        receivers, senders = receivers[order], senders[order]
        bond_of_edge = np.concatenate([np.zeros_like(atoms), np.tile(np.arange(len(begin)), 2)])[order]
        edges = Edges(
            n_neighbors=np.bincount(receivers, minlength=len(atoms)),
            neighbors=senders - np.repeat(first_atom, n_atoms)[receivers],
            is_loop=receivers == senders,
        )
        # without bonds, nothing is taken: every edge is an atom's own
        of_edges = {
            name: values[bond_of_edge] if len(values) else np.zeros_like(bond_of_edge)
            for name, values in self._bonds.arrays().items()
        }
        return assemble(self._featurizer, n_atoms, self._atoms.arrays(), edges, of_edges)
