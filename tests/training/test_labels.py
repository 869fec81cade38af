"""Labels as they come: what counts as measured, and what is named as not a number."""

from decimal import Decimal

import numpy as np
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from mocop_sklearn.training._labels import measured_labels, numeric_labels

QUICK = {"max_epochs": 1, "n_layers": 1, "hidden_dim": 8, "embedding_dim": 8, "random_state": 0}


@pytest.mark.parametrize("dtype", [int, float, object])
def test_masked_labels_were_not_measured(dtype):
    values = np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype)
    labels, measured = measured_labels(np.ma.masked_array(values, mask=[[0, 1], [0, 0], [1, 1]]), np.nan)
    assert measured.tolist() == [[True, False], [True, True], [False, False]]
    assert labels.shape == (3, 2)


def test_what_stands_under_a_mask_does_not_matter(smiles, labels):
    hidden = np.arange(40) % 4 == 0
    weights = []
    for value in (0, 1):
        y = np.ma.masked_array(np.where(hidden, value, labels), mask=hidden)
        weights.append(MoCoPClassifier(**QUICK).fit(smiles, y).weights_[0])
    kept = MoCoPClassifier(**QUICK).fit(np.array(smiles)[~hidden], labels[~hidden]).weights_[0]
    for name, w in kept.items():
        np.testing.assert_array_equal(weights[0][name], w)
        np.testing.assert_array_equal(weights[1][name], w)


def test_masked_weights_are_refused(smiles, labels):
    weight = np.ma.masked_array(np.ones(40), mask=np.arange(40) == 3)
    with pytest.raises(ValueError, match="sample_weight must not hold masked values"):
        MoCoPClassifier(**QUICK).fit(smiles, labels, sample_weight=weight)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("7.5", "row 1 holds '7.5', a str"),
        (10**400, "the one in row 1 is too large for a float"),
        ([1], r"row 1 holds \[1\], a list"),
        (1 + 2j, r"row 1 holds \(1\+2j\), a complex"),
    ],
)
def test_values_that_are_not_numbers_are_named(value, message):
    y = np.empty(3, dtype=object)
    y[:] = [1.0, value, 2.0]
    with pytest.raises(ValueError, match=message):
        MoCoPRegressor(**QUICK).fit(["C", "CC", "CCC"], y)


def test_a_number_too_long_to_print():
    with pytest.raises(ValueError, match="the one in row 1 is too large for a float"):
        MoCoPRegressor(**QUICK).fit(["C", "CC", "CCC"], np.array([1.0, 10**9000, 2.0], dtype=object))


def test_numbers_of_any_type_are_numbers():
    y = np.array([1, 2.5, Decimal("3.5"), np.float32(4), True], dtype=object)
    np.testing.assert_array_equal(numeric_labels(y, np.ones(5, dtype=bool)), [1, 2.5, 3.5, 4, 1])
