"""Files, digests and caches."""

import copy

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from sklearn.base import clone
from sklearn.decomposition import PCA, SparsePCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, RobustScaler

import mocop_sklearn
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.molecules import MorganCounts
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training import _contrastive as training
from mocop_sklearn.training import _inference as inference

TRANSFORMERS = {
    "default": None,
    "ProfileScaler": ProfileScaler(clip=2.0),
    "robust": make_pipeline(SimpleImputer(), RobustScaler(quantile_range=(10.0, 90.0)), PCA(5, random_state=0)),
    "quantile": make_pipeline(SimpleImputer(strategy="median", add_indicator=True), QuantileTransformer(n_quantiles=9)),
}


def test_a_file_tells_nothing_of_directories_of_the_machine(smiles, profiles, tiny, tmp_path):
    cached = MorganCounts(fp_size=64, memory=tmp_path / "features")
    beside = ["torsions", make_pipeline(cached, RobustScaler(), memory=str(tmp_path / "steps"))]
    bare = MoCoPEmbedder(**tiny | {"max_epochs": 1}, unlabeled=smiles, structure_targets=cached).fit(smiles)
    bare.save(tmp_path / "start.safetensors")
    settings = tiny | {"max_epochs": 1, "side_features": beside, "structure_targets": cached}
    own = {"memory": tmp_path, "checkpoint_dir": tmp_path / "states", "pretrained": tmp_path / "start.safetensors"}
    embedder = MoCoPEmbedder(**settings, **own).fit(smiles, profiles)
    embedder.save(tmp_path / "model.safetensors")
    for name in ("start.safetensors", "model.safetensors"):
        assert str(tmp_path).encode() not in (tmp_path / name).read_bytes()
    assert "MorganCounts(fp_size=64)" in embedder.model_.parameters["side_features"]
    assert embedder.model_.structure_targets.transformer == "MorganCounts(fp_size=64)"
    assert embedder.model_.parameters["pretrained"] == "start.safetensors"
    assert cached.memory == tmp_path / "features"
    further = MoCoPEmbedder(**settings, pretrained=embedder).fit(smiles, profiles)
    further.save(tmp_path / "further.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "further.safetensors").read_bytes()
    assert further.model_.parameters["pretrained"] == f"MoCoPEmbedder with digest {embedder.digest_}"


@pytest.mark.parametrize("transformer", [PowerTransformer("box-cox"), SparsePCA(2, max_iter=5)], ids=str)
def test_files_hold_transformers_that_do_not_take_any_profile(smiles, profiles, tiny, tmp_path, transformer):
    positive = np.exp(profiles)
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 0}, structure_weight=0, profile_transformer=transformer)
    embedder.fit(smiles, positive).save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors")
    for P in (positive, positive[:1]):  # SparsePCA gives a vector for one row
        np.testing.assert_array_equal(loaded.transform_profiles(P), embedder.transform_profiles(P))


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_files_bring_everything_back(smiles, profiles, tiny, tmp_path, transformer):
    P = profiles.copy()
    P[::7, 3] = np.nan
    embedder = MoCoPEmbedder(**tiny, profile_transformer=TRANSFORMERS[transformer])
    embedder.fit(smiles, pd.DataFrame(P).add_prefix("Cells_"))
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors", output="projection")
    np.testing.assert_array_equal(loaded.transform_profiles(P), embedder.transform_profiles(P))
    assert loaded.score(smiles, P) == embedder.score(smiles, P)
    np.testing.assert_array_equal(loaded.set_params(output="encoder").transform(smiles), embedder.transform(smiles))
    assert type(loaded.profile_transformer_) is type(embedder.profile_transformer_)
    for name in ("digest_", "history_", "n_iter_", "best_score_"):
        assert getattr(loaded, name) == getattr(embedder, name)
    np.testing.assert_array_equal(loaded.molecule_keys_, embedder.molecule_keys_)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    again = clone(embedder).set_params(pretrained=tmp_path / "again.safetensors").fit(smiles)
    assert again.digest_ == embedder.digest_


def test_a_file_without_validation(smiles, profiles, tiny, tmp_path):
    MoCoPEmbedder(**tiny | {"validation_fraction": 0.0}).fit(smiles, profiles).save(tmp_path / "model")
    assert np.isnan(MoCoPEmbedder.load(tmp_path / "model").best_score_)


def test_a_file_with_a_function(smiles, profiles, tiny, tmp_path):
    embedder = MoCoPEmbedder(**tiny, standardize=Chem.RemoveHs).fit(smiles, profiles)
    embedder.save(tmp_path / "model")
    loaded = MoCoPEmbedder.load(tmp_path / "model", standardize=Chem.RemoveHs)
    assert loaded.digest_ == embedder.digest_
    assert loaded.model_.standardize is Chem.RemoveHs


def test_the_digest_tells_embeddings_apart(fitted, smiles, profiles, tiny):
    assert len(fitted.digest_) == 64
    same = MoCoPEmbedder(**tiny, n_jobs=1, output="projection", invalid="nan").fit(smiles, profiles)
    assert same.digest_ == fitted.digest_
    for parameters in (
        {"learning_rate": 2e-3},
        {"standardize": None},
        {"profile_transformer": ProfileScaler(clip=4.0)},
    ):
        assert MoCoPEmbedder(**tiny | parameters).fit(smiles, profiles).digest_ != fitted.digest_


