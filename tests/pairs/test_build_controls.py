"""``build_pairs``: which wells are negative controls, and by which rule."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn.datasets import JUMP_NEGCON
from mocop_sklearn.profiles import ProfileNormalizer
from tests.helpers.platemaker import DMSO, MOLECULES, make_plate


def anonymous(frame, structure=DMSO, **columns):
    """A plate without Metadata_IsNegcon; columns have a value for controls and one for the other wells."""
    control = frame["Metadata_IsNegcon"].to_numpy()
    named = {name: np.where(control, *values) for name, values in columns.items()}
    wells = frame.drop(columns="Metadata_IsNegcon").assign(**named)
    wells.loc[control, "Metadata_SMILES"] = structure
    return wells


@pytest.mark.parametrize("structure", [DMSO, "O=S(C)C", "C[S+](C)[O-]", "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"])
def test_controls_are_the_wells_whose_structure_is_dmso(build, structure):
    pairs = build(anonymous(make_plate("P1"), structure))
    assert pairs.digest == build(make_plate("P1")).digest
    assert pairs.report_["controls"] == {"structure is DMSO alone": 4}
    assert pairs.report_["fates"]["control"] == 4


@pytest.mark.parametrize("solvate", ["CCO.CS(C)=O", "CS(C)=O.O", "CS(C)=O.Cl"])
def test_a_solvate_is_not_a_control(build, solvate):
    """Its parent may be DMSO, but it is not the vehicle."""
    frame = make_plate("P1", (*MOLECULES, solvate))
    frame.loc[10, "Cells_f0"] = 1e6
    pairs = build(anonymous(frame), dtype="float32", clip=None)
    assert pairs.report_["controls"] == {"structure is DMSO alone": 4}
    np.testing.assert_array_equal(pairs.profiles[:6], build(make_plate("P1"), dtype="float32", clip=None).profiles)
    assert len(pairs) == 7


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"Metadata_control_type": ("negcon", "")}, "Metadata_control_type is negcon"),
        ({"Metadata_control_type": ("negcon", "poscon_cp")}, "Metadata_control_type is negcon"),
        ({"Metadata_Control_Type": ("Negative", "Positive")}, "Metadata_Control_Type is negcon"),
        ({"Metadata_pert_type": ("control", "trt")}, "Metadata_pert_type is control"),
        ({"Metadata_pert_type": ("ctl_vehicle", "trt_cp")}, "Metadata_pert_type is negcon"),
        ({"Metadata_broad_sample": ("DMSO", "BRD-K50691590-001-02-2")}, "Metadata_broad_sample is DMSO"),
        ({"Metadata_pert_iname": ("DMSO", "bortezomib")}, "Metadata_pert_iname is DMSO"),
        ({"Metadata_Compound": ("DMSO", "taxol")}, "Metadata_Compound is DMSO"),
        ({"Metadata_JCP2022": (JUMP_NEGCON, "JCP2022_000001")}, f"Metadata_JCP2022 is {JUMP_NEGCON}"),
    ],
)
def test_conventions_mark_controls_without_a_structure(build, columns, rule):
    wells = anonymous(make_plate("P1"), None, **columns, Metadata_solvent=("DMSO", "DMSO"))
    pairs = build(wells)
    assert pairs.digest == build(make_plate("P1")).digest
    assert pairs.report_["controls"] == {rule: 4}


def test_positive_controls_are_not_negative_ones(build):
    """The type of a perturbation says control of both; the structure or the type of control tells which."""
    wells = anonymous(make_plate("P1"), None, Metadata_pert_type=("control", "trt"))
    wells.loc[8:, "Metadata_pert_type"] = "control"
    assert build(wells).report_["controls"] == {"Metadata_pert_type is control": 4}
    typed = wells.assign(Metadata_control_type=["negcon"] * 4 + [""] * 4 + ["poscon_diverse"] * 2)
    typed.loc[9, "Metadata_SMILES"] = None
    assert build(typed).report_["controls"] == {"Metadata_control_type is negcon": 4}


def test_several_rules_may_find_a_well(build):
    wells = anonymous(make_plate("P1"), Metadata_control_type=("negcon", ""), Metadata_pert_iname=("DMSO", "x"))
    pairs = build(wells)
    assert pairs.report_["controls"] == {
        "Metadata_control_type is negcon": 4,
        "Metadata_pert_iname is DMSO": 4,
        "structure is DMSO alone": 4,
    }
    assert pairs.report_["fates"]["control"] == 4


def test_a_column_of_its_own_decides_alone(build):
    frame = make_plate("P1")
    frame.loc[9, "Metadata_SMILES"] = DMSO
    pairs = build(frame)
    assert pairs.report_["controls"] == {"Metadata_IsNegcon": 4}
    assert pairs.molecules[-1] == DMSO


@pytest.mark.parametrize("label", ["negcon", ["negcon"]])
def test_controls_by_label(build, label):
    frame = make_plate("P1")
    named = anonymous(frame, type=("negcon", "trt"))
    pairs = build(named, control_column="type", control_label=label)
    assert pairs.digest == build(frame).digest
    assert pairs.report_["controls"] == {"type is negcon": 4}


@pytest.mark.parametrize(("label", "near"), [("NegCon", r" \(did you mean 'negcon'\?\)"), ("vehicle", "")])
def test_a_label_that_matches_nothing(build, label, near):
    named = anonymous(make_plate("P1"), type=("negcon", "trt"))
    with pytest.raises(ValueError, match=rf"fewer than min_controls.*control_label: 1 of 1 values .*'{label}'{near}\."):
        build(named, control_column="type", control_label=label)
    normalizer = ProfileNormalizer(on_missing="plate")
    message = rf"control_label: 1 of 2 values match none of the 10 wells in the column 'type': '{label}'{near}\."
    with pytest.warns(UserWarning, match=message):
        build(named, control_column="type", control_label=["negcon", label], normalizer=normalizer)


def test_a_label_needs_a_column(build):
    with pytest.raises(ValueError, match=r"no column 'Metadata_IsNegcon' for control_label: name the column with"):
        build(anonymous(make_plate("P1")), control_label="negcon")


def test_rules_are_counted_over_all_files(build):
    frames = [anonymous(make_plate(f"P{i}"), Metadata_pert_type=("control", "trt")) for i in range(3)]
    assert build(*frames).report_["controls"] == {
        "Metadata_pert_type is control": 12,
        "structure is DMSO alone": 12,
    }
    assert build(pd.concat(frames, ignore_index=True)).report_["controls"]["structure is DMSO alone"] == 12
