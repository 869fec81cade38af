"""The benchmarks' own logic: splits, overlap, resuming, scores, intervals; and a run on made-up data."""

import json
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from qsar import arms, bench, corpora, features, results, runner, scores, section, summary, tasks
from scipy import stats

from mocop_sklearn import MoCoPRegressor
from mocop_sklearn.model_selection import scaffold_groups

NAN = float("nan")


def task_set(smiles, labels, kind="classification", name="made-up", **spec):
    n = len(smiles)
    order = np.random.default_rng(0).permutation(n)
    splits = [(f"split {i}", np.roll(order, i)[: n // 2], np.roll(order, i)[n // 2 :]) for i in range(2)]
    names = [f"task {i}" for i in range(labels.shape[1])]
    spec = tasks.Spec(kind, fractions=(0.5, 1.0), **spec)
    return tasks.TaskSet(name, spec, list(smiles), labels, names, splits, frozenset(smiles))


# ---------------------------------------------------------------------------------------------
# scores and intervals
# ---------------------------------------------------------------------------------------------


def test_intervals_are_those_of_the_paired_t_test():
    a, b = np.array([0.71, 0.64, 0.69, 0.75, 0.66]), np.array([0.68, 0.65, 0.66, 0.70, 0.64])
    mean, low, high = scores.paired_interval(a - b)
    reference = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose([mean, low, high], [(a - b).mean(), reference.low, reference.high])
    assert scores.paired_interval([0.3]) == (0.3, -np.inf, np.inf)
    assert all(np.isnan(scores.paired_interval([])))
    assert scores.paired_p_value(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_overlapping_splits_widen_an_interval():
    d = np.array([0.03, -0.01, 0.03, 0.05, 0.02])
    mean, low, high = scores.paired_interval(d, overlap=0.25)
    # Nadeau and Bengio: the variance of the mean is (1 / 5 + n_test / n_train) times that of one
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
    np.testing.assert_allclose([mean, low, high], [d.mean(), d.mean() - half, d.mean() + half])
    t = d.mean() / np.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
    assert scores.paired_p_value(d, overlap=0.25) == pytest.approx(2 * stats.t.sf(t, 4))
    assert scores.paired_p_value([0.0, 0.0]) == scores.paired_p_value([0.1]) == 1
    assert scores.paired_p_value([0.1, 0.1]) < 1e-6


def test_p_values_are_adjusted_for_their_number():
    np.testing.assert_allclose(scores.holm([0.01, 0.04, 0.03, 0.8]), [0.04, 0.09, 0.09, 0.8])
    np.testing.assert_allclose(scores.holm([0.6, 0.5]), [1, 1])


def test_what_cannot_be_scored_is_reported_and_never_half():
    truth = np.array([[0, 1, NAN, 0], [1, 1, NAN, 1], [1, NAN, NAN, 0]])
    predicted = np.array([[0.1, 0.5, 0.5, NAN], [0.9, 0.5, 0.5, NAN], [0.8, 0.5, 0.5, NAN]])
    found = scores.score("classification", truth, predicted, list("abcd"))
    assert found["n_scored"] == 1
    assert found["mean"] == {"auroc": 1.0, "auprc": 1.0, "prevalence": pytest.approx(2 / 3)}
    assert found["skipped"] == {"b": "one class in test", "c": "no test label", "d": "one class in training"}
    assert scores.score("classification", truth[:, 1:], predicted[:, 1:], list("bcd"))["mean"] == {}


def test_figures_of_numbers():
    truth, predicted = np.array([[1.0], [2.0], [4.0], [NAN]]), np.array([[1.5], [2.0], [3.0], [9.0]])
    mean = scores.score("regression", truth, predicted, ["a"])["mean"]
    assert mean["mae"] == pytest.approx(0.5)
    assert mean["rmse"] == pytest.approx(np.sqrt(1.25 / 3))
    assert mean["spearman"] == pytest.approx(1)
    # a constant prediction has no ranks, so its correlation is 0
    assert scores.score("regression", truth, np.ones_like(truth), ["a"])["mean"]["spearman"] == 0


# ---------------------------------------------------------------------------------------------
# splits and corpora
# ---------------------------------------------------------------------------------------------


def test_published_splits_come_first_and_others_keep_scaffolds_whole(tmp_path, monkeypatch, smiles):
    (tmp_path / "bioactivity").mkdir()
    parts = np.resize(["train", "train", "valid", "test"], len(smiles))
    frame = pd.DataFrame({"smiles": smiles, "y": np.arange(len(smiles), dtype=float), "meta_id": 0, "split": parts})
    frame.loc[0, "smiles"] = "no molecule"
    frame.to_parquet(tmp_path / "bioactivity" / "made_up.parquet")
    monkeypatch.setattr(tasks, "DATA", tmp_path)
    (found,) = tasks.load("made_up", tasks.Spec("regression"), n_splits=3)
    assert found.tasks == ["y"]
    assert (found.n_dropped, len(found.smiles)) == (1, len(smiles) - 1)
    assert [name for name, _, _ in found.splits] == ["published split", "scaffold 1", "scaffold 2"]
    assert set(parts[1:][found.splits[0][2]]) == {"test"}
    groups = scaffold_groups(found.smiles)
    for _, train, test in found.splits[1:]:
        assert not set(groups[train]) & set(groups[test])
    assert tasks.load("absent", tasks.Spec("regression"), n_splits=1) == []


def test_test_rows_of_training_molecules_leave_whatever_their_stereochemistry(tmp_path, monkeypatch):
    (tmp_path / "bioactivity").mkdir()
    smiles = ["C[C@H](N)C(=O)O", "CCO", "C[C@@H](N)C(=O)O", "CCN", "OCC"]
    frame = pd.DataFrame({"smiles": smiles, "y": np.arange(5.0), "split": ["train", "train", "test", "test", "test"]})
    frame.to_parquet(tmp_path / "bioactivity" / "made_up.parquet")
    monkeypatch.setattr(tasks, "DATA", tmp_path)
    (kept,) = tasks.load("made_up", tasks.Spec("regression"), n_splits=1)
    (clean,) = tasks.load("made_up", tasks.Spec("regression", drop_overlap=True), n_splits=1)
    assert kept.splits[0][2].tolist() == [2, 3, 4]
    assert clean.splits[0][2].tolist() == [3]
    # no test molecule of the file is pretrained on, whether or not it is tested on
    assert clean.held_out == kept.held_out == {"C[C@@H](N)C(=O)O", "CCN", "CCO"}


def test_folds_are_splits():
    frame = pd.DataFrame({"split": ["fold0", "fold1", "fold2", "fold0"]})
    found = tasks.published_splits(frame, "split")
    assert [(name, test.tolist()) for name, _, test in found] == [("fold0", [0, 3]), ("fold1", [1]), ("fold2", [2])]
    frame = pd.DataFrame(
        {"split1": ["train", "val", "test"], "split2": ["test", "train", None], "split_random": "test"}
    )
    found = tasks.published_splits(frame, "split")
    assert [(train.tolist(), test.tolist()) for _, train, test in found] == [([0, 1], [2]), ([1], [0])]


def test_test_molecules_leave_the_corpus_whatever_their_form():
    corpus = corpora.Corpus("c", ["C[C@H](N)C(=O)O", "CCO.Cl", "CCN", "bad"], np.arange(8.0).reshape(4, 2), True)
    left = corpora.without(corpus, {"C[C@@H](N)C(=O)[O-]", "CCO"})
    assert left.smiles == ["CCN"]
    assert left.profiles.tolist() == [[4.0, 5.0]]
    assert corpora.without(corpus, set()).smiles == ["C[C@H](N)C(=O)O", "CCO", "CCN"]


def test_what_was_not_measured_leaves_the_corpus():
    corpus = corpora.Corpus("c", ["CCO", "CCN", "CCC"], np.array([[1.0, NAN], [NAN, NAN], [NAN, 0.0]]), True)
    assert corpora.without(corpus, set()).smiles == ["CCO", "CCC"]


@pytest.mark.parametrize(
    ("assay", "genes", "related"),
    [
        ("NVS_ADME_hCYP2C9", [], True),
        ("NVS_IC_hKhERGCh", [], True),
        ("CHEMBL240", [], True),
        ("CHEMBL2401", [], False),
        ("NVS_GPCR_hAdrb2", ["ADRB2"], True),
        ("NVS_GPCR_hAdrb1", ["ADRB2"], False),
        ("OT_ER_ERaERb_0480", ["ESR1"], True),
        ("BSK_SAg_Proliferation_down", ["ESR1"], False),
        ("NVS_TR_hSERT", ["y", "SLC6A4"], True),
    ],
)
def test_assays_that_measure_a_task_are_known(assay, genes, related):
    assert corpora.is_related(assay, genes) is related


@pytest.mark.parametrize(
    ("assay", "genes", "kin"),
    [
        ("NVS_GPCR_hAdrb1", ["ADRB2"], True),
        ("NVS_GPCR_hAdrb1", ["ESR1"], False),
        ("NVS_LGIC_h5HT3", ["HTR2A"], False),  # a channel, not a G protein-coupled receptor
        ("TOX21_PPARd_BLA_agonist_ratio", ["PPARG"], True),
        ("TOX21_ARE_BLA_agonist_ratio", ["ESR1"], False),  # an antioxidant response, not the androgen receptor
        ("ATG_PPRE_CIS_up", ["PPARG"], True),
        ("BSK_4H_VEGFRII_down", ["LCK"], True),
        ("APR_HepG2_CellLoss_24h_dn", ["LCK", "ESR1", "DRD2"], False),
        ("NVS_TR_hDAT", ["SLC6A4"], True),
        ("NVS_TR_hDAT", ["y"], False),
    ],
)
def test_assays_of_relatives_of_a_task_are_known(assay, genes, kin):
    assert corpora.is_kin(assay, genes) is kin


def test_a_corpus_of_other_families_has_a_control_of_its_size(tmp_path, monkeypatch):
    (tmp_path / "bioactivity").mkdir()
    names = ["NVS_GPCR_hAdrb2", "NVS_GPCR_hAdrb1", "NVS_GPCR_hM1", "NVS_TR_hDAT", "TOX21_MMP_viability"]
    values = np.eye(5) + 2 * np.arange(5)  # each column has values of its own
    frame = pd.DataFrame(values, columns=names).assign(smiles=["C", "CC", "CO", "CN", "CCC"])
    frame.to_parquet(tmp_path / "bioactivity" / "bio_toxcast617.parquet")
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    whole, other, thinned = (
        corpora.CORPORA[f"toxcast{name}"](["ADRB2"]) for name in ("", " other families", " thinned")
    )
    np.testing.assert_array_equal(whole.profiles, values[:, 1:])  # the assay of the task's own protein is gone
    np.testing.assert_array_equal(other.profiles, values[:, 3:])
    assert thinned.profiles.shape == other.profiles.shape
    assert {tuple(column) for column in thinned.profiles.T} < {tuple(column) for column in whole.profiles.T}


def test_parts_of_a_corpus_lie_within_each_other(tmp_path, monkeypatch):
    (tmp_path / "bioactivity").mkdir()
    molecules = ["C" * (n + 1) for n in range(20)]
    frame = pd.DataFrame({"NVS_TR_hDAT": np.arange(20.0), "smiles": molecules})
    frame.to_parquet(tmp_path / "bioactivity" / "bio_toxcast617.parquet")
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    parts = [corpora.CORPORA[name](()) for name in ("toxcast 10 %", "toxcast 25 %", "toxcast 50 %", "toxcast")]
    assert [len(part.smiles) for part in parts] == [2, 5, 10, 20]
    for small, large in pairwise(parts):
        assert set(small.smiles) < set(large.smiles)
    for part in parts:  # rows stay with their molecules
        assert part.profiles[:, 0].tolist() == [len(smiles) - 1 for smiles in part.smiles]


# ---------------------------------------------------------------------------------------------
# features
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_features_made_in_several_processes_are_the_same(smiles, tmp_path):
    lookup = features.Lookup(smiles, tmp_path)
    lookup.prepare("ecfp", features.ecfp, 2)

    def never(smiles):
        raise AssertionError("made again")

    rows = features.Lookup(smiles, tmp_path).rows("ecfp", never, smiles[::-1])
    np.testing.assert_array_equal(rows, features.ecfp(smiles[::-1]))


# ---------------------------------------------------------------------------------------------
# the runner
# ---------------------------------------------------------------------------------------------


def test_rounds_take_a_new_split_and_a_new_seed_first(smiles, labels):
    made_up = task_set(smiles, np.asarray(labels, float)[:, None])
    found = runner.units([made_up], {arms.Arm("scratch"): "all"}, [0, 1], 3)
    assert [(u.split, u.seed, u.fraction) for u in found[::2]] == [(0, 0, 0.5), (1, 1, 0.5), (1, 0, 0.5), (0, 1, 0.5)]
    assert len({u.key for u in found}) == len(found) == 8


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [("published", [(0, 0), (0, 1)]), ("diagonal", [(0, 0), (1, 1)]), ("one", [(0, 0)])],
)
def test_large_sets_have_fewer_pairs(smiles, labels, pairs, expected):
    made_up = task_set(smiles, np.asarray(labels, float)[:, None], pairs=pairs)
    found = runner.units([made_up], {arms.Arm("scratch"): "all"}, [0, 1], 3)
    assert [(u.split, u.seed) for u in found[::2]] == expected


def test_arms_have_pairs_and_sets_have_arms(smiles, labels):
    made_up = task_set(smiles, np.asarray(labels, float)[:, None])
    one, other = arms.Arm("scratch"), arms.Arm("fine-tuned", "toxcast", "contrastive")
    found = runner.units([made_up], {one: "all", other: "diagonal"}, [0, 1], 3)
    assert [(u.split, u.seed) for u in found if u.arm == other][::2] == [(0, 0), (1, 1)]
    assert sum(u.arm == one for u in found) == 8
    made_up = task_set(smiles, np.asarray(labels, float)[:, None], arms=(other.label,))
    found = runner.units([made_up], {one: "all", other: "all"}, [0], 3)
    assert {u.arm for u in found} == {other}


@pytest.mark.slow
def test_a_killed_run_goes_on(smiles, labels, tmp_path, monkeypatch):
    calls = []

    def predict(arm, room, made_up, train, test, seed):
        calls.append((len(train), seed))
        return np.random.default_rng(seed).random((len(test), made_up.labels.shape[1]))

    monkeypatch.setattr(runner, "predict", predict)
    todo = runner.units([task_set(smiles, np.asarray(labels, float)[:, None])], {arms.Arm("scratch"): "all"}, [0, 1], 3)
    path = tmp_path / "results.parquet"

    lines, append = [], results.append
    monkeypatch.setattr(results, "append", lambda path, line: (lines.append(line), append(path, line)))

    def run(protocol="p"):
        calls.clear()
        runner.run(runner.remaining(todo, path, lambda unit: protocol), None, path, lambda unit: protocol)
        return len(calls)

    assert run() == 8
    assert not results.journal(path).exists()
    whole = results.read(path)
    path.unlink()
    for line in lines[:3]:
        results.append(path, line)
    with results.journal(path).open("a") as file:
        file.write(json.dumps(lines[3])[:40])  # killed while it wrote the fourth line
    assert run() == 5
    pd.testing.assert_frame_equal(results.read(path).drop(columns="seconds"), whole.drop(columns="seconds"))
    assert run() == 0
    # the last result of a unit is the one that counts
    assert run("another protocol") == 8
    assert run() == 8
    assert run() == 0


def test_fewer_splits_are_the_first_of_them(smiles, labels):
    made_up = task_set(smiles, np.asarray(labels, float)[:, None])
    assert {u.split for u in runner.units([made_up], {arms.Arm("scratch"): "all"}, [0, 1], 1)} == {0}


def made_up_line(seed, auroc):
    unit = dict(zip(results.KEY, ("tdc_herg", "scratch", "-", "-", 1.0, "published split", seed), strict=True))
    figures = {"mean": {"auroc": auroc}, "n_scored": 1, "skipped": {}, "tasks": {"y": {"auroc": auroc}}}
    return unit | {"protocol": "p", "split_number": 0, "n_train": 9, "n_test": 9, "seconds": 1.0} | figures


def test_broken_lines_are_left_out(tmp_path):
    path = tmp_path / "results.parquet"
    results.append(path, made_up_line(0, 0.5))
    with results.journal(path).open("ab") as file:
        file.write(b'3\n{"arm": "embedding \xe2\xa7\n\x00\x00\n{"arm"')
    results.append(path, made_up_line(1, 0.6))
    assert results.read(path)["seed"].tolist() == [0, 1]


def test_a_kill_while_results_are_compacted_loses_nothing(tmp_path):
    path = tmp_path / "results.parquet"
    for seed in range(3):
        results.append(path, made_up_line(seed, 0.5))
    results.append(path, made_up_line(1, 0.7))
    lines = results.journal(path).read_bytes()
    results.compact(path)
    compacted = results.read(path)
    assert compacted.set_index("seed")["auroc"].to_dict() == {0: 0.5, 2: 0.5, 1: 0.7}
    assert json.loads(compacted["tasks"][2]) == {"y": {"auroc": 0.7}}
    results.journal(path).write_bytes(lines)  # killed before it was removed
    again = results.read(path).sort_values("seed", ignore_index=True)
    pd.testing.assert_frame_equal(again, compacted.sort_values("seed", ignore_index=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fractions", "0.3"], r"unknown fractions \['0.3'\]; there are \['0.01'"),
        (["--fractions", "all"], r"unknown fractions \['all'\]"),
        (["--corpora", "nowhere"], r"unknown corpora \['nowhere'\]; there are \['morphology'"),
        (["--arms", "magic"], r"unknown arms \['magic'\]"),
        (["--sets", "nothing"], r"no task set has one of \['nothing'\] in its name; there are \['made_up'\]"),
    ],
)
def test_bad_arguments(arguments, message, smiles, tmp_path, monkeypatch):
    (tmp_path / "bioactivity").mkdir()
    frame = pd.DataFrame({"smiles": smiles, "y": 0.0, "split": np.resize(["train", "test"], len(smiles))})
    frame.to_parquet(tmp_path / "bioactivity" / "made_up.parquet")
    monkeypatch.setattr(tasks, "DATA", tmp_path)
    options = bench.parser(None).parse_args([*arguments, "--cache", str(tmp_path)])
    with pytest.raises(SystemExit, match=message):
        bench.main("made_up", {"made_up": tasks.Spec("regression")}, {}, [], options)


@pytest.mark.parametrize("name", ["splits", "seeds", "n-jobs"])
def test_counts_are_one_or_more(name, capsys):
    with pytest.raises(SystemExit):
        bench.parser(None).parse_args([f"--{name}", "0"])
    assert "must be 1 or more, got 0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), [("scratch", "-"), ("fine-tuned", "contrastive")])
def test_a_network_is_known_by_how_it_is_trained(smiles, name, objective):
    arm = arms.Arm(name, "toxcast", objective)
    known = arms.recipe(arm, "regression")
    model = None if objective == "-" else corpora.untrained(0)
    auto = MoCoPRegressor(pretrained=model, random_state=0).fit(smiles[:8], np.arange(8.0))
    explicit = MoCoPRegressor(pretrained=model, random_state=0, **known).fit(smiles[:8], np.arange(8.0))
    np.testing.assert_array_equal(auto.predict(smiles[8:]), explicit.predict(smiles[8:]))


def test_many_tasks_leave_their_means_only(smiles, monkeypatch):
    Y = np.random.default_rng(0).integers(0, 2, (len(smiles), runner.MAX_TASKS_PER_LINE + 1)).astype(float)
    monkeypatch.setattr(runner, "predict", lambda *a: np.random.default_rng(0).random((len(a[4]), Y.shape[1])))
    line = runner.run_unit(runner.units([task_set(smiles, Y)], {arms.Arm("scratch"): "all"}, [0], 3)[0], None, "p")
    assert line["tasks"] == {}
    assert line["n_scored"] == Y.shape[1]
    assert 0.3 < line["mean"]["auroc"] < 0.7


def test_a_model_file_is_an_arm(fitted, model_file, smiles, labels, tmp_path, capsys):
    given = bench.given_models([str(model_file)], [*smiles[:3], "CCCCCCCCCCCO"])
    name = model_file.stem
    assert f"[{name}] has seen 3 of 4 test molecules" in capsys.readouterr().out
    encoders = bench.Encoders([], [], tmp_path, {}, given)
    assert encoders(name, "given", 0).digest == encoders(name, "given", 1).digest == fitted.digest_
    assert encoders.recipe(name, "given") == [fitted.digest_]
    chosen = bench._chosen_arms({"scratch": "diagonal"}, [], [], [name])
    assert {arm.label: pairs for arm, pairs in chosen.items()} == {"scratch": "diagonal"} | {
        f"{arm} [{name}]": "all" for arm in bench.GIVEN
    }
    room = arms.Room(features.Lookup(smiles, tmp_path), encoders, {"max_epochs": 1})
    unit_tasks = task_set(smiles, np.asarray(labels, float)[:, None])
    for arm in chosen:
        scores = arms.predict(arm, room, unit_tasks, np.arange(30), np.arange(30, 40), 0)
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) > 1


@pytest.mark.slow
def test_a_benchmark_from_files_to_figures(smiles, labels, tmp_path, monkeypatch, capsys):
    (tmp_path / "bioactivity").mkdir()
    rng = np.random.default_rng(0)
    assays = pd.DataFrame(rng.choice([0, 1, NAN], (len(smiles), 20)), columns=[f"assay {i}" for i in range(20)])
    assays.insert(0, "smiles", smiles)
    assays.to_parquet(tmp_path / "bioactivity" / "bio_toxcast617.parquet")
    split = np.resize(["train", "train", "test"], len(smiles))
    for name, y in {"classes": np.asarray(labels, float), "numbers": rng.random(len(smiles))}.items():
        frame = pd.DataFrame({"smiles": smiles, "y": y, "split": split})
        frame.to_parquet(tmp_path / "bioactivity" / f"{name}.parquet")
    monkeypatch.setattr(tasks, "DATA", tmp_path)
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    monkeypatch.setattr(features, "DATA", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(arms, "N_TREES", 5)
    absent = {"chemprop": ("no_such_module", "peers"), "minimol": ("no_such_module", "minimol")}
    monkeypatch.setattr(bench.peers, "NEEDS", absent)
    specs = {
        "classes": tasks.Spec("classification"),
        "numbers": tasks.Spec("regression"),
        "none": tasks.Spec("regression"),
    }
    every = [arm.label for arm in arms.arms(["toxcast"])]
    options = bench.parser(None).parse_args(
        ["--quick", "--n-jobs", "1", "--cache", str(tmp_path / "cache"), "--fractions", "1.0"]
    )
    bench.main("made_up", specs, dict.fromkeys(every, "all"), list(specs), options)
    table = summary.frame(tmp_path / "results" / "made_up_quick.parquet")
    n_units = 2 * (len(every) - len(absent))
    printed = capsys.readouterr().out
    assert "skipped: chemprop is not installed" in printed
    assert "skipped: none" in printed
    assert len(table) == n_units
    failed = table[table["error"].notna()]
    assert set(failed["arm"]) == {"cell count + linear"}
    assert set(failed["error"]) == {"fewer than half of the molecules have a cell count"}
    table = table[table["error"].isna()]
    assert set(table["label"]) == {*every} - {"cell count + linear", "chemprop", "MiniMol + SVM"}
    assert np.isfinite(summary.main_metric(table)).all()
    bench.main("made_up", specs, dict.fromkeys(every, "all"), list(specs), options)
    assert f"{n_units} units there, 0 of {n_units} to do" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------
# the report
# ---------------------------------------------------------------------------------------------


def write_results(path, scores):
    """Results of made-up arms: (arm, corpus, set, fraction, split, seed) → AUROC."""
    for (arm, corpus, name, fraction, split, seed), value in scores.items():
        unit = (name, arm, corpus, "-", fraction, f"split {split}" if split else "published split", seed)
        mean = {"auroc": value, "auprc": value / 2, "prevalence": 0.3}
        line = dict(zip(results.KEY, unit, strict=True)) | {
            "split_number": split,
            "n_train": 9,
            "n_test": 3,
            "seconds": 1.0,
        }
        results.append(path, line | {"protocol": "p", "mean": mean})
    results.compact(path)


def made_up_scores():
    rng = np.random.default_rng(0)
    cells = [(name, f, i, i) for name in ("tdc_herg", "tdc_dili") for f in (0.1, 1.0) for i in range(3)]
    found = {}
    for cell in cells:
        found["scratch", "-", *cell] = rng.uniform(0.6, 0.7)
        found["fine-tuned", "toxcast", *cell] = rng.uniform(0.7, 0.8)
        found["ECFP + forest", "-", *cell] = 0.75
    return found


def test_differences_are_paired_by_split_and_seed(tmp_path):
    made_up = made_up_scores()
    write_results(tmp_path / "pk.parquet", made_up)
    table = summary.frame(tmp_path / "pk.parquet")
    found = summary.differences(table, "fine-tuned [toxcast]", "scratch").loc[1.0]

    def of_set(arm, corpus, name):
        return np.array([made_up[arm, corpus, name, 1.0, i, i] for i in range(3)])

    tuned = {name: of_set("fine-tuned", "toxcast", name) for name in ("tdc_herg", "tdc_dili")}
    scratch = {name: of_set("scratch", "-", name) for name in tuned}
    gains = [(tuned[name] - scratch[name]).mean() for name in tuned]
    np.testing.assert_allclose(found[["mean", "low", "high"]].tolist(), scores.paired_interval(gains))
    assert (found["n"], found["n_sets"], found["won"]) == (3, 2, 2)
    ratio = np.mean([*tuned.values()]) / np.mean([*scratch.values()])
    assert found["relative"] == pytest.approx(100 * (ratio - 1))
    assert found["relative_low"] < found["relative"] < found["relative_high"]
    p = [
        scores.paired_p_value([made_up["fine-tuned", "toxcast", name, f, i, i] - made_up["scratch", "-", name, f, i, i]
                               for i in range(3)], overlap=3 / 9)
        for f in (0.1, 1.0) for name in tuned
    ]  # fmt: skip
    assert (found["up"], found["down"]) == (sum(scores.holm(p)[2:] < 0.05), 0)
    own = summary.differences(table[table["set"] == "tdc_herg"], "fine-tuned [toxcast]", "scratch").loc[1.0]
    expected = scores.paired_interval(tuned["tdc_herg"] - scratch["tdc_herg"], overlap=3 / 9)
    np.testing.assert_allclose(own[["mean", "low", "high"]].tolist(), expected)
    relative = summary.differences(table, "fine-tuned [toxcast]", "scratch", "auprc").loc[1.0, "relative"]
    assert relative == pytest.approx(found["relative"])


def test_only_what_all_arms_have_is_averaged(tmp_path):
    made_up = made_up_scores()
    del made_up["scratch", "-", "tdc_dili", 1.0, 2, 2]
    write_results(tmp_path / "pk.parquet", made_up)
    table = summary.frame(tmp_path / "pk.parquet")
    means = summary.macro_means(table, ["scratch", "fine-tuned [toxcast]"])
    kept = {cell: value for cell, value in made_up.items() if cell[3:] != (1.0, 2, 2) or cell[2] != "tdc_dili"}
    of_set = [
        np.mean([v for cell, v in kept.items() if cell[:4] == ("fine-tuned", "toxcast", name, 1.0)])
        for name in ("tdc_herg", "tdc_dili")
    ]
    assert means.loc["fine-tuned [toxcast]", 1.0] == pytest.approx(np.mean(of_set))
    gains = [
        np.mean([
            kept["fine-tuned", "toxcast", name, 1.0, i, i] - kept["scratch", "-", name, 1.0, i, i] for i in range(n)
        ])
        for name, n in (("tdc_herg", 3), ("tdc_dili", 2))
    ]  # fmt: skip
    found = summary.differences(table, "fine-tuned [toxcast]", "scratch").loc[1.0, "mean"]
    assert found == pytest.approx(np.mean(gains))


def test_a_repeated_unit_counts_once_and_the_last_time(tmp_path):
    made_up = made_up_scores()
    write_results(tmp_path / "a.parquet", made_up)
    write_results(tmp_path / "b.parquet", {cell: value + 0.1 for cell, value in made_up.items()})
    write_results(tmp_path / "c.parquet", made_up)
    write_results(tmp_path / "c.parquet", {cell: value + 0.1 for cell, value in made_up.items()})
    pd.testing.assert_frame_equal(summary.frame(tmp_path / "c.parquet"), summary.frame(tmp_path / "b.parquet"))


def test_the_report_has_tables_and_pictures(tmp_path):
    aurocs = made_up_scores()
    write_results(tmp_path / "pk.parquet", aurocs)
    lines = section.section("Pharmacokinetics", "pk", tmp_path, tmp_path)
    text = "\n".join(lines)
    for part in ("### What pretraining is worth", "### Beside published results", "### Is the harness sound?"):
        assert part in text
    assert "ECFP + forest | 0.750 ± 0.000 | 0.789 ± 0.008 (forest)" in " ".join(text.split())
    cells = [("tdc_herg", 1.0, i, i) for i in range(3)]
    herg = np.mean([aurocs["fine-tuned", "toxcast", *cell] - aurocs["scratch", "-", *cell] for cell in cells])
    assert re.search(rf"\| tdc_herg +\| 1, 3 \|.*\| \+{herg:.3f} \[[^|]*\| 1 \([01], 0\) +\|$", text, re.MULTILINE)
    for picture in ("pk_curves.svg", "pk_differences.svg"):
        assert 1000 < (tmp_path / picture).stat().st_size < 150_000
        assert f"({picture})" in text
    before = (tmp_path / "pk_curves.svg").read_bytes()
    assert section.section("Pharmacokinetics", "pk", tmp_path, tmp_path) == lines
    assert (tmp_path / "pk_curves.svg").read_bytes() == before
    assert section.section("ChEMBL", "chembl", tmp_path, tmp_path) == []
    results.append(tmp_path / "chembl.parquet", made_up_line(0, 0.5) | {"mean": {}, "error": "cannot work"})
    assert section.section("ChEMBL", "chembl", tmp_path, tmp_path) == []


def test_the_report_has_the_sets_of_infoalign_arm_by_arm(tmp_path):
    made_up = {
        ("fine-tuned", "distilled", "bio_toxcast617", 1.0, 0, 0): 0.70,
        ("fine-tuned", "distilled", "bio_toxcast617", 1.0, 0, 1): 0.72,
        ("scratch", "-", "bio_toxcast617", 1.0, 0, 0): 0.60,
        ("fine-tuned", "distilled", "bio_broad6k", 1.0, 0, 0): 0.65,
        ("scratch", "-", "bio_broad6k", 1.0, 0, 0): 0.66,
    }
    curves = {(*key[:3], 0.1, *key[4:]): value for key, value in made_up.items()}
    write_results(tmp_path / "chembl.parquet", made_up | curves)
    lines = [" ".join(line.split()) for line in section.section("ChEMBL", "chembl", tmp_path, tmp_path)]
    start = lines.index("### The sets of InfoAlign, arm by arm")
    assert lines[start + 4] == "| arm | bio_broad6k, AUROC × 100 | bio_toxcast617, AUROC × 100 |"
    assert lines[start + 6 : start + 8] == [
        "| fine-tuned [distilled] | 65.0 (1) | 71.0 (2) |",
        "| scratch | 66.0 (1) | 60.0 (1) |",
    ]
    published = next(line for line in lines if line.startswith("| bio_toxcast617 | AUROC × 100 | 71.0 ± 1.4"))
    assert published.endswith("| 69.3 (CHMR) | floor, strong, best |")


def test_pretraining_is_compared_with_its_own_network_from_random_weights(tmp_path):
    scores = made_up_scores()
    for (_, _, *cell), value in list(scores.items()):
        scores["fine-tuned", "untrained", *cell] = value - 0.1
        scores["fine-tuned", "distilled", *cell] = value
    write_results(tmp_path / "pk.parquet", scores)
    lines = section.section("PK", "pk", tmp_path, tmp_path)
    start = lines.index("Less *fine-tuned [untrained]*, main score.")
    row = next(line for line in lines[start:] if line.startswith("| fine-tuned [distilled]"))
    assert row.count("| +0.100 [+0.100, +0.100] ") == 2
    assert not any(line.startswith("| fine-tuned [untrained]") for line in lines[start : start + 8])


def test_an_arm_of_one_pair_takes_no_pairs_from_the_others(tmp_path):
    scores = made_up_scores()
    for fraction in (0.1, 1.0):
        for name in ("tdc_herg", "tdc_dili"):
            scores["chemprop", "-", name, fraction, 0, 0] = 0.5
    write_results(tmp_path / "pk.parquet", scores)
    lines = section.section("PK", "pk", tmp_path, tmp_path)
    tables = [n for n, line in enumerate(lines) if line.startswith("Mean of 2 sets (AUROC)")]
    assert [lines[n].split(", of ")[1] for n in tables] == ["3 pairs of split and seed.", "1 pair of split and seed."]
    arms_of = [[line.split("|")[1].strip() for line in lines[n + 4 : n + 8] if line.startswith("|")] for n in tables]
    assert ["chemprop" in arms for arms in arms_of] == [False, True]


def test_the_report_has_a_curve_over_the_size_of_the_corpus(tmp_path):
    gains = {"toxcast 50 %": 0.05, "toxcast 10 %": 0.01, "toxcast": 0.08}
    scores = {}
    for (arm, corpus, *cell), value in made_up_scores().items():
        scores[arm, corpus, *cell] = value
        scores["embedding + SVM", "untrained", *cell] = value
        for part, gain in gains.items():
            scores["embedding + SVM", part, *cell] = value + gain
    write_results(tmp_path / "pk.parquet", scores)
    lines = section.section("PK", "pk", tmp_path, tmp_path)
    start = lines.index("### Does a larger corpus help?")
    rows = [line.split("|") for line in lines[start + 6 : start + 9]]
    assert [row[1].strip() for row in rows] == [
        "embedding + SVM [toxcast 10 %]",
        "embedding + SVM [toxcast 50 %]",
        "embedding + SVM [toxcast]",  # fine-tuned [toxcast] has no parts, and no row
    ]
    assert [row[-3].split()[0] for row in rows] == ["+0.010", "+0.050", "+0.080"]
    assert lines[start + 9] == ""
