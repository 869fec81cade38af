"""Fine-tuning on labels: what it learns, what must not change it, and every place where scikit-learn puts it."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from scipy import sparse
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn import _finetuned as finetuning
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.nn._models import Architecture, PredictionNetwork
from mocop_sklearn.training import _loop
from mocop_sklearn.training._objectives import BINARY, MULTICLASS, REGRESSION, mean_loss, mean_score
from tests.helpers.fronts import NumericRows

NAN = float("nan")
SHAPE = {"n_layers": 2, "hidden_dim": 16, "embedding_dim": 32}
QUICK = SHAPE | {"max_epochs": 3, "batch_size": 16, "learning_rate": 0.01, "random_state": 0}
LEARN = QUICK | {"max_epochs": 60, "validation_fraction": 0}
ONE_CLASS = "fewer than two classes among the measured labels"


@pytest.fixture(scope="module")
def sizes(smiles):
    """Number of heavy atoms."""
    return np.array([Chem.MolFromSmiles(s).GetNumAtoms() for s in smiles], dtype=float)


@pytest.fixture(scope="module")
def tasks(smiles, labels):
    """Three tasks, a fifth of each not measured."""
    Y = np.stack([labels, [int("O" in s) for s in smiles], [int("N" in s.upper()) for s in smiles]], axis=1)
    return np.where(np.random.default_rng(0).random(Y.shape) < 0.2, NAN, Y)


@pytest.fixture(scope="module")
def classifier(smiles, labels):
    return MoCoPClassifier(**LEARN).fit(smiles, labels)


@pytest.fixture(scope="module")
def multitask(smiles, tasks):
    return MoCoPClassifier(**LEARN).fit(smiles, tasks)


@pytest.fixture(scope="module")
def regressor(smiles, sizes):
    return MoCoPRegressor(**LEARN | {"n_estimators": 2}).fit(smiles, sizes)


def same_weights(a, b):
    return all(np.array_equal(w, v[name]) for u, v in zip(a.weights_, b.weights_, strict=True) for name, w in u.items())


# ---------------------------------------------------------------------------------------------
# scikit-learn's battery
# ---------------------------------------------------------------------------------------------


class Front(NumericRows):
    """Rows of numbers, hashed to a few molecules."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(self._molecules(validate_data(self, X)), y, sample_weight)

    def _outputs(self, X):
        check_is_fitted(self)
        return super()._outputs(self._molecules(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # hashing leaves nothing of the numbers that could be learned: other tests look at what is learned
        for kind in (tags.classifier_tags, tags.regressor_tags):
            if kind is not None:
                kind.poor_score = True
        return tags


class ClassifierFront(Front, MoCoPClassifier):
    pass


class RegressorFront(Front, MoCoPRegressor):
    pass


@pytest.mark.parametrize(("cls", "n_checks"), [(ClassifierFront, 68), (RegressorFront, 60)])
@pytest.mark.filterwarnings(f"ignore:.*{ONE_CLASS}:UserWarning")  # that is what the checks of one label look for
def test_all_checks_of_scikit_learn(cls, n_checks):
    estimator = cls(**QUICK | {"batch_size": 64, "max_epochs": 5, "learning_rate": 0.02})
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    unmet = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    # needs an environment variable that must be set before SciPy is imported
    assert "SCIPY_ARRAY_API" in str(unmet.pop("check_array_api_input", "SCIPY_ARRAY_API"))
    assert not unmet
    assert len(results) >= n_checks - 4


# ---------------------------------------------------------------------------------------------
# the network and its loss
# ---------------------------------------------------------------------------------------------


def test_the_network_is_the_one_of_the_paper(smiles, classifier):
    # encoder → tanh → linear, from the embedder's own encoder with these weights
    weights = classifier.weights_[0]
    model = MoCoPEmbedder(**SHAPE, max_epochs=1, random_state=0).fit(smiles, np.eye(40)).model_
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


# ---------------------------------------------------------------------------------------------
# learning
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["scratch", "fine-tuned", "linear probe"])
def test_the_arms_learn_a_structural_property(smiles, labels, fitted, start):
    arms = {
        "scratch": LEARN,
        "fine-tuned": LEARN | {"pretrained": fitted},
        "linear probe": LEARN | {"pretrained": fitted, "freeze": "encoder", "max_epochs": 200},
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


# ---------------------------------------------------------------------------------------------
# what must not change a fit
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [NAN, None, -1, "no data"])
def test_what_stands_at_unmeasured_places_does_not_matter(smiles, tasks, mark):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    Y = tasks.astype(object)
    Y[np.isnan(tasks)] = mark
    missing = NAN if mark is None else mark
    assert same_weights(MoCoPClassifier(**QUICK, missing=missing).fit(smiles, Y), plain)


@pytest.mark.parametrize("container", ["float", "Int64", "boolean", "object", "polars", "list"])
def test_labels_come_in_any_container(smiles, tasks, container):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    frame = pd.DataFrame(tasks, columns=["a", "b", "c"], index=range(5, 45))
    if container == "polars":
        y = pl.DataFrame({name: [None if np.isnan(v) else int(v) for v in frame[name]] for name in frame})
    elif container == "list":
        y = [[None if np.isnan(v) else int(v) for v in row] for row in tasks]
    else:
        y = frame.astype(container)
    other = MoCoPClassifier(**QUICK).fit(smiles, y)
    assert same_weights(other, plain)
    assert other.score(smiles, y) == plain.score(smiles, tasks)


def test_a_task_without_labels_changes_nothing(smiles, tasks):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    unmeasured, constant = np.full((40, 1), NAN), np.full((40, 1), 1.0)
    with pytest.warns(UserWarning, match=rf"2 of 5 tasks have {ONE_CLASS} \(columns 3, 4 of y\)"):
        wide = MoCoPClassifier(**QUICK).fit(smiles, np.hstack([tasks, unmeasured, constant]))
    assert wide.unscorable_tasks_ == [3, 4]
    p = wide.predict_proba(smiles)
    assert np.isnan(p[:, 3]).all()
    assert (p[:, 4] == 1).all()
    assert (wide.predict(smiles)[:, 4] == 1).all()
    assert np.isnan(wide.predict(smiles)[:, 3]).all()
    assert plain.predict(smiles).dtype.kind == "i"
    both = np.tile([0.0, 1.0], 20)[:, None]
    # neither is ever scored, whatever the test set holds
    Y = np.hstack([tasks, both, both])
    assert wide.score(smiles, Y) == pytest.approx(wide.score(smiles, np.hstack([tasks, unmeasured, unmeasured])))


def test_one_column_is_one_task(smiles, labels, sizes):
    flat, column = (MoCoPClassifier(**QUICK).fit(smiles, y) for y in (labels, labels[:, None]))
    assert same_weights(flat, column)
    assert column.predict(smiles).shape == (40,)
    assert column.predict_proba(smiles).shape == (40, 2)
    flat, column = (MoCoPRegressor(**QUICK).fit(smiles, y) for y in (sizes, sizes[:, None]))
    np.testing.assert_array_equal(flat.predict(smiles), column.predict(smiles))


def test_two_equal_tasks_are_predicted_almost_alike(smiles, labels):
    twice = MoCoPClassifier(**LEARN).fit(smiles, np.stack([labels, labels], axis=1))
    p = twice.predict_proba(smiles)
    assert (p > 0.5).all(axis=1).tolist() == (labels == 1).tolist()
    assert np.corrcoef(p.T)[0, 1] > 0.99


def test_the_order_of_rows_does_not_matter(smiles, tasks, sizes, labels):
    order = np.random.default_rng(1).permutation(40)
    X = np.array(smiles)
    parameters = QUICK | {"validation_fraction": 0.2}
    for cls, y in ((MoCoPClassifier, tasks), (MoCoPClassifier, labels), (MoCoPRegressor, sizes)):
        assert same_weights(cls(**parameters).fit(X, y), cls(**parameters).fit(X[order], y[order]))


def test_the_order_of_spellings_does_not_matter(smiles, sizes):
    written_otherwise = [Chem.MolToSmiles(Chem.MolFromSmiles(s), canonical=False, rootedAtAtom=1) for s in smiles[:20]]
    X = np.array([*smiles[:20], *written_otherwise, *(f"{s}.Cl" for s in smiles[:10])])
    y = np.concatenate([sizes[:20], sizes[:20] + 1, sizes[:10]])
    fitted = MoCoPRegressor(**QUICK).fit(X, y)
    assert same_weights(fitted, MoCoPRegressor(**QUICK).fit(X[::-1], y[::-1]))


def test_fits_in_threads_are_fits(smiles, labels):
    before = torch.get_rng_state()
    alone = MoCoPClassifier(**QUICK).fit(smiles, labels)
    with ThreadPoolExecutor(4) as threads:
        fits = list(threads.map(lambda _: MoCoPClassifier(**QUICK).fit(smiles, labels), range(4)))
    assert all(same_weights(alone, fitted) for fitted in fits)
    assert torch.equal(torch.get_rng_state(), before)


def test_replicates_weights_and_repeats_are_one(smiles, labels, sizes):
    weight = np.random.default_rng(2).integers(0, 3, 40)
    rows = np.repeat(np.arange(40), weight)
    X = np.array(smiles)
    for cls, y in ((MoCoPClassifier, labels), (MoCoPRegressor, sizes)):
        weighted = cls(**QUICK).fit(X, y, sample_weight=weight)
        assert same_weights(weighted, cls(**QUICK).fit(X[rows], y[rows]))
        # weight 0 is absent, and weights have no unit
        present = weight > 0
        assert same_weights(weighted, cls(**QUICK).fit(X[present], y[present], sample_weight=4.0 * weight[present]))


def test_contradicting_replicates_are_probabilities():
    X, y = ["CCO"] * 4 + ["c1ccccc1"] * 4, [1, 0, 0, 0, 1, 1, 1, 0]
    p = MoCoPClassifier(**LEARN | {"max_epochs": 300, "dropout": 0.0}).fit(X, y).predict_proba(["CCO", "c1ccccc1"])
    np.testing.assert_allclose(p[:, 1], [0.25, 0.75], atol=0.02)


@pytest.mark.parametrize(("a", "b"), [(4.0, 0.0), (0.5, 8.0), (1e6, 1e8), (1e-9, 0.0)])
def test_units_of_the_target_do_not_matter(smiles, sizes, a, b):
    plain = MoCoPRegressor(**QUICK | {"validation_fraction": 0.2}).fit(smiles, sizes)
    other = MoCoPRegressor(**QUICK | {"validation_fraction": 0.2}).fit(smiles, a * sizes + b)
    np.testing.assert_allclose(other.predict(smiles), a * plain.predict(smiles) + b, rtol=1e-4)


def test_a_constant_target_is_predicted(smiles):
    np.testing.assert_allclose(MoCoPRegressor(**LEARN).fit(smiles, np.full(40, 7.1)).predict(smiles), 7.1, atol=0.5)


def test_the_seed_decides_and_global_state_is_left_alone(smiles, tasks):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    a, b = (MoCoPClassifier(**QUICK).fit(smiles, tasks) for _ in range(2))
    other = MoCoPClassifier(**QUICK | {"random_state": 1}).fit(smiles, tasks)
    pickle.loads(pickle.dumps(a)).predict(smiles)
    assert same_weights(a, b)
    assert not same_weights(a, other)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


# ---------------------------------------------------------------------------------------------
# freezing and rates
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", ["none", "encoder", 0, 1, 2])
def test_frozen_weights_are_bit_equal(smiles, labels, fitted, freeze):
    tuned = MoCoPClassifier(pretrained=fitted, freeze=freeze, max_epochs=2, learning_rate=0.01, weight_decay=0.1)
    weights = tuned.fit(smiles, labels).weights_[0]
    names = [name for name in weights if name.startswith("molecule_encoder")]
    kept = {name for name in names if np.array_equal(weights[name], fitted.model_.weights[name])}
    prefixes = {
        "none": (),
        "encoder": ("molecule_encoder",),
        0: (),
        1: ("molecule_encoder.embed", "molecule_encoder.layers.0"),
        2: ("molecule_encoder.embed", "molecule_encoder.layers"),
    }
    assert kept == {name for name in names if name.startswith(prefixes[freeze])}


def test_molecules_seen_are_known(smiles, labels, fitted):
    tuned = MoCoPClassifier(pretrained=fitted, max_epochs=1).fit(["CCO", "CCCCCCCCN"], [0, 1])
    assert overlap(tuned, [*smiles, "NCCCCCCCC", "CCCCCCCCCN"]).tolist() == [True] * 41 + [False]


def test_layer_wise_rates(smiles, labels, fitted):
    # Adam's first step is as long as the rate, for each weight with a gradient
    one_step = {"max_epochs": 1, "batch_size": len(smiles), "learning_rate": 1e-2, "dropout": 0.0}
    tuned = MoCoPClassifier(pretrained=fitted, layer_decay=0.1, **one_step, random_state=0)
    weights = tuned.fit(smiles, labels).weights_[0]
    steps = {
        part: max(np.abs(w - fitted.model_.weights[n]).max() for n, w in weights.items() if n.startswith(part))
        for part in ("molecule_encoder.readout", "molecule_encoder.layers.1", "molecule_encoder.layers.0")
    }
    np.testing.assert_allclose(list(steps.values()), [1e-3, 1e-4, 1e-5], rtol=0.02)


# The last layer starts at a linear model; a frozen encoder and a rate of next to nothing leave it there.
STARTED = {"head_init": "linear", "freeze": "encoder", "max_epochs": 0,
           "validation_fraction": 0, "random_state": 0}  # fmt: skip


@pytest.fixture(scope="module")
def tanh(smiles, fitted):
    """What enters the last layer."""
    return np.tanh(fitted.transform(smiles).astype(float))


def test_a_classifier_starts_at_logistic_regressions(smiles, labels, tasks, fitted, tanh):
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, tol=1e-6, max_iter=1000))
    tuned = MoCoPClassifier(pretrained=fitted, **STARTED)
    np.testing.assert_allclose(
        tuned.fit(smiles, labels).decision_function(smiles), linear.fit(tanh, labels).decision_function(tanh), atol=1e-4
    )
    classes = np.array(["a", "b", "c"])[np.arange(40) % 3]
    np.testing.assert_allclose(
        tuned.fit(smiles, classes).predict_proba(smiles), linear.fit(tanh, classes).predict_proba(tanh), atol=1e-4
    )
    scaled = StandardScaler().fit_transform(tanh)  # by all molecules, whatever was measured of them
    scores = tuned.fit(smiles, tasks).decision_function(smiles)
    for task, y in enumerate(tasks.T):
        known = ~np.isnan(y)
        expected = (
            LogisticRegression(C=1e-3, tol=1e-6, max_iter=1000).fit(scaled[known], y[known]).decision_function(scaled)
        )
        np.testing.assert_allclose(scores[:, task], expected, atol=1e-4)


