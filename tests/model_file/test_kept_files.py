"""Model files of former versions are loaded, and answer as they did when they were written."""

import json
from pathlib import Path

import numpy as np
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from tests.helpers.kept_models import QUERIES, profiles_of

FOLDERS = sorted(path.parent for path in (Path(__file__).parent / "data").glob("*/expected.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_files_of_former_versions(folder):
    expected = {name: np.array(values) for name, values in json.loads((folder / "expected.json").read_text()).items()}
    embedder = MoCoPEmbedder.load(folder / "embedder.safetensors")
    classifier = MoCoPClassifier.load(folder / "classifier.safetensors")
    found = {
        "embedding": embedder.transform(QUERIES),
        "profiles": embedder.transform_profiles(profiles_of(3)),
        "projection": embedder.set_params(output="projection").transform(QUERIES),
        "probabilities": classifier.predict_proba(QUERIES),
        "numbers": MoCoPRegressor.load(folder / "regressor.safetensors").predict(QUERIES),
    }
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert classifier.classes_.tolist() == ["no", "yes"]


def test_the_first_version_is_kept():
    assert [folder.name for folder in FOLDERS][:1] == ["0.1.0"]
