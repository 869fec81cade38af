"""The residual encoder ("gine"): pre-norm graph convolutions with bonds, and a sum, mean and max readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..molecules._graphs import GraphBatch
from ._layers import ROWS_MULTIPLE, Dropout, linear, sum_of_neighbors


def _sum(atoms: Tensor, graph: GraphBatch) -> Tensor:
    return graph.reduce_atoms(atoms, "sum")


def _mean(atoms: Tensor, graph: GraphBatch) -> Tensor:
    return _sum(atoms, graph) / graph.atoms_per_molecule.clamp(min=1)[:, None]


def _max(atoms: Tensor, graph: GraphBatch) -> Tensor:
    highest = graph.reduce_atoms(atoms, "max")
    return torch.where(graph.atoms_per_molecule[:, None] > 0, highest, 0.0)


READOUTS: dict[str, Callable[[Tensor, GraphBatch], Tensor]] = {"sum": _sum, "mean": _mean, "max": _max}


class ResidualGraphConv(nn.Module):
    r"""One residual graph convolution.

    .. math::
        H' = H + \mathrm{ReLU}\big((A + I)\,\mathrm{LayerNorm}(H)\,W_1 + B\,V + b_1\big)\,W_2 + b_2

    A graph isomorphism convolution with bonds (Hu et al., *Strategies for Pre-training Graph Neural Networks*, arXiv
    1905.12265), on normalised states. ``B`` holds the features of each atom's bonds, summed.

    Shapes: H and H' (n_atoms, width), B (n_atoms, n_bond_features).
    """

    def __init__(self, width: int, n_bond_features: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.message = nn.Linear(width, width)
        self.bond = nn.Linear(n_bond_features, width, bias=False) if n_bond_features else None
        self.update = nn.Linear(width, width)
        with torch.no_grad():  # so that the states of a deep network begin alike
            self.update.weight.mul_(0.5)

    def forward(self, h: Tensor, graph: GraphBatch) -> Tensor:
        m, weight = sum_of_neighbors(self.norm(h), graph), self.message.weight
        if self.bond is not None:
            assert graph.bond_sums is not None
            m, weight = torch.cat([m, graph.bond_sums], dim=1), torch.cat([weight, self.bond.weight], dim=1)
        m = linear(m, weight, self.message.bias, "relu")
        return h + linear(m, self.update.weight, self.update.bias)


class MoleculeNorm(nn.BatchNorm1d):
    """Batch normalisation that takes a batch of one molecule: it then uses the statistics it has.

    In a process group, each process normalises its own share of a batch; the kept statistics are the mean of all.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) < 2:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class ResidualGraphEncoder(nn.Module):
    """The default encoder: residual graph convolutions, a readout of several kinds, batch normalisation, linear.

    Parameters
    ----------
    n_atom_features, n_bond_features : int
    n_layers : int
        Convolutions.
    hidden_dim : int
        Width of the atoms' states.
    embedding_dim : int
        Width of the representation.
    dropout : float
        After each convolution.
    readout : sequence of {"sum", "mean", "max"}
        How the atoms of a molecule become one vector; several stand side by side.

    Raises
    ------
    ValueError
        When ``readout`` is empty or holds another name.
    """

    # In batches filled up with molecules without atoms, an embedding does not depend on what stands beside it.
    takes_empty_molecules = True

    def __init__(
        self,
        n_atom_features: int,
        n_bond_features: int,
        *,
        n_layers: int = 4,
        hidden_dim: int = 128,
        embedding_dim: int = 512,
        dropout: float = 0.0,
        readout: Sequence[str] = ("sum", "mean", "max"),
    ):
        super().__init__()
        unknown = [name for name in readout if name not in READOUTS]
        if unknown or not readout:
            raise ValueError(f"readout must hold some of {list(READOUTS)}, but it is {readout!r}.")
        self.readout_names = tuple(readout)
        self.embed = nn.Linear(n_atom_features, hidden_dim)
        self.layers = nn.ModuleList(ResidualGraphConv(hidden_dim, n_bond_features) for _ in range(n_layers))
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_dim)
        self.readout = nn.Sequential(
            MoleculeNorm(len(readout) * hidden_dim, momentum=0.02), nn.Linear(len(readout) * hidden_dim, embedding_dim)
        )
        self.out_features = embedding_dim

    @property
    def parts(self) -> list[nn.Module]:
        """The input, the convolutions, and the readout, in the order in which a molecule passes them."""
        return [self.embed, *self.layers, nn.ModuleList([self.norm, self.readout])]

    def forward(self, graph: GraphBatch) -> Tensor:
        n_atoms = graph.x.shape[0]
        if graph.x.is_cpu:
            graph = graph.padded(ROWS_MULTIPLE)
        h = linear(graph.x, self.embed.weight, self.embed.bias)
        for layer in self.layers:
            h = self.dropout(layer(h, graph))
        atoms = self.norm(h)[:n_atoms].float()
        pooled: list[Any] = [READOUTS[name](atoms, graph) for name in self.readout_names]
        return self.readout(torch.cat(pooled, dim=1))  # (n_molecules, embedding_dim)
