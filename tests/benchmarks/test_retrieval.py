"""The retrieval benchmark: splits, what is measured, which arms there are, and rows that stay in the results."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import retrieval
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.baselines import ProfileNeighbors
from mocop_sklearn.model_file import LocalScaling
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import canonical_smiles


@pytest.fixture
def corpus(smiles, profiles):
    """Two rows of each molecule, in two libraries."""
    canonical = np.array(canonical_smiles([*smiles, *smiles]), dtype=object)
    library = np.array(["even", "odd"] * len(smiles))
    return retrieval.Corpus(canonical, pd.DataFrame(np.concatenate([profiles, profiles])), library, 0.5)


class Oracle(BaseEstimator):
    """Knows all profiles."""

    local_scaling_ = None

    def __init__(self, corpus):
        self.corpus = corpus

    def predict(self, smiles):
        return self.corpus.profiles.to_numpy()[[list(self.corpus.smiles).index(s) for s in smiles]]

    def transform_profiles(self, profiles):
        return profiles.to_numpy()


def test_replicates_and_isomers_are_held_out_together(corpus):
    groups = molecule_groups(corpus.smiles)
    test = retrieval.held_out(groups, 0, 0.25)
    assert test.sum() == 20
    assert not set(groups[test]) & set(groups[~test])
    assert (test != retrieval.held_out(groups, 1, 0.25)).any()


def test_who_knows_the_profiles_finds_them(corpus):
    test = retrieval.held_out(molecule_groups(corpus.smiles), 0, 0.5)
    far = np.zeros(20, dtype=bool)
    far[:3] = True
    found = retrieval.measure(Oracle(corpus), corpus, test, far, 0)
    assert found["n_held_out"] == 20
    assert found["score"] == found["score_far"] == 1
    for pool in ("all", "even", "odd"):
        assert (found[pool]["top1"], found[pool]["normalized_rank"]) == (1, 0)


def test_far_molecules_have_no_near_neighbour(corpus, tmp_path):
    test = retrieval.held_out(molecule_groups(corpus.smiles), 0, 0.5)
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    train, held = (
        [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in np.unique(corpus.smiles[rows])]
        for rows in (~test, test)
    )
    expected = [max(DataStructs.BulkTanimotoSimilarity(one, train)) < 0.4 for one in held]
    assert 0 < sum(expected) < len(expected)
    assert retrieval.far_molecules(corpus, test, tmp_path).tolist() == expected


def test_arms_fit_and_a_part_of_the_names_chooses_them(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, "find_spec", lambda name: None)
    runs: retrieval.Runs = {}
    for arm, row in retrieval.run("COMAS", corpus, range(2), [1.0], ["neighbours", "Tanimoto"], True, tmp_path):
        runs.setdefault(arm, []).append(row)
    arms = ["5 nearest neighbours", "ridge: Tanimoto", "ridge: Tanimoto + descriptors"]
    assert list(runs) == [name for arm in arms for name in (arm, f"{arm} without local scaling")]
    assert [row["seed"] for row in runs["ridge: Tanimoto"]] == [0, 1]
    header, rows = retrieval.retrieval_table(runs, "all")
    assert [row[0] for row in rows] == [*runs, "chance"]
    assert {len(row) for row in rows} == {len(header)}


def test_a_baseline_is_measured_with_plain_cosines_too(smiles, profiles):
    X, P, group = np.array(smiles[:30]), pd.DataFrame(profiles[:30]), np.arange(30)
    (_, same), (name, plain) = retrieval.variants("neighbours", ProfileNeighbors(2).fit(X, P), "C")
    assert name == "neighbours without local scaling"
    vectors = retrieval.vectors(plain, X, P, group)
    np.testing.assert_allclose(vectors[0], normalize(plain.predict(X)))
    scaled = LocalScaling().fit(*vectors)
    corrected = retrieval.vectors(same, X, P, group)
    np.testing.assert_allclose(corrected[0], scaled.scale_molecules(vectors[0]), atol=1e-6)
    np.testing.assert_allclose(corrected[1], scaled.scale_profiles(vectors[1]), atol=1e-6)


def test_an_embedder_is_measured_with_plain_cosines_too(smiles, profiles, tiny):
    X, P = np.array(smiles, dtype=object), pd.DataFrame(profiles)
    embedder = MoCoPEmbedder(**tiny).fit(X, P)
    (_, same), (name, plain) = retrieval.variants("default", embedder, "C")
    assert same is embedder
    assert name == "default without local scaling"
    without = MoCoPEmbedder(**tiny, local_scaling=False).fit(X, P)
    np.testing.assert_array_equal(plain.transform_profiles(P), without.transform_profiles(P))
    assert [arm for arm, _ in retrieval.variants("paper", without, "C")] == ["paper"]


def test_a_share_of_the_corpus_is_learned_from_and_the_same_molecules_are_held_out(corpus, tmp_path, monkeypatch):
    learned = []

    def learn(seed):
        arm = ProfileNeighbors(2)
        monkeypatch.setattr(arm, "fit", lambda X, y: learned.append(set(X)) or ProfileNeighbors.fit(arm, X, y))
        return arm

    monkeypatch.setattr(retrieval, "networks", lambda *_: {})
    monkeypatch.setattr(retrieval, "baselines", lambda *_: {"a": learn})
    rows = dict(retrieval.run("COMAS", corpus, range(1), [0.5, 1.0], [], True, tmp_path))
    plain = "a without local scaling"
    assert list(rows) == ["a, 50% of the corpus", f"{plain}, 50% of the corpus", "a", plain]
    part, whole = learned
    assert part < whole
    assert abs(len(part) - len(whole) / 2) <= 1
    assert len({row["n_held_out"] for row in rows.values()}) == 1
    of_a = ["a, 50% of the corpus", "a"]
    runs = {arm: [rows[arm]] for arm in of_a} | {"b": [rows["a"]]}
    runs["a"] = [rows["a"], rows["a"] | {"seed": 1, "score": -9.0}]  # a seed of which there is no part
    header, table = retrieval.sizes_table(runs)
    assert header == ["arm", "seeds", "50%", "100%"]
    assert [row[0] for row in table] == ["a, score", "a, score below Tanimoto 0.4"]
    assert table[0][1:] == ["1", *(f"{rows[arm]['score']:.3f}" for arm in of_a)]
    assert [row[0] for row in retrieval.retrieval_table(runs, "all")[1]] == ["a", "b", "chance"]
    assert retrieval.sizes_table({"a": [rows["a"]]}) is None


def test_rows_of_other_arms_stay_in_the_results(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, "CORPORA", {"COMAS": lambda: corpus})
    monkeypatch.setattr(retrieval, "RESULTS", tmp_path)
    monkeypatch.setattr(
        retrieval,
        "save",
        lambda name, figures: (tmp_path / f"{name}.json").write_text(json.dumps(figures, default=float)),
    )
    monkeypatch.setattr(
        retrieval,
        "baselines",
        lambda *_: {"a": lambda seed: ProfileNeighbors(2), "b": lambda seed: ProfileNeighbors(3)},
    )
    monkeypatch.setattr(retrieval, "networks", lambda *_: {})
    monkeypatch.setattr(retrieval, "downstream", lambda *_: {"task": {"n": 0, "ECFP": 0.5}})
    for options in ([], ["--arms", "b"]):
        monkeypatch.setattr(
            sys, "argv", ["retrieval.py", "--seeds", "1", "--corpora", "COMAS", "--cache", str(tmp_path), *options]
        )
        retrieval.main()
    figures = json.loads((tmp_path / "retrieval.json").read_text())
    arms = ["a", "a without local scaling", "b", "b without local scaling"]
    assert list(figures["retrieval"]["COMAS"]) == arms
    assert figures["tasks"]["task"]["ECFP"] == 0.5
