"""Fine-tuned estimators in scikit-learn's tools, copies and files."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from tests.helpers.finetuning import LEARN, QUICK, same_weights


def morgan(X):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=64)
    return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in X])


@pytest.mark.slow
def test_searches_and_cross_validation(smiles, labels, tasks, model_file, fitted):
    tuned = MoCoPClassifier(pretrained=model_file, max_epochs=2, learning_rate=1e-3, random_state=0)
    search = GridSearchCV(tuned, {"freeze": ["encoder", 1], "layer_decay": [0.5, 1.0]}, cv=2, error_score="raise")
    assert np.isfinite(search.fit(smiles, labels).cv_results_["mean_test_score"]).all()
    assert cross_val_score(MoCoPClassifier(**LEARN), smiles, labels, cv=3, error_score="raise").mean() > 0.8
    # without a splitter, scikit-learn itself looks for the classes in y, and stumbles over NaN
    assert np.isfinite(cross_val_score(tuned, smiles, tasks, cv=KFold(2), error_score="raise")).all()
    marked = clone(tuned).set_params(missing=-1)
    Y = np.nan_to_num(tasks, nan=-1).astype(int)
    np.testing.assert_array_equal(
        cross_val_score(marked, smiles, Y, cv=2, error_score="raise"),
        cross_val_score(tuned, smiles, tasks, cv=KFold(2), error_score="raise"),
    )
    frozen = clone(tuned).set_params(pretrained=FrozenEstimator(fitted))
    assert np.isfinite(cross_val_score(frozen, smiles, labels, cv=2, error_score="raise")).all()
    with pytest.raises(ValueError, match="FrozenEstimator"):
        cross_val_score(clone(tuned).set_params(pretrained=fitted), smiles, labels, cv=2, error_score="raise")


@pytest.mark.slow
def test_calibration(smiles, labels):
    calibrated = CalibratedClassifierCV(MoCoPClassifier(**LEARN), cv=2).fit(smiles, labels)
    assert calibrated.score(smiles, labels) > 0.9


@pytest.mark.slow
def test_stacking_with_a_forest_on_fingerprints(smiles, labels):
    forest = make_pipeline(FunctionTransformer(morgan), RandomForestClassifier(20, random_state=0))
    stack = StackingClassifier(
        [("mocop", MoCoPClassifier(**LEARN)), ("forest", forest)], LogisticRegression(), cv=StratifiedKFold(2)
    )
    assert stack.fit(np.array(smiles), labels).score(np.array(smiles), labels) > 0.9


def test_sample_weights_are_routed_without_being_requested(smiles, labels):
    weight = np.ones(40)
    weight[:5] = 0
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(MoCoPClassifier(**QUICK)).fit(smiles, labels, sample_weight=weight)
    assert same_weights(pipeline[0], MoCoPClassifier(**QUICK).fit(smiles, labels, weight))


def test_copies_predict_alike(smiles, classifier, multitask, regressor):
    for estimator in (classifier, multitask, regressor):
        before = joblib.hash(estimator)
        for twin in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
            np.testing.assert_array_equal(twin.predict(smiles), estimator.predict(smiles))
            assert joblib.hash(twin) == before
        unfitted = clone(estimator)
        assert unfitted.get_params() == estimator.get_params()
        with pytest.raises(NotFittedError):
            unfitted.predict(smiles)


@pytest.mark.parametrize("labels_as", ["binary", "strings", "objects", "tasks", "numbers"])
def test_files_are_exact(smiles, labels, tasks, sizes, tmp_path, labels_as):
    strings = np.where(np.arange(40) % 3 == 0, "a", np.where(labels, "yes", "no"))
    y = {"binary": labels, "strings": strings, "objects": strings.astype(object), "tasks": tasks, "numbers": sizes}
    cls = MoCoPRegressor if labels_as == "numbers" else MoCoPClassifier
    fitted = cls(**QUICK, n_estimators=2).fit(smiles, y[labels_as])
    fitted.save(tmp_path / "tuned.safetensors")
    twin = cls.load(tmp_path / "tuned.safetensors", n_jobs=1)
    np.testing.assert_array_equal(twin.predict(smiles), fitted.predict(smiles))
    assert twin.predict(smiles).dtype == fitted.predict(smiles).dtype
    assert twin.score(smiles, y[labels_as]) == fitted.score(smiles, y[labels_as])
    assert twin.history_ == fitted.history_
    assert twin.max_epochs == 3
    if cls is MoCoPClassifier:
        np.testing.assert_array_equal(twin.predict_proba(smiles), fitted.predict_proba(smiles))
        np.testing.assert_array_equal(twin.classes_, fitted.classes_)
    other = MoCoPClassifier if cls is MoCoPRegressor else MoCoPRegressor
    with pytest.raises(ValueError, match=f"holds a {cls.__name__}, not a {other.__name__}"):
        other.load(tmp_path / "tuned.safetensors")
    assert MoCoPEmbedder.load(tmp_path / "tuned.safetensors").digest_ == fitted.model_.digest


def keep(mol):
    return mol


def test_a_function_that_standardises_is_given_again(smiles, labels, tmp_path, model_file):
    fitted = MoCoPClassifier(**QUICK, standardize=keep).fit(smiles, labels)
    fitted.save(tmp_path / "tuned.safetensors")
    with pytest.raises(ValueError, match=r"trained with standardize=.*keep: pass that again"):
        MoCoPClassifier.load(tmp_path / "tuned.safetensors")
    twin = MoCoPClassifier.load(tmp_path / "tuned.safetensors", standardize=keep)
    np.testing.assert_array_equal(twin.predict_proba(smiles), fitted.predict_proba(smiles))
    with pytest.raises(ValueError, match="holds a model, but a fine-tuned model is needed"):
        MoCoPClassifier.load(model_file)