def test_a_regressor_starts_at_ridges(smiles, sizes, fitted, tanh):
    Y = np.stack([sizes, np.where(np.arange(40) % 4, 100 - 3 * sizes, NAN)], axis=1)
    predicted = MoCoPRegressor(pretrained=fitted, **STARTED).fit(smiles, Y).predict(smiles)
    scaled = StandardScaler().fit_transform(tanh)
    for target, y in enumerate(Y.T):
        known = ~np.isnan(y)
        expected = Ridge(alpha=1000).fit(scaled[known], y[known]).predict(scaled)
        np.testing.assert_allclose(predicted[:, target], expected, rtol=1e-4)


def test_replicates_that_disagree_start_as_rows_of_each_class(smiles, labels, fitted, tanh):
    y = np.append(labels, 1 - labels[:10])
    tuned = MoCoPClassifier(pretrained=fitted, **STARTED).fit([*smiles, *smiles[:10]], y)
    both = np.concatenate([np.arange(40), np.arange(10)])
    weight = 40 / 50  # as many molecules as there are, in rows of equal weight
    expected = LogisticRegression(C=1e-3, tol=1e-6, max_iter=1000).fit(
        StandardScaler().fit_transform(tanh)[both], y, np.full(50, weight)
    )
    scaled = StandardScaler().fit_transform(tanh)
    np.testing.assert_allclose(tuned.decision_function(smiles), expected.decision_function(scaled), rtol=2e-3)


