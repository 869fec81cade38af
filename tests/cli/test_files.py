"""What becomes of files: inputs are not replaced, nothing half-written stays, and no more is installed than needed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import main
from tests.cli.test_cli import MOLECULES, model, wells, write_molecules  # noqa: F401


@pytest.mark.parametrize("how", ["same", "link", "model"])
def test_inputs_are_not_replaced(model, tmp_path, capsys, how):  # noqa: F811
    path = write_molecules(tmp_path, ".csv")
    out = {"same": path, "link": str(tmp_path / "link.csv"), "model": str(tmp_path / "model.csv")}[how]
    if how == "link":
        os.symlink(path, out)
    if how == "model":
        os.link(model, out)
    command = ["embed", path, "-m", out if how == "model" else model, "-o", out]
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert main(command) == 1
    assert "is an input of this command: choose another file for --out" in capsys.readouterr().err
    assert main(["retrieve", path, path, "-m", model, "-o", path]) == 1
    assert main(["pretrain", path, "-o", path]) == 1
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".smi", ".csv", ".parquet"])
@pytest.mark.parametrize("out", ["z.npy", "z.parquet", "z.csv"])
def test_a_file_that_shrinks_is_an_error(model, tmp_path, capsys, monkeypatch, suffix, out):  # noqa: F811
    path = write_molecules(tmp_path, suffix)
    transform = MoCoPEmbedder.transform

    def shrink(self, X):
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        return transform(self, X)

    monkeypatch.setattr(MoCoPEmbedder, "transform", shrink)
    assert main(["embed", path, "-m", model, "-o", str(tmp_path / out), "--batch-rows", "3"]) == 1
    assert f"molecules{suffix}' cannot be read as a table" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [f"molecules{suffix}"]


def test_a_column_called_row(model, tmp_path):  # noqa: F811
    (tmp_path / "m.csv").write_text("row,x\nCCO,1\nCCC,2\n")
    words = ["embed", str(tmp_path / "m.csv"), "--smiles", "row", "-m", model, "-o", str(tmp_path / "z.parquet"), "-q"]
    assert main(words) == 0
    table = pd.read_parquet(tmp_path / "z.parquet")
    assert table.columns[:3].tolist() == ["row", "smiles", "mocopembedder0"]
    assert table["smiles"].tolist() == ["CCO", "CCC"]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_temporary_files(model, tmp_path, number):  # noqa: F811
    (tmp_path / "m.smi").write_text("\n".join(MOLECULES * 20_000))
    command = [sys.executable, "-m", "mocop_sklearn", "embed", str(tmp_path / "m.smi"), "-m", model]
    command += ["-o", str(tmp_path / "z.npy"), "--batch-rows", "64"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.iterdir())) == 1 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait() == 128 + number
    assert [file.name for file in tmp_path.iterdir()] == ["m.smi"]


def test_the_core_alone_embeds_text_files(model, tmp_path):  # noqa: F811
    code = """
import sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
absent = "pandas", "pyarrow"
PathFinder.find_spec = lambda name, *args: None if name.partition(".")[0] in absent else found(name, *args)
from mocop_sklearn.cli import main
sys.exit(main(sys.argv[1:]))
"""
    paths = {suffix: write_molecules(tmp_path, suffix) for suffix in (".smi", ".parquet")}
    expected = MoCoPEmbedder.load(model).transform(["CCO"])

    def run(*words):
        command = [sys.executable, "-c", code, "embed", *words, "-m", model, "-q"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    result = run(paths[".smi"], "-o", str(tmp_path / "z.npy"))
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(np.load(tmp_path / "z.npy")[:1], expected, rtol=1e-5, atol=1e-6)
    for words in (
        (paths[".smi"], "-o", str(tmp_path / "z.parquet")),
        (paths[".parquet"], "-o", str(tmp_path / "y.npy")),
    ):
        result = run(*words)
        assert result.returncode == 1
        assert ".parquet' needs pyarrow: pip install 'mocop-sklearn[data]'" in result.stderr
