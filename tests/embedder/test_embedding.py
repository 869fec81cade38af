"""Embeddings: batches, processes, stereochemistry, retrieval."""

import numpy as np
import pytest
from rdkit import Chem
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.molecules import _featurize as featurize
from mocop_sklearn.training import _inference as inference


def test_fit_transform(fitted, smiles, profiles, tiny):
    np.testing.assert_array_equal(MoCoPEmbedder(**tiny).fit_transform(smiles, profiles), fitted.transform(smiles))


def test_one_molecule_at_a_time(fitted, smiles):
    together = fitted.transform(smiles)
    alone = np.vstack([fitted.transform([s]) for s in smiles])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_batches_and_chunks_do_not_show(fitted, smiles, monkeypatch):
    together = fitted.transform(smiles)
    monkeypatch.setattr(inference, "_ATOMS_PER_BATCH", 20)
    monkeypatch.setattr(inference, "_ROWS_PER_CHUNK", 7)
    np.testing.assert_allclose(fitted.transform(smiles), together, atol=1e-5)


@pytest.mark.slow
def test_parallel_is_serial(smiles, profiles, fitted, tiny, monkeypatch):
    monkeypatch.setattr(featurize, "_CHUNK", 16)  # three tasks for two processes
    parallel = MoCoPEmbedder(**tiny, n_jobs=2).fit(smiles, profiles)
    assert parallel.digest_ == fitted.digest_
    np.testing.assert_array_equal(parallel.transform(smiles), fitted.transform(smiles))


def test_stereoisomers_differ_unless_featurized_as_in_the_paper(fitted, smiles, profiles, tiny):
    pair = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    left, right = fitted.transform(pair)
    assert not np.allclose(left, right)
    left, right = MoCoPEmbedder(**tiny, featurizer="paper").fit(smiles, profiles).transform(pair)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_standardisation(fitted, smiles, profiles, tiny):
    def without_charge(mol):
        return Chem.MolFromSmiles(Chem.MolToSmiles(mol).replace("[O-]", "O"))

    acid, base = ["CC(=O)O"], ["CC(=O)[O-]"]
    np.testing.assert_allclose(fitted.transform(base), fitted.transform(acid), atol=1e-6)
    as_given = MoCoPEmbedder(**tiny, standardize=None).fit(smiles, profiles)
    assert not np.allclose(as_given.transform(base), as_given.transform(acid))
    own = MoCoPEmbedder(**tiny, standardize=without_charge).fit(smiles, profiles)
    np.testing.assert_allclose(own.transform(base), own.transform(acid), atol=1e-6)


@pytest.fixture(scope="module")
def trained(smiles, profiles, tiny):
    """An embedder that has learned its molecules, with nothing held out."""
    parameters = tiny | {"max_epochs": 90, "learning_rate": 1e-2, "validation_fraction": 0.0, "output": "projection"}
    return MoCoPEmbedder(**parameters | {"side_features": ["descriptors", "ecfp"]}).fit(smiles, profiles)


def test_molecules_and_profiles_share_a_space_of_unit_vectors(trained, smiles, profiles):
    molecules, cells = trained.transform(smiles), trained.transform_profiles(profiles)
    assert molecules.shape == cells.shape == (40, trained.model_.n_shared)
    assert trained.model_.n_shared == 8 + trained.model_.architecture.n_profile_features + 4
    np.testing.assert_allclose(np.linalg.norm(molecules, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(cells, axis=1), 1, atol=1e-5)


def test_score_is_one_minus_twice_the_normalised_rank(trained, smiles, profiles):
    similarity = trained.transform(smiles).astype(float) @ trained.transform_profiles(profiles).T
    there = np.diag(rankdata(-similarity, axis=1)) - 1
    back = np.diag(rankdata(-similarity, axis=0)) - 1
    expected = 1 - 2 * (there.mean() + back.mean()) / 2 / 39
    # one pair that is a tie within rounding counts half a rank there: 3.2e-4
    assert trained.score(smiles, profiles) == pytest.approx(expected, abs=4e-4)
    assert trained.score(smiles, profiles=profiles) == trained.score(smiles, profiles)
    assert expected > 0.8


def test_nearest_neighbours_agree_with_score(trained, smiles, profiles):
    neighbours = {
        "there": NearestNeighbors(n_neighbors=40).fit(trained.transform_profiles(profiles)),
        "back": NearestNeighbors(n_neighbors=40).fit(trained.transform(smiles)),
    }
    queries = {"there": trained.transform(smiles), "back": trained.transform_profiles(profiles)}
    ranks = [
        np.argmax(neighbours[way].kneighbors(queries[way], return_distance=False) == np.arange(40)[:, None], axis=1)
        for way in neighbours
    ]
    assert trained.score(smiles, profiles) == pytest.approx(1 - 2 * np.mean(ranks) / 39, abs=0.01)


def test_chance_scores_zero(trained, smiles):
    rng = np.random.default_rng(0)
    scores = [trained.score(smiles, rng.normal(size=(40, 24))) for _ in range(20)]
    assert abs(np.mean(scores)) < 0.05
    assert trained.score(smiles, np.ones((40, 24))) == pytest.approx(0, abs=0.01)  # ties count half


def test_replicates_are_one_molecule_for_score(trained, smiles, profiles):
    twice = [*smiles, *(f"{s}.Cl" for s in smiles)]
    noise = np.random.default_rng(0).normal(scale=0.01, size=profiles.shape)
    assert trained.score(twice, np.vstack([profiles + noise, profiles - noise])) == pytest.approx(
        trained.score(smiles, profiles), abs=0.02
    )
