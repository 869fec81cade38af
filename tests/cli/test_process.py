"""The command as a process: its exit status, its streams, and what it imports."""

import runpy
import signal
import subprocess
import sys

import pandas as pd
import pytest

from mocop_sklearn import __version__
from tests.helpers.command_line import MOLECULES, write_molecules


@pytest.mark.slow
def test_as_a_process(model, tmp_path):
    path, out = write_molecules(tmp_path, ".csv"), tmp_path / "z.parquet"
    command = [sys.executable, "-m", "mocop_sklearn", "embed", path, "-m", model, "-o", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0
    assert result.stdout == ""
    # what RDKit and the library say about bad rows is one line here
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["mocop", "mocop"]
    assert len(pd.read_parquet(out)) == len(MOLECULES)


def test_exit_status_of_the_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mocop", "info", "absent"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_module("mocop_sklearn", run_name="__main__")
    assert capsys.readouterr().err.startswith("mocop: error: No model file at 'absent', and no model of that name")


def test_help_imports_nothing_heavy():
    code = """
import sys
from mocop_sklearn.cli import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"torch", "torch_geometric", "rdkit", "sklearn", "pandas", "numpy", "pyarrow"} & set(sys.modules)
    assert not heavy, heavy
"""
    for word, expected in (("--help", "pretrain"), ("--version", __version__)):
        result = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
