"""``SkipInvalid``: a row that is not a molecule gets no prediction, from no estimator, and nothing else changes."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_outlier_detector, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from mocop_sklearn import MoCoPEmbedder, SkipInvalid

INVALID = [3, 17, 18]
VALID = np.setdiff1d(np.arange(40), INVALID)
ESTIMATORS = [
    RandomForestClassifier(n_estimators=10, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5, random_state=0),
    pytest.param(
        SVC(probability=True, random_state=0),
        marks=pytest.mark.filterwarnings("ignore:.*probability:FutureWarning"),
    ),
    CalibratedClassifierCV(SVC(), cv=2),
    LogisticRegression(),
    Ridge(),
]


def _name(value):
    return type(value).__name__ if isinstance(value, BaseEstimator) else None


@pytest.fixture(scope="module")
def X():
    """Forty rows of numbers, three of them without any."""
    X = np.random.default_rng(0).normal(size=(40, 5))
    X[INVALID] = np.nan
    return X


@pytest.fixture(scope="module")
def y():
    """Forty labels, those of the invalid rows of a class of their own, which no estimator may learn."""
    y = np.random.default_rng(1).integers(0, 2, size=40)
    y[INVALID] = 7
    return y


def fit_skipping(estimator, X, y=None, **params):
    """``SkipInvalid`` around the estimator, fitted without regard to the warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return SkipInvalid(estimator).fit(X, y, **params)


def assert_only_valid(answer, expected):
    """The rows of VALID hold bit for bit what is expected, the others NaN."""
    assert np.isnan(answer[INVALID]).all()
    np.testing.assert_array_equal(answer[VALID], expected)


# ---------------------------------------------------------------------------------------------
# behind the embedder
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=_name)
def test_garbage_gets_no_prediction(estimator, model_file, smiles, labels):
    embedder = MoCoPEmbedder(pretrained=model_file, invalid="nan")
    pipeline = make_pipeline(embedder, SkipInvalid(estimator))
    with (
        pytest.warns(UserWarning, match=r"1 of 41 rows of X are not valid molecules"),
        pytest.warns(UserWarning, match=r"1 of 41 rows of X hold only missing values and are left out of fit: row 2\."),
    ):
        pipeline.fit([*smiles[:2], "garbage", *smiles[2:]], [*labels[:2], 1, *labels[2:]])
    bare = make_pipeline(embedder, clone(estimator)).fit(smiles, labels)
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(bare, method):
            with pytest.warns(UserWarning, match="not valid molecules"):
                answer = getattr(pipeline, method)(["garbage", *smiles, ""])
            assert np.isnan(answer[[0, -1]]).all()
            np.testing.assert_array_equal(answer[1:-1], getattr(bare, method)(smiles))


def test_the_warning_of_the_embedder_names_the_remedy(model_file):
    with pytest.warns(UserWarning, match=r"row 1: 'garbage'[^$]*mocop_sklearn\.SkipInvalid so that these rows get no"):
        MoCoPEmbedder.load(model_file, invalid="nan").transform(["CCO", "garbage"])


def test_other_columns_beside_the_embedding(model_file, smiles, labels):
    table = pd.DataFrame({"smiles": [*smiles[:-1], "garbage"], "dose": np.arange(40.0)})
    union = make_column_transformer(
        (MoCoPEmbedder(pretrained=model_file, invalid="nan"), "smiles"), ("passthrough", ["dose"])
    )
    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    with (
        pytest.warns(UserWarning, match="not valid molecules"),
        pytest.warns(UserWarning, match=r"1 of 40 rows of X hold missing values and are left out of fit: row 39\."),
    ):
        pipeline = make_pipeline(union, SkipInvalid(forest, how="any")).fit(table, labels)
    with pytest.warns(UserWarning, match="not valid molecules"):
        answer = pipeline.predict(table)
    assert np.isnan(answer).tolist() == [False] * 39 + [True]


