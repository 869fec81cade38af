"""The applicability domain: scores beside those of RDKit and scikit-learn, the threshold, and what it refuses."""

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.inspection import ApplicabilityDomain
from mocop_sklearn.model_file._codec import Encoder, decode
from mocop_sklearn.molecules import BlockScaler, MoleculeDescriptors
from tests.helpers.fronts import NumericRows

FAR = "FC(F)(F)C(F)(F)C(F)(F)C(F)(F)F"


@pytest.fixture(scope="module")
def training(smiles):
    return smiles[:30]


@pytest.fixture(scope="module")
def domain(training):
    return ApplicabilityDomain(n_neighbors=3).fit(training)


@pytest.fixture(scope="module")
def embedder(smiles, profiles, tiny):
    return MoCoPEmbedder(**tiny, structure_weight=0).fit(smiles, profiles)


class NumericFront(NumericRows, ApplicabilityDomain):
    """Rows of numbers, hashed to a few molecules."""

    def fit(self, X, y=None):
        return super().fit(self._molecules(validate_data(self, X)))

    def kneighbors(self, X, n_neighbors=None):
        check_is_fitted(self)
        return super().kneighbors(self._molecules(validate_data(self, X, reset=False)), n_neighbors)


def test_all_checks_of_scikit_learn():
    results = check_estimator(NumericFront(n_neighbors=1, quantile=0.2), on_skip=None, on_fail=None)
    unmet = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    assert "SCIPY_ARRAY_API" in str(unmet.pop("check_array_api_input", "SCIPY_ARRAY_API"))
    assert not unmet


