"""Runs that were killed go on."""

import numpy as np
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from mocop_sklearn._base import _finetuned as finetuning
from mocop_sklearn.training import _loop
from tests.helpers.finetuning import QUICK, same_weights


@pytest.mark.slow
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
