"""The examples of the documentation, on clusters of two processes on this machine."""

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BAD = [7, 30]


needs_dask = pytest.mark.skipif(
    not (importlib.util.find_spec("dask") and importlib.util.find_spec("distributed")),
    reason="dask and distributed are not installed",
)
needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")


def run(*words, folder):
    """Run a script in a process that finds the examples and the modules of tests. Return what it printed."""
    paths = [str(EXAMPLES), str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AUTH_TOKEN": secrets.token_hex(16),  # else Ray leaves one in the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    script = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
    )
    assert script.returncode == 0, script.stdout
    return script.stdout


@pytest.fixture(scope="module")
def library(smiles):
    """A table of molecules. Two rows are not molecules."""
    values = [*smiles, *(f"C{s}" for s in smiles if s.startswith("CC"))]
    for row in BAD:
        values[row] = "not a molecule" if row % 2 else ""
    return pd.DataFrame({"id": np.arange(len(values)), "smiles": values})


def write_library(folder, library):
    """Write the table as three files with row groups, each with rows numbered anew."""
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(library)), 3)):
        library.iloc[rows].reset_index(drop=True).to_parquet(folder / f"{i}.parquet", row_group_size=5)


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
def test_dask(library, model_file, tmp_path):
    """One cluster for both examples: most of the time goes into its start."""
    write_library(tmp_path / "library", library)
    shutil.copy(model_file, tmp_path / "model.safetensors")
    printed = run(Path(__file__).parents[1] / "helpers" / "cluster_jobs.py", tmp_path, folder=tmp_path)
    assert len(check_embedding(tmp_path / "out", library, model_file)) == 12
    results = json.loads((tmp_path / "results.json").read_text())
    for key in ("scores", "embedding"):
        np.testing.assert_allclose(results["cluster"][key], results["here"][key], rtol=1e-5, atol=1e-6)
    # one pretraining per candidate, not one per fold
    assert results["cluster"]["steps"] == results["here"]["steps"]
    assert "9 fits of the pipeline, 2 pretrainings" in printed


@needs_ray
def test_ray_embed(library, model_file, tmp_path):
    write_library(tmp_path / "library", library)
    run(EXAMPLES / "ray_embed.py", model_file, "library", "out", folder=tmp_path)
    assert len(check_embedding(tmp_path / "out", library, model_file)) == 12
