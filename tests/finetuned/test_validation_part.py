"""A validation part that is given to ``fit``, and the recipe of the paper that needs one."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import NAN, QUICK, same_weights

FEW = QUICK | {"max_epochs": 6, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def parts(smiles, tasks):
    """Molecules and labels of three tasks, for training and for validation."""
    return smiles[::2], tasks[::2], smiles[1::2], tasks[1::2]


@pytest.fixture(scope="module")
def fitted(parts):
    X, y, X_val, y_val = parts
    return MoCoPClassifier(**FEW).fit(X, y, X_val=X_val, y_val=y_val)


def test_the_part_chooses_the_epoch_and_is_not_trained_on(parts, fitted):
    X, y, X_val, y_val = parts
    scores = [row["validation_score"] for row in fitted.history_]
    best = int(np.argmax(scores)) + 1
    alone = MoCoPClassifier(**FEW | {"max_epochs": best}).fit(X, y)
    assert same_weights(fitted, alone)
    decision = fitted.decision_function(X_val)
    known = ~np.isnan(y_val)
    expected = np.mean([average_precision_score(y_val[k, t], decision[k, t]) for t, k in enumerate(known.T)])
    assert fitted.best_score_ == max(scores) == pytest.approx(expected)
    assert set(fitted.molecule_keys_) > set(alone.molecule_keys_)


def test_the_order_and_the_container_of_the_part_do_not_matter(parts, fitted):
    X, y, X_val, y_val = parts
    again = MoCoPClassifier(**FEW, validation_fraction=0.5).fit(
        X, y, X_val=X_val[::-1], y_val=np.where(np.isnan(y_val), None, y_val)[::-1]
    )
    assert same_weights(fitted, again)


def test_numbers_are_scaled_as_in_training(smiles, sizes):
    regressor = MoCoPRegressor(**FEW).fit(smiles[::2], sizes[::2], X_val=smiles[1::2], y_val=sizes[1::2])
    assert regressor.best_score_ == pytest.approx(regressor.score(smiles[1::2], sizes[1::2]), abs=1e-5)


def test_rows_of_the_part_that_are_not_molecules(parts):
    X, y, X_val, y_val = parts
    few = MoCoPClassifier(**FEW | {"max_epochs": 1})
    with pytest.raises(ValueError, match=r"1 of 20 rows of X_val are not valid molecules:\n  row 3: '\?'"):
        few.fit(X, y, X_val=[*X_val[:3], "?", *X_val[4:]], y_val=y_val)
    with pytest.warns(UserWarning, match="1 of 20 rows of X_val are not valid molecules"):
        few.set_params(invalid="nan").fit(X, y, X_val=[*X_val[:3], "?", *X_val[4:]], y_val=y_val)


@pytest.mark.parametrize(
    ("X_val", "y_val", "message"),
    [
        (["CCO"], None, "X_val is given without y_val: pass both, or neither"),
        (None, [[0, 1, 0]], "y_val is given without X_val"),
        (["CCO"], [1], r"y_val has the shape \(1,\), but X_val has 1 rows, and y has the shape \(20, 3\)"),
        (["CCO"], [[0, 1, 0]] * 2, r"y_val has the shape \(2, 3\), but X_val has 1 rows"),
        (["CCO"], [[0, 2, 0]], "y_val holds 2 in row 0, but the classes of y are"),
        (["CCO"], [[NAN] * 3], "Validation needs at least one molecule with labels, but X_val holds 0"),
        ("CCO", [[0, 1, 0]], "Wrap it in a list"),
    ],
)
def test_a_part_that_does_not_fit(parts, X_val, y_val, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MoCoPClassifier(**QUICK).fit(*parts[:2], X_val=X_val, y_val=y_val)


def test_an_unknown_class_is_named(smiles, labels):
    words = np.array(["no", "yes"])[labels]
    with pytest.raises(ValueError, match=r"y_val holds 'maybe' in row 1, but the classes of y are \['no', 'yes'\]"):
        MoCoPClassifier(**QUICK).fit(smiles, words, X_val=["CCO", "C"], y_val=["no", "maybe"])


def test_the_part_is_routed(parts, fitted):
    X, y, X_val, y_val = parts
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline("passthrough", MoCoPClassifier(**FEW)).fit(X, y, X_val=X_val, y_val=y_val)
    assert same_weights(pipeline[-1], fitted)


def test_patience_waits_for_the_first_epochs(parts):
    X, y, X_val, y_val = parts
    still = FEW | {"learning_rate": 1e-12, "patience": 1, "max_epochs": 9, "dropout": 0.0}
    for min_epochs, n_iter in ((0, 2), (5, 5)):
        stopped = MoCoPClassifier(**still, min_epochs=min_epochs).fit(X, y, X_val=X_val, y_val=y_val)
        assert stopped.n_iter_ == n_iter


def test_the_recipe_of_the_paper():
    scratch, tuned = MoCoPClassifier.paper().get_params(), MoCoPRegressor.paper(pretrained="cells").get_params()
    assert (scratch["n_layers"], scratch["learning_rate"], tuned["learning_rate"]) == (7, 1e-4, 5e-5)
    for given in (scratch, tuned):
        assert (given["min_epochs"], given["patience"], given["batch_size"], given["weight_decay"]) == (50, 20, 128, 0)
        assert given["head_init"] == "random"
    assert tuned["n_layers"] == MoCoPRegressor().n_layers  # of the model
    assert MoCoPClassifier.paper(n_layers=2, learning_rate=0.1).get_params()["n_layers"] == 2
