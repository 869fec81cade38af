"""Callbacks of scikit-learn, which exist since its version 1.9."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, SkipInvalid

callback = pytest.importorskip("sklearn.callback")
SMALL = {"n_layers": 1, "hidden_dim": 16, "embedding_dim": 16, "max_epochs": 3, "random_state": 0}


class Recorder:
    """Keeps what it hears; it asks to stop after an epoch."""

    def __init__(self, stop_after=None):
        self.heard, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.heard.append(("setup", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.heard.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None):
        self.heard.append(("end", context.task_name, context.task_id))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def teardown(self, estimator, context):
        self.heard.append(("teardown", context.task_name))


class Propagated(Recorder):
    """Is handed on from a pipeline or a search to the estimators in it."""

    max_propagation_depth = None


class FittedAlready(Recorder):
    """Asks for the estimator as if the fit had ended here."""

    def __init__(self, use):
        super().__init__()
        self.use, self.answers = use, []

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.answers.append(self.use(fitted_estimator, X, y))


@pytest.fixture
def small(tiny):
    return tiny | {"structure_weight": 0, "validation_fraction": 0, "max_epochs": 3, "n_layers": 1}


def epochs(first, last):
    return [(what, "epoch", i) for i in range(first, last) for what in ("begin", "end")]


def test_tasks_of_a_fit(smiles, profiles, small):
    recorder = Recorder()
    MoCoPEmbedder(**small).set_callbacks(recorder).fit(smiles, profiles)
    inner = [("begin", "fit", 0), *epochs(0, 3), ("end", "fit", 0)]
    assert recorder.heard == [("setup", "fit"), *inner, ("teardown", "fit")]


@pytest.mark.parametrize("estimator", [MoCoPEmbedder, MoCoPClassifier])
def test_tasks_of_an_ensemble(smiles, profiles, labels, small, estimator):
    recorder = Recorder()
    parameters, y = (small, profiles) if estimator is MoCoPEmbedder else (SMALL, labels)
    estimator(**parameters | {"max_epochs": 2}, n_estimators=2).set_callbacks(recorder).fit(smiles, y)
    networks = [[("begin", f"network {i}", i), *epochs(0, 2), ("end", f"network {i}", i)] for i in range(2)]
    expected = [("begin", "fit", 0), *networks[0], *networks[1], ("end", "fit", 0)]
    assert recorder.heard == [("setup", "fit"), *expected, ("teardown", "fit")]


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_a_callback_stops_an_embedder(smiles, profiles, small, n_estimators, tmp_path):
    """The networks are those of a fit of as many epochs, and no cache keeps them for the whole."""
    recipe = small | {"warmup_fraction": 0.0, "n_estimators": n_estimators, "memory": tmp_path}
    stopped = MoCoPEmbedder(**recipe).set_callbacks(Recorder(stop_after=1)).fit(smiles, profiles)
    assert [row["epoch"] for row in stopped.history_] == [1] * n_estimators
    assert stopped.n_iter_ == 1
    whole = MoCoPEmbedder(**recipe).fit(smiles, profiles)
    assert whole.n_iter_ == 3
    assert [row["loss"] for row in whole.history_ if row["epoch"] == 1] == [row["loss"] for row in stopped.history_]


@pytest.mark.parametrize("estimator", [MoCoPClassifier, MoCoPRegressor])
def test_a_callback_stops_fine_tuning(smiles, labels, estimator):
    stopped = estimator(**SMALL).set_callbacks(Recorder(stop_after=2)).fit(smiles, labels)
    short = estimator(**SMALL | {"max_epochs": 2}).fit(smiles, labels)
    np.testing.assert_array_equal(stopped.predict(smiles), short.predict(smiles))


def test_callbacks_change_nothing(smiles, profiles, small):
    heard = MoCoPEmbedder(**small).set_callbacks(Recorder(), FittedAlready(lambda *_: None)).fit(smiles, profiles)
    assert heard.digest_ == MoCoPEmbedder(**small).fit(smiles, profiles).digest_
    assert not {"_tasks", "_callback_fit_ctx"} & set(vars(heard))


def test_an_embedder_as_if_it_were_fitted(smiles, profiles, small):
    monitor = FittedAlready(lambda fitted, X, y: (fitted.transform(X[:2]), fitted.score(X, y), fitted.n_iter_))
    embedder = MoCoPEmbedder(**small, local_scaling=False).set_callbacks(monitor).fit(smiles, profiles)
    assert [n_iter for _, _, n_iter in monitor.answers] == [1, 2, 3, 3]
    assert len({vectors.tobytes() for vectors, _, _ in monitor.answers[:3]}) == 3
    for vectors, score, _ in monitor.answers[2:]:
        np.testing.assert_array_equal(vectors, embedder.transform(smiles[:2]))
        assert score == embedder.score(smiles, profiles)


@pytest.mark.parametrize(
    ("estimator", "scoring", "reference"),
    [
        (MoCoPClassifier, "average_precision", lambda e, X, y: average_precision_score(y, e.predict_proba(X)[:, 1])),
        (MoCoPRegressor, "r2", lambda e, X, y: r2_score(y, e.predict(X))),
    ],
)
def test_the_scoring_monitor(smiles, labels, estimator, scoring, reference):
    """scikit-learn's own callback scores every epoch; the scores are those of shorter fits."""
    monitor = callback.ScoringMonitor(scoring=scoring)
    estimator(**SMALL).set_callbacks(monitor).fit(smiles, labels)
    scores = {row["task_id_path"]: row[scoring] for row in monitor.get_logs().data}
    for n in (1, 2, 3):
        short = estimator(**SMALL | {"max_epochs": n}).fit(smiles, labels)
        assert scores[(0, n - 1)] == pytest.approx(reference(short, smiles, labels))
    assert scores[(0,)] == scores[(0, 2)]


def test_pipelines_and_searches_hand_callbacks_on(smiles, profiles, labels, small):
    recorder = Propagated()
    embedder = MoCoPEmbedder(pairs=(smiles, profiles), **small)
    pipe = make_pipeline(embedder, SkipInvalid(LogisticRegression())).set_callbacks(recorder)
    pipe.fit(smiles, labels)
    assert [entry for entry in recorder.heard if entry[1] == "epoch"] == epochs(0, 3)
    assert ("end", "lbfgs-iter", 0) in recorder.heard  # of the regression within SkipInvalid
    recorder.heard.clear()
    search = GridSearchCV(MoCoPClassifier(**SMALL), {"dropout": [0.0, 0.1]}, cv=2).set_callbacks(recorder)
    search.fit(smiles, labels)
    assert recorder.heard.count(("end", "epoch", 2)) == 5  # two candidates in two folds, and the refit
    assert recorder.heard[0] == ("setup", "fit")
    assert recorder.heard[-1] == ("teardown", "fit")


def test_clones_have_the_callbacks(smiles, labels):
    recorder = Recorder()
    clone(MoCoPClassifier(**SMALL).set_callbacks(recorder)).fit(smiles, labels)
    assert ("end", "epoch", 2) in recorder.heard


def test_an_error_ends_the_tasks(smiles, labels):
    recorder = Recorder()
    estimator = MoCoPClassifier(**SMALL, callbacks=[lambda row: 1 / 0]).set_callbacks(recorder)
    with pytest.raises(ZeroDivisionError):
        estimator.fit(smiles, labels)
    assert recorder.heard[-1] == ("teardown", "fit")
    assert not {"_tasks", "_callback_fit_ctx"} & set(vars(estimator))
