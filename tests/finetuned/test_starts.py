"""Where a fine-tuning starts: frozen parts, linear starts, pretrained models."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.model_selection import overlap
from tests.helpers.finetuning import NAN, ONE_CLASS, SHAPE, same_weights


@pytest.mark.parametrize("freeze", ["none", "encoder", 0, 1, 2])
def test_frozen_weights_are_bit_equal(smiles, labels, fitted, freeze):
    tuned = MoCoPClassifier(pretrained=fitted, freeze=freeze, max_epochs=2, learning_rate=0.01, weight_decay=0.1)
    weights = tuned.fit(smiles, labels).weights_[0]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    names = [n for n in weights if n.startswith("molecule_encoder") and not n.endswith(statistics)]
    kept = {name for name in names if np.array_equal(weights[name], fitted.model_.weights[name])}
    prefixes = {
        "none": (),
        "encoder": ("molecule_encoder",),
        0: (),
        1: ("molecule_encoder.embed", "molecule_encoder.layers.0"),
        2: ("molecule_encoder.embed", "molecule_encoder.layers"),
    }
    assert kept == {name for name in names if name.startswith(prefixes[freeze])}


@pytest.mark.parametrize("freeze", ["none", "encoder", 1])
@pytest.mark.parametrize("head", ["tanh", "linear", "mlp"])
def test_all_of_a_head_is_trained_at_its_rate(smiles, labels, fitted, head, freeze):
    tuned = MoCoPClassifier(pretrained=fitted, head=head, head_init="random", freeze=freeze, dropout=0.0,
                            layer_decay=0.1, batch_size=len(smiles), learning_rate=1e-3, random_state=0)  # fmt: skip
    start, end = (tuned.set_params(max_epochs=n).fit(smiles, labels).weights_[0] for n in (0, 1))
    steps = {
        name: np.abs(end[name] - start[name]).max()
        for name in start
        if not name.startswith(("molecule_encoder", "center", "spread"))
    }
    # Adam's first step is as long as the rate, for each weight with a gradient
    assert len(steps) == (4 if head == "mlp" else 2)
    np.testing.assert_allclose(list(steps.values()), 1e-3, rtol=0.02)


def test_molecules_seen_are_known(smiles, labels, fitted):
    tuned = MoCoPClassifier(pretrained=fitted, max_epochs=1).fit(["CCO", "CCCCCCCCN"], [0, 1])
    assert overlap(tuned, [*smiles, "NCCCCCCCC", "CCCCCCCCCN"]).tolist() == [True] * 41 + [False]


def test_layer_wise_rates(smiles, labels, fitted):
    # Adam's first step is as long as the rate, for each weight with a gradient
    one_step = {"max_epochs": 1, "batch_size": len(smiles), "learning_rate": 1e-2, "dropout": 0.0}
    tuned = MoCoPClassifier(pretrained=fitted, layer_decay=0.1, **one_step, random_state=0)
    weights = tuned.fit(smiles, labels).weights_[0]
    trained = {
        n: w for n, w in weights.items() if not n.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    steps = {
        part: max(np.abs(w - fitted.model_.weights[n]).max() for n, w in trained.items() if n.startswith(part))
        for part in ("molecule_encoder.readout", "molecule_encoder.layers.1", "molecule_encoder.layers.0")
    }
    np.testing.assert_allclose(list(steps.values()), [1e-3, 1e-4, 1e-5], rtol=0.02)


# The last layer starts at a linear model; a frozen encoder and a rate of next to nothing leave it there.
STARTED = {"head": "tanh", "head_init": "linear", "freeze": "encoder", "max_epochs": 0,
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


def test_a_head_on_standardised_representations(smiles, sizes, labels, fitted, tmp_path):
    z = fitted.transform(smiles).astype(float)
    relu = np.maximum((z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-3), 0)
    scaled = StandardScaler().fit_transform(relu)
    tuned = MoCoPRegressor(pretrained=fitted, **STARTED | {"head": "auto"}).fit(smiles, sizes)
    np.testing.assert_allclose(tuned.predict(smiles), Ridge(alpha=1000).fit(scaled, sizes).predict(scaled), rtol=1e-4)
    tuned.save(tmp_path / "tuned.safetensors")
    loaded = MoCoPRegressor.load(tmp_path / "tuned.safetensors")
    np.testing.assert_array_equal(loaded.predict(smiles), tuned.predict(smiles))
    deep = MoCoPClassifier(pretrained=fitted, head="mlp", max_epochs=30, learning_rate=3e-3, random_state=0)
    assert deep.fit(smiles, labels).weights_[0]["hidden.weight"].shape == (z.shape[1] // 2, z.shape[1])
    assert deep.score(smiles, labels) > 0.9


def test_a_pretrained_encoder_keeps_the_statistics_of_its_normalisation(smiles, labels, fitted):
    tuned = MoCoPClassifier(pretrained=fitted, max_epochs=2, random_state=0).fit(smiles, labels)
    scratch = MoCoPClassifier(encoder="gine", **SHAPE, max_epochs=2, random_state=0).fit(smiles, labels)
    names = [name for name in tuned.weights_[0] if name.endswith("running_var")]
    assert names
    for name in names:
        np.testing.assert_array_equal(tuned.weights_[0][name], fitted.model_.weights[name])
        assert not np.allclose(scratch.weights_[0][name], 1)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "pretrained", "recipe"),
    [
        (MoCoPClassifier, False, {"head": "tanh", "head_init": "random", "max_epochs": 60, "learning_rate": 3e-4}),
        (MoCoPClassifier, True, {"head": "linear", "head_init": "linear", "max_epochs": 10, "learning_rate": 1e-4}),
        (MoCoPRegressor, False, {"head": "tanh", "head_init": "random", "max_epochs": 60, "learning_rate": 1e-3}),
        (MoCoPRegressor, True, {"head": "linear", "head_init": "linear", "max_epochs": 60, "learning_rate": 3e-4}),
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
    scratch = MoCoPClassifier(**SHAPE, head="linear", max_epochs=1, random_state=0).fit(smiles, labels)
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
        lambda: MoCoPEmbedder(pretrained=regressor, output="projection").fit(smiles).transform(smiles),
        lambda: embedder.transform_profiles(np.ones((2, 20))),
    ):
        with pytest.raises(ValueError, match="has no profile network"):
            use()
    with pytest.raises(ValueError, match="not a fitted estimator"):
        MoCoPClassifier(pretrained=MoCoPRegressor()).fit(smiles, labels)
