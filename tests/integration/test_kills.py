"""Processes that are killed: fits with checkpoints, and the worker that computes what others wait for."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.cluster_jobs import LoggedEncoder
from tests.helpers.processes import start

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL"),
]
ROOT = Path(__file__).parents[2]


def fit(folder, epochs):
    """Fit with a cache in the folder, and leave the digest there."""
    torch.set_num_threads(1)
    with np.load(folder / "data.npz") as data:
        smiles, profiles = data["smiles"].tolist(), data["profiles"]
    embedder = embedder_of(folder, epochs).set_params(memory=folder / "cache").fit(smiles, profiles=profiles)
    (folder / f"{os.getpid()}.digest").write_text(embedder.digest_)


def embedder_of(folder, epochs):
    encoder = partial(LoggedEncoder, str(folder / "log"))
    sizes = {"projection_dim": 8, "profile_dims": (16, 8), "side_features": None}
    return MoCoPEmbedder(encoder=encoder, max_epochs=epochs, random_state=0, **sizes)


def digest_of(process, folder):
    """Digest that a process has left, when it has ended."""
    process.join(300)
    assert process.exitcode == 0
    return (folder / f"{process.pid}.digest").read_text()


@pytest.fixture
def folder(smiles, profiles, tmp_path):
    np.savez(tmp_path / "data.npz", smiles=np.array(smiles), profiles=profiles)
    return tmp_path


def steps(folder):
    """Processes that took a step of training, in the order of the steps."""
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("kind", ["embedder", "classifier"])
def test_fits_killed_at_random_times_end_as_if_they_had_not_been(kind, tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "tests.helpers.kills", kind, "4", "0", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, timeout=300, check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kills"] == 4
    assert report["ended"] == report["equal"] > 0


def test_eight_processes_share_one_cache(folder, smiles, profiles):
    children = [start(fit, folder, 2) for _ in range(8)]
    digests = {digest_of(child, folder) for child in children}
    found = steps(folder)
    assert len(set(found)) == 1  # one process has trained
    assert digests == {embedder_of(folder, 2).fit(smiles, profiles=profiles).digest_}
    assert len(steps(folder)) == 2 * len(found)


def test_another_takes_over_from_a_worker_that_was_killed(folder, smiles, profiles):
    """The first holds the lock of the cache and is killed while it trains. The second waits for it meanwhile."""
    first = start(fit, folder, 100)
    while not steps(folder):
        assert first.is_alive()
        time.sleep(0.02)
    second = start(fit, folder, 100)
    first.kill()
    first.join()
    n_steps = len(steps(folder))
    digest = digest_of(second, folder)
    assert set(steps(folder)[n_steps:]) == {str(second.pid)}
    assert digest == embedder_of(folder, 100).fit(smiles, profiles=profiles).digest_
