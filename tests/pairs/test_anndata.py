"""AnnData as a source of pairs, and as what pairs are written to; profiles of any numeric columns."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.pairs import pairs_from_anndata, pairs_to_anndata
from tests.helpers.platemaker import make_plate, write

anndata = pytest.importorskip("anndata")
MATRIX = np.array([[0.5, 1.0, 0.0], [1.5, 0.0, np.nan], [0.0, 2.0, 1.0]], dtype=np.float32)


@pytest.fixture
def data():
    """Wells of deep features, whose cells were counted."""
    obs = pd.DataFrame(
        {
            "smiles": pd.Series(["CCO", "CCN", "CCC"], ["a", "b", "c"], dtype=object),
            "Metadata_Plate": pd.Categorical(pd.Series(["p", "p", "q"], dtype=object)),
            "Metadata_Well": pd.Series(["A01", "A02", "A01"], ["a", "b", "c"], dtype=object),
            "n_cells": [100, 90, 80],
        },
        index=pd.Index(["a", "b", "c"], dtype=object),
    )
    var = pd.DataFrame(index=pd.Index(["dino_0", "dino_1", "dino_2"], dtype=object))
    return anndata.AnnData(MATRIX, obs=obs, var=var, layers={"doubled": 2 * MATRIX})


def test_every_variable_is_a_feature(data):
    pairs = pairs_from_anndata(data)
    assert pairs.molecules == ["CCO", "CCN", "CCC"]
    assert pairs.feature_names == ["dino_0", "dino_1", "dino_2"]
    np.testing.assert_array_equal(pairs.profiles, MATRIX)
    assert (pairs.plates.tolist(), pairs.wells.tolist()) == (["p", "p", "q"], ["A01", "A02", "A01"])
    np.testing.assert_array_equal(pairs_from_anndata(data, layer="doubled").profiles, 2 * MATRIX)
    data.X = sparse.csr_matrix(MATRIX)
    assert pairs_from_anndata(data, "smiles").digest == pairs.digest


def test_a_file_gives_the_same_pairs(data, tmp_path):
    data.write_h5ad(tmp_path / "wells.h5ad")
    assert PairedProfiles.from_file(tmp_path / "wells.h5ad").digest == pairs_from_anndata(data).digest


def test_there_and_back(data, tmp_path):
    pairs = pairs_from_anndata(data)
    again = pairs_from_anndata(pairs_to_anndata(pairs))
    assert again.digest == pairs.digest
    assert again.plates.tolist() == pairs.plates.tolist()
    pairs_to_anndata(pairs).write_h5ad(tmp_path / "pairs.h5ad")
    assert PairedProfiles.from_file(tmp_path / "pairs.h5ad").digest == pairs.digest
    bare = PairedProfiles(["CCO", "CCN"], np.eye(2), doses=[1, 10], sample_weight=[1, 2])
    written = pairs_to_anndata(bare)
    assert written.obs["Metadata_Dose"].tolist() == [1, 10]
    np.testing.assert_array_equal(pairs_from_anndata(written).profiles, np.eye(2))  # a dose is not a feature


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_stored_corpus_becomes_a_file(tmp_path, dtype):
    path = tmp_path / "P1.csv"
    make_plate("P1").to_csv(path, index=False)
    pairs = build_pairs(tmp_path / "store", [path], dtype=dtype)
    pairs_to_anndata(pairs).write_h5ad(tmp_path / "pairs.h5ad")
    again = PairedProfiles.from_file(tmp_path / "pairs.h5ad")
    assert again.molecules == pairs.molecules
    np.testing.assert_array_equal(again.profiles, pairs.profiles)


def test_anndata_that_cannot_be_read(data):
    with pytest.raises(TypeError, match="data must be an AnnData, got a DataFrame"):
        pairs_from_anndata(data.obs)
    with pytest.raises(ValueError, match=r"no matrix 'raw'; its layers are \['doubled'\]"):
        pairs_from_anndata(data, layer="raw")
    with pytest.raises(ValueError, match="AnnData has no column 'SMILES'"):
        pairs_from_anndata(data, "SMILES")
    with pytest.raises(ValueError, match='controls must be "keep" or "exclude", got 1'):
        pairs_from_anndata(data, controls=1)
    data.var_names = ["x", "y", "Metadata_Well"]
    with pytest.raises(ValueError, match=r"more than one column of the names \['Metadata_Well'\]"):
        pairs_from_anndata(data)


def test_wells_without_a_structure(data):
    data.obs["smiles"] = ["CCO", "", None]
    with pytest.warns(UserWarning, match="2 of 3 wells in 'AnnData' have no structure"):
        pairs = pairs_from_anndata(data)
    assert (pairs.molecules, pairs.plates.tolist()) == (["CCO"], ["p"])


def written(wells, path):
    """Write wells as AnnData, as :func:`make_plate` has them."""
    features = wells.filter(like="Cells_")
    obs = wells.drop(columns=features.columns).rename(
        columns={"Metadata_SMILES": "smiles", "Metadata_IsNegcon": "is_dmso"}
    )
    obs = obs.astype(dict.fromkeys(obs.select_dtypes(exclude="bool").columns, object)).set_index(
        wells.index.astype(str)
    )
    var = pd.DataFrame(index=pd.Index(features.columns, dtype=object))
    data = anndata.AnnData(features.to_numpy(), obs=obs.set_axis(obs.index.astype(object)), var=var)
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_plates_are_built_as_those_of_other_tables(tmp_path, suffix):
    plates = [make_plate("P1"), make_plate("P2")]
    others = [write(wells, tmp_path / f"{i}.{suffix}") for i, wells in enumerate(plates)]
    files = [written(wells, tmp_path / f"{i}.h5ad") for i, wells in enumerate(plates)]
    expected = build_pairs(tmp_path / "tables", others)
    pairs = build_pairs(tmp_path / "anndata", files, control_column="Metadata_is_dmso")
    np.testing.assert_allclose(pairs.read(), expected.read(), rtol=1e-3)  # half precision of numbers in text
    assert pairs.molecules == expected.molecules
    assert pairs.feature_names == expected.feature_names
    assert pairs.plates.tolist() == expected.plates.tolist()
    assert pairs.report_["fates"] == expected.report_["fates"]
    assert pairs.report_["controls"] == {"Metadata_is_dmso": 8}


def test_controls_of_anndata_are_found_by_the_structure(tmp_path):
    pairs = build_pairs(tmp_path / "pairs", [written(make_plate("P1"), tmp_path / "P1.h5ad")])
    assert pairs.report_["controls"] == {"structure is DMSO alone": 4}


def test_an_h5ad_that_is_none(tmp_path):
    (tmp_path / "P1.h5ad").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"P1.h5ad' cannot be read as a table"):
        build_pairs(tmp_path / "pairs", [tmp_path / "P1.h5ad"])
