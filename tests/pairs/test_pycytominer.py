"""Tables of pycytominer at each of its stages, and deep profiles, become corpora."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.cli import main
from tests.helpers.platemaker import MOLECULES, make_plate

EXACT = {"dtype": "float32", "clip": None}
PLATES = ("P1", "P2")
STAGES = {
    "normalized_negcon": ["normalized", "negcon"],
    "normalized_feature_select_negcon_plate": ["normalized", "feature_select", "negcon", "plate"],
}


@pytest.fixture(scope="module")
def folder(pycytominer, tmp_path_factory):
    """Files as Broad's profiling recipe names them; the first feature is constant, the last one repeats another."""
    folder = tmp_path_factory.mktemp("profiles")
    normalized = []
    for plate in PLATES:
        wells = make_plate(plate, MOLECULES * 2, n_controls=16, n_features=8)
        wells = wells.drop(columns="Metadata_IsNegcon").assign(Cells_f0=1.0, Cells_f7=2 * wells["Cells_f6"])
        wells["Metadata_broad_sample"] = np.where(wells["Metadata_SMILES"] == "CS(C)=O", "DMSO", "BRD-1")
        wells["Metadata_ObjectNumber_mean"] = 5.0
        wells.to_csv(folder / f"{plate}_augmented.csv.gz", index=False)
        controls = "Metadata_broad_sample == 'DMSO'"
        pycytominer.normalize(
            wells,
            samples=controls,
            method="mad_robustize",
            output_file=folder / f"{plate}_normalized_negcon.csv.gz",
        )
        normalized.append(
            pd.read_csv(folder / f"{plate}_normalized_negcon.csv.gz", compression=None)
        )  # as it writes it
        pycytominer.feature_select(
            normalized[-1],
            operation=["variance_threshold", "correlation_threshold"],
            output_file=folder / f"{plate}_normalized_feature_select_negcon_plate.csv.gz",
            compression_options="gzip",
        )
    compounds = pycytominer.consensus(
        pd.concat(normalized), replicate_columns=["Metadata_broad_sample", "Metadata_SMILES"]
    )
    compounds.to_csv(folder / "compounds.csv", index=False)
    return folder


def rows(path):
    """Treated wells of a file, in order."""
    wells = pd.read_csv(path, compression="gzip" if "feature_select" in path.name else None)
    return wells[wells["Metadata_SMILES"] != "CS(C)=O"].filter(like="Cells_")


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_normalised_is_not_normalised_again(folder, tmp_path, stage):
    files = [folder / f"{plate}_{stage}.csv.gz" for plate in PLATES]
    pairs = build_pairs(tmp_path / "pairs", files, **EXACT)
    expected = pd.concat([rows(file) for file in files])
    assert pairs.feature_names == list(expected.columns)
    np.testing.assert_array_equal(pairs.read(), expected.to_numpy(np.float32))
    assert pairs.provenance["normalization"] == {"method": "none", "done_before": STAGES[stage]}
    assert pairs.report_["controls"] == {"Metadata_broad_sample is DMSO": 32, "structure is DMSO alone": 32}
    assert pairs.report_["fates"]["control"] == 32
    assert len(set(pairs.plates.tolist())) == 2


def test_features_are_selected(folder):
    names = [rows(folder / f"{plate}_normalized_feature_select_negcon_plate.csv.gz").columns for plate in PLATES]
    assert all("Cells_f0" not in columns for columns in names)
    assert all(len({"Cells_f6", "Cells_f7"} & set(columns)) == 1 for columns in names)


