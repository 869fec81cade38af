"""Mean average precision by copairs, against scikit-learn's average precision and our own ranks."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import normalize

from mocop_sklearn.metrics import mean_average_precision, retrieval_ranks

copairs_map = pytest.importorskip("copairs.map")


@pytest.fixture
def wells():
    """Six replicates of four molecules and twelve controls on two plates; molecule "d" is like the controls."""
    rng = np.random.default_rng(0)
    effect = np.vstack([np.repeat(rng.normal(size=(3, 12)), 6, axis=0), np.zeros((18, 12))])
    labels = np.array([*np.repeat(["a", "b", "c", "d"], 6), *[None] * 12], dtype=object)
    return effect + 0.8 * rng.normal(size=(36, 12)), labels, np.array([label is None for label in labels])


def reference(profiles, labels, negative_of):
    """Mean over rows of scikit-learn's average precision, by label."""
    similarity = normalize(profiles) @ normalize(profiles).T
    found = {}
    for row, label in enumerate(labels):
        if label is None:
            continue
        positive = np.array([other == label for other in labels]) & (np.arange(len(labels)) != row)
        listed = positive | negative_of(row)
        found.setdefault(label, []).append(average_precision_score(positive[listed], similarity[row, listed]))
    return [np.mean(found[label]) for label in sorted(found)]


def test_activity_agrees_with_scikit_learn(wells):
    profiles, labels, controls = wells
    found = mean_average_precision(profiles, labels, controls=controls, null_size=1000)
    assert found["label"].tolist() == ["a", "b", "c", "d"]
    assert found["n_rows"].tolist() == [6] * 4
    np.testing.assert_allclose(found["mean_average_precision"], reference(profiles, labels, lambda _: controls))
    assert (found["corrected_p_value"][:3] < 0.05).all()
    assert found["corrected_p_value"][3] > 0.05
    assert (found["p_value"] <= found["corrected_p_value"]).all()


def test_controls_of_the_same_plate(wells):
    profiles, labels, controls = wells
    plates = np.tile(["p1", "p2"], 18)
    found = mean_average_precision(profiles, labels, controls=controls, plates=plates, null_size=100)
    expected = reference(profiles, labels, lambda row: controls & (plates == plates[row]))
    np.testing.assert_allclose(found["mean_average_precision"], expected)


def test_consistency_agrees_with_scikit_learn(wells):
    profiles, labels, controls = wells
    found = mean_average_precision(profiles, labels, null_size=100)  # rows without a label take no part
    kept, names = profiles[~controls], labels[~controls]
    expected = reference(kept, names, lambda row: names != names[row])
    np.testing.assert_allclose(found["mean_average_precision"], expected)
    assert found["label"].tolist() == ["a", "b", "c", "d"]


def test_activity_is_that_of_the_recipe_of_copairs(wells):
    """Columns as in the examples of copairs, which also come to p-values."""
    profiles, labels, controls = wells
    meta = pd.DataFrame({"compound": np.where(controls, "DMSO", labels), "negcon": controls.astype(int)})
    meta["reference"] = np.where(controls, meta.index, -1)
    rules = {"pos_sameby": ["compound", "reference"], "pos_diffby": [], "neg_sameby": [], "neg_diffby": ["negcon"]}
    precision = copairs_map.average_precision(meta, profiles, **rules, progress_bar=False)
    precision = precision[~controls]
    expected = copairs_map.mean_average_precision(
        precision, ["compound"], null_size=500, threshold=0.05, seed=3, progress_bar=False
    )
    found = mean_average_precision(profiles, labels, controls=controls, null_size=500, random_state=3)
    for name in ("mean_average_precision", "mean_normalized_average_precision", "p_value", "corrected_p_value"):
        np.testing.assert_allclose(found[name], expected[name])


def test_ranks_are_those_of_copairs():
    """With one right candidate, average precision is one over its place."""
    rng = np.random.default_rng(0)
    molecules = normalize(rng.normal(size=(30, 5)))
    profiles = normalize(molecules + rng.normal(size=(30, 5)))
    meta = pd.DataFrame({"row": np.tile(np.arange(30), 2), "view": np.repeat([0, 1], 30)})
    rules = {"pos_sameby": ["row"], "pos_diffby": ["view"], "neg_sameby": [], "neg_diffby": ["row", "view"]}
    found = copairs_map.average_precision(meta, np.vstack([molecules, profiles]), **rules, progress_bar=False)
    ranks = np.concatenate([retrieval_ranks(molecules, profiles), retrieval_ranks(profiles, molecules)])
    np.testing.assert_allclose(found["average_precision"], 1 / (1 + ranks))


