"""What fine-tuning computes, learns and keeps."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn._base import _finetuned as finetuning
from mocop_sklearn.nn._models import Architecture, PredictionNetwork
from mocop_sklearn.training._objectives import BINARY, MULTICLASS, REGRESSION, mean_loss, mean_score
from tests.helpers.finetuning import LEARN, QUICK, SHAPE, same_weights


def test_the_network_is_the_one_of_the_paper(smiles, classifier):
    # encoder → tanh → linear, from the embedder's own encoder with these weights
    weights = classifier.weights_[0]
    model = MoCoPEmbedder(**SHAPE, encoder="ggnn", max_epochs=1, random_state=0).fit(smiles, np.eye(40)).model_
    model.weights |= {name: w for name, w in weights.items() if name.startswith("molecule_encoder")}
    z = MoCoPEmbedder(pretrained=model).fit(smiles).transform(smiles)
    expected = np.tanh(z) @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(classifier.decision_function(smiles), expected[:, 0], rtol=1e-4, atol=1e-5)


def test_losses_are_weighted_means_over_what_was_measured():
    outputs = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.0, -0.5]])
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    weights = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]])
    p = expit(outputs.numpy())
    expected = (-np.log(p[0, 0]) - 2 * np.log(p[0, 2]) - np.log(1 - p[1, 2])) / 4
    assert float(mean_loss(BINARY, outputs, targets, weights, weights)) == pytest.approx(expected)
    assert float(mean_loss(REGRESSION, outputs, targets, weights, weights)) == pytest.approx((0.49 + 2 + 0.25) / 4)
    onehot, row_weights = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), torch.tensor([[1.0], [3.0]])
    q = np.exp(outputs.numpy()) / np.exp(outputs.numpy()).sum(axis=1, keepdims=True)
    expected = (-np.log(q[0, 2]) - 3 * np.log(q[1, 0])) / 4
    assert float(mean_loss(MULTICLASS, outputs, onehot, row_weights, row_weights)) == pytest.approx(expected)
    assert float(mean_loss(BINARY, outputs, targets, torch.zeros(2, 3), torch.zeros(2, 3))) == 0


def test_a_task_has_no_gradient_where_it_was_not_measured():
    network = PredictionNetwork(Architecture("paper", 1, 75, 8, 0.0), 2)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([[1.0, 0.0]] * 5)
    mean_loss(BINARY, network.predict(z), torch.ones(5, 2), weights, weights).backward()
    assert network.head.weight.grad[0].abs().min() > 0
    assert network.head.weight.grad[1].abs().max() == 0


def test_validation_scores_leave_out_what_cannot_be_scored():
    outputs = np.array([[0.1, 5.0], [0.9, 5.0], [0.5, 5.0]])
    targets = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert mean_score(BINARY, outputs, targets, np.ones((3, 2))) == 1.0
    assert np.isnan(mean_score(BINARY, outputs[:, 1:], targets[:, 1:], np.ones((3, 1))))
    assert np.isnan(mean_score(REGRESSION, outputs, targets, np.zeros((3, 2))))


@pytest.mark.slow
@pytest.mark.parametrize("start", ["scratch", "fine-tuned", "linear probe"])
def test_the_arms_learn_a_structural_property(smiles, labels, fitted, start):
    arms = {
        "scratch": LEARN,
        "fine-tuned": LEARN | {"pretrained": fitted},
        "linear probe": LEARN | {"pretrained": fitted, "freeze": "encoder", "max_epochs": 600},
    }
    parameters = arms[start]
    if "pretrained" in parameters:
        parameters = {name: value for name, value in parameters.items() if name not in SHAPE}
    assert MoCoPClassifier(**parameters).fit(smiles, labels).score(smiles, labels) >= 0.95


def test_several_classes_and_several_tasks_are_learned(smiles, labels, tasks, multitask):
    kinds = np.where(labels == 1, "aromatic", np.where(["O" in s for s in smiles], "oxygen", "other"))
    multiclass = MoCoPClassifier(**LEARN).fit(smiles, kinds)
    assert multiclass.score(smiles, kinds) >= 0.95
    assert multitask.score(smiles, tasks) > 0.95


def test_numbers_are_learned(smiles, sizes, regressor):
    assert regressor.score(smiles, sizes) > 0.95


def test_early_stopping_keeps_the_best_weights(smiles):
    noise = np.random.default_rng(0).integers(0, 2, 40)
    stopped = MoCoPClassifier(**LEARN | {"validation_fraction": 0.3, "patience": 3}).fit(smiles, noise)
    rows = stopped.history_
    best = max(rows, key=lambda row: (row["validation_score"], -row["validation_loss"]))
    assert stopped.n_iter_ == len(rows) == best["epoch"] + 3 < 60
    assert stopped.best_score_ == best["validation_score"]
    again = MoCoPClassifier(**LEARN | {"validation_fraction": 0.3, "max_epochs": best["epoch"]}).fit(smiles, noise)
    assert same_weights(stopped, again)


@pytest.mark.parametrize("groups", ["molecule", "scaffold"])
def test_validation_is_split_by_group(smiles, labels, groups, monkeypatch):
    seen = []

    def spy(keys, fraction, seed):
        seen.append(keys)
        return np.arange(len(keys)), np.arange(0)

    monkeypatch.setattr(finetuning, "split_molecules", spy)
    salts = [*smiles, "CC(=O)[O-].[Na+]", "Clc1ccccc1C"]
    MoCoPClassifier(**QUICK, validation_groups=groups).fit(salts, [*labels, 0, 1])
    assert len(seen[0]) == 41  # the salt is a replicate of acetic acid
    benzenes = 12  # of which all share a scaffold
    assert len(set(seen[0])) <= (41 if groups == "molecule" else 41 - benzenes + 1)
