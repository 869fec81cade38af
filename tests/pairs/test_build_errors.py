"""``build_pairs``: bad plates, bad files and bad options."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import build_pairs
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer, feature_columns
from tests.helpers.platemaker import (
    make_plate,
    write,
)


def with_value(column, value, row=5):
    def change(frame):
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


def without(column):
    return lambda frame: frame.drop(columns=column)


def renamed(before, after):
    def change(frame):
        frame.columns = [after if c == before else c for c in frame.columns]
        return frame

    return change


def bad_plate(change, message, *, suffix="csv", **options):
    return pytest.param(change, message, suffix, options)


@pytest.mark.parametrize(
    ("change", "message", "suffix", "options"),
    [
        bad_plate(without("Metadata_SMILES"), r"has no column of structures; its first columns are \['Cells_f0'"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Structure'", smiles="Metadata_Structure"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Rep'; its metadata are \['Metadata_Source'",
                  plate_columns=["Metadata_Plate", "Metadata_Rep"]),
        bad_plate(lambda f: f, r"has no column 'Metadata_Dose'", dose_column="Metadata_Dose"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Share'", weight_column="Metadata_Share"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Type'", control_column="Metadata_Type"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Kind'", keep={"Metadata_Kind": ["a"]}),
        bad_plate(lambda f: f, r"has no column 'Metadata_Kind'", exclude={"Metadata_Kind": "a"}),
        bad_plate(lambda f: f, r"has no feature \['Nuclei_\*'\]", features=["Nuclei_*"]),
        bad_plate(lambda f: f.filter(like="Metadata_"), r"has no feature column"),
        bad_plate(with_value("Cells_f2", "n/d", 7), r"holds 'n/d' in row 7 of the column 'Cells_f2', which is no"),
        bad_plate(with_value("Cells_f2", "high"), r"holds 'high' in row 5 of the column 'Cells_f2'", suffix="tsv"),
        bad_plate(lambda f: f.astype({"Cells_f2": str}), r"holds '[-\d.]+' in row 0 of the column 'Cells_f2'",
                  suffix="parquet"),
        bad_plate(lambda f: f.assign(Metadata_Dose=["1 uM"] * 10),
                  r"holds '1 uM' in row 0 of the column 'Metadata_Dose'", dose_column="Metadata_Dose"),
        bad_plate(lambda f: f.assign(Metadata_Share=[1.0] * 6 + [-1.0] * 4), r"holds the weight -1.0 in row 6",
                  weight_column="Metadata_Share"),
        bad_plate(lambda f: f.assign(Metadata_Share=[1.0] * 9 + [np.nan]), r"holds the weight nan in row 9",
                  weight_column="Metadata_Share"),
        bad_plate(lambda f: f.iloc[:0], r"has no rows"),
        bad_plate(lambda f: f.assign(Metadata_IsNegcon="negcon"),
                  r"holds 'negcon' in the column of controls 'Metadata_IsNegcon'.*control_label"),
        bad_plate(lambda f: f.assign(Metadata_IsNegcon=f["Metadata_IsNegcon"].astype(int)),
                  r"holds '?1'? in the column of controls"),
        bad_plate(lambda f: f.assign(Metadata_IsNegcon=False), r"cannot be normalised: 1 plate\(s\) have fewer than"),
        bad_plate(with_value("Metadata_Plate", None), r"has no plate in row 5 \(columns \['Metadata_Plate'\]\)",
                  plate_columns="Metadata_Plate"),
        bad_plate(lambda f: f.iloc[:4], r"No well is left to store: .*'control': 4"),
        bad_plate(lambda f: f.assign(Metadata_SMILES=None), r"No well is left to store: .*'without_structure': 6"),
    ],
)  # fmt: skip
def test_bad_plates(tmp_path, change, message, suffix, options):
    good = write(make_plate("P0"), tmp_path / f"good.{suffix}")
    bad = write(change(make_plate("P1")), tmp_path / f"bad.{suffix}")
    alone = "No well" in message
    with pytest.raises(ValueError, match=message if alone else rf"'.*bad.{suffix}' {message}"):
        build_pairs(tmp_path / "store", [bad] if alone or options else [good, bad], **options)
    assert not (tmp_path / "store").exists()


def test_a_column_of_the_same_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(make_plate(), preserve_index=False)
    names = ["Cells_f0" if name == "Cells_f1" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), tmp_path / "bad.parquet")
    with pytest.raises(
        ValueError, match=r"bad.parquet' (cannot be read as a table|has more than one column).*Cells_f0"
    ):
        build_pairs(tmp_path / "store", [tmp_path / "bad.parquet"])


def make_folder(path):
    path.mkdir()
    write(make_plate(), path / "part.parquet")


@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("bad.parquet", lambda path: path.write_bytes(b"PAR1 and no more"), ValueError, "cannot be read as a table"),
        ("bad.parquet", lambda path: path.write_bytes(b""), ValueError, "cannot be read as a table"),
        ("bad.csv.gz", lambda path: path.write_bytes(b"\x1f\x8bno gzip"), ValueError, "cannot be read as a table"),
        ("bad.csv", lambda path: path.write_bytes(b""), ValueError, "cannot be read as a table"),
        (
            "bad.xlsx",
            lambda path: path.write_bytes(b""),
            ValueError,
            "its name does not end in",
        ),
        ("bad.parquet", make_folder, ValueError, "is a folder, not a table of wells"),
        ("bad", make_folder, ValueError, "is a folder, not a table of wells"),
        ("bad.parquet", lambda path: None, FileNotFoundError, ""),
    ],
)
def test_bad_files(tmp_path, name, make, error, message):
    make(tmp_path / name)
    with pytest.raises(error, match=rf"{name}'.*{message}"):
        build_pairs(tmp_path / "store", [tmp_path / name])


def test_values_that_are_missing_or_absurd_are_no_error(build):
    expected = build(make_plate("P1"), dtype="float32")
    frame = make_plate("P1")
    frame["Cells_f1"] = np.nan
    frame.loc[4, "Cells_f0"], frame.loc[5, "Cells_f0"] = np.inf, 335_200.0
    frame.loc[9, [c for c in frame if c.startswith("Cells_")]] = [np.nan, np.nan, np.inf, -np.inf, np.nan]
    with pytest.warns(UserWarning, match="values were clipped"):
        pairs = build(frame, dtype="float32")
    values = expected.profiles[:5].copy()
    values[:, 1] = np.nan
    values[0, 0], values[1, 0] = np.nan, 100.0
    np.testing.assert_array_equal(pairs.profiles, values)
    assert pairs.report_["fates"]["without_values"] == 1
    assert pairs.report_["values_missing"] == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float64"}, r"dtype must be one of \('float16', 'float32'\), got 'float64'"),
        ({"columns": "both"}, r"columns must be one of \('same', 'intersection', 'union'\), got 'both'"),
        ({"controls": "drop"}, r"controls must be one of .*got 'drop'"),
        ({"missing_files": "ignore"}, r"missing_files must be one of \('raise', 'skip'\), got 'ignore'"),
        ({"repeated_wells": "last"}, r"repeated_wells must be one of .*got 'last'"),
        ({"clip": 0}, r"clip must be above 0, and at most 65504 for float16; got 0"),
        ({"clip": -1.0, "dtype": "float32"}, r"clip must be above 0"),
        ({"clip": 70_000.0}, r"at most 65504 for float16; got 70000.0"),
        ({"clip": None}, r"clip must be above 0.*got None"),
        ({"clip": np.nan}, r"clip must be above 0"),
        ({"max_wells": 0}, r"max_wells must be an integer of at least 1, got 0"),
        ({"max_wells": 1.5}, r"max_wells must be an integer of at least 1, got 1.5"),
        ({"keep": [("Metadata_Well", ["A01"])]}, r"keep must be a dict of column to values, got a list"),
        ({"exclude": "A01"}, r"exclude must be a dict of column to values, got a str"),
        (
            {"plates": [pd.DataFrame({"Metadata_Well": ["A01"]})]},
            r"plates\[0\] is a DataFrame: give the path of a file",
        ),
        ({"normalizer": "median"}, r"normalizer must be a ProfileNormalizer, one of .*or None .*; got 'median'"),
        ({"normalizer": ProfileFilter()}, r"normalizer must be a ProfileNormalizer"),
        ({"standardize": "salt"}, r"standardize must be None, 'parent' or a callable"),
        ({"plates": []}, r"There are no plates: give at least one file"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build_pairs(tmp_path / "store", **{"plates": [tmp_path / "none.parquet"]} | options)
    assert not [*tmp_path.iterdir()]


def test_missing_files_can_be_skipped(files, tmp_path):
    gone = tmp_path / "gone.parquet"
    with pytest.raises(FileNotFoundError, match=r"gone.parquet"):
        build_pairs(tmp_path / "strict", [*files[:2], gone])
    skipped = build_pairs(tmp_path / "store", [gone, *files, gone], missing_files="skip")
    expected = build_pairs(tmp_path / "calm", files)
    assert skipped.digest == expected.digest
    assert skipped.report_ == expected.report_ | {"files": 7, "missing_files": 2}
    with pytest.raises(ValueError, match="None of the 1 files of plates exists"):
        build_pairs(tmp_path / "none", [gone], missing_files="skip")


def test_values_and_files_in_any_container(tmp_path):
    plates = [str(write(make_plate(p, Metadata_Row=1.0), tmp_path / f"{p}.parquet")) for p in ("P1", "P2")]
    same = {"exclude": {"Metadata_Well": ["A05", "A06"]}, "keep": {"Metadata_Row": ["1"]}}
    expected = build_pairs(tmp_path / "store", plates, **same)
    for form, wells, row in ((iter, {"A06", "A05"}, 1), (np.array, np.array(["A05", "A06"]), np.float32(1))):
        options = {"exclude": {"Metadata_Well": wells}, "keep": {"Metadata_Row": row}}
        assert build_pairs(tmp_path / "store", form(plates), **options).digest == expected.digest  # the same build
    assert expected.report_["fates"]["excluded"] == 4


def test_a_table_that_is_missing_is_no_missing_file(files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.csv"):
        build_pairs(tmp_path / "store", files, metadata=[tmp_path / "gone.csv"], missing_files="skip")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_path_that_holds_something_else(tmp_path, files, kind):
    path = tmp_path / "other"
    path.mkdir() if kind == "folder" else path.write_text("mine")
    with pytest.raises(ValueError, match=r"other' holds no stored pairs \(no header.json\)"):
        build_pairs(path, files)
    assert path.exists()
    assert not [*tmp_path.glob("*partial*")]


def test_files_of_one_name_in_two_folders_are_two_plates(tmp_path):
    files = [tmp_path / folder / "plate.parquet" for folder in "ab"]
    for seed, path in enumerate(files):
        path.parent.mkdir()
        make_plate(seed=seed).drop(
            columns=["Metadata_Plate", "Metadata_Batch", "Metadata_Source"], errors="ignore"
        ).to_parquet(path)
    pairs = build_pairs(tmp_path / "store", files)
    assert sorted(set(pairs.plates)) == ["a/plate", "b/plate"]
    assert pairs.report_["repeated_wells"] == 0


def test_wells_without_a_value_among_the_features_that_are_left(tmp_path):
    """What the files have in common may be empty for a well that had values."""
    one, other = make_plate(), make_plate("P2")
    features = feature_columns(one)
    other = other.drop(columns=features[1:])
    treated = np.flatnonzero(~one["Metadata_IsNegcon"])
    one.loc[one.index[treated[0]], features[0]] = np.nan
    one.to_parquet(tmp_path / "one.parquet")
    other.to_parquet(tmp_path / "other.parquet")
    files = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    pairs = build_pairs(tmp_path / "store", files, columns="intersection")
    assert pairs.report_["fates"]["without_values"] == 1
    assert np.isfinite(pairs.read()).all()
    assert sum(pairs.report_["fates"].values()) == pairs.report_["wells"]


@pytest.mark.parametrize("options", [{"control_label": "DMSO"}, {"plate_column": None}, {"batch_column": "Metadata_X"}])
def test_columns_are_options_of_the_build(tmp_path, options):
    make_plate().to_parquet(tmp_path / "plate.parquet")
    with pytest.raises(ValueError, match=f"The normalizer has {next(iter(options))}=.*which a build does not use"):
        build_pairs(tmp_path / "store", [tmp_path / "plate.parquet"], normalizer=ProfileNormalizer(**options))


@pytest.mark.parametrize("argument", ["plates", "metadata"])
def test_one_file_is_no_list(tmp_path, argument):
    with pytest.raises(TypeError, match=f"{argument} must be a list of files, got one str"):
        build_pairs(tmp_path / "store", **{"plates": [tmp_path / "none.parquet"]} | {argument: "plate.parquet"})
