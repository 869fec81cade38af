"""What the fitted estimators return, and for which labels."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from scipy import sparse
from scipy.special import expit
from sklearn.metrics import r2_score, roc_auc_score

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import LEARN, NAN, ONE_CLASS, QUICK, same_weights


def test_nothing_but_invalid_molecules(classifier, labels):
    with pytest.raises(ValueError, match="not valid molecules"):
        MoCoPClassifier(**QUICK).fit(["bad"] * 40, labels)
    with pytest.warns(UserWarning, match="40 of 40"), pytest.raises(ValueError, match="of which 0 are valid"):
        MoCoPClassifier(**QUICK, invalid="nan").fit(["bad"] * 40, labels)
    lenient = copy.deepcopy(classifier).set_params(invalid="nan")
    with pytest.warns(UserWarning, match="2 of 2"):
        assert np.isnan(lenient.predict_proba(["bad", "worse"])).all()


def test_max_atoms(smiles, labels, classifier):
    with pytest.raises(ValueError, match="atoms, more than max_atoms=8"):
        MoCoPClassifier(**QUICK, max_atoms=8).fit(smiles, labels)
    bounded = copy.deepcopy(classifier).set_params(invalid="nan", max_atoms=3)
    with pytest.warns(UserWarning, match="row 1: 'CCCO' .4 atoms, more than max_atoms=3"):
        assert np.isnan(bounded.predict_proba(["CCO", "CCCO"])).any(axis=1).tolist() == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [str, object, int, float, bool])
def test_classes_are_those_of_y(smiles, labels, kind):
    y = np.where(labels == 1, "yes", "no").astype(kind) if kind in (str, object) else labels.astype(kind)
    fitted = MoCoPClassifier(**LEARN).fit(smiles, y)
    assert fitted.classes_.tolist() == np.unique(y).tolist()
    assert (fitted.predict(smiles) == y).mean() > 0.9
    assert set(fitted.predict(smiles).tolist()) <= set(y.tolist())


def test_outputs_agree(smiles, tasks, classifier, multitask):
    p = classifier.predict_proba(smiles)
    assert p.shape == (40, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[:, 1], expit(classifier.decision_function(smiles)))
    np.testing.assert_array_equal(classifier.predict(smiles), p.argmax(axis=1))
    p = multitask.predict_proba(smiles)
    assert p.shape == (40, 3)
    np.testing.assert_array_equal(multitask.predict(smiles), (p > 0.5).astype(int))
    assert multitask.classes_.tolist() == [0, 1, 2]
    aucs = [roc_auc_score(y[~np.isnan(y)], q[~np.isnan(y)]) for y, q in zip(tasks.T, p.T, strict=True)]
    assert multitask.score(smiles, tasks) == pytest.approx(np.mean(aucs))


def test_batches_do_not_matter(smiles, classifier, multitask):
    for estimator in (classifier, multitask):
        one_by_one = np.concatenate([estimator.predict_proba([s]) for s in smiles])
        np.testing.assert_allclose(estimator.predict_proba(smiles), one_by_one, atol=1e-6)
        as_mols = estimator.predict_proba([Chem.MolFromSmiles(s) for s in smiles])
        np.testing.assert_allclose(as_mols, estimator.predict_proba(pd.Series(smiles)), atol=1e-6)


def test_ensembles(smiles, labels, tasks, sizes, regressor):
    kinds = np.arange(40) % 3
    for y in (labels, tasks, kinds):
        three = MoCoPClassifier(**QUICK, n_estimators=3).fit(smiles, y)
        one = MoCoPClassifier(**QUICK).fit(smiles, y)
        assert [row["estimator"] for row in three.history_] == [0] * 3 + [1] * 3 + [2] * 3
        assert all(np.array_equal(w, three.weights_[0][name]) for name, w in one.weights_[0].items())
        members = []
        for i in range(3):
            member = copy.deepcopy(one)
            member.weights_ = [three.weights_[i]]
            members.append(pickle.loads(pickle.dumps(member)).predict_proba(smiles))
        np.testing.assert_allclose(three.predict_proba(smiles), np.mean(members, axis=0), rtol=1e-5)
        np.testing.assert_allclose(three.predict_proba_std(smiles), np.std(members, axis=0), rtol=1e-3, atol=1e-7)
    mean, spread = regressor.predict(smiles, return_std=True)
    np.testing.assert_array_equal(mean, regressor.predict(smiles))
    assert spread.shape == (40,)
    assert (spread > 0).all()
    single = MoCoPRegressor(**QUICK).fit(smiles, sizes)
    with pytest.raises(ValueError, match="set n_estimators to 2 or more"):
        single.predict(smiles, return_std=True)
    with pytest.raises(ValueError, match="set n_estimators to 2 or more"):
        one.predict_proba_std(smiles)


def test_several_targets_with_gaps(smiles, sizes):
    Y = np.stack([sizes, 1000 - 3 * sizes, np.full(40, NAN)], axis=1)
    Y[::3, 0] = NAN
    with pytest.warns(UserWarning, match=r"1 of 3 targets were not measured in any row \(columns 2 of y\)") as caught:
        fitted = MoCoPRegressor(**LEARN).fit(smiles, Y)
    assert caught[0].filename == __file__
    predicted = fitted.predict(smiles)
    assert predicted.shape == (40, 3)
    assert np.isnan(predicted[:, 2]).all()
    known = ~np.isnan(Y[:, 0])
    expected = np.mean([r2_score(Y[known, 0], predicted[known, 0]), r2_score(Y[:, 1], predicted[:, 1])])
    assert fitted.score(smiles, Y) == pytest.approx(expected)
    assert expected > 0.9


def test_class_weights(smiles):
    y = np.array([1] * 5 + [0] * 35)
    mean = {w: MoCoPClassifier(**QUICK, class_weight=w).fit(smiles, y).predict_proba(smiles)[:, 1].mean()
            for w in (None, "balanced")}  # fmt: skip
    assert mean["balanced"] > mean[None]
    by_hand = MoCoPClassifier(**QUICK, class_weight={0: 40 / 70, 1: 4.0}).fit(smiles, y)
    balanced = MoCoPClassifier(**QUICK, class_weight="balanced").fit(smiles, y)
    np.testing.assert_allclose(by_hand.predict_proba(smiles), balanced.predict_proba(smiles), rtol=1e-4)
    one_batch = QUICK | {"batch_size": 40}
    balanced = MoCoPClassifier(**one_batch, class_weight="balanced").fit(smiles, y)
    as_sample_weight = MoCoPClassifier(**one_batch).fit(smiles, y, sample_weight=np.where(y, 4.0, 40 / 70))
    np.testing.assert_allclose(as_sample_weight.predict_proba(smiles), balanced.predict_proba(smiles), rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 40])
def test_class_weights_act_across_batches(smiles, batch_size):
    y = np.zeros(40, dtype=int)
    y[[3, 17, 29, 36]] = 1
    probe = {"freeze": "encoder", "dropout": 0.0, "max_epochs": 40, "batch_size": batch_size, "learning_rate": 1e-3}
    p = MoCoPClassifier(**QUICK | probe, class_weight="balanced").fit(smiles, y).predict_proba(smiles)[:, 1]
    assert (p[y == 0].mean() + p[y == 1].mean()) / 2 == pytest.approx(0.5, abs=0.05)


def test_labels_that_were_not_measured_are_no_class_of_strings(smiles, labels):
    words = ["yes" if label else "no" for label in labels]
    present = MoCoPClassifier(**QUICK).fit(smiles[2:], words[2:])
    for unknown, missing in ((NAN, NAN), (None, NAN), ("NA", "NA")):
        fitted = MoCoPClassifier(**QUICK, missing=missing).fit(smiles, [unknown, unknown, *words[2:]])
        assert fitted.classes_.tolist() == ["no", "yes"]
        assert same_weights(fitted, present)
    numbers = MoCoPClassifier(**QUICK, missing="NA").fit(smiles, ["NA", "NA", *labels[2:].tolist()])
    assert numbers.classes_.tolist() == [0, 1]
    assert same_weights(numbers, present)


@pytest.mark.parametrize("marker", [-999.9, np.inf])
def test_a_marker_is_rounded_as_the_labels_are(smiles, sizes, marker):
    y = sizes.astype(np.float32)
    y[:5] = marker
    fitted = MoCoPRegressor(**QUICK, missing=marker).fit(smiles, y)
    assert same_weights(fitted, MoCoPRegressor(**QUICK).fit(smiles[5:], sizes[5:]))


def test_rows_of_no_weight_are_not_scored(smiles, sizes, multitask, tasks):
    weight = np.where(tasks[:, 0] == 1, 0.0, 1.0)
    rows = weight > 0
    assert multitask.score(smiles, tasks, weight) == multitask.score(np.array(smiles)[rows], tasks[rows])
    Y = np.stack([sizes, np.arange(40) == 0], axis=1)
    weight = np.arange(40) > 0
    fitted = MoCoPRegressor(**QUICK).fit(smiles, Y)
    assert fitted.score(smiles, Y, weight) == pytest.approx(fitted.score(smiles[1:], Y[1:]))


def test_a_fit_that_fails_leaves_the_model_as_it_was(smiles, labels):
    fitted = MoCoPClassifier(**QUICK).fit(smiles, labels)
    before = fitted.predict(smiles)
    with pytest.raises(ValueError, match="at least two different molecules"):
        fitted.fit(smiles[:1], ["other"])
    np.testing.assert_array_equal(fitted.predict(smiles), before)


def test_numpy_parameters_and_none_come_back_from_a_file(smiles, labels, tmp_path):
    parameters = {"hidden_dim": np.int64(16), "max_epochs": np.int64(2), "dropout": np.float32(0.25), "patience": None,
                  "batch_size": np.int64(16), "min_epochs": np.int32(1)}  # fmt: skip
    fitted = MoCoPClassifier(**QUICK | parameters | {"standardize": None, "missing": None}).fit(smiles, labels)
    fitted.save(tmp_path / "model")
    loaded = MoCoPClassifier.load(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params()
    assert same_weights(loaded.fit(smiles, labels), fitted)


def test_targets_without_variance_are_predicted_as_they_are(smiles, sizes):
    single = np.full(40, NAN)
    single[11] = 5e-9
    Y = np.stack([sizes, np.full(40, 1e-9), single], axis=1)
    parameters = QUICK | {"validation_fraction": 0.2, "n_estimators": 3}
    mean, std = MoCoPRegressor(**parameters).fit(smiles, Y).predict(smiles, return_std=True)
    np.testing.assert_allclose(mean[:, 1:], np.broadcast_to([1e-9, 5e-9], (40, 2)), rtol=1e-6)
    assert (std[:, 1:] < 1e-20).all()


def test_almost_nothing_measured(smiles):
    rng = np.random.default_rng(3)
    Y = np.where(rng.random((40, 200)) < 0.01, rng.integers(0, 2, (40, 200)), NAN)
    with pytest.warns(UserWarning, match=ONE_CLASS):
        fitted = MoCoPClassifier(**QUICK).fit(smiles, Y)
    p = fitted.predict_proba(smiles)
    assert p.shape == (40, 200)
    assert (np.isnan(p).all(axis=0) == np.isnan(Y).all(axis=0)).all()


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("estimator", [MoCoPClassifier, MoCoPRegressor])
def test_what_a_sparse_matrix_does_not_store_was_not_measured(smiles, estimator, layout):
    rng = np.random.default_rng(3)
    Y = rng.choice([0.0, 1.0, NAN], (40, 3))
    rows, columns = np.nonzero(~np.isnan(Y))
    stored = layout(sparse.coo_array((Y[rows, columns], (rows, columns)), shape=Y.shape))  # zeros, too
    dense, from_sparse = (estimator(**QUICK).fit(smiles, y) for y in (Y, stored))
    np.testing.assert_array_equal(dense.predict(smiles), from_sparse.predict(smiles))
    assert dense.score(smiles, Y) == from_sparse.score(smiles, stored)


def test_a_task_with_two_positives(smiles, labels):
    rare = np.zeros(40)
    rare[[3, 30]] = 1
    fitted = MoCoPClassifier(**LEARN | {"validation_fraction": 0.1}).fit(smiles, np.stack([labels, rare], axis=1))
    assert fitted.unscorable_tasks_ == []
    assert np.isfinite(fitted.score(smiles, np.stack([labels, rare], axis=1)))


@pytest.mark.parametrize("value", [0, 1, "yes"])
def test_one_class_is_predicted_always(smiles, value):
    with pytest.warns(UserWarning, match=ONE_CLASS):
        fitted = MoCoPClassifier(**QUICK).fit(smiles, [value] * 40)
    assert fitted.predict(smiles).tolist() == [value] * 40
    np.testing.assert_array_equal(fitted.predict_proba(smiles), np.ones((40, 1)))


def test_invalid_molecules_are_left_out(smiles, labels, tasks, sizes):
    X = [*smiles[:20], "no molecule", None, *smiles[20:]]

    def stretched(y):
        return np.insert(y, [20, 20], y[:2], axis=0)

    cases = [(MoCoPClassifier, labels), (MoCoPClassifier, tasks), (MoCoPRegressor, sizes),
             (MoCoPClassifier, np.where(labels, "yes", "no"))]  # fmt: skip
    for cls, y in cases:
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            fitted = cls(**QUICK, invalid="nan").fit(X, stretched(y))
        assert same_weights(fitted, cls(**QUICK).fit(smiles, y))
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            predicted = fitted.predict(X)
        assert pd.isna(predicted[20:22]).all()
        np.testing.assert_array_equal(np.delete(predicted, [20, 21], axis=0), fitted.predict(smiles))
        with pytest.warns(UserWarning, match="2 of 42 rows"):
            assert fitted.score(X, stretched(y)) == fitted.score(smiles, y)
        if cls is MoCoPClassifier:
            with pytest.warns(UserWarning, match="2 of 42 rows"):
                assert np.isnan(fitted.predict_proba(X)[20:22]).all()
