"""Raw plates, corpora and negative controls on the command line: the same code as the library's build."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.profiles import ProfileNormalizer, feature_columns
from tests.helpers.command_line import TINY, flags


@pytest.fixture(scope="module")
def plates():
    """Wells of plates with an offset of their own."""
    frame = make_paired_profiles(n_molecules=40, n_features=20, as_frame=True, random_state=0).frame
    names = feature_columns(frame)
    offset = frame["Metadata_Plate"].astype("category").cat.codes.to_numpy()[:, None] * 50.0
    frame[names] = frame[names] * 3 + offset
    return frame


@pytest.fixture
def paths(plates, tmp_path):
    plates.to_parquet(tmp_path / "plates.parquet")
    return {name: str(tmp_path / name) for name in ("plates.parquet", "corpus.pairs", "a.model", "b.model", "hits.csv")}


def pretrain(*words):
    return main(["pretrain", *words, "-q", *flags(**TINY)])


def test_pretrain_normalizes_as_build_does(paths, tmp_path):
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q", "--method", "mad"]) == 0
    assert pretrain(paths["corpus.pairs"], "-o", paths["a.model"]) == 0
    assert pretrain(paths["plates.parquet"], "-o", paths["b.model"], "--normalize", "--method", "mad") == 0
    one, other = (MoCoPEmbedder.load(paths[name]) for name in ("a.model", "b.model"))
    assert one.digest_ == other.digest_
    assert one.model_.provenance["normalization"] == other.model_.provenance["normalization"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.model", "b.model", "corpus.pairs", "plates.parquet"]


def pretrain_together(*words):
    """Run two processes that train together on plates."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command = [*torchrun, "--rdzv-endpoint=localhost:0", "-m", "mocop_sklearn", "pretrain", *words, *flags(**TINY)]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=240)


@pytest.mark.integration
@pytest.mark.slow
def test_processes_that_train_together_normalize_plates_once(plates, paths, tmp_path):
    plates.assign(Metadata_Well="A01").to_parquet(paths["plates.parquet"])  # a build warns of that
    run = pretrain_together(paths["plates.parquet"], "-o", paths["a.model"], "--normalize")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("rows repeat the plate and the well") == 1
    assert run.stdout.count("digest") == 1
    assert MoCoPEmbedder.load(paths["a.model"]).model_.provenance["normalization"]["method"] == "robust"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.model", "plates.parquet"]

    plates.assign(Metadata_IsNegcon=False).to_parquet(paths["plates.parquet"])
    run = pretrain_together(paths["plates.parquet"], "-o", paths["b.model"], "--normalize")
    assert run.returncode == 1
    assert run.stderr.count("cannot be normalised") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.model", "plates.parquet"]


def test_warnings_have_the_words_of_the_command_line(plates, paths, tmp_path, capsys):
    named = plates.assign(Metadata_Name=["2,4-DNP", *["x"] * (len(plates) - 1)])
    named["Metadata_Well"] = "A01"
    named.to_parquet(paths["plates.parquet"])
    (tmp_path / "gone.smi").write_text("CCBr\n")
    words = ["--exclude", "Metadata_Name=2,4-DNP", "--hold-out", str(tmp_path / "gone.smi")]
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q", *words]) == 0
    text = capsys.readouterr().err
    assert "warning: --exclude: 2 of 2 values match none" in text
    assert "warning: --hold-out: 1 molecules are in none" in text
    assert "with --plate-columns, or set --repeated-wells.\n" in text
    plates.assign(Metadata_Weight=-1.0).to_parquet(paths["plates.parquet"])
    command = ["build", paths["plates.parquet"], "-o", str(tmp_path / "c"), "--weight-column", "Metadata_Weight"]
    assert main(command) == 1
    assert "leave the well out with --keep or --exclude.\n" in capsys.readouterr().err


