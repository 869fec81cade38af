import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rdkit import Chem
from torch import nn

from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._fields import FEATURIZERS
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.nn import _layers as layers
from mocop_sklearn.nn import infonce
from mocop_sklearn.nn._encoders import ProfileEncoder
from mocop_sklearn.nn._layers import GatedGraphConv, linear
from mocop_sklearn.nn._models import Architecture, TwoTower

SMILES = ["CCO", "C", "c1ccccc1", "C[C@H](N)C(=O)O", "C/C=C/CC#N", "O=S(=O)(N)c1ccc(Cl)cc1", "C" * 30]


def architecture(**changes):
    values = {
        "featurizer": "rich",
        "n_layers": 3,
        "hidden_dim": 12,
        "embedding_dim": 20,
        "projection_dim": 6,
        "profile_dims": (10, 8),
        "n_profile_features": 15,
        "dropout": 0.1,
    }
    return Architecture(**(values | changes))


def model(**changes):
    torch.manual_seed(0)
    return TwoTower(architecture(**changes), temperature=0.2).eval()


def batch(smiles, featurizer="rich"):
    return featurize(smiles, featurizer).graphs.collate()


@pytest.fixture(params=[("paper", 75), ("paper", 12), ("rich", 12), ("rich", 85)], ids=lambda p: f"{p[0]}-{p[1]}")
def featurizer_and_width(request):
    """Each featuriser, with atom features as wide as the hidden states and with others."""
    return request.param


# ---------------------------------------------------------------------------------------------
# A second implementation: padded, dense, in float64, from the formulas of the docstrings
# ---------------------------------------------------------------------------------------------


def padded(smiles, featurizer):
    """Atom features, adjacency matrices, bond features and masks of molecules, filled up to the largest of them."""
    mols = [parse_molecule(s) for s in smiles]
    n = max(mol.GetNumAtoms() for mol in mols)
    vocabulary = FEATURIZERS[featurizer]
    x = np.zeros((len(mols), n, vocabulary.n_atom_features))
    a = np.zeros((len(mols), n, n))
    e = np.zeros((len(mols), n, vocabulary.n_bond_features))
    mask = np.zeros((len(mols), n, 1))
    for i, (s, mol) in enumerate(zip(smiles, mols, strict=True)):
        k = mol.GetNumAtoms()
        graph = batch([s], featurizer)
        x[i, :k] = graph.x.numpy()
        loops = Chem.GetAdjacencyMatrix(mol) + np.eye(k)
        degree = loops.sum(axis=1)
        for row in range(k):
            for column in range(k):
                a[i, row, column] = loops[row, column] / np.sqrt(degree[row] * degree[column])
        if graph.bonds is not None:
            e[i, :k] = graph.bonds.numpy()
        mask[i, :k] = 1
    return x, a, e, mask


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def gru(w, m, h):
    """The gated recurrent unit of Cho et al. (arXiv 1406.1078), as torch writes it."""
    from_m = m @ w["weight_ih"].T + w["bias_ih"]
    from_h = h @ w["weight_hh"].T + w["bias_hh"]
    (m_reset, m_update, m_new), (h_reset, h_update, h_new) = (np.split(t, 3, axis=-1) for t in (from_m, from_h))
    reset, update = sigmoid(m_reset + h_reset), sigmoid(m_update + h_update)
    new = np.tanh(m_new + reset * h_new)
    return (1 - update) * new + update * h


def reference_embedding(encoder, smiles, featurizer):
    w = {name: p.detach().double().numpy() for name, p in encoder.named_parameters()}
    h, a, e, mask = padded(smiles, featurizer)
    if "embed.weight" in w:
        h = h @ w["embed.weight"].T
    for i in range(len(encoder.layers)):
        layer = {name.removeprefix(f"layers.{i}."): p for name, p in w.items() if name.startswith(f"layers.{i}.")}
        m = a @ h @ layer["message.weight"].T + layer["message.bias"]
        if featurizer == "rich":
            m = m + e @ layer["bond.weight"].T
        cell = {name.removeprefix("update."): p for name, p in layer.items() if name.startswith("update.")}
        h = gru(cell, np.maximum(m, 0), h)
    pooled = (h * mask).sum(axis=1)
    return pooled @ w["readout.weight"].T + w["readout.bias"]


