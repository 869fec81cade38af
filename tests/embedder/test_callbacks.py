"""Callables that hear of every epoch."""

import csv

import numpy as np
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor


class CSVLogger:
    """Appends the row of every epoch to a file."""

    def __init__(self, path):
        self.path = path

    def __call__(self, row):
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


@pytest.fixture
def small(tiny):
    return tiny | {"structure_weight": 0, "side_features": None, "validation_fraction": 0}


def without_seconds(history):
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in history]


def test_an_embedder_tells_every_epoch(smiles, profiles, small, tmp_path):
    rows = []
    parameters = small | {"n_estimators": 2, "callbacks": [rows.append, CSVLogger(tmp_path / "log.csv")]}
    embedder = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    assert rows == embedder.history_
    assert [(row["estimator"], row["epoch"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    with (tmp_path / "log.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [row["loss"] for row in rows]
    rows[0].clear()  # a callback has a copy
    assert embedder.history_[0]["loss"] > 0


def test_callbacks_change_nothing(smiles, profiles, small, tmp_path):
    rows = []
    plain = MoCoPEmbedder(**small, memory=tmp_path).fit(smiles, profiles)
    heard = MoCoPEmbedder(**small, memory=tmp_path, callbacks=(rows.append,)).fit(smiles, profiles)
    assert not rows  # the fit is in the cache
    trained = MoCoPEmbedder(**small, callbacks=(rows.append,)).fit(smiles, profiles)
    assert plain.digest_ == heard.digest_ == trained.digest_
    assert without_seconds(rows) == without_seconds(plain.history_)
    assert "callbacks" not in trained.model_.parameters
    assert clone(trained).callbacks[0] is not None


@pytest.mark.parametrize("estimator", [MoCoPClassifier, MoCoPRegressor])
def test_fine_tuning_tells_every_epoch(smiles, labels, estimator, tmp_path):
    rows = []
    parameters = {"n_layers": 1, "hidden_dim": 16, "embedding_dim": 16, "max_epochs": 2, "random_state": 0}
    heard = estimator(**parameters, n_estimators=2, callbacks=[rows.append]).fit(smiles, labels)
    plain = estimator(**parameters, n_estimators=2).fit(smiles, labels)
    assert rows == heard.history_
    np.testing.assert_array_equal(heard.predict(smiles), plain.predict(smiles))
    heard.save(tmp_path / "model.safetensors")
    assert estimator.load(tmp_path / "model.safetensors").callbacks == ()


def test_an_error_of_a_callback_ends_the_fit(smiles, profiles, small):
    def stop(row):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        MoCoPEmbedder(**small, callbacks=[stop]).fit(smiles, profiles)


@pytest.mark.parametrize("estimator", [MoCoPEmbedder, MoCoPClassifier])
def test_what_cannot_be_called(estimator, smiles, labels):
    y = np.eye(len(smiles)) if estimator is MoCoPEmbedder else labels
    with pytest.raises(ValueError, match=r"callbacks\[1\] is 'log.csv', which cannot be called. Give functions"):
        estimator(callbacks=[print, "log.csv"]).fit(smiles, y)