def test_a_start_where_there_is_nothing_to_learn(smiles, labels, fitted):
    tuned = MoCoPClassifier(pretrained=fitted, **STARTED)
    with pytest.warns(UserWarning, match=ONE_CLASS):
        tuned.fit(smiles, np.stack([labels, np.full(40, 1), np.full(40, NAN)], axis=1))
    assert tuned.unscorable_tasks_ == [1, 2]
    assert np.isfinite(tuned.score(smiles, np.stack([labels, np.full(40, 1), np.full(40, NAN)], axis=1)))


@pytest.mark.parametrize(
    ("cls", "pretrained", "recipe"),
    [
        (MoCoPClassifier, False, {"head_init": "random", "max_epochs": 60, "learning_rate": 3e-4}),
        (MoCoPClassifier, True, {"head_init": "linear", "max_epochs": 30, "learning_rate": 1e-4}),
        (MoCoPRegressor, False, {"head_init": "random", "max_epochs": 60, "learning_rate": 1e-3}),
        (MoCoPRegressor, True, {"head_init": "linear", "max_epochs": 60, "learning_rate": 3e-4}),
    ],
)
def test_the_recipe_follows_from_the_start_and_the_labels(smiles, labels, fitted, cls, pretrained, recipe):
    shape = {} if pretrained else SHAPE
    auto = cls(pretrained=fitted.model_ if pretrained else None, **shape, random_state=0).fit(smiles, labels)
    assert same_weights(auto, clone(auto).set_params(**recipe).fit(smiles, labels))
    assert auto.n_iter_ == recipe["max_epochs"]
    assert {auto.get_params()[name] for name in recipe} == {"auto"}


