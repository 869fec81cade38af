"""An encoder as other programs can run it: plain tensors in, plain operations, vectors out."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn


class PlainGraph:
    """What encoders read of a ``GraphBatch``, from the tensors of torch-geometric and without kernels of a device.

    Parameters
    ----------
    x : Tensor of float32, shape (n_atoms, n_atom_features)
    edge_index : Tensor of int64, shape (2, n_edges)
    batch : Tensor of int64, shape (n_atoms,)
    atoms_per_molecule : Tensor of int64, shape (n_molecules,)
    edge_attr : Tensor of float32, shape (n_edges, n_bond_features), optional
    """

    def __init__(
        self, x: Tensor, edge_index: Tensor, batch: Tensor, atoms_per_molecule: Tensor, edge_attr: Tensor | None = None
    ):
        self.x, self.edge_index, self.batch = x, edge_index, batch
        self.edge_attr = x.new_zeros(edge_index.shape[1], 0) if edge_attr is None else edge_attr
        self._has_bonds = edge_attr is not None
        self.n_atoms, self.n_molecules = x.shape[0], atoms_per_molecule.shape[0]
        self.atoms_per_molecule = atoms_per_molecule

    def padded(self, multiple: int) -> PlainGraph:
        """Return the graph: the number of atoms does not matter."""
        return self

    @cached_property
    def _inverse_root(self) -> Tensor:
        """One over the root of the number of neighbours, the atom itself among them."""
        ones = torch.ones_like(self.edge_index[1], dtype=self.x.dtype)
        return torch.ones_like(self.x[:, 0]).index_add(0, self.edge_index[1], ones).rsqrt()

    @cached_property
    def weights(self) -> Tensor:
        """Values of D^-1/2 (A + I) D^-1/2: those of the edges, then those of the atoms themselves."""
        root = self._inverse_root
        return torch.cat([root[self.edge_index[1]] * root[self.edge_index[0]], root * root])

    @cached_property
    def bonds(self) -> Tensor | None:
        """Bond features of each atom's bonds, summed with ``weights``."""
        return self._summed_bonds(self.edge_attr * self.weights[: self.edge_index.shape[1], None])

    @cached_property
    def bond_sums(self) -> Tensor | None:
        """Bond features of each atom's bonds, summed."""
        return self._summed_bonds(self.edge_attr)

    def _summed_bonds(self, of_edges: Tensor) -> Tensor | None:
        if not self._has_bonds:
            return None
        return self.x.new_zeros(self.n_atoms, of_edges.shape[1]).index_add(0, self.edge_index[1], of_edges)

    def sum_of_neighbors(self, h: Tensor, weights: Tensor | None) -> Tensor:
        """Sum the rows of each atom and its neighbours."""
        own, sent = h, h[self.edge_index[0]]
        if weights is not None:
            n_edges = self.edge_index.shape[1]
            own, sent = own * weights[n_edges:, None], sent * weights[:n_edges, None]
        return own.index_add(0, self.edge_index[1], sent)

    def reduce_atoms(self, atoms: Tensor, reduction: str) -> Tensor:
        """Reduce the rows of the atoms of each molecule by "sum" or "max"."""
        empty = atoms.new_zeros(self.n_molecules, atoms.shape[1])
        if reduction == "sum":
            return empty.index_add(0, self.batch, atoms)
        places = self.batch[:, None].expand(-1, atoms.shape[1])
        return empty.scatter_reduce(0, places, atoms, "amax", include_self=False)


class ExportedEncoder(nn.Module):
    """A network that reads a graph, as one that takes tensors."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor,
        atoms_per_molecule: Tensor,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        return self.network(PlainGraph(x, edge_index, batch, atoms_per_molecule, edge_attr))
