"""Data that come with the package, beside the tables that they were made from."""

import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import bundle_data
import numpy as np
import pandas as pd
import pytest

from mocop_sklearn.datasets import load_biogen_adme, load_comas
from mocop_sklearn.molecules import canonical_smiles

SHARED = Path(__file__).parents[3] / "shared" / "data"
BUNDLED = files("mocop_sklearn.datasets") / "data"


def source(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data")
    return path


@pytest.mark.parametrize("load", [load_comas, load_biogen_adme])
def test_all_rows_are_molecules_and_the_licence_is_stated(load):
    data = load()
    assert None not in canonical_smiles(data.smiles.tolist())
    assert "Licence: MIT" in data.DESCR
    assert "Licences of the bundled data" in (BUNDLED / "LICENSES.md").read_text()


def test_comas_has_the_shapes_and_values_of_its_description():
    data = load_comas()
    assert data.profiles.shape == (1759, 579) == (len(data.smiles), len(data.feature_names))
    assert data.profiles.dtype == np.float32
    assert np.isfinite(data.profiles).all()
    assert len(set(data.smiles)) == 711
    assert data.profiles.max() == pytest.approx(4590, rel=5e-4)
    libraries, counts = np.unique(data.metadata["Metadata_Dataset"], return_counts=True)
    assert dict(zip(libraries.tolist(), counts.tolist(), strict=True)) == {"dcm_2024": 966, "pnp_2021": 793}
    stated = data.metadata["Metadata_Plate"] != ""
    np.testing.assert_array_equal(stated, data.metadata["Metadata_Dataset"] == "pnp_2021")


def test_comas_is_its_source_up_to_half_precision():
    wells = pd.read_parquet(source("comas_profiles.parquet"))
    data = load_comas(as_frame=True)
    np.testing.assert_allclose(data.profiles, wells[data.feature_names], rtol=2**-11, atol=2**-25)
    for name in ("Metadata_SMILES", "Metadata_Dataset", "Metadata_Well_Id", "Metadata_Compound_Id", "Metadata_Toxic"):
        np.testing.assert_array_equal(data.metadata[name], wells[name])
    for name in ("Metadata_Plate", "Metadata_Well"):
        np.testing.assert_array_equal(data.metadata[name], wells[name].fillna(""))
    for name in ("Metadata_Run", "Metadata_Induction", "Metadata_Rel_Cell_Count"):
        np.testing.assert_array_equal(data.metadata[name], wells[name].astype(float))


def test_biogen_is_its_source():
    table = pd.read_parquet(source("bioactivity/adme_biogen6.parquet"))
    data = load_biogen_adme()
    np.testing.assert_array_equal(data.smiles, table["smiles"])
    np.testing.assert_array_equal(data.split, table["split"])
    np.testing.assert_array_equal(data.target, table[data.target_names])


def test_biogen_has_the_counts_of_its_description():
    data = load_biogen_adme()
    measured = dict(zip(data.target_names, (~np.isnan(data.target)).sum(axis=0).tolist(), strict=True))
    assert measured == {"HLM": 3087, "RLM": 3054, "MDR1_ER": 2642, "Sol": 2173, "hPPB": 194, "rPPB": 168}
    assert {part: int((data.split == part).sum()) for part in ("train", "valid", "test")} == {
        "train": 2112, "valid": 528, "test": 881,
    }  # fmt: skip


@pytest.mark.parametrize("endpoint", ["HLM", "rPPB"])
def test_one_endpoint_has_the_measured_molecules_only(endpoint):
    every, one = load_biogen_adme(), load_biogen_adme(endpoint=endpoint)
    column = every.target[:, every.target_names.index(endpoint)]
    measured = ~np.isnan(column)
    np.testing.assert_array_equal(one.target, column[measured])
    np.testing.assert_array_equal(one.smiles, every.smiles[measured])
    np.testing.assert_array_equal(one.split, every.split[measured])
    assert one.target_names == [endpoint]


def test_an_unknown_endpoint_is_named():
    with pytest.raises(ValueError, match=r"endpoint.*'HLM'.*Got 'hlm'"):
        load_biogen_adme(endpoint="hlm")


@pytest.mark.parametrize("load", [load_comas, load_biogen_adme])
def test_the_same_data_as_a_pair_and_as_frames(load):
    data, framed = load(), load(as_frame=True)
    values = data.get("profiles", data.get("target"))
    smiles, y = load(return_X_y=True)
    np.testing.assert_array_equal(smiles, data.smiles)
    np.testing.assert_array_equal(y, values)
    series, frame = load(return_X_y=True, as_frame=True)
    assert (series.name, list(series)) == ("smiles", data.smiles.tolist())
    np.testing.assert_array_equal(frame, values)
    assert list(frame.columns) == data.get("feature_names", data.get("target_names"))
    assert set(frame.columns) < set(framed.frame.columns)
    assert len(framed.frame) == len(smiles)


def test_one_endpoint_as_frame_is_a_series():
    data = load_biogen_adme(endpoint="Sol", as_frame=True)
    assert data.target.name == "Sol"
    assert list(data.frame.columns) == ["smiles", "Sol", "split"]


def test_without_pandas_arrays_load_and_frames_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(load_comas().smiles) == 1759
    with pytest.raises(ImportError, match=r"mocop-sklearn\[data\]"):
        load_biogen_adme(as_frame=True)


@pytest.mark.slow
def test_the_script_writes_the_bundled_arrays_and_the_same_bytes_each_time(tmp_path, monkeypatch):
    tables = [str(source("comas_profiles.parquet")), str(source("bioactivity/adme_biogen6.parquet"))]
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        monkeypatch.setattr(sys, "argv", ["bundle_data.py", *tables, "--to", str(folder)])
        bundle_data.main()
    for name in ("comas.npz", "biogen_adme.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        with zipfile.ZipFile(tmp_path / "a" / name) as made, zipfile.ZipFile(BUNDLED / name) as bundled:
            assert made.namelist() == bundled.namelist()
            assert all(made.read(member) == bundled.read(member) for member in made.namelist())


def test_the_bundled_data_are_small():
    assert sum(len(path.read_bytes()) for path in BUNDLED.iterdir()) < 3 * 2**20