def test_molecule_encoder_agrees_with_a_padded_dense_network(featurizer_and_width):
    featurizer, width = featurizer_and_width
    encoder = model(featurizer=featurizer, hidden_dim=width).molecule_encoder
    expected = reference_embedding(encoder, SMILES, featurizer)
    with torch.no_grad():
        z = encoder(batch(SMILES, featurizer)).numpy()
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_six_layers_of_the_paper_agree_with_a_padded_dense_network():
    torch.manual_seed(1)
    paper = architecture(featurizer="paper", n_layers=6, hidden_dim=75, embedding_dim=1024)
    encoder = paper.build_encoder().eval()
    expected = reference_embedding(encoder, SMILES, "paper")
    with torch.no_grad():
        z = encoder(batch(SMILES, "paper")).numpy()
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_gradients_of_a_layer_agree_with_dense_autograd_in_float64(featurizer):
    """The backward pass of the sparse product is written by hand: it must be that of the dense one."""
    graph = batch(SMILES[2:6], featurizer)
    n_bonds = FEATURIZERS[featurizer].n_bond_features
    torch.manual_seed(2)
    layer = GatedGraphConv(9, n_bonds)
    n = len(graph.x)
    h, upstream = torch.randn(n, 9), torch.randn(n, 9)

    sparse_h = h.clone().requires_grad_()
    layer(sparse_h, graph).mul(upstream).sum().backward()

    mols = [parse_molecule(s) for s in SMILES[2:6]]
    loops = torch.block_diag(*(torch.tensor(Chem.GetAdjacencyMatrix(m)) for m in mols)).double() + torch.eye(n)
    root = loops.sum(dim=1).rsqrt()
    adjacency = root[:, None] * loops * root
    dense = GatedGraphConv(9, n_bonds).double()
    dense.load_state_dict(layer.state_dict())
    dense_h = h.double().requires_grad_()
    m = adjacency @ dense_h @ dense.message.weight.T + dense.message.bias
    if n_bonds:
        m = m + dense.bond(graph.bonds.double())
    dense.update(m.relu(), dense_h).mul(upstream).sum().backward()

    torch.testing.assert_close(sparse_h.grad.double(), dense_h.grad, rtol=1e-4, atol=1e-5)
    for (name, p), q in zip(layer.named_parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(p.grad.double(), q.grad, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: name + m)


def test_profile_encoder_agrees_with_a_hand_written_one():
    tower = model()
    first, second = tower.profile_encoder[1], tower.profile_encoder[4]
    profiles = torch.randn(7, 15)
    hidden = np.maximum(profiles.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    expected = hidden @ second.weight.detach().numpy().T + second.bias.detach().numpy()
    with torch.no_grad():
        z = tower.profile_encoder(profiles).numpy()
        np.testing.assert_allclose(z, expected, atol=1e-5)
        head = tower.profile_head.linear
        projected = np.maximum(z, 0) @ head.weight.numpy().T + head.bias.numpy()
        projected /= np.linalg.norm(projected, axis=1, keepdims=True)
        np.testing.assert_allclose(tower.project_profiles(profiles).numpy(), projected, atol=1e-5)


def test_projections_are_unit_vectors_of_the_encoders_output():
    tower = model()
    graph = batch(SMILES)
    with torch.no_grad():
        z = tower.molecule_encoder(graph).relu() @ tower.molecule_head.linear.weight.T + tower.molecule_head.linear.bias
        torch.testing.assert_close(tower.project_molecules(graph), z / z.norm(dim=1, keepdim=True))


# ---------------------------------------------------------------------------------------------
# Invariances
# ---------------------------------------------------------------------------------------------


def test_the_order_of_atoms_does_not_matter(featurizer_and_width):
    featurizer, width = featurizer_and_width
    encoder = model(featurizer=featurizer, hidden_dim=width).molecule_encoder
    for smiles in SMILES[2:6]:
        orders = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 5, randomSeed=3)
        with torch.no_grad():
            z = encoder(batch([smiles, *orders], featurizer))
        torch.testing.assert_close(z, z[:1].expand_as(z), rtol=1e-5, atol=1e-5)


def test_the_rest_of_the_batch_does_not_matter(featurizer_and_width):
    featurizer, width = featurizer_and_width
    encoder = model(featurizer=featurizer, hidden_dim=width).molecule_encoder
    with torch.no_grad():
        together = encoder(batch(SMILES, featurizer))
        alone = torch.cat([encoder(batch([s], featurizer)) for s in SMILES])
        backwards = encoder(batch(SMILES[::-1], featurizer)).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together, backwards, rtol=1e-5, atol=1e-5)


