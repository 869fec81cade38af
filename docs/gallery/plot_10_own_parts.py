"""
An encoder and a loss of your own
=================================

The encoder may be a network of torch-geometric, by name or as a class, or a module that you wrote. The loss may be a
function. All are factories or functions, so that each fit begins with new weights, and each is a value of a grid
search.
"""

from functools import partial

import matplotlib.pyplot as plt
import torch
from torch_geometric.nn import GAT

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.nn import PyGEncoder, infonce

data = load_comas()
smiles, profiles = data.smiles[:600], data.profiles[:600]

# %%
# A module
# --------
# It is built with the widths of the atom and bond features, has ``out_features``, and maps a batch of graphs to a row
# per molecule. This one does not look at bonds at all.


class MeanOfAtoms(torch.nn.Module):
    """One layer for each atom, and the mean of the atoms."""

    def __init__(self, n_atom_features, n_bond_features, width=64):
        super().__init__()
        self.layer = torch.nn.Linear(n_atom_features, width)
        self.out_features = width

    def forward(self, graph):
        atoms = torch.relu(self.layer(graph.x))  # (n_atoms, width)
        total = atoms.new_zeros(graph.n_molecules, self.out_features).index_add(0, graph.batch, atoms)
        return total / graph.atoms_per_molecule[:, None]


# %%
# A loss
# ------
# InfoNCE with a penalty on similar vectors of other molecules.


def spread_out(molecules, profiles, scale, groups, weights):
    """InfoNCE, and 0.1 × the mean squared cosine of two molecules."""
    return infonce(molecules, profiles, scale, groups, weights) + 0.1 * (molecules @ molecules.T).square().mean()


# %%
# Four trainings
# --------------

QUICK = {"max_epochs": 8, "side_features": None, "structure_weight": 0, "random_state": 0}
ARMS = {
    "mean of atoms": MoCoPEmbedder(encoder=MeanOfAtoms, **QUICK),
    "the same, other loss": MoCoPEmbedder(encoder=MeanOfAtoms, loss=spread_out, **QUICK),
    "torch-geometric's GAT": MoCoPEmbedder(encoder=partial(PyGEncoder, GAT, hidden_channels=64, num_layers=2), **QUICK),
    "the default encoder": MoCoPEmbedder(**QUICK),
}
for name, arm in ARMS.items():
    history = arm.fit(smiles, profiles).history_
    plt.plot([row["epoch"] for row in history], [row["validation_score"] for row in history], label=name)
plt.axhline(0, color="black", lw=0.8)
plt.xlabel("epoch")
plt.ylabel("retrieval of validation molecules (chance 0)")
plt.legend()
plt.show()
