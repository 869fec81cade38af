"""Processes that are killed: fits with checkpoints, and the worker that computes what others wait for."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.cluster_jobs import LoggedEncoder

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL"),
]
ROOT = Path(__file__).parents[2]

FIT = """
import sys
from functools import partial

import numpy as np
from mocop_sklearn import MoCoPEmbedder
from tests.helpers.cluster_jobs import LoggedEncoder

folder = sys.argv[1]
with np.load(folder + "/data.npz") as data:
    smiles, profiles = data["smiles"].tolist(), data["profiles"]
encoder = partial(LoggedEncoder, folder + "/log")
embedder = MoCoPEmbedder(encoder=encoder, max_epochs={epochs}, random_state=0, memory=folder + "/cache")
print(embedder.fit(smiles, profiles=profiles).digest_)
"""


def start(folder, epochs=2):
    """Fit in a process of its own, with a cache in the folder."""
    own = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *sys.path))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FIT.format(epochs=epochs), str(folder)]
    return subprocess.Popen(command, env=os.environ | own, text=True, stdout=subprocess.PIPE)


@pytest.fixture
def folder(smiles, profiles, tmp_path):
    np.savez(tmp_path / "data.npz", smiles=np.array(smiles), profiles=profiles)
    return tmp_path


def steps(folder):
    """Processes that took a step of training, in the order of the steps."""
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def uncached(folder, smiles, profiles, epochs=2):
    encoder = partial(LoggedEncoder, str(folder / "log"))
    return MoCoPEmbedder(encoder=encoder, max_epochs=epochs, random_state=0).fit(smiles, profiles=profiles)


@pytest.mark.parametrize("kind", ["embedder", "classifier"])
def test_fits_killed_at_random_times_end_as_if_they_had_not_been(kind, tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "tests.helpers.kills", kind, "4", "0", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, timeout=300, check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kills"] == 4
    assert report["ended"] == report["equal"] > 0


def test_eight_processes_share_one_cache(folder, smiles, profiles):
    children = [start(folder) for _ in range(8)]
    digests = [child.communicate(timeout=300)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * 8
    found = steps(folder)
    assert len(set(found)) == 1  # one process has trained
    assert set(digests) == {uncached(folder, smiles, profiles).digest_}
    assert len(steps(folder)) == 2 * len(found)


def test_another_takes_over_from_a_worker_that_was_killed(folder, smiles, profiles):
    """The first holds the lock of the cache and is killed while it trains. The second waits for it meanwhile."""
    first = start(folder, epochs=100)
    while not steps(folder):
        assert first.poll() is None
        time.sleep(0.02)
    second = start(folder, epochs=100)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    n_steps = len(steps(folder))
    digest = second.communicate(timeout=300)[0].strip()
    assert second.returncode == 0
    assert set(steps(folder)[n_steps:]) == {str(second.pid)}
    assert digest == uncached(folder, smiles, profiles, epochs=100).digest_
