"""RDKit molecules → integer arrays, fast: no Python loop over atoms, no tensor per molecule."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from rdkit import Chem, rdBase
from rdkit.Chem import rdCIPLabeler, rdqueries

from ._fields import (
    BOND_TYPE_CODE,
    CHIRALITY_CODE,
    ELEMENT_CODE,
    FEATURIZERS,
    HYBRIDIZATION_CODE,
    MAX_RING_SIZE,
    STEREO_CODE,
)
from ._graphs import MoleculeGraphs, concatenate
from ._parse import InvalidMolecule, Standardize, connectivity_key, parse_molecule, unique_molecules

_ATOM = Chem.Atom
_BOND = Chem.Bond
_EZ = {
    "Z": Chem.BondStereo.STEREOZ,
    "z": Chem.BondStereo.STEREOZ,
    "E": Chem.BondStereo.STEREOE,
    "e": Chem.BondStereo.STEREOE,
}
_MAX_CIP_STEPS = 100_000  # about 0.1 s; drug-like molecules take a thousandth of it


class GraphBuilder:
    """RDKit molecules → ``MoleculeGraphs``.

    Making an RDKit atom or bond in Python costs as much as reading three of its properties, so each
    is made once and read with C-level maps; everything else waits for ``build`` and is vectorised
    over all molecules.
    """

    def __init__(self, featurizer: str):
        self._vocabulary = FEATURIZERS[featurizer]
        self._atoms = [array("h") for _ in self._vocabulary.atom_fields]
        self._n_atoms: list[int] = []
        self._adjacency: list[np.ndarray] = []
        self._bond_ends = (array("i"), array("i"))
        self._bonds: list[array[Any]] = [array("d"), array("B"), array("B"), array("B")]
        self._n_bonds: list[int] = []

    def __len__(self) -> int:
        return len(self._n_atoms)

    def add(self, mol: Chem.Mol) -> None:
        """Append one molecule with at least one atom."""
        n_atoms = mol.GetNumAtoms()
        atoms = list(map(mol.GetAtomWithIdx, range(n_atoms)))
        columns = self._atoms
        columns[0].extend(map(_ATOM.GetAtomicNum, atoms))
        columns[1].extend(map(_ATOM.GetDegree, atoms))
        columns[2].extend(map(_ATOM.GetNumImplicitHs, atoms))
        columns[3].extend(map(_ATOM.GetFormalCharge, atoms))
        columns[4].extend(map(_ATOM.GetHybridization, atoms))
        columns[5].extend(map(_ATOM.GetIsAromatic, atoms))
        columns[6].extend(map(_ATOM.GetNumExplicitHs, atoms))
        self._n_atoms.append(n_atoms)
        self._adjacency.append(Chem.GetAdjacencyMatrix(mol).ravel().astype(np.uint8))
        if self._vocabulary.bond_fields:
            _label_stereo(mol)
            columns[7].extend(_cip_codes(atoms))
            columns[8].extend(_smallest_rings(mol))
            self._add_bonds(mol)

    def _add_bonds(self, mol: Chem.Mol) -> None:
        bonds = list(map(mol.GetBondWithIdx, range(mol.GetNumBonds())))
        self._n_bonds.append(len(bonds))
        self._bond_ends[0].extend(map(_BOND.GetBeginAtomIdx, bonds))
        self._bond_ends[1].extend(map(_BOND.GetEndAtomIdx, bonds))
        orders = list(map(_BOND.GetBondTypeAsDouble, bonds))
        self._bonds[0].extend(orders)
        self._bonds[1].extend(map(_BOND.GetIsConjugated, bonds))
        self._bonds[2].extend(map(_BOND.IsInRing, bonds))
        # reading it costs as much as five other properties, and only double bonds have it
        stereo = _BOND.GetStereo if Chem.GetUseLegacyStereoPerception() else _ez_stereo
        self._bonds[3].extend(stereo(b) if order == 2.0 else 0 for b, order in zip(bonds, orders, strict=True))

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        n_atoms = np.array(self._n_atoms, dtype=np.int64)
        atom_ptr = np.concatenate([[0], np.cumsum(n_atoms)])
        # All adjacency matrices end to end; a cell holds 0 for no edge, 1 for a self loop, 2 + code for a bond.
        cell_ptr = np.concatenate([[0], np.cumsum(n_atoms**2)])
        cells = np.concatenate([np.zeros(0, dtype=np.uint8), *self._adjacency])
        cells[cells > 0] = 2
        local_atom = np.arange(atom_ptr[-1]) - np.repeat(atom_ptr[:-1], n_atoms)
        cells[np.repeat(cell_ptr[:-1], n_atoms) + local_atom * (np.repeat(n_atoms, n_atoms) + 1)] = 1
        if self._vocabulary.bond_fields:
            begin, end = (np.array(ends, dtype=np.int64) for ends in self._bond_ends)
            first_cell, width = np.repeat(cell_ptr[:-1], self._n_bonds), np.repeat(n_atoms, self._n_bonds)
            codes = 2 + self._bond_codes()
            for row, column in ((begin, end), (end, begin)):
                cells[first_cell + row * width + column] = codes

        position = np.flatnonzero(cells)
        molecule = np.searchsorted(cell_ptr, position, side="right") - 1
        receiver, neighbor = np.divmod(position - cell_ptr[molecule], n_atoms[molecule])
        n_neighbors = np.bincount(receiver + atom_ptr[molecule], minlength=atom_ptr[-1])
        edges = cells[position] - 1 if self._vocabulary.bond_fields else np.zeros(0)
        return MoleculeGraphs(
            self._vocabulary.name,
            atoms=torch.from_numpy(self._atom_codes()),
            n_neighbors=torch.from_numpy(n_neighbors.astype(np.uint8)),
            neighbors=torch.from_numpy(neighbor.astype(np.int16)),
            edges=torch.from_numpy(edges.astype(np.uint8)),
            atom_ptr=torch.from_numpy(atom_ptr),
            edge_ptr=torch.from_numpy(np.searchsorted(molecule, np.arange(len(self) + 1)).astype(np.int64)),
        )

    def _atom_codes(self) -> np.ndarray:
        codes = np.array([np.asarray(column) for column in self._atoms], dtype=np.int16).T
        codes[:, 0] = ELEMENT_CODE[codes[:, 0]]
        codes[:, 4] = HYBRIDIZATION_CODE[codes[:, 4]]
        for column, field in enumerate(self._vocabulary.atom_fields):
            if field.size > 1:
                np.clip(codes[:, column], 0, field.size - 1, out=codes[:, column])
        return np.ascontiguousarray(codes, dtype=np.int8)

    def _bond_codes(self) -> np.ndarray:
        twice_order, conjugated, ring, stereo = (np.asarray(column) for column in self._bonds)
        bond_type = BOND_TYPE_CODE[(2 * twice_order).astype(np.int64)]
        levels = [max(field.size, 2) for field in self._vocabulary.bond_fields]
        fields = (bond_type, conjugated.astype(np.int64), ring.astype(np.int64), STEREO_CODE[stereo])
        return np.ravel_multi_index(fields, levels)


def _label_stereo(mol: Chem.Mol) -> None:
    """Set the CIP labels that the parser leaves out, those of pseudo-asymmetric centres as in 1,4-dimethylcyclohexane.

    With RDKit's new stereo perception it leaves out all of them.
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


