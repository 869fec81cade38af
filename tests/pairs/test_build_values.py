"""``build_pairs``: the stored values, by hand and against the normaliser."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.profiles import ProfileNormalizer
from tests.helpers.platemaker import (
    DMSO,
    MOLECULES,
    contents,
    features,
    make_plate,
    normalized,
    write,
)


def treated(frame):
    return frame[~frame["Metadata_IsNegcon"]]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-3)])
@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "tsv"])
def test_every_row_is_as_by_hand(build, suffix, dtype, tolerance):
    frames = [
        make_plate("P1", Metadata_Dose=np.arange(1.0, 11), Metadata_Share=0.5),
        make_plate("P2", MOLECULES[::-1], Metadata_Dose=7, Metadata_Share=np.arange(10) % 3),
    ]
    columns = {"dose_column": "Metadata_Dose", "weight_column": "Metadata_Share"}
    pairs = build(*frames, suffix=suffix, dtype=dtype, **columns)
    expected = np.vstack([normalized(frame)[4:] for frame in frames])
    assert np.abs(expected).max() < 100
    np.testing.assert_allclose(pairs.profiles, expected, rtol=tolerance, atol=tolerance)
    assert pairs.profiles.dtype == np.float32
    rows = pd.concat([treated(frame) for frame in frames])
    assert pairs.molecules == rows["Metadata_SMILES"].tolist()
    assert pairs.feature_names == [f"Cells_f{i}" for i in range(5)]
    assert pairs.plates.tolist() == ["s1/b1/P1"] * 6 + ["s1/b1/P2"] * 6
    assert pairs.wells.tolist() == rows["Metadata_Well"].tolist()
    assert set(pairs.sources) == {"s1"}
    assert set(pairs.batches) == {"b1"}
    np.testing.assert_array_equal(pairs.doses, rows["Metadata_Dose"].astype("f4"))
    np.testing.assert_array_equal(pairs.sample_weight, rows["Metadata_Share"].astype("f4"))


def test_agrees_with_the_normalizer(build):
    frame = make_paired_profiles(
        n_molecules=30, n_features=12, n_replicates=2, outlier_fraction=0.05, missing_fraction=0.02, as_frame=True,
        random_state=0,
    ).frame  # fmt: skip
    names = [c for c in frame if not c.startswith("Metadata_")]
    with pytest.warns(UserWarning, match=r"of the values were clipped at 3.0: normalise them, or raise clip"):
        pairs = build(frame, dtype="float32", clip=3.0)
    Z = ProfileNormalizer().fit_transform(frame)[~frame["Metadata_IsNegcon"]]
    np.testing.assert_array_equal(pairs.profiles, np.clip(Z, -3, 3))
    assert pairs.feature_names == names
    assert pairs.report_["values_clipped"] == (np.abs(Z) > 3).sum()
    assert pairs.report_["values_missing"] == np.isnan(Z).sum() > 0


def test_plates_in_one_file_are_as_in_files_of_their_own(build):
    frames = [make_plate(f"P{i}") for i in range(3)]
    apart, together = build(*frames), build(pd.concat(frames, ignore_index=True))
    assert apart.digest == together.digest
    assert apart.report_ | {"files": 1} == together.report_
    mixed = pd.concat(frames).sample(frac=1, random_state=0)
    shuffled = build(mixed)
    order, own = (np.lexsort([pairs.wells, pairs.plates]) for pairs in (apart, shuffled))
    np.testing.assert_array_equal(apart.profiles[order], shuffled.profiles[own])
    assert apart[order].molecules == shuffled[own].molecules


def test_a_plate_of_which_nothing_is_stored_needs_no_controls(build):
    frames = [make_plate("P1", Metadata_Kind="A"), make_plate("P2", n_controls=0, Metadata_Kind="B")]
    keep = {"keep": {"Metadata_Kind": ["A"]}}
    apart, together = build(*frames, **keep), build(pd.concat(frames, ignore_index=True), **keep)
    assert apart.digest == together.digest
    assert together.report_["fates"]["not_kept"] == 6


EXTREMES = [335_200.0, -335_200.0, 1e30, -1e30, np.inf, -np.inf, np.nan, 99.0, 100.5, 1e-9]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("clip", [100.0, 60_000.0])
def test_extremes_are_clipped_and_counted(build, dtype, clip):
    frame = make_plate("P1", ("CCO",) * len(EXTREMES))
    frame["Cells_f0"] = np.array([-1, -1, 1, 1, *EXTREMES])  # median 0, quartiles -1 and 1
    with pytest.warns(UserWarning, match="values were clipped"):
        pairs = build(frame, dtype=dtype, clip=clip)
    values = np.array(EXTREMES) / 2
    expected = np.where(np.isfinite(values), np.clip(values, -clip, clip), np.nan)
    np.testing.assert_allclose(pairs.profiles[:, 0], expected, rtol=1e-3, atol=1e-7)
    assert np.isnan(pairs.profiles[:, 0]).sum() == 3
    assert pairs.report_["values_clipped"] == (np.abs(values[np.isfinite(values)]) > clip).sum()
    assert pairs.report_["values_missing"] == 3


def test_what_float32_cannot_hold_is_missing(build):
    frame = make_plate("P1").astype({"Cells_f0": float})
    frame["Cells_f0"] = [0.0, 0.001, 0.001, 0.002, 3e38, 1e300, 0.001, 0.002, 0.001, 0.0]
    pairs = build(frame, dtype="float32", clip=None)
    np.testing.assert_allclose(pairs.profiles[:, 0], [np.nan, np.nan, 0, 2, 0, -2], atol=1e-5)


def test_no_clip(build):
    frame = make_plate("P1")
    frame["Cells_f0"] = np.array([-1, -1, 1, 1, 2e6, 4, 6, 8, 10, 12])
    pairs = build(frame, dtype="float32", clip=None)
    assert pairs.profiles[:, 0].tolist() == [1e6, 2, 3, 4, 5, 6]
    assert pairs.report_["values_clipped"] == 0


def test_passthrough_stores_the_values(build):
    frame = make_plate("P1", n_controls=0)
    pairs = build(frame, dtype="float32", normalizer="passthrough")
    np.testing.assert_array_equal(pairs.profiles, features(frame))


def test_columns_of_many_types(build):
    frame = make_plate("P1")
    expected = build(frame, dtype="float32", normalizer="passthrough")
    typed = frame.astype({"Cells_f0": "Float32", "Cells_f1": object, "Metadata_Plate": "category",
                          "Metadata_SMILES": "category", "Metadata_Well": "string"})  # fmt: skip
    assert build(typed, dtype="float32", normalizer="passthrough").digest == expected.digest
    for values, dtype in [([1, None, *range(8)], "Int64"), ([None] * 10, "object")]:
        column = pd.Series(values, dtype=dtype)
        pairs = build(frame.assign(Cells_f0=column), dtype="float32", normalizer="passthrough")
        expected = [np.nan if value is pd.NA or value is None else float(value) for value in list(column)[4:]]
        np.testing.assert_array_equal(pairs.profiles[:, 0], expected)
    flags = pd.Series([True, False] * 5, dtype="boolean")
    pairs = build(frame.assign(Cells_f0=flags), dtype="float32", normalizer="passthrough")
    assert pairs.feature_names == ["Cells_f1", "Cells_f2", "Cells_f3", "Cells_f4"]
    assert pairs.report_["features_left_out"] == {"Cells_f0": "bool"}


def test_chosen_features(build):
    frame = make_plate("P1").assign(Nuclei_a=1.0, comment="text", PlateType="X")
    pairs = build(frame, features=["Nuclei_*", "Cells_f3"], normalizer="passthrough", keep={"PlateType": ["X"]})
    assert pairs.feature_names == ["Cells_f3", "Nuclei_a"]
    assert pairs.report_["features_read"] == pairs.report_["features"] == 2


def test_controls_can_be_kept(build):
    frame = make_plate("P1")
    pairs = build(frame, controls="keep", dtype="float32")
    assert pairs.molecules == [DMSO] * 4 + list(MOLECULES)
    np.testing.assert_allclose(pairs.profiles, normalized(frame), rtol=1e-5, atol=1e-6)


def test_the_path_and_its_parents_are_made_and_nothing_else(tmp_path):
    file = write(make_plate(), tmp_path / "P1.parquet")
    path = tmp_path / "a" / "b" / "store"
    pairs = build_pairs(str(path), [str(file)])
    assert [p.name for p in path.parent.iterdir()] == ["store"]
    assert sorted(contents(path)) == ["header.json", "profiles.npy", "wells.npz"]
    assert pairs.digest == PairedProfiles.open(path).digest
