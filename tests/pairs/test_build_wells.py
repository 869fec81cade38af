"""``build_pairs``: what becomes of each well, and the options of the normaliser."""

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn.datasets import JUMP_POSITIVE_CONTROLS
from mocop_sklearn.pairs._assembly import FATES
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from tests.helpers.platemaker import (
    MOLECULES,
    make_plate,
    normalized,
)


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
    with pytest.warns(UserWarning, match=r"exclude: 3 of 8 values match none of the 10 wells in the column"):
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
    wells = pd.concat([frame, again], ignore_index=True)
    if choice == "keep":
        with pytest.warns(UserWarning, match=r"2 rows repeat the plate and the well.*, 2 of them with another mol"):
            pairs = build(wells, repeated_wells=choice)
    else:
        pairs = build(wells, repeated_wells=choice)
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
    with pytest.warns(UserWarning, match="hold_out: 1 molecules are in none of the 16 wells: 'CCBr'"):
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
    with pytest.raises(ValueError, match=r"1 of the 2 texts in hold_out are not valid molecules, such as 'C1CC': mend"):
        build(make_plate(), hold_out=["CCO", "C1CC"])


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