def test_pretrained_may_be_a_file_a_model_or_an_embedder(smiles, labels, fitted, model_file):
    ways = [model_file, str(model_file), fitted, fitted.model_, FrozenEstimator(fitted)]
    all_of_them = [MoCoPClassifier(pretrained=way, max_epochs=1, random_state=0).fit(smiles, labels) for way in ways]
    assert all(same_weights(all_of_them[0], other) for other in all_of_them)
    scratch = MoCoPClassifier(**SHAPE, max_epochs=1, random_state=0).fit(smiles, labels)
    assert not same_weights(all_of_them[0], scratch)


def test_a_model_trained_on_labels_is_a_start(smiles, labels, regressor, tmp_path):
    frozen = {"max_epochs": 1, "freeze": "encoder", "random_state": 0}
    regressor.model_.save(tmp_path / "encoder.safetensors")
    for start in (regressor, FrozenEstimator(regressor), regressor.model_, tmp_path / "encoder.safetensors"):
        tuned = MoCoPClassifier(pretrained=start, **frozen).fit(smiles, labels)
        learned = regressor.weights_[0]
        kept = [name for name in learned if name.startswith("molecule_encoder.")]
        assert all(np.array_equal(tuned.weights_[0][name], learned[name]) for name in kept)
        assert set(regressor.molecule_keys_) <= set(tuned.molecule_keys_)

    embedder = MoCoPEmbedder(pretrained=regressor).fit(smiles)
    head = regressor.weights_[0]
    scaled = np.tanh(embedder.transform(smiles)) @ head["head.weight"].T + head["head.bias"]
    first = regressor._outputs(smiles)[0]
    np.testing.assert_allclose(scaled * regressor._scale[0] + regressor._shift[0], first, rtol=1e-4, atol=1e-4)

    for use in (
        lambda: MoCoPEmbedder(pretrained=regressor).fit(smiles, profiles=np.ones((len(smiles), 20))),
        lambda: MoCoPEmbedder(pretrained=regressor, output="projection").fit(smiles).transform(smiles),
        lambda: embedder.transform_profiles(np.ones((2, 20))),
    ):
        with pytest.raises(ValueError, match="has no profile network"):
            use()
    with pytest.raises(ValueError, match="not a fitted estimator"):
        MoCoPClassifier(pretrained=MoCoPRegressor()).fit(smiles, labels)


