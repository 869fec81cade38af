"""Features of molecules beside the network: the kernel ridge, and what it adds to the shared space."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import mocop_sklearn.model_file._side as side_module
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.model_file import SideTower
from mocop_sklearn.molecules import BlockScaler, MoleculeDescriptors, MorganCounts


@pytest.fixture(scope="module")
def tiny(tiny):
    """Parameters of a small network; each test says what stands beside it."""
    return {name: value for name, value in tiny.items() if name != "side_features"}


def test_the_ridge_is_that_of_scikit_learn(smiles, profiles):
    side = SideTower(["descriptors", "ecfp"]).fit(smiles[:30], profiles[:30])
    tables = [MoleculeDescriptors().fit(smiles), MorganCounts().fit(smiles)]
    scalers = [BlockScaler().fit(t.transform(smiles[:30])) for t in tables]
    train, test = (
        np.hstack([s.transform(t.transform(part)) for s, t in zip(scalers, tables, strict=True)])
        for part in (smiles[:30], smiles[30:])
    )
    ridge = KernelRidge(alpha=1.0, kernel="rbf", gamma=0.5).fit(train, profiles[:30] - profiles[:30].mean(axis=0))
    expected = ridge.predict(test)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(side.project_molecules(smiles[30:]), expected, atol=1e-4)


@pytest.mark.slow
def test_landmarks_come_close_to_the_whole_kernel(monkeypatch):
    data = make_paired_profiles(n_molecules=300, random_state=0)
    P = np.nan_to_num(np.asarray(data.profiles, dtype=np.float32))
    smiles, first = np.unique(np.array(data.smiles, dtype=object), return_index=True)
    whole = SideTower(["ecfp"]).fit(smiles, P[first])
    monkeypatch.setattr(side_module, "N_LANDMARKS", 150)
    some = SideTower(["ecfp"]).fit(smiles, P[first])
    assert some.landmarks_.shape[0] == 150
    cosines = (whole.project_molecules(smiles) * some.project_molecules(smiles)).sum(axis=1)
    assert np.median(cosines) > 0.75


def test_cosines_are_the_mean_of_both_towers(smiles, profiles, tiny):
    plain = MoCoPEmbedder(**tiny, output="projection", side_features=None).fit(smiles, profiles=profiles)
    both = MoCoPEmbedder(**tiny, output="projection", side_features="ecfp").fit(smiles, profiles=profiles)
    side = both.model_.side
    network = plain.transform(smiles) @ plain.transform_profiles(profiles).T
    scaled = plain.profile_transformer_.transform(profiles)
    ridge = side.project_molecules(smiles) @ side.project_profiles(scaled).T
    together = both.transform(smiles) @ both.transform_profiles(profiles).T
    np.testing.assert_allclose(together, (network + ridge) / 2, atol=1e-5)
    assert both.transform(smiles).shape == (40, 8 + scaled.shape[1])
    assert len(both.get_feature_names_out()) == 8 + scaled.shape[1]
    np.testing.assert_allclose(np.linalg.norm(both.transform(smiles), axis=1), 1, atol=1e-5)


def test_the_representation_is_that_of_the_network_alone(smiles, profiles, tiny):
    settings = tiny | {"validation_fraction": 0.0}
    plain = MoCoPEmbedder(**settings, side_features=None).fit(smiles, profiles=profiles)
    both = MoCoPEmbedder(**settings, side_features=["descriptors", "ecfp"]).fit(smiles, profiles=profiles)
    np.testing.assert_array_equal(plain.transform(smiles), both.transform(smiles))


@pytest.mark.slow
def test_side_features_help_where_structure_decides(tiny):
    data = make_paired_profiles(n_molecules=200, random_state=0)
    X, P = np.array(data.smiles, dtype=object), np.asarray(data.profiles)
    train = np.arange(len(X)) < 150
    plain = MoCoPEmbedder(**tiny, side_features=None).fit(X[train], profiles=P[train])
    both = MoCoPEmbedder(**tiny, side_features=["descriptors", "ecfp"]).fit(X[train], profiles=P[train])
    assert both.score(X[~train], profiles=P[~train]) > plain.score(X[~train], profiles=P[~train]) + 0.2


def test_files_and_processes_change_nothing(smiles, profiles, tiny, tmp_path):
    features = ["descriptors", make_pipeline(MorganCounts(fp_size=128), StandardScaler())]
    embedder = MoCoPEmbedder(**tiny, side_features=features, n_jobs=2, output="projection")
    vectors = embedder.fit(smiles, profiles=profiles).transform(smiles)
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors", output="projection")
    assert loaded.digest_ == embedder.digest_
    np.testing.assert_array_equal(loaded.transform(smiles), vectors)
    np.testing.assert_array_equal(loaded.transform(smiles[5:6])[0], vectors[5])


def test_rows_that_are_not_molecules_stay_missing(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, side_features="ecfp", output="projection", invalid="nan")
    embedder.fit(smiles, profiles=profiles)
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        vectors = embedder.transform(["CCO", "garbage", "CCN"])
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False]
    embedder.set_params(invalid="raise")
    with pytest.raises(ValueError, match="row 1: 'garbage'"):
        embedder.transform(["CCO", "garbage", "CCN"])


def test_unknown_features_are_named(smiles, profiles, tiny):
    with pytest.raises(ValueError, match=r"side_features holds 'maccs', but it takes \['descriptors', 'ecfp'\]"):
        MoCoPEmbedder(**tiny, side_features=["maccs"]).fit(smiles, profiles=profiles)


def test_a_transformer_that_no_file_can_hold_is_named_when_saving(smiles, profiles, tiny, tmp_path):
    class Lengths(FunctionTransformer):
        pass

    features = [Lengths(lambda texts: np.array([[len(s), s.count("C")] for s in texts], dtype=float))]
    embedder = MoCoPEmbedder(**tiny, side_features=features).fit(smiles, profiles=profiles)
    with pytest.raises(TypeError, match=r"side\..* cannot be written to a model file without pickle"):
        embedder.save(tmp_path / "model.safetensors")
