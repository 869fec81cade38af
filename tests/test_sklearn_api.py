"""The scikit-learn contract: its own checks on the real class, and every place where users put a transformer."""

import copy
import os
import pickle
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, learning_curve
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.nn import GatedGraphEncoder
from tests.helpers.fronts import NumericRows
from tests.helpers.processes import elsewhere

# ---------------------------------------------------------------------------------------------
# scikit-learn's battery
# ---------------------------------------------------------------------------------------------


class NumericFront(NumericRows, MoCoPEmbedder):
    """Rows of numbers, hashed to a few molecules, with the row itself as the profile."""

    def fit(self, X, y=None):
        X = validate_data(self, X)
        return super().fit(self._molecules(X), y, profiles=X)

    def transform(self, X):
        check_is_fitted(self)
        return super().transform(self._molecules(validate_data(self, X, reset=False)))

    def score(self, X, y=None):
        X = validate_data(self, X, reset=False)
        return super().score(self._molecules(X), profiles=X)


@pytest.mark.slow
def test_all_checks_of_scikit_learn(tiny):
    results = check_estimator(NumericFront(**tiny | {"max_epochs": 1}), on_skip=None, on_fail=None)
    unmet = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    # needs an environment variable that must be set before SciPy is imported
    assert "SCIPY_ARRAY_API" in str(unmet.pop("check_array_api_input", "SCIPY_ARRAY_API"))
    assert not unmet
    assert len(results) >= 46


def test_checks_of_scikit_learn_for_strings(tiny):
    with pytest.warns(SkipTestWarning, match="string=True"):  # for strings it has one check
        check_estimator(MoCoPEmbedder(**tiny), on_skip=None)


# ---------------------------------------------------------------------------------------------
# composition
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def classifier(model_file):
    return make_pipeline(MoCoPEmbedder(pretrained=model_file), StandardScaler(), LogisticRegression())