@pytest.mark.parametrize("kind", ["ensemble", "probe", "regression", "no validation", "patience"])
def test_a_killed_run_goes_on(smiles, labels, sizes, fitted, tmp_path, monkeypatch, kind):
    cls, y = (MoCoPRegressor, sizes) if kind == "regression" else (MoCoPClassifier, labels)
    parameters = QUICK | {"max_epochs": 6, "random_state": None}
    parameters |= {
        "ensemble": {"n_estimators": 2},
        "probe": {"freeze": "encoder", "pretrained": fitted},
        "regression": {},
        "no validation": {"validation_fraction": 0},
        "patience": {"patience": 1, "learning_rate": 1e-6},
    }[kind]
    written = _loop.write_state
    calls = []

    def killed(path, seed, state):
        written(path, seed, state)
        calls.append(path)
        if len(calls) == 8 or (kind != "ensemble" and len(calls) == 2):
            raise KeyboardInterrupt

    run = cls(**parameters, checkpoint_dir=tmp_path, resume=True)
    monkeypatch.setattr(_loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        run.fit(smiles, y)
    monkeypatch.setattr(_loop, "write_state", written)
    seed, _ = finetuning.read_state(calls[0])
    monkeypatch.setattr(finetuning, "base_seed", lambda random_state: seed)
    whole = cls(**parameters).fit(smiles, y)
    monkeypatch.undo()
    resumed = run.fit(smiles, y)
    assert same_weights(resumed, whole)
    assert [row["loss"] for row in resumed.history_] == [row["loss"] for row in whole.history_]
    assert (resumed.n_iter_, resumed.best_score_) == (whole.n_iter_, pytest.approx(whole.best_score_, nan_ok=True))
    # other labels are another training
    assert not same_weights(run.fit(smiles, y[::-1]), whole)


def test_a_killed_run_does_not_take_networks_of_the_run_before(smiles, labels, tmp_path, monkeypatch):
    parameters = QUICK | {"n_estimators": 2, "random_state": None, "checkpoint_dir": tmp_path}
    before = MoCoPClassifier(**parameters).fit(smiles, labels)
    written = _loop.write_state

    def killed(path, seed, state):
        written(path, seed, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(_loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        MoCoPClassifier(**parameters).fit(smiles, labels)
    monkeypatch.undo()
    resumed = MoCoPClassifier(**parameters, resume=True).fit(smiles, labels)
    for a, b in zip(before.weights_, resumed.weights_, strict=True):
        assert not np.array_equal(a["head.weight"], b["head.weight"])


def test_resuming_needs_a_folder_and_parameters_that_can_be_told_apart(smiles, labels, tmp_path):
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        MoCoPClassifier(**QUICK, resume=True).fit(smiles, labels)
    with pytest.raises(ValueError, match="top level of a module"):
        MoCoPClassifier(**QUICK, standardize=lambda mol: mol, checkpoint_dir=tmp_path).fit(smiles, labels)


def test_nothing_but_invalid_molecules(classifier, labels):
    with pytest.raises(ValueError, match="not valid molecules"):
        MoCoPClassifier(**QUICK).fit(["bad"] * 40, labels)
    with pytest.warns(UserWarning, match="40 of 40"), pytest.raises(ValueError, match="of which 0 are valid"):
        MoCoPClassifier(**QUICK, invalid="nan").fit(["bad"] * 40, labels)
    lenient = copy.deepcopy(classifier).set_params(invalid="nan")
    with pytest.warns(UserWarning, match="2 of 2"):
        assert np.isnan(lenient.predict_proba(["bad", "worse"])).all()


# ---------------------------------------------------------------------------------------------
# classes, outputs, ensembles
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, object, int, float, bool])
def test_classes_are_those_of_y(smiles, labels, kind):
    y = np.where(labels == 1, "yes", "no").astype(kind) if kind in (str, object) else labels.astype(kind)
    fitted = MoCoPClassifier(**LEARN).fit(smiles, y)
    assert fitted.classes_.tolist() == np.unique(y).tolist()
    assert (fitted.predict(smiles) == y).mean() > 0.9
    assert set(fitted.predict(smiles).tolist()) <= set(y.tolist())


def test_outputs_agree(smiles, tasks, classifier, multitask):
    p = classifier.predict_proba(smiles)
    assert p.shape == (40, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[:, 1], expit(classifier.decision_function(smiles)))
    np.testing.assert_array_equal(classifier.predict(smiles), p.argmax(axis=1))
    p = multitask.predict_proba(smiles)
    assert p.shape == (40, 3)
    np.testing.assert_array_equal(multitask.predict(smiles), (p > 0.5).astype(int))
    assert multitask.classes_.tolist() == [0, 1, 2]
    aucs = [roc_auc_score(y[~np.isnan(y)], q[~np.isnan(y)]) for y, q in zip(tasks.T, p.T, strict=True)]
    assert multitask.score(smiles, tasks) == pytest.approx(np.mean(aucs))


def test_batches_do_not_matter(smiles, classifier, multitask):
    for estimator in (classifier, multitask):
        one_by_one = np.concatenate([estimator.predict_proba([s]) for s in smiles])
        np.testing.assert_allclose(estimator.predict_proba(smiles), one_by_one, atol=1e-6)
        as_mols = estimator.predict_proba([Chem.MolFromSmiles(s) for s in smiles])
        np.testing.assert_allclose(as_mols, estimator.predict_proba(pd.Series(smiles)), atol=1e-6)


def test_ensembles(smiles, labels, tasks, sizes, regressor):
    kinds = np.arange(40) % 3
    for y in (labels, tasks, kinds):
        three = MoCoPClassifier(**QUICK, n_estimators=3).fit(smiles, y)
        one = MoCoPClassifier(**QUICK).fit(smiles, y)
        assert [row["estimator"] for row in three.history_] == [0] * 3 + [1] * 3 + [2] * 3
        assert all(np.array_equal(w, three.weights_[0][name]) for name, w in one.weights_[0].items())
        members = []
        for i in range(3):
            member = copy.deepcopy(one)
            member.weights_ = [three.weights_[i]]
            members.append(pickle.loads(pickle.dumps(member)).predict_proba(smiles))
        np.testing.assert_allclose(three.predict_proba(smiles), np.mean(members, axis=0), rtol=1e-5)
        np.testing.assert_allclose(three.predict_proba_std(smiles), np.std(members, axis=0), rtol=1e-3, atol=1e-7)
    mean, spread = regressor.predict(smiles, return_std=True)
    np.testing.assert_array_equal(mean, regressor.predict(smiles))
    assert spread.shape == (40,)
    assert (spread > 0).all()
    single = MoCoPRegressor(**QUICK).fit(smiles, sizes)
    with pytest.raises(ValueError, match="set n_estimators to 2 or more"):
        single.predict(smiles, return_std=True)
    with pytest.raises(ValueError, match="set n_estimators to 2 or more"):
        one.predict_proba_std(smiles)


def test_several_targets_with_gaps(smiles, sizes):
    Y = np.stack([sizes, 1000 - 3 * sizes, np.full(40, NAN)], axis=1)
    Y[::3, 0] = NAN
    with pytest.warns(UserWarning, match=r"1 of 3 targets were not measured in any row \(columns 2 of y\)"):
        fitted = MoCoPRegressor(**LEARN).fit(smiles, Y)
    predicted = fitted.predict(smiles)
    assert predicted.shape == (40, 3)
    assert np.isnan(predicted[:, 2]).all()
    known = ~np.isnan(Y[:, 0])
    expected = np.mean([r2_score(Y[known, 0], predicted[known, 0]), r2_score(Y[:, 1], predicted[:, 1])])
    assert fitted.score(smiles, Y) == pytest.approx(expected)
    assert expected > 0.9


def test_class_weights(smiles):
    y = np.array([1] * 5 + [0] * 35)
    mean = {w: MoCoPClassifier(**QUICK, class_weight=w).fit(smiles, y).predict_proba(smiles)[:, 1].mean()
            for w in (None, "balanced")}  # fmt: skip
    assert mean["balanced"] > mean[None]
    by_hand = MoCoPClassifier(**QUICK, class_weight={0: 40 / 70, 1: 4.0}).fit(smiles, y)
    balanced = MoCoPClassifier(**QUICK, class_weight="balanced").fit(smiles, y)
    np.testing.assert_allclose(by_hand.predict_proba(smiles), balanced.predict_proba(smiles), rtol=1e-4)
    one_batch = QUICK | {"batch_size": 40}
    balanced = MoCoPClassifier(**one_batch, class_weight="balanced").fit(smiles, y)
    as_sample_weight = MoCoPClassifier(**one_batch).fit(smiles, y, sample_weight=np.where(y, 4.0, 40 / 70))
    np.testing.assert_allclose(as_sample_weight.predict_proba(smiles), balanced.predict_proba(smiles), rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 40])
def test_class_weights_act_across_batches(smiles, batch_size):
    y = np.zeros(40, dtype=int)
    y[[3, 17, 29, 36]] = 1
    probe = {"freeze": "encoder", "dropout": 0.0, "max_epochs": 40, "batch_size": batch_size, "learning_rate": 1e-3}
    p = MoCoPClassifier(**QUICK | probe, class_weight="balanced").fit(smiles, y).predict_proba(smiles)[:, 1]
    assert (p[y == 0].mean() + p[y == 1].mean()) / 2 == pytest.approx(0.5, abs=0.05)


def test_labels_that_were_not_measured_are_no_class_of_strings(smiles, labels):
    words = ["yes" if label else "no" for label in labels]
    present = MoCoPClassifier(**QUICK).fit(smiles[2:], words[2:])
    for unknown, missing in ((NAN, NAN), (None, NAN), ("NA", "NA")):
        fitted = MoCoPClassifier(**QUICK, missing=missing).fit(smiles, [unknown, unknown, *words[2:]])
        assert fitted.classes_.tolist() == ["no", "yes"]
        assert same_weights(fitted, present)
    numbers = MoCoPClassifier(**QUICK, missing="NA").fit(smiles, ["NA", "NA", *labels[2:].tolist()])
    assert numbers.classes_.tolist() == [0, 1]
    assert same_weights(numbers, present)