def similarities(queries, training):
    """Tanimoto similarities of RDKit."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [[generator.GetCountFingerprint(Chem.MolFromSmiles(s)) for s in part] for part in (queries, training)]
    return np.array([DataStructs.BulkTanimotoSimilarity(query, prints[1]) for query in prints[0]])


def test_scores_are_mean_similarities_of_rdkit(domain, smiles, training):
    new = smiles[30:]
    similarity = similarities(new, training)
    np.testing.assert_allclose(domain.score_samples(new), np.sort(similarity)[:, -3:].mean(axis=1), rtol=1e-6)
    closeness, nearest = domain.nearest(new)
    np.testing.assert_allclose(closeness, similarity.max(axis=1), rtol=1e-6)
    own = [domain.molecules_.tolist().index(molecule) for molecule in nearest]
    np.testing.assert_allclose(similarities(new, domain.molecules_)[range(10), own], closeness, rtol=1e-6)


def test_neighbours_come_nearest_first_and_their_mean_is_the_score(domain, smiles, training):
    closeness = domain.kneighbors(smiles[30:])[0]
    assert (np.diff(closeness) <= 0).all()
    np.testing.assert_allclose(closeness.mean(axis=1), domain.score_samples(smiles[30:]))
    of_all, every = domain.kneighbors(smiles[30:], 29)
    np.testing.assert_array_equal(of_all[:, :3], closeness)
    expected = similarities(smiles[30:], domain.molecules_.tolist())
    np.testing.assert_allclose(np.take_along_axis(expected, every, axis=1), of_all)
    for n in (30, 0, 2.0, True, "3"):
        with pytest.raises(ValueError, match=f"n_neighbors={n!r}, but it has to be an integer from 1 to 29"):
            domain.kneighbors(smiles[30:], n)


def test_the_threshold_is_the_quantile_of_scores_without_the_molecule_itself(domain, training):
    similarity = similarities(training, training)
    np.fill_diagonal(similarity, -1)
    left_out = np.sort(similarity)[:, -3:].mean(axis=1)
    np.testing.assert_allclose(domain.score_samples(training), left_out, rtol=1e-6)
    assert domain.offset_ == pytest.approx(np.quantile(left_out, 0.05), rel=1e-6)
    np.testing.assert_array_equal(domain.decision_function(training), domain.score_samples(training) - domain.offset_)


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("method", ["similarity", "embedding"])
def test_the_quantile_of_the_training_molecules_is_outside(training, embedder, quantile, method):
    model = embedder if method == "embedding" else None
    domain = ApplicabilityDomain(method, embedder=model, quantile=quantile)
    assert (domain.fit_predict(training) == -1).sum() == 30 * quantile


def test_a_foreign_molecule_is_outside(domain):
    assert domain.predict(["CCCCO", FAR]).tolist() == [1, -1]


def test_neither_rows_nor_salts_nor_replicates_matter(domain, training, smiles):
    rows = [*training[::-1], *training, "CCN.Cl", Chem.MolFromSmiles("OCC")]
    again = ApplicabilityDomain(n_neighbors=3).fit(pd.Series(rows))
    assert again.offset_ == domain.offset_
    new = [*smiles, FAR]
    scores = domain.score_samples(new)
    np.testing.assert_array_equal(again.score_samples(np.array(new)[::-1, None])[::-1], scores)
    np.testing.assert_array_equal([domain.score_samples([s])[0] for s in new], scores)


def test_many_molecules_are_compared_in_parts(domain, monkeypatch, smiles):
    scores = domain.score_samples(smiles)
    monkeypatch.setattr("mocop_sklearn.inspection._domain._CELLS", 100)
    monkeypatch.setattr("mocop_sklearn.inspection._domain._ROWS", 7)
    again = ApplicabilityDomain(n_neighbors=3).fit(smiles[:30])
    np.testing.assert_array_equal(again.score_samples(smiles), scores)
    monkeypatch.setattr("mocop_sklearn.inspection._domain._N_LEFT_OUT", 10)
    assert again.fit(smiles[:30]).offset_ == np.quantile(scores_of(domain)[[0, 3, 6, 9, 12, 16, 19, 22, 25, 29]], 0.05)


def scores_of(domain):
    return domain.score_samples(domain.molecules_)


@pytest.mark.parametrize("kind", ["fitted", "model", "file", "frozen", "transformer"])
def test_distances_in_an_embedding_are_those_of_scikit_learn(kind, embedder, tmp_path, training, smiles):
    embedder.save(model_file := tmp_path / "model.safetensors")
    given = {
        "fitted": embedder,
        "model": embedder.model_,
        "file": model_file,
        "frozen": FrozenEstimator(embedder),
        "transformer": MoCoPEmbedder(pretrained=model_file),
    }[kind]
    domain = clone(ApplicabilityDomain("embedding", embedder=FrozenEstimator(given) if kind == "fitted" else given))
    domain.fit(training)
    z = embedder.transform(smiles)
    scaler = BlockScaler().fit(z[:30])
    neighbors = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(scaler.transform(z[:30]))
    distances = neighbors.kneighbors(scaler.transform(z[30:]))[0]
    np.testing.assert_allclose(domain.score_samples(smiles[30:]), -distances.mean(axis=1), rtol=1e-5)
    assert domain.embedder_ is not given


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_output_of_transformers_in_general_does_not_matter(embedder, training, smiles, container):
    pytest.importorskip(container)
    domain = ApplicabilityDomain("embedding", embedder=embedder).fit(training)
    with config_context(transform_output=container):
        other = ApplicabilityDomain("embedding", embedder=embedder).fit(training)
        for fitted in (domain, other):
            np.testing.assert_array_equal(fitted.score_samples(smiles), domain.score_samples(smiles))


def test_a_fine_tuned_estimator_embeds_by_its_encoder(smiles, labels):
    tuned = MoCoPClassifier(hidden_dim=16, embedding_dim=8, max_epochs=1, random_state=0).fit(smiles, labels)
    scores = ApplicabilityDomain("embedding", embedder=tuned).fit(smiles).score_samples([FAR])
    by_model = ApplicabilityDomain("embedding", embedder=tuned.model_).fit(smiles).score_samples([FAR])
    np.testing.assert_array_equal(scores, by_model)


def test_missing_numbers_of_a_transformer_are_means(training, smiles):
    domain = ApplicabilityDomain("embedding", embedder=MoleculeDescriptors()).fit(training)
    assert np.isfinite(domain.score_samples(["[Na+].[Cl-]", *smiles])).all()
    assert domain.predict(["CCCCO", FAR]).tolist() == [1, -1]


def test_invalid_rows(domain, training):
    with pytest.raises(ValueError, match=r"1 of 2 rows of X are not valid molecules:\n  row 1: '\?'.*"):
        domain.predict(["CCO", "?"])
    lenient = ApplicabilityDomain(n_neighbors=3, invalid="nan")
    with pytest.warns(UserWarning, match="1 of 31 rows of X"):
        lenient.fit([*training, None])
    assert lenient.offset_ == domain.offset_
    rows = ["CCCCO", "?", FAR]
    with pytest.warns(UserWarning, match="1 of 3 rows of X"):
        np.testing.assert_array_equal(lenient.predict(rows), [1, np.nan, -1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(lenient.score_samples(rows)).tolist() == [False, True, False]
        assert np.isnan(lenient.predict(["?"])).all()
        closeness, nearest = lenient.nearest(rows)
    assert nearest[1] is None
    assert np.isnan(closeness).tolist() == [False, True, False]


def test_rows_without_an_embedding_are_invalid(training, embedder):
    small = MoCoPEmbedder(pretrained=embedder.model_, max_atoms=15, invalid="nan")
    domain = ApplicabilityDomain("embedding", embedder=small, invalid="nan")
    large = "C" * 20
    with pytest.warns(UserWarning, match="the embedder has no number for it"):
        domain.fit([*training, large])
    assert len(domain.molecules_) == 30
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        assert np.isnan(domain.score_samples([large, "CCO"])).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"row 0: 'CCCCC.*the embedder has no number"):
        domain.set_params(invalid="raise").predict([large, "CCO"])


@pytest.mark.parametrize("method", ["similarity", "embedding"])
def test_pickles_and_files_hold_all_of_it(method, training, smiles, embedder):
    domain = ApplicabilityDomain(method, embedder=embedder if method == "embedding" else None).fit(training)
    scores = domain.score_samples(smiles)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(domain)).score_samples(smiles), scores)
    if method == "similarity":
        encoder = Encoder(strict=True)
        data = json.loads(json.dumps(encoder.encode(domain, "domain")))
        stored = decode(data, encoder.arrays)
        stored.check()
        np.testing.assert_array_equal(stored.score_samples(smiles), scores)


@pytest.mark.parametrize(
    "forged",
    [
        {"molecules_": np.array(["C", "CC"])},
        {"molecules_": np.array([f"{'C' * (i + 1)}" for i in range(30)])[::-1]},
        {"offset_": float("nan")},
        {"n_neighbors": 30},
        {"method": "embedding"},
    ],
)
def test_a_forged_domain_is_refused(domain, forged):
    wrong = pickle.loads(pickle.dumps(domain))
    vars(wrong).update(forged)
    with pytest.raises(ValueError, match="molecules"):
        wrong.check()


def test_fingerprints_beyond_their_width_are_refused(domain):
    wrong = pickle.loads(pickle.dumps(domain))
    counts, columns, starts = wrong._reference
    wrong._reference = counts, columns + 2048, starts
    with pytest.raises(ValueError, match=r"indices|index values"):
        wrong.check()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 40}, r"n_neighbors=40 needs at least 41 distinct.*holds 40: take fewer"),
        ({"method": "embedding"}, r'method="embedding" needs an embedder'),
        ({"embedder": "distilled"}, r'method="similarity" reads none'),
        ({"method": "embedding", "embedder": MoCoPClassifier()}, r"cannot embed: it needs the name or the file"),
        ({"quantile": 1.0}, r"'quantile' parameter"),
    ],
)
def test_what_is_refused(parameters, message, smiles):
    with pytest.raises(ValueError, match=message):
        ApplicabilityDomain(**parameters).fit(smiles)
