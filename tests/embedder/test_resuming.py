"""Runs that were killed or interrupted go on."""

import os
import shutil
import signal
import sys

import numpy as np
import pytest
import torch

import mocop_sklearn
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.training._loop import TrainingState
from tests.helpers.processes import start


def killed_at_the_fourth_file(smiles, profiles, parameters, folder):
    """Fit in a process that is killed while it puts the fourth state in its place."""
    torch.set_num_threads(1)
    replace, written = os.replace, []

    def replace_until_killed(source, target):
        written.append(target)
        if len(written) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_until_killed
    MoCoPEmbedder(**parameters, checkpoint_dir=folder).fit(smiles, profiles)


@pytest.fixture(scope="module")
def killed(smiles, profiles, tiny, tmp_path_factory):
    """Parameters of a run, and the folder that it left when it was killed in epoch 4, writing its state."""
    folder = tmp_path_factory.mktemp("killed") / "checkpoints"
    parameters = tiny | {"max_epochs": 6, "learning_rate": 1e-2, "temperature": 0.2}
    process = start(killed_at_the_fourth_file, smiles, profiles, parameters, folder)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return parameters, folder


@pytest.fixture
def checkpoints(killed, tmp_path):
    """A copy of the folder of the killed run."""
    return shutil.copytree(killed[1], tmp_path / "checkpoints")


def epochs_trained(monkeypatch):
    """The list that gets the number of each epoch that is trained from now on."""
    epochs = []
    finish = TrainingState.finish_epoch
    monkeypatch.setattr(
        TrainingState, "finish_epoch", lambda s, m, o, row: epochs.append(row["epoch"]) or finish(s, m, o, row)
    )
    return epochs


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_resumes_to_the_same_weights(killed, checkpoints, smiles, profiles, monkeypatch):
    parameters, _ = killed
    whole = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    epochs = epochs_trained(monkeypatch)
    resumed = MoCoPEmbedder(**parameters, checkpoint_dir=checkpoints, resume=True).fit(smiles, profiles)
    assert epochs == [4, 5, 6]
    assert resumed.digest_ == whole.digest_
    assert resumed.model_.weights.keys() == whole.model_.weights.keys()
    for name, weights in whole.model_.weights.items():
        np.testing.assert_array_equal(resumed.model_.weights[name], weights)
    assert resumed.n_iter_ == 6
    assert resumed.best_score_ == whole.best_score_
    without_time = [
        [{**row, "seconds": 0, "seconds_waiting": 0} for row in embedder.history_] for embedder in (resumed, whole)
    ]
    assert without_time[0] == without_time[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_foreign_checkpoints_are_left_alone(killed, checkpoints, smiles, profiles, monkeypatch):
    parameters, _ = killed
    epochs = epochs_trained(monkeypatch)
    for change in ({"learning_rate": 2e-2}, {"random_state": 1}, {"resume": False}):
        MoCoPEmbedder(**{"checkpoint_dir": checkpoints, "resume": True} | parameters | change).fit(smiles, profiles)
        assert epochs == [1, 2, 3, 4, 5, 6]
        epochs.clear()
    MoCoPEmbedder(**parameters, checkpoint_dir=checkpoints, resume=True).fit(smiles, profiles + 1)
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_resuming_without_a_seed_goes_on_with_the_old_one(smiles, profiles, tiny, tmp_path, monkeypatch):
    split = mocop_sklearn.training._profiled.split_molecules
    held_out = []
    monkeypatch.setattr(
        mocop_sklearn.training._profiled,
        "split_molecules",
        lambda *args: held_out.append(split(*args)[1]) or split(*args),
    )
    embedder = MoCoPEmbedder(**tiny | {"random_state": None}, checkpoint_dir=tmp_path, resume=True)
    first = embedder.fit(smiles, profiles)
    digest = first.digest_
    assert embedder.fit(smiles, profiles).digest_ == digest
    np.testing.assert_array_equal(held_out[0], held_out[1])


def test_an_interrupted_run_resumes(smiles, profiles, tiny, tmp_path, monkeypatch):
    parameters = tiny | {"max_epochs": 5, "patience": 5}
    whole = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    embedder = MoCoPEmbedder(**parameters, checkpoint_dir=tmp_path, resume=True)
    finish = TrainingState.finish_epoch

    def interrupt(state, *args):
        if state.epoch == 2:
            raise KeyboardInterrupt
        finish(state, *args)

    monkeypatch.setattr(TrainingState, "finish_epoch", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3 of 5"):
        embedder.fit(smiles, profiles)
    assert embedder.n_iter_ == 2
    monkeypatch.setattr(TrainingState, "finish_epoch", finish)
    assert embedder.fit(smiles, profiles).digest_ == whole.digest_
