"""Molecules as compact integer arrays → one batched graph of float features.

A molecule costs about 14 bytes an atom in memory; tensors of features exist only for the batch at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils._segments import reduce_segments, sum_of_bags
from ._fields import Featurizer


@dataclass(frozen=True)
class MoleculeGraphs:
    """Many molecules as integer arrays.

    Edges are directed, sorted by receiving atom, and include one self loop per atom.

    Attributes
    ----------
    featurizer : Featurizer
    atoms : Tensor of int8, shape (n_atoms, n_atom_fields)
    n_neighbors : Tensor of int16, shape (n_atoms,)
        Edges received by each atom, its self loop included.
    neighbors : Tensor of int16, shape (n_edges,)
        Sending atom of each edge, counted within its molecule.
    edges : Tensor of uint8 or int16, shape (n_edges,)
        0 for a self loop, else 1 + the packed bond fields; empty when the featuriser reads no bonds.
    atom_ptr, edge_ptr : Tensor of int64, shape (n_molecules + 1,)
        Molecule i has the atoms ``atom_ptr[i]:atom_ptr[i + 1]``. Always on the host: they tell all sizes, so that
        nothing waits for a GPU.
    """

    featurizer: Featurizer
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

    def equals(self, other: MoleculeGraphs) -> bool:
        """Whether all arrays are equal."""
        arrays = other._arrays()
        return all(torch.equal(array, arrays[name]) for name, array in self._arrays().items())

    @property
    def nbytes(self) -> int:
        """Bytes held in all arrays."""
        return sum(a.nbytes for a in self._arrays().values())

    def to(self, device: torch.device | str) -> MoleculeGraphs:
        """Return these molecules on ``device``, but for the two pointers, which stay on the host."""
        moved = {name: getattr(self, name).to(device) for name in ("atoms", "n_neighbors", "neighbors", "edges")}
        return replace(self, **moved)

    def take(self, indices: Tensor) -> MoleculeGraphs:
        """Return the molecules at ``indices``, a tensor on the host, in that order."""
        atom_rows, atom_ptr = _concatenated_ranges(self.atom_ptr, indices, self.atoms.device)
        edge_rows, edge_ptr = _concatenated_ranges(self.edge_ptr, indices, self.atoms.device)
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
        x = _one_hot(self.atoms, self.featurizer)
        n_neighbors = self.n_neighbors.long()
        first_atom = _to_device(self.atom_ptr[:-1], x.device)
        n_edges_of_molecule = _to_device(self.edge_ptr.diff(), x.device)
        n_edges = len(self.neighbors)
        senders = self.neighbors + torch.repeat_interleave(first_atom, n_edges_of_molecule, output_size=n_edges)
        return GraphBatch(
            x,
            senders,
            torch.cat([senders.new_zeros(1), n_neighbors.cumsum(0)]),
            _to_device(self.atom_ptr.diff(), x.device),
            edges=self.edges,
            featurizer=self.featurizer,
            n_atoms=len(x),
        )


@dataclass(frozen=True)
class GraphBatch:
    """Molecules joined into one graph with several components.

    What follows from the fields is computed when it is first asked for: what the built-in encoders read, and the same
    graph in the layout of torch-geometric (``edge_index``, ``edge_attr``, ``batch``).

    Attributes
    ----------
    x : Tensor of float32, shape (n_atoms, n_atom_features)
    senders : Tensor of int64, shape (n_edges + n_atoms,)
        Columns of A + I, a symmetric sparse matrix stored by rows. It has an entry for each edge and one for each atom
        itself.
    edge_ptr : Tensor of int64, shape (n_atoms + 1,)
        Atom i has the entries ``edge_ptr[i]:edge_ptr[i + 1]``, from all senders.
    atoms_per_molecule : Tensor of int64, shape (n_molecules,)
    edges : Tensor of uint8 or int16, shape (n_edges + n_atoms,)
        Packed bond features: 0 for an atom itself, else 1 + the code of the bond. Empty without bond features.
    featurizer : Featurizer
        What ``x`` and ``edges`` mean.
    n_atoms : int
        Number of atoms that belong to a molecule. ``x`` has more rows after ``padded``.
    """

    x: Tensor
    senders: Tensor
    edge_ptr: Tensor
    atoms_per_molecule: Tensor
    edges: Tensor
    featurizer: Featurizer
    n_atoms: int

    @property
    def n_molecules(self) -> int:
        """Number of molecules."""
        return len(self.atoms_per_molecule)

    @cached_property
    def weights(self) -> Tensor:
        """Values of D^-1/2 (A + I) D^-1/2 in the order of ``senders``, float32 of shape (n_edges + n_atoms,)."""
        inverse_root = self.edge_ptr.diff().to(self.x.dtype).rsqrt()
        return inverse_root[self._receivers] * inverse_root[self.senders]

    @cached_property
    def bonds(self) -> Tensor | None:
        """Bond features of each atom's bonds, summed with ``weights``: float32 of shape (n_atoms, n_bond_features)."""
        return self._summed_bonds(self.weights)

    @cached_property
    def bond_sums(self) -> Tensor | None:
        """Bond features of each atom's bonds, summed: float32 of shape (n_atoms, n_bond_features)."""
        return self._summed_bonds(None)

    @cached_property
    def edge_index(self) -> Tensor:
        """Sender and receiver of each edge, without self loops, int64 of shape (2, n_edges)."""
        return torch.stack([self._without_loops(self.senders), self._without_loops(self._receivers)])

    @cached_property
    def edge_attr(self) -> Tensor:
        """Bond features of each edge of ``edge_index``, float32 of shape (n_edges, n_bond_features)."""
        if not self.featurizer.bond_fields:
            return self.x.new_zeros(len(self.senders) - self.n_atoms, 0)
        return _bond_table(self.featurizer, self.x.device)[self._without_loops(self.edges.long())]

    @cached_property
    def batch(self) -> Tensor:
        """Molecule of each atom, int64 of shape (n_atoms,); atoms of ``padded`` have none."""
        molecules = torch.arange(self.n_molecules, device=self.x.device)
        return torch.repeat_interleave(molecules, self.atoms_per_molecule, output_size=self.n_atoms)

    def sum_of_neighbors(self, h: Tensor, weights: Tensor | None) -> Tensor:
        """Sum the rows of each atom and its neighbours, with ``weights`` in the order of ``senders``."""
        return sum_of_bags(self.senders, h, self.edge_ptr, weights)

    def reduce_atoms(self, atoms: Tensor, reduction: str) -> Tensor:
        """Reduce the rows of the atoms of each molecule, (n_atoms, d) → (n_molecules, d).

        Parameters
        ----------
        atoms : Tensor of float32, shape (n_atoms, d)
        reduction : {"sum", "max"}
            Of a molecule without atoms, ``"sum"`` is 0, and ``"max"`` is not defined.
        """
        return reduce_segments(atoms, reduction, self.atoms_per_molecule)

    def _without_loops(self, values: Tensor) -> Tensor:
        """Leave out the entries of the atoms themselves. Their number is known, so that nothing waits for a GPU."""
        n_edges = len(self.senders) - self.n_atoms
        place = torch.where(self._is_loop, n_edges, (~self._is_loop).cumsum(0) - 1)
        return values.new_empty(n_edges + 1).scatter_(0, place, values)[:n_edges]

    def _summed_bonds(self, weights: Tensor | None) -> Tensor | None:
        if not self.featurizer.bond_fields:
            return None
        return sum_of_bags(self.edges.long(), _bond_table(self.featurizer, self.x.device), self.edge_ptr, weights)

    @cached_property
    def _receivers(self) -> Tensor:
        atoms = torch.arange(len(self.x), device=self.x.device)
        return torch.repeat_interleave(atoms, self.edge_ptr.diff(), output_size=len(self.senders))

    @cached_property
    def _is_loop(self) -> Tensor:
        return self.senders == self._receivers

    def subgraph(self, kept: Tensor) -> GraphBatch:
        """Return the graph without some atoms and without their bonds.

        Parameters
        ----------
        kept : Tensor of bool, shape (n_atoms,)
            False for an atom to take away. The features of the others stay as they are.
        """
        of_edges = kept[self.senders] & kept[self._receivers]
        place = kept.cumsum(0) - 1
        n_atoms = int(kept.sum())
        n_received = torch.bincount(place[self._receivers[of_edges]], minlength=n_atoms)
        return GraphBatch(
            self.x[kept],
            place[self.senders[of_edges]],
            torch.cat([n_received.new_zeros(1), n_received.cumsum(0)]),
            torch.bincount(self.batch[kept], minlength=self.n_molecules),
            edges=self.edges[of_edges] if len(self.edges) else self.edges,
            featurizer=self.featurizer,
            n_atoms=n_atoms,
        )

    def padded(self, multiple: int) -> GraphBatch:
        """Return the graph with atoms that belong to no molecule and have no bonds: their number is a multiple."""
        n = -len(self.x) % multiple
        edge_ptr = torch.cat([self.edge_ptr, self.edge_ptr[-1:].expand(n)])
        return replace(self, x=F.pad(self.x, (0, 0, 0, n)), edge_ptr=edge_ptr)