# ---------------------------------------------------------------------------------------------
# fitting and answering
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=_name)
def test_valid_rows_are_answered_as_without_the_others(estimator, X, y):
    skip = fit_skipping(estimator, X, y)
    inner = clone(estimator).fit(X[VALID], y[VALID])
    assert_only_valid(skip.predict(X), inner.predict(X[VALID]))
    assert skip.predict(X[VALID]).dtype == inner.predict(X[VALID]).dtype
    assert skip.score(X[VALID], y[VALID]) == inner.score(X[VALID], y[VALID])
    assert skip.n_features_in_ == 5
    assert not hasattr(skip, "feature_names_in_")
    if isinstance(estimator, LogisticRegression):
        assert_only_valid(skip.predict_log_proba(X), inner.predict_log_proba(X[VALID]))
    if is_classifier(estimator):
        assert_only_valid(skip.predict_proba(X), inner.predict_proba(X[VALID]))
        assert skip.classes_.tolist() == [0, 1]


def test_one_warning_with_the_first_ten_rows():
    X = np.full((40, 2), np.nan)
    X[12:] = np.random.default_rng(0).normal(size=(28, 2))
    with pytest.warns(UserWarning, match="12 of 40") as record:
        skip = SkipInvalid(Ridge()).fit(X, np.arange(40))
    assert [str(w.message) for w in record] == [
        "12 of 40 rows of X hold only missing values and are left out of fit: rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...."
    ]
    assert record[0].filename == __file__
    with pytest.warns(UserWarning, match="12 of 40 rows of X hold only missing values and are left out of the score"):
        score = skip.score(X, np.arange(40))
    assert score == skip.estimator_.score(X[12:], np.arange(12, 40))


def test_no_valid_row(X, y):
    nothing = np.full((4, 5), np.nan)
    with pytest.raises(ValueError, match=r"4 of 4 rows of X .*Ridge needs at least one valid row for fit"):
        SkipInvalid(Ridge()).fit(nothing, y[:4])
    skip = fit_skipping(LogisticRegression(), X, y)
    assert np.isnan(skip.predict(nothing)).all()
    np.testing.assert_array_equal(skip.predict_proba(nothing), np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match="nothing to score"):
        skip.score(nothing, y[:4])
    with pytest.raises(ValueError, match="3 features"):
        skip.predict(nothing[:, :3])


def test_rows_with_some_values_missing_are_left_to_the_inner_estimator(X, y):
    holes = X.copy()
    holes[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        fit_skipping(Ridge(), holes, y)
    boosting = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(fit_skipping(boosting, holes, y).predict(holes))), INVALID)


def test_labels_that_cannot_be_nan(X, y):
    for labels in (np.array(["inactive", "active"])[y % 2], np.array(["a", "b"], dtype=object)[y % 2].tolist()):
        skip = fit_skipping(LogisticRegression(), X, labels)
        answer = skip.predict(X)
        assert answer.dtype == object
        assert [row for row, label in enumerate(answer) if label is None] == INVALID
        expected = skip.estimator_.predict(X[VALID])
        assert answer[VALID].tolist() == expected.tolist()
        assert skip.predict(X[VALID]).dtype == expected.dtype
    truth = fit_skipping(LogisticRegression(), X, y == 1).predict(X)
    assert truth.dtype == np.float64
    assert np.isin(truth[VALID], [0, 1]).all()


def test_multi_output(X, y):
    Y = np.column_stack([y % 2, np.arange(40) % 3])
    skip = fit_skipping(RandomForestClassifier(n_estimators=5, random_state=0), X, Y)
    inner = RandomForestClassifier(n_estimators=5, random_state=0).fit(X[VALID], Y[VALID])
    assert_only_valid(skip.predict(X), inner.predict(X[VALID]))
    for answer, expected in zip(skip.predict_proba(X), inner.predict_proba(X[VALID]), strict=True):
        assert_only_valid(answer, expected)
    assert [a.shape for a in skip.predict_proba(X[INVALID])] == [(3, 2), (3, 3)]


def test_tuples(X, y):
    skip = fit_skipping(GaussianProcessRegressor(alpha=0.1), X, y)
    inner = GaussianProcessRegressor(alpha=0.1).fit(X[VALID], y[VALID])
    for answer, expected in zip(
        skip.predict(X, return_std=True), inner.predict(X[VALID], return_std=True), strict=True
    ):
        assert_only_valid(answer, expected)
    mean, covariance = skip.predict(X, return_cov=True)
    assert_only_valid(mean, inner.predict(X[VALID]))
    assert np.isnan(covariance[INVALID]).all()
    assert np.isnan(covariance[:, INVALID]).all()
    np.testing.assert_array_equal(covariance[np.ix_(VALID, VALID)], inner.predict(X[VALID], return_cov=True)[1])


