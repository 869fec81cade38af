"""The protocol of the paper: its plan, resuming, the stand-ins for what is downloaded, and the table."""

import json
import os
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import paper
import pytest
from protocol import downstream, inputs, plan, report, steps
from protocol.settings import Settings
from qsar import results

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import fetch_chembl20
from mocop_sklearn.model_selection import molecule_groups

FEW = {"max_epochs": 1, "min_epochs": 0, "learning_rate": 1e-3}
SMALL = {"max_epochs": 1, "batch_size": 8, "n_layers": 1, "hidden_dim": 8, "embedding_dim": 8}
TINY = Settings(
    n_tasks=6, share_measured=0.5, n_seeds=1, splits=(1, 2), fractions=(50, 100), finetuning=FEW,
    pretraining=SMALL,
)  # fmt: skip


@pytest.fixture(scope="module")
def wells(smiles, profiles, tmp_path_factory):
    """A table of two wells for each molecule."""
    path = tmp_path_factory.mktemp("wells") / "wells.parquet"
    columns = [f"Cells_AreaShape_{i}" for i in range(profiles.shape[1])]
    frame = pd.DataFrame(np.repeat(profiles, 2, axis=0), columns=columns)
    frame.insert(0, "Metadata_SMILES", np.repeat(smiles, 2))
    frame.to_parquet(path)
    return str(path)


@pytest.fixture(scope="module")
def model(wells, tmp_path_factory):
    """A model that one epoch has trained."""
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    steps.pretrain(wells, path, 0, TINY)
    return path


@pytest.fixture(scope="module")
def data_home(smiles, tmp_path_factory):
    """The archive of the stand-in, fetched from the server of the stand-in."""
    folder, home = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    inputs.write_archive(folder / inputs.ARCHIVE, np.array(smiles), 2 * rng.normal(size=(40, 3)), TINY, rng)
    with inputs.served(folder) as named, mock.patch.dict(os.environ, named):
        fetch_chembl20(home, dtype="int8")
    return home


def test_the_archive_is_one_of_chembl_20(smiles, data_home):
    chembl = fetch_chembl20(data_home, dtype="int8", download_if_missing=False)
    assert chembl.smiles.tolist() == smiles
    assert set(np.unique(chembl.y)) == {-1, 0, 1}
    for split in inputs.SPLITS:
        parts = [chembl.splits[100, split, part] for part in ("train", "val", "test")]
        assert sorted(np.concatenate(parts)) == list(range(40))
        assert set(chembl.splits[10, split, "train"]) < set(parts[0])


def test_a_step_is_done_once(tmp_path):
    done, calls = steps.Steps(tmp_path), []

    def make(fails=False):
        calls.append(fails)
        if fails:
            raise KeyboardInterrupt
        return {"n": len(calls)}

    with pytest.raises(KeyboardInterrupt):
        done.do("build", [1], lambda: make(fails=True))
    assert [done.do("build", [1], make)["n"] for _ in range(3)] == [2, 2, 2]
    assert steps.Steps(tmp_path).do("build", [1], make) == {"n": 2}  # another process
    assert done.do("build", [2], make) == {"n": 3}  # other settings
    assert set(done.times()) == {"build"}


def test_whole_molecules_are_held_out(wells):
    rest, held_out = steps.open_corpus(wells)
    assert len(held_out) == 8
    assert len(rest) == 72
    groups = molecule_groups([*rest.molecules, *held_out.molecules])
    assert not set(groups[:72]) & set(groups[72:])


def test_retrieval_in_pools(wells, model):
    found = steps.retrieve(wells, model, 0, pool=2)
    assert (found["pool"], found["pools"], found["chance"]) == (2, 2, 0.5)
    assert steps.retrieve(wells, model, 0, pool=256)["pool"] == 4
    assert 0 <= found["top1"] <= found["top10"] == 1


def test_a_regression_of_the_profile_is_a_start(wells, tmp_path):
    settings = replace(TINY, multitask=SMALL)
    path = tmp_path / "multitask.safetensors"
    steps.pretrain_multitask(wells, path, 0, settings)
    assert MoCoPEmbedder(pretrained=path).fit(["C"]).transform(["CCO"]).shape == (1, 8)


@pytest.fixture(scope="module")
def lines(data_home, model, tmp_path_factory):
    """Results of all fits with a model that was given, stopped once and gone on with."""
    folder = tmp_path_factory.mktemp("fits")
    todo = downstream.units(downstream.arms([], ["mine"]), TINY, {("mine", "given", 0): model})
    protocols = {unit.key: "p" for unit in todo}
    where = {"data_home": data_home, "checkpoints": folder / "checkpoints", "settings": TINY}
    path = folder / "fits.parquet"
    counts = [downstream.run(part, path, 1, protocols, **where) for part in (todo[:5], todo, todo)]
    assert counts == [5, len(todo) - 5, 0]
    changed = protocols | {todo[0].key: "another"}
    assert downstream.run(todo, path, 1, changed, **where) == 1
    assert not list((folder / "checkpoints").iterdir())
    return path


def test_every_arm_has_every_fraction_and_split(lines):
    table = results.read(lines)
    assert len(table) == 3 * 2 * 2
    assert table.groupby("arm").size().to_dict() == {"fine-tuned": 4, "linear probe": 4, "scratch": 4}
    assert sorted(table["n_train"]) == [14] * 6 + [28] * 6
    assert table["auroc"].between(0, 1).all()