def test_pipeline_of_a_pretrained_embedder(classifier, smiles, labels):
    assert classifier.fit(smiles, labels).score(smiles, labels) > 0.9
    assert cross_val_score(classifier, smiles, labels, cv=3).mean() > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_downstream_parameters(classifier, smiles, labels, n_jobs):
    grid = {"logisticregression__C": [1e-6, 1.0], "mocopembedder__output": ["encoder", "projection"]}
    search = GridSearchCV(classifier, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(smiles, labels)
    assert search.best_params_["logisticregression__C"] == 1.0
    assert search.best_estimator_["mocopembedder"].digest_ == MoCoPEmbedder.load(search.estimator[0].pretrained).digest_


def test_grid_search_on_the_bare_embedder(smiles, profiles, tiny):
    # y is the second view, as in scikit-learn's PLS
    search = GridSearchCV(MoCoPEmbedder(**tiny), {"temperature": [0.1, "learned"]}, cv=2, error_score="raise")
    search.fit(smiles, profiles)
    assert search.transform(smiles).shape == (40, 32)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


class CountingEncoder(GatedGraphEncoder):
    """An encoder that leaves a line in a file with every step of training."""

    def __init__(self, log, *widths):
        super().__init__(*widths, n_layers=1, hidden_dim=8, embedding_dim=16, dropout=0.0)
        self.log = log

    def forward(self, graph):
        if self.training:
            with open(self.log, "a") as file:
                file.write("step\n")
        return super().forward(graph)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("random_state", [0, None])
def test_a_search_pretrains_once_per_candidate(smiles, profiles, labels, tiny, tmp_path, n_jobs, random_state):
    log = tmp_path / "log"
    embedder = MoCoPEmbedder(
        **tiny | {"random_state": random_state},
        pairs=PairedProfiles(smiles, profiles),
        encoder=partial(CountingEncoder, str(log)),
        memory=tmp_path / "cache",
    )
    pipeline = make_pipeline(embedder, LogisticRegression())
    search = GridSearchCV(
        pipeline, {"mocopembedder__temperature": [0.05, 0.1, 0.2]}, cv=3, n_jobs=n_jobs, error_score="raise"
    )
    search.fit(smiles, labels)
    steps_of_one = tiny["max_epochs"] * (36 // tiny["batch_size"])  # a tenth of the 40 molecules validates
    assert log.read_text().splitlines() == ["step"] * 3 * steps_of_one
    search.fit(smiles[::-1], labels[::-1])
    assert log.read_text().splitlines() == ["step"] * 3 * steps_of_one


def test_pairs_from_a_file_are_the_same_pairs(smiles, profiles, labels, tiny, tmp_path):
    path = tmp_path / "pairs.parquet"
    columns = [f"Cells_{i}" for i in range(profiles.shape[1])]
    frame = pd.DataFrame(profiles.astype(np.float32), columns=columns)
    frame.assign(Metadata_SMILES=smiles).to_parquet(path)
    from_file = MoCoPEmbedder(**tiny, pairs=path).fit(["CO"], [1])
    direct = MoCoPEmbedder(**tiny, pairs=PairedProfiles(smiles, frame)).fit(["CO"])
    as_tuple = MoCoPEmbedder(**tiny, pairs=(smiles, frame)).fit(["CO"])
    assert from_file.digest_ == direct.digest_ == as_tuple.digest_


def test_cloning_does_not_copy_pairs(smiles, profiles):
    pairs = PairedProfiles(smiles, profiles)
    assert clone(make_pipeline(MoCoPEmbedder(pairs=pairs)))[0].pairs is pairs
    assert copy.deepcopy(pairs) is copy.copy(pairs) is pairs


def test_cross_validation_with_profiles_as_y(smiles, profiles, tiny):
    scores = cross_val_score(MoCoPEmbedder(**tiny), smiles, profiles, cv=KFold(3, shuffle=True, random_state=0))
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_learning_curve_of_the_bare_embedder(smiles, profiles, tiny):
    sizes, _, scores = learning_curve(MoCoPEmbedder(**tiny), smiles, profiles, cv=2, train_sizes=[0.5, 1.0])
    assert sizes.tolist() == [10, 20]
    assert np.isfinite(scores).all()


def test_feature_union_with_fingerprints(model_file, smiles, labels):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=64)

    def fingerprints(X):
        return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in X])

    union = make_union(MoCoPEmbedder(pretrained=model_file), FunctionTransformer(fingerprints))
    assert union.fit_transform(smiles).shape == (40, 32 + 64)
    assert make_pipeline(union, LogisticRegression(max_iter=1000)).fit(smiles, labels).score(smiles, labels) == 1.0


@pytest.mark.parametrize("column", ["smiles", ["smiles"]])
def test_column_transformer(model_file, smiles, labels, column):
    frame = pd.DataFrame({"dose": np.linspace(0, 1, 40), "smiles": smiles}, index=range(100, 140))
    columns = make_column_transformer(
        (MoCoPEmbedder(pretrained=model_file), column), (StandardScaler(), ["dose"]), verbose_feature_names_out=False
    )
    columns.set_output(transform="pandas")
    table = columns.fit_transform(frame)
    assert table.columns.tolist() == [f"mocopembedder{i}" for i in range(32)] + ["dose"]
    assert table.index.equals(frame.index)
    assert (
        make_pipeline(columns, LogisticRegression(C=100, max_iter=1000)).fit(frame, labels).score(frame, labels) > 0.9
    )


def test_frozen_embedder(fitted, smiles, labels):
    embedder = copy.deepcopy(fitted)
    pipeline = make_pipeline(FrozenEstimator(embedder), LogisticRegression())
    with pytest.raises(ValueError, match="FrozenEstimator"):
        cross_val_score(make_pipeline(clone(embedder), LogisticRegression()), smiles, labels, error_score="raise")
    assert np.isfinite(cross_val_score(pipeline, smiles, labels, cv=2, error_score="raise")).all()
    np.testing.assert_array_equal(clone(pipeline)[0].transform(smiles), fitted.transform(smiles))
    # scikit-learn's set_output reaches the object inside
    pipeline.set_output(transform="pandas")
    assert isinstance(embedder.transform(smiles), pd.DataFrame)


