"""The ablation: every arm can be made, and a run goes on where it ended and writes its page."""

import json
import sys

import ablation
import numpy as np
import pandas as pd
import pytest
import retrieval

from mocop_sklearn import MoCoPEmbedder

SMALL = {"max_epochs": 1, "n_layers": 1, "hidden_dim": 16, "embedding_dim": 16, "patience": None}


@pytest.mark.parametrize("corpus", ablation.COLUMNS)
def test_each_arm_differs_from_the_recipe_that_it_is_named_after(corpus):
    made = {name: make(7).get_params(deep=False) for name, make in ablation.arms(corpus).items()}
    assert all(parameters["random_state"] == 7 for parameters in made.values())
    assert {name: made[name]["max_epochs"] for name in ablation.INTO_THE_PAPER} == dict.fromkeys(
        ablation.INTO_THE_PAPER, ablation.PAPER_EPOCHS[corpus]
    )
    for reference, changes in (
        ("default", ablation.OUT_OF_THE_DEFAULT),
        ("recipe of the paper", ablation.INTO_THE_PAPER),
    ):
        for name, change in changes.items():
            changed = {key for key, value in made[name].items() if repr(value) != repr(made[reference][key])}
            assert changed == set(change), name


def test_a_run_goes_on_where_it_ended(smiles, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    library = np.resize(["dcm_2024", "pnp_2021"], len(smiles))

    def corpus(library):
        profiles = pd.DataFrame(rng.normal(size=(len(smiles), 64)))
        return retrieval.Corpus(np.array(smiles, dtype=object), profiles, library, 0.4)

    (tmp_path / "bioactivity").mkdir()
    monkeypatch.setattr("common.DATA", tmp_path)
    monkeypatch.setattr("common.RESULTS", tmp_path)
    monkeypatch.setattr("common.ROOT", tmp_path)
    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "DOCUMENT", tmp_path / "ablation.md")
    monkeypatch.setattr(retrieval, "CORPORA", {"COMAS": lambda: corpus(library), "NCI-60": lambda: corpus(None)})
    monkeypatch.setattr(ablation, "transfer", lambda embedder, seed, cache: {"10%": 0.25, "100%": 0.75})
    arms = {"default": lambda seed: MoCoPEmbedder(random_state=seed, side_features=None, structure_weight=0.0, **SMALL)}
    monkeypatch.setattr(ablation, "arms", lambda corpus: arms)

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["ablation.py", "--cache", str(tmp_path / "cache"), *options])
        ablation.main()
        found = json.loads((tmp_path / "ablation.json").read_text())["corpora"]
        return {name: [row["seed"] for row in own["default"]] for name, own in found.items()}, capsys.readouterr().out

    assert run("--seeds", "1", "--corpora", "COMAS")[0] == {"COMAS": [0]}
    page = (tmp_path / "ablation.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| default")]
    assert [cell.strip() for cell in row.split("|")[6:10]] == ["0.250", "0.750", "–", "–"]
    seeds, out = run("--seeds", "2")
    assert seeds == {"COMAS": [0, 1], "NCI-60": [0, 1]}
    assert "COMAS seed 0" not in out
    score = [
        row["score"] for row in json.loads((tmp_path / "ablation.json").read_text())["corpora"]["NCI-60"]["default"]
    ]
    (row,) = [line for line in (tmp_path / "ablation.md").read_text().splitlines() if line.startswith("| default")]
    assert row.split("|")[8].split()[0] == f"{np.mean(score):.3f}"
    seeds = "The number of seeds is, of\nCOMAS, 2; NCI-60, 2; a figure without a deviation is of one."
    assert seeds in (tmp_path / "ablation.md").read_text()