def _cip_codes(atoms: list[Chem.Atom]) -> list[int]:
    """0 for no stereocentre, 1 for R or r, 2 for S or s; unlike chiral tags they do not hang on the order of atoms."""
    labelled = list(map(_ATOM.HasProp, atoms, repeat("_CIPCode")))
    if any(labelled):
        for i, has_label in enumerate(labelled):
            if has_label:
                labelled[i] = CHIRALITY_CODE.get(atoms[i].GetProp("_CIPCode"), 0)
    return labelled


def _ez_stereo(bond: Chem.Bond) -> int:
    """Stereo by CIP label: cis and trans of the new perception refer to neighbours that hang on the order of atoms."""
    return _EZ.get(bond.GetProp("_CIPCode"), 0) if bond.HasProp("_CIPCode") else 0


def _smallest_rings(mol: Chem.Mol) -> list[int]:
    """0 for an atom in no ring, else its smallest ring's size, coded from 1 (three) to 6 (eight or more)."""
    codes = [0] * mol.GetNumAtoms()
    for ring in mol.GetRingInfo().AtomRings():
        code = min(len(ring), MAX_RING_SIZE) - 2
        for atom in ring:
            if not codes[atom] or code < codes[atom]:
                codes[atom] = code
    return codes


@dataclass(frozen=True)
class FeaturizedMolecules:
    """Values, their graphs, and the way back from one to the other.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The valid molecules, each text once.
    graph_of_value : ndarray of int, shape (n_values,)
        Row of ``graphs`` for each value, -1 where the value is no molecule.
    reasons : dict of int to str
        Index of each value that is no molecule, and why.
    smiles, keys : list of str
        Canonical SMILES and connectivity key of each of ``graphs``; empty unless asked for.
    """

    graphs: MoleculeGraphs
    graph_of_value: np.ndarray
    reasons: dict[int, str]
    smiles: list[str]
    keys: list[str]


