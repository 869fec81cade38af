"""From a table of measurements to predictions: finetune, predict, evaluate, and fine-tuned files in other commands."""

import json

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.cli import build_parser, main
from mocop_sklearn.cli._parameters import NO_FLAGS_OF_FINE_TUNING
from mocop_sklearn.inspection import ApplicabilityDomain
from tests.tables.test_molecules import write_sdf

TINY = {"max_epochs": 1, "n_layers": 1, "hidden_dim": 8, "embedding_dim": 12, "batch_size": 16, "random_state": 0}
FLAGS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
SMILES = [
    "CCO",
    "CCCO",
    "OCCO",
    "CCN",
    "CCCN",
    "NCCN",
    "CC(C)O",
    "CC(C)N",
    "OCC(C)O",
    "NCC(C)N",
    "c1ccccc1O",
    "c1ccccc1N",
]
ACTIVE = ["1", "1", "1", "0", "0", "", "1", "0", "NA", "0", "1", "0"]
LOGD = [f"{0.25 * i - 1}" for i in range(12)]
QUERIES = ["CCCCO", "C1CC", "CCCCN", ""]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "assays.csv"
    words = ["low", "high", "mid", "low"] * 3
    split = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
    frame = pd.DataFrame({"id": range(12), "SMILES": SMILES, "active": ACTIVE, "toxic": ACTIVE[::-1], "logD": LOGD})
    vials = [f"V{i}" for i in range(12)]
    frame.assign(clearance=words, sign=[-1, 1] * 6, split=split, vial=vials).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def tuned(table):
    """Files by name: several tasks of two networks, words, numbers."""
    files = {}
    for name, words in {"tasks": ["active", "toxic"], "words": ["clearance"], "numbers": ["logD"]}.items():
        files[name] = table.replace("assays.csv", f"{name}.safetensors")
        more = ["--n-estimators", "2"] if name == "tasks" else []
        assert main(["finetune", table, "--target", *words, "-o", files[name], "-q", *FLAGS, *more]) == 0
    return files


@pytest.fixture(scope="module")
def queries(table):
    path = table.replace("assays", "queries")
    pd.DataFrame({"SMILES": QUERIES, "vendor": ["A-1", "A-2", "007", "NA"]}).to_csv(path, index=False)
    return path


def read(path):
    return (pd.read_parquet if str(path).endswith("parquet") else pd.read_csv)(path)