def test_clusters_densities_and_outliers(X):
    for method, estimator in {
        "fit_predict": KMeans(2, random_state=0),
        "score_samples": KernelDensity(),
        "decision_function": IsolationForest(n_estimators=5, random_state=0),
    }.items():
        skip = fit_skipping(estimator, X)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answer = getattr(skip, method)(X)
        inner = clone(estimator).fit(X[VALID])
        assert_only_valid(answer, getattr(inner, method)(X[VALID]))
    assert skip.offset_ == inner.offset_


def test_partial_fit(X, y):
    skip, inner = (make(SGDClassifier(random_state=0)) for make in (SkipInvalid, clone))
    for rows in (slice(2, 4), slice(4, 40)):
        batch, labels = X[rows], y[rows]
        keep = ~np.isnan(batch[:, 0])
        with pytest.warns(UserWarning, match="left out of partial_fit"):
            skip.partial_fit(batch, labels, classes=[0, 1])
        inner.partial_fit(batch[keep], labels[keep], classes=[0, 1])
    assert_only_valid(skip.decision_function(X), inner.decision_function(X[VALID]))


# ---------------------------------------------------------------------------------------------
# containers
# ---------------------------------------------------------------------------------------------


class SeesFrames(ClassifierMixin, BaseEstimator):
    """Records the containers that it is given."""

    def fit(self, X, y):
        self.seen_ = X, y
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_stay_data_frames(frame, X, y):
    table = frame({name: X[:, i] for i, name in enumerate("abcde")})
    inner_X, inner_y = fit_skipping(SeesFrames(), table, pd.Series(y)).estimator_.seen_
    assert type(inner_X) is frame
    assert isinstance(inner_y, pd.Series)
    np.testing.assert_array_equal(inner_X.to_numpy(), X[VALID])
    np.testing.assert_array_equal(inner_y, y[VALID])
    skip = fit_skipping(LogisticRegression(), table, y)
    assert_only_valid(skip.predict(table), skip.estimator_.predict(table[VALID] if frame is pl.DataFrame else inner_X))


def test_lists_and_missing_objects(X, y):
    skip = fit_skipping(LogisticRegression(), X.tolist(), y.tolist())
    np.testing.assert_array_equal(skip.predict(X.tolist()), fit_skipping(LogisticRegression(), X, y).predict(X))
    nullable = pd.DataFrame(X).astype("Float64")
    assert nullable.iloc[3, 0] is pd.NA
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(skip.predict(nullable))), INVALID)
    texts = pd.DataFrame({"a": ["x", None, "y"], "b": ["u", np.nan, None]}, dtype=object)
    codes = fit_skipping(OneHotEncoder(), texts).transform(texts)
    assert np.isnan(codes.toarray()).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("make", [sp.csr_array, sp.coo_array, sp.csc_matrix])
def test_sparse(make, X, y):
    full = make(np.nan_to_num(X))
    inner, skip = (estimator.fit(full, y) for estimator in (LogisticRegression(), SkipInvalid(LogisticRegression())))
    np.testing.assert_array_equal(skip.predict_proba(full), inner.predict_proba(full))
    inner = LogisticRegression().fit(sp.csr_array(X[VALID]), y[VALID])
    assert_only_valid(fit_skipping(LogisticRegression(), make(X), y).predict(make(X)), inner.predict(X[VALID]))


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_set_output(container, X):
    skip = fit_skipping(StandardScaler(), X).set_output(transform=container)
    expected = StandardScaler().fit_transform(X[VALID])
    with pytest.warns(UserWarning, match="left out of fit_transform"):
        answers = [skip.transform(X), clone(skip).fit_transform(X)]
    for Z in answers:
        assert type(Z) is {"default": np.ndarray, "pandas": pd.DataFrame, "polars": pl.DataFrame}[container]
        assert_only_valid(np.asarray(Z), expected)
    assert skip.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3", "x4"]
    assert np.isnan(np.asarray(skip.transform(X[INVALID].astype(np.float32)))).all()


