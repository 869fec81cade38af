"""``build_pairs``: by hand, file by file or all in one, with bad plates, killed and resumed."""

import gzip
import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from sklearn.base import clone

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import JUMP_POSITIVE_CONTROLS, make_paired_profiles
from mocop_sklearn.pairs._assembly import FATES
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer, feature_columns
from tests.helpers.platemaker import (
    DMSO,
    MOLECULES,
    Plate,
    build_under_kills,
    contents,
    features,
    make_plate,
    normalized,
    start_build,
    write,
)


@pytest.fixture
def build(tmp_path):
    """Write frames to files and build a store of them."""
    numbers = itertools.count()

    def build(*frames, suffix="parquet", **options):
        number = next(numbers)
        files = [write(frame, tmp_path / f"plate{number}-{i}.{suffix}") for i, frame in enumerate(frames)]
        return build_pairs(tmp_path / f"store{number}", files, **options)

    return build


def treated(frame):
    return frame[~frame["Metadata_IsNegcon"]]


# ---------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------


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
    for values, dtype in [([1, None, *range(8)], "Int64"), ([True, False] * 5, "boolean"), ([None] * 10, "object")]:
        column = pd.Series(values, dtype=dtype)
        pairs = build(frame.assign(Cells_f0=column), dtype="float32", normalizer="passthrough")
        expected = [np.nan if value is pd.NA or value is None else float(value) for value in list(column)[4:]]
        np.testing.assert_array_equal(pairs.profiles[:, 0], expected)


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


@pytest.mark.parametrize("structure", [DMSO, "O=S(C)C", "CS(=O)C.O", "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"])
def test_controls_are_the_wells_with_dmso(build, structure):
    frame = make_plate("P1")
    expected = build(frame)
    anonymous = frame.drop(columns="Metadata_IsNegcon").replace({"Metadata_SMILES": {DMSO: structure}})
    pairs = build(anonymous)
    assert pairs.digest == expected.digest
    assert pairs.report_ == expected.report_


@pytest.mark.parametrize("label", ["negcon", ["negcon", "vehicle"], ["vehicle", "negcon", "other"]])
def test_controls_by_label(build, label):
    frame = make_plate("P1")
    types = np.where(frame["Metadata_IsNegcon"], "negcon", "trt")
    named = frame.drop(columns="Metadata_IsNegcon").assign(type=types)
    assert build(named, control_column="type", control_label=label).digest == build(frame).digest


def test_the_path_and_its_parents_are_made_and_nothing_else(tmp_path):
    file = write(make_plate(), tmp_path / "P1.parquet")
    path = tmp_path / "a" / "b" / "store"
    pairs = build_pairs(str(path), [str(file)])
    assert [p.name for p in path.parent.iterdir()] == ["store"]
    assert sorted(contents(path)) == ["header.json", "profiles.npy", "wells.npz"]
    assert pairs.digest == PairedProfiles.open(path).digest


# ---------------------------------------------------------------------------------------------
# Columns, and statistics over all files
# ---------------------------------------------------------------------------------------------


def test_columns_of_files_are_matched_by_name(build):
    one, two = make_plate("P1"), make_plate("P2")
    turned = two[two.columns[::-1]]
    for columns in ("same", "intersection", "union"):
        assert build(one, turned, columns=columns).digest == build(one, two).digest


@pytest.mark.parametrize("columns", ["same", "intersection", "union"])
def test_files_with_other_columns(build, columns):
    one = make_plate("P1")
    two = make_plate("P2").drop(columns="Cells_f1").assign(Cells_f9=np.arange(10.0))[lambda f: f.columns[::-1]]
    if columns == "same":
        with pytest.raises(ValueError, match=r"plate0-0.parquet' lacks 1 feature columns .*\['Cells_f9'\]"):
            build(one, two)
        return
    pairs = build(one, two, columns=columns, dtype="float32")
    shared = ["Cells_f0", "Cells_f2", "Cells_f3", "Cells_f4"]
    names = shared if columns == "intersection" else ["Cells_f0", "Cells_f1", *shared[1:], "Cells_f9"]
    assert pairs.feature_names == names
    frames = [pd.DataFrame(normalized(f), columns=f.filter(like="Cells_").columns)[4:] for f in (one, two)]
    np.testing.assert_allclose(pairs.profiles, pd.concat(frames)[names], rtol=1e-5, atol=1e-6)
    assert pairs.report_["features_read"] == 6


def test_files_without_a_common_column(build):
    with pytest.raises(ValueError, match="no feature column in common"):
        build(make_plate("P1"), make_plate("P2").rename(columns=lambda c: c.replace("Cells", "X")),
              columns="intersection")  # fmt: skip


