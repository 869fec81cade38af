"""Corpora from tables of wells."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.pairs._reading import open_pairs, read_pairs
from tests.helpers.wells import labelled


@pytest.fixture
def wells():
    return pd.DataFrame(
        {
            "Metadata_Plate": ["p1", "p1", "p2", "p2"],
            "Metadata_SMILES": ["CCO", None, "CCN", " "],
            "Metadata_Dose": [1.0, 2.0, 3.0, 4.0],
            "Cells_Area": [0.5, 1.5, np.nan, 3.5],
            "Nuclei_Count": [10, 20, 30, 40],
            "comment": ["", "x", "", ""],
        }
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "tsv"])
def test_from_file(tmp_path, wells, suffix):
    path = tmp_path / f"wells.{suffix}"
    if suffix == "parquet":
        wells.to_parquet(path)
    else:
        wells.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    with pytest.warns(UserWarning, match=r"2 of 4 wells in .* have no structure and are left out"):
        pairs = PairedProfiles.from_file(path)
    assert pairs.molecules == ["CCO", "CCN"]
    assert pairs.feature_names == ["Cells_Area", "Nuclei_Count"]
    np.testing.assert_array_equal(pairs.profiles, np.array([[0.5, 10], [np.nan, 30]], dtype=np.float32))
    expected = PairedProfiles(["CCO", "CCN"], wells.loc[[0, 2], ["Cells_Area", "Nuclei_Count"]])
    assert pairs.digest == expected.digest


@pytest.mark.parametrize("column", ["smiles", "SMILES", "canonical_smiles", "Metadata_InChI", "InChI"])
def test_from_file_finds_the_structures(tmp_path, wells, column):
    wells.rename(columns={"Metadata_SMILES": column}).iloc[[0, 2]].to_csv(tmp_path / "wells.csv", index=False)
    assert PairedProfiles.from_file(tmp_path / "wells.csv").molecules == ["CCO", "CCN"]


def test_from_file_with_columns_by_name(tmp_path, wells):
    path = tmp_path / "wells.csv"
    wells.rename(columns={"Metadata_SMILES": "structure"}).iloc[[0, 2]].to_csv(path, index=False)
    pairs = PairedProfiles.from_file(path, smiles="structure", features=["Nuclei_Count"])
    assert pairs.molecules == ["CCO", "CCN"]
    assert pairs.profiles.tolist() == [[10], [30]]
    with pytest.raises(ValueError, match=r"has no feature \['Cells_Volume'\]"):
        PairedProfiles.from_file(path, smiles="structure", features=["Nuclei_Count", "Cells_Volume"])
    with pytest.raises(ValueError, match=r"has no column 'SMILES'.*structure"):
        PairedProfiles.from_file(path, smiles="SMILES")
    with pytest.warns(UserWarning, match="They are read from the column 'structure', whose values are molecules"):
        assert PairedProfiles.from_file(path, features=["Nuclei_Count"]).digest == pairs.digest
    wells.drop(columns="Metadata_SMILES").to_csv(path, index=False)
    with pytest.raises(ValueError, match="Name the column that holds the SMILES"):
        PairedProfiles.from_file(path)


def test_from_file_that_cannot_serve(tmp_path, wells):
    with pytest.raises(FileNotFoundError, match="No table at"):
        PairedProfiles.from_file(tmp_path / "none.csv")
    path = tmp_path / "empty.csv"
    wells.assign(Metadata_SMILES="").to_csv(path, index=False)
    with pytest.raises(ValueError, match="no row with a structure"):
        PairedProfiles.from_file(path)
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        PairedProfiles.from_file(path)
    path = tmp_path / "wells.xlsx"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"its name does not end in .parquet, .csv, .tsv or .h5ad"):
        PairedProfiles.from_file(path)
    path = tmp_path / "labels.csv"
    wells[["Metadata_SMILES", "comment"]].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"has no features\. Its other columns"):
        PairedProfiles.from_file(path)


def test_from_file_with_nullable_columns(tmp_path):
    frame = pd.DataFrame({"SMILES": ["C", "CC"], "a": [1.5, None], "b": [2, 3]}).convert_dtypes()
    frame.to_parquet(tmp_path / "wells.parquet")
    pairs = PairedProfiles.from_file(tmp_path / "wells.parquet")
    np.testing.assert_array_equal(pairs.profiles, [[1.5, 2], [np.nan, 3]])


def test_read_pairs_stacks_files(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.parquet"
    pd.DataFrame({"SMILES": ["C", "CC"], "Cells_a": [1, 2], "Cells_b": [3, 4], "x": [5, 6]}).to_csv(first, index=False)
    pd.DataFrame({"x": [9], "Cells_b": [8], "Cells_a": [7], "y": [0], "smiles": ["N"]}).to_parquet(second)
    pairs = read_pairs([first, second], features=["x", "Cells_*"])
    assert pairs.molecules == ["C", "CC", "N"]
    assert pairs.feature_names == ["Cells_a", "Cells_b", "x"]
    assert pairs.profiles.tolist() == [[1, 3, 5], [2, 4, 6], [7, 8, 9]]
    assert read_pairs([first, second], columns="intersection").digest == pairs.digest
    assert read_pairs([first]).digest == PairedProfiles.from_file(first).digest
    with pytest.raises(ValueError, match=r"first.csv' lacks 1 feature columns that another file has: \['y'\]"):
        read_pairs([first, second])
    with pytest.raises(ValueError, match=r"first.csv' has no feature \['y'\]"):
        read_pairs([first, second], features=["x", "y"])
    pd.DataFrame({"smiles": ["N"], "z": [1.0]}).to_parquet(second)
    with pytest.raises(ValueError, match="no feature column in common"):
        read_pairs([first, second], columns="intersection")


def test_open_pairs_takes_tables_and_stores(tmp_path):
    molecules, frame, _, _ = labelled()
    path = tmp_path / "wells.parquet"
    frame.assign(Metadata_SMILES=molecules).to_parquet(path)
    stored = build_pairs(tmp_path / "pairs", [path], normalizer="passthrough", dtype="float32")
    for name in (tmp_path / "pairs", str(tmp_path / "pairs")):
        assert open_pairs(name).digest == stored.digest == PairedProfiles.open(name).digest
    table = open_pairs(path)
    assert table.digest == PairedProfiles.from_file(path).digest
    assert table.sources.tolist() == frame["Metadata_Source"].tolist()
    assert table.molecules == molecules
    np.testing.assert_array_equal(table.profiles, stored.profiles)
    with pytest.raises(FileNotFoundError, match="No table at"):
        open_pairs(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="holds no stored pairs"):
        open_pairs(tmp_path)


def test_read_pairs_keeps_the_labels_that_all_files_have(tmp_path):
    paths = []
    for i in range(2):
        molecules, frame, _, _ = labelled(seed=i)
        frame = frame.assign(Metadata_SMILES=molecules, Metadata_Plate=f"P{i}")
        paths.append(tmp_path / f"{i}.parquet")
        (frame if i else frame.drop(columns="Metadata_Batch")).to_parquet(paths[-1])
    pairs = read_pairs(paths)
    assert pairs.plates.tolist() == ["P0"] * 12 + ["P1"] * 12
    assert pairs.sources[12:].tolist() == frame["Metadata_Source"].tolist()
    assert pairs.batches is None