def test_the_order_of_rows_does_not_matter(wells):
    profiles, labels, controls = wells
    order = np.random.default_rng(1).permutation(36)
    parts = mean_average_precision(profiles, labels, controls=controls, null_size=100)
    again = mean_average_precision(profiles[order], labels[order], controls=controls[order], null_size=100)
    pd.testing.assert_frame_equal(parts, again)


def test_labels_of_one_row_are_left_out(wells):
    profiles, labels, controls = wells
    labels[0] = "alone"
    found = mean_average_precision(profiles, labels, controls=controls, null_size=100)
    assert found["label"].tolist() == ["a", "b", "c", "d"]
    assert found["n_rows"].tolist() == [5, 6, 6, 6]


def test_errors(wells, monkeypatch):
    profiles, labels, controls = wells
    with pytest.raises(ValueError, match=r"'profiles': 36, 'labels': 35"):
        mean_average_precision(profiles, labels[1:])
    with pytest.raises(ValueError, match="True or False in each row, got values of int64"):
        mean_average_precision(profiles, labels, controls=controls.astype(int))
    with pytest.raises(ValueError, match="No label has two rows"):
        mean_average_precision(profiles, np.arange(36))
    with pytest.raises(ValueError, match="There are no rows with another label, so"):
        mean_average_precision(profiles, np.zeros(36))
    with pytest.raises(ValueError, match=r"There are no controls on the plates \['p2'\]"):
        mean_average_precision(
            profiles,
            labels,
            controls=controls,
            plates=np.where(np.arange(36) % 6 < 3, "p1", np.where(controls, "p1", "p2")),
        )
    plates = pd.Series(["p1"] * 36).mask(np.arange(36) == 5)
    with pytest.raises(ValueError, match=r"Rows \[5\] have no plate"):
        mean_average_precision(profiles, labels, controls=controls, plates=plates)
    for bad in (np.nan, np.inf, 0):
        wrong = profiles.copy()
        wrong[3] = bad
        with pytest.raises(ValueError, match=r"Rows \[3\] of profiles hold missing or infinite values, or zeros"):
            mean_average_precision(wrong, labels, controls=controls)
    monkeypatch.setitem(sys.modules, "copairs", None)
    with pytest.raises(ImportError, match=r"pip install 'mocop-sklearn\[copairs\]'"):
        mean_average_precision(profiles, labels)


def test_equal_rows_of_several_labels_are_warned_of(wells):
    profiles, labels, controls = wells
    equal = profiles.copy()
    equal[6] = 2 * equal[0]  # of "b" and "a"
    with pytest.warns(UserWarning, match="2 of 24 rows equal one of their negatives"):
        mean_average_precision(equal, labels, null_size=100)
    with pytest.warns(UserWarning, match="24 of 36 rows equal"):  # a collapsed embedding
        mean_average_precision(np.ones((36, 4)), labels, controls=controls, null_size=100)
    mean_average_precision(equal, labels, controls=controls, null_size=100)  # only controls are negatives
    plates = np.tile(["p1", "p2"], 18)
    equal[6], equal[7] = profiles[6], equal[0]  # on another plate, whose rows are no negatives
    mean_average_precision(equal, labels, plates=plates, null_size=100)


def test_masked_and_nullable_values_are_missing(wells):
    profiles, labels, _ = wells
    masked = np.ma.masked_array(profiles, mask=np.zeros(profiles.shape, dtype=bool))
    masked[3, 0] = np.ma.masked
    nullable = pd.DataFrame(profiles).astype("Float64")
    nullable.iloc[3, 0] = pd.NA
    for given in (masked, nullable):
        with pytest.raises(ValueError, match=r"Rows \[3\] of profiles hold missing"):
            mean_average_precision(given, labels, null_size=100)
        with pytest.raises(ValueError, match="must be finite"):
            retrieval_ranks(given, profiles)