@pytest.mark.parametrize("as_memory", [str, lambda path: path, lambda path: joblib.Memory(path, verbose=0)])
def test_embeddings_are_cached(fitted, smiles, tmp_path, monkeypatch, as_memory):
    runs = []
    embed = inference.embed_graphs
    monkeypatch.setattr(inference, "embed_graphs", lambda *args: runs.append(1) or embed(*args))
    embedder = copy.deepcopy(fitted).set_params(memory=as_memory(tmp_path))
    expected = fitted.transform(smiles)
    runs.clear()
    for _ in range(2):
        np.testing.assert_array_equal(embedder.transform(smiles), expected)
    np.testing.assert_array_equal(embedder.transform([smiles[0], *smiles]), expected[[0, *range(40)]])
    embedder.transform([Chem.MolFromSmiles(s) for s in smiles])
    embedder.transform([Chem.CanonSmiles(s) for s in smiles])
    assert len(runs) == 2
    embedder.set_params(output="projection").transform(smiles)
    embedder.transform(smiles[:2])
    assert len(runs) == 4


def test_a_cleared_cache_is_empty(smiles, profiles, tiny, tmp_path, monkeypatch):
    memory = joblib.Memory(tmp_path, verbose=0)
    embedder = MoCoPEmbedder(**tiny, memory=memory).fit(smiles, profiles)
    monkeypatch.setattr(training, "_validate", lambda *args: pytest.fail("trained again"))
    assert clone(embedder).fit(smiles, profiles).digest_ == embedder.digest_
    memory.clear(warn=False)
    with pytest.raises(pytest.fail.Exception):
        embedder.fit(smiles, profiles)


class AddFluorine:
    """A standardisation with a state."""

    def __init__(self, n):
        self.n = n

    def __call__(self, mol):
        grown = Chem.RWMol(mol)
        for _ in range(self.n):
            grown.AddAtom(Chem.Atom(9))
        return grown.GetMol()


def test_embeddings_are_cached_by_the_state_of_a_standardisation(smiles, profiles, tiny, tmp_path):
    MoCoPEmbedder(**tiny, standardize=AddFluorine(0)).fit(smiles, profiles).save(tmp_path / "model")
    for n in (0, 3):
        again = {"path": tmp_path / "model", "standardize": AddFluorine(n)}
        expected = MoCoPEmbedder.load(**again).transform(smiles)
        cached = MoCoPEmbedder.load(**again, memory=tmp_path / "cache").transform(smiles)
        np.testing.assert_array_equal(cached, expected)
    with pytest.raises(ValueError, match="cannot be pickled"):
        MoCoPEmbedder.load(tmp_path / "model", standardize=lambda mol: mol, memory=tmp_path / "cache").transform(smiles)


def test_a_row_that_cannot_be_pickled_is_no_molecule_with_a_cache_either(fitted, tmp_path):
    embedder = copy.deepcopy(fitted).set_params(memory=tmp_path, invalid="nan")
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        Z = embedder.transform(["CC", lambda: 1])
    assert np.isnan(Z).any(axis=1).tolist() == [False, True]


def test_tensors_are_profiles(smiles, profiles, tiny):
    tensor = torch.from_numpy(np.asarray(profiles, dtype=np.float32))
    assert MoCoPEmbedder(**tiny).fit(smiles, tensor).digest_ == MoCoPEmbedder(**tiny).fit(smiles, profiles).digest_


def test_weights_that_are_no_longer_finite_are_an_error(smiles, profiles, tiny):
    wild = tiny | {"learning_rate": 1e38, "max_epochs": 1, "validation_fraction": 0, "batch_size": len(smiles)}
    with pytest.raises(ValueError, match=r"Weights became infinite or NaN in epoch 1\. Lower learning_rate"):
        MoCoPEmbedder(**wild).fit(smiles, profiles)


def test_a_numpy_number_in_the_transformer_is_a_number(fitted, smiles):
    transformer = clone(fitted.profile_transformer_)
    transformer.set_params(n_components=np.int64(transformer.n_components))
    same = MoCoPEmbedder(pretrained=fitted, profile_transformer=transformer).fit(smiles)
    np.testing.assert_array_equal(same.transform(smiles), fitted.transform(smiles))


def test_fits_are_cached_by_what_decides_them(smiles, profiles, tiny, tmp_path, monkeypatch):
    runs = []
    train = mocop_sklearn.training._pretraining.train
    monkeypatch.setattr(mocop_sklearn.training._pretraining, "train", lambda *a, **k: runs.append(1) or train(*a, **k))
    embedder = MoCoPEmbedder(**tiny, memory=tmp_path)
    first = embedder.fit(smiles, profiles).digest_
    for parameters in ({"verbose": 0}, {"output": "projection"}, {"n_jobs": 1}):
        assert clone(embedder).set_params(**parameters).fit(smiles, profiles).digest_ == first
    assert len(runs) == 1
    for parameters in ({"temperature": 0.2}, {"random_state": 1}, {"profile_transformer": ProfileScaler(clip=1.0)}):
        assert clone(embedder).set_params(**parameters).fit(smiles, profiles).digest_ != first
    clone(embedder).fit(smiles, profiles + 1)
    clone(embedder).fit(smiles[::-1], profiles)
    assert len(runs) == 6
