"""Encoders, profile encoders and losses as a user would hand them in; other processes import them by name."""

from functools import partial

import torch
from torch import nn
from torch_geometric.nn import PNA, GINEConv
from torch_geometric.nn.models.basic_gnn import BasicGNN

from mocop_sklearn.nn import PyGEncoder, infonce


class GINE(BasicGNN):
    """A model in the manner of torch-geometric, whose convolutions read bonds."""

    supports_edge_weight = False
    supports_edge_attr = True

    def init_conv(self, in_channels, out_channels, **kwargs):
        return GINEConv(nn.Linear(in_channels, out_channels), **kwargs)


class MeanOfAtoms(nn.Module):
    """A module of one's own, without torch-geometric: the mean of the atoms and their bonds, normalised by batch."""

    def __init__(self, n_atom_features, n_bond_features, width=24):
        super().__init__()
        self.atoms = nn.Linear(n_atom_features, width)
        self.bonds = nn.Linear(n_bond_features, width)
        self.norm = nn.BatchNorm1d(width)
        self.out_features = width

    def forward(self, graph):
        h = self.atoms(graph.x)
        h = h.index_add(0, graph.edge_index[1], self.bonds(graph.edge_attr))
        total = torch.zeros(graph.n_molecules, h.shape[1]).index_add(0, graph.batch, torch.relu(h))
        return self.norm(total / graph.atoms_per_molecule[:, None])


class WideProfiles(nn.Module):
    """One layer for profiles."""

    def __init__(self, n_features):
        super().__init__()
        self.layer = nn.Linear(n_features, 20)
        self.out_features = 20

    def forward(self, profiles):
        return torch.tanh(self.layer(profiles))


gine = partial(PyGEncoder, GINE, hidden_channels=16, num_layers=2)
pna = partial(PyGEncoder, PNA, hidden_channels=16, num_layers=2, pool="mean")
ENCODERS = {"gine": gine, "pna": pna, "own": MeanOfAtoms}


def softer(molecules, profiles, scale, groups, weights):
    """A loss of one's own."""
    return infonce(molecules, profiles, scale / 2, groups, weights)


def focal(outputs, targets):
    """The focal loss of Lin et al. (arXiv 1708.02002) with gamma 2."""
    losses = nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return (1 - torch.exp(-losses)) ** 2 * losses