class TestFinetune:
    def test_equals_the_library(self, tuned):
        missing = [None if text in ("", "NA") else int(text) for text in ACTIVE]
        y = pd.DataFrame({"active": missing, "toxic": missing[::-1]}, dtype=object)
        expected = MoCoPClassifier(**TINY, n_estimators=2).fit(SMILES, y)
        loaded = MoCoPClassifier.load(tuned["tasks"])
        np.testing.assert_array_equal(loaded.predict_proba(SMILES), expected.predict_proba(SMILES))
        assert loaded.task_names_ == ["active", "toxic"]
        expected = MoCoPRegressor(**TINY).fit(SMILES, np.array(LOGD, dtype=float))
        np.testing.assert_array_equal(MoCoPRegressor.load(tuned["numbers"]).predict(SMILES), expected.predict(SMILES))
        assert MoCoPClassifier.load(tuned["words"]).classes_.tolist() == ["high", "low", "mid"]

    def test_start_and_validation(self, table, tuned, tmp_path, capsys):
        out = str(tmp_path / "next.safetensors")
        words = ["--target", "logD", "-m", tuned["tasks"], "-o", out, "--validation", "molecule", "0.3"]
        assert main(["finetune", table, *words, "--max-epochs", "1", "--freeze", "encoder"]) == 0
        output = capsys.readouterr()
        assert "logD: numbers (found in the data; --task says otherwise)" in output.err
        assert "logD: 12 from -1 to 1.75, mean 0.375" in output.out
        assert "best validation R²" in output.out
        np.testing.assert_array_equal(
            MoCoPEmbedder.load(out).transform(SMILES), MoCoPEmbedder.load(tuned["tasks"]).transform(SMILES)
        )

    @pytest.mark.parametrize(
        ("words", "kind"),
        [("active", "classes 0, 1"), ("sign", "classes -1, 1"), ("sign --missing -1", "classes 1"), ("logD", "numbers"),
         ("active --task regression", "numbers"), ("logD sign", "numbers"), ("sign toxic --missing 0 1", "numbers"),
         ("clearance", "classes high, low, mid"), ("clearance --missing mid", "classes high, low"),
         ("id --task classification", "classes 0, 1, 2")],
    )  # fmt: skip
    def test_what_is_found_in_the_data(self, table, tmp_path, capsys, words, kind):
        words = [
            "finetune",
            table,
            "-o",
            str(tmp_path / "x"),
            *FLAGS,
            "--freeze",
            "encoder",
            "--target",
            *words.split(),
        ]
        assert main(words) == 0
        assert f": {kind}" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--target SMILES", "'SMILES' is the column of structures of"),
            ("--target vial", "'vial' holds 12 different words, as 'V0': these are no classes"),
            ("--target absent", "has no column 'absent'; its columns are ['id', 'SMILES', 'active',"),
            ("--target active logD", "'active' classification, 'logD' regression"),
            ("--target active clearance", "'clearance' holds high, low, mid. Of several targets, each must hold 0, 1"),
            ("--target active --missing 0 1", "Nothing was measured: 'active' hold no values"),
            ("--target clearance --task regression", "'clearance' holds 'low' in row 0, which is not a finite number"),
            ("--target mixed", "holds numbers, but in row 1 '>30'. Mend that cell, say that such a value was not "
             "measured with --missing VALUE, or take all values as words with --task classification"),
            ("--target logD --class-weight balanced", "--class-weight is for classes, but the targets hold numbers"),
            ("--target active -m absent", "No model file at 'absent'"),
            ("--target comma", "'comma' holds '1,5', which looks like a number and cannot be read as one. Write "
             "numbers with a point, without other signs, or take all values as words with --task classification"),
            ("--target limit", "The target 'limit' holds '>30', which looks like a number and cannot be read as one"),
            ("--target nearest", "The target 'nearest' has the name of another column that mocop predict writes"),
            ("--target row --no-domain", "The target 'row' has the name of another column that mocop predict writes"),
            ("--target id id_std --n-estimators 2", "The target 'id_std' has the name of another column"),
            ("--target active -o TABLE", "is an input of this command: choose another file for --out"),
        ],
    )  # fmt: skip
    def test_bad_input(self, table, tmp_path, capsys, words, message):
        path = str(tmp_path / "t.csv")
        frame = pd.read_csv(table, dtype=str).assign(mixed=["1", ">30", *"3456789", "10", "11", "12"])
        frame = frame.assign(
            id_std=LOGD, nearest=LOGD, row=LOGD, comma=["1,5", "2,5"] * 6, limit=[">30", "<1", "NA"] * 4
        )
        frame.to_csv(path, index=False)
        words = words.replace("TABLE", path).split()
        assert main(["finetune", path, "-o", str(tmp_path / "x"), *FLAGS, *words]) == 1
        assert message in capsys.readouterr().err
        assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]

    def test_invalid_molecules(self, queries, tmp_path, capsys):
        table = str(tmp_path / "t.csv")
        pd.DataFrame({"SMILES": [*SMILES, "C1CC"], "active": [*ACTIVE, "1"]}).to_csv(table, index=False)
        words = ["finetune", table, "--target", "active", "-o", str(tmp_path / "x"), *FLAGS]
        assert main(words) == 1
        error = capsys.readouterr().err
        assert f"1 of 13 rows of {table!r} are not valid molecules:\n  row 12: 'C1CC' (not a valid SMILES)" in error
        assert 'set --invalid "nan"' in error
        assert main([*words, "--invalid", "nan"]) == 0

    def test_spellings_of_a_number_are_one_class(self, tmp_path, capsys):
        table = str(tmp_path / "t.csv")
        pd.DataFrame({"SMILES": SMILES, "dose": ["1.5", "1.50", "2", "2.0", "15e-1", ""] * 2}).to_csv(
            table, index=False
        )
        words = ["finetune", table, "--target", "dose", "--task", "classification", "-o", str(tmp_path / "x"), *FLAGS]
        assert main(words) == 0
        assert "dose: 6 of 1.5, 4 of 2, 2 not measured" in capsys.readouterr().out

    def test_a_target_with_one_class(self, table, tmp_path, capsys):
        path = str(tmp_path / "t.csv")
        pd.read_csv(table, dtype=str).assign(always="1").to_csv(path, index=False)
        words = ["finetune", path, "-o", str(tmp_path / "x"), *FLAGS, "--target", "active", "always"]
        assert main(words) == 0
        assert (
            "1 of 2 tasks have fewer than two classes among the measured labels ('always')" in capsys.readouterr().err
        )

    def test_a_flag_for_every_parameter(self):
        args = vars(build_parser(["finetune"]).parse_args(["finetune", "t.csv", "--target", "y", "-o", "x"]))
        for name in MoCoPClassifier().get_params().keys() - set(NO_FLAGS_OF_FINE_TUNING):
            words = ["finetune", "t.csv", "--target", "y", "-o", "x", f"--{name.replace('_', '-')}"]
            default = MoCoPClassifier().get_params()[name]
            words += [] if isinstance(default, bool) else [str(default)]
            value = vars(build_parser(words).parse_args(words))[name]
            assert value == (True if isinstance(default, bool) else default)
            assert name not in args

    @pytest.mark.parametrize("words", ["--validation scaffold", "--validation cluster 0.1", "--validation scaffold 2"])
    def test_wrong_usage(self, words, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["finetune", "t.csv", "--target", "y", "-o", "x", *words.split()])
        assert "--validation" in capsys.readouterr().err


