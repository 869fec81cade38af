"""The batched graph in the layout of torch-geometric."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from torch_geometric.utils import subgraph

from mocop_sklearn.molecules import FEATURIZERS, to_pyg
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.nn import GraphBatch

SMILES = ["CCO", "c1ccccc1", "C", "C/C=C\\C", "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "C1CC1C#N"]


def batch(featurizer="rich"):
    return featurize(SMILES, featurizer, None).graphs.collate()


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_edges_are_the_bonds_of_rdkit(featurizer):
    graph = batch(featurizer)
    assert isinstance(graph, GraphBatch)
    first, pairs, molecules = 0, set(), []
    for row, smiles in enumerate(SMILES):
        mol = parse_molecule(smiles, None)
        for bond in mol.GetBonds():
            i, j = first + bond.GetBeginAtomIdx(), first + bond.GetEndAtomIdx()
            pairs |= {(i, j), (j, i)}
        first += mol.GetNumAtoms()
        molecules += [row] * mol.GetNumAtoms()
    assert graph.edge_index.dtype == torch.int64
    assert sorted(map(tuple, graph.edge_index.T.tolist())) == sorted(pairs)
    assert graph.batch.tolist() == molecules
    assert graph.n_molecules == len(SMILES)
    assert graph.edge_attr.shape == (len(pairs), FEATURIZERS[featurizer].n_bond_features)
    assert graph.edge_attr.dtype == torch.float32


def test_bond_features_belong_to_their_edges():
    """Summed with the weights of the adjacency matrix, they are what the built-in encoder reads."""
    graph = batch()
    senders, receivers = graph.edge_index
    degree = graph.edge_ptr.diff().double()
    weight = (degree[senders] * degree[receivers]) ** -0.5
    summed = torch.zeros(graph.bonds.shape, dtype=torch.float64)
    summed.index_add_(0, receivers, graph.edge_attr.double() * weight[:, None])
    torch.testing.assert_close(summed.float(), graph.bonds)
    mol = parse_molecule("C1CC1C#N", None)
    triple = next(b for b in mol.GetBonds() if b.GetBondType() == Chem.BondType.TRIPLE)
    first = len(graph.x) - mol.GetNumAtoms()
    ends = sorted(first + a.GetIdx() for a in (triple.GetBeginAtom(), triple.GetEndAtom()))
    assert sorted(set(graph.edge_index[:, graph.edge_attr[:, 2] == 1].ravel().tolist())) == ends


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_padding_changes_neither_edges_nor_molecules(featurizer):
    graph = batch(featurizer)
    padded = graph.padded(64)
    assert len(padded.x) == 64
    for name in ("edge_index", "edge_attr", "batch"):
        assert torch.equal(getattr(padded, name), getattr(graph, name)), name
    assert padded.n_molecules == graph.n_molecules


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_a_subgraph_is_that_of_torch_geometric(featurizer):
    graph = batch(featurizer)
    kept = torch.rand(graph.n_atoms, generator=torch.Generator().manual_seed(0)) < 0.7
    edge_index, edge_attr = subgraph(kept, graph.edge_index, graph.edge_attr, relabel_nodes=True)
    part = graph.subgraph(kept)
    torch.testing.assert_close(part.edge_index, edge_index)
    torch.testing.assert_close(part.edge_attr, edge_attr)
    torch.testing.assert_close(part.x, graph.x[kept])
    torch.testing.assert_close(part.batch, graph.batch[kept])
    assert part.n_molecules == len(SMILES)


def test_nothing_is_computed_before_it_is_asked_for():
    graph = batch()
    assert not {"edge_index", "edge_attr", "batch"} & set(vars(graph))
    assert graph.edge_index is graph.edge_index


def test_a_batch_of_no_bonds_and_of_no_molecules():
    lone = featurize(["C", "[Na+]"], "rich", None).graphs.collate()
    assert lone.edge_index.shape == (2, 0)
    assert lone.edge_attr.shape == (0, FEATURIZERS["rich"].n_bond_features)
    assert lone.batch.tolist() == [0, 1]
    empty = featurize(["junk"], "rich").graphs.collate()
    assert empty.edge_index.shape == (2, 0)
    assert empty.n_molecules == 0


def test_to_pyg():
    pytest.importorskip("torch_geometric")
    found = to_pyg(["CCO", "c1ccccc1", "CCO"])
    assert found.num_graphs == 3
    graph = featurize(["CCO", "c1ccccc1"], "rich").graphs.take(torch.tensor([0, 1, 0])).collate()
    for name in ("x", "edge_index", "edge_attr", "batch"):
        assert torch.equal(getattr(found, name), getattr(graph, name)), name
    assert found[1].edge_index.max() == 5
    assert to_pyg(np.array(["CCO"]), "paper").edge_attr.shape == (4, 0)


def test_to_pyg_names_the_rows_that_are_not_molecules():
    pytest.importorskip("torch_geometric")
    with pytest.raises(ValueError, match="1 of 2 rows of X are not valid molecules") as error:
        to_pyg(["CCO", "junk"])
    assert "row 1: 'junk'" in str(error.value)


def test_to_pyg_runs_a_network_of_torch_geometric():
    models = pytest.importorskip("torch_geometric.nn")
    data = to_pyg(SMILES)
    network = models.GATv2Conv(data.x.shape[1], 4, edge_dim=data.edge_attr.shape[1])
    out = models.global_add_pool(network(data.x, data.edge_index, data.edge_attr), data.batch)
    assert out.shape == (len(SMILES), 4)
    assert out.isfinite().all()