def _to_device(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device, non_blocking=True)


def _concatenated_ranges(ptr: Tensor, indices: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of the segments ``ptr[i]:ptr[i + 1]`` for i in ``indices``, on ``device``, and their own pointer."""
    start = ptr[indices]
    lengths = ptr[indices + 1] - start
    out_ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    n = int(out_ptr[-1])
    shift = torch.repeat_interleave(
        _to_device(start - out_ptr[:-1], device), _to_device(lengths, device), output_size=n
    )
    return shift + torch.arange(n, device=device), out_ptr


def _one_hot(codes: Tensor, featurizer: Featurizer) -> Tensor:
    x = torch.zeros(len(codes), featurizer.n_atom_features, device=codes.device)
    codes = codes.long()
    ones, one_columns = [], []
    start = 0
    for column, field in enumerate(featurizer.atom_fields):
        if field.size > 1:
            ones.append(start)
            one_columns.append(column)
        else:
            x[:, start] = codes[:, column].to(x.dtype)
        start += field.size
    places = torch.stack([codes[:, column] for column in one_columns], dim=1) if one_columns else codes[:, :0]
    return x.scatter_(1, places + _to_device(torch.tensor(ones, dtype=torch.int64), codes.device), 1.0)


@cache
def _bond_table(featurizer: Featurizer, device: torch.device) -> Tensor:
    """Float features of every packed bond code, shape (n_codes, n_bond_features); row 0 is the self loop."""
    bond_fields = featurizer.bond_fields
    levels = [max(field.size, 2) for field in bond_fields]
    codes = np.indices(levels).reshape(len(levels), -1)
    columns = [
        np.eye(field.size)[code] if field.size > 1 else code[:, None].astype(float)
        for field, code in zip(bond_fields, codes, strict=True)
    ]
    table = np.concatenate(columns, axis=1)
    return torch.tensor(np.vstack([np.zeros(table.shape[1]), table]), dtype=torch.float32, device=device)


def edge_dtype(featurizer: Featurizer) -> type[np.uint8] | type[np.int16]:
    """The smallest integers that hold the packed bond codes, which begin at 1."""
    n_codes = prod(max(field.size, 2) for field in featurizer.bond_fields)
    return np.uint8 if n_codes < 2**8 else np.int16


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
