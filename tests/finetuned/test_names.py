"""Names of tasks go from the columns of y to predictions, through copies and files."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.inspection import ApplicabilityDomain
from tests.helpers.finetuning import NAN, QUICK

SMILES = ["CCO", "CCCO", "OCCO", "CCN", "CCCN", "NCCN"]
QUERIES = pd.Series(["CCCCO", "not a molecule", "CCCCN"], index=["a", "b", "c"])
FAST = QUICK | {"n_layers": 1, "max_epochs": 1, "n_estimators": 2, "invalid": "nan"}
TASKS = pd.DataFrame({"hERG": [1, 1, NAN, 0, 0, NAN], "Ames": [0, NAN, 1, NAN, 0, 1]})

pytestmark = pytest.mark.filterwarnings("ignore:.* rows of X are not valid molecules")


@pytest.fixture(scope="module")
def multitask():
    return MoCoPClassifier(**FAST).fit(SMILES, TASKS)


@pytest.fixture(scope="module")
def words():
    return MoCoPClassifier(**FAST).fit(SMILES, pd.Series(["low", "mid", "high"] * 2, name="clearance"))


@pytest.fixture(scope="module")
def regressor():
    return MoCoPRegressor(**FAST).fit(SMILES, pl.DataFrame({"logD": np.arange(6.0), "pKa": [NAN, 1, 2, 3, 4, 5]}))


def test_where_names_come_from(multitask, words, regressor):
    assert multitask.task_names_ == ["hERG", "Ames"]
    assert words.task_names_ == ["clearance"]
    assert regressor.task_names_ == ["logD", "pKa"]
    unnamed = MoCoPRegressor(**FAST | {"n_estimators": 1})
    assert unnamed.fit(SMILES, TASKS.to_numpy()).task_names_ == ["task0", "task1"]
    assert unnamed.fit(SMILES, TASKS.set_axis([0, 1], axis=1)).task_names_ == ["task0", "task1"]


def test_frames(multitask, words, regressor):
    arrays = multitask.predict_proba(QUERIES), multitask.predict(QUERIES), words.predict(QUERIES)
    assert all(isinstance(array, np.ndarray) for array in arrays)
    frames = copy.deepcopy(multitask).set_output(transform="pandas")
    assert isinstance(clone(frames).fit(SMILES, TASKS).predict(SMILES), pd.DataFrame)
    for method in ("predict_proba", "predict_proba_std", "predict", "decision_function"):
        frame = getattr(frames, method)(QUERIES)
        pd.testing.assert_frame_equal(
            frame, pd.DataFrame(getattr(multitask, method)(QUERIES), columns=["hERG", "Ames"], index=QUERIES.index)
        )
    assert frames.score(SMILES, TASKS) == multitask.score(SMILES, TASKS)
    words.set_output(transform="polars")
    assert words.predict_proba(SMILES).columns == ["clearance_high", "clearance_low", "clearance_mid"]
    assert words.predict(SMILES).name == "clearance"
    words.set_output(transform="default").set_output()
    np.testing.assert_array_equal(words.predict(QUERIES), arrays[2])
    mean, spread = regressor.set_output(transform="pandas").predict(QUERIES, return_std=True)
    regressor.set_output(transform="default")
    assert mean.columns.tolist() == spread.columns.tolist() == ["logD", "pKa"]
    with pytest.raises(ValueError, match="transform must be one of default, pandas, polars or None, got 'arrow'"):
        words.set_output(transform="arrow")


def test_tables(multitask, words, regressor):
    table = multitask.predict_table(QUERIES)
    assert list(table) == ["hERG", "hERG_std", "Ames", "Ames_std", "invalid"]
    np.testing.assert_array_equal(pd.DataFrame(table)[["hERG", "Ames"]], multitask.predict_proba(QUERIES))
    np.testing.assert_array_equal(pd.DataFrame(table)[["hERG_std", "Ames_std"]], multitask.predict_proba_std(QUERIES))
    assert table["invalid"].tolist() == [None, "not a valid SMILES", None]
    table = words.predict_table(QUERIES)
    assert list(table)[:3] == ["clearance", "clearance_high", "clearance_high_std"]
    assert table["clearance"].tolist() == words.predict(QUERIES).tolist()
    np.testing.assert_array_equal(table["clearance_mid"], words.predict_proba(QUERIES)[:, 2])
    table = regressor.predict_table(QUERIES)
    np.testing.assert_array_equal(table["pKa_std"], regressor.predict(QUERIES, return_std=True)[1][:, 1])
    binary = MoCoPClassifier(**FAST | {"n_estimators": 1, "invalid": "raise"}).fit(SMILES, TASKS["hERG"].fillna(0))
    table = binary.predict_table(QUERIES)
    assert list(table) == ["hERG", "invalid"]
    np.testing.assert_array_equal(table["hERG"][[0, 2]], binary.predict_proba(QUERIES.iloc[[0, 2]].tolist())[:, 1])


def test_files(multitask, tmp_path):
    path = tmp_path / "tuned.safetensors"
    multitask.save(path)
    assert MoCoPClassifier.load(path).task_names_ == ["hERG", "Ames"]
    # the encoder of the file is a start for embedders and for other labels
    assert MoCoPEmbedder(pretrained=str(path)).fit(SMILES).digest_ == multitask.model_.digest
    np.testing.assert_array_equal(
        MoCoPEmbedder.load(path).transform(SMILES), MoCoPEmbedder(pretrained=multitask).fit(SMILES).transform(SMILES)
    )


def test_domains(multitask, tmp_path, monkeypatch):
    path = tmp_path / "tuned.safetensors"
    estimator = copy.deepcopy(multitask)
    estimator.domain_ = ApplicabilityDomain(n_neighbors=2).fit(SMILES)
    estimator.save(path)
    table = MoCoPClassifier.load(path).predict_table(QUERIES)
    assert list(table)[-4:] == ["nearest", "similarity", "inside", "invalid"]
    similarity, nearest = estimator.domain_.nearest(["CCCCO", "CCCCN"])
    np.testing.assert_array_equal(table["similarity"], [similarity[0], NAN, similarity[1]])
    assert table["nearest"].tolist() == [nearest[0], None, nearest[1]]
    assert not hasattr(estimator.fit(SMILES, TASKS), "domain_")
    estimator.domain_ = ApplicabilityDomain(n_neighbors=2).fit(SMILES)
    with pytest.raises(ValueError, match="at least two different molecules"):
        estimator.fit(["CCO"], TASKS.iloc[:1])
    assert estimator.predict_table(["CCO"])["nearest"].tolist() == ["CCCO"]
    estimator.domain_.offset_ = NAN
    with monkeypatch.context() as patch:
        patch.setattr(ApplicabilityDomain, "check", lambda self: None)
        estimator.save(path)
    with pytest.raises(ValueError, match="its applicability domain cannot be used"):
        MoCoPClassifier.load(path)


@pytest.mark.parametrize("domain", [None, ApplicabilityDomain(), "x", "embedding"], ids=repr)
def test_what_is_not_a_domain_is_not_written(multitask, domain, tmp_path):
    estimator = copy.deepcopy(multitask)
    if domain == "embedding":
        domain = ApplicabilityDomain("embedding", embedder=multitask, n_neighbors=2).fit(SMILES)
    estimator.domain_ = domain
    with pytest.raises(ValueError, match=r"domain_ cannot be written to a file, .* Set domain_ to one, or delete"):
        estimator.save(tmp_path / "tuned.safetensors")
    if not isinstance(domain, ApplicabilityDomain):
        with pytest.raises(ValueError, match=r"but it has to be a fitted ApplicabilityDomain\. Set domain_ to one"):
            estimator.predict_table(SMILES)


def test_tasks_in_another_order(multitask, regressor):
    backwards = TASKS[["Ames", "hERG"]]
    message = (
        r"y_val has the columns \['Ames', 'hERG'\], but fit had the tasks \['hERG', 'Ames'\]. Give the same columns"
    )
    with pytest.raises(ValueError, match=message):
        MoCoPClassifier(**FAST).fit(SMILES, TASKS, X_val=SMILES, y_val=backwards)
    for y in (backwards, pl.from_pandas(backwards), TASKS.set_axis(["hERG", "hERG 2"], axis=1)):
        with pytest.raises(ValueError, match=r"y has the columns .* but fit had the tasks"):
            multitask.score(SMILES, y)
    with pytest.raises(ValueError, match=r"y has the columns .* but fit had the tasks"):
        regressor.score(SMILES, pd.DataFrame({"pKa": np.arange(6.0), "logD": np.arange(6.0)}))
    # names that say nothing about the order
    expected = multitask.score(SMILES, TASKS)
    for y in (TASKS.to_numpy(), TASKS.set_axis(["x", "y"], axis=1), TASKS.set_axis([1, 0], axis=1)):
        assert multitask.score(SMILES, y) == expected


def test_names_that_occur_twice(regressor):
    with pytest.raises(ValueError, match=r"y has more than one column of the names \['hERG'\]. Rename or drop them"):
        MoCoPClassifier(**FAST).fit(SMILES, TASKS.set_axis(["hERG", "hERG"], axis=1))
    taken = (
        (MoCoPRegressor(**FAST).fit(SMILES, pd.Series(range(6), name="invalid")), "invalid"),
        (copy.deepcopy(regressor), "logD_std"),
        (MoCoPClassifier(**FAST).fit(SMILES, pd.Series(["low", "low_std"] * 3, name="clearance")), "clearance_low_std"),
    )
    taken[1][0].task_names_ = ["logD", "logD_std"]
    for odd, name in taken:
        with pytest.raises(ValueError, match=f"A task or a class is called '{name}', as another column"):
            odd.predict_table(SMILES)
