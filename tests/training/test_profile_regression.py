"""Profiles that are regressed from molecules: beside the contrastive loss, and alone ("multitask")."""

import numpy as np
import pytest
import torch

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.nn import infonce
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.training import _batches, _profiled
from mocop_sklearn.training._contrastive import REGRESSION_HEAD, accumulate_gradients

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def multitask(tiny):
    return tiny | {"loss": None, "profile_weight": 1.0, "structure_weight": 0.0, "encoder": "gine"}


@pytest.fixture(scope="module")
def corpus(smiles, profiles):
    """Molecules of a corpus with weights, without a transformer."""
    graphs = _profiled.featurize(smiles, "rich").graphs
    rows = torch.from_numpy(profiles.astype(np.float32))
    return _batches.Corpus.from_rows(graphs, rows, np.arange(40), weight_of_row=np.linspace(0.5, 2, 40))


def gradients(corpus, loss, weights):
    torch.manual_seed(0)
    architecture = Architecture(
        "rich", 2, 16, 32, 0.0, "gine", profile_dims=(16,), projection_dim=8, n_profile_features=24
    )
    model = TwoTower(architecture)
    setattr(model, REGRESSION_HEAD, torch.nn.Linear(32, 24))
    batch = corpus.draw(np.arange(30), np.random.default_rng(0))
    found = accumulate_gradients(model.eval(), batch, weights, CPU, "fp32", loss, profile_weight=0.5)
    return model, batch, found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_is_that_of_the_drawn_profiles(corpus, weighted):
    weights = torch.linspace(0.1, 2, 30) if weighted else None
    model, batch, loss, _ = gradients(corpus, None, weights)
    with torch.no_grad():
        z = model.molecule_encoder(batch.passes[0][0])
        outputs = getattr(model, REGRESSION_HEAD)(z.relu())
    by_row = (outputs - batch.passes[0][1]).square().mean(dim=1)
    expected = 0.5 * (by_row.mean() if weights is None else (weights * by_row).sum() / weights.sum())
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("loss", [None, infonce])
def test_passes_have_the_gradients_of_the_whole_batch(corpus, monkeypatch, loss):
    weights = torch.linspace(0.1, 2, 30)
    _, _, whole, expected = gradients(corpus, loss, weights)
    monkeypatch.setattr(_batches, "MOLECULES_PER_PASS", 7)
    _, batch, parts, found = gradients(corpus, loss, weights)
    assert len(batch.passes) == 5
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_encoder_learns_to_predict_profiles(multitask):
    smiles = sorted(set(make_paired_profiles(n_molecules=100, random_state=0).smiles))
    counts = np.array([[len(s), s.count("1"), s.count("N"), s.count("O")] for s in smiles], dtype=float)
    P = counts / counts.std(axis=0) @ np.random.default_rng(0).normal(size=(4, 6))
    settings = multitask | {"learning_rate": 0.01, "max_epochs": 25, "validation_fraction": 0.2}
    embedder = MoCoPEmbedder(**settings).fit(smiles, profiles=P)
    assert embedder.best_score_ > 0.5 > embedder.history_[0]["validation_score"]


def test_the_model_has_no_shared_space_and_is_a_start(multitask, smiles, profiles, tmp_path, tiny):
    embedder = MoCoPEmbedder(**multitask).fit(smiles, profiles=profiles)
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.transform(smiles), embedder.transform(smiles))
    assert {name.partition(".")[0] for name in loaded.model_.weights} == {"molecule_encoder"}
    assert len(loaded.molecule_keys_) == 40
    with pytest.raises(ValueError, match="no profile network"):
        loaded.transform_profiles(profiles)
    start = tiny | {"encoder": "gine", "max_epochs": 0, "pretrained": embedder}
    np.testing.assert_allclose(
        MoCoPEmbedder(**start).fit(smiles, profiles=profiles).transform(smiles), embedder.transform(smiles), atol=1e-5
    )


def test_the_score_is_the_explained_variance_of_mean_profiles(multitask, smiles, profiles):
    embedder = MoCoPEmbedder(**multitask | {"validation_fraction": 0.25}).fit(smiles, profiles=profiles)
    best = max(embedder.history_, key=lambda row: row["validation_score"])
    assert embedder.best_score_ == best["validation_score"] < 1
    assert {"validation_top1", "temperature"}.isdisjoint(best)  # nothing is contrasted


def test_profiles_stream_from_a_store(multitask, smiles, profiles, monkeypatch):
    twice = PairedProfiles(smiles * 2, np.concatenate([profiles, 2 * profiles]))
    whole = MoCoPEmbedder(**multitask, pairs=twice).fit(smiles)
    monkeypatch.setattr(_profiled, "_RESIDENT_BYTES", 0)
    streamed = MoCoPEmbedder(**multitask, pairs=twice).fit(smiles)
    assert streamed.digest_ == whole.digest_


def test_beside_the_contrastive_loss_it_changes_the_network_only(tiny, smiles, profiles):
    plain, both = (
        MoCoPEmbedder(**tiny | {"encoder": "gine"}, profile_weight=weight).fit(smiles, profiles=profiles)
        for weight in (0.0, 1.0)
    )
    assert plain.model_.weights.keys() == both.model_.weights.keys()
    assert plain.digest_ != both.digest_


def test_bad_parameters(tiny, smiles, profiles):
    for wrong in ({"profile_weight": 0.0}, {"profile_weight": 1.0, "selection": "top1"}):
        with pytest.raises(ValueError, match=r"loss=None needs a profile_weight above 0 and selection=.score."):
            MoCoPEmbedder(**tiny, loss=None, **wrong).fit(smiles, profiles=profiles)
