"""Views of some rows and features."""

import pickle

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles
from tests.helpers.wells import labelled

ROWS = [
    slice(None),
    slice(2, 9, 3),
    [0, 5, 5, 11],
    [-1, 0],
    np.arange(12) % 2 == 0,
    np.array([7]),
    slice(None, None, -1),
]


def same(pairs, other):
    assert len(pairs) == len(other)
    assert pairs.molecules == other.molecules
    assert pairs.feature_names == other.feature_names
    assert pairs.n_features == other.n_features
    for name in ("profiles", "sources", "batches", "plates", "wells", "doses", "sample_weight", "source_codes"):
        np.testing.assert_array_equal(getattr(pairs, name), getattr(other, name))


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_a_view_has_some_rows_of_all(many, rows):
    view = many[rows]
    assert view.molecules == np.array(many.molecules)[rows].tolist()
    for name in ("profiles", "sources", "plates", "wells", "doses", "sample_weight", "source_codes"):
        np.testing.assert_array_equal(getattr(view, name), getattr(many, name)[rows])
    unique, place = view.distinct_molecules()
    assert [unique[i] for i in place] == view.molecules
    assert sorted(set(unique)) == sorted(unique) == sorted(set(view.molecules))
    assert repr(view) == f"PairedProfiles({len(view)} rows, 4 features)"
    assert view.has_values().tolist() == [True] * len(view)


def test_views_of_views(many):
    rows = np.array([9, 2, 4, 4, 0])
    same(many[rows][[3, 0]], many[rows[[3, 0]]])
    same(many[rows][1:].select_features([2, 0]), many.select_features([2, 0])[rows][1:])
    same(many.select_features([3, 1, 0]).select_features([2, 0]), many.select_features([0, 3]))
    same(many[rows].with_dose()[::-1], many[rows[::-1]].with_dose())
    same(many[rows].with_dose().with_dose(), many.with_dose()[rows])
    assert many[rows][[3, 0]].digest == many[rows[[3, 0]]].digest
    assert many.select_features([3, 1, 0]).select_features([2, 0]).digest == many.select_features([0, 3]).digest


def test_a_frame_of_booleans_or_a_series_chooses_rows(many):
    same(many[pd.Series(many.doses) < 5], many[:4])
    same(many[(many.doses < 5).tolist()], many[:4])


def test_a_mask_chooses_features(many):
    same(many.select_features([True, False, True, True]), many.select_features([0, 2, 3]))
    same(many.select_features([0, 2, 3]).select_features([False, True, True]), many.select_features([2, 3]))
    same(many.select_features([-1, 0]), many.select_features([3, 0]))
    assert many.select_features([-1, 0]).digest == many.select_features([3, 0]).digest


@pytest.mark.parametrize("columns", [[], [1, 1], [3, -1], [False] * 4, ["a"], [1.0], 2], ids=repr)
def test_features_that_cannot_be_chosen(many, columns):
    with pytest.raises(ValueError, match="Choose at least one feature"):
        many.select_features(columns)
    for beyond in ([4], [True] * 3):
        with pytest.raises(IndexError, match=r"out of bounds|did not match"):
            many.select_features(beyond)


def test_a_float32_matrix_is_not_copied():
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    pairs = PairedProfiles(["C", "CC", "CCC", "CO"], matrix)
    assert np.shares_memory(pairs.profiles, matrix)
    assert np.shares_memory(pairs.read(slice(1, 3)), matrix)


def test_some_rows_are_read(many):
    for view in (many, many[[5, 1, 8, 8]], many.select_features([2, 0]), many[3:].with_dose()):
        for rows in ([0, 2], slice(1, 3), np.arange(len(view)) == 1):
            np.testing.assert_array_equal(view.read(rows), view.profiles[rows])


@pytest.mark.parametrize("rows", [[], slice(0, 0), np.zeros(12, dtype=bool), 3, np.array([[0, 1]])], ids=repr)
def test_a_view_has_at_least_one_row(many, rows):
    with pytest.raises((ValueError, IndexError), match=r"Choose at least one row|arrays used as indices"):
        many[rows]


@pytest.mark.parametrize("rows", [[12], np.ones(11, dtype=bool), [-13]], ids=repr)
def test_rows_that_are_not_there(many, rows):
    with pytest.raises(IndexError, match=r"out of bounds|did not match"):
        many[rows]


def test_the_dose_is_the_last_feature(many):
    view = many.with_dose()
    assert view.feature_names == [*many.feature_names, "Log10Dose"]
    assert view.n_features == 5
    np.testing.assert_allclose(view.profiles[:, -1], np.log10(np.arange(1, 13)), rtol=1e-6)
    np.testing.assert_array_equal(view.profiles[:, :-1], many.profiles)
    with pytest.raises(ValueError, match="Choose features before the dose is added to them"):
        view.select_features([0])
    assert len({view.digest, many.digest, many[1:].digest, view[1:].digest}) == 4


def test_doses_that_have_no_logarithm():
    molecules, frame, doses, _ = labelled()
    with pytest.raises(ValueError, match="These pairs have no doses: give doses="):
        PairedProfiles(molecules, frame).with_dose()
    doses[[3, 7]] = 0, np.nan
    pairs = PairedProfiles(molecules, frame, doses=doses)
    with pytest.raises(ValueError, match=r"Row 3 has the dose 0.0; a logarithm needs doses above 0: leave it out"):
        pairs.with_dose()
    view = pairs[pairs.doses != 0].with_dose()
    assert np.isnan(view.profiles[:, -1]).tolist() == [False] * 6 + [True] + [False] * 4


def test_digests_of_views_tell_them_apart(many):
    views = [many, many[:6], many[6:], many[::-1], many[[0, 1]], many[[1, 0]], many[[0, 0]], many.select_features([0]),
             many.select_features([1]), many.select_features([0, 1]), many[[0]].select_features([0]), many.with_dose(),
             many.select_features([1, 0, 2, 3]), many[:6].with_dose()]  # fmt: skip
    assert len({view.digest for view in views}) == len(views)
    assert many[2:5].digest == many[[2, 3, 4]].digest == many[1:][1:4].digest
    for view in views:
        again = pickle.loads(pickle.dumps(view))
        assert again.digest == view.digest
        same(again, view)
