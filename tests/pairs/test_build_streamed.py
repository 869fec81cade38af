"""``build_pairs`` of parquet files that are stored as they are: read a block at a time, with the same result."""

import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.profiles import ProfileFilter
from tests.helpers.platemaker import make_plate

N_FEATURES = 140  # more than are read side by side
ASSEMBLED = "profiles_var_mad_int_featselect_harmony.parquet"


def wells(n_features=N_FEATURES):
    """Thirty-four wells, one of which has no value, with values that are missing, infinite or large."""
    frame = pd.concat([make_plate(f"P{i}", n_features=n_features, seed=i) for i in range(3)], ignore_index=True)
    frame = frame.assign(Metadata_Dose=np.arange(len(frame)) + 0.5, Metadata_Share=1.0)
    features = frame.columns.str.startswith("Cells_")
    frame.loc[5, features] = np.nan
    frame.loc[6, "Cells_f3"] = np.inf
    frame.loc[7, "Cells_f0"] = np.nan
    frame.loc[8, ["Cells_f1", f"Cells_f{n_features - 1}"]] = 1e4, -1e4
    return frame


OPTIONS = {"normalizer": None, "dose_column": "Metadata_Dose", "weight_column": "Metadata_Share", "clip": 5e3}


def as_lists(frame, kind):
    """The profiles in one column of lists."""
    lists = pa.array([row if np.isfinite(row).any() else None for row in frame.filter(like="Cells_").to_numpy()], kind)
    others = frame.loc[:, ~frame.columns.str.startswith("Cells_")]
    return pa.Table.from_pandas(others, preserve_index=False).append_column("embedding", lists)


@pytest.mark.parametrize(
    "options", [{}, {"dtype": "float32", "max_wells": 2}, {"feature_filter": ProfileFilter(max_std=None)}]
)
@pytest.mark.parametrize("row_group_size", [7, 1000])
def test_as_from_a_text_file(tmp_path, options, row_group_size):
    frame = wells()
    frame.to_csv(tmp_path / "wells.csv", index=False)
    frame.to_parquet(tmp_path / "wells.parquet", row_group_size=row_group_size)
    read, streamed = (
        build_pairs(tmp_path / suffix, [tmp_path / f"wells.{suffix}"], **OPTIONS | options)
        for suffix in ("csv", "parquet")
    )
    assert streamed.report_ == read.report_
    assert streamed.report_["fates"]["without_values"] == 1
    assert streamed.report_["values_clipped"] == 2
    assert streamed.feature_names == read.feature_names
    np.testing.assert_array_equal(streamed.profiles, read.profiles)
    assert streamed.molecules == read.molecules
    for name in ("plates", "wells", "doses", "sample_weight"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(read, name))


def test_columns_of_other_types_keep_their_place(build):
    """Decimal numbers, nullable integers, an index and a column that is not a feature."""
    frame = make_plate("P1", n_features=3)
    X = frame.filter(like="Cells_").to_numpy()
    frame["Cells_f0"] = [Decimal(f"{value:.6f}") for value in frame["Cells_f0"]]
    frame["Cells_f2"] = frame["Cells_f2"].round().astype("Int64")
    frame["note"] = "text"
    pairs = build(frame.set_index("Metadata_Well"), normalizer=None, clip=1e4, dtype="float32")
    assert pairs.feature_names == ["Cells_f0", "Cells_f1", "Cells_f2"]
    np.testing.assert_allclose(pairs.profiles, np.column_stack([X[4:, :2], X[4:, 2].round()]), atol=1e-5)
    assert pairs.wells.tolist() == frame["Metadata_Well"].tolist()[4:]
    assert pairs.report_["features_left_out"] == {"note": "text"}


def test_a_cell_that_is_not_a_number_is_named(build):
    frame = make_plate("P1", n_features=2)
    frame["Cells_f1"] = [*map(str, frame["Cells_f1"][:9]), "#DIV/0!"]
    with pytest.raises(ValueError, match="holds '#DIV/0!' in row 9 of the column 'Cells_f1'"):
        build(frame, normalizer=None)


