"""Labels, targets and parameters that cannot be used."""

import copy
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import NAN, QUICK

BAD = {
    "no y": (lambda f, X, y: f(X, None), ValueError, "requires y to be passed, but the target y is None"),
    "lengths": (lambda f, X, y: f(X, y[:-1]), ValueError, "inconsistent numbers of samples"),
    "one molecule": (lambda f, X, y: f(X[:1], y[:1]), ValueError, r"at least two different molecules.*n_samples=1"),
    "one molecule twice": (lambda f, X, y: f(["CCO", "OCC"], [0, 1]), ValueError, "but X holds 1"),
    "nothing measured": (lambda f, X, y: f(X, np.full(40, NAN)), ValueError, "with labels, but X holds 0"),
    "no molecule": (lambda f, X, y: f(["?"] * 40, y), ValueError, "40 of 40 rows of X are not valid molecules"),
    "a string": (lambda f, X, y: f("CCO", y), TypeError, "Wrap it in a list"),
    "no rows": (lambda f, X, y: f([], []), ValueError, "0 sample"),
    "infinite": (lambda f, X, y: f(X, np.where(y, np.inf, 0.0)), ValueError, "infinity"),
    "cube": (lambda f, X, y: f(X, np.zeros((40, 2, 2))), ValueError, r"got \(40, 2, 2\)"),
    "ragged": (lambda f, X, y: f(X, [[0, 1]] * 39 + [[0]]), ValueError, "rows have different lengths"),
    "sparse ones": (lambda f, X, y: f(X, sparse.csr_array(np.ones((40, 3)))), ValueError, r"nothing but ones.*toarray"),
    "negative weight": (lambda f, X, y: f(X, y, -np.ones(40)), ValueError, "Negative values"),
    "weights' length": (lambda f, X, y: f(X, y, np.ones(3)), ValueError, "sample_weight"),
}


BAD_CLASSES = {
    "continuous": (lambda f, X, y: f(X, np.linspace(0, 1, 40)), ValueError, "Unknown label type"),
    "not 0 and 1": (
        lambda f, X, y: f(X, np.stack([y, y - 1], axis=1)),
        ValueError,
        r"got \[-1, 0, 1\].*set missing=-1",
    ),
    "mixed": (lambda f, X, y: f(X, [0, "a"] * 20), ValueError, "y mixes strings with other labels, as 0"),
    "text tasks": (lambda f, X, y: f(X, [["a", "b"]] * 40), ValueError, r"each must hold 0, 1 and missing values"),
}


BAD_PARAMETERS = [
    ("freeze", 4, "freeze=4, but the encoder has 2 convolutions"),
    ("layer_decay", 1.5, "layer_decay"),
    ("head_init", "probe", "head_init"),
    ("n_estimators", 0, "n_estimators"),
    ("validation_groups", "cluster", "validation_groups"),
    ("pretrained", "nowhere", "No model file"),
    ("class_weight", {7: 1.0}, r"class_weight names \[7\], but the classes are \[0, 1\]"),
    ("class_weight", {0: -1.0}, r"finite numbers and not negative, got \{0: -1.0\}"),
    ("class_weight", {0: NAN}, r"finite numbers and not negative, got \{0: nan\}"),
    ("class_weight", {0: "heavy"}, r"finite numbers and not negative, got \{0: 'heavy'\}"),
    ("class_weight", {0: 0, 1: 0}, "leaves no label with a weight above 0"),
    ("device", "tpu", "device must be"),
    ("learning_rate", 1e30, "The loss became"),
]


@pytest.mark.parametrize("case", [*BAD, *BAD_CLASSES])
def test_bad_labels(smiles, labels, case):
    do, error, message = (BAD | BAD_CLASSES)[case]
    with pytest.raises(error, match=message):
        do(MoCoPClassifier(**QUICK).fit, smiles, labels)


@pytest.mark.parametrize("case", BAD)
def test_bad_targets(smiles, labels, case):
    do, error, message = BAD[case]
    with pytest.raises(error, match=message):
        do(MoCoPRegressor(**QUICK).fit, smiles, labels)


@pytest.mark.parametrize(("name", "value", "message"), BAD_PARAMETERS)
def test_bad_parameters(smiles, labels, name, value, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        MoCoPClassifier(**QUICK | {name: value}).fit(smiles, labels)


@pytest.mark.parametrize(
    ("missing", "y", "message"),
    [
        (
            "-1",
            np.array([0, 1, -1, 1] * 10),
            "missing='-1' marks no label, but y holds -1: give missing as a value of the type int",
        ),
        ("-1", np.array([0, 1, -1, 1] * 10, dtype=float), "y holds -1.0: give missing as a value of the type float"),
        (
            -1,
            ["0", "1", "-1", "1"] * 10,
            "missing=-1 marks no label, but y holds '-1': give missing as a value of the type str",
        ),
        (-1, np.array(["0", "1", "-1.0", "1"] * 10), "y holds '-1.0': give missing as a value of the type str"),
    ],
)
def test_markers_of_another_type(smiles, classifier, missing, y, message):
    with pytest.raises(ValueError, match=message):
        MoCoPClassifier(**QUICK, missing=missing).fit(smiles, y)
    with pytest.raises(ValueError, match=message):
        copy.copy(classifier).set_params(missing=missing).score(smiles, y)


def test_further_errors(smiles, labels, fitted, classifier, multitask, regressor):
    with pytest.raises(ValueError, match="y must hold numbers"):
        MoCoPRegressor(**QUICK).fit(smiles, np.where(labels, "a", "b"))
    for y in (np.full(40, 1j), np.full(40, np.datetime64("2020-01-01"))):
        with pytest.raises(ValueError, match="y must hold real numbers, got the type"):
            MoCoPRegressor(**QUICK).fit(smiles, y)
    with pytest.raises(ValueError, match="y must hold labels, but it is None"):
        classifier.score(smiles, None)
    with pytest.raises(ValueError, match=r"each must hold 0, 1 and missing values, but got \[0, 2\]"):
        multitask.score(smiles, np.tile([[0, 2, 0]], (40, 1)))
    with pytest.raises(ValueError, match="n_layers=5 contradicts the pretrained model, which has 2"):
        MoCoPClassifier(pretrained=fitted, n_layers=5).fit(smiles, labels)
    with pytest.warns(UserWarning, match="40 of 40 rows"), pytest.raises(ValueError, match="but X holds 0"):
        MoCoPClassifier(**QUICK, invalid="nan").fit(["?"] * 40, labels)
    with pytest.raises(ValueError, match=r"y has the shape \(40,\), but the predictions have \(40, 3\)"):
        multitask.score(smiles, labels)
    for estimator in (regressor, classifier):
        with pytest.raises(ValueError, match=r"y has the shape \(40, 2\), but the predictions have \(40,\)"):
            estimator.score(smiles, np.ones((40, 2)))


def test_parameters_are_stored_as_given():
    parameters = QUICK | {"pretrained": Path("model"), "class_weight": {0: 1.0}, "missing": -1}
    estimator = MoCoPClassifier(**parameters)
    assert all(getattr(estimator, name) is value for name, value in parameters.items())
