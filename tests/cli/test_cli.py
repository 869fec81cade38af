"""The command line: results equal to the library's, shards and batches that add up, exit codes, errors."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mocop_sklearn import MoCoPEmbedder, __version__
from mocop_sklearn.cli import build_parser, main
from mocop_sklearn.cli._parameters import NO_FLAGS
from mocop_sklearn.training import _contrastive as training
from tests.helpers.command_line import BAD, MOLECULES, TINY, flags, write_molecules


def read_embedding(path):
    if path.suffix == ".npy":
        return np.load(path)
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    return table.filter(regex="^mocopembedder").to_numpy(np.float32)


class TestPretrain:
    def test_equals_the_library(self, wells, model):
        wells = wells[~wells["Metadata_IsNegcon"]]
        molecules = wells["Metadata_SMILES"].tolist()
        features = wells.loc[:, ~wells.columns.str.startswith("Metadata_")]
        embedder = MoCoPEmbedder(**TINY).fit(molecules, profiles=features)
        assert MoCoPEmbedder.load(model).digest_ == embedder.digest_

    def test_summary(self, wells, tmp_path, capsys):
        wells = wells.copy()
        wells.loc[[0, 5], "Metadata_SMILES"] = [None, " "]
        wells.to_csv(tmp_path / "wells.csv", index=False)
        out = tmp_path / "folder" / "model.safetensors"
        assert main(["pretrain", str(tmp_path / "wells.csv"), "-o", str(out), *flags(**TINY)]) == 0
        stdout, stderr = capsys.readouterr()
        embedder = MoCoPEmbedder.load(out)
        rows = dict(line.split(maxsplit=1) for line in stdout.splitlines())
        treated = wells[~wells["Metadata_IsNegcon"]]
        n_kept = int((treated["Metadata_SMILES"].fillna("").str.strip() != "").sum())
        assert rows["molecules"] == f"{len(embedder.molecule_keys_)} ({n_kept} wells)"
        assert rows["features"] == "20"
        assert rows["epochs"] == f"2 (best validation score {embedder.best_score_:.3f}, chance 0)"
        assert rows["digest"] == embedder.digest_
        assert rows["file"].startswith(str(out))
        assert f"2 of {len(wells)} wells" in stderr

    def test_several_files(self, wells, tmp_path, model, capsys):
        half = len(wells) // 2
        first, second = str(tmp_path / "first.parquet"), str(tmp_path / "second.tsv")
        out = str(tmp_path / "model.safetensors")
        wells.iloc[:half].to_parquet(first)
        # the order of columns is the first file's
        wells.iloc[half:, ::-1].to_csv(second, sep="\t", index=False)
        assert main(["pretrain", first, second, "-o", out, "-q", *flags(**TINY)]) == 0
        assert MoCoPEmbedder.load(out).digest_ == MoCoPEmbedder.load(model).digest_

        lost = wells.columns[-1]
        wells.iloc[half:].drop(columns=lost).to_csv(second, sep="\t", index=False)
        assert main(["pretrain", first, second, "-o", out, "-q", *flags(**TINY)]) == 1
        message = capsys.readouterr().err
        assert "second.tsv" in message
        assert lost in message
        command = ["pretrain", first, second, "-o", out, "-q", *flags(**TINY)]
        assert main([*command, "--columns", "intersection"]) == 0
        assert MoCoPEmbedder.load(out).model_.profile_features == wells.columns[-20:-1].tolist()

    def test_chosen_features(self, wells, tmp_path, capsys):
        path, out = str(tmp_path / "wells.parquet"), str(tmp_path / "model.safetensors")
        wells.to_parquet(path)
        command = ["pretrain", path, "-o", out, "-q", *flags(**TINY), "--features"]
        names = [name for name in wells.columns if name.startswith("Nuclei_")]
        assert main([*command, "Nuclei_*", wells.columns[-20]]) == 0
        assert MoCoPEmbedder.load(out).model_.profile_features == [wells.columns[-20], *names]
        assert main([*command, "Nuclei_*", "Metadata_Plate"]) == 1
        assert "Metadata_Plate" in capsys.readouterr().err

    def test_starts_from_a_model(self, wells, tmp_path, model):
        path, out = str(tmp_path / "wells.parquet"), str(tmp_path / "model.safetensors")
        wells.to_parquet(path)
        command = ["pretrain", path, "-o", out, "--pretrained", model, "--max-epochs", "1", "-q"]
        assert main(command) == 0
        assert MoCoPEmbedder.load(out).transform(["CCO"]).shape == (1, TINY["embedding_dim"])

    def test_paper(self, wells, tmp_path):
        path, out = str(tmp_path / "wells.parquet"), str(tmp_path / "model.safetensors")
        wells.to_parquet(path)
        assert main(["pretrain", path, "-o", out, "--paper", "-q", *flags(**TINY)]) == 0
        parameters = MoCoPEmbedder.load(out).model_.parameters
        assert parameters["featurizer"] == "paper"
        assert parameters["precision"] == "fp32"
        assert parameters["max_epochs"] == TINY["max_epochs"]

    def test_a_flag_for_every_parameter(self):
        defaults = MoCoPEmbedder().get_params(deep=False)
        words = []
        for name, default in defaults.items():
            if name not in NO_FLAGS:
                value = () if isinstance(default, bool) else default
                words += flags(**{name: value})
        args = vars(build_parser(["pretrain"]).parse_args(["pretrain", "wells.parquet", "-o", "model", *words]))
        for name in defaults.keys() - set(NO_FLAGS):
            value = tuple(args[name]) if isinstance(args[name], list) else args[name]
            assert value == (True if isinstance(defaults[name], bool) else defaults[name])
            assert type(value) is type(True if isinstance(defaults[name], bool) else defaults[name])

    def test_values(self):
        words = "--temperature learned --standardize none --no-train-heads --patience 3 --device cuda:0 --n-jobs -1"
        words = ["pretrain", "wells.parquet", "-o", "model", *words.split(), "--checkpoint-dir", "2024"]
        args = build_parser(words).parse_args(words)
        assert (args.temperature, args.standardize, args.train_heads) == ("learned", None, False)
        assert (args.patience, args.device, args.n_jobs, args.checkpoint_dir) == (3, "cuda:0", -1, "2024")

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_interrupted(self, wells, tmp_path, capsys, monkeypatch, epoch):
        path, out = str(tmp_path / "wells.parquet"), tmp_path / "model.safetensors"
        wells.to_parquet(path)
        calls = []

        def report(*args, **kwargs):
            calls.append(args)
            if len(calls) == epoch:
                raise KeyboardInterrupt
            return retrieval_report(*args, **kwargs)

        retrieval_report = training.retrieval_report
        monkeypatch.setattr(training, "retrieval_report", report)
        assert main(["pretrain", path, "-o", str(out), *flags(**TINY)]) == 130
        assert "interrupted" in capsys.readouterr().err
        assert sorted(file.name for file in tmp_path.iterdir()) == ["model.safetensors", "wells.parquet"][2 - epoch :]
        if epoch == 2:
            assert MoCoPEmbedder.load(out).n_iter_ == 1


class TestEmbed:
    @pytest.mark.parametrize("suffix", [".smi", ".smi.gz", ".csv", ".tsv.gz", ".parquet"])
    @pytest.mark.parametrize("out", ["z.parquet", "z.npy", "z.csv"])
    def test_equals_transform(self, model, expected, tmp_path, capsys, suffix, out):
        path = write_molecules(tmp_path, suffix)
        assert main(["embed", path, "-m", model, "-o", str(tmp_path / out)]) == 0
        np.testing.assert_allclose(read_embedding(tmp_path / out), expected, rtol=1e-5, atol=1e-6)
        message = capsys.readouterr().err
        assert "3 of 11 rows are not valid molecules: row 3 'not" in message
        assert "11 rows embedded" in message

    @pytest.mark.slow
    @pytest.mark.parametrize("suffix", [".smi", ".csv", ".parquet"])
    @pytest.mark.parametrize("out", ["z.parquet", "z.npy", "z.csv"])
    def test_batches_and_shards_add_up(self, model, expected, tmp_path, capsys, suffix, out):
        path = write_molecules(tmp_path, suffix)
        for n_shards in (1, 3, 20):  # 20 shards of 11 rows: some are empty
            parts = []
            for shard in range(1, n_shards + 1):
                part = tmp_path / f"{shard}-{out}"
                words = ["--shard", f"{shard}/{n_shards}", "--batch-rows", "2", "--quiet"]
                assert main(["embed", path, "-m", model, "-o", str(part), *words]) == 0
                parts.append(read_embedding(part))
            assert {part.dtype for part in parts} == {np.dtype(np.float32)}
            np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-5, atol=1e-6)
        assert "embedded" not in capsys.readouterr().err

    @pytest.mark.parametrize("out", ["z.parquet", "z.csv"])
    def test_columns_of_smi_files(self, model, tmp_path, out):
        path = write_molecules(tmp_path, ".smi")
        assert main(["embed", path, "-m", model, "-o", str(tmp_path / out), "--shard", "2/2"]) == 0
        table = (pd.read_parquet if out == "z.parquet" else pd.read_csv)(tmp_path / out)
        assert table.columns[:4].tolist() == ["row", "smiles", "name", "mocopembedder0"]
        assert table["row"].tolist() == list(range(5, 11))
        # a line without a structure: its name is not taken for one
        assert table["smiles"].fillna("").tolist() == MOLECULES[5:]
        assert table["name"].tolist() == [f"O{i} acid" for i in range(5, 11)]

    def test_columns_of_tables(self, model, expected, tmp_path):
        path = tmp_path / "molecules.csv"
        pd.DataFrame({"id": 1, "SMILES": "N", "other": ["NA", *MOLECULES]}).to_csv(path, index=False)
        out = tmp_path / "z.parquet"
        assert main(["embed", str(path), "-m", model, "-o", str(out), "--smiles", "other"]) == 0
        table = pd.read_parquet(out)
        assert table.columns[:3].tolist() == ["row", "other", "mocopembedder0"]
        assert table["other"].tolist() == ["NA", *MOLECULES]
        assert (table.dtypes.iloc[2:] == np.float32).all()
        np.testing.assert_allclose(read_embedding(out)[1:], expected, rtol=1e-5, atol=1e-6)

    def test_projection(self, model, tmp_path):
        out = tmp_path / "z.npy"
        words = ["--output", "projection", "--device", "cpu", "--precision", "fp32"]
        assert main(["embed", write_molecules(tmp_path, ".smi"), "-m", model, "-o", str(out), *words]) == 0
        z = np.load(out)
        assert z.shape == (len(MOLECULES), MoCoPEmbedder.load(model).model_.n_shared)
        assert np.flatnonzero(np.isnan(z).any(axis=1)).tolist() == BAD
        np.testing.assert_allclose(np.linalg.norm(np.delete(z, BAD, axis=0), axis=1), 1, rtol=1e-5)

    def test_interrupted(self, model, tmp_path, monkeypatch):
        def transform(self, X):
            raise KeyboardInterrupt

        path = write_molecules(tmp_path, ".smi")
        monkeypatch.setattr(MoCoPEmbedder, "transform", transform)
        assert main(["embed", path, "-m", model, "-o", str(tmp_path / "z.npy")]) == 130
        assert [file.name for file in tmp_path.iterdir()] == ["molecules.smi"]


class TestInfo:
    def test_text(self, wells, model, capsys):
        assert main(["info", model]) == 0
        text = capsys.readouterr().out
        embedder = MoCoPEmbedder.load(model)
        for part in (
            embedder.digest_,
            "format version 1",
            wells.columns[-20],
            "n_layers=1",
            f"torch {torch.__version__}",
        ):
            assert part in text

    def test_json(self, wells, model, capsys):
        assert main(["info", "--json", model]) == 0
        summary = json.loads(capsys.readouterr().out)
        embedder = MoCoPEmbedder.load(model)
        assert summary["digest"] == embedder.digest_
        assert summary["features"] == wells.columns[-20:].tolist()
        assert summary["n_features"] == 20
        assert summary["n_molecules"] == len(embedder.molecule_keys_)
        assert summary["n_iter"] == len(summary["history"]) == 2
        assert summary["best_score"] == embedder.best_score_
        assert summary["parameters"]["embedding_dim"] == 12
        assert summary["versions"]["mocop_sklearn"] == __version__

    def test_without_validation_and_names(self, tmp_path, capsys):
        path = str(tmp_path / "model.safetensors")
        embedder = MoCoPEmbedder(**TINY, validation_fraction=0, standardize=_same)
        embedder.fit(["C", "CC", "CCC"], profiles=np.eye(3)).save(path)
        assert main(["info", path]) == 0
        text = capsys.readouterr().out
        assert "2 (no validation)" in text
        assert "_same" in text
        assert embedder.digest_ in text
        assert main(["info", path, "--json"]) == 0
        assert '"best_score": null' in capsys.readouterr().out


def _same(mol):
    return mol


@pytest.mark.parametrize(
    "words",
    [
        "",
        "fly",
        "pretrain wells.parquet",
        "pretrain wells.parquet -o model --temperature -1",
        "pretrain wells.parquet -o model --max-epochs 0.5",
        "pretrain wells.parquet -o model --featurizer none",
        "pretrain wells.parquet -o model --profile-dims 8 0",
        "pretrain wells.parquet -o .",
        "embed molecules.smi -m model -o z.txt",
        "embed molecules.smi -m model -o z.npy --shard 0/3",
        "embed molecules.smi -m model -o z.npy --shard 4/3",
        "embed molecules.smi -m model -o z.npy --batch-rows 0",
        "retrieve molecules.smi -m model -o hits.csv",
    ],
)
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("embed absent.smi -m MODEL -o z.npy", "absent.smi"),
        ("embed molecules.smi -m absent -o z.npy", "absent"),
        ("embed molecules.smi -m molecules.smi -o z.npy", "not a readable safetensors file"),
        ("embed molecules.csv -m MODEL -o z.npy --smiles wrong", "no column 'wrong'"),
        ("embed other.csv -m MODEL -o z.npy", "Name the column that holds the SMILES: --smiles '...'"),
        ("embed molecules.csv -m MODEL -o z.npy --keep wrong", "no column 'wrong'; its columns are ['Metadata_Name'"),
        ("embed broken.parquet -m MODEL -o z.npy", "broken.parquet"),
        ("embed broken.smi.gz -m MODEL -o z.npy", "broken.smi.gz"),
        ("embed molecules.doc -m MODEL -o z.npy", "molecules.doc"),
        ("embed empty.smi -m MODEL -o z.npy", "holds no rows"),
        ("embed empty.smi -m MODEL -o z.npy --shard 1/2", "holds no rows"),
        ("embed empty.csv -m MODEL -o z.parquet", "empty.csv"),
        ("embed molecules.smi -m MODEL -o molecules.smi/z.npy", "molecules.smi"),
        ("embed molecules.smi -m MODEL -o z.npy --device quantum", "quantum"),
        ("pretrain absent.parquet -o z.npy", "absent.parquet"),
        ("pretrain broken.parquet -o z.npy", "broken.parquet"),
        ("pretrain molecules.csv -o z.npy", "has no features"),
        ("pretrain unnamed.csv -o z.npy", "no row with a structure"),
        ("pretrain small.csv -o z.npy", "at least two different molecules"),
        ("pretrain invalid.csv -o z.npy", "not valid molecules"),
        ("retrieve molecules.smi molecules.csv -m MODEL -o hits.csv", "lacks 20"),
        ("retrieve molecules.smi molecules.csv -m MODEL -o hits.csv --id wrong", "no column 'wrong'"),
        ("info absent", "absent"),
        ("info broken.parquet", "broken.parquet"),
    ],
)
def test_bad_input(model, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write_molecules(tmp_path, ".smi")
    write_molecules(tmp_path, ".csv")
    for name, text in {
        "molecules.doc": "CCO",
        "broken.parquet": "PAR1",
        "broken.smi.gz": "\x1f\x8bCCO",
        "empty.smi": "",
        "empty.csv": "",
        "other.csv": "name,dose\nethanol,1\n",
        "unnamed.csv": "SMILES,a\n,1\n",
        "small.csv": "SMILES,a\nCCO,1\nOCC,2\n",
        "invalid.csv": "SMILES,a\nCCO,1\nxyz,2\n",
    }.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    before = sorted(tmp_path.iterdir())
    assert main(words.replace("MODEL", model).split()) == 1
    stderr = capsys.readouterr().err
    assert stderr.splitlines()[0].startswith("mocop: error: ")
    assert message in stderr
    assert sorted(tmp_path.iterdir()) == before


def test_output_stays_when_a_later_run_fails(model, tmp_path):
    out = tmp_path / "z.npy"
    out.write_text("precious")
    (tmp_path / "broken.csv").write_text('SMILES,b\nC,1\n"CC,2\n')
    assert main(["embed", str(tmp_path / "broken.csv"), "-m", model, "-o", str(out), "--batch-rows", "1"]) == 1
    assert out.read_text() == "precious"
