"""Small molecules, profiles that hang on their structure, and a network small enough to train in a second."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.profiles import feature_columns

torch.set_num_threads(1)

SMILES = """
CCO CCN CCCC CC(C)O CC(=O)O CC(=O)N CCOC(C)=O CC#N CCCl CCBr CCS CC=O CC(C)=O C1CCCCC1 C1CCNCC1 C1COCCN1
c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Clc1ccccc1 Fc1ccccc1 O=C(O)c1ccccc1 N#Cc1ccccc1 c1ccncc1 c1ccoc1
c1ccsc1 c1cc[nH]c1 c1ccc2ccccc2c1 c1ccc2[nH]ccc2c1 CC(=O)Nc1ccc(O)cc1 CC(=O)Oc1ccccc1C(=O)O
CC(C)Cc1ccc(C(C)C(=O)O)cc1 CN1C=NC2=C1C(=O)N(C)C(=O)N2C NCCc1ccc(O)c(O)c1 C[C@H](N)C(=O)O CN(C)C=O OCC(O)CO
CCN(CC)CC CS(C)(=O)=O
""".split()
N_FEATURES = 24


@pytest.fixture(scope="session")
def smiles():
    """Forty different molecules."""
    return list(SMILES)


@pytest.fixture(scope="session")
def profiles(smiles):
    """One profile for each of ``smiles``: a random projection of its Morgan counts, with noise."""
    rng = np.random.default_rng(0)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=1, fpSize=64)
    counts = np.array([generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles], dtype=float)
    return np.tanh(counts @ rng.normal(size=(64, N_FEATURES)) / 4) + 0.1 * rng.normal(size=(len(smiles), N_FEATURES))


@pytest.fixture(scope="session")
def labels(smiles):
    """A property of the molecules that a classifier can learn."""
    return np.array([int("c" in s) for s in smiles])


@pytest.fixture(scope="session")
def tiny():
    """Parameters of a small network, with nothing beside it, and a short training."""
    return {
        "n_layers": 2,
        "hidden_dim": 16,
        "embedding_dim": 32,
        "projection_dim": 8,
        "profile_dims": (16, 8),
        "max_epochs": 2,
        "batch_size": 16,
        "side_features": None,
        "random_state": 0,
    }


@pytest.fixture(scope="session")
def fitted(smiles, profiles, tiny):
    """A fitted embedder, which tests leave as it is."""
    return MoCoPEmbedder(**tiny).fit(smiles, profiles=profiles)


@pytest.fixture(scope="session")
def model_file(fitted, tmp_path_factory):
    """The file of ``fitted``."""
    path = tmp_path_factory.mktemp("model") / "mocop.safetensors"
    fitted.save(path)
    return path


@pytest.fixture(scope="module", params=["cell_injury_wells", "cpjump1_negcon_wells", "bbbc021_raw_wells"])
def real_wells(request):
    """A table of real wells in double precision, and the names of its features."""
    path = Path(__file__).parents[2] / "shared" / "data" / f"{request.param}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data")
    frame = pd.read_parquet(path)
    features = feature_columns(frame)
    return frame.astype(dict.fromkeys(features, float)), features


@pytest.fixture(scope="session")
def pycytominer():
    """The peer that the normaliser and the filter are compared with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pycytominer", reason="pycytominer is not installed")
