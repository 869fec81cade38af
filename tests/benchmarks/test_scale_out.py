"""The benchmark of Ray and Dask: its library, what it measures of processes, and what it finds in the output."""

import os
import subprocess
import sys

import common
import numpy as np
import pandas as pd
import pytest
import scale_out

from mocop_sklearn import MoCoPEmbedder

STRUCTURES = ["CCO", "c1ccccc1O", "OCC", "C(F)(F)(F)F", "CC(=O)N"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "library.parquet"
    assert scale_out.write_library(path, STRUCTURES, 60) == 20
    return path


@pytest.fixture
def embedded(library, tmp_path):
    """The output of a run without a break: two parts."""
    rows = pd.read_parquet(library)
    with pytest.warns(UserWarning, match="not a molecule"):
        Z = MoCoPEmbedder.load("distilled", invalid="nan").transform(rows["smiles"])
    frame = pd.concat([rows, pd.DataFrame(Z).add_prefix("z")], axis=1)
    frame[:25].to_parquet(tmp_path / "part-0000000.parquet")
    frame[25:].reset_index(drop=True).to_parquet(tmp_path / "part-0000001.parquet")
    return tmp_path


def test_the_library_has_distinct_molecules(library):
    rows = pd.read_parquet(library)
    assert rows["id"].tolist() == list(range(60))
    assert rows["smiles"].is_unique
    assert rows["smiles"][:4].tolist() == ["not a molecule", "c1ccccc1O", "CC(=O)N", "CCCO"]


def test_a_whole_output_passes(library, embedded):
    found = scale_out.check(library, embedded)
    assert (found["molecules"], found["not_molecules"], found["compared"]) == (60, 1, 60)
    assert found["largest_difference"] < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part[::-1], "does not hold the rows of the library from 25 on"),
        (lambda part: part[:-1], "holds 59 of 60 rows"),
        (lambda part: part.assign(z0=np.nan), "36 of them empty"),
        (lambda part: part.assign(z0=part["z0"] + 1), "differs by 1"),
    ],
)
def test_what_is_wrong_ends_the_benchmark(library, embedded, change, message):
    path = embedded / "part-0000001.parquet"
    change(pd.read_parquet(path)).reset_index(drop=True).to_parquet(path)
    with pytest.raises(SystemExit, match=message):
        scale_out.check(library, embedded)


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell of its processes in /proc")
def test_processes_of_a_command():
    words = "print(sum(range(10**6)), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert child.pid in common.tree(os.getpid())
        assert common.tree(child.pid) == {child.pid}
        assert 2**20 < common.pss(child.pid) < common.pss(os.getpid())
        assert common.ticks(child.pid) <= common.ticks(os.getpid())
        child.stdin.close()
    assert (common.pss(child.pid), common.ticks(child.pid)) == (0, 0)
