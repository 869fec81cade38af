"""``build_pairs``: tables of metadata, and wells that are chosen by them."""

import gzip
import itertools
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from rdkit import Chem

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.cli import main
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from tests.helpers.platemaker import (
    MOLECULES,
    make_plate,
    write,
)


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
    assert [join["found"] for join in pairs.report_["joins"]] == [20, 20, 20]
    same = ("fates", "wells", "plates", "molecules", "repeated_wells", "features")
    assert [pairs.report_[name] for name in same] == [expected.report_[name] for name in same]


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


@pytest.mark.parametrize("kind", ["frame", "csv"])
def test_a_row_without_a_key_belongs_to_no_well(build, tmp_path, kind):
    lean, tables, _ = jump_like()
    wells = tables["well"].astype({"Metadata_JCP2022": object})
    wells.loc[wells["Metadata_Well"] == "A06", "Metadata_JCP2022"] = None
    nameless = tables["compound"].tail(2).assign(Metadata_JCP2022=None)
    compound = pd.concat([tables["compound"], nameless], ignore_index=True)
    tables = [tables["plate"], wells, compound]
    if kind == "csv":
        tables = [write(table, tmp_path / f"{i}.csv") for i, table in enumerate(tables)]
    fates = build(*lean, metadata=tables).report_["fates"]
    assert (fates["without_structure"], fates["stored"]) == (2, 10)


def test_a_missing_value_among_keys_is_that_of_a_table(build):
    lean, tables, _ = jump_like()
    lean = [frame.assign(Metadata_Run=None) for frame in lean]
    wells = tables["well"].assign(Metadata_Run=None)
    expected = build(*lean, metadata=[tables["plate"], tables["well"], tables["compound"]])
    assert build(*lean, metadata=[tables["plate"], wells, tables["compound"]]).digest == expected.digest


def test_tables_in_memory(build):
    lean, tables, _ = jump_like()
    expected = build(*lean, metadata=tables.values())
    forms = (
        lambda table: table.set_index(table.columns[0]),
        pl.from_pandas,
        lambda table: pa.Table.from_pandas(table, preserve_index=False),
    )
    for form in forms:
        assert build(*lean, metadata=map(form, tables.values())).digest == expected.digest
    mixed = tables["well"].assign(Metadata_JCP2022=[1, *tables["well"]["Metadata_JCP2022"].iloc[1:]])
    with pytest.raises(ValueError, match=r"metadata\[1\] cannot be written as a table: .*and values of one type"):
        build(*lean, metadata=[tables["plate"], mixed, tables["compound"]])
    with pytest.raises(TypeError, match=r"metadata\[0\] is a dict: give a path or a DataFrame"):
        build(*lean, metadata=[{"Metadata_Plate": ["P1"]}])


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
