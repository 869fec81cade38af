"""What the tests of fine-tuning share."""

import numpy as np
import pytest
from rdkit import Chem

from mocop_sklearn import MoCoPClassifier, MoCoPRegressor
from tests.helpers.finetuning import LEARN, NAN


@pytest.fixture(scope="session")
def sizes(smiles):
    """Number of heavy atoms."""
    return np.array([Chem.MolFromSmiles(s).GetNumAtoms() for s in smiles], dtype=float)


@pytest.fixture(scope="session")
def tasks(smiles, labels):
    """Three tasks, a fifth of each not measured."""
    Y = np.stack([labels, [int("O" in s) for s in smiles], [int("N" in s.upper()) for s in smiles]], axis=1)
    return np.where(np.random.default_rng(0).random(Y.shape) < 0.2, NAN, Y)


@pytest.fixture(scope="session")
def classifier(smiles, labels):
    return MoCoPClassifier(**LEARN).fit(smiles, labels)


@pytest.fixture(scope="session")
def multitask(smiles, tasks):
    return MoCoPClassifier(**LEARN).fit(smiles, tasks)


@pytest.fixture(scope="session")
def regressor(smiles, sizes):
    return MoCoPRegressor(**LEARN | {"n_estimators": 2}).fit(smiles, sizes)