def paper_plates():
    """Three plates with columns for each of the rules of the paper; the second in another order of columns."""
    frames = [make_plate(f"P{i}", MOLECULES * 3, n_features=12, seed=1) for i in range(3)]
    for i, frame in enumerate(frames):
        control = frame["Metadata_IsNegcon"].to_numpy()
        frame["Nuclei_Granularity_14_DNA"] = frame["Cells_f0"]
        frame["Cells_f1"] *= np.where(control, 1, 1e-3)  # hardly varies among the treated
        frame["Cells_f1"] -= np.where(control, 0, frame["Cells_f1"].mean())
        frame["Cells_f2"] *= np.where(control, 1, 30)
        frame.loc[7, "Cells_f3"] = np.nan if i == 1 else frame.loc[7, "Cells_f3"]
    frames[1] = frames[1][frames[1].columns[::-1]]
    return frames


def stacked(frames):
    """Normalised profiles of the treated wells of all plates, unclipped."""
    normalizer = ProfileNormalizer().set_output(transform="pandas")
    parts = [normalizer.fit_transform(frame)[~frame["Metadata_IsNegcon"].to_numpy()] for frame in frames]
    return pd.concat(parts)[parts[0].columns]


@pytest.mark.filterwarnings("ignore:.*values were clipped")
@pytest.mark.parametrize("clip", [1.0, 100.0])
@pytest.mark.parametrize("changes", [{}, {"max_missing": 0.05}, {"outlier_cutoff": 20.0}, {"min_std": None}])
def test_filter_is_that_of_all_rows_at_once(build, changes, clip):
    frames = paper_plates()
    rule = ProfileFilter.paper(**changes)
    Z = stacked(frames)
    expected = clone(rule).fit(Z)
    pairs = build(*frames, feature_filter=rule, clip=clip, dtype="float32")
    assert pairs.feature_names == expected.get_feature_names_out().tolist()
    assert 0 < len(pairs.feature_names) < 13
    assert pairs.report_["features_dropped"] == {name: len(columns) for name, columns in expected.report_.items()}
    assert pairs.report_["features"] == len(pairs.feature_names)
    assert pairs.report_["features_read"] == 13
    assert not hasattr(rule, "support_")
    np.testing.assert_allclose(pairs.profiles, Z[pairs.feature_names].clip(-clip, clip), rtol=1e-5)


@pytest.mark.parametrize("offsets", [(0, 0, 0), (1e4, -1e4, 3e3), (1e6, 0, 1e6)])
def test_moments_of_plates_merge_exactly(build, offsets):
    frames = []
    for i, offset in enumerate(offsets):
        frame = make_plate(f"P{i}", MOLECULES[: 2 + 2 * i], n_features=1, seed=2)
        frame["Cells_f0"] += np.float32(offset)
        frames.append(frame.assign(Cells_wide=1e9 * frame["Cells_f0"]))
    spread = np.concatenate([frame["Cells_f0"].to_numpy(float)[4:] for frame in frames]).std()
    for limit, left in [(spread * (1 - 1e-9), ["Cells_f0", "Cells_wide"]), (spread * (1 + 1e-9), ["Cells_wide"])]:
        rule = ProfileFilter(min_std=limit, max_std=None)
        pairs = build(*frames, feature_filter=rule, normalizer="passthrough", dtype="float32", clip=None)
        assert pairs.feature_names == left


def test_share_of_missing_values_over_files_with_other_columns(build):
    one, two = make_plate("P1"), make_plate("P2", MOLECULES[:2]).drop(columns="Cells_f4")
    one.loc[4, "Cells_f0"] = np.nan
    for limit, lacking in [(1 / 8 - 1e-9, {"Cells_f0", "Cells_f4"}), (1 / 8, {"Cells_f4"}), (1 / 4, set())]:
        chosen = ProfileFilter(max_missing=limit, min_std=None, max_std=None)
        pairs = build(one, two, columns="union", feature_filter=chosen)
        assert {f"Cells_f{i}" for i in range(5)} - set(pairs.feature_names) == lacking


@pytest.mark.parametrize("rule", ["freq_cut", "unique_cut", "correlation_threshold"])
def test_rules_that_need_all_rows_are_refused(build, rule):
    with pytest.raises(ValueError, match=rf"\['{rule}'\] need all profiles at once.*first step of profile_transformer"):
        build(make_plate(), feature_filter=ProfileFilter(**{rule: 0.5}))


@pytest.mark.filterwarnings("ignore:None of the 5 columns")
def test_a_filter_that_leaves_nothing(build):
    with pytest.raises(ValueError, match="feature_filter leaves no column"):
        build(make_plate(), feature_filter=ProfileFilter(min_std=1e9, max_std=None))


# ---------------------------------------------------------------------------------------------
# Metadata
# ---------------------------------------------------------------------------------------------