class TestPredict:
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_equals_the_library(self, tuned, queries, tmp_path, capsys, suffix):
        for name, file in tuned.items():
            out = tmp_path / f"{name}.{suffix}"
            words = ["predict", queries, "-m", file, "-o", str(out), "--id", "vendor", "--batch-rows", "3"]
            assert main(words) == 0
            predictor = (MoCoPRegressor if name == "numbers" else MoCoPClassifier).load(file)
            expected = predictor.predict_table(QUERIES)
            found = read(out)
            assert found.columns.tolist() == ["row", "SMILES", "vendor", *expected]
            for column, values in expected.items():
                if values.dtype == object:
                    assert found[column].fillna("").tolist() == [value or "" for value in values]
                else:
                    np.testing.assert_allclose(found[column], values, rtol=1e-5)
            error = capsys.readouterr().err
            assert "2 of 4 rows are not valid molecules: row 1 'C1CC' (not a valid SMILES), row 3 ''" in error
        assert pd.read_csv(tmp_path / "tasks.csv", dtype=str)["vendor"][2] == "007" if suffix == "csv" else True

    def test_domain(self, table, tuned, queries, tmp_path, capsys):
        out = tmp_path / "p.csv"
        assert main(["predict", queries, "-m", tuned["tasks"], "-o", str(out)]) == 0
        found = pd.read_csv(out)
        domain = ApplicabilityDomain().fit([smiles for smiles, a, b in zip(SMILES, ACTIVE, ACTIVE[::-1], strict=True)
                                            if {a, b} & {"0", "1"}])  # fmt: skip
        similarity, nearest = domain.nearest(["CCCCO", "CCCCN"])
        assert found.columns[-4:].tolist() == ["nearest", "similarity", "inside", "invalid"]
        assert found["nearest"].dropna().tolist() == nearest.tolist()
        np.testing.assert_allclose(found["similarity"].dropna(), similarity, rtol=1e-6)
        assert found["inside"].dropna().tolist() == (domain.predict(["CCCCO", "CCCCN"]) > 0).tolist()
        assert main(["predict", queries, "-m", tuned["tasks"], "-o", str(out), "--no-domain"]) == 0
        assert pd.read_csv(out).columns[-2:].tolist() == ["toxic_std", "invalid"]
        words = ["finetune", table, "--target", "logD", "-o", str(tmp_path / "x"), *FLAGS, "--no-domain"]
        assert main(words) == 0
        assert "domain       none" in capsys.readouterr().out
        assert not hasattr(MoCoPRegressor.load(tmp_path / "x"), "domain_")

    def test_shards_add_up(self, tuned, queries, tmp_path):
        words = ["predict", queries, "-m", tuned["tasks"], "-q", "-o"]
        assert main([*words, str(tmp_path / "all.csv")]) == 0
        parts = []
        for shard in ("1/3", "2/3", "3/3"):
            assert main([*words, str(tmp_path / "part.csv"), "--shard", shard]) == 0
            header, *lines = (tmp_path / "part.csv").read_text().splitlines()
            parts += lines
        assert [header, *parts] == (tmp_path / "all.csv").read_text().splitlines()

    def test_sd_files_and_max_atoms(self, tuned, tmp_path, capsys):
        path = write_sdf(
            tmp_path / "m.sdf.gz", [("CCCCO", "butanol", {"CAS": "71-36-3"}), ("CCO", "", {}), ("x", "", {})]
        )
        words = ["predict", str(path), "-m", tuned["numbers"], "-o", str(tmp_path / "p.csv"), "--max-atoms", "4"]
        assert main([*words, "--keep", "CAS"]) == 0
        found = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
        assert found.columns[:5].tolist() == ["row", "smiles", "name", "CAS", "logD"]
        assert found["invalid"].tolist() == ["5 atoms, more than --max-atoms 4", "", "RDKit cannot read the record"]
        assert found["CAS"].tolist() == ["71-36-3", "", ""]
        assert "5 atoms, more than --max-atoms 4" in capsys.readouterr().err

    def test_files_that_predict_nothing(self, queries, tuned, tmp_path, capsys):
        for model, message in (("distilled", "predicts no assay"), (queries, "not a readable safetensors file")):
            assert main(["predict", queries, "-m", model, "-o", str(tmp_path / "p.csv")]) == 1
            assert message in capsys.readouterr().err
        words = ["predict", queries.replace("queries", "assays"), "-m", tuned["tasks"], "-o", str(tmp_path / "p.csv")]
        assert main([*words, "--keep", "active"]) == 1
        assert "would have two columns called 'active'" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