def test_our_normalisation_does_not_depend_on_that_of_pycytominer(folder, tmp_path):
    """Scaling on controls undoes any scaling of a plate before, so that either stage gives the same corpus."""
    raw = build_pairs(tmp_path / "raw", [folder / f"{p}_augmented.csv.gz" for p in PLATES], **EXACT)
    again = build_pairs(
        tmp_path / "again", [folder / f"{p}_normalized_negcon.csv.gz" for p in PLATES], normalizer="robust", **EXACT
    )
    assert raw.provenance["normalization"]["method"] == again.provenance["normalization"]["method"] == "robust"
    varying = slice(1, None)
    np.testing.assert_allclose(raw.read()[:, varying], again.read()[:, varying], rtol=1e-4, atol=1e-4)


def test_consensus_profiles(folder, tmp_path, capsys):
    """A row per compound: no plates, and one control."""
    file, store = str(folder / "compounds.csv"), str(tmp_path / "pairs")
    assert main(["build", file, "-o", store, "-q"]) == 1
    assert "are stored as they are with --no-normalize" in capsys.readouterr().err
    assert main(["build", file, "-o", store, "-q", "--no-normalize", "--dtype", "float32"]) == 0
    pairs = PairedProfiles.open(store)
    assert sorted(pairs.molecules) == sorted(MOLECULES)
    compounds = pd.read_csv(file).set_index("Metadata_SMILES").filter(like="Cells_")
    np.testing.assert_array_equal(pairs.read(), compounds.loc[pairs.molecules].to_numpy(np.float32))
    assert pairs.report_["fates"]["control"] == 1


@pytest.mark.parametrize(
    ("name", "is_normalised"),
    [
        ("P1_normalized.csv", True),
        ("P1_normalized_dmso.csv.gz", True),
        ("P1_normalized_feature_select.parquet", True),
        ("P1.csv", False),
        ("P1_augmented.csv", False),
        ("P1_not_normalized.csv", False),
        ("P1_normalized_by_hand.csv", False),
        ("normalized.csv", False),
    ],
)
def test_names_that_are_recognised(tmp_path, name, is_normalised):
    wells = make_plate("P1")
    path = tmp_path / name
    wells.to_parquet(path) if path.suffix == ".parquet" else wells.to_csv(path, index=False)
    method = build_pairs(tmp_path / "pairs", [path]).provenance["normalization"]["method"]
    assert method == ("none" if is_normalised else "robust")


def test_some_normalised_and_some_not(tmp_path):
    files = [tmp_path / "P1_normalized.csv", tmp_path / "P2.csv"]
    for file in files:
        make_plate(file.stem[:2]).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"'P1_normalized.csv' and 'P2.csv' differ in what was done"):
        build_pairs(tmp_path / "pairs", files)


@pytest.mark.parametrize("name", ["{}", "embedding_{}", "efficientnet_{}", "CPCNN_{}"])
def test_deep_profiles_are_any_numeric_columns(tmp_path, tiny, name):
    """DINO, DeepProfiler and CPCNN name their columns as they like; the values are as those of CellProfiler."""
    wells = make_plate("P1", MOLECULES * 3, n_features=6)
    expected = build_pairs(tmp_path / "cellprofiler", [_written(wells, tmp_path / "a.parquet")], **EXACT)
    deep = wells.rename(columns={f"Cells_f{i}": name.format(i) for i in range(6)})
    pairs = build_pairs(tmp_path / "deep", [_written(deep, tmp_path / "b.parquet")], **EXACT)
    assert pairs.feature_names == [name.format(i) for i in range(6)]
    np.testing.assert_array_equal(pairs.read(), expected.read())
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 0}, pairs=pairs).fit(pairs.molecules)
    assert embedder.model_.profile_features == pairs.feature_names


def _written(frame, path):
    frame.to_parquet(path)
    return path


def test_deep_profiles_beside_those_of_cellprofiler(tmp_path):
    wells = make_plate("P1").assign(dino_0=np.arange(10.0), dino_1=np.arange(10.0) ** 2)
    pairs = build_pairs(tmp_path / "pairs", [_written(wells, tmp_path / "wells.parquet")], features=["dino_*"])
    assert pairs.feature_names == ["dino_0", "dino_1"]
