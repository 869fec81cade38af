"""Splits that keep each molecule whole, and means over groups."""

import numpy as np
import pytest
from scipy.stats import chisquare

from mocop_sklearn.pairs._grouping import average_by_group, split_molecules


@pytest.fixture
def keys():
    """Three hundred molecules with 120 different keys, one to five of each."""
    return [f"key{i:03d}" for i in np.random.default_rng(0).permutation(np.arange(300) % 120)]


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.5])
def test_split_keeps_keys_together(keys, fraction):
    training, validation = split_molecules(keys, fraction, seed=0)
    assert sorted([*training, *validation]) == list(range(300))
    held_out = {keys[i] for i in validation}
    assert len(held_out) == round(fraction * 120)
    assert held_out.isdisjoint(keys[i] for i in training)


def test_split_is_deterministic_and_depends_on_the_seed(keys):
    one, again, other = (split_molecules(keys, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert set(one) != set(other)


def test_split_does_not_depend_on_the_order_of_molecules(keys):
    order = np.random.default_rng(1).permutation(300)
    held_out = {keys[i] for i in split_molecules(keys, 0.2, 0)[1]}
    shuffled = [keys[i] for i in order]
    assert {shuffled[i] for i in split_molecules(shuffled, 0.2, 0)[1]} == held_out


def test_each_key_is_as_likely_to_be_held_out():
    keys = [f"{i:02d}" for i in range(20)]
    counts = np.zeros(20)
    for seed in range(600):
        counts[split_molecules(keys, 0.25, seed)[1]] += 1
    assert counts.sum() == 600 * 5
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("n_keys", "fraction"), [(10, 0.0), (10, 0.1), (3, 0.9), (1, 0.5), (2, 0.5)])
def test_split_leaves_all_for_training_when_a_part_would_be_too_small(n_keys, fraction):
    training, validation = split_molecules([f"{i % n_keys}" for i in range(12)], fraction, seed=0)
    assert training.tolist() == list(range(12))
    assert validation.tolist() == []


def test_average_by_group_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.arange(40) % 7)
    rows = rng.normal(size=(40, 5)).astype(np.float32)
    expected = np.array([rows[group == g].mean(axis=0) for g in range(7)])
    averages = average_by_group(rows, group)
    np.testing.assert_allclose(averages, expected, rtol=1e-5)
    assert averages.dtype == np.float32
    np.testing.assert_array_equal(average_by_group(rows[:3], np.array([2, 0, 1])), rows[[1, 2, 0]])
