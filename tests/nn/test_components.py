"""Encoders of torch-geometric and of one's own, profile encoders and losses: each works as those with a name."""

import pickle
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn
from torch_geometric.nn import GAT, AttentiveFP

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, PairedProfiles
from mocop_sklearn.molecules import FEATURIZERS, Featurizer, Field
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn import PyGEncoder, infonce
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.training import _batches as batches
from mocop_sklearn.training._batches import Corpus
from mocop_sklearn.training._contrastive import accumulate_gradients
from mocop_sklearn.training._loop import TrainingState
from tests.helpers import components
from tests.helpers.components import ENCODERS
from tests.helpers.processes import elsewhere

NAMES = ["gin", "gatv2", "pna", "attentivefp", "gps"]


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return ENCODERS[request.param]


@pytest.fixture(scope="module")
def models(smiles, profiles, tiny):
    """A fitted embedder with each of the encoders."""
    return {name: MoCoPEmbedder(**tiny, encoder=e).fit(smiles, profiles) for name, e in ENCODERS.items()}


@pytest.fixture(params=ENCODERS)
def model(request, models):
    return models[request.param]


def graph_of(smiles, featurizer="rich"):
    return featurize(smiles, featurizer).graphs.collate()


# ---------------------------------------------------------------------------------------------
# What they compute
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_name_makes_an_encoder_of_the_asked_width(name, smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, encoder=name).fit(smiles, profiles)
    Z = embedder.transform(smiles)
    assert Z.shape == (40, tiny["embedding_dim"])
    alone = embedder.transform(smiles[7:8])
    np.testing.assert_allclose(alone[0], Z[7], atol=1e-4 * np.abs(Z).max())
    backwards = embedder.transform(smiles[::-1])[::-1]
    np.testing.assert_allclose(backwards, Z, atol=1e-4 * np.abs(Z).max())
    spelled = embedder.transform(["OCC", "OC(=O)c1ccccc1OC(C)=O"])  # other orders of the atoms
    np.testing.assert_allclose(
        spelled, embedder.transform(["CCO", "CC(=O)Oc1ccccc1C(=O)O"]), atol=1e-4 * np.abs(Z).max()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    encoder = Architecture("rich", 3, 12, 20, 0.0, name).build_encoder()
    encoder(graph_of(["CCO", "c1ccccc1C(=O)N", "C"])).square().sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", ["gin", "gatv2", "pna", "gps"])
def test_without_bond_features(name):
    encoder = Architecture("paper", 2, 12, 20, 0.0, name).build_encoder()
    assert encoder(graph_of(["CCO", "C"], "paper")).shape == (2, 20)


def test_attentive_fp_asks_for_bonds(smiles, profiles, tiny):
    with pytest.raises(ValueError, match='encoder="attentivefp" reads bonds: use featurizer="rich"'):
        MoCoPEmbedder(**tiny, encoder="attentivefp", featurizer="paper").fit(smiles, profiles)


def test_bonds_matter(models):
    """Ethene and ethane have the same atoms for a network that does not read bond orders, but for hydrogens."""
    encoder = models["gine"].model_.module().molecule_encoder
    graph = graph_of(["CC", "CCC"])
    before = encoder(graph)
    graph.edge_attr.mul_(0)
    assert not torch.allclose(encoder(graph), before)


def test_an_encoder_of_torch_geometric_agrees_with_the_network_itself():
    torch.manual_seed(0)
    graph = graph_of(["CCO", "c1ccccc1C(=O)N", "C"])
    encoder = PyGEncoder(GAT, *widths(), hidden_channels=8, num_layers=2, pool="max").eval()
    atoms = encoder.network(graph.x, graph.edge_index, edge_attr=graph.edge_attr)
    expected = torch.stack([part.max(dim=0).values for part in atoms.split(graph.atoms_per_molecule.tolist())])
    torch.testing.assert_close(encoder(graph), expected)


def widths():
    featurizer = Architecture("rich", 1, 1, 1, 0.0).resolved_featurizer
    return featurizer.n_atom_features, featurizer.n_bond_features


def test_a_network_that_pools_by_itself():
    sizes = {"hidden_channels": 8, "out_channels": 5, "num_layers": 2, "num_timesteps": 1}
    graph = graph_of(["CCO", "CCN", "CC(=O)O"])
    assert PyGEncoder(AttentiveFP, *widths(), pool=None, **sizes)(graph).shape == (3, 5)
    with pytest.raises(ValueError, match="AttentiveFP returned 3 rows for 10 atoms, so it pools by itself: set pool"):
        PyGEncoder(AttentiveFP, *widths(), **sizes)(graph)


# ---------------------------------------------------------------------------------------------
# The scikit-learn contract, files, fine-tuning
# ---------------------------------------------------------------------------------------------


def hashes():
    """Hash of the parameters with each of the encoders."""
    return [joblib.hash(MoCoPEmbedder(encoder=encoder).get_params()) for encoder in ENCODERS.values()]


def test_clone_and_hash(encoder):
    embedder = MoCoPEmbedder(encoder=encoder)
    twin = clone(embedder)
    assert twin.encoder is not None
    assert joblib.hash(twin.get_params()) == joblib.hash(embedder.get_params())


def test_the_hash_is_the_same_in_another_process():
    assert elsewhere(hashes) == hashes()


def test_files_and_pickles_are_exact(model, smiles, profiles, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    Z = model.transform(smiles)
    for twin in (MoCoPEmbedder.load(path, encoder=model.encoder), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.transform(smiles), Z)
        assert twin.digest_ == model.digest_
        assert twin.score(smiles, profiles) == model.score(smiles, profiles)
    with pytest.raises(ValueError, match=r"was trained with encoder=.*: pass that again as encoder"):
        MoCoPEmbedder.load(path)
    with pytest.raises(ValueError, match="does not hold the weights of its network"):
        MoCoPEmbedder.load(path, encoder=partial(components.MeanOfAtoms, width=23))


def test_the_output_is_as_wide_as_the_encoder_says(model, smiles):
    Z = model.transform(smiles)
    assert Z.shape == (40, model.model_.architecture.embedding_dim)
    assert len(model.get_feature_names_out()) == Z.shape[1]


@pytest.mark.slow
def test_a_search_over_encoders(smiles, profiles, labels, tiny, tmp_path):
    embedder = MoCoPEmbedder(**tiny, pairs=PairedProfiles(smiles, profiles), memory=tmp_path / "cache")
    pipeline = make_pipeline(embedder, LogisticRegression(max_iter=1000))
    grid = {"mocopembedder__encoder": ["ggnn", "gin", *ENCODERS.values()]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(smiles, labels)
    assert len(search.cv_results_["params"]) == 5
    assert len(list((tmp_path / "cache").rglob("fit-*.safetensors"))) == 5  # one pretraining per candidate


@pytest.mark.parametrize("estimator", [MoCoPClassifier, MoCoPRegressor])
def test_fine_tuning(estimator, model, smiles, labels, tmp_path):
    tuned = estimator(pretrained=model, max_epochs=2, random_state=0).fit(smiles, labels)
    predicted = tuned.predict(smiles)
    tuned.save(tmp_path / "tuned.safetensors")
    twin = estimator.load(tmp_path / "tuned.safetensors", encoder=model.encoder)
    np.testing.assert_array_equal(twin.predict(smiles), predicted)
    before = model.model_.encoder_weights()
    assert any(not torch.equal(w, before[name]) for name, w in tuned.model_.encoder_weights().items())
    frozen = estimator(pretrained=model, max_epochs=2, freeze="encoder", random_state=0).fit(smiles, labels)
    assert all(torch.equal(w, before[name]) for name, w in frozen.model_.encoder_weights().items())
    with pytest.raises(ValueError, match='freeze=1, but the encoder has no parts: use freeze="encoder"'):
        estimator(pretrained=model, freeze=1).fit(smiles, labels)


def test_scratch_and_layer_decay(encoder, smiles, labels):
    """An encoder without parts is one part: its rate is one factor below that of the last layer."""
    slow = MoCoPClassifier(encoder=encoder, max_epochs=2, layer_decay=1e-9, random_state=0).fit(smiles, labels)
    still = MoCoPClassifier(encoder=encoder, max_epochs=0, random_state=0).fit(smiles, labels)
    trained = dict(slow.model_.module().molecule_encoder.named_parameters())
    for name, w in still.model_.module().molecule_encoder.named_parameters():
        torch.testing.assert_close(trained[name], w, atol=1e-6, rtol=0)
    assert not np.array_equal(slow.weights_[0]["head.weight"], still.weights_[0]["head.weight"])


def test_resuming_is_bit_equal(encoder, smiles, profiles, tiny, tmp_path, monkeypatch):
    parameters = tiny | {"max_epochs": 4, "encoder": encoder}
    whole = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    finish = TrainingState.finish_epoch

    def interrupt(state, *args):
        if state.epoch == 2:
            raise KeyboardInterrupt
        finish(state, *args)

    embedder = MoCoPEmbedder(**parameters, checkpoint_dir=tmp_path, resume=True)
    monkeypatch.setattr(TrainingState, "finish_epoch", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted"):
        embedder.fit(smiles, profiles)
    monkeypatch.setattr(TrainingState, "finish_epoch", finish)
    assert embedder.fit(smiles, profiles).digest_ == whole.digest_


# ---------------------------------------------------------------------------------------------
# Batches in several passes, and layers that keep statistics
# ---------------------------------------------------------------------------------------------


def gradients(encoder, smiles, profiles, n=32):
    torch.manual_seed(0)
    shape = {"profile_dims": (16, 8), "projection_dim": 8, "n_profile_features": profiles.shape[1]}
    model = TwoTower(Architecture("rich", 2, 16, 32, 0.0, encoder, **shape)).train()
    corpus = Corpus.from_rows(
        featurize(smiles, "rich").graphs, torch.from_numpy(profiles.astype(np.float32)), np.arange(40)
    )
    batch = corpus.draw(np.arange(n), np.random.default_rng(0))
    accumulate_gradients(model, batch, None, torch.device("cpu"), "fp32", infonce)
    return model, len(batch.passes)


@pytest.mark.parametrize("name", ["gine", "pna"])
def test_passes_have_the_gradients_of_the_whole_batch(name, smiles, profiles, monkeypatch):
    whole, _ = gradients(ENCODERS[name], smiles, profiles)
    monkeypatch.setattr(batches, "MOLECULES_PER_PASS", 8)
    parts, n_passes = gradients(ENCODERS[name], smiles, profiles)
    assert n_passes == 4
    expected = {n: p.grad for n, p in whole.named_parameters()}
    torch.testing.assert_close({n: p.grad for n, p in parts.named_parameters()}, expected, rtol=1e-4, atol=1e-5)


def test_statistics_are_updated_once_in_each_pass(smiles, profiles, monkeypatch):
    monkeypatch.setattr(batches, "MOLECULES_PER_PASS", 8)
    model, n_passes = gradients(components.MeanOfAtoms, smiles, profiles)
    norm = model.molecule_encoder.norm
    assert int(norm.num_batches_tracked) == n_passes == 4
    running = norm.running_mean.clone()
    means = []
    norm.register_forward_pre_hook(lambda module, args: means.append(args[0].mean(dim=0)))
    for start in range(0, 32, 8):
        model.molecule_encoder(graph_of(smiles[start : start + 8]))
    torch.testing.assert_close(running, sum(0.1 * 0.9 ** (3 - i) * mean for i, mean in enumerate(means)))


# ---------------------------------------------------------------------------------------------
# Profile encoders and losses
# ---------------------------------------------------------------------------------------------


def test_a_profile_encoder_of_ones_own(smiles, profiles, tiny, tmp_path):
    embedder = MoCoPEmbedder(**tiny, profile_encoder=components.WideProfiles).fit(smiles, profiles)
    assert isinstance(embedder.model_.module().profile_encoder, components.WideProfiles)
    embedder.save(tmp_path / "model.safetensors")
    twin = MoCoPEmbedder.load(tmp_path / "model.safetensors", profile_encoder=components.WideProfiles)
    np.testing.assert_array_equal(twin.transform_profiles(profiles), embedder.transform_profiles(profiles))


def test_a_loss_of_ones_own(smiles, profiles, tiny):
    """Half the scale is twice the temperature."""
    own = MoCoPEmbedder(**tiny, loss=components.softer, temperature=0.1).fit(smiles, profiles)
    named = MoCoPEmbedder(**tiny, temperature=0.2).fit(smiles, profiles)
    np.testing.assert_allclose(own.transform(smiles), named.transform(smiles), atol=1e-5)
    siglip = MoCoPEmbedder(**tiny, loss="siglip").fit(smiles, profiles)
    assert siglip.digest_ != named.digest_


def test_a_focal_loss_for_the_classifier(smiles, labels):
    focal = MoCoPClassifier(loss=components.focal, max_epochs=1, batch_size=40, random_state=0).fit(smiles, labels)
    plain = MoCoPClassifier(max_epochs=1, batch_size=40, random_state=0).fit(smiles, labels)
    assert 0 < focal.history_[0]["loss"] < plain.history_[0]["loss"]
    p = MoCoPClassifier(max_epochs=0, dropout=0.0, random_state=0).fit(smiles, labels).predict_proba(smiles)
    of_label = p[np.arange(40), labels]
    first = MoCoPClassifier(loss=components.focal, max_epochs=1, batch_size=40, dropout=0.0, random_state=0)
    by_hand = np.mean((1 - of_label) ** 2 * -np.log(of_label))
    assert first.fit(smiles, labels).history_[0]["loss"] == pytest.approx(by_hand, rel=1e-4)


# ---------------------------------------------------------------------------------------------
# Featurisers
# ---------------------------------------------------------------------------------------------


def radicals(mol):
    return [atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()]


def test_a_featuriser_of_ones_own(smiles, profiles, labels, tiny, tmp_path):
    rich = FEATURIZERS["rich"]
    own = Featurizer("with radicals", (*rich.atom_fields, Field("radicals", 3, radicals)), rich.bond_fields)
    embedder = MoCoPEmbedder(**tiny, featurizer=own).fit(smiles, profiles)
    radical, parent = embedder.transform(["[CH2]C", "CC"])
    assert not np.allclose(radical, parent)
    embedder.save(tmp_path / "model")
    twin = MoCoPEmbedder.load(tmp_path / "model", featurizer=own)
    np.testing.assert_array_equal(twin.transform(smiles), embedder.transform(smiles))
    with pytest.raises(ValueError, match="was trained with featurizer=with radicals: pass that again as featurizer"):
        MoCoPEmbedder.load(tmp_path / "model")
    other = Featurizer("with radicals", (*rich.atom_fields, Field("radicals", 4, radicals)), rich.bond_fields)
    with pytest.raises(ValueError, match="was written with another atom vocabulary"):
        MoCoPEmbedder.load(tmp_path / "model", featurizer=other)
    tuned = MoCoPClassifier(pretrained=embedder, max_epochs=1, random_state=0).fit(smiles, labels)
    assert tuned.predict_proba(["[CH2]C"]).shape == (1, 2)
    assert MoCoPClassifier(featurizer=own, max_epochs=1, random_state=0).fit(smiles, labels).n_iter_ == 1


# ---------------------------------------------------------------------------------------------
# What cannot serve
# ---------------------------------------------------------------------------------------------


class Widthless(nn.Linear):
    def __init__(self, *widths):
        super().__init__(1, 1)
        del self.out_features


class OfAtoms(nn.Module):
    def __init__(self, n_atom_features, n_bond_features):
        super().__init__()
        self.layer = nn.Linear(n_atom_features, 3)
        self.out_features = 3

    def forward(self, graph):
        return self.layer(graph.x)


class Forgetful(components.MeanOfAtoms):
    @property
    def parts(self):
        return [self.atoms, self.norm]


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (nn.Linear(2, 3), "encoder is a module, a Linear, but a factory is needed: pass its class"),
        (lambda a, b: 3, "factory encoder must return a torch.nn.Module, but it returned 3"),
        (Widthless, "must have an attribute out_features, .* Widthless has None"),
        (OfAtoms, r"OfAtoms, from encoder, must map 2 molecules to an array of shape \(2, 3\).*returned .*\(4, 3\)"),
    ],
)
def test_factories_that_make_no_encoder(encoder, message, smiles, profiles, tiny):
    with pytest.raises((TypeError, ValueError), match=message):
        MoCoPEmbedder(**tiny, encoder=encoder).fit(smiles, profiles)


def test_parts_must_hold_all_parameters(smiles, labels):
    with pytest.raises(ValueError, match=r"parts of Forgetful do not hold its parameters \['bonds"):
        MoCoPClassifier(encoder=Forgetful, max_epochs=1).fit(smiles, labels)


@pytest.mark.parametrize("loss", [lambda *args: torch.zeros(3), lambda *args: 0.5])
def test_a_loss_must_be_one_number(loss, smiles, profiles, tiny):
    with pytest.raises(ValueError, match="loss must return one number, a Tensor of shape"):
        MoCoPEmbedder(**tiny, loss=loss).fit(smiles, profiles)


def test_losses_of_labels_have_their_shape(smiles, labels):
    with pytest.raises(ValueError, match=r"one loss for each label, shape \(32, 1\), but it returned the shape \(\)"):
        MoCoPClassifier(loss=nn.functional.binary_cross_entropy_with_logits).fit(smiles, labels)