def test_set_output_keeps_the_index_of_pandas(X):
    table = pd.DataFrame(X, index=[f"compound {i}" for i in range(40)], columns=list("abcde"))
    pipeline = make_pipeline(SkipInvalid(PCA(2))).set_output(transform="pandas")
    with pytest.warns(UserWarning, match="left out"):
        Z = pipeline.fit(table).transform(table)
    assert Z.index.equals(table.index)
    assert Z.columns.tolist() == ["pca0", "pca1"]
    assert_only_valid(Z.to_numpy(), PCA(2).fit(table.iloc[VALID]).transform(table.iloc[VALID]))
    assert pipeline[0].feature_names_in_.tolist() == list("abcde")
    with config_context(transform_output="pandas"):
        assert fit_skipping(StandardScaler(), table).transform(table).index.equals(table.index)


class CrossFitted(StandardScaler):
    """As target encoders, it does not transform in ``fit_transform`` as in ``transform``."""

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X) + 100


def test_fit_transform_is_that_of_the_inner_estimator(X):
    with pytest.warns(UserWarning, match="left out of fit_transform"):
        Z = SkipInvalid(CrossFitted()).fit_transform(X)
    assert_only_valid(Z, CrossFitted().fit_transform(X[VALID]))


# ---------------------------------------------------------------------------------------------
# metadata
# ---------------------------------------------------------------------------------------------


class NeedsMetadata(ClassifierMixin, BaseEstimator):
    """Records what it is given."""

    def fit(self, X, y, plate=None, factor=None):
        self.classes_, self.seen_ = np.unique(y), (X, plate, factor)
        return self

    def predict(self, X, plate=None):
        return np.asarray(plate, dtype=float)

    def score(self, X, y, plate=None):
        return float(np.sum(plate))


@pytest.mark.parametrize("routing", [False, True])
def test_weights_lose_the_same_rows(routing, X, y):
    weights = np.arange(40.0)
    with config_context(enable_metadata_routing=routing):
        inner = LogisticRegression()
        if routing:
            inner.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        skip = fit_skipping(inner, X, y, sample_weight=weights)
        expected = LogisticRegression().fit(X[VALID], y[VALID], sample_weight=weights[VALID])
        assert_only_valid(skip.predict_proba(X), expected.predict_proba(X[VALID]))
        with pytest.warns(UserWarning, match="3 of 40"):
            score = skip.score(X, y, sample_weight=weights)
        assert score == expected.score(X[VALID], y[VALID], sample_weight=weights[VALID])


@pytest.mark.parametrize("routing", [False, True])
def test_metadata_lose_the_same_rows(routing, X, y):
    plate = pd.Series(np.arange(40), index=np.arange(40)[::-1])
    with config_context(enable_metadata_routing=routing):
        inner = NeedsMetadata()
        if routing:
            inner.set_fit_request(plate=True, factor=True).set_predict_request(plate="barcode")
            inner.set_score_request(plate=True)
        skip = fit_skipping(inner, X, y, plate=plate, factor=0.5)
        _, seen, factor = skip.estimator_.seen_
        assert (seen.tolist(), factor) == (VALID.tolist(), 0.5)
        name = "barcode" if routing else "plate"
        assert_only_valid(skip.predict(X, **{name: plate.tolist()}), VALID)
        with pytest.warns(UserWarning, match="left out of the score"):
            assert skip.score(X, y, plate=plate) == VALID.sum()


def test_metadata_reach_through_a_search(X, y):
    y, weights = y % 2, np.arange(1.0, 41)
    with config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        with pytest.warns(UserWarning, match="left out of"):
            search = GridSearchCV(SkipInvalid(inner), {"estimator__C": [0.5]}, cv=2).fit(X, y, sample_weight=weights)
        with pytest.raises(TypeError, match="plate"):
            SkipInvalid(inner).fit(X, y, plate=y)
    expected = LogisticRegression(C=0.5).fit(X[VALID], y[VALID], sample_weight=weights[VALID])
    np.testing.assert_array_equal(search.best_estimator_.estimator_.coef_, expected.coef_)