def test_stereoisomers_differ_for_the_rich_featurizer_only():
    pair = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    with torch.no_grad():
        paper = model(featurizer="paper").molecule_encoder(batch(pair, "paper"))
        rich = model(featurizer="rich").molecule_encoder(batch(pair, "rich"))
    torch.testing.assert_close(paper[0], paper[1])
    assert not torch.allclose(rich[0], rich[1], atol=1e-4)


# ---------------------------------------------------------------------------------------------
# Parameters, dropout, precision
# ---------------------------------------------------------------------------------------------


def test_a_gradient_reaches_every_parameter(featurizer_and_width):
    featurizer, width = featurizer_and_width
    tower = model(featurizer=featurizer, hidden_dim=width).train()
    graph, profiles = batch(SMILES, featurizer), torch.randn(len(SMILES), 15)
    molecules, found = tower(graph, profiles)
    infonce(molecules, found, tower.log_scale.exp(), torch.arange(len(SMILES))).backward()
    without = [name for name, p in tower.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
    assert all(p.grad.isfinite().all() for p in tower.parameters())


def test_parameters_of_the_paper():
    """Counted by hand: 75 atom features, six layers, 1024; profiles of 3475 features, 512, 256, 128; heads of 128."""
    convolution = 75 * 75 + 75
    recurrent = 2 * (3 * 75 * 75 + 3 * 75)
    count = {
        "molecule_encoder": 6 * (convolution + recurrent) + 75 * 1024 + 1024,
        "molecule_head": 1024 * 128 + 128,
        "profile_encoder": 3475 * 512 + 512 + 512 * 256 + 256 + 256 * 128 + 128,
        "profile_head": 128 * 128 + 128,
    }
    assert count == {
        "molecule_encoder": 317_224,
        "molecule_head": 131_200,
        "profile_encoder": 1_943_936,
        "profile_head": 16_512,
    }
    tower = TwoTower(
        Architecture(
            featurizer="paper",
            n_layers=6,
            hidden_dim=75,
            embedding_dim=1024,
            projection_dim=128,
            profile_dims=(512, 256, 128),
            n_profile_features=3475,
            dropout=0.1,
        )
    )
    for name, n in count.items():
        assert sum(p.numel() for p in getattr(tower, name).parameters()) == n, name
    assert sum(p.numel() for p in tower.parameters()) == sum(count.values()) + 1
    layers = [p.data_ptr() for layer in tower.molecule_encoder.layers for p in layer.parameters()]
    assert len(set(layers)) == len(layers)  # each layer has weights of its own


def test_rich_adds_bonds_and_an_embedding():
    count = {f: sum(p.numel() for p in model(featurizer=f).molecule_encoder.parameters()) for f in FEATURIZERS}
    assert count["rich"] - count["paper"] == (71 - 75) * 12 + 3 * 9 * 12


def test_profile_encoder_has_dropout_before_every_linear_layer():
    layers = list(ProfileEncoder(15, (10, 9, 8), 0.1))
    block = [nn.Dropout, nn.Linear]
    expected = [*block, nn.ReLU, *block, nn.ReLU, *block]
    assert len(layers) == len(expected)
    assert all(isinstance(layer, kind) for layer, kind in zip(layers, expected, strict=True))


def test_profile_encoder_drops_inputs():
    """With one linear layer of ones, what is missing in the output is what was dropped of the input."""
    torch.manual_seed(0)
    encoder = ProfileEncoder(1000, (1,), 0.25)
    nn.init.ones_(encoder[1].weight)
    nn.init.zeros_(encoder[1].bias)
    kept = encoder.train()(torch.ones(50, 1000)) * 0.75 / 1000
    assert kept.mean().item() == pytest.approx(0.75, abs=0.01)
    assert kept.std() > 0.005
    assert encoder.eval()(torch.ones(1, 1000)).item() == pytest.approx(1000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_its_gradient_is_its_mask(p, dtype):
    torch.manual_seed(0)
    dropout = ProfileEncoder(4, (1,), p)[0].train()
    x = torch.ones(20001, 7, dtype=dtype, requires_grad=True)
    y = dropout(x)
    y.sum().backward()
    assert torch.equal(x.grad, y)
    kept = (y.detach() > 0).double()
    assert kept.mean().item() == pytest.approx(1 - p, abs=0.004)
    assert kept.mean(dim=0).numpy() == pytest.approx(1 - p, abs=0.015)  # 16 bits of one number serve four elements
    assert y.double().mean().item() == pytest.approx(1, abs=0.02)
    if p > 0.01:
        correlation = np.corrcoef(kept.flatten()[:140000].reshape(-1, 4).T.numpy())
        assert np.abs(correlation - np.eye(4)).max() < 0.02
        assert not torch.equal(dropout(x), y)


def test_molecule_encoder_has_dropout_after_each_convolution():
    encoder = model(n_layers=3, dropout=0.5).molecule_encoder
    calls = []
    for i, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda *args, i=i: calls.append(f"layer {i}"))
    encoder.dropout.register_forward_hook(lambda *args: calls.append("dropout"))
    encoder.readout.register_forward_hook(lambda *args: calls.append("readout"))
    encoder(batch(SMILES))
    assert calls == ["layer 0", "dropout", "layer 1", "dropout", "layer 2", "dropout", "readout"]
    assert encoder.dropout.p == 0.5


def test_dropout_acts_in_training_only():
    tower = model(dropout=0.3)
    graph, profiles = batch(SMILES), torch.randn(5, 15)
    for forward, views in ((tower.project_molecules, graph), (tower.project_profiles, profiles)):
        tower.eval()
        assert torch.equal(forward(views), forward(views))
        tower.train()
        assert not torch.equal(forward(views), forward(views))


def test_without_dropout_training_and_evaluation_agree():
    tower = model(dropout=0.0)
    graph = batch(SMILES)
    assert torch.equal(tower.train().project_molecules(graph), tower.eval().project_molecules(graph))


def test_the_logit_scale_is_one_over_the_temperature():
    assert TwoTower(architecture(), temperature=0.05).log_scale.exp().item() == pytest.approx(20)


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_bfloat16_is_close_to_float32(featurizer):
    tower = model(featurizer=featurizer)
    graph, profiles = batch(SMILES, featurizer), torch.randn(5, 15)
    with torch.no_grad():
        exact = tower.project_molecules(graph), tower.project_profiles(profiles)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = tower.project_molecules(graph), tower.project_profiles(profiles)
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=0.03)
        assert not torch.equal(a, b)


