"""The examples of the documentation, on clusters of two processes on this machine."""

import importlib.util
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BAD = [7, 30]


needs_dask = pytest.mark.skipif(
    not (importlib.util.find_spec("dask") and importlib.util.find_spec("distributed")),
    reason="dask and distributed are not installed",
)
needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")


def process(*words, folder, **options):
    """Start Python in a process that finds the examples, and the modules of tests."""
    paths = [str(EXAMPLES), str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AUTH_TOKEN": secrets.token_hex(16),  # else Ray leaves one in the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, cwd=folder, env=os.environ | own, text=True, stdout=subprocess.PIPE, **options)


def run(*words, folder):
    """Run a script; return what it printed."""
    with process(*words, folder=folder, stderr=subprocess.STDOUT) as script:
        try:
            printed, _ = script.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            script.kill()
            raise
    assert script.returncode == 0, printed
    return printed


CLUSTER = """
import sys
from dask.distributed import LocalCluster

with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a Dask cluster of two processes."""
    folder = tmp_path_factory.mktemp("cluster")
    with process("-c", CLUSTER, folder=folder, stdin=subprocess.PIPE) as cluster:
        yield cluster.stdout.readline().strip()
        cluster.communicate(timeout=60)


@pytest.fixture
def library(smiles, tmp_path):
    """A folder of three tables in row groups, rows numbered anew in each table; two rows are no molecules."""
    values = [*smiles, *(f"C{s}" for s in smiles if s.startswith("CC"))]
    for row in BAD:
        values[row] = "not a molecule" if row % 2 else ""
    table = pd.DataFrame({"id": np.arange(len(values)), "smiles": values})
    folder = tmp_path / "library"
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        table.iloc[rows].reset_index(drop=True).to_parquet(folder / f"{i}.parquet", row_group_size=5)
    return table


def check_embedding(folder, library, model_file):
    with pytest.warns(UserWarning, match=f"{len(BAD)} of"):
        expected = (
            MoCoPEmbedder.load(model_file, invalid="nan").set_output(transform="pandas").transform(library.smiles)
        )
    paths = sorted(folder.glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in paths]).reset_index(drop=True)
    assert table.columns.tolist() == ["id", "smiles", *expected.columns]
    assert table["id"].tolist() == library["id"].tolist()
    assert table["smiles"].tolist() == library["smiles"].tolist()
    embedding = table[expected.columns]
    assert (embedding.dtypes == np.float32).all()
    assert np.flatnonzero(embedding.isna().any(axis=1)).tolist() == BAD
    np.testing.assert_allclose(embedding, expected, rtol=1e-5, atol=1e-6)
    return paths


@needs_dask
def test_dask_embed(scheduler, library, model_file, tmp_path):
    run(EXAMPLES / "dask_embed.py", model_file, "library", "out", 12, scheduler, folder=tmp_path)
    assert len(check_embedding(tmp_path / "out", library, model_file)) == 12


@needs_ray
def test_ray_embed(library, model_file, tmp_path):
    run(EXAMPLES / "ray_embed.py", model_file, "library", "out", folder=tmp_path)
    assert len(check_embedding(tmp_path / "out", library, model_file)) == 12


@needs_dask
def test_a_grid_search_over_workers_pretrains_once_per_candidate(scheduler, tmp_path):
    printed = run(Path(__file__).parents[1] / "helpers" / "cluster_jobs.py", tmp_path, scheduler, folder=tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    for result in results.values():
        assert result["pretrainings"] == 2
    for key in ("scores", "embedding"):
        np.testing.assert_allclose(results["cluster"][key], results["here"][key], rtol=1e-5, atol=1e-6)
    assert "9 fits of the pipeline, 2 pretrainings" in printed
