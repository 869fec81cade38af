"""Overlap of molecules with a pretraining set."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, PairedProfiles, SkipInvalid
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import MorganCounts


def test_overlap_of_salts_and_stereoisomers():
    pretraining = ["C[C@H](N)C(=O)O", "CC(=O)[O-].[Na+]", "Oc1ccccn1"]
    X = ["N[C@@H](C)C(O)=O", "N[C@H](C)C(O)=O", "CC(N)C(=O)O", "CC(O)=O", "CCO", "O=c1cccc[nH]1"]
    np.testing.assert_array_equal(overlap(pretraining, X), [True, True, True, True, False, True])
    np.testing.assert_array_equal(overlap(pretraining, X, level="exact"), [True, False, False, True, False, False])
    np.testing.assert_array_equal(overlap(pretraining, X, standardize=None)[3], False)


def test_overlap_with_a_model():
    class Model(BaseEstimator):
        standardize = "parent"

        def fit(self, X, y=None):
            self.molecule_keys_ = np.array(["LFQSCWFLJHTTHZ"])  # ethanol
            return self

    X = ["CCO", "CC[O-].[Na+]", "CO"]
    model = Model().fit(X)
    for fitted in (model, FrozenEstimator(model), SimpleNamespace(molecule_keys_=["LFQSCWFLJHTTHZ"])):
        np.testing.assert_array_equal(overlap(fitted, X), [True, True, False])
    # the keys were made with the model's own standardisation, and so are those of X
    model.model_ = SimpleNamespace(standardize=None)
    np.testing.assert_array_equal(overlap(model, X), [True, False, False])
    with pytest.raises(ValueError, match="pass the molecules themselves"):
        overlap(model, X, level="exact")
    with pytest.raises(NotFittedError, match="Model holds no fitted model of this package"):
        overlap(Model(), X)


def test_overlap_with_invalid_molecules():
    with pytest.raises(ValueError, match="1 of 2 rows of X"):
        overlap(["CCO"], ["CCO", "no molecule"])
    with pytest.raises(ValueError, match="1 of 2 pretraining molecules are not valid, the first in row 1"):
        overlap(["CCO", "no molecule"], ["CCO"])
    with pytest.warns(UserWarning, match="not valid") as caught:
        seen = overlap(["CCO", "no molecule"], ["CCO", None, "no molecule"], invalid="nan")
    np.testing.assert_array_equal(seen, [True, False, False])
    assert len(caught) == 2
    assert {warning.filename for warning in caught} == {__file__}


def test_overlap_with_nothing_in_common():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(overlap(["no molecule"], ["CCO"], invalid="nan"), [False])
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        overlap("model.safetensors", ["CCO"])
    with pytest.raises(ValueError, match="level must be one of 'connectivity', 'exact', got 'scaffold'"):
        overlap(["CCO"], ["CCO"], level="scaffold")


@pytest.fixture(scope="module")
def embedder():
    smiles = ["CCO", "CCN", "CCCO", "c1ccccc1", "CC(=O)O", "CCS"]
    small = {"encoder": "ggnn", "n_layers": 1, "hidden_dim": 8, "embedding_dim": 8, "side_features": None}
    fitted = MoCoPEmbedder(**small, structure_weight=0, max_epochs=0, random_state=0).fit(smiles, np.eye(6, 16))
    return fitted, smiles


def test_overlap_with_models_in_other_estimators_and_in_files(embedder, tmp_path):
    fitted, smiles = embedder
    X = [*smiles[:3], "O=C=O"]
    expected = [True, True, True, False]
    frozen = FrozenEstimator(fitted)
    y = np.arange(len(smiles)) % 2
    pipeline = make_pipeline(frozen, LogisticRegression()).fit(smiles, y)
    union = make_union(frozen, MorganCounts()).fit(smiles)
    columns = ColumnTransformer([("z", frozen, "smiles")]).fit(pd.DataFrame({"smiles": smiles}))
    search = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2).fit(smiles, y)
    fitted.save(tmp_path / "model.safetensors")
    for holder in (fitted.model_, pipeline, union, columns, search, SkipInvalid(pipeline).fit(smiles, y)):
        assert overlap(holder, X).tolist() == expected
    for path in (tmp_path / "model.safetensors", str(tmp_path / "model.safetensors")):
        assert overlap(path, X).tolist() == expected
    assert overlap("distilled", X).shape == (4,)
    with pytest.raises(NotFittedError, match="Pipeline holds no fitted model"):
        overlap(make_pipeline(MoCoPEmbedder(), LogisticRegression()), X)


def test_overlap_with_a_fine_tuned_model_and_its_start(embedder, tmp_path):
    fitted, smiles = embedder
    tuned = MoCoPClassifier(pretrained=fitted, max_epochs=1, random_state=0).fit(["CCCN", "CCN"], [0, 1])
    tuned.save(tmp_path / "tuned.safetensors")
    for model in (tuned, tmp_path / "tuned.safetensors"):
        assert overlap(model, ["CCCN", smiles[3], "O=C=O"]).tolist() == [True, True, False]


def test_overlap_with_what_starts_from_a_model_with_hashed_keys(embedder, tmp_path):
    fitted, smiles = embedder
    start = fitted.model_.compact()
    X, expected = ["CCCN", smiles[3], "O=C=O"], [True, True, False]
    tuned = MoCoPClassifier(pretrained=start, max_epochs=0, random_state=0).fit(["CCCN", "CCN"], [0, 1])
    tuned.save(tmp_path / "tuned.safetensors")
    again = MoCoPEmbedder(pretrained=start, max_epochs=0, side_features=None, structure_weight=0, random_state=0)
    again.fit(["CCCN", "CCN"], np.eye(2, 16))
    for model in (tuned, tmp_path / "tuned.safetensors", tuned.model_.compact(), again):
        for seen in ("profile", "structure"):
            assert overlap(model, X, seen=seen).tolist() == expected
    with pytest.warns(UserWarning, match="1 of 4 rows of X are not valid molecules"):
        assert overlap(again, [*X, "?"], invalid="nan").tolist() == [*expected, False]


def test_overlap_of_files_of_molecules(embedder, tmp_path):
    _, smiles = embedder
    (tmp_path / "known.smi").write_text("CCO ethanol\nCCN amine\n")
    (tmp_path / "asked.csv").write_text("smiles,y\nOCC,1\nCCC,2\n")
    assert overlap(tmp_path / "known.smi", str(tmp_path / "asked.csv")).tolist() == [True, False]
    pairs = PairedProfiles(smiles, np.zeros((len(smiles), 4)))
    assert overlap(pairs, [smiles[0], "O=C=O"], level="exact").tolist() == [True, False]