@pytest.mark.parametrize("marker", [-999.9, np.inf])
def test_a_marker_is_rounded_as_the_labels_are(smiles, sizes, marker):
    y = sizes.astype(np.float32)
    y[:5] = marker
    fitted = MoCoPRegressor(**QUICK, missing=marker).fit(smiles, y)
    assert same_weights(fitted, MoCoPRegressor(**QUICK).fit(smiles[5:], sizes[5:]))


def test_rows_of_no_weight_are_not_scored(smiles, sizes, multitask, tasks):
    weight = np.where(tasks[:, 0] == 1, 0.0, 1.0)
    rows = weight > 0
    assert multitask.score(smiles, tasks, weight) == multitask.score(np.array(smiles)[rows], tasks[rows])
    Y = np.stack([sizes, np.arange(40) == 0], axis=1)
    weight = np.arange(40) > 0
    fitted = MoCoPRegressor(**QUICK).fit(smiles, Y)
    assert fitted.score(smiles, Y, weight) == pytest.approx(fitted.score(smiles[1:], Y[1:]))


def test_a_fit_that_fails_leaves_the_model_as_it_was(smiles, labels):
    fitted = MoCoPClassifier(**QUICK).fit(smiles, labels)
    before = fitted.predict(smiles)
    with pytest.raises(ValueError, match="at least two different molecules"):
        fitted.fit(smiles[:1], ["other"])
    np.testing.assert_array_equal(fitted.predict(smiles), before)


def test_numpy_parameters_and_none_come_back_from_a_file(smiles, labels, tmp_path):
    parameters = {"hidden_dim": np.int64(16), "max_epochs": np.int64(2), "dropout": np.float32(0.25), "patience": None}
    fitted = MoCoPClassifier(**QUICK | parameters | {"standardize": None, "missing": None}).fit(smiles, labels)
    fitted.save(tmp_path / "model")
    loaded = MoCoPClassifier.load(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params()
    assert same_weights(loaded.fit(smiles, labels), fitted)


def test_targets_without_variance_are_predicted_as_they_are(smiles, sizes):
    single = np.full(40, NAN)
    single[11] = 5e-9
    Y = np.stack([sizes, np.full(40, 1e-9), single], axis=1)
    parameters = QUICK | {"validation_fraction": 0.2, "n_estimators": 3}
    mean, std = MoCoPRegressor(**parameters).fit(smiles, Y).predict(smiles, return_std=True)
    np.testing.assert_allclose(mean[:, 1:], np.broadcast_to([1e-9, 5e-9], (40, 2)), rtol=1e-6)
    assert (std[:, 1:] < 1e-20).all()


# ---------------------------------------------------------------------------------------------
# sparse knowledge
# ---------------------------------------------------------------------------------------------


def test_almost_nothing_measured(smiles):
    rng = np.random.default_rng(3)
    Y = np.where(rng.random((40, 200)) < 0.01, rng.integers(0, 2, (40, 200)), NAN)
    with pytest.warns(UserWarning, match=ONE_CLASS):
        fitted = MoCoPClassifier(**QUICK).fit(smiles, Y)
    p = fitted.predict_proba(smiles)
    assert p.shape == (40, 200)
    assert (np.isnan(p).all(axis=0) == np.isnan(Y).all(axis=0)).all()


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("estimator", [MoCoPClassifier, MoCoPRegressor])
def test_what_a_sparse_matrix_does_not_store_was_not_measured(smiles, estimator, layout):
    rng = np.random.default_rng(3)
    Y = rng.choice([0.0, 1.0, NAN], (40, 3))
    rows, columns = np.nonzero(~np.isnan(Y))
    stored = layout(sparse.coo_array((Y[rows, columns], (rows, columns)), shape=Y.shape))  # zeros, too
    dense, from_sparse = (estimator(**QUICK).fit(smiles, y) for y in (Y, stored))
    np.testing.assert_array_equal(dense.predict(smiles), from_sparse.predict(smiles))
    assert dense.score(smiles, Y) == from_sparse.score(smiles, stored)


def test_a_task_with_two_positives(smiles, labels):
    rare = np.zeros(40)
    rare[[3, 30]] = 1
    fitted = MoCoPClassifier(**LEARN | {"validation_fraction": 0.1}).fit(smiles, np.stack([labels, rare], axis=1))
    assert fitted.unscorable_tasks_ == []
    assert np.isfinite(fitted.score(smiles, np.stack([labels, rare], axis=1)))


@pytest.mark.parametrize("value", [0, 1, "yes"])
def test_one_class_is_predicted_always(smiles, value):
    with pytest.warns(UserWarning, match=ONE_CLASS):
        fitted = MoCoPClassifier(**QUICK).fit(smiles, [value] * 40)
    assert fitted.predict(smiles).tolist() == [value] * 40
    np.testing.assert_array_equal(fitted.predict_proba(smiles), np.ones((40, 1)))


def test_invalid_molecules_are_left_out(smiles, labels, tasks, sizes):
    X = [*smiles[:20], "no molecule", None, *smiles[20:]]

    def stretched(y):
        return np.insert(y, [20, 20], y[:2], axis=0)

    cases = [(MoCoPClassifier, labels), (MoCoPClassifier, tasks), (MoCoPRegressor, sizes),
             (MoCoPClassifier, np.where(labels, "yes", "no"))]  # fmt: skip
    for cls, y in cases:
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            fitted = cls(**QUICK, invalid="nan").fit(X, stretched(y))
        assert same_weights(fitted, cls(**QUICK).fit(smiles, y))
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            predicted = fitted.predict(X)
        assert pd.isna(predicted[20:22]).all()
        np.testing.assert_array_equal(np.delete(predicted, [20, 21], axis=0), fitted.predict(smiles))
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            assert fitted.score(X, stretched(y)) == fitted.score(smiles, y)
        if cls is MoCoPClassifier:
            with pytest.warns(UserWarning, match="2 of 42 rows"):
                assert np.isnan(fitted.predict_proba(X)[20:22]).all()


# ---------------------------------------------------------------------------------------------
# composition
# ---------------------------------------------------------------------------------------------


def morgan(X):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=64)
    return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in X])


