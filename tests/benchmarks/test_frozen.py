"""The benchmark of frozen features: its heads, its means and its comparisons."""

import frozen
import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.cross_decomposition import PLSRegression


@pytest.fixture
def blocks():
    rng = np.random.default_rng(0)
    return [rng.normal(5, 3, (60, 8)), rng.normal(0, 100, (60, 20))]


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_forest_and_a_support_vector_machine_vote(blocks, kind):
    y = blocks[0][:, 0] - blocks[0][:, 1]
    if kind == "classification":
        y = (y > 0).astype(float)
    train, test = np.arange(40), np.arange(40, 60)
    svm, forest, both = (
        frozen.predict(head, blocks, train, test, y, kind, 0) for head in ("svm", "forest", "forest and svm")
    )
    if kind == "classification":
        svm, forest = rankdata(svm), rankdata(forest)
    np.testing.assert_allclose(both, (svm + forest) / 2)


def test_partial_least_squares_are_those_of_scikit_learn_on_balanced_blocks(blocks):
    y = blocks[0] @ np.arange(8)
    train, test = np.arange(40), np.arange(40, 60)
    predicted = frozen.predict("pls", blocks, train, test, y, "regression", 0)
    scaled = []
    for block in blocks:
        mean, spread = block[train].mean(axis=0), block[train].std(axis=0)
        scaled.append(np.clip((block - mean) / spread, -8, 8) / np.sqrt(block.shape[1]))
    X = np.hstack(scaled)
    choices = [PLSRegression(n, scale=False).fit(X[train], y[train]).predict(X[test]) for n in (2, 4, 6)]
    assert min(np.abs(predicted - own).max() for own in choices) < 0.05 * np.std(y)


def test_controls_are_compared_with_what_they_control():
    arms = (
        "cells_paired + SVM",
        "structures + SVM",
        "cells_shuffled + SVM",
        "descriptors ⧺ ECFP + SVM",
        "MiniMol + SVM",
    )
    scores = dict(zip(arms, (0.8, 0.7, 0.75, 0.6, 0.9), strict=True))
    rows = [
        {"set": name, "arm": arm, "fraction": 1.0, "seed": 0, "score": score, "n_train": 10, "n_test": 10}
        for name in ("tdc_herg", "tdc_dili")
        for arm, score in scores.items()
    ]
    assert frozen.summary(rows)["cells_paired + SVM"] == {"100%": pytest.approx(0.8)}
    found = {name: own["100%"]["mean"] for name, own in frozen.comparisons(rows).items()}
    assert found == {
        "cells_paired + SVM less structures + SVM": pytest.approx(0.1),
        "cells_paired + SVM less cells_shuffled + SVM": pytest.approx(0.05),
        "cells_shuffled + SVM less structures + SVM": pytest.approx(0.05),
    }
