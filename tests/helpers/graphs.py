"""Graphs of molecules, and what a network sees of them."""

import torch

from mocop_sklearn.molecules._featurize import featurize

MOLECULES = [
    "CCO",
    "c1ccccc1",
    "c1cc[nH]c1",
    "C[N+](C)(C)C",
    "O=S(=O)(F)c1ccc(Cl)cc1",
    "C[C@H](N)C(=O)O",
    "C/C=C\\C",
    "F/C(Cl)=C(\\Br)I",
    "C[C@H]1CC[C@@H](C)CC1",
    "C1CC[C@H]2CCCC[C@@H]2C1",
    "O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@H](O)[C@@H]1O",
    "CC[S@](C)=O",
    "CCOP(=O)OCC",
    "CS(=O)=O",
    "N#Cc1ccc2[nH]c(C3CC3)nc2c1",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "C1CCCCCCCCC1",
    "C",
    "*CCO",
    "FS(F)(F)(F)(F)F",
]


def one_molecule(smiles, featurizer="paper", standardize="parent"):
    return featurize([smiles], featurizer, standardize).graphs


def dense_adjacency(batch):
    """The normalised adjacency matrix of a batch."""
    n = len(batch.x)
    dense = torch.zeros(n, n)
    receivers = torch.repeat_interleave(torch.arange(n), batch.edge_ptr.diff())
    dense[receivers, batch.senders] = batch.weights
    return dense


def signature(graphs):
    """What a network sees of one molecule, whatever the order of its atoms: rows of features and of what they reach."""
    batch = graphs.collate()
    adjacency = dense_adjacency(batch)
    rows = [batch.x] if batch.bonds is None else [batch.x, batch.bonds]
    x = torch.cat(rows, dim=1)
    rows = torch.cat([x, adjacency @ x, adjacency @ adjacency @ x], dim=1)
    return sorted(map(tuple, (rows.double().numpy().round(4) + 0.0).tolist()))
