"""Panels of many tasks, most of them not measured: the same fit from any container, without a dense copy."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import NAN, QUICK, same_weights

N_TASKS = 24


@pytest.fixture(scope="module")
def panel(smiles):
    """Labels of 24 tasks, −1 for the nine tenths that were not measured; the last six tasks have all."""
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, size=(len(smiles), N_TASKS)).astype(np.int8)
    Y[rng.random(Y.shape) < np.where(np.arange(N_TASKS) < N_TASKS - 6, 0.9, 0.0)] = -1
    Y[:2, :] = [[0], [1]]  # both classes in each task
    return Y


@pytest.fixture(scope="module")
def dense(smiles, panel):
    return MoCoPClassifier(**QUICK).fit(smiles, np.where(panel < 0, NAN, panel))


def stored(Y, dtype=np.int8):
    rows, columns = np.nonzero(Y >= 0)
    return sparse.csr_array((Y[rows, columns].astype(dtype), (rows, columns)), shape=Y.shape)


def test_small_integers_with_a_marker(smiles, panel, dense, tmp_path):
    mapped = np.memmap(tmp_path / "labels.int8", np.int8, "w+", shape=panel.shape)
    mapped[:] = panel
    assert same_weights(MoCoPClassifier(**QUICK, missing=-1).fit(smiles, mapped), dense)


@pytest.mark.parametrize("dtype", [np.int8, np.float32, bool])
def test_what_is_stored_was_measured(smiles, panel, dense, dtype):
    assert same_weights(MoCoPClassifier(**QUICK).fit(smiles, stored(panel, dtype)), dense)


def test_unsorted_entries(smiles, panel, dense):
    y = stored(panel)
    order = np.random.default_rng(1).permutation(y.nnz)
    rows, columns = np.nonzero(panel >= 0)
    shuffled = sparse.coo_array((y.data[order], (rows[order], columns[order])), shape=panel.shape)
    before = shuffled.data.copy()
    assert same_weights(MoCoPClassifier(**QUICK).fit(smiles, shuffled), dense)
    np.testing.assert_array_equal(shuffled.data, before)


@pytest.mark.parametrize("form", [sparse.coo_array, sparse.csr_array, sparse.csc_array])
def test_repeated_entries_are_refused(smiles, panel, form):
    rows, columns = np.nonzero(panel >= 0)
    values, cells = np.append(panel[rows, columns], 0), (np.append(rows, 7), np.append(columns, 20))
    content = values, cells
    if form is not sparse.coo_array:
        major, minor = cells if form is sparse.csr_array else cells[::-1]
        order, n = np.argsort(major, kind="stable"), panel.shape[form is sparse.csc_array]
        content = values[order], minor[order], np.append(0, np.cumsum(np.bincount(major, minlength=n)))
    y = form(content, shape=panel.shape)
    for estimator in (MoCoPClassifier(**QUICK), MoCoPRegressor(**QUICK)):
        with pytest.raises(ValueError, match="y stores row 7, column 20 more than once, which a sparse matrix adds up"):
            estimator.fit(smiles, y)


@pytest.mark.parametrize("form", ["bsr", "dia"])
def test_formats_that_mix_up_zeros_are_refused(smiles, panel, form):
    with pytest.raises(ValueError, match=f"y is sparse in the format '{form}', which does not tell the zeros"):
        MoCoPClassifier(**QUICK).fit(smiles, stored(panel).asformat(form))


def test_a_sparse_marker_and_a_sparse_nan_are_not_measured(smiles, panel, dense):
    filled = sparse.csr_array(np.where(panel < 0, 7, panel + 10))
    filled.data = np.where(filled.data == 7, 7, filled.data - 10)
    assert same_weights(MoCoPClassifier(**QUICK, missing=7).fit(smiles, filled), dense)
    filled.data = np.where(filled.data == 7, NAN, filled.data)
    assert same_weights(MoCoPClassifier(**QUICK).fit(smiles, filled), dense)


def test_a_measured_label_of_no_kind_is_refused(smiles, panel):
    twice = stored(panel)
    twice.data *= 2
    with pytest.raises(ValueError, match=r"each must hold 0, 1 and missing values, but got \[0, 2\]"):
        MoCoPClassifier(**QUICK).fit(smiles, twice)


@pytest.mark.skipif(sparse.coo_array(np.zeros(2)).ndim > 1, reason="this scipy has no sparse arrays of one dimension")
def test_a_sparse_array_of_one_dimension_is_refused(smiles):
    with pytest.raises(ValueError, match="when it is sparse, got"):
        MoCoPClassifier(**QUICK).fit(smiles, sparse.coo_array(np.array([0, 1])))


def test_memory_grows_with_what_was_measured(smiles, fitted):
    Y = np.full((40_000, 1000), -1, dtype=np.int8)
    Y[np.arange(40_000), np.arange(40_000) % 1000] = np.arange(40_000) // 1000 % 2
    X = [smiles[i % 40] for i in range(40_000)]
    classifier = MoCoPClassifier(pretrained=fitted, freeze="encoder", head_init="random", max_epochs=0, missing=-1)
    tracemalloc.start()
    classifier.fit(X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * Y.nbytes  # in single precision, labels alone would have four times as much


@pytest.fixture(scope="module")
def tanh(smiles, fitted):
    """What enters the last layer, standardised."""
    return StandardScaler().fit_transform(np.tanh(fitted.transform(smiles).astype(float)))


def test_many_linear_starts_are_those_of_one_by_one(smiles, panel, fitted, tanh):
    start = {"pretrained": fitted, "head": "tanh", "head_init": "linear", "max_epochs": 0, "freeze": "encoder"}
    weight = 1 + np.arange(40) % 3
    scores = MoCoPClassifier(**start, missing=-1).fit(smiles, panel, weight).decision_function(smiles)
    numbers = np.where(panel < 0, NAN, np.linspace(-5, 5, 40)[:, None] * (1 + np.arange(N_TASKS)))
    predicted = MoCoPRegressor(**start).fit(smiles, numbers, weight).predict(smiles)
    for task in range(N_TASKS):
        known = panel[:, task] >= 0
        own = weight[known] * known.sum() / weight[known].sum()
        logistic = LogisticRegression(C=1e-3, tol=1e-8, max_iter=1000).fit(tanh[known], panel[known, task], own)
        np.testing.assert_allclose(scores[:, task], logistic.decision_function(tanh), atol=1e-4)
        ridge = Ridge(alpha=1000).fit(tanh[known], numbers[known, task], own)
        np.testing.assert_allclose(predicted[:, task], ridge.predict(tanh), atol=2e-3)


def test_a_start_predicts_the_share_of_a_rare_class(fitted):
    X = ["C" * n for n in range(1, 61)]
    Y = np.zeros((60, 20))
    Y[0], Y[:, 1] = 1, np.arange(60) > 0
    scores = MoCoPClassifier(pretrained=fitted, max_epochs=0).fit(X, Y).decision_function(X)
    np.testing.assert_allclose(expit(scores).mean(axis=0), Y.mean(axis=0), atol=1e-4)