def test_searches_and_cross_validation(smiles, labels, tasks, model_file, fitted):
    tuned = MoCoPClassifier(pretrained=model_file, max_epochs=2, learning_rate=1e-3, random_state=0)
    search = GridSearchCV(tuned, {"freeze": ["encoder", 1], "layer_decay": [0.5, 1.0]}, cv=2, error_score="raise")
    assert np.isfinite(search.fit(smiles, labels).cv_results_["mean_test_score"]).all()
    assert cross_val_score(MoCoPClassifier(**LEARN), smiles, labels, cv=3, error_score="raise").mean() > 0.8
    # without a splitter, scikit-learn itself looks for the classes in y, and stumbles over NaN
    assert np.isfinite(cross_val_score(tuned, smiles, tasks, cv=KFold(2), error_score="raise")).all()
    marked = clone(tuned).set_params(missing=-1)
    Y = np.nan_to_num(tasks, nan=-1).astype(int)
    np.testing.assert_array_equal(
        cross_val_score(marked, smiles, Y, cv=2, error_score="raise"),
        cross_val_score(tuned, smiles, tasks, cv=KFold(2), error_score="raise"),
    )
    frozen = clone(tuned).set_params(pretrained=FrozenEstimator(fitted))
    assert np.isfinite(cross_val_score(frozen, smiles, labels, cv=2, error_score="raise")).all()
    with pytest.raises(ValueError, match="FrozenEstimator"):
        cross_val_score(clone(tuned).set_params(pretrained=fitted), smiles, labels, cv=2, error_score="raise")


def test_calibration(smiles, labels):
    calibrated = CalibratedClassifierCV(MoCoPClassifier(**LEARN), cv=2).fit(smiles, labels)
    assert calibrated.score(smiles, labels) > 0.9


def test_stacking_with_a_forest_on_fingerprints(smiles, labels):
    forest = make_pipeline(FunctionTransformer(morgan), RandomForestClassifier(20, random_state=0))
    stack = StackingClassifier(
        [("mocop", MoCoPClassifier(**LEARN)), ("forest", forest)], LogisticRegression(), cv=StratifiedKFold(2)
    )
    assert stack.fit(np.array(smiles), labels).score(np.array(smiles), labels) > 0.9


def test_sample_weights_are_routed_without_being_requested(smiles, labels):
    weight = np.ones(40)
    weight[:5] = 0
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(MoCoPClassifier(**QUICK)).fit(smiles, labels, sample_weight=weight)
    assert same_weights(pipeline[0], MoCoPClassifier(**QUICK).fit(smiles, labels, weight))


# ---------------------------------------------------------------------------------------------
# copies and files
# ---------------------------------------------------------------------------------------------


def test_copies_predict_alike(smiles, classifier, multitask, regressor):
    for estimator in (classifier, multitask, regressor):
        before = joblib.hash(estimator)
        for twin in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
            np.testing.assert_array_equal(twin.predict(smiles), estimator.predict(smiles))
            assert joblib.hash(twin) == before
        unfitted = clone(estimator)
        assert unfitted.get_params() == estimator.get_params()
        with pytest.raises(NotFittedError):
            unfitted.predict(smiles)


@pytest.mark.parametrize("labels_as", ["binary", "strings", "objects", "tasks", "numbers"])
def test_files_are_exact(smiles, labels, tasks, sizes, tmp_path, labels_as):
    strings = np.where(np.arange(40) % 3 == 0, "a", np.where(labels, "yes", "no"))
    y = {"binary": labels, "strings": strings, "objects": strings.astype(object), "tasks": tasks, "numbers": sizes}
    cls = MoCoPRegressor if labels_as == "numbers" else MoCoPClassifier
    fitted = cls(**QUICK, n_estimators=2).fit(smiles, y[labels_as])
    fitted.save(tmp_path / "tuned.safetensors")
    twin = cls.load(tmp_path / "tuned.safetensors", n_jobs=1)
    np.testing.assert_array_equal(twin.predict(smiles), fitted.predict(smiles))
    assert twin.predict(smiles).dtype == fitted.predict(smiles).dtype
    assert twin.score(smiles, y[labels_as]) == fitted.score(smiles, y[labels_as])
    assert twin.history_ == fitted.history_
    assert twin.max_epochs == 3
    if cls is MoCoPClassifier:
        np.testing.assert_array_equal(twin.predict_proba(smiles), fitted.predict_proba(smiles))
        np.testing.assert_array_equal(twin.classes_, fitted.classes_)
    other = MoCoPClassifier if cls is MoCoPRegressor else MoCoPRegressor
    with pytest.raises(ValueError, match=f"holds a {cls.__name__}, not a {other.__name__}"):
        other.load(tmp_path / "tuned.safetensors")
    with pytest.raises(ValueError, match="holds a fine-tuned model, but a model is needed"):
        MoCoPEmbedder.load(tmp_path / "tuned.safetensors")


def keep(mol):
    return mol


def test_a_function_that_standardises_is_given_again(smiles, labels, tmp_path, model_file):
    fitted = MoCoPClassifier(**QUICK, standardize=keep).fit(smiles, labels)
    fitted.save(tmp_path / "tuned.safetensors")
    with pytest.raises(ValueError, match=r"trained with standardize=.*keep: pass that again"):
        MoCoPClassifier.load(tmp_path / "tuned.safetensors")
    twin = MoCoPClassifier.load(tmp_path / "tuned.safetensors", standardize=keep)
    np.testing.assert_array_equal(twin.predict_proba(smiles), fitted.predict_proba(smiles))
    with pytest.raises(ValueError, match="holds a model, but a fine-tuned model is needed"):
        MoCoPClassifier.load(model_file)


# ---------------------------------------------------------------------------------------------
# bad inputs
# ---------------------------------------------------------------------------------------------