def test_pretrained_survives_clone_when_frozen(fitted, smiles, labels):
    for pretrained in (FrozenEstimator(fitted), fitted.model_):
        pipeline = make_pipeline(MoCoPEmbedder(pretrained=pretrained), LogisticRegression())
        assert np.isfinite(cross_val_score(pipeline, smiles, labels, cv=2, error_score="raise")).all()


# ---------------------------------------------------------------------------------------------
# metadata routing
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_profiles_are_routed_without_being_requested(smiles, profiles, labels, tiny):
    cv = KFold(3)
    as_y = cross_val_score(MoCoPEmbedder(**tiny), smiles, profiles, cv=cv)
    with config_context(enable_metadata_routing=True):
        as_metadata = cross_val_score(
            MoCoPEmbedder(**tiny), smiles, cv=cv, params={"profiles": profiles}, error_score="raise"
        )
        pipeline = make_pipeline(MoCoPEmbedder(**tiny), LogisticRegression())
        pipeline.fit(smiles, labels, profiles=profiles)
        assert pipeline[0].digest_ == MoCoPEmbedder(**tiny).fit(smiles, profiles=profiles).digest_
        search = GridSearchCV(pipeline, {"mocopembedder__dropout": [0.0, 0.2]}, cv=2, error_score="raise")
        assert search.fit(smiles, labels, profiles=profiles).predict(smiles).shape == (40,)
    np.testing.assert_array_equal(as_metadata, as_y)


def test_without_routing_the_errors_are_clear(smiles, profiles, labels, tiny):
    pipeline = make_pipeline(MoCoPEmbedder(**tiny), LogisticRegression())
    with pytest.raises(ValueError, match=r"does not accept the profiles parameter.*stepname__parameter"):
        pipeline.fit(smiles, labels, profiles=profiles)
    # scikit-learn then gives the parameters to fit only
    with pytest.raises(ValueError, match=r"score needs the profiles of X"):
        cross_val_score(MoCoPEmbedder(**tiny), smiles, params={"profiles": profiles}, error_score="raise")
    pipeline.fit(smiles, labels, mocopembedder__profiles=profiles)
    assert pipeline[0].digest_ == MoCoPEmbedder(**tiny).fit(smiles, profiles=profiles).digest_


# ---------------------------------------------------------------------------------------------
# output containers and names
# ---------------------------------------------------------------------------------------------


def test_set_output_pandas_keeps_the_index(fitted, smiles):
    embedder = copy.deepcopy(fitted).set_output(transform="pandas")
    index = [f"compound {i}" for i in range(40)]
    for X in (pd.Series(smiles, index=index), pd.DataFrame({"smiles": smiles}, index=index)):
        Z = embedder.transform(X)
        assert Z.index.tolist() == index
        assert Z.columns.tolist() == embedder.get_feature_names_out().tolist()
        np.testing.assert_array_equal(Z, fitted.transform(smiles))


def test_set_output_polars(fitted, smiles):
    Z = copy.deepcopy(fitted).set_output(transform="polars").transform(smiles)
    assert isinstance(Z, pl.DataFrame)
    assert Z.columns == [f"mocopembedder{i}" for i in range(32)]
    np.testing.assert_array_equal(Z.to_numpy(), fitted.transform(smiles))


def test_a_global_output_container_does_not_reach_inside(fitted, smiles, profiles, tiny):
    with config_context(transform_output="pandas"):
        embedder = MoCoPEmbedder(**tiny).fit(smiles, profiles)
        assert isinstance(embedder.fit_transform(smiles, profiles), pd.DataFrame)
        assert isinstance(embedder.transform_profiles(profiles), np.ndarray)
        assert embedder.score(smiles, profiles) == fitted.score(smiles, profiles)
    assert embedder.digest_ == fitted.digest_


def test_names(fitted):
    assert not hasattr(fitted, "n_features_in_")
    assert not hasattr(fitted, "feature_names_in_")
    projection = copy.deepcopy(fitted).set_params(output="projection")
    assert projection.get_feature_names_out().tolist() == [f"mocopembedder{i}" for i in range(fitted.model_.n_shared)]
    with pytest.raises(NotFittedError):
        clone(fitted).get_feature_names_out()


# ---------------------------------------------------------------------------------------------
# copies
# ---------------------------------------------------------------------------------------------