# ---------------------------------------------------------------------------------------------
# where users put an estimator
# ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*missing values and are left out:UserWarning")
def test_grid_search_and_cross_validation(X, y):
    y = y % 2
    pipeline = make_pipeline(StandardScaler(), SkipInvalid(LogisticRegression()))
    search = GridSearchCV(pipeline, {"skipinvalid__estimator__C": [0.01, 1.0]}, cv=3, error_score="raise").fit(X, y)
    assert search.best_params_ == {"skipinvalid__estimator__C": search.best_estimator_[-1].estimator_.C}
    assert np.isnan(search.predict(X[INVALID])).all()
    folds = [(VALID[:20], VALID[20:])], [(np.arange(23), np.arange(23, 40))]
    scores = [cross_val_score(SkipInvalid(LogisticRegression()), X, y, cv=cv, error_score="raise") for cv in folds]
    np.testing.assert_array_equal(*scores)  # the second fold is the first with the invalid rows


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method, X, y):
    inside = fit_skipping(CalibratedClassifierCV(SVC(), method=method, cv=2), X, y)
    expected = CalibratedClassifierCV(SVC(), method=method, cv=2).fit(X[VALID], y[VALID])
    assert_only_valid(inside.predict_proba(X), expected.predict_proba(X[VALID]))
    around = CalibratedClassifierCV(SkipInvalid(SVC()), method=method, cv=2)
    weights = np.linspace(1, 2, 37)
    around.fit(X[VALID], y[VALID], sample_weight=weights)
    expected = CalibratedClassifierCV(SVC(), method=method, cv=2).fit(X[VALID], y[VALID], sample_weight=weights)
    np.testing.assert_array_equal(around.predict_proba(X[VALID]), expected.predict_proba(X[VALID]))


def test_only_the_methods_of_the_inner_estimator():
    assert not hasattr(SkipInvalid(Ridge()), "predict_proba")
    assert not hasattr(SkipInvalid(StandardScaler()), "predict")
    assert not hasattr(SkipInvalid(KNeighborsClassifier()), "decision_function")
    assert hasattr(SkipInvalid(SVC()), "decision_function")
    with pytest.raises(AttributeError, match="partial_fit"):
        SkipInvalid(Ridge()).partial_fit([[1.0]], [1.0])
    with pytest.raises(NotFittedError):
        SkipInvalid(Ridge()).predict([[1.0]])
    with pytest.raises(ValueError, match=r"'estimator' parameter of SkipInvalid"):
        SkipInvalid(3).fit([[1.0]])


def test_tags_are_those_of_the_inner_estimator():
    assert is_classifier(SkipInvalid(SVC()))
    assert is_regressor(SkipInvalid(Ridge()))
    assert is_outlier_detector(SkipInvalid(IsolationForest()))
    assert get_tags(SkipInvalid(StandardScaler())).transformer_tags is not None
    assert get_tags(SkipInvalid(Ridge())).input_tags.allow_nan
    assert not get_tags(Ridge()).input_tags.allow_nan


def test_copies(X, y):
    skip = fit_skipping(RandomForestClassifier(n_estimators=3, random_state=0), X, y)
    for twin in (pickle.loads(pickle.dumps(skip)), copy.deepcopy(skip)):
        np.testing.assert_array_equal(twin.predict_proba(X), skip.predict_proba(X))
    twin = clone(skip)
    assert twin.get_params()["estimator__n_estimators"] == 3
    assert not hasattr(twin, "estimator_")
    frozen = FrozenEstimator(Ridge().fit(X[VALID], y[VALID]))
    assert_only_valid(fit_skipping(frozen, X, y).predict(X), frozen.predict(X[VALID]))


# The checks of scikit-learn that the inner estimator is not meant to pass, and why.
PARTLY_NAN = {
    "check_estimators_pickle": "makes single values of a row NaN, which are for the inner estimator to refuse"
}
BOOTSTRAP = {
    f"check_sample_weight_equivalence_on_{kind}_data": "a forest draws its rows at random, whatever their weights"
    for kind in ("dense", "sparse")
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (LogisticRegression(), PARTLY_NAN),
        (Ridge(), PARTLY_NAN),
        (RandomForestClassifier(n_estimators=5, random_state=0), BOOTSTRAP),
        (StandardScaler(with_mean=False), {}),
        (HistGradientBoostingClassifier(max_iter=5, random_state=0), {}),
    ],
    ids=_name,
)
def test_all_checks_of_scikit_learn(estimator, expected):
    results = check_estimator(SkipInvalid(estimator), expected_failed_checks=expected, on_skip=None)
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(expected)