def test_the_table_and_the_picture(lines, tmp_path):
    found = {"JUMP": [{"top1": 0.1, "top10": 0.5, "pools": 3, "pool": 256, "chance": 1 / 256}]}
    text = report.write(tmp_path, lines, found, ["A note."])
    assert text == (tmp_path / "paper.md").read_text()
    assert "| JUMP   | 0    | 3 × 256 | 0.100 | 0.500  | 0.0039" in text
    assert text.index("| scratch") < text.index("| linear probe [mine]")
    assert text.count("| fine-tuned [mine]") == 4
    assert {path.name for path in tmp_path.iterdir()} == {"paper.md", "paper_curves.svg", "paper_differences.svg"}


def test_tasks_that_cannot_be_scored_are_counted():
    truth = np.array([[0, 1, -1], [1, 1, -1], [0, 0, 1]], dtype=np.int8)
    predicted = np.array([[0.1, np.nan, 0.2], [0.9, np.nan, 0.3], [np.nan] * 3])
    found = downstream.score_panel(truth, predicted)
    assert found == {"mean": {"auroc": 1.0, "auprc": 1.0, "prevalence": 0.5}, "n_scored": 1, "skipped": {"": "2 tasks"}}
    assert downstream.score_panel(truth[:, 2:], predicted[:, 2:])["mean"] == {}


def test_the_plan_counts_what_the_protocol_does(capsys):
    rates = dict.fromkeys(("contrastive", "multitask", "scratch", "fine-tuned", "embedding", "reading"), 1e-3)
    arms = downstream.arms(["JUMP"], [])
    costs = plan.costs(Settings(), arms, rates, simulated=False)
    by_step = {cost.step: cost for cost in costs}
    assert by_step["pretraining, contrastive"].core_seconds == pytest.approx(3 * 1000 * 112_000 * 1e-3)
    assert [cost.step for cost in costs][-4:] == [f"ChEMBL 20, {arm.label}" for arm in arms]
    assert by_step["download (at 200 Mbit/s)"].gb == pytest.approx(43, rel=0.05)
    twice = plan.costs(Settings(), arms, {name: 2 * rate for name, rate in rates.items()}, simulated=False)
    for one, two in zip(costs[2:], twice[2:], strict=True):
        assert two.core_seconds == pytest.approx(2 * one.core_seconds)
        assert one.here(4) == pytest.approx(one.core_seconds / min(4, one.n_processes))
    tenth = plan.costs(Settings().scaled(0.1), arms, rates, simulated=True)
    assert sum(c.core_seconds for c in tenth[3:]) == pytest.approx(
        0.1 * sum(c.core_seconds for c in costs[3:]), rel=0.01
    )
    plan.show(costs, 2)
    table = capsys.readouterr().out
    assert "hours here, 2 of" in table
    assert "~" in table.splitlines()[-2]


def test_a_killed_simulation_of_the_same_settings_is_kept(tmp_path, monkeypatch):
    def killed(folder, *, overwrite, **sizes):
        assert not overwrite
        (folder / f"plate-{sizes['n_features']}").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "make_jump_like", killed)
    for n_features in (8, 9):  # of other settings, nothing is kept
        with pytest.raises(KeyboardInterrupt):
            inputs.simulate(tmp_path, replace(TINY, scale=0.0, n_features=n_features))
        with pytest.raises(FileExistsError):
            inputs.simulate(tmp_path, replace(TINY, scale=0.0, n_features=n_features))
    assert [path.name for path in (tmp_path / inputs.BUCKET).iterdir()] == ["plate-9"]


@pytest.mark.slow
def test_the_whole_command(wells, model, tmp_path, monkeypatch, capsys):
    few = replace(TINY, n_plates=4, n_molecules=60, n_features=30, splits=(1,), fractions=(100,), multitask=SMALL)
    monkeypatch.setattr(Settings, "quick", lambda: few)
    monkeypatch.setattr(plan, "SAMPLE", 16)
    saved = {}
    monkeypatch.setattr(paper, "save", saved.__setitem__)
    words = ["--quick", "--n-jobs", "1", "--folder", str(tmp_path), "--profiles", wells, "--pretrained", str(model)]
    paper.main(words)
    assert saved["paper_quick"]["fits"] == saved["paper_quick"]["fits_done_now"] == 6
    assert paper.run(paper.parse(words), few)["fits_done_now"] == 0
    assert set(saved["paper_quick"]["steps"]) == {
        "simulate", "fetch", "pretrain-wells-0", "multitask-wells-0", "retrieve-wells-0"
    }  # fmt: skip
    assert saved["paper_quick"]["minutes"]["seconds"] > 0
    assert "| fine-tuned (multitask) [wells]" in (tmp_path / "report" / "paper.md").read_text()
    assert "simulate: done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "0"], "--scale must be above 0"),
        (["--splits", "0"], "--splits must be 1, 2 or 3, got 0"),
        (["--profiles", "nowhere.pairs"], "nowhere.pairs does not exist"),
    ],
)
def test_arguments_that_cannot_be(words, message, capsys):
    with pytest.raises(SystemExit):
        paper.parse(words)
    assert message in capsys.readouterr().err


def test_arguments_change_the_settings():
    settings = paper.settings_of(paper.parse(["--scale", "0.1", "--seeds", "2", "--epochs", "7"]))
    assert (settings.n_plates, settings.n_molecules, settings.n_seeds) == (173, 45_633, 2)
    assert settings.pretraining == settings.multitask == {"max_epochs": 7}
    assert json.dumps(paper.settings_of(paper.parse(["--quick"])).finetuning)
    settings = paper.settings_of(paper.parse(["--splits", "1", "--fit-epochs", "2"]))
    assert settings.splits == (1,)
    assert settings.finetuning == {"max_epochs": 2, "min_epochs": 2}
    assert paper.settings_of(paper.parse(["--quick", "--fit-epochs", "9"])).finetuning["min_epochs"] == 1
