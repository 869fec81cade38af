"""Small model files: half precision and hashed keys."""

import numpy as np
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.model_file import PretrainedModel
from mocop_sklearn.model_selection import overlap


@pytest.fixture(scope="module")
def model(smiles, profiles, tiny):
    settings = {"encoder": "gine", "side_features": None, **tiny}
    return MoCoPEmbedder(unlabeled=smiles, **settings).fit(smiles[:20], profiles=profiles[:20]).model_


def test_a_compact_file_is_smaller_and_read_back_exactly(model, tmp_path):
    small = model.compact()
    model.save(tmp_path / "model.safetensors")
    small.save(tmp_path / "small.safetensors")
    assert (tmp_path / "small.safetensors").stat().st_size < 0.75 * (tmp_path / "model.safetensors").stat().st_size
    loaded = PretrainedModel.load(tmp_path / "small.safetensors")
    assert loaded.digest == small.digest != model.digest
    assert loaded.molecule_keys == small.molecule_keys
    assert loaded.structure_keys == small.structure_keys
    for name, weight in small.weights.items():
        assert loaded.weights[name].dtype == weight.dtype
        np.testing.assert_array_equal(loaded.weights[name], weight)


def test_rounding_changes_an_embedding_by_little(model, smiles):
    before, after = (MoCoPEmbedder(pretrained=m).fit(smiles).transform(smiles) for m in (model, model.compact()))
    np.testing.assert_allclose(after, before, atol=2e-2 * np.abs(before).max())


def test_overlap_knows_hashed_keys(model, smiles):
    embedder = MoCoPEmbedder(pretrained=model.compact()).fit(smiles)
    assert all(key.startswith("#") for key in embedder.molecule_keys_)
    assert overlap(embedder, smiles).tolist() == [True] * 20 + [False] * 20
    assert overlap(embedder, smiles, seen="structure").all()
    assert not overlap(embedder, ["CCCCCCCCCCCO"], seen="structure").any()


def test_weights_beyond_half_precision_are_named(model):
    name = next(iter(model.weights))
    model.weights[name].flat[0], before = 1e6, model.weights[name].flat[0]
    with pytest.raises(ValueError, match=f"{name}.* beyond half precision"):
        model.compact()
    model.weights[name].flat[0] = before
