"""The residual encoder against a dense network written by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from rdkit import Chem

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.nn import ResidualGraphEncoder

SMILES = ["CCO", "c1ccncc1C", "C/C=C/C(=O)O", "[Na+].CC(=O)[O-]", "C", "CC(C)(C)OC(=O)N1CCC1"]


def batch(smiles, featurizer="rich"):
    return featurize(smiles, featurizer).graphs.collate()


def encoder(featurizer="rich", **parameters):
    graph = batch(SMILES, featurizer)
    torch.manual_seed(0)
    widths = graph.featurizer.n_atom_features, graph.featurizer.n_bond_features
    network = ResidualGraphEncoder(*widths, **({"n_layers": 2, "hidden_dim": 16, "embedding_dim": 8} | parameters))
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return network.eval()


def normalized(h, w, name):
    h = (h - h.mean(axis=-1, keepdims=True)) / np.sqrt(h.var(axis=-1, keepdims=True) + 1e-5)
    return h * w[f"{name}.weight"] + w[f"{name}.bias"]


def reference(network, smiles, featurizer):
    """One molecule at a time, with dense matrices in float64."""
    w = {name: t.double().numpy() for name, t in network.state_dict().items()}
    pooled = []
    for s in smiles:
        mol = parse_molecule(s)
        graph = batch([s], featurizer)
        loops = Chem.GetAdjacencyMatrix(mol) + np.eye(mol.GetNumAtoms())
        h = graph.x.double().numpy() @ w["embed.weight"].T + w["embed.bias"]
        bonds = np.zeros((len(h), graph.featurizer.n_bond_features))
        for (_, receiver), features in zip(graph.edge_index.T.tolist(), graph.edge_attr.numpy(), strict=True):
            bonds[receiver] += features
        for i in range(len(network.layers)):
            m = loops @ normalized(h, w, f"layers.{i}.norm") @ w[f"layers.{i}.message.weight"].T
            m = m + w[f"layers.{i}.message.bias"]
            if bonds.shape[1]:
                m = m + bonds @ w[f"layers.{i}.bond.weight"].T
            h = h + np.maximum(m, 0) @ w[f"layers.{i}.update.weight"].T + w[f"layers.{i}.update.bias"]
        h = normalized(h, w, "norm")
        pooled.append(np.concatenate([h.sum(axis=0), h.mean(axis=0), h.max(axis=0)]))
    scaled = (np.array(pooled) - w["readout.0.running_mean"]) / np.sqrt(w["readout.0.running_var"] + 1e-5)
    scaled = scaled * w["readout.0.weight"] + w["readout.0.bias"]
    return scaled @ w["readout.1.weight"].T + w["readout.1.bias"]


@pytest.mark.parametrize("featurizer", ["rich", "paper"])
def test_agrees_with_a_dense_network(featurizer):
    network = encoder(featurizer)
    with torch.no_grad():
        z = network(batch(SMILES, featurizer)).numpy()
    np.testing.assert_allclose(z, reference(network, SMILES, featurizer), rtol=1e-4, atol=1e-4)


def test_gradients_agree_with_finite_differences():
    network = encoder(hidden_dim=6, embedding_dim=3)
    graph = batch(SMILES)
    direction = torch.randn(len(SMILES), 3)
    weight = network.layers[0].message.weight

    def loss():
        return float((network(graph) * direction).sum())

    (network(graph) * direction).sum().backward()
    for place in [(0, 0), (3, 2), (5, 4)]:
        with torch.no_grad():
            weight[place] += 1e-2
            above = loss()
            weight[place] -= 2e-2
            below = loss()
            weight[place] += 1e-2
        assert float(weight.grad[place]) == pytest.approx((above - below) / 2e-2, rel=0.05, abs=5e-3)


def test_readouts_have_their_names():
    one, three = encoder(readout=("mean",)), encoder()
    assert one.readout[0].num_features == 16
    assert three.readout[0].num_features == 48
    with pytest.raises(ValueError, match=r"readout must hold some of \['sum', 'mean', 'max'\]"):
        encoder(readout=("median",))


def test_a_batch_of_one_molecule_can_be_trained_on():
    network = encoder().train()
    before = network.readout[0].running_mean.clone()
    network(batch(["CCO"])).sum().backward()
    torch.testing.assert_close(network.readout[0].running_mean, before)


def test_width_depth_and_readout_are_parameters_of_the_embedder(smiles, profiles):
    small = partial(ResidualGraphEncoder, n_layers=1, hidden_dim=8, embedding_dim=5, readout=("sum",))
    assert MoCoPEmbedder(encoder=small, max_epochs=1, random_state=0).fit(smiles, profiles=profiles).transform(
        smiles[:2]
    ).shape == (2, 5)
    named = MoCoPEmbedder(encoder="gine", n_layers=2, hidden_dim=8, embedding_dim=6, max_epochs=1, random_state=0)
    assert named.fit(smiles, profiles=profiles).transform(smiles[:2]).shape == (2, 6)


def test_an_embedding_does_not_depend_on_its_neighbours(smiles, profiles):
    embedder = MoCoPEmbedder(encoder="gine", hidden_dim=32, max_epochs=1, random_state=0).fit(smiles, profiles=profiles)
    together = embedder.transform(smiles)
    np.testing.assert_array_equal(embedder.transform(smiles[3:4])[0], together[3])
    np.testing.assert_array_equal(embedder.transform(smiles[::-1])[::-1], together)
