"""The demonstration: what it prints and writes, by the command that a user gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mocop_sklearn import MoCoPEmbedder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Folder of a quick run, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "demo.py"), "--quick"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        text=True,
        capture_output=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder, run.stdout


def cells_of(text):
    """Cells of all rows of the printed tables, by the first one; of a mean ± spread, the mean."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line]
    return {row[0]: [float(found[0]) for cell in row[1:] if (found := re.findall(r"-?\d+\.\d+", cell))] for row in rows}


def test_unseen_molecules_are_found_better_than_by_chance_beside_the_baselines(shown):
    rows = cells_of(shown[1])
    names = (
        "MoCoPEmbedder(): network and ridge",
        "kernel ridge, descriptors ⧺ fingerprints",
        "5 nearest neighbours by ECFP",
    )
    _, chance_of_top10, chance_rank = rows["chance"]
    for name in names:
        _, top10, rank = rows[name]
        assert top10 > 2 * chance_of_top10, name
        assert rank < 0.8 * chance_rank, name
    assert "MoCoPEmbedder(): network alone" in rows


def test_the_learning_curve_has_every_arm_at_every_size(shown):
    rows = cells_of(shown[1])
    arms = (
        "distilled + SVM",
        "distilled ⧺ descriptors ⧺ ECFP + SVM",
        "descriptors ⧺ ECFP + SVM",
        "descriptors + forest",
        "ECFP + forest",
    )
    for arm in arms:
        scores = rows[arm]
        assert len(scores) == 3
        assert scores[-1] > 0.2, arm
        assert scores[-1] > scores[0], arm


def test_the_shipped_model_has_not_seen_the_molecules_of_the_learning_curve(shown):
    assert re.search(r"Of all 500, pretraining of 'distilled' has seen 0,", shown[1])


def test_a_picture_and_a_model_that_embeds_are_written(shown):
    folder, _ = shown
    assert sorted(path.name for path in folder.iterdir()) == ["demo_output"]
    assert sorted(path.name for path in (folder / "demo_output").iterdir()) == ["demo.svg", "mocop.safetensors"]
    picture = (folder / "demo_output" / "demo.svg").read_text(encoding="utf-8")
    assert all(text in picture for text in ("chance", "kernel ridge", "ECFP + forest", "distilled + SVM"))
    assert MoCoPEmbedder.load(folder / "demo_output" / "mocop.safetensors").transform(["CCO"]).shape == (1, 512)
