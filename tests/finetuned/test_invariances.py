"""What must not change the result of a fine-tuning."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rdkit import Chem

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import LEARN, NAN, ONE_CLASS, QUICK, same_weights


@pytest.mark.parametrize("mark", [NAN, None, -1, "no data"])
def test_what_stands_at_unmeasured_places_does_not_matter(smiles, tasks, mark):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    Y = tasks.astype(object)
    Y[np.isnan(tasks)] = mark
    missing = NAN if mark is None else mark
    assert same_weights(MoCoPClassifier(**QUICK, missing=missing).fit(smiles, Y), plain)


@pytest.mark.parametrize("container", ["float", "Int64", "boolean", "object", "polars", "list"])
def test_labels_come_in_any_container(smiles, tasks, container):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    frame = pd.DataFrame(tasks, columns=["a", "b", "c"], index=range(5, 45))
    if container == "polars":
        y = pl.DataFrame({name: [None if np.isnan(v) else int(v) for v in frame[name]] for name in frame})
    elif container == "list":
        y = [[None if np.isnan(v) else int(v) for v in row] for row in tasks]
    else:
        y = frame.astype(container)
    other = MoCoPClassifier(**QUICK).fit(smiles, y)
    assert same_weights(other, plain)
    assert other.score(smiles, y) == plain.score(smiles, tasks)


def test_a_task_without_labels_changes_nothing(smiles, tasks):
    plain = MoCoPClassifier(**QUICK).fit(smiles, tasks)
    unmeasured, constant = np.full((40, 1), NAN), np.full((40, 1), 1.0)
    with pytest.warns(UserWarning, match=rf"2 of 5 tasks have {ONE_CLASS} \(columns 3, 4 of y\)"):
        wide = MoCoPClassifier(**QUICK).fit(smiles, np.hstack([tasks, unmeasured, constant]))
    assert wide.unscorable_tasks_ == [3, 4]
    p = wide.predict_proba(smiles)
    assert np.isnan(p[:, 3]).all()
    assert (p[:, 4] == 1).all()
    assert (wide.predict(smiles)[:, 4] == 1).all()
    assert np.isnan(wide.predict(smiles)[:, 3]).all()
    assert plain.predict(smiles).dtype.kind == "i"
    both = np.tile([0.0, 1.0], 20)[:, None]
    # neither is ever scored, whatever the test set holds
    Y = np.hstack([tasks, both, both])
    assert wide.score(smiles, Y) == pytest.approx(wide.score(smiles, np.hstack([tasks, unmeasured, unmeasured])))


def test_one_column_is_one_task(smiles, labels, sizes):
    flat, column = (MoCoPClassifier(**QUICK).fit(smiles, y) for y in (labels, labels[:, None]))
    assert same_weights(flat, column)
    assert column.predict(smiles).shape == (40,)
    assert column.predict_proba(smiles).shape == (40, 2)
    flat, column = (MoCoPRegressor(**QUICK).fit(smiles, y) for y in (sizes, sizes[:, None]))
    np.testing.assert_array_equal(flat.predict(smiles), column.predict(smiles))


def test_two_equal_tasks_are_predicted_almost_alike(smiles, labels):
    twice = MoCoPClassifier(**LEARN).fit(smiles, np.stack([labels, labels], axis=1))
    p = twice.predict_proba(smiles)
    assert (p > 0.5).all(axis=1).tolist() == (labels == 1).tolist()
    assert np.corrcoef(p.T)[0, 1] > 0.99


def test_the_order_of_rows_does_not_matter(smiles, tasks, sizes, labels):
    order = np.random.default_rng(1).permutation(40)
    X = np.array(smiles)
    parameters = QUICK | {"validation_fraction": 0.2}
    for cls, y in ((MoCoPClassifier, tasks), (MoCoPClassifier, labels), (MoCoPRegressor, sizes)):
        assert same_weights(cls(**parameters).fit(X, y), cls(**parameters).fit(X[order], y[order]))


def test_the_order_of_spellings_does_not_matter(smiles, sizes):
    written_otherwise = [Chem.MolToSmiles(Chem.MolFromSmiles(s), canonical=False, rootedAtAtom=1) for s in smiles[:20]]
    X = np.array([*smiles[:20], *written_otherwise, *(f"{s}.Cl" for s in smiles[:10])])
    y = np.concatenate([sizes[:20], sizes[:20] + 1, sizes[:10]])
    fitted = MoCoPRegressor(**QUICK).fit(X, y)
    assert same_weights(fitted, MoCoPRegressor(**QUICK).fit(X[::-1], y[::-1]))


def test_fits_in_threads_are_fits(smiles, labels):
    before = torch.get_rng_state()
    alone = MoCoPClassifier(**QUICK).fit(smiles, labels)
    with ThreadPoolExecutor(4) as threads:
        fits = list(threads.map(lambda _: MoCoPClassifier(**QUICK).fit(smiles, labels), range(4)))
    assert all(same_weights(alone, fitted) for fitted in fits)
    assert torch.equal(torch.get_rng_state(), before)


def test_replicates_weights_and_repeats_are_one(smiles, labels, sizes):
    weight = np.random.default_rng(2).integers(0, 3, 40)
    rows = np.repeat(np.arange(40), weight)
    X = np.array(smiles)
    for cls, y in ((MoCoPClassifier, labels), (MoCoPRegressor, sizes)):
        weighted = cls(**QUICK).fit(X, y, sample_weight=weight)
        assert same_weights(weighted, cls(**QUICK).fit(X[rows], y[rows]))
        # weight 0 is absent, and weights have no unit
        present = weight > 0
        assert same_weights(weighted, cls(**QUICK).fit(X[present], y[present], sample_weight=4.0 * weight[present]))


@pytest.mark.slow
def test_contradicting_replicates_are_probabilities():
    X, y = ["CCO"] * 4 + ["c1ccccc1"] * 4, [1, 0, 0, 0, 1, 1, 1, 0]
    p = MoCoPClassifier(**LEARN | {"max_epochs": 300, "dropout": 0.0}).fit(X, y).predict_proba(["CCO", "c1ccccc1"])
    np.testing.assert_allclose(p[:, 1], [0.25, 0.75], atol=0.02)


@pytest.mark.parametrize(("a", "b"), [(4.0, 0.0), (0.5, 8.0), (1e6, 1e8), (1e-9, 0.0)])
def test_units_of_the_target_do_not_matter(smiles, sizes, a, b):
    plain = MoCoPRegressor(**QUICK | {"validation_fraction": 0.2}).fit(smiles, sizes)
    other = MoCoPRegressor(**QUICK | {"validation_fraction": 0.2}).fit(smiles, a * sizes + b)
    np.testing.assert_allclose(other.predict(smiles), a * plain.predict(smiles) + b, rtol=1e-4)


def test_a_constant_target_is_predicted(smiles):
    np.testing.assert_allclose(MoCoPRegressor(**LEARN).fit(smiles, np.full(40, 7.1)).predict(smiles), 7.1, atol=0.5)


def test_the_seed_decides_and_global_state_is_left_alone(smiles, tasks):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    a, b = (MoCoPClassifier(**QUICK).fit(smiles, tasks) for _ in range(2))
    other = MoCoPClassifier(**QUICK | {"random_state": 1}).fit(smiles, tasks)
    pickle.loads(pickle.dumps(a)).predict(smiles)
    assert same_weights(a, b)
    assert not same_weights(a, other)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
