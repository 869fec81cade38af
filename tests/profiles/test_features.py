"""What a feature is: the same answer for tables of every kind, and checks of profiles that users hand in."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer, feature_columns
from mocop_sklearn.profiles._checks import check_profiles
from mocop_sklearn.profiles._features import describe_columns

NOT_FEATURES = {
    "Unnamed: 0": (range(3), "index"),
    "index": (range(3), "index"),
    "id": (range(3), "identifier"),
    "compound_id": (range(3), "identifier"),
    "MoleculeID": (range(3), "identifier"),
    "ImageNumber": (range(3), "object number"),
    "ObjectNumber": (range(3), "object number"),
    "Cells_Number_Object_Number": ([1.5, 2.5, 3.5], "object number"),
    "Cells_Parent_Nuclei": ([1.5, 2.5, 3.5], "object number"),
    "Nuclei_Neighbors_FirstClosestObjectNumber_5": ([1.5, 2.5, 3.5], "object number"),
    "plate": (range(3), "position"),
    "acquired": ([datetime.datetime(2024, 1, day) for day in (1, 2, 3)], "date"),
    "day": ([datetime.date(2024, 1, day) for day in (1, 2, 3)], "date"),
    "exposure": ([datetime.timedelta(seconds=s) for s in (1, 2, 3)], "duration"),
    "flag": ([True, False, True], "bool"),
    "comment": (["a", None, "12 h"], "text"),
}
FEATURES = {
    "Cells_AreaShape_Area": [0.5, None, 1.5],
    "Nuclei_Count": [3, 4, 5],
    "Cells_Children_Cytoplasm_Count": [1, 1, 2],
    "Nuclei_AreaShape_Solidity": [0.5, 0.25, 1.0],
    "Cells_decimal": [decimal.Decimal("0.25"), None, decimal.Decimal("2")],
    "Cells_nothing": [None, None, None],
}
METADATA = ["Metadata_Dose", "metadata_row", "Image_Metadata_Site", "Metadata_JCP2022"]


def table_of(kind):
    columns = {name: list(values) for name, (values, _) in NOT_FEATURES.items()} | FEATURES
    columns |= {name: [1, 2, 3] for name in METADATA}
    return {"pandas": pd.DataFrame, "polars": lambda c: pl.DataFrame(c, strict=False), "pyarrow": pa.table}[kind](
        columns
    )


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_one_definition_of_a_feature(kind):
    table = table_of(kind)
    assert feature_columns(table) == list(FEATURES)
    if kind != "pyarrow":
        found = describe_columns(table)
        assert found.left_out == {name: reason for name, (_, reason) in NOT_FEATURES.items()}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_files_and_builds_agree(tmp_path, suffix):
    frame = make_paired_profiles(n_molecules=8, n_features=5, as_frame=True, random_state=0).frame
    expected = feature_columns(frame)
    extra = {name: np.resize(np.array(values, dtype=object), len(frame))
             for name, (values, _) in NOT_FEATURES.items()}  # fmt: skip
    frame = frame.assign(**extra, Image_Metadata_Site=1, metadata_row=range(len(frame)))
    path = tmp_path / f"wells{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    pairs = PairedProfiles.from_file(path)
    built = build_pairs(tmp_path / "pairs", [path])
    assert pairs.feature_names == built.feature_names == expected
    # in a CSV file, dates are texts
    dates = ("acquired", "day", "exposure") if suffix == ".csv" else ()
    reasons = {name: "text" if name in dates else reason for name, (_, reason) in NOT_FEATURES.items()}
    assert pairs.report_["features_left_out"] == built.report_["features_left_out"] == reasons


@pytest.mark.parametrize("cell", ["#DIV/0!", "1,5", "high"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_bad_cell_is_named(tmp_path, suffix, cell):
    frame = make_paired_profiles(n_molecules=8, n_features=5, as_frame=True, random_state=0).frame
    name = feature_columns(frame)[3]
    frame[name] = frame[name].astype(str)
    frame.loc[6, name] = cell
    path = tmp_path / f"wells{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    message = rf"wells{suffix}' holds .* in row 6 of the column '{name}', which is not"
    for read in (PairedProfiles.from_file, lambda path: build_pairs(tmp_path / "pairs", [path])):
        with pytest.raises(ValueError, match=message):
            read(path)
    # a column that nobody wants may be broken
    assert PairedProfiles.from_file(path, features=[feature_columns(frame.drop(columns=name))[0]]).n_features == 1


def test_a_column_of_errors_is_not_a_text():
    with pytest.raises(ValueError, match=r"holds '#DIV/0!' in row 1 of the column 'f', which is not a number: convert"):
        feature_columns(pd.DataFrame({"f": [1.0, "#DIV/0!", "#NUM!", "#DIV/0!", None]}))


def test_feature_columns_names_numbers_as_text():
    with pytest.raises(ValueError, match=r"holds '1\.5' in row 0 of the column 'f', which is not a number but a text"):
        feature_columns(pd.DataFrame({"f": ["1.5", "2.5"]}))


@pytest.mark.parametrize("estimator", [ProfileNormalizer(control_column=None, plate_column=None), ProfileFilter()])
@pytest.mark.parametrize("to", [pa.table, pa.RecordBatch.from_pandas, pl.DataFrame])
def test_tables_of_other_libraries(estimator, to):
    frame = pd.DataFrame({"Metadata_Well": ["a", "b", "c"], "f": [1.0, 2.0, 4.0], "g": [0.5, 0.25, 0.0]})
    expected = estimator.fit(frame).transform(frame)
    np.testing.assert_allclose(estimator.fit(to(frame)).transform(to(frame)), expected)
    assert estimator.feature_names_in_.tolist() == ["f", "g"]


def test_arrow_tables_of_profiles():
    frame = pd.DataFrame({"Metadata_Well": ["A01", "A02"], "f": [1.0, None]})
    for table in (pa.Table.from_pandas(frame), pa.Table.from_pandas(frame.set_index("Metadata_Well"))):
        pairs = PairedProfiles(pa.chunked_array([["C"], ["CC"]]).to_pylist(), table)
        assert pairs.feature_names == ["f"]
        assert pairs.wells.tolist() == ["A01", "A02"]
        np.testing.assert_array_equal(pairs.profiles, [[1], [np.nan]])


def test_masked_profiles_and_labels_are_missing():
    P = np.ma.array([[1.0, 9.0], [2.0, 3.0]], mask=[[False, True], [False, False]])
    np.testing.assert_array_equal(check_profiles(P)[0], [[1, np.nan], [2, 3]])
    whole = np.ma.array([[1, 9], [2, 3]], mask=P.mask)
    np.testing.assert_array_equal(check_profiles(whole)[0], [[1, np.nan], [2, 3]])
    plates = np.ma.array(["a", "b"], mask=[False, True])
    with pytest.raises(ValueError, match="plates has no id in row 1"):
        ProfileNormalizer().fit(np.eye(2), plates=plates)
    with pytest.raises(ValueError, match="controls must be boolean, but row 0 holds None"):
        ProfileNormalizer().fit(np.eye(2), controls=np.ma.array([True, False], mask=[True, False]))


WELLS = {
    "Metadata_Plate": ["a", "b"],
    "Metadata_Dose": [1.5, 2.5],
    "Cells_Area": [0.5, 1.5],
    "Nuclei_Count": [3, 4],
    "label": ["x", "y"],
    "flag": [True, False],
}


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame])
def test_check_profiles_of_a_frame(table):
    frame = table({name: values for name, values in WELLS.items() if name not in ("label", "flag")})
    matrix, names = check_profiles(frame, 2)
    assert names == ["Cells_Area", "Nuclei_Count"]
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[0.5, 3], [1.5, 4]]
    with pytest.raises(ValueError, match=r"columns that are not numeric: label \(text\), flag \(bool\).*Metadata_"):
        check_profiles(table(WELLS))


def test_check_profiles_of_a_nullable_frame():
    frame = pd.DataFrame({"a": [1.0, None], "b": [2, 3]}).convert_dtypes()
    np.testing.assert_array_equal(check_profiles(frame)[0], [[1, 2], [np.nan, 3]])
    null = pl.DataFrame({"a": [1.0, None], "b": [2, 3]})
    np.testing.assert_array_equal(check_profiles(null)[0], [[1, 2], [np.nan, 3]])


@pytest.mark.parametrize(
    "values", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], dtype=np.int8), np.float16([[1, 2], [3, 4]])]
)
def test_check_profiles_of_arrays(values):
    matrix, names = check_profiles(values, 2)
    assert names is None
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1, 2], [3, 4]]


def test_check_profiles_does_not_copy_float32():
    matrix = np.eye(3, dtype=np.float32)
    assert np.shares_memory(check_profiles(matrix)[0], matrix)


def test_missing_and_infinite_profiles_are_let_through():
    matrix, _ = check_profiles([[np.nan, 1], [np.inf, -np.inf]])
    np.testing.assert_array_equal(matrix, np.array([[np.nan, 1], [np.inf, -np.inf]]))


@pytest.mark.parametrize(
    ("profiles", "error", "message"),
    [
        (np.zeros(3), ValueError, r"two dimensions \(rows, features\), got shape \(3,\)"),
        (np.zeros((2, 2, 2)), ValueError, "two dimensions"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\)"),
        (np.zeros((2, 4)), ValueError, "P has 2 rows but X has 3: pass one profile per row of X"),
        (np.array([["a"], ["b"], ["c"]]), ValueError, "P must be a matrix of numbers"),
        (np.zeros((3, 2), dtype=complex), ValueError, "P must be a matrix of numbers"),
        ([[1, 2], [3], [4, 5]], ValueError, "P must be a matrix of numbers"),
        (sparse.eye_array(3), TypeError, r"dense one is needed: use P.toarray\(\)"),
    ],
)
def test_check_profiles_says_what_is_wrong(profiles, error, message):
    with pytest.raises(error, match=message):
        check_profiles(profiles, 3, name="P")
