"""One step: batches in several passes, and over several processes, have the gradients of one."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as mp

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import main
from mocop_sklearn.model_file._format import read_file
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn._models import Architecture
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training import _batches as corpus
from mocop_sklearn.training._batches import Corpus
from tests.helpers import components, processes, ranks

TINY = {
    "n_layers": 2, "hidden_dim": 16, "embedding_dim": 32, "projection_dim": 8, "profile_dims": (16, 8),
    "max_epochs": 4, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0.2, "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(smiles, profiles):
    scaled = torch.from_numpy(ProfileScaler().fit_transform(profiles))
    return Corpus.from_rows(featurize(smiles, "rich").graphs, scaled, np.arange(len(smiles)))


def architecture(dropout=0.0):
    return Architecture("rich", 2, 16, 32, dropout, profile_dims=(16, 8), projection_dim=8, n_profile_features=24)


def close(one, other, tolerance=1e-5):
    assert one.keys() == other.keys()
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def on_ranks(n, folder, tasks):
    """Results of the tasks in each of n processes."""
    processes.context()  # with its imports
    mp.start_processes(ranks.run, (n, port(), tasks, folder), nprocs=n, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(n)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("molecules_per_pass", [1, 7, 16, 32])
def test_passes_have_the_gradients_of_the_whole_batch(data, monkeypatch, molecules_per_pass, weighted):
    weights = torch.linspace(0.1, 2, len(data)) if weighted else None
    molecules = np.random.default_rng(1).permutation(len(data))[:32]

    def gradients():
        return ranks.gradients(architecture(), data, molecules, np.random.default_rng(0), weights)

    whole = gradients()
    monkeypatch.setattr(corpus, "MOLECULES_PER_PASS", molecules_per_pass)
    assert len(data.draw(molecules, np.random.default_rng(0)).passes) == -(-32 // molecules_per_pass)
    close(gradients(), whole)


def test_dropout_is_alike_in_both_rounds_of_a_pass(data, monkeypatch):
    monkeypatch.setattr(corpus, "MOLECULES_PER_PASS", 8)
    seen = []
    project = ranks.TwoTower.project_profiles
    monkeypatch.setattr(ranks.TwoTower, "project_profiles", lambda self, *args: _kept(seen, project(self, *args)))
    ranks.gradients(architecture(0.5), data, np.arange(32), np.random.default_rng(0), None)
    assert len(seen) == 8
    for first, second in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[1])


def _kept(seen, vectors):
    seen.append(vectors.detach().clone())
    return vectors


ROWS = torch.arange(12.0).reshape(3, 2, 2)
# without batch normalisation, for which each process has the statistics of its own share
EXACT = TINY | {"dropout": 0.0, "temperature": "learned", "encoder": "ggnn"}


def one_batch(data, weights):
    return architecture(), data, np.random.default_rng(1).permutation(len(data))[:32], np.random.default_rng(0), weights


@pytest.fixture(scope="module")
def weights(data):
    return torch.linspace(0.1, 2, len(data))


@pytest.fixture(scope="module")
def two(data, weights, smiles, profiles, tmp_path_factory):
    """What two processes make of tasks that one can do: (process, task)."""
    folder = tmp_path_factory.mktemp("two")
    cached = TINY | {"random_state": None, "memory": str(folder / "cache")}
    tasks = [
        (ranks.gradients, *one_batch(data, None)),
        (ranks.gradients, *one_batch(data, weights)),
        (ranks.fit, smiles, profiles, EXACT),
        (ranks.fit, smiles, profiles, cached),
        (ranks.fit, smiles, profiles, cached),
        (ranks.fit, smiles, profiles, EXACT | {"encoder": components.gine}),
        (ranks.fit, smiles, profiles, EXACT | {"encoder": components.MeanOfAtoms}),
    ]
    return on_ranks(2, folder, tasks), cached


@pytest.fixture(scope="module")
def three(smiles, profiles, tmp_path_factory):
    tasks = [(ranks.gathered, ROWS), (ranks.fit, smiles[:2], profiles[:2], TINY)]
    return on_ranks(3, tmp_path_factory.mktemp("three"), tasks)


@pytest.mark.slow
def test_gather(three):
    for rank, (found, _) in enumerate(three):
        assert torch.equal(found["rows"], ROWS.reshape(6, 2))
        # times the number of processes: gradients of parameters are averaged over them
        assert torch.equal(found["gradient"], 3 * 2 * ROWS[rank])


@pytest.mark.slow
def test_fewer_molecules_than_processes(three):
    for _, error in three:
        assert "2 molecules, in batches of 16, are too few for 3 processes" in error


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_processes_have_the_gradients_of_one(two, data, weights, weighted):
    one = ranks.gradients(*one_batch(data, weights if weighted else None))
    for rank in two[0]:
        close(rank[int(weighted)], one)


@pytest.mark.slow
def test_a_fit_by_two_processes_is_that_of_one(two, smiles, profiles):
    one = ranks.fit(smiles, profiles, EXACT)
    first, second = (rank[2] for rank in two[0])
    assert first["digest"] == second["digest"]
    assert first["history"] == second["history"]
    for name in one["weights"]:
        np.testing.assert_allclose(first["weights"][name], one["weights"][name], rtol=1e-3, atol=1e-5)
    for row, other in zip(first["history"], one["history"], strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_encoders_of_ones_own_train_by_two_processes(two, smiles, profiles):
    (_, _, _, _, _, *first), (_, _, _, _, _, *second) = two[0]
    for one, other in zip(first, second, strict=True):
        assert one["digest"] == other["digest"]  # statistics of layers among the weights
    alone = ranks.fit(smiles, profiles, EXACT | {"encoder": components.gine})
    for name, w in alone["weights"].items():
        np.testing.assert_allclose(first[0]["weights"][name], w, atol=1e-4)


@pytest.mark.slow
def test_a_shared_cache_and_random_seeds(two, smiles, profiles):
    """Nobody waits for a lock that another holds, and all ranks draw the seed of the first."""
    results, cached = two
    digests = [result["digest"] for rank in results for result in rank[3:5]]
    assert digests == [ranks.fit(smiles, profiles, cached)["digest"]] * 4


# ---------------------------------------------------------------------------------------------
# torchrun
# ---------------------------------------------------------------------------------------------


def torchrun(n, *words, **options):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={n}", f"--master-port={port()}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "-m", "mocop_sklearn", *map(str, words)], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)  # fmt: skip


def flags(parameters):
    words = []
    for name, value in parameters.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return words


@pytest.fixture
def wells(smiles, profiles, tmp_path):
    path = tmp_path / "wells.parquet"
    frame = pd.DataFrame(profiles, columns=[f"f{i}" for i in range(profiles.shape[1])])
    frame.assign(Metadata_SMILES=smiles).to_parquet(path)
    return path


@pytest.mark.slow
def test_torchrun_writes_the_model_of_one_process(wells, tmp_path):
    settings = TINY | {"dropout": 0.0, "encoder": "ggnn"}
    words = ["pretrain", wells, "-o", tmp_path / "two.model", *flags(settings)]
    process = torchrun(2, *words)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert output.count("molecules") == 1  # the table is printed once
    two = MoCoPEmbedder.load(tmp_path / "two.model")
    frame = pd.read_parquet(wells)
    one = MoCoPEmbedder(**settings).fit(frame.pop("Metadata_SMILES"), profiles=frame.astype(np.float32))
    assert two.n_iter_ == 4
    np.testing.assert_allclose(two.transform(["CCO", "c1ccccc1"]), one.transform(["CCO", "c1ccccc1"]), atol=1e-4)


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_job_and_others_go_on_from_there(wells, tmp_path):
    """The job fails within a minute, and another number of processes resumes it."""
    state = tmp_path / "state"
    words = ["pretrain", wells, "-o", tmp_path / "model", "--checkpoint-dir", state, "-q"]
    words += flags(TINY | {"dropout": 0.0, "max_epochs": 200})
    process = torchrun(2, *words)
    try:
        while not list(state.glob("*.safetensors")):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "SIGKILL" in output or "-9" in output
        assert not (tmp_path / "model").exists()
    finally:
        process.kill()
    before = read_file(next(state.glob("*.safetensors")), "training checkpoint")[0]["history"]
    assert 0 < len(before) < 200
    assert main([*map(str, words), "--resume"]) == 0
    after = MoCoPEmbedder.load(tmp_path / "model").history_
    assert len(after) == 200
    assert after[: len(before)] == before
