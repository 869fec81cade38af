"""``build_pairs``: options that match nothing, and names that stand for several plates, are said."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import build_pairs
from mocop_sklearn.profiles import ProfileNormalizer
from tests.helpers.platemaker import MOLECULES, make_plate, normalized, write


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [
        ("exclude", "A5", r" \(did you mean 'A05'\?\)"),
        ("exclude", "a05", r" \(did you mean 'A05'\?\)"),
        ("exclude", "A05.0", r" \(did you mean 'A05'\?\)"),
        ("exclude", "A-05", r" \(did you mean 'A05'\?\)"),
        ("exclude", "H12", ""),
        ("keep", "A5", r" \(did you mean 'A05'\?\)"),
    ],
)
def test_a_value_that_matches_nothing(build, option, value, near):
    message = (
        rf"{option}: 1 of 2 values match none of the 10 wells in the column 'Metadata_Well': '{value}'{near}\. "
        r"The column holds values such as 'A01', 'A02'"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        pairs = build(make_plate("P1"), **{option: {"Metadata_Well": ["A06", value]}})
    assert caught[0].filename.endswith("conftest.py")  # the caller of build_pairs
    assert pairs.report_["notices"] == [str(caught[0].message)]
    assert pairs.report_["fates"]["excluded"] == (option == "exclude")


def test_a_value_in_any_file_is_enough(build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = build(make_plate("P1"), make_plate("P2"), exclude={"Metadata_Plate": ["P2"]})
    assert pairs.report_["notices"] == []
    assert len(pairs) == 6


def test_nothing_is_left_because_nothing_matched(build):
    with pytest.raises(ValueError, match=r"No well is left to store: .*keep: 1 of 1 .*'p1' \(did you mean 'P1'\?"):
        build(make_plate("P1"), keep={"Metadata_Plate": ["p1"]})


def test_molecules_to_hold_out_that_are_not_there(build):
    with pytest.warns(UserWarning, match=r"hold_out: 2 molecules are in none of the 10 wells: 'CCBr', 'CCI'\."):
        pairs = build(make_plate("P1"), hold_out=["CCBr", "CCO", "CCI"])
    assert pairs.report_["fates"]["held_out"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(make_plate("P1"), hold_out=["[NH3+]CC.[Cl-]"])  # the salt of a molecule that is there


def test_molecules_to_hold_out_with_a_tautomer_that_is_there(build):
    plate = make_plate("P1", ["CCO", "CC(C)=O", "C=CCO", "c1ccccc1", "CCCl", "O=C1CCC=CC1"])
    absent = ["CCBr", "CC(=C)O.Cl", "CCCO", "OC1=CCC=CC1"]
    near = (
        r"'CC\(=C\)O.Cl' \(did you mean 'CC\(C\)=O'\?\), 'OC1=CCC=CC1' \(did you mean 'O=C1CC=CCC1'\?\), "
        r"'CCBr', 'CCCO'\."
    )
    with pytest.warns(UserWarning, match=f"hold_out: 4 molecules are in none of the 10 wells: {near}"):
        build(plate, hold_out=absent)


def test_a_value_that_was_cut_at_its_commas(build):
    plate = make_plate("P1", Metadata_Name=["2,4-DNP", "1,2,3-trichlorobenzene", "a, b", *"cdefghi"])
    values = ["2", "4-DNP", "c", "1", "2", "3-trichlorobenzene", "a", " b"]
    with pytest.warns(UserWarning, match="did you mean") as caught:
        build(plate, exclude={"Metadata_Name": values})
    message = str(caught[0].message)
    assert "'4-DNP' (did you mean '2,4-DNP'?)" in message
    assert "'3-trichlorobenzene' (did you mean '1,2,3-trichlorobenzene'?)" in message
    assert "' b' (did you mean 'a, b'?)" in message
    assert "'c'" not in message.partition("The column")[0]
    assert message.endswith("On the command line, put a value with a comma in double quotation marks.")


def test_a_table_that_matches_nothing(build, tmp_path):
    plate = make_plate("P1")
    table = plate[["Metadata_Well"]].assign(Metadata_Share=1.0)
    table["Metadata_Well"] = table["Metadata_Well"].str.replace("A", "a")
    write(table, tmp_path / "shares.csv")
    message = (
        r"the table 'shares.csv' has a row for none of the 10 wells\. They are joined on \['Metadata_Well'\]; a well "
        r"has 'A01' \(did you mean 'a01'\?\)"
    )
    with pytest.warns(UserWarning, match=message):
        pairs = build(plate, metadata=[tmp_path / "shares.csv"])
    assert pairs.report_["joins"] == [{"table": "shares.csv", "on": ["Metadata_Well"], "wells": 10, "found": 0}]


def test_structures_in_a_table_that_matches_nothing(build):
    plate = make_plate("P1")
    table = plate[["Metadata_Plate", "Metadata_Well", "Metadata_SMILES"]].assign(Metadata_Plate="P-1")
    with pytest.raises(ValueError, match=r"'without_structure': 6.*a well has 'P1, A01' \(did you mean 'P-1, A01'\?\)"):
        build(plate.drop(columns="Metadata_SMILES"), metadata=[table])


# ---------------------------------------------------------------------------------------------
# Names of plates
# ---------------------------------------------------------------------------------------------


def test_one_name_for_plates_with_other_molecules(build):
    frames = [make_plate("P1"), make_plate("P1", MOLECULES[::-1])]
    with pytest.warns(UserWarning, match=r"6 rows repeat the plate and the well of another row, 6 of them with"):
        build(*frames)


@pytest.mark.parametrize("column", ["Metadata_SourceFile", "Metadata_Microscope", "Metadata_ImagingFolder"])
def test_one_name_for_a_plate_on_several_microscopes(build, column):
    frames = [make_plate("P1", MOLECULES * 4, seed=i, **{column: f"scope{i}"}) for i in range(3)]
    together = pd.concat(frames, ignore_index=True)
    message = rf"0 of them with another molecule and 0 in another file, .* 's1/b1/P1'.*{column} tells them apart"
    with pytest.warns(UserWarning, match=message):
        build(together)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = build(together, plate_columns=["Metadata_Plate", column], dtype="float32")
    assert sorted(set(pairs.plates)) == [f"P1/scope{i}" for i in range(3)]
    np.testing.assert_allclose(pairs.profiles[:24], normalized(frames[0])[4:], rtol=1e-5, atol=1e-5)


def test_one_name_for_a_plate_in_several_files(build):
    with pytest.warns(UserWarning, match="6 rows repeat .*, 0 of them with another molecule and 6 in another file"):
        build(make_plate("P1"), make_plate("P1", seed=1))


def test_sites_of_a_well_are_not_plates(build):
    frames = [make_plate("P1", MOLECULES * 4, seed=i, Metadata_Site=i) for i in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = build(pd.concat(frames, ignore_index=True))
    assert pairs.report_["repeated_wells"] == 48


# ---------------------------------------------------------------------------------------------
# Profiles of compounds
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalizer", [None, "passthrough"])
def test_profiles_of_compounds_need_neither_plates_nor_controls(tmp_path, normalizer):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(6, 3)), columns=["a", "b", "c"]).assign(SMILES=MOLECULES)
    path = write(table, tmp_path / "compounds.csv")
    pairs = build_pairs(tmp_path / "store", [path], normalizer=normalizer, dtype="float32", clip=None)
    assert pairs.molecules == list(MOLECULES)
    np.testing.assert_array_equal(pairs.profiles, table[["a", "b", "c"]].to_numpy(np.float32))
    assert pairs.provenance["normalization"] == {"method": "none"}


@pytest.mark.parametrize("method", ["robust", "mad", "standardize"])
def test_a_method_by_its_name(build, method):
    expected = build(make_plate("P1"), normalizer=ProfileNormalizer(method))
    assert build(make_plate("P1"), normalizer=method).digest == expected.digest