def test_architecture_survives_json():
    original = architecture()
    assert Architecture.from_dict(json.loads(json.dumps(original.as_dict()))) == original


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n", "n_in", "n_out"), [(256, 75, 225), (7, 3, 5), (512, 75, 1)])
def test_linear_is_that_of_torch(n, n_in, n_out, bias):
    """Outputs and all gradients, where oneDNN multiplies."""
    generator = torch.Generator().manual_seed(0)
    x, weight, b = (torch.randn(*shape, generator=generator) for shape in ((n, n_in), (n_out, n_in), (n_out,)))
    found = []
    for function in (linear, F.linear):
        inputs = [t.clone().requires_grad_() for t in (x, weight, b)[: 3 if bias else 2]]
        out = function(*inputs)
        (out**2).sum().backward()
        found.append([out.detach(), *(t.grad for t in inputs)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_linear_without_onednn(monkeypatch):
    x, weight = torch.randn(8, 3), torch.randn(5, 3)
    with_it = linear(x, weight)
    monkeypatch.setattr(layers, "_has_onednn", lambda: False)
    torch.testing.assert_close(linear(x, weight), with_it)


def test_the_gates_are_those_of_torch():
    cell = nn.GRUCell(6, 6)
    m, h = torch.randn(2, 10, 6)
    torch.testing.assert_close(layers._gated(m, h, cell), cell(m, h))
