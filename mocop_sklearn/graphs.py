"""Molecules → compact integer arrays → one batched graph.

The atom and bond vocabularies live here and nowhere else. A molecule costs about 14 bytes an atom
in memory; tensors of features exist only for the batch at hand.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from rdkit import Chem, rdBase
from rdkit.Chem import rdCIPLabeler, rdqueries
from torch import Tensor

from .molecules import InvalidMolecule, Standardize, connectivity_key, parse_molecule

# The 43 elements of the paper's one-hot, in its order; every other element is "other".
_ELEMENTS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn "
    "Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt Hg Pb"
).split()
_OTHER_ELEMENT = len(_ELEMENTS)
_HYBRIDIZATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")  # code 0 is "other"
_ATOM = Chem.Atom
_BOND = Chem.Bond


def _lookup(size: int, default: int, codes: dict[int, int]) -> np.ndarray:
    table = np.full(size, default, dtype=np.uint8)
    for key, code in codes.items():
        table[key] = code
    return table


_periodic_table = Chem.GetPeriodicTable()
_ELEMENT_CODE = _lookup(256, _OTHER_ELEMENT, {_periodic_table.GetAtomicNumber(e): i for i, e in enumerate(_ELEMENTS)})
_HYBRIDIZATION_CODE = _lookup(
    256, 0, {int(getattr(Chem.HybridizationType, h)): i + 1 for i, h in enumerate(_HYBRIDIZATIONS)}
)
# GetBondTypeAsDouble × 2 → single, double, triple, aromatic, other
_BOND_TYPE_CODE = _lookup(256, 4, {2: 0, 4: 1, 6: 2, 3: 3})
# none/any, Z (or cis), E (or trans)
_STEREO_CODE = _lookup(
    256,
    0,
    {
        int(Chem.BondStereo.STEREOZ): 1,
        int(Chem.BondStereo.STEREOCIS): 1,
        int(Chem.BondStereo.STEREOE): 2,
        int(Chem.BondStereo.STEREOTRANS): 2,
    },
)
_CHIRALITY_CODE = {"R": 1, "r": 1, "S": 2, "s": 2}
_EZ = {
    "Z": Chem.BondStereo.STEREOZ,
    "z": Chem.BondStereo.STEREOZ,
    "E": Chem.BondStereo.STEREOE,
    "e": Chem.BondStereo.STEREOE,
}
_MAX_CIP_STEPS = 100_000  # about 0.1 s; drug-like molecules take a thousandth of it
_MAX_RING_SIZE = 8  # ring sizes 3 to 8, larger ones count as 8; code 0 is "not in a ring"


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
            "elements": [*_ELEMENTS, "other"],
            "hybridizations": ["other", *_HYBRIDIZATIONS],
            "atom_fields": [[field.name, field.size] for field in self.atom_fields],
            "bond_fields": [[field.name, field.size] for field in self.bond_fields],
        }


_PAPER_FIELDS = (
    Field("element", _OTHER_ELEMENT + 1),
    Field("degree", 11),
    Field("implicit_h", 7),
    Field("charge", 1),
    Field("hybridization", len(_HYBRIDIZATIONS) + 1),
    Field("aromatic", 1),
    Field("explicit_h", 5),
)

FEATURIZERS = {
    # arXiv 2305.09790: 75 atom features, no bonds, no chirality
    "paper": Featurizer("paper", _PAPER_FIELDS),
    # adds what tells stereoisomers and ring systems apart
    "rich": Featurizer(
        "rich",
        (*_PAPER_FIELDS, Field("chirality", 3), Field("ring_size", _MAX_RING_SIZE - 1)),
        (Field("type", 5), Field("conjugated", 1), Field("ring", 1), Field("stereo", 3)),
    ),
}


@dataclass(frozen=True)
class MoleculeGraphs:
    """Many molecules as integer arrays.

    Edges are directed, sorted by receiving atom, and include one self loop per atom.

    Attributes
    ----------
    featurizer : str
        A key of ``FEATURIZERS``.
    atoms : Tensor of int8, shape (n_atoms, n_atom_fields)
    n_neighbors : Tensor of uint8, shape (n_atoms,)
        Edges received by each atom, its self loop included.
    neighbors : Tensor of int16, shape (n_edges,)
        Sending atom of each edge, counted within its molecule.
    edges : Tensor of uint8, shape (n_edges,)
        0 for a self loop, else 1 + the packed bond fields; empty when the featuriser reads no bonds.
    atom_ptr, edge_ptr : Tensor of int64, shape (n_molecules + 1,)
    """

    featurizer: str
    atoms: Tensor
    n_neighbors: Tensor
    neighbors: Tensor
    edges: Tensor
    atom_ptr: Tensor
    edge_ptr: Tensor

    def __len__(self) -> int:
        return len(self.atom_ptr) - 1

    def _arrays(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "featurizer"}

    @property
    def nbytes(self) -> int:
        """Bytes held in all arrays."""
        return sum(a.nbytes for a in self._arrays().values())

    def to(self, device: torch.device | str) -> MoleculeGraphs:
        """Return these molecules with every array on ``device``."""
        return MoleculeGraphs(self.featurizer, **{name: a.to(device) for name, a in self._arrays().items()})

    def take(self, indices: Tensor) -> MoleculeGraphs:
        """Return the molecules at ``indices``, in that order."""
        atom_rows, atom_ptr = _concatenated_ranges(self.atom_ptr, indices)
        edge_rows, edge_ptr = _concatenated_ranges(self.edge_ptr, indices)
        return MoleculeGraphs(
            self.featurizer,
            atoms=self.atoms[atom_rows],
            n_neighbors=self.n_neighbors[atom_rows],
            neighbors=self.neighbors[edge_rows],
            edges=self.edges[edge_rows] if len(self.edges) else self.edges,
            atom_ptr=atom_ptr,
            edge_ptr=edge_ptr,
        )

    def collate(self) -> GraphBatch:
        """Return all molecules as one graph of float features, on the device where the arrays are."""
        vocabulary = FEATURIZERS[self.featurizer]
        x = _one_hot(self.atoms, vocabulary)
        n_neighbors = self.n_neighbors.long()
        senders = self.neighbors + torch.repeat_interleave(self.atom_ptr[:-1], self.edge_ptr.diff())
        receivers = torch.repeat_interleave(torch.arange(len(x), device=x.device), n_neighbors)
        inverse_root = n_neighbors.to(x.dtype).rsqrt()
        weights = inverse_root[receivers] * inverse_root[senders]
        bonds = None
        if vocabulary.bond_fields:
            bond_features = _bond_table(self.featurizer).to(x.device)[self.edges.long()]
            bonds = x.new_zeros(len(x), vocabulary.n_bond_features)
            bonds = bonds.index_add(0, receivers, bond_features * weights[:, None])
        return GraphBatch(
            x, senders, weights, torch.cat([senders.new_zeros(1), n_neighbors.cumsum(0)]), self.atom_ptr.diff(), bonds
        )


@dataclass(frozen=True)
class GraphBatch:
    """Molecules joined into one graph with several components.

    Attributes
    ----------
    x : Tensor of float32, shape (n_atoms, n_atom_features)
    senders : Tensor of int64, shape (n_edges,)
    weights : Tensor of float32, shape (n_edges,)
        Columns and values of D^-1/2 (A + I) D^-1/2, a symmetric sparse matrix stored by rows.
    edge_ptr : Tensor of int64, shape (n_atoms + 1,)
        Atom i receives the edges ``edge_ptr[i]:edge_ptr[i + 1]``.
    atoms_per_molecule : Tensor of int64, shape (n_molecules,)
    bonds : Tensor of float32, shape (n_atoms, n_bond_features), or None
        Bond features of each atom's bonds, summed with ``weights``.
    """

    x: Tensor
    senders: Tensor
    weights: Tensor
    edge_ptr: Tensor
    atoms_per_molecule: Tensor
    bonds: Tensor | None


def _concatenated_ranges(ptr: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the segments ``ptr[i]:ptr[i + 1]`` for i in ``indices``, and their own pointer."""
    start = ptr[indices]
    lengths = ptr[indices + 1] - start
    out_ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    rows = torch.repeat_interleave(start - out_ptr[:-1], lengths)
    return rows + torch.arange(len(rows), device=ptr.device), out_ptr