def test_info_tells_lists_within_lists_apart(paths, capsys):
    words = ["--exclude", 'Metadata_Well="A01,x",B02']
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q", *words]) == 0
    assert pretrain(paths["corpus.pairs"], "-o", paths["a.model"]) == 0
    capsys.readouterr()
    assert main(["info", paths["a.model"]]) == 0
    text = capsys.readouterr().out
    assert "exclude Metadata_Well ['A01,x', B02]" in " ".join(text.split())
    assert "\n             wells: read " in text
    assert "\n             normalization: method robust" in text


def test_retrieve_normalizes_plates_and_takes_corpora(plates, paths, tmp_path):
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q", "--dtype", "float32"]) == 0
    assert pretrain(paths["corpus.pairs"], "-o", paths["a.model"]) == 0
    (tmp_path / "library.smi").write_text("\n".join(plates["Metadata_SMILES"].unique()[:9]))
    command = [
        "retrieve",
        str(tmp_path / "library.smi"),
        "-m",
        paths["a.model"],
        "-o",
        paths["hits.csv"],
        "-q",
        "-k",
        "9",
    ]
    embedder = MoCoPEmbedder.load(paths["a.model"], output="projection")
    Z = embedder.transform(plates["Metadata_SMILES"].unique()[:9].tolist())

    # molecules of plates need not be known
    plates.drop(columns="Metadata_SMILES").to_csv(tmp_path / "raw.csv", index=False)
    assert main([*command, str(tmp_path / "raw.csv"), "--normalize"]) == 0
    hits = pd.read_csv(paths["hits.csv"])
    names = feature_columns(plates)
    P = ProfileNormalizer().fit_transform(plates[["Metadata_Plate", "Metadata_IsNegcon", *names]])
    expected = np.sort(embedder.transform_profiles(np.clip(P, -100, 100)) @ Z.T)[:, ::-1]
    assert hits["query"].tolist() == np.repeat(np.arange(len(plates)), 9).tolist()
    np.testing.assert_allclose(hits["similarity"].to_numpy().reshape(-1, 9), expected, atol=1e-4)

    # a corpus has the treated wells
    assert main([*command, paths["corpus.pairs"], "--id", "Metadata_Well"]) == 0
    stored = pd.read_csv(paths["hits.csv"])
    treated = ~plates["Metadata_IsNegcon"].to_numpy()
    assert stored["Metadata_Well"].tolist() == plates["Metadata_Well"][treated].repeat(9).tolist()
    np.testing.assert_allclose(stored["similarity"].to_numpy().reshape(-1, 9), expected[treated], atol=1e-4)


def test_corpora_are_not_normalized_again(paths, capsys):
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q"]) == 0
    assert pretrain(paths["corpus.pairs"], "-o", paths["a.model"], "--normalize") == 1
    assert "corpus.pairs' is a stored corpus: --normalize is for tables of plates" in capsys.readouterr().err


def test_messages_have_the_words_of_the_command_line(plates, paths, capsys):
    plates.assign(Metadata_IsNegcon=False).to_parquet(paths["plates.parquet"])
    for command in (["build", paths["plates.parquet"], "-o", paths["corpus.pairs"], "-q"],):
        assert main(command) == 1
        message = capsys.readouterr().err
        assert "--on-missing" in message
        assert "on_missing" not in message


def test_pretrain_leaves_out_controls(plates, paths, capsys):
    n = int(plates["Metadata_IsNegcon"].sum())
    assert pretrain(paths["plates.parquet"], "-o", paths["a.model"]) == 0
    assert f"warning: {n} of {len(plates)} wells in" in capsys.readouterr().err
    assert pretrain(paths["plates.parquet"], "-o", paths["b.model"], "--controls", "keep") == 0
    assert "negative controls" not in capsys.readouterr().err
    one, other = (MoCoPEmbedder.load(paths[name]) for name in ("a.model", "b.model"))
    assert len(other.molecule_keys_) == len(one.molecule_keys_) + 1


