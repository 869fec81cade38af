"""Overlap of molecules with a pretraining set."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from mocop_sklearn.model_selection import overlap


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
    with pytest.raises(NotFittedError, match="Model has no molecule_keys_"):
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
    with pytest.raises(TypeError, match="pretraining must be a fitted model or a collection of molecules"):
        overlap("model.safetensors", ["CCO"])
    with pytest.raises(ValueError, match="level must be one of 'connectivity', 'exact', got 'scaffold'"):
        overlap(["CCO"], ["CCO"], level="scaffold")