def _one_hot(codes: Tensor, vocabulary: Featurizer) -> Tensor:
    x = torch.zeros(len(codes), vocabulary.n_atom_features, device=codes.device)
    codes = codes.long()
    ones, one_columns = [], []
    start = 0
    for column, field in enumerate(vocabulary.atom_fields):
        if field.size > 1:
            ones.append(start)
            one_columns.append(column)
        else:
            x[:, start] = codes[:, column].to(x.dtype)
        start += field.size
    return x.scatter_(1, codes[:, one_columns] + torch.tensor(ones, device=codes.device), 1.0)


@cache
def _bond_table(featurizer: str) -> Tensor:
    """Float features of every packed bond code, shape (n_codes, n_bond_features); row 0 is the self loop."""
    bond_fields = FEATURIZERS[featurizer].bond_fields
    levels = [max(field.size, 2) for field in bond_fields]
    codes = np.indices(levels).reshape(len(levels), -1)
    columns = [
        np.eye(field.size)[code] if field.size > 1 else code[:, None].astype(float)
        for field, code in zip(bond_fields, codes, strict=True)
    ]
    table = np.concatenate(columns, axis=1)
    return torch.tensor(np.vstack([np.zeros(table.shape[1]), table]), dtype=torch.float32)


def concatenate(parts: Sequence[MoleculeGraphs]) -> MoleculeGraphs:
    """Join several sets of molecules made by one featuriser."""
    if len(parts) == 1:
        return parts[0]

    def joined(name: str) -> Tensor:
        arrays = [getattr(part, name) for part in parts]
        if name.endswith("_ptr"):
            lengths = torch.cat([ptr.diff() for ptr in arrays])
            return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return torch.cat(arrays)

    return MoleculeGraphs(parts[0].featurizer, **{name: joined(name) for name in parts[0]._arrays()})


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
        self._bonds[0].extend(map(_BOND.GetBondTypeAsDouble, bonds))
        self._bonds[1].extend(map(_BOND.GetIsConjugated, bonds))
        self._bonds[2].extend(map(_BOND.IsInRing, bonds))
        self._bonds[3].extend(map(_BOND.GetStereo if Chem.GetUseLegacyStereoPerception() else _ez_stereo, bonds))

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
        codes[:, 0] = _ELEMENT_CODE[codes[:, 0]]
        codes[:, 4] = _HYBRIDIZATION_CODE[codes[:, 4]]
        for column, field in enumerate(self._vocabulary.atom_fields):
            if field.size > 1:
                np.clip(codes[:, column], 0, field.size - 1, out=codes[:, column])
        return np.ascontiguousarray(codes, dtype=np.int8)

    def _bond_codes(self) -> np.ndarray:
        twice_order, conjugated, ring, stereo = (np.asarray(column) for column in self._bonds)
        bond_type = _BOND_TYPE_CODE[(2 * twice_order).astype(np.int64)]
        levels = [max(field.size, 2) for field in self._vocabulary.bond_fields]
        fields = (bond_type, conjugated.astype(np.int64), ring.astype(np.int64), _STEREO_CODE[stereo])
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
                labelled[i] = _CHIRALITY_CODE.get(atoms[i].GetProp("_CIPCode"), 0)
    return labelled


