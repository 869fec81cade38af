"""The correction of cosines in the shared space for hubs."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

import mocop_sklearn.model_file._side as side_module
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.metrics import retrieval_score
from mocop_sklearn.model_file import LocalScaling


def unit(rng, n, d=6):
    return normalize(rng.normal(size=(n, d)))


def mean_cosine_of_nearest(vectors, reference, k):
    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine").fit(reference)
    return 1 - neighbours.kneighbors(vectors)[0].mean(axis=1)


@pytest.mark.parametrize(("n_reference", "k"), [(50, 10), (4, 4)])
def test_cosines_are_less_those_of_the_nearest_of_training(n_reference, k):
    rng = np.random.default_rng(0)
    A, B, u, v = (unit(rng, n) for n in (n_reference, n_reference, 5, 7))
    scaling = LocalScaling().fit(A, B)
    scaled = scaling.scale_molecules(u), scaling.scale_profiles(v)
    nearness = mean_cosine_of_nearest(u, B, k)[:, None] + mean_cosine_of_nearest(v, A, k)
    np.testing.assert_allclose(scaled[0] @ scaled[1].T, (u @ v.T - nearness / 2) / 2.25, atol=1e-3)
    for vectors in scaled:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # molecules among each other are as far from each other as before, or a little further
    before, after = (np.linalg.norm(x[:, None] - x, axis=2) for x in (u, 1.5 * scaled[0]))
    assert (after > before - 1e-5).all()
    assert (after < before + 0.5).all()


def test_a_hub_does_not_come_first_any_more():
    rng = np.random.default_rng(0)
    hub = np.eye(1, 20)[0]
    profiles = unit(rng, 60, 20)
    profiles[30:40] = normalize(profiles[30:40] + 3 * hub)
    molecules = normalize(profiles + 0.3 * rng.normal(size=(60, 20)) + 1.5 * hub)
    train, test = slice(30), slice(30, 60)
    scaling = LocalScaling().fit(molecules[train], profiles[train])
    plain = retrieval_score(molecules[test], profiles[test])
    scaled = retrieval_score(scaling.scale_molecules(molecules[test]), scaling.scale_profiles(profiles[test]))
    assert plain < 0.75
    assert scaled > plain + 0.1


def test_a_vector_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    scaling = LocalScaling().fit(unit(rng, 90, 33), unit(rng, 90, 33))
    vectors = unit(rng, 150, 33).astype(np.float32)
    whole = scaling.scale_molecules(vectors)
    np.testing.assert_array_equal(scaling.scale_molecules(vectors[100:103]), whole[100:103])
    assert scaling.scale_profiles(vectors[:0]).shape == (0, 37)


@pytest.fixture(scope="module")
def pair(smiles, profiles, tiny):
    """Embedders with and without local scaling, and otherwise alike."""
    settings = tiny | {"output": "projection", "side_features": ["ecfp"], "validation_fraction": 0.2}
    return [MoCoPEmbedder(**settings, local_scaling=on).fit(smiles, profiles) for on in (True, False)]


def test_the_embedder_compares_with_its_own_training_molecules(pair, smiles, profiles):
    scaled, plain = pair
    own = LocalScaling().fit(plain.transform(smiles), plain.transform_profiles(profiles))
    np.testing.assert_allclose(scaled.transform(smiles), own.scale_molecules(plain.transform(smiles)), atol=1e-3)
    np.testing.assert_allclose(
        scaled.transform_profiles(profiles), own.scale_profiles(plain.transform_profiles(profiles)), atol=1e-3
    )
    mixed = profiles + np.random.default_rng(0).normal(size=profiles.shape)
    vectors = own.scale_molecules(plain.transform(smiles)), own.scale_profiles(plain.transform_profiles(mixed))
    assert scaled.score(smiles, mixed) == pytest.approx(retrieval_score(*vectors), abs=2e-3)
    assert scaled.score(smiles, mixed) != pytest.approx(plain.score(smiles, mixed), abs=4e-3)
    assert len(scaled.get_feature_names_out()) == len(plain.get_feature_names_out()) + 4


def test_nothing_else_changes(pair, smiles):
    scaled, plain = pair
    assert scaled.best_score_ == plain.best_score_
    np.testing.assert_array_equal(
        *(MoCoPEmbedder(pretrained=e, output="encoder").fit(smiles).transform(smiles) for e in pair)
    )
    assert scaled.digest_ != plain.digest_
    assert plain.model_.local_scaling is None
    assert scaled.model_.without_profiles().local_scaling is None
    assert MoCoPEmbedder.paper().local_scaling is False


def test_invalid_rows_stay_missing(pair, smiles):
    loose = MoCoPEmbedder(pretrained=pair[0], output="projection", invalid="nan").fit(smiles)
    with pytest.warns(UserWarning, match="row 1"):
        vectors = loose.transform([smiles[0], "nothing", smiles[2]])
    assert np.isnan(vectors[1]).all()
    np.testing.assert_array_equal(vectors[[0, 2]], pair[0].transform([smiles[0], smiles[2]]))


def test_files_keep_it(pair, smiles, profiles, tmp_path):
    pair[0].save(tmp_path / "model")
    loaded = MoCoPEmbedder.load(tmp_path / "model", output="projection")
    assert loaded.digest_ == pair[0].digest_
    np.testing.assert_array_equal(loaded.transform(smiles), pair[0].transform(smiles))
    np.testing.assert_array_equal(loaded.transform_profiles(profiles), pair[0].transform_profiles(profiles))


@pytest.mark.parametrize(
    "change",
    [
        {"molecules_": np.zeros((3, 5), dtype=np.float16), "profiles_": np.zeros((3, 5), dtype=np.float16)},
        {"molecules_": np.zeros((3, 5), dtype=np.float16)},
        {"molecules_": np.zeros((0, 5), dtype=np.float16), "profiles_": np.zeros((0, 5), dtype=np.float16)},
        {"n_neighbors": 0},
        {"profiles_": "not an array"},
    ],
)
def test_a_damaged_file_is_refused(pair, tmp_path, change):
    scaling = copy(pair[0].model_.local_scaling)
    vars(scaling).update(change)
    replace(pair[0].model_, local_scaling=scaling).save(tmp_path / "model")
    with pytest.raises(ValueError, match="model' holds a local scaling"):
        MoCoPEmbedder.load(tmp_path / "model")


def test_references_of_a_large_corpus_are_the_landmarks(monkeypatch, smiles, profiles, tiny):
    monkeypatch.setattr(side_module, "N_LANDMARKS", 15)
    settings = tiny | {"output": "projection", "side_features": ["ecfp"], "validation_fraction": 0.2}
    embedder = MoCoPEmbedder(**settings).fit(smiles, profiles)
    scaling = embedder.model_.local_scaling
    assert scaling.molecules_.shape == scaling.profiles_.shape == (15, embedder.model_.n_shared - 4)
    unscaled = MoCoPEmbedder(**settings | {"local_scaling": False}).fit(smiles, profiles)
    for reference, vectors in [
        (scaling.molecules_, unscaled.transform(smiles)),
        (scaling.profiles_, unscaled.transform_profiles(profiles)),
    ]:
        cosines = reference.astype(float) @ vectors.T
        assert len(set(cosines.argmax(axis=1))) == 15
        np.testing.assert_allclose(cosines.max(axis=1), 1, atol=2e-3)


@pytest.mark.slow
def test_unseen_molecules_find_their_profiles_better(tiny):
    data = make_paired_profiles(n_molecules=300, random_state=0)
    X, P = np.array(data.smiles, dtype=object), np.asarray(data.profiles)
    train, test = X[:220], slice(220, None)
    settings = tiny | {"output": "projection", "side_features": ["descriptors", "ecfp"], "max_epochs": 5}
    scores = [
        MoCoPEmbedder(**settings, local_scaling=on).fit(train, P[:220]).score(X[test], P[test]) for on in (True, False)
    ]
    assert scores[0] > scores[1]