_CHUNK = 1024


def featurize(
    values: Sequence[Any],
    featurizer: str,
    standardize: Standardize = "parent",
    *,
    identify: bool = False,
    n_jobs: int | None = None,
) -> FeaturizedMolecules:
    """Parse, standardise and featurise molecules, each text once.

    Parameters
    ----------
    values : sequence of str or Mol
    featurizer : str
        A key of ``FEATURIZERS``.
    standardize : {"parent", None} or callable, default="parent"
    identify : bool, default=False
        Also compute canonical SMILES and connectivity keys, which costs three times the parsing.
    n_jobs : int, default=None
        Processes, as in joblib.
    """
    unique, inverse = unique_molecules(values)
    chunks = [unique[start : start + _CHUNK] for start in range(0, len(unique), _CHUNK)] or [unique]
    work = partial(_featurize_chunk, featurizer=featurizer, standardize=standardize, identify=identify)
    parts: list[_Chunk] = Parallel(n_jobs=n_jobs)(map(delayed(work), chunks))
    reasons = [reason for part in parts for reason in part.reasons]
    valid = np.array([reason is None for reason in reasons], dtype=bool)
    graph_of_unique = np.where(valid, np.cumsum(valid) - 1, -1)
    return FeaturizedMolecules(
        concatenate([part.graphs for part in parts]),
        graph_of_unique[inverse],
        {int(row): str(reasons[inverse[row]]) for row in np.flatnonzero(~valid[inverse])},
        [smiles for part in parts for smiles in part.smiles],
        [key for part in parts for key in part.keys],
    )


@dataclass(frozen=True)
class _Chunk:
    """Distinct values featurised in one process; ``reasons`` has None for each that is a molecule."""

    graphs: MoleculeGraphs
    reasons: list[str | None]
    smiles: list[str]
    keys: list[str]


def _featurize_chunk(values: Sequence[Any], featurizer: str, standardize: Standardize, identify: bool) -> _Chunk:
    builder = GraphBuilder(featurizer)
    reasons: list[str | None] = []
    smiles, keys = [], []
    with rdBase.BlockLogs():  # the reasons are reported by row; RDKit's log is as before afterwards
        for value in values:
            try:
                mol = parse_molecule(value, standardize)
            except InvalidMolecule as error:
                reasons.append(str(error))
                continue
            reasons.append(None)
            builder.add(mol)
            if identify:
                smiles.append(Chem.MolToSmiles(mol))
                keys.append(connectivity_key(mol))
    return _Chunk(builder.build(), reasons, smiles, keys)