def _ez_stereo(bond: Chem.Bond) -> int:
    """Stereo by CIP label: cis and trans of the new perception refer to neighbours that hang on the order of atoms."""
    return _EZ.get(bond.GetProp("_CIPCode"), 0) if bond.HasProp("_CIPCode") else 0


def _smallest_rings(mol: Chem.Mol) -> list[int]:
    """0 for an atom in no ring, else its smallest ring's size, coded from 1 (three) to 6 (eight or more)."""
    codes = [0] * mol.GetNumAtoms()
    for ring in mol.GetRingInfo().AtomRings():
        code = min(len(ring), _MAX_RING_SIZE) - 2
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
        The valid molecules, in order.
    reasons : dict of int to str
        Index of each value that is no molecule, and why.
    smiles, keys : list of str
        Canonical SMILES and connectivity key of each valid molecule; empty unless asked for.
    """

    graphs: MoleculeGraphs
    reasons: dict[int, str]
    smiles: list[str]
    keys: list[str]

    def graph_index(self, n_values: int) -> np.ndarray:
        """Row of ``graphs`` for each value, -1 where the value is no molecule."""
        index = np.zeros(n_values, dtype=np.int64)
        index[list(self.reasons)] = -1
        index[index == 0] = np.arange(n_values - len(self.reasons))
        return index


_CHUNK = 1024


def featurize(
    values: Sequence[Any],
    featurizer: str,
    standardize: Standardize = "parent",
    *,
    identify: bool = False,
    n_jobs: int | None = None,
) -> FeaturizedMolecules:
    """Parse, standardise and featurise molecules.

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
    chunks = [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)] or [values]
    parts: list[FeaturizedMolecules] = Parallel(n_jobs=n_jobs)(
        delayed(_featurize_chunk)(chunk, featurizer, standardize, identify) for chunk in chunks
    )
    return FeaturizedMolecules(
        concatenate([part.graphs for part in parts]),
        {i * _CHUNK + row: reason for i, part in enumerate(parts) for row, reason in part.reasons.items()},
        [smiles for part in parts for smiles in part.smiles],
        [key for part in parts for key in part.keys],
    )


def _featurize_chunk(
    values: Sequence[Any], featurizer: str, standardize: Standardize, identify: bool
) -> FeaturizedMolecules:
    builder = GraphBuilder(featurizer)
    result = FeaturizedMolecules(builder.build(), {}, [], [])
    with rdBase.BlockLogs():  # the reasons are reported by row; RDKit's log is as before afterwards
        for row, value in enumerate(values):
            try:
                mol = parse_molecule(value, standardize)
            except InvalidMolecule as error:
                result.reasons[row] = str(error)
                continue
            builder.add(mol)
            if identify:
                result.smiles.append(Chem.MolToSmiles(mol))
                result.keys.append(connectivity_key(mol))
    return FeaturizedMolecules(builder.build(), result.reasons, result.smiles, result.keys)
