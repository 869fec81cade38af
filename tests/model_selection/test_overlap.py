"""Overlap of molecules with a pretraining set."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, PairedProfiles, SkipInvalid
from mocop_sklearn.baselines import ProfileNeighbors
from mocop_sklearn.inspection import ApplicabilityDomain
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


def test_overlap_knows_bare_structures_through_a_chain_of_starts(embedder, tmp_path):
    _, smiles = embedder
    tiny = {"side_features": None, "max_epochs": 0, "random_state": 0}
    shape = {"encoder": "ggnn", "n_layers": 1, "hidden_dim": 8, "embedding_dim": 8}
    first = MoCoPEmbedder(unlabeled=["CCCCCN", "CCCN", "CCN"], **shape, **tiny).fit(smiles, np.eye(6, 16))
    tuned = MoCoPClassifier(pretrained=first, max_epochs=0, random_state=0).fit(["CCCN", "CCN"], [0, 1])
    tuned.save(tmp_path / "tuned.safetensors")
    loaded = MoCoPClassifier.load(tmp_path / "tuned.safetensors")
    again = MoCoPRegressor(pretrained=loaded, max_epochs=0, random_state=0).fit(["CCS", "CCCCS"], [0.0, 1.0])
    last = MoCoPEmbedder(pretrained=tmp_path / "tuned.safetensors", **tiny, structure_weight=0)
    last.fit(["CCCCCN", "CCCCS"], np.eye(2, 16))
    X = ["CCCCCN", "CCN", smiles[3], "O=C=O"]
    for model in (tuned, loaded, tmp_path / "tuned.safetensors", again):
        assert overlap(model, X).tolist() == [False, True, True, False]
        assert overlap(model, X, seen="structure").tolist() == [True, True, True, False]
    assert len(tuned.structure_keys_) == len(loaded.structure_keys_) == len(again.structure_keys_) == 1
    assert overlap(last, X).tolist() == [True, True, True, False]
    assert len(last.structure_keys_) == 0  # now it was seen with a profile


def test_a_molecule_with_a_key_and_a_hashed_one_counts_once(embedder):
    fitted, smiles = embedder
    start = fitted.model_.compact()
    tiny = {"side_features": None, "max_epochs": 0, "random_state": 0, "structure_weight": 0}
    again = MoCoPEmbedder(pretrained=start, **tiny).fit([*smiles, "CCCN"], np.eye(7, 16))
    tuned = MoCoPClassifier(pretrained=start, max_epochs=0, random_state=0).fit([*smiles[:3], "CCCN"], [0, 1, 0, 1])
    assert len(again.molecule_keys_) == len(tuned.molecule_keys_) == 7
    assert overlap(again, [*smiles, "CCCN"]).all()
    assert overlap(tuned, [*smiles, "CCCN"]).all()


def test_overlap_looks_into_transformed_targets_and_calibration(embedder):
    fitted, smiles = embedder
    y = np.arange(len(smiles))
    regression = TransformedTargetRegressor(
        make_pipeline(FrozenEstimator(fitted), Ridge()), func=np.sqrt, inverse_func=np.square
    )
    pipeline = make_pipeline(FrozenEstimator(fitted), LogisticRegression())
    for holder in (regression.fit(smiles, y), CalibratedClassifierCV(pipeline, cv=2).fit(smiles, y % 2)):
        assert overlap(holder, [smiles[0], "O=C=O"]).tolist() == [True, False]


def test_overlap_with_a_baseline_and_a_domain(embedder):
    fitted, smiles = embedder
    neighbors = ProfileNeighbors(n_neighbors=1).fit(smiles[:4], np.eye(4, 6))
    domain = ApplicabilityDomain("embedding", embedder=fitted, n_neighbors=1).fit(smiles[:4])
    for holder in (neighbors, domain):
        for level in ("connectivity", "exact"):
            assert overlap(holder, smiles, level=level).tolist() == [True] * 4 + [False] * 2


def test_overlap_of_files_of_molecules(embedder, tmp_path):
    _, smiles = embedder
    (tmp_path / "known.smi").write_text("CCO ethanol\nCCN amine\n")
    (tmp_path / "asked.csv").write_text("smiles,y\nOCC,1\nCCC,2\n")
    assert overlap(tmp_path / "known.smi", str(tmp_path / "asked.csv")).tolist() == [True, False]
    pairs = PairedProfiles(smiles, np.zeros((len(smiles), 4)))
    assert overlap(pairs, [smiles[0], "O=C=O"], level="exact").tolist() == [True, False]