BAD = {
    "no y": (lambda f, X, y: f(X, None), ValueError, "requires y to be passed, but the target y is None"),
    "lengths": (lambda f, X, y: f(X, y[:-1]), ValueError, "inconsistent numbers of samples"),
    "one molecule": (lambda f, X, y: f(X[:1], y[:1]), ValueError, r"at least two different molecules.*n_samples=1"),
    "one molecule twice": (lambda f, X, y: f(["CCO", "OCC"], [0, 1]), ValueError, "but X holds 1"),
    "nothing measured": (lambda f, X, y: f(X, np.full(40, NAN)), ValueError, "with labels, but X holds 0"),
    "no molecule": (lambda f, X, y: f(["?"] * 40, y), ValueError, "40 of 40 rows of X are not valid molecules"),
    "a string": (lambda f, X, y: f("CCO", y), TypeError, "Wrap it in a list"),
    "no rows": (lambda f, X, y: f([], []), ValueError, "0 sample"),
    "infinite": (lambda f, X, y: f(X, np.where(y, np.inf, 0.0)), ValueError, "infinity"),
    "cube": (lambda f, X, y: f(X, np.zeros((40, 2, 2))), ValueError, r"got \(40, 2, 2\)"),
    "ragged": (lambda f, X, y: f(X, [[0, 1]] * 39 + [[0]]), ValueError, "rows have different lengths"),
    "sparse ones": (lambda f, X, y: f(X, sparse.csr_array(np.ones((40, 3)))), ValueError, r"nothing but ones.*toarray"),
    "negative weight": (lambda f, X, y: f(X, y, -np.ones(40)), ValueError, "Negative values"),
    "weights' length": (lambda f, X, y: f(X, y, np.ones(3)), ValueError, "sample_weight"),
}
BAD_CLASSES = {
    "continuous": (lambda f, X, y: f(X, np.linspace(0, 1, 40)), ValueError, "Unknown label type"),
    "not 0 and 1": (
        lambda f, X, y: f(X, np.stack([y, y - 1], axis=1)),
        ValueError,
        r"got \[-1, 0, 1\].*set missing=-1",
    ),
    "mixed": (lambda f, X, y: f(X, [0, "a"] * 20), ValueError, "y mixes strings with other labels, as 0"),
    "text tasks": (lambda f, X, y: f(X, [["a", "b"]] * 40), ValueError, r"each must hold 0, 1 and missing values"),
}
BAD_PARAMETERS = [
    ("freeze", 4, "freeze=4, but the encoder has 2 convolutions"),
    ("layer_decay", 1.5, "layer_decay"),
    ("head_init", "probe", "head_init"),
    ("n_estimators", 0, "n_estimators"),
    ("validation_groups", "cluster", "validation_groups"),
    ("pretrained", "nowhere", "No model file"),
    ("class_weight", {7: 1.0}, r"class_weight names \[7\], but the classes are \[0, 1\]"),
    ("class_weight", {0: -1.0}, r"finite numbers and not negative, got \{0: -1.0\}"),
    ("class_weight", {0: NAN}, r"finite numbers and not negative, got \{0: nan\}"),
    ("class_weight", {0: "heavy"}, r"finite numbers and not negative, got \{0: 'heavy'\}"),
    ("class_weight", {0: 0, 1: 0}, "leaves no label with a weight above 0"),
    ("device", "tpu", "device must be"),
    ("learning_rate", 1e30, "The loss became"),
]


@pytest.mark.parametrize("case", [*BAD, *BAD_CLASSES])
def test_bad_labels(smiles, labels, case):
    do, error, message = (BAD | BAD_CLASSES)[case]
    with pytest.raises(error, match=message):
        do(MoCoPClassifier(**QUICK).fit, smiles, labels)


@pytest.mark.parametrize("case", BAD)
def test_bad_targets(smiles, labels, case):
    do, error, message = BAD[case]
    with pytest.raises(error, match=message):
        do(MoCoPRegressor(**QUICK).fit, smiles, labels)


@pytest.mark.parametrize(("name", "value", "message"), BAD_PARAMETERS)
def test_bad_parameters(smiles, labels, name, value, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        MoCoPClassifier(**QUICK | {name: value}).fit(smiles, labels)


def test_further_errors(smiles, labels, fitted, classifier, multitask, regressor):
    with pytest.raises(ValueError, match="y must hold numbers"):
        MoCoPRegressor(**QUICK).fit(smiles, np.where(labels, "a", "b"))
    for y in (np.full(40, 1j), np.full(40, np.datetime64("2020-01-01"))):
        with pytest.raises(ValueError, match="y must hold real numbers, got the type"):
            MoCoPRegressor(**QUICK).fit(smiles, y)
    with pytest.raises(ValueError, match="y must hold labels, but it is None"):
        classifier.score(smiles, None)
    with pytest.raises(ValueError, match=r"each must hold 0, 1 and missing values, but got \[0, 2\]"):
        multitask.score(smiles, np.tile([[0, 2, 0]], (40, 1)))
    with pytest.raises(ValueError, match="n_layers=5 contradicts the pretrained model, which has 2"):
        MoCoPClassifier(pretrained=fitted, n_layers=5).fit(smiles, labels)
    with pytest.warns(UserWarning, match="40 of 40 rows"), pytest.raises(ValueError, match="but X holds 0"):
        MoCoPClassifier(**QUICK, invalid="nan").fit(["?"] * 40, labels)
    with pytest.raises(ValueError, match=r"y has the shape \(40,\), but the predictions have \(40, 3\)"):
        multitask.score(smiles, labels)
    for estimator in (regressor, classifier):
        with pytest.raises(ValueError, match=r"y has the shape \(40, 2\), but the predictions have \(40,\)"):
            estimator.score(smiles, np.ones((40, 2)))


def test_parameters_are_stored_as_given():
    parameters = QUICK | {"pretrained": Path("model"), "class_weight": {0: 1.0}, "missing": -1}
    estimator = MoCoPClassifier(**parameters)
    assert all(getattr(estimator, name) is value for name, value in parameters.items())
