"""``mocop retrieve``: molecules near profiles, and profiles near molecules."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import main
from tests.helpers.command_line import BAD, MOLECULES, write_molecules


class TestRetrieve:
    @pytest.fixture
    def table(self, wells, tmp_path):
        path = tmp_path / "profiles.parquet"
        wells.iloc[:7].assign(unrelated=1.0).to_parquet(path)
        return str(path)

    @pytest.mark.parametrize("suffix", [".smi", ".csv"])
    def test_equals_cosines(self, wells, model, table, tmp_path, suffix):
        path, out = write_molecules(tmp_path, suffix), tmp_path / "hits.csv"
        words = ["--id", "Metadata_Well", "Metadata_Plate", "--batch-rows", "4", "-k", "4"]
        assert main(["retrieve", path, table, "-m", model, "-o", str(out), *words]) == 0
        hits = pd.read_csv(out)
        names = ["name"] if suffix == ".smi" else []
        ids = ["Metadata_Well", "Metadata_Plate"]
        assert hits.columns.tolist() == ["query", "rank", "row", "smiles", *names, *ids, "similarity"]
        assert hits["query"].tolist() == np.repeat(np.arange(7), 4).tolist()
        for name in ids:
            assert hits[name].tolist() == wells[name].iloc[:7].repeat(4).tolist()
        assert hits["rank"].tolist() == [1, 2, 3, 4] * 7

        # without --id a query is the number of its row, whatever index pandas has stored
        wells.iloc[:7].set_axis([5, 5, 3, 2, 1, 0, 9]).to_parquet(tmp_path / "shuffled.parquet")
        words = ["retrieve", path, str(tmp_path / "shuffled.parquet"), "-m", model, "-o", str(out), "-k", "4"]
        assert main(words) == 0
        assert pd.read_csv(out)["query"].tolist() == np.repeat(np.arange(7), 4).tolist()

        embedder = MoCoPEmbedder.load(model, output="projection")
        library = [i for i in range(len(MOLECULES)) if i not in BAD and MOLECULES[i] not in MOLECULES[:i]]
        queries = embedder.transform_profiles(wells.iloc[:7, -20:])
        similarity = queries @ embedder.transform([MOLECULES[i] for i in library]).T
        assert hits["smiles"].tolist() == [MOLECULES[i] for i in hits["row"]]
        chosen = np.searchsorted(library, hits["row"].to_numpy().reshape(7, 4))
        np.testing.assert_allclose(np.take_along_axis(similarity, chosen, 1), np.sort(similarity)[:, :-5:-1], atol=1e-5)
        np.testing.assert_allclose(hits["similarity"], np.sort(similarity)[:, :-5:-1].ravel(), atol=1e-5)

    def test_the_reverse(self, wells, model, table, tmp_path):
        pd.DataFrame({"id": range(11), "SMILES": MOLECULES}).to_csv(tmp_path / "m.csv", index=False)
        words = ["retrieve", str(tmp_path / "m.csv"), table, "-m", model, "-o", str(tmp_path / "hits.csv"), "-q"]
        assert main([*words, "--query", "molecules", "--keep", "id", "--id", "Metadata_Well", "-k", "2"]) == 0
        hits = pd.read_csv(tmp_path / "hits.csv")
        assert hits.columns.tolist() == ["query", "rank", "row", "smiles", "id", "Metadata_Well", "similarity"]
        library = [i for i in range(len(MOLECULES)) if i not in BAD and MOLECULES[i] not in MOLECULES[:i]]
        assert hits["query"].tolist() == hits["id"].tolist() == np.repeat(library, 2).tolist()
        assert hits["Metadata_Well"].tolist() == wells["Metadata_Well"].iloc[hits["row"]].tolist()
        embedder = MoCoPEmbedder.load(model, output="projection")
        z = embedder.transform([MOLECULES[i] for i in library])
        similarity = np.sort(z @ embedder.transform_profiles(wells.iloc[:7, -20:]).T)[:, :-3:-1]
        np.testing.assert_allclose(hits["similarity"], similarity.ravel(), atol=1e-5)

    def test_two_columns_of_one_name(self, model, table, tmp_path, capsys):
        words = ["retrieve", write_molecules(tmp_path, ".csv"), table, "-m", model, "-o", str(tmp_path / "hits.csv")]
        assert main([*words, "--keep", "Metadata_Name", "--id", "Metadata_Name"]) == 1
        assert "two columns called 'Metadata_Name': leave it out of --keep or --id" in capsys.readouterr().err

    def test_the_names_of_molecules_and_a_column_of_that_name(self, wells, model, tmp_path, capsys):
        wells.iloc[:3].assign(name="a").to_parquet(tmp_path / "named.parquet")
        path, out = write_molecules(tmp_path, ".smi"), str(tmp_path / "hits.csv")
        assert main(["retrieve", path, str(tmp_path / "named.parquet"), "-m", model, "-o", out, "--id", "name"]) == 1
        assert "two columns called 'name': leave it out of --keep or --id" in capsys.readouterr().err

    def test_empty_profiles_and_small_library(self, wells, model, tmp_path, capsys):
        path, out = write_molecules(tmp_path, ".smi"), tmp_path / "hits.parquet"
        profiles = wells.iloc[:3].copy()
        profiles.iloc[1, -20:] = np.nan
        profiles.to_csv(tmp_path / "profiles.csv", index=False)
        assert main(["retrieve", path, str(tmp_path / "profiles.csv"), "-m", model, "-o", str(out), "-k", "99"]) == 0
        hits = pd.read_parquet(out)
        assert hits["query"].unique().tolist() == [0, 2]
        assert (hits.groupby("query").size() == 7).all()
        assert "1 of 3 profiles" in capsys.readouterr().err

    def test_lacking_features(self, wells, model, tmp_path, capsys):
        wells.iloc[:, :-1].to_parquet(tmp_path / "profiles.parquet")
        path = write_molecules(tmp_path, ".smi")
        command = ["retrieve", path, str(tmp_path / "profiles.parquet"), "-m", model, "-o", str(tmp_path / "hits.csv")]
        assert main(command) == 1
        message = capsys.readouterr().err
        assert "profiles.parquet" in message
        assert wells.columns[-1] in message
