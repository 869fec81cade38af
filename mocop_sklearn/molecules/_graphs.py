"""Molecules as compact integer arrays → one batched graph of float features.

A molecule costs about 14 bytes an atom in memory; tensors of features exist only for the batch at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._fields import FEATURIZERS, Featurizer


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

    def padded(self, multiple: int) -> GraphBatch:
        """Return the graph with atoms of no molecule and without bonds, so that their number is a multiple."""
        n = -len(self.x) % multiple
        edge_ptr = torch.cat([self.edge_ptr, self.edge_ptr[-1:].expand(n)])
        bonds = None if self.bonds is None else F.pad(self.bonds, (0, 0, 0, n))
        return replace(self, x=F.pad(self.x, (0, 0, 0, n)), edge_ptr=edge_ptr, bonds=bonds)


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