class TestEvaluate:
    @pytest.fixture(autouse=True)
    def small_forests(self, monkeypatch):
        monkeypatch.setattr("mocop_sklearn.cli._comparison.N_TREES", 5)

    def test_a_published_split(self, table, capsys):
        assert main(["evaluate", table, "--target", "logD", "--split", "split", "--json", "-q", *FLAGS]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["n_train"], summary["n_test"], summary["n_test_seen_in_pretraining"]) == (8, 4, 0)
        regressor = MoCoPRegressor(**TINY).fit(SMILES[:8], np.array(LOGD[:8], dtype=float))
        error = regressor.predict(SMILES[8:]) - np.array(LOGD[8:], dtype=float)
        scores = summary["models"]["trained from scratch"]
        assert scores["RMSE"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert scores["MAE"]["low"] <= scores["MAE"]["value"] <= scores["MAE"]["high"]

    def test_tasks(self, table, tuned, capsys):
        words = ["evaluate", table, "--target", "active", "toxic", "--test", "molecule", "0.5", "--max-epochs", "1"]
        assert main([*words, "-m", tuned["tasks"]]) == 0
        output = capsys.readouterr()
        assert "the start has seen 6 of the tested molecules with a profile or label" in output.out
        assert "AUROC" in output.out
        assert "descriptors + forest" in output.out

    @pytest.mark.parametrize("target", ["clearance", "sign", "id --task classification"])
    def test_other_classes(self, table, capsys, target):
        words = ["--test", "molecule", "0.5", "--json", *FLAGS, "--freeze", "encoder"]
        assert main(["evaluate", table, *words, "--target", *target.split()]) == 0
        summary = json.loads(capsys.readouterr().out)
        name = "AUROC" if target == "sign" else "accuracy"
        assert all(0 <= scores[name]["value"] <= 1 for scores in summary["models"].values())

    @pytest.mark.parametrize("classes", [["low", "high"], ["0", "1"], ["1", "2"]])
    @pytest.mark.parametrize("known", [0, 1])
    def test_one_class_to_train_on(self, tmp_path, capsys, classes, known):
        path = str(tmp_path / "t.csv")
        split = ["train"] * 6 + ["test"] * 6
        frame = pd.DataFrame({"SMILES": SMILES, "act": [classes[known]] * 6 + classes * 3, "split": split})
        frame.to_csv(path, index=False)
        assert main(["evaluate", path, "--target", "act", "--split", "split", "--json", *FLAGS]) == 0
        output = capsys.readouterr()
        assert "Their only class is always predicted" in output.err
        scores = json.loads(output.out)["models"]
        assert [score["AUROC"]["value"] for score in scores.values()] == [0.5] * 3

    def test_molecules_on_both_sides_of_a_split(self, tmp_path, capsys):
        path = str(tmp_path / "t.csv")
        smiles = [*SMILES[:6], "OCC", "CC[NH3+].[Cl-]", *SMILES[8:]]
        split = ["train"] * 6 + ["test"] * 6
        pd.DataFrame({"SMILES": smiles, "logD": LOGD, "split": split}).to_csv(path, index=False)
        assert main(["evaluate", path, "--target", "logD", "--split", "split", "-q", *FLAGS]) == 0
        message = "2 of the 6 rows to test hold molecules that are trained on, too, by the column 'split'"
        assert message in capsys.readouterr().err

    def test_bad_splits(self, table, capsys):
        for column, message in (("id", "Row 0 of the column 'id' holds '0', but a split is made of train"),
                                ("absent", "no column 'absent'")):  # fmt: skip
            assert main(["evaluate", table, "--target", "logD", "--split", column, *FLAGS]) == 1
            assert message in capsys.readouterr().err
        assert main(["evaluate", table, "--target", "logD", "--test", "scaffold", "0.01", *FLAGS]) == 1
        assert "No molecule to test on: 0.01 of the rows, whole scaffolds" in capsys.readouterr().err


class TestOtherCommands:
    def test_info(self, tuned, capsys):
        assert main(["info", tuned["tasks"]]) == 0
        text = capsys.readouterr().out
        for part in ("MoCoPClassifier, 2 networks", "active, toxic", "hidden_dim=8", "1 (no validation)"):
            assert part in text
        assert "5 of 12 training molecules" in " ".join(text.split())
        assert main(["info", "--json", tuned["words"]]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["targets"], summary["classes"]) == (["clearance"], ["high", "low", "mid"])

    def test_embed(self, tuned, queries, tmp_path):
        out = tmp_path / "z.csv"
        assert main(["embed", queries, "-m", tuned["numbers"], "-o", str(out), "--keep", "vendor", "-q"]) == 0
        found = pd.read_csv(out)
        assert found.columns[:4].tolist() == ["row", "SMILES", "vendor", "mocopembedder0"]
        z = MoCoPEmbedder(pretrained=tuned["numbers"]).fit(["C"]).transform(["CCCCO", "CCCCN"])
        np.testing.assert_allclose(found.iloc[[0, 2], 3:], z, rtol=1e-5, atol=1e-6)

    def test_retrieve(self, tuned, queries, tmp_path, capsys):
        assert main(["retrieve", queries, queries, "-m", tuned["numbers"], "-o", str(tmp_path / "hits.csv")]) == 1
        assert "has no profile network" in capsys.readouterr().err
