"""What becomes of files: inputs are not replaced, nothing half-written stays, and no more is installed than needed."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import main
from tests.helpers.command_line import MOLECULES, write_molecules
from tests.helpers.processes import start


@pytest.mark.parametrize("how", ["same", "link", "model"])
def test_inputs_are_not_replaced(model, tmp_path, capsys, how):
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
def test_a_file_that_shrinks_is_an_error(model, tmp_path, capsys, monkeypatch, suffix, out):
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


def test_a_column_called_row(model, tmp_path):
    (tmp_path / "m.csv").write_text("row,x\nCCO,1\nCCC,2\n")
    words = ["embed", str(tmp_path / "m.csv"), "--smiles", "row", "-m", model, "-o", str(tmp_path / "z.parquet"), "-q"]
    assert main(words) == 0
    table = pd.read_parquet(tmp_path / "z.parquet")
    assert table.columns[:3].tolist() == ["row", "smiles", "mocopembedder0"]
    assert table["smiles"].tolist() == ["CCO", "CCC"]


def run_command(*words):
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.argv = ["mocop", *words]
    runpy.run_module("mocop_sklearn", run_name="__main__")


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_temporary_files(model, tmp_path, number):
    (tmp_path / "m.smi").write_text("\n".join(MOLECULES * 20_000))
    command = ["embed", str(tmp_path / "m.smi"), "-m", model, "-o", str(tmp_path / "z.npy"), "--batch-rows", "64"]
    process = start(run_command, *command)
    while len(list(tmp_path.iterdir())) == 1 and process.is_alive():
        time.sleep(0.05)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    assert [file.name for file in tmp_path.iterdir()] == ["m.smi"]


@pytest.mark.integration
def test_the_core_alone_embeds_text_files(model, tmp_path):
    code = """
import json, sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
absent = "pandas", "pyarrow"
PathFinder.find_spec = lambda name, *args: None if name.partition(".")[0] in absent else found(name, *args)
from mocop_sklearn.cli import main
print([main(words) for words in json.loads(sys.argv[1])])
"""
    text, parquet = (write_molecules(tmp_path, suffix) for suffix in (".smi", ".parquet"))
    files = [(text, "z.npy"), (text, "z.parquet"), (parquet, "y.npy")]
    commands = [["embed", path, "-o", str(tmp_path / out), "-m", model, "-q"] for path, out in files]
    words = [sys.executable, "-c", code, json.dumps(commands)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.stdout == "[0, 1, 1]\n", result.stderr
    expected = MoCoPEmbedder.load(model).transform(["CCO"])
    np.testing.assert_allclose(np.load(tmp_path / "z.npy")[:1], expected, rtol=1e-5, atol=1e-6)
    assert result.stderr.count(".parquet' needs pyarrow: pip install 'mocop-sklearn[data]'") == 2
