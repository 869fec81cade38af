"""Training fractions: proportions, nesting, tasks, groups, and labels that are missing."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn.model_selection import training_fractions
from tests.helpers.library import real

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def assert_nested(subsets, n):
    for fraction, rows in subsets.items():
        assert rows.size
        np.testing.assert_array_equal(rows, np.unique(rows))
        assert 0 <= rows[0] <= rows[-1] < n
        assert fraction < 1 or len(rows) == n
    ascending = [subsets[fraction] for fraction in sorted(subsets)]
    assert all(np.isin(small, large).all() for small, large in pairwise(ascending))


@pytest.mark.parametrize(
    "y",
    [
        np.repeat([0, 1], [960, 40]),
        np.repeat([0, 1], [960, 40]).astype(bool),
        np.repeat(["a", "b", "c"], [700, 297, 3]),
        pd.Series(np.repeat(["a", "b"], [900, 100]), index=np.arange(1000) // 2),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_class_proportions_hold_in_each_fraction(y, seed):
    order = np.random.default_rng(seed).permutation(len(y))
    y = y.iloc[order] if isinstance(y, pd.Series) else y[order]
    subsets = training_fractions(y, random_state=seed)
    assert tuple(subsets) == FRACTIONS
    assert_nested(subsets, len(y))
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    for fraction, rows in subsets.items():
        assert len(rows) == round(fraction * len(y))
        counts = np.bincount(codes[rows], minlength=len(classes))
        assert counts.min() >= 1
        assert np.abs(counts - fraction * np.bincount(codes)).max() <= 1


def test_small_sets_hold_each_class_when_they_have_room():
    y = np.repeat(np.arange(8), [200, 100, 40, 20, 20, 10, 5, 5])
    for seed in range(5):
        subsets = training_fractions(y, (0.0025, 0.01, 0.02), random_state=seed)
        assert [len(set(y[rows])) for rows in subsets.values()] == [1, 4, 8]
        assert set(y[subsets[0.01]]) == {0, 1, 2, 3} or set(y[subsets[0.01]]) == {0, 1, 2, 4}


def test_regression_is_spread_over_its_range():
    y = np.random.default_rng(0).lognormal(size=1000)
    tenth = np.searchsorted(np.quantile(y, np.arange(0.1, 1, 0.1)), y)
    for fraction, rows in training_fractions(y, (0.01, 0.05, 0.5), random_state=0).items():
        np.testing.assert_array_equal(np.bincount(tenth[rows]), np.full(10, 100 * fraction))
    counts = np.arange(1000) + 7  # whole numbers, but no classes
    rows = training_fractions(counts, (0.01,), random_state=0)[0.01]
    np.testing.assert_array_equal(rows // 100, np.arange(10))


@pytest.fixture
def sparse_tasks():
    rng = np.random.default_rng(0)
    Y = (rng.random((2000, 20)) < np.linspace(0.01, 0.5, 20)).astype(np.float32)
    Y[rng.random(Y.shape) < 0.8] = np.nan
    Y[:100] = np.nan
    Y[100:103, 0] = 1
    return Y


def test_rare_labels_of_many_tasks_appear_early(sparse_tasks):
    Y = pd.DataFrame(sparse_tasks)
    subsets = training_fractions(Y, random_state=0)
    assert_nested(subsets, len(Y))
    is_label = np.hstack([sparse_tasks == 0, sparse_tasks == 1])
    is_label = is_label[:, is_label.any(axis=0)]
    rng = np.random.default_rng(0)
    error, error_of_random = [], []
    for fraction, rows in list(subsets.items())[1:]:
        assert len(rows) == round(fraction * len(Y))
        assert is_label[rows].any(axis=0).all()
        share = fraction * is_label.sum(axis=0)
        error.append(np.abs(is_label[rows].sum(axis=0) - share).mean())
        draw = rng.choice(len(Y), len(rows), replace=False)
        error_of_random.append(np.abs(is_label[draw].sum(axis=0) - share).mean())
    assert sum(error) < sum(error_of_random)


def test_tasks_may_be_measured_nowhere_and_rows_have_no_label(sparse_tasks):
    sparse_tasks[:, 3] = np.nan
    subsets = training_fractions(sparse_tasks, random_state=0)
    unlabelled = [np.sum(rows < 100) / len(rows) for rows in subsets.values()]
    np.testing.assert_allclose(unlabelled[3:], 0.05, atol=0.02)
    assert_nested(training_fractions(np.full((50, 2), np.nan), random_state=0), 50)


def test_missing_labels_of_one_task():
    y = np.repeat([0.0, 1.0, np.nan], [60, 20, 20])
    rows = training_fractions(y, (0.1,), random_state=0)[0.1]
    assert np.nansum(y[rows]) == 2
    assert np.isnan(y[rows]).sum() == 2
    texts = np.repeat(np.array(["a", "b", None], dtype=object), [60, 20, 20])
    np.testing.assert_array_equal(training_fractions(texts, (0.1,), random_state=0)[0.1], rows)


def test_tasks_of_measurements():
    Y = np.random.default_rng(0).normal(size=(400, 3))
    for fraction, rows in training_fractions(Y, (0.1, 0.5), random_state=0).items():
        high = (Y[rows] > np.median(Y, axis=0)).mean(axis=0)
        np.testing.assert_allclose(high, 0.5, atol=0.1 if fraction < 0.5 else 0.03)


@pytest.mark.parametrize("named", [False, True])
def test_groups_stay_whole(named):
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 300, 1000))
    y = (rng.random(1000) < 0.2).astype(int)
    subsets = training_fractions(y, groups=[f"g{g}" for g in groups] if named else groups, random_state=0)
    assert_nested(subsets, 1000)
    for fraction, rows in subsets.items():
        assert not np.isin(groups[rows], np.delete(groups, rows)).any()
        assert abs(len(rows) - 1000 * fraction) <= 2
        assert abs(y[rows].sum() - fraction * y.sum()) <= 2 + 0.05 * fraction * y.sum()


def test_a_large_group_waits_for_a_large_fraction():
    groups = np.r_[np.zeros(600, dtype=int), np.arange(1, 401)]
    for seed in range(5):
        subsets = training_fractions(np.arange(1000) % 2, (0.01, 0.1, 0.7, 1), groups=groups, random_state=seed)
        assert [len(rows) for rows in subsets.values()][:2] == [10, 100]
        assert 600 < len(subsets[0.7]) < 1000
    only = training_fractions([0, 1, 0, 1], (0.1, 1.0), groups=[0, 0, 0, 0])
    assert [len(rows) for rows in only.values()] == [4, 4]


def test_the_seed_decides():
    y = np.arange(200) % 2
    first, again, other = (training_fractions(y, (0.1,), random_state=seed)[0.1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(training_fractions(y, (0.1,), random_state=rng)[0.1], first)


def test_fractions_come_back_in_the_order_they_were_given():
    subsets = training_fractions(np.arange(100) % 2, (1, 0.5, 0.1, 0.5), random_state=0)
    assert list(subsets) == [1, 0.5, 0.1]
    assert_nested(subsets, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": ()}, "fractions must be a list of one or more numbers above 0 and at most 1"),
        ({"fractions": 0.5}, "fractions must be a list"),
        ({"fractions": (0, 0.5)}, "fractions must be a list"),
        ({"fractions": (0.5, 1.5)}, "fractions must be a list"),
        ({"fractions": ("half",)}, "fractions must be a list"),
        ({"groups": [1, 2]}, re.escape("one value for each of the 4 rows of y, got shape (2,)")),
        ({"groups": [[1, 2], [3, 4]]}, "one value for each of the 4 rows"),
        ({"groups": [1, 2, None, 3]}, "groups has missing values"),
        ({"groups": [1, 2, np.nan, 3]}, "groups has missing values"),
        ({"groups": pd.Series(["a", pd.NA, "b", "c"], dtype="string")}, "groups has missing values"),
        ({"groups": np.array([1, "a", 2, 3], dtype=object)}, "groups mixes values that have no order"),
        ({"y": [0, 1, np.inf, 0]}, "infinity"),
        ({"y": np.array([0, 1, np.inf, 0], dtype=object)}, "infinite value"),
        ({"y": []}, "0 sample"),
        ({"y": np.zeros((2, 2, 2))}, "dim 3"),
    ],
)
def test_bad_training_fractions(arguments, message):
    with pytest.raises(ValueError, match=message):
        training_fractions(**{"y": [0, 1, 0, 1]} | arguments)


def test_rows_without_a_label_take_no_place_of_a_label():
    y = np.r_[np.full(196, np.nan), [0, 0, 1, 1]]
    subsets = training_fractions(y, (0.005, 0.01, 0.02), random_state=0)
    assert sorted(y[subsets[0.01]]) == [0, 1]
    assert len(subsets[0.005]) == 1
    assert y[subsets[0.005]] in (0, 1)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, pd.NA, 0] * 20, dtype="Int64"),
        pd.Series(["a", pd.NA, "b"] * 20, dtype="string"),
        pd.Series(["a", None, "b"] * 20, dtype=object),
        ["a", float("nan"), "b"] * 20,
    ],
)
def test_missing_labels_come_in_any_form(y):
    expected = training_fractions(np.array([1.0, np.nan, 0.0] * 20), (0.1, 0.5), random_state=0)
    for fraction, rows in training_fractions(y, (0.1, 0.5), random_state=0).items():
        counts = [np.bincount(found % 3, minlength=3).tolist() for found in (rows, expected[fraction])]
        assert counts[0] == counts[1]


def test_every_assay_is_trainable_at_one_percent():
    table = real("bio_hofmarcher209")
    Y = table.drop(columns=[c for c in table if c == "smiles" or c.startswith(("meta_", "split"))]).to_numpy()
    rows = training_fractions(Y, random_state=0)[0.01]
    assert len(rows) == round(0.01 * len(Y))
    assert ((Y[rows] == 0).any(axis=0) & (Y[rows] == 1).any(axis=0)).all()