def test_build_of_profiles_of_compounds(plates, tmp_path):
    profiles = plates[["Metadata_SMILES", *feature_columns(plates)]].drop_duplicates("Metadata_SMILES")
    profiles.to_csv(tmp_path / "compounds.csv", index=False)
    words = ["build", str(tmp_path / "compounds.csv"), "-o", str(tmp_path / "c.pairs"), "-q", "--no-normalize"]
    assert main([*words, "--controls", "keep"]) == 0
    pairs = PairedProfiles.open(tmp_path / "c.pairs")
    np.testing.assert_allclose(pairs.profiles, np.clip(profiles.iloc[:, 1:], -100, 100), rtol=1e-3, atol=1e-3)


def test_values_with_commas(plates, tmp_path, capsys):
    compound = plates.loc[~plates["Metadata_IsNegcon"], "Metadata_Compound"].iloc[0]
    named = plates.assign(Metadata_Compound=plates["Metadata_Compound"].replace({compound: "2,4-DNP"}))
    named.to_parquet(tmp_path / "w.parquet")
    n = int((named["Metadata_Compound"] == "2,4-DNP").sum())
    command = ["build", str(tmp_path / "w.parquet"), "--exclude"]
    assert main([*command, 'Metadata_Compound="2,4-DNP"', "-o", str(tmp_path / "quoted")]) == 0
    out, err = capsys.readouterr()
    assert f"{n} excluded" in out
    assert "warning" not in err
    assert main([*command, "Metadata_Compound=2,4-DNP", "-o", str(tmp_path / "bare")]) == 0
    assert "match none of the" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, 'Metadata_Compound="2,4-DNP', "-o", str(tmp_path / "open")])


def test_restart(plates, paths, tmp_path, capsys):
    second = tmp_path / "second.parquet"
    second.write_bytes(b"PAR1 broken")
    command = ["build", paths["plates.parquet"], str(second), "-o", paths["corpus.pairs"], "-q"]
    assert main(command) == 1
    plates.to_parquet(second)
    changed = [*command, "--method", "mad", "--repeated-wells", "first"]
    assert main(changed) == 1
    assert "--restart" in capsys.readouterr().err
    assert main([*changed, "--restart"]) == 0


def test_the_summary_lists_what_is_not_a_feature(plates, paths, capsys):
    extra = plates.assign(ImageNumber=range(len(plates)), comment="text", Cells_Number_Object_Number=1.5)
    extra.to_parquet(paths["plates.parquet"])
    expected = ["ImageNumber (object number)", "comment (text)", "Cells_Number_Object_Number (object number)"]
    assert main(["build", paths["plates.parquet"], "-o", paths["corpus.pairs"]]) == 0
    assert main(["pretrain", paths["plates.parquet"], "-o", paths["a.model"], *flags(**TINY)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(f"left out {', '.join(expected)}") == 2


def test_info_says_where_profiles_come_from(paths, tmp_path, capsys):
    words = [
        "build",
        paths["plates.parquet"],
        "-o",
        paths["corpus.pairs"],
        "-q",
        "--licence",
        "CC0",
        "--notes",
        "A test",
    ]
    assert main(words) == 0
    assert pretrain(paths["corpus.pairs"], "-o", paths["a.model"]) == 0
    (tmp_path / "m.smi").write_text("CCO\n")
    assert (
        main(["embed", str(tmp_path / "m.smi"), "-m", paths["a.model"], "-o", str(tmp_path / "z.parquet"), "-q"]) == 0
    )
    record = json.loads(pq.read_schema(tmp_path / "z.parquet").metadata[b"mocop_sklearn"])
    embedder = MoCoPEmbedder.load(paths["a.model"])
    assert record["model"] == embedder.digest_
    assert record["provenance"] == embedder.model_.provenance == PairedProfiles.open(paths["corpus.pairs"]).provenance
    for path in (paths["corpus.pairs"], paths["a.model"]):
        assert main(["info", path, "--verify"]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        for part in ("names plates.parquet", "method robust", "controls Metadata_IsNegcon", "licence: CC0", "A test"):
            assert part in printed
        assert main(["info", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["licence"] == "CC0"