def jump_like(plates=("P1", "P2")):
    """Plates with source, plate and well alone, the tables that say the rest, and the same with all of it."""
    frames = [make_plate(plate) for plate in plates]
    wells = pd.concat(frames, ignore_index=True)
    smiles = wells["Metadata_SMILES"].unique()
    number = {text: f"JCP2022_{i:06d}" for i, text in enumerate(smiles)}
    compound = pd.DataFrame({
        "Metadata_JCP2022": number.values(), "Metadata_InChIKey": "x",
        "Metadata_InChI": [Chem.MolToInchi(Chem.MolFromSmiles(text)) for text in smiles],
    })  # fmt: skip
    well = wells[["Metadata_Source", "Metadata_Plate", "Metadata_Well"]].assign(
        Metadata_JCP2022=wells["Metadata_SMILES"].map(number)
    )
    plate = wells[["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]].drop_duplicates()
    lean = ["Metadata_Batch", "Metadata_SMILES", "Metadata_IsNegcon"]
    plate = plate.assign(Metadata_PlateType="COMPOUND")
    return [frame.drop(columns=lean) for frame in frames], {"plate": plate, "well": well, "compound": compound}, frames


@pytest.mark.parametrize("kind", ["frame", "csv.gz"])
def test_tables_are_joined_in_any_order(build, tmp_path, kind):
    lean, tables, whole = jump_like()
    if kind == "csv.gz":
        tables = {name: write(table, tmp_path / f"{name}.csv.gz") for name, table in tables.items()}
        with gzip.open(tables["compound"], "rt") as file:
            assert file.readline().startswith("Metadata_JCP2022,")
    expected = build(*whole)
    for order in itertools.permutations(tables.values()):
        pairs = build(*lean, metadata=order, keep={"Metadata_PlateType": ["COMPOUND"]})
        assert pairs.digest == expected.digest
    assert pairs.report_ == expected.report_


def test_wells_without_a_row_in_a_table_have_no_structure(build):
    lean, tables, _ = jump_like()
    tables["well"] = tables["well"][tables["well"]["Metadata_Well"] != "A06"]
    fates = build(*lean, metadata=tables.values()).report_["fates"]
    assert (fates["without_structure"], fates["stored"]) == (2, 10)


def test_a_table_without_a_common_column(build):
    lean, tables, _ = jump_like()
    with pytest.raises(ValueError, match=r"plate0-0.parquet' shares no Metadata_ column with the table.*Metadata_Well"):
        build(*lean, metadata=[tables["compound"]])


def test_a_table_with_two_rows_for_a_well(build):
    lean, tables, _ = jump_like()
    tables["well"] = pd.concat([tables["well"], tables["well"].iloc[[5]]])
    with pytest.raises(ValueError, match=r"more than one row for .*'Metadata_Well': 'A06'.*remove the others there"):
        build(*lean, metadata=tables.values())


@pytest.mark.parametrize("kinds", list(itertools.product([int, str, float, "gaps"], repeat=2)))
def test_plates_are_numbers_here_and_text_there(build, kinds):
    lean, tables, whole = jump_like(("17", "23"))

    def named(frame, kind):
        if kind != "gaps":
            return frame.astype({"Metadata_Plate": int}).astype({"Metadata_Plate": kind})
        extra = frame.iloc[[0]].assign(Metadata_Plate=None, Metadata_Well="H12")
        return pd.concat([frame.astype({"Metadata_Plate": float}), extra.astype({"Metadata_Plate": float})])

    well = named(tables["well"], kinds[1])
    plates = [named(frame, kinds[0] if kinds[0] != "gaps" else float) for frame in lean]
    pairs = build(*plates, metadata=[well, tables["compound"]], plate_columns=["Metadata_Plate"])
    assert pairs.molecules == build(*whole).molecules
    assert set(pairs.plates) == {"17", "23"}


def test_joined_numbers_are_whole_where_a_well_has_no_row(build):
    frame = make_plate()
    wells = frame["Metadata_Well"].tolist()
    replicate = pd.DataFrame({"Metadata_Well": wells[:9], "Metadata_Rep": [1] * 4 + [1, 2, 1, 2, 1]})
    pairs = build(frame, metadata=[replicate], exclude={"Metadata_Rep": [2]})
    assert pairs.report_["fates"]["excluded"] == 2
    compound = pd.DataFrame({"Metadata_Well": wells[:9], "Metadata_Cpd": [99] * 4 + list(range(5))})
    structure = pd.DataFrame({"Metadata_Cpd": [99, *range(6)], "Metadata_SMILES": ["CS(C)=O", *MOLECULES]})
    pairs = build(frame.drop(columns="Metadata_SMILES"), metadata=[compound, structure])
    assert pairs.molecules == list(MOLECULES[:5])


@pytest.mark.parametrize("values", [[10], [10.0], ["10"], np.array([10.0])])
def test_numbers_are_chosen_in_any_form(build, values):
    frame = make_plate(Metadata_Dose=[np.nan] * 4 + [2.5, 10.0] * 3)
    assert build(frame, exclude={"Metadata_Dose": values}).report_["fates"]["excluded"] == 3
    assert len(build(frame, keep={"Metadata_Dose": values})) == 3


@pytest.mark.parametrize("choice", [{}, {"keep": {"Metadata_Dose": [2]}}, {"exclude": {"Metadata_Dose": [1]}}])
def test_what_is_held_out_is_in_no_statistics_whatever_else_leaves(build, choice):
    profiles = []
    for value in (1.0, 50.0):
        frame = make_plate(Metadata_Dose=[0] * 4 + [1, 2] * 3)
        frame.loc[frame["Metadata_SMILES"] == MOLECULES[0], "Cells_f0"] = value
        normalizer = ProfileNormalizer("standardize", control_column=None)
        profiles.append(build(frame, normalizer=normalizer, hold_out=[MOLECULES[0]], **choice).profiles)
    np.testing.assert_array_equal(*profiles)


@pytest.mark.parametrize(
    "options",
    [
        ["--exclude", "Metadata_Dose=1", "--exclude", "Metadata_Dose=2"],
        ["--exclude", "Metadata_Dose=1", "Metadata_Dose=2"],
        ["--exclude", "Metadata_Dose=1,2"],
        ["--keep", "Metadata_Dose=0", "--keep", "Metadata_Dose=3"],
    ],
)
def test_options_add_up(tmp_path, options):
    path = write(make_plate(Metadata_Dose=[0] * 4 + [1, 2, 3] * 2), tmp_path / "P1.parquet")
    assert main(["build", str(path), "-o", str(tmp_path / "store"), "-q", *options]) == 0
    assert PairedProfiles.open(tmp_path / "store").molecules == [MOLECULES[2], MOLECULES[5]]


def test_a_row_without_a_plate_is_an_error_whatever_its_source(build):
    frame = pd.concat([make_plate("P1"), make_plate("P2")], ignore_index=True)
    frame.loc[3, "Metadata_Plate"] = None
    with pytest.raises(ValueError, match="has no plate in row 3"):
        build(frame)


def test_a_filter_drops_what_it_drops_alone(build):
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[:5, 0] = np.nan  # exactly the share that may be missing
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    rule = ProfileFilter(max_missing=0.05)
    wells = frame.assign(Metadata_SMILES=["C" * (i % 30 + 1) for i in range(100)])
    pairs = build(wells, normalizer="passthrough", feature_filter=rule)
    assert pairs.feature_names == rule.fit(frame).get_feature_names_out().tolist() == ["a", "b", "c"]


def test_a_table_is_read_anew_when_it_has_changed(tmp_path):
    lean, tables, _ = jump_like(("P1",))
    file = write(lean[0], tmp_path / "P1.parquet")
    before = build_pairs(tmp_path / "store", [file], metadata=tables.values())
    assert before.molecules == list(MOLECULES)
    changed = tables["compound"].replace({"Metadata_InChI": {Chem.MolToInchi(Chem.MolFromSmiles("CCO")): "CCI"}})
    with pytest.raises(ValueError, match="holds pairs of another build"):
        build_pairs(tmp_path / "store", [file], metadata=[tables["plate"], tables["well"], changed])
    shutil.rmtree(tmp_path / "store")
    after = build_pairs(tmp_path / "store", [file], metadata=[tables["plate"], tables["well"], changed])
    assert after.molecules == ["CCI", *MOLECULES[1:]]


# ---------------------------------------------------------------------------------------------
# What becomes of a well
# ---------------------------------------------------------------------------------------------


def wells_of_every_fate():
    """One well for every fate but controls and stored ones, and the options that lead there."""
    frame = make_plate("P1", ["CCO", "CCO", "CCO", "CCC", "C1CC", None, "CCN.Cl", "CCCC", "CCCCC"],
                       Metadata_Kind="compound", Metadata_Role="trt")  # fmt: skip
    frame.loc[4, "Metadata_Kind"] = "orf"
    frame.loc[5, "Metadata_Role"] = "poscon"
    frame.loc[11, [c for c in frame if c.startswith("Cells_")]] = np.nan
    repeat = make_plate("P1", ["CCCBr"], n_controls=12, Metadata_Kind="compound", Metadata_Role="trt").iloc[12:]
    alone = make_plate("P2", ["CCCCCC"], n_controls=0, Metadata_Kind="compound", Metadata_Role="trt")
    more = make_plate("P3", ["CCO"], Metadata_Kind="compound", Metadata_Role="trt")
    options = {
        "keep": {"Metadata_Kind": ["compound"]},
        "exclude": {"Metadata_Role": ["poscon"]},
        "hold_out": ["CCN"],
        "normalizer": ProfileNormalizer(on_missing="drop"),
        "repeated_wells": "first",
        "max_wells": 1,
    }
    return [pd.concat([frame, repeat, alone], ignore_index=True), more], options


def test_every_well_has_one_fate(build):
    frames, options = wells_of_every_fate()
    report = build(*frames, **options).report_
    fates = report["fates"]
    assert tuple(fates) == FATES
    assert fates == dict.fromkeys(FATES, 1) | {"control": 8, "stored": 3}
    assert sum(fates.values()) == report["wells"] == sum(map(len, frames)) == 20
    assert (report["files"], report["plates"], report["molecules"]) == (2, 3, 3)
    assert report["repeated_wells"] == 1


@pytest.mark.parametrize("number", [3, 4])
def test_keep_and_exclude_match_numbers(build, number):
    frame = make_plate("P1", Metadata_Number=[3.0] * 6 + [4.0] * 3 + [np.nan])
    assert len(build(frame, keep={"Metadata_Number": [number]})) == {3: 2, 4: 3}[number]
    assert len(build(frame, exclude={"Metadata_Number": [number]})) == {3: 4, 4: 3}[number]


def test_controls_count_whether_they_are_kept_or_not(build):
    frame = make_plate("P1", Metadata_Kind=["control"] * 4 + ["trt"] * 6)
    expected = build(frame)
    pairs = build(frame, keep={"Metadata_Kind": ["trt"]})
    assert pairs.digest == expected.digest
    assert pairs.report_["fates"]["not_kept"] == 4


def test_positive_controls_of_jump_can_be_excluded(build):
    names = ["JCP2022_033924"] * 4 + ["JCP2022_000001", *JUMP_POSITIVE_CONTROLS[:5]]
    pairs = build(make_plate(Metadata_JCP2022=names), exclude={"Metadata_JCP2022": JUMP_POSITIVE_CONTROLS})
    assert pairs.molecules == ["CCO"]
    assert pairs.report_["fates"]["excluded"] == 5


def test_other_names_of_a_molecule(build):
    names = ["OCC", "CCO", " CCO ", "CCO.Cl", "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "CCN", "[NH3+]CC", "CCC"]
    pairs = build(make_plate("P1", names))
    assert pairs.molecules == ["CCO"] * 5 + ["CCN"] * 2 + ["CCC"]
    assert pairs.report_["molecules"] == 3
    assert pairs.report_["other_names"] == 4
    kept = build(make_plate("P1", names), standardize=None)
    assert kept.report_["molecules"] == 5


@pytest.mark.parametrize("choice", ["keep", "first", "raise"])
def test_repeated_wells(build, choice):
    frame = make_plate("P1")
    again = make_plate("P1", ["CCBr", "CCI"], n_controls=0).assign(Metadata_Well=["A05", "A06"])
    if choice == "raise":
        with pytest.raises(ValueError, match=r"2 rows repeat the plate and the well.*'s1/b1/P1', 'A05'.*plate_columns"):
            build(pd.concat([frame, again]), repeated_wells=choice)
        return
    pairs = build(pd.concat([frame, again], ignore_index=True), repeated_wells=choice)
    assert pairs.molecules == [*MOLECULES, *(["CCBr", "CCI"] if choice == "keep" else [])]
    assert pairs.report_["repeated_wells"] == 2
    assert pairs.report_["fates"]["repeated"] == (2 if choice == "first" else 0)
    assert pairs.report_["molecules"] == len(set(pairs.molecules))


def test_wells_without_a_name_repeat_nothing(build):
    frame = make_plate("P1").assign(Metadata_Well=None)
    assert len(build(frame, repeated_wells="raise")) == 6
    assert len(build(frame.drop(columns="Metadata_Well"), repeated_wells="raise")) == 6
    other = make_plate("P1", Metadata_Source="s2")
    assert len(build(make_plate("P1"), other, repeated_wells="raise")) == 12


@pytest.mark.parametrize("limit", [1, 3, 5, 39, 40, 100])
def test_capped_wells_are_spread_evenly(build, limit):
    frames = [make_plate(f"P{i}", ["CCO"] * 10 + ["CCN"] * (i == 2)) for i in range(4)]
    pairs = build(*frames, max_wells=limit)
    molecules = np.array(pairs.molecules)
    assert (molecules == "CCO").sum() == min(limit, 40)
    assert (molecules == "CCN").sum() == 1
    counts = (
        pd.Series(pairs.plates[molecules == "CCO"]).value_counts().reindex([f"s1/b1/P{i}" for i in range(4)]).fillna(0)
    )
    assert counts.max() - counts.min() <= 1
    assert pairs.report_["fates"]["capped"] == max(0, 40 - limit)


HELD_OUT = ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC(N)C(=O)O.Cl", "CC([NH3+])C(=O)[O-]",
            "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)")  # fmt: skip


@pytest.mark.parametrize("held_out", HELD_OUT)
def test_held_out_molecules_with_their_salts_and_isomers(build, held_out):
    frame = make_plate("P1", [*MOLECULES, *HELD_OUT])
    pairs = build(frame, hold_out=[held_out, "CCBr"])
    assert pairs.molecules == list(MOLECULES)
    assert pairs.report_["fates"]["held_out"] == len(HELD_OUT)
    assert pairs.digest == build(frame.iloc[:10], dtype="float16").digest


@pytest.mark.parametrize("normalizer", [ProfileNormalizer(control_column=None), ProfileNormalizer(on_missing="plate")])
def test_held_out_molecules_are_in_no_statistic(build, normalizer):
    frame = make_plate("P1", [*MOLECULES, "CCBr"], n_controls=0, Metadata_IsNegcon=False)
    frame.loc[6, "Cells_f0"] = 1e6
    rule = ProfileFilter(max_std=5, min_std=None)
    pairs = build(frame, hold_out="CCBr", normalizer=normalizer, feature_filter=rule, dtype="float32")
    expected = build(frame.iloc[:6], normalizer=normalizer, feature_filter=rule, dtype="float32")
    assert pairs.digest == expected.digest
    assert pairs.n_features == 5


def test_a_molecule_to_hold_out_that_is_none(build):
    with pytest.raises(ValueError, match=r"1 of the molecules to hold out are none, such as 'C1CC'"):
        build(make_plate(), hold_out=["CCO", "C1CC"])


# ---------------------------------------------------------------------------------------------
# Options of the normaliser
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["robust", "mad", "standardize"])
def test_methods(build, method):
    frame = make_plate("P1")
    pairs = build(frame, normalizer=ProfileNormalizer(method), dtype="float32")
    np.testing.assert_array_equal(pairs.profiles, ProfileNormalizer(method).fit_transform(frame)[4:])


def test_plates_without_controls(build):
    frames = [make_plate("P1"), make_plate("P2", n_controls=1)]
    with pytest.raises(ValueError, match=r"'plate0-1.parquet' cannot be normalised: 1 plate\(s\) have fewer than"):
        build(*frames)
    dropped = build(*frames, normalizer=ProfileNormalizer(on_missing="drop"))
    assert set(dropped.plates) == {"s1/b1/P1"}
    assert dropped.report_["fates"]["without_controls"] == 6
    on_all = build(*frames, normalizer=ProfileNormalizer(on_missing="plate"), dtype="float32")
    expected = normalized(frames[1].assign(Metadata_IsNegcon=True))[1:]
    np.testing.assert_allclose(on_all.profiles[6:], expected, rtol=1e-5, atol=1e-6)


def test_all_wells_as_reference(build):
    frame = make_plate("P1")
    pairs = build(frame, normalizer=ProfileNormalizer(control_column=None), dtype="float32")
    expected = normalized(frame.assign(Metadata_IsNegcon=True))[4:]
    np.testing.assert_allclose(pairs.profiles, expected, rtol=1e-5, atol=1e-6)


def test_batches_are_whitened_in_their_file(build):
    def batch(name):
        return pd.concat([make_plate(f"{name}{i}", n_controls=8, Metadata_Batch=name) for i in range(2)])

    normalizer = ProfileNormalizer(whiten=True)
    frames = [batch("A"), batch("B")]
    pairs = build(*frames, normalizer=normalizer, dtype="float32")
    parts = [
        normalizer.fit_transform(f, plates=f["Metadata_Plate"], batches=f["Metadata_Batch"])[~f["Metadata_IsNegcon"]]
        for f in frames
    ]
    np.testing.assert_array_equal(pairs.profiles, np.vstack(parts))
    assert build(pd.concat(frames), normalizer=normalizer, dtype="float32").digest == pairs.digest
    with pytest.raises(
        ValueError, match=r"batch 'A' is spread over '.*-0.parquet' and '.*-1.parquet'.*join the plates"
    ):
        build(frames[0].iloc[:14], frames[0].iloc[14:], normalizer=normalizer)


# ---------------------------------------------------------------------------------------------
# Killed, resumed, repeated, at the same time
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    return [write(make_plate(f"P{i}"), tmp_path / f"P{i}.parquet") for i in range(5)]


@pytest.fixture
def calm(files, tmp_path):
    """What an undisturbed build writes."""
    build_pairs(tmp_path / "calm", files)
    return contents(tmp_path / "calm")


@pytest.fixture
def killed(files, tmp_path):
    """A function that starts a build whose fourth file kills the process, and leaves three parts."""

    def kill(**options):
        log = tmp_path / "log"
        plates = [Plate(file, log, fatal=i == 3) for i, file in enumerate(files)]
        process = start_build(tmp_path / "store", plates, **options)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert log.read_text().split() == ["P0.parquet", "P1.parquet", "P2.parquet", "P3.parquet"]
        log.unlink()
        assert not (tmp_path / "store").exists()
        return [Plate(file, log) for file in files], log

    return kill


@pytest.mark.slow
@pytest.mark.parametrize("with_table", [False, True])
def test_a_killed_build_goes_on_where_it_was(killed, files, tmp_path, with_table):
    options = {"metadata": [pd.DataFrame({"Metadata_Plate": [f"P{i}" for i in range(5)]})]} if with_table else {}
    build_pairs(tmp_path / "calm", files, **options)
    plates, log = killed(**options)
    (tmp_path / "store.partial" / "store").mkdir()  # as a kill while the parts are joined leaves it
    (tmp_path / "store.partial" / "store" / "profiles.npy").write_bytes(b"half")
    (tmp_path / "store.partial" / ".000003.npz.rubbish").write_bytes(b"half")
    build_pairs(tmp_path / "store", plates, **options)
    assert log.read_text().split() == ["P3.parquet", "P4.parquet"]
    assert contents(tmp_path / "store") == contents(tmp_path / "calm")
    assert not [*tmp_path.glob("*partial*")]
    # and once more: nothing is read
    build_pairs(tmp_path / "store", plates, **options)
    assert len(log.read_text().split()) == 2
    assert not [*tmp_path.glob("*partial*")]


CHANGES = {
    "clip": 50.0,
    "dtype": "float32",
    "normalizer": ProfileNormalizer("mad"),
    "feature_filter": ProfileFilter(),
    "columns": "union",
    "controls": "keep",
    "max_wells": 3,
    "repeated_wells": "first",
    "smiles": "Metadata_SMILES",
    "plate_columns": ["Metadata_Plate"],
    "control_column": "Metadata_IsNegcon",
    "features": ["Cells_*"],
    "keep": {"Metadata_Plate": ["P1"]},
    "exclude": {"Metadata_Plate": ["P1"]},
    "hold_out": ["CCO"],
    "standardize": None,
    "missing_files": "skip",
}


def test_a_build_with_other_options_does_not_take_the_parts(killed, tmp_path):
    plates, log = killed()
    for name, value in CHANGES.items():
        with pytest.raises(ValueError, match=rf"unfinished build that differs in \['{name}'\]: finish that one"):
            build_pairs(tmp_path / "store", plates, **{name: value})
    table = pd.DataFrame({"Metadata_Plate": ["P0"]})
    for name, arguments in [("tables", {"metadata": [table]}), ("files", {"plates": plates[::-1]})]:
        with pytest.raises(ValueError, match=rf"differs in \['{name}'\]"):
            build_pairs(tmp_path / "store", **{"plates": plates} | arguments)
    assert not log.exists()
    build_pairs(tmp_path / "store", plates)


@pytest.mark.parametrize("n_names", [2, 100])
def test_finished_builds_are_told_apart(files, tmp_path, n_names):
    rules = [ProfileFilter(blocklist=[f"x{i}" for i in range(n_names // 2)] + [name] +
                           [f"y{i}" for i in range(n_names // 2)]) for name in ("Cells_f1", "Cells_f2")]  # fmt: skip
    plates = [Plate(file, tmp_path / "log") for file in files]
    pairs = build_pairs(tmp_path / "store", plates, feature_filter=rules[0])
    for change in ({"feature_filter": rules[1]}, {}, {"plates": plates[:4], "feature_filter": rules[0]}):
        with pytest.raises(ValueError, match="holds pairs of another build: remove it, or choose another path"):
            build_pairs(tmp_path / "store", **{"plates": plates} | change)
    assert build_pairs(tmp_path / "store", plates, feature_filter=rules[0]).digest == pairs.digest
    assert len((tmp_path / "log").read_text().split()) == 5
    assert not [*tmp_path.glob("*partial*")]


def test_after_an_error_the_options_can_be_corrected(files, tmp_path, calm):
    with pytest.raises(ValueError, match="has no column 'SMILES'"):
        build_pairs(tmp_path / "store", files, smiles="SMILES")
    build_pairs(tmp_path / "store", files)
    assert contents(tmp_path / "store") == calm
    assert not [*tmp_path.glob("*partial*")]


def test_leftovers_beside_a_finished_store_are_removed(files, tmp_path, calm):
    partial = tmp_path / "calm.partial"
    partial.mkdir()
    (partial / "000000.npz").write_bytes(b"half")
    build_pairs(tmp_path / "calm", files)
    assert not [*tmp_path.glob("*partial*")]
    assert contents(tmp_path / "calm") == calm


def test_processes_write_the_same_bytes(files, tmp_path, calm, capsys):
    build_pairs(tmp_path / "store", files, n_jobs=2, verbose=1)
    assert contents(tmp_path / "store") == calm
    assert "5/5" in capsys.readouterr().err


def test_two_builds_at_once(files, tmp_path, calm):
    log = tmp_path / "log"
    table = pd.DataFrame({"Metadata_Plate": ["P0"]})
    processes = [start_build(tmp_path / "store", [Plate(f, log) for f in files], metadata=[table]) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(log.read_text().split()) == [file.name for file in files]
    assert contents(tmp_path / "store")["profiles.npy"] == calm["profiles.npy"]
    assert not [*tmp_path.glob("*partial*")]


@pytest.mark.slow
def test_builds_killed_at_random_times(tmp_path):
    assert len(build_under_kills(3, 0, tmp_path)) == 3


# ---------------------------------------------------------------------------------------------
# Bad plates
# ---------------------------------------------------------------------------------------------


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
        bad_plate(without("Metadata_SMILES"), r"has no column 'of structures'; its first columns are \['Cells_f0'"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Structure'", smiles="Metadata_Structure"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Rep'; its metadata are \['Metadata_Source'",
                  plate_columns=["Metadata_Plate", "Metadata_Rep"]),
        bad_plate(lambda f: f, r"has no column 'Metadata_Dose'", dose_column="Metadata_Dose"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Share'", weight_column="Metadata_Share"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Type'", control_column="Metadata_Type"),
        bad_plate(lambda f: f, r"has no column 'Metadata_Kind'", keep={"Metadata_Kind": ["a"]}),
        bad_plate(lambda f: f, r"has no column 'Metadata_Kind'", exclude={"Metadata_Kind": "a"}),
        bad_plate(lambda f: f, r"has no numeric column \['Nuclei_\*'\]", features=["Nuclei_*"]),
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
                  r"holds 1 in the column of controls"),
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
        ("bad.csv.gz", lambda path: path.write_bytes(b"no gzip"), ValueError, "cannot be read as a table"),
        ("bad.csv", lambda path: path.write_bytes(b""), ValueError, "cannot be read as a table"),
        ("bad.xlsx", lambda path: path.write_bytes(b""), ValueError, r"is no .parquet, .csv or .tsv file"),
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
        ({"max_wells": 0}, r"max_wells must be at least 1, got 0"),
        ({"normalizer": "robust"}, r'normalizer must be a ProfileNormalizer, None or "passthrough", got \'robust\''),
        ({"normalizer": ProfileFilter()}, r"normalizer must be a ProfileNormalizer"),
        ({"standardize": "salt"}, r"standardize must be None, 'parent' or a callable"),
        ({"plates": []}, r"There are no plates: give at least one file"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
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
    with pytest.raises(ValueError, match="No well is left to store"):
        build_pairs(tmp_path / "none", [gone], missing_files="skip")


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


def test_the_header_says_where_all_came_from(files, tmp_path, calm):
    header = json.loads(calm["header.json"])
    assert [file["name"] for file in header["files"]] == [Path(file).name for file in files]
    assert all(len(file["sha256"]) == 64 for file in header["files"])
    pairs = PairedProfiles.open(tmp_path / "calm")
    assert pairs.recipe_ == header["recipe"]
    pairs.recipe_.clear()
    pairs.report_["fates"].clear()
    assert pairs.recipe_
    assert pairs.report_["fates"]["stored"] == len(pairs) == 30


def test_another_content_of_a_file_is_another_build(tmp_path):
    path = tmp_path / "plate.parquet"
    make_plate().to_parquet(path)
    build_pairs(tmp_path / "store", [path])
    assert [file["bytes"] for file in PairedProfiles.open(tmp_path / "store").files_] == [path.stat().st_size]
    pd.concat([make_plate(), make_plate("P2")]).to_parquet(path)
    with pytest.raises(ValueError, match="holds pairs of another build"):
        build_pairs(tmp_path / "store", [path])


def test_another_content_of_the_same_size_is_another_build(tmp_path):
    path = tmp_path / "plate.csv"

    def write_later(seed):
        """All numbers have one width, and a file that is written again is newer."""
        make_plate(seed=seed).to_csv(path, index=False, float_format="%+.6e")
        written = path.stat()
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns + 10**9))
        return written.st_size

    size = write_later(seed=0)
    digest = build_pairs(tmp_path / "store", [path]).digest
    assert write_later(seed=0) == size
    assert build_pairs(tmp_path / "store", [path]).digest == digest
    assert write_later(seed=1) == size
    with pytest.raises(ValueError, match="holds pairs of another build"):
        build_pairs(tmp_path / "store", [path])


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
    with pytest.raises(ValueError, match=f"The normalizer has {next(iter(options))}=.*not looked at here"):
        build_pairs(tmp_path / "store", [tmp_path / "plate.parquet"], normalizer=ProfileNormalizer(**options))


@pytest.mark.parametrize("argument", ["plates", "metadata"])
def test_one_file_is_no_list(tmp_path, argument):
    with pytest.raises(TypeError, match=f"{argument} must be a list of files, got one str"):
        build_pairs(tmp_path / "store", **{"plates": [tmp_path / "none.parquet"]} | {argument: "plate.parquet"})
