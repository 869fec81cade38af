"""Several networks side by side in one embedder."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.training._loop import TrainingState


@pytest.fixture(scope="module")
def small(tiny):
    """Parameters of a network without what stands beside it."""
    return tiny | {"side_features": None, "structure_weight": 0.0}


@pytest.fixture(scope="module")
def one(smiles, profiles, small):
    return MoCoPEmbedder(**small).fit(smiles, profiles)


@pytest.fixture(scope="module")
def three(smiles, profiles, small):
    return MoCoPEmbedder(**small, n_estimators=3).fit(smiles, profiles)


def test_the_first_network_is_that_of_one_alone(one, three, smiles):
    embeddings = three.transform(smiles)
    assert embeddings.shape == (40, 3 * 32)
    np.testing.assert_array_equal(embeddings[:, :32], one.transform(smiles))
    assert np.abs(embeddings[:, 32:64] - embeddings[:, 64:]).max() > 0.01
    assert len(three.get_feature_names_out()) == 3 * 32
    assert three.history_[0] == {"estimator": 0, **one.history_[0], **_times(three.history_[0])}
    assert [row["estimator"] for row in three.history_] == [0, 0, 1, 1, 2, 2]


def _times(row):
    return {name: row[name] for name in ("seconds", "seconds_waiting")}


def test_a_cosine_is_the_mean_of_the_networks(three, smiles, profiles):
    unscaled = replace(three.model_, local_scaling=None)
    projection = clone(three).set_params(pretrained=unscaled, output="projection").fit(smiles)
    molecules, cells = projection.transform(smiles), projection.transform_profiles(profiles)
    np.testing.assert_allclose(np.linalg.norm(molecules, axis=1), 1, rtol=1e-5)
    members = [(molecules[:, i : i + 8], cells[:, i : i + 8]) for i in (0, 8, 16)]
    cosines = [
        (m / np.linalg.norm(m, axis=1, keepdims=True)) @ (c / np.linalg.norm(c, axis=1, keepdims=True)).T
        for m, c in members
    ]
    np.testing.assert_allclose(molecules @ cells.T, np.mean(cosines, axis=0), atol=1e-5)
    assert three.best_score_ == pytest.approx(
        np.mean([_kept(three, member)["validation_score"] for member in range(3)]), abs=1e-12
    )


def _kept(embedder, member):
    """The row of history of the weights that were kept."""
    rows = [row for row in embedder.history_ if row["estimator"] == member]
    return max(rows, key=lambda row: (row["validation_score"], -row["validation_loss"]))


def test_files_and_side_features(three, smiles, profiles, small, tmp_path):
    three.save(tmp_path / "three.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "three.safetensors")
    assert loaded.digest_ == three.digest_
    assert loaded.model_.n_networks == 3
    np.testing.assert_array_equal(loaded.transform(smiles[:5]), three.transform(smiles[:5]))
    beside = MoCoPEmbedder(**small | {"side_features": "ecfp"}, n_estimators=2, output="projection")
    beside.fit(smiles, profiles)
    assert beside.transform(smiles[:3]).shape == (3, beside.model_.n_shared)
    np.testing.assert_allclose(np.linalg.norm(beside.transform(smiles[:3]), axis=1), 1, rtol=1e-5)


def test_each_network_goes_on_from_one_of_the_start(three, smiles, profiles, small, labels):
    start = {"pretrained": three.model_, "max_epochs": 0}
    again = MoCoPEmbedder(**small | start, n_estimators=4).fit(smiles, profiles)
    embeddings = three.transform(smiles)
    np.testing.assert_array_equal(again.transform(smiles), np.hstack([embeddings, embeddings[:, :32]]))
    classifier = MoCoPClassifier(pretrained=three.model_, n_estimators=2, max_epochs=0, random_state=0)
    with pytest.warns(UserWarning, match=r"3 networks, of which n_estimators=2 trains the first 2 only\. Pass n_est"):
        classifier.fit(smiles, labels)
    with pytest.warns(UserWarning, match=r"trains the first 1 only"):
        one = MoCoPEmbedder(**small | start).fit(smiles, profiles)
    np.testing.assert_array_equal(one.transform(smiles), embeddings[:, :32])
    assert MoCoPEmbedder(pretrained=three.model_).fit(smiles).transform(smiles).shape == embeddings.shape
    for member in range(2):
        name = "molecule_encoder.embed.weight"
        expected = three.model_.network_weights(member)[name]
        np.testing.assert_array_equal(classifier.weights_[member][name], expected)


def test_a_run_that_was_interrupted_in_the_second_network_goes_on(
    three, smiles, profiles, small, tmp_path, monkeypatch
):
    embedder = MoCoPEmbedder(**small, n_estimators=3, checkpoint_dir=tmp_path, resume=True)
    finish, epochs = TrainingState.finish_epoch, []

    def interrupt(state, *args):
        epochs.append(state.epoch)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        finish(state, *args)

    monkeypatch.setattr(TrainingState, "finish_epoch", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 2 of 2"):
        embedder.fit(smiles, profiles)
    assert embedder.model_.n_networks == 2
    monkeypatch.setattr(TrainingState, "finish_epoch", finish)
    assert embedder.fit(smiles, profiles).digest_ == three.digest_