class TestLists:
    @pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), N_FEATURES)], ids=["any", "fixed"])
    def test_as_numbered_columns(self, tmp_path, kind):
        frame = wells()
        frame.to_parquet(tmp_path / "wide.parquet")
        try:
            pq.write_table(as_lists(frame, kind), tmp_path / "lists.parquet", row_group_size=9)
        except pa.ArrowNotImplementedError:
            pytest.skip("this pyarrow cannot write a missing list of fixed size")
        wide, lists = (build_pairs(tmp_path / name, [tmp_path / f"{name}.parquet"], **OPTIONS)
                       for name in ("wide", "lists"))  # fmt: skip
        assert lists.feature_names == [f"embedding_{i}" for i in range(N_FEATURES)]
        np.testing.assert_array_equal(lists.profiles, wide.profiles)
        chosen = build_pairs(tmp_path / "some", [tmp_path / "lists.parquet"], **OPTIONS, features=["embedding_1?"])
        np.testing.assert_array_equal(chosen.profiles, wide.profiles[:, 10:20])

    def test_normalised_on_controls_and_as_a_table(self, tmp_path):
        frame = make_plate("P1", n_features=4)
        frame.to_parquet(tmp_path / "wide.parquet")
        pq.write_table(as_lists(frame, pa.list_(pa.float32())), tmp_path / "lists.parquet")
        wide, lists = (build_pairs(tmp_path / name, [tmp_path / f"{name}.parquet"]) for name in ("wide", "lists"))
        np.testing.assert_array_equal(lists.profiles, wide.profiles)
        table = PairedProfiles.from_file(tmp_path / "lists.parquet")
        np.testing.assert_array_equal(table.profiles, frame.filter(like="Cells_").to_numpy())

    @pytest.mark.parametrize("normalizer", [None, "robust"])
    def test_the_row_of_another_length_is_named(self, tmp_path, normalizer):
        frame = make_plate("P1", n_features=4)
        table = as_lists(frame, pa.list_(pa.float32()))
        rows = table["embedding"].to_pylist()
        rows[6] = rows[6][:3]
        table = table.set_column(table.num_columns - 1, "embedding", pa.array(rows))
        pq.write_table(table, tmp_path / "ragged.parquet")
        message = "row 6 holds 3 numbers in the column 'embedding', and the rows before it 4.*drop or mend this row"
        with pytest.raises(ValueError, match=message):
            build_pairs(tmp_path / "store", [tmp_path / "ragged.parquet"], normalizer=normalizer)


class TestRecognised:
    def test_by_the_name(self, tmp_path):
        frame = make_plate("P1")
        frame.to_parquet(tmp_path / ASSEMBLED)
        pairs = build_pairs(tmp_path / "store", [tmp_path / ASSEMBLED], dtype="float32")
        np.testing.assert_array_equal(pairs.profiles, frame.filter(like="Cells_").to_numpy()[4:])
        steps = ["var", "mad", "int", "featselect", "harmony"]
        assert pairs.provenance["normalization"] == {"method": "none", "done_before": steps}

    def test_by_the_columns(self, build):
        frame = make_plate("P1", Metadata_JCP2022="JCP2022_000001")
        frame.columns = frame.columns.str.replace("Cells_f", "X_")
        assert build(frame).provenance["normalization"]["method"] == "none"
        raw = frame.drop(columns="Metadata_JCP2022")
        assert build(raw).provenance["normalization"]["method"] == "robust"

    def test_a_normalizer_that_is_given_is_used(self, tmp_path):
        make_plate("P1").to_parquet(tmp_path / ASSEMBLED)
        pairs = build_pairs(tmp_path / "store", [tmp_path / ASSEMBLED], normalizer="mad")
        assert pairs.provenance["normalization"]["method"] == "mad"

    def test_files_that_differ_are_refused(self, tmp_path):
        files = [tmp_path / ASSEMBLED, tmp_path / "P1.parquet"]
        for file in files:
            make_plate("P1").to_parquet(file)
        with pytest.raises(ValueError, match=r"differ in what was done .*harmony; nothing\): build a corpus of each"):
            build_pairs(tmp_path / "store", files)


def test_memory_does_not_follow_the_longest_text(tmp_path):
    n_wells, n_letters = 2000, 20_000
    frame = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": np.arange(n_wells) // 2, "Metadata_SMILES": "CCO"})
    frame = frame.assign(X_1=0.5, Metadata_Images=frame.index % 2)
    frame.loc[0, "Metadata_Plate"] = frame.loc[1, "Metadata_SMILES"] = n_letters * "?"
    frame.to_parquet(tmp_path / ASSEMBLED)
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match="Metadata_Images tells them apart"):
            pairs = build_pairs(tmp_path / "wells.pairs", [tmp_path / ASSEMBLED])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(pairs) == n_wells - 1
    assert len(pairs.plates[0]) == n_letters
    assert peak < n_wells * n_letters  # a byte for each letter
