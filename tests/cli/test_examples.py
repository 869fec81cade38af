"""The shell scripts of the documentation run: from raw plates to predictions, and an array of jobs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import build_parser
from mocop_sklearn.datasets import load_biogen_adme

ROOT = Path(__file__).parents[2]
PLATES = ROOT.parent / "shared" / "data" / "bbbc021_raw_wells.parquet"


def test_the_commands_of_the_pages_are_parsed():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    commands = [
        line.partition(" # ")[0].replace("$I", "1")
        for page in pages
        for line in re.findall(r"^mocop (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(commands) > 15
    for words in map(shlex.split, commands):
        build_parser(words).parse_args(words)


@pytest.mark.slow
@pytest.mark.integration
def test_from_plates_to_a_decision(tmp_path):
    if not PLATES.exists():
        pytest.skip(f"{PLATES.name} is not in ../shared/data")
    adme = load_biogen_adme()
    labels = pd.DataFrame(adme.target, columns=adme.target_names).assign(SMILES=adme.smiles)[["SMILES", "HLM"]]
    labels[:120].to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "library.smi").write_text("".join(f"{smiles} L{i}\n" for i, smiles in enumerate(adme.smiles[120:140])))
    words = [PLATES, tmp_path / "labels.csv", "HLM", tmp_path / "library.smi", tmp_path / "out"]
    environment = os.environ | {"MOCOP": f"{sys.executable} -m mocop_sklearn", "EPOCHS": "1"}
    script = str(ROOT / "docs" / "examples" / "from_plates_to_decision.sh")
    result = subprocess.run(
        ["sh", script, *map(str, words)], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert predictions["name"].tolist() == [f"L{i}" for i in range(20)]
    assert predictions[["HLM", "HLM_std", "similarity", "inside"]].notna().all(axis=None)
    hits = pd.read_csv(tmp_path / "out" / "wells_for_molecules.csv")
    assert hits.groupby("query").size().tolist() == [5] * 20
    assert hits["Metadata_Plate"].str.startswith("Week").all()
    for page in ("explanation.html", "report.html"):
        assert "</html>" in (tmp_path / "out" / page).read_text()


@pytest.mark.slow
@pytest.mark.integration
def test_an_array_of_jobs_embeds_a_library_in_parts(tmp_path):
    smiles = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CCCCC1"]
    (tmp_path / "library.smi").write_text("".join(f"{s} L{i}\n" for i, s in enumerate(smiles)))
    script = str(ROOT / "docs" / "examples" / "slurm_embed.sh")
    environment = os.environ | {"MOCOP": f"{sys.executable} -m mocop_sklearn", "SHARDS": "2"}

    def task(number):
        own = environment | {"SLURM_ARRAY_TASK_ID": str(number)}
        words = ["sh", script, str(tmp_path / "library.smi"), "distilled", str(tmp_path / "out")]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=own).stdout

    for number in (1, 2):
        task(number)
    parts = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in parts] == ["part-0000001.parquet", "part-0000002.parquet"]
    table = pd.concat([pd.read_parquet(path) for path in parts])
    assert table["name"].tolist() == [f"L{i}" for i in range(5)]
    expected = MoCoPEmbedder(pretrained="distilled").fit(smiles).transform(smiles)
    np.testing.assert_allclose(table.filter(regex="^mocop").to_numpy(), expected, atol=1e-5)
    before = parts[0].stat().st_mtime_ns
    assert "is there" in task(1)
    assert parts[0].stat().st_mtime_ns == before