def _through_joblib(path, embedder):
    joblib.dump(embedder, path)
    return joblib.load(path)


@pytest.mark.parametrize("how", ["pickle", "joblib", "deepcopy"])
def test_copies_embed_alike(fitted, smiles, profiles, tmp_path, how):
    ways = {
        "pickle": lambda e: pickle.loads(pickle.dumps(e)),
        "joblib": partial(_through_joblib, tmp_path / "embedder.joblib"),
        "deepcopy": copy.deepcopy,
    }
    twin = ways[how](fitted)
    np.testing.assert_array_equal(twin.transform(smiles), fitted.transform(smiles))
    np.testing.assert_array_equal(twin.transform_profiles(profiles), fitted.transform_profiles(profiles))
    assert twin.digest_ == fitted.digest_
    assert twin.history_ == fitted.history_


def transform_without_gpu(pickled, smiles):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    assert not torch.cuda.is_available()
    return pickle.loads(pickled).transform(smiles)


@pytest.mark.slow
def test_pickles_are_small_and_need_no_gpu(smiles, profiles):
    embedder = MoCoPEmbedder(max_epochs=1, random_state=0).fit(smiles, profiles)  # on the GPU, where there is one
    expected = embedder.transform(["CCO", "c1ccccc1"])
    pickled = pickle.dumps(embedder)
    assert len(pickled) < 1.5 * sum(w.nbytes for w in embedder.model_.weights.values())
    z = elsewhere(transform_without_gpu, pickled, ["CCO", "c1ccccc1"])
    tolerance = 0.1 if torch.cuda.is_available() else 1e-5  # bfloat16 on a GPU
    np.testing.assert_allclose(z, expected, rtol=tolerance, atol=tolerance)


def test_clone_is_unfitted_and_equal(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        twin.transform(["CCO"])


def test_joblib_hash_is_stable(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny).fit(smiles, profiles)
    before = joblib.hash(embedder)
    embedder.transform(smiles)
    embedder.score(smiles, profiles)
    assert joblib.hash(embedder) == before
    assert joblib.hash(pickle.loads(pickle.dumps(embedder))) == before
    assert joblib.hash(copy.deepcopy(embedder)) == before
    assert joblib.hash(pickle.loads(pickle.dumps(embedder)).set_params(verbose=1)) != before


# ---------------------------------------------------------------------------------------------
# randomness and global state
# ---------------------------------------------------------------------------------------------


def test_the_seed_decides_the_weights(fitted, smiles, profiles, tiny):
    again = MoCoPEmbedder(**tiny).fit(smiles, profiles)
    other = MoCoPEmbedder(**tiny | {"random_state": 1}).fit(smiles, profiles)
    assert again.digest_ == fitted.digest_ != other.digest_
    assert all(np.array_equal(w, fitted.model_.weights[name]) for name, w in again.model_.weights.items())
    assert not np.array_equal(other.transform(smiles), fitted.transform(smiles))


def test_random_state_instances_and_none_differ_between_fits(smiles, profiles, tiny):
    for random_state in (np.random.RandomState(0), None):
        embedder = MoCoPEmbedder(**tiny | {"random_state": random_state})
        assert embedder.fit(smiles, profiles).digest_ != embedder.fit(smiles, profiles).digest_


def test_global_state_is_left_alone(model_file, smiles, profiles, tiny):
    torch_state, numpy_state, log_state = torch.get_rng_state(), np.random.get_state(), rdBase.LogStatus()
    embedder = MoCoPEmbedder(**tiny, invalid="nan").fit(smiles, profiles)
    pickle.loads(pickle.dumps(embedder)).transform(smiles)
    MoCoPEmbedder.load(model_file).score(smiles, profiles)
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        embedder.transform(["CCO", "not a molecule"])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True))
    assert rdBase.LogStatus() == log_state


def test_parameters_are_stored_as_given(tiny):
    parameters = tiny | {"pretrained": Path("model"), "memory": Path("cache"), "profile_dims": [16, 8]}
    embedder = MoCoPEmbedder(**parameters)
    assert all(getattr(embedder, name) is value for name, value in parameters.items())
