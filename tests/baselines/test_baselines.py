"""Baselines from structure to profile: reference values, invariances, bad input, and measured profiles."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.preprocessing import FunctionTransformer, normalize

from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors, tanimoto_kernel
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.metrics import retrieval_score
from mocop_sklearn.model_file import LocalScaling
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import (
    AtomPairCounts,
    BlockScaler,
    MoleculeDescriptors,
    MorganCounts,
    TorsionCounts,
    canonical_smiles,
)
from mocop_sklearn.profiles import ProfileScaler

AS_THEY_ARE = FunctionTransformer()
FIVE = [
    MoleculeDescriptors(),
    MorganCounts(),
    MorganCounts(pharmacophore=True, fp_size=512),
    AtomPairCounts(fp_size=512),
    TorsionCounts(fp_size=512),
]
BASELINES = [
    ProfileKernelRidge(alpha=1.0),
    ProfileKernelRidge("tanimoto", alpha=[0.3, 3.0]),
    ProfileKernelRidge("tanimoto+rbf", alpha=1.0),
    ProfileNeighbors(n_neighbors=3),
    ProfileNeighbors(n_neighbors=3, weights="uniform"),
]
every_baseline = pytest.mark.parametrize("baseline", BASELINES, ids=repr)


def counts(smiles):
    return MorganCounts(log=False).fit(smiles).transform(smiles)


def blocks(train, test, *tables):
    """Balanced blocks of two parts, side by side."""
    fitted = [table.fit(train) for table in tables]
    scalers = [BlockScaler().fit(table.transform(train)) for table in fitted]
    return [
        np.hstack([s.transform(t.transform(part)) for s, t in zip(scalers, fitted, strict=True)])
        for part in (train, test)
    ]


# -- reference values ----------------------------------------------------------------------------


def test_tanimoto_ridge_is_that_of_scikit_learn(smiles, profiles):
    train, test = smiles[:30], smiles[30:]
    ours = ProfileKernelRidge("tanimoto", alpha=0.7, profile_transformer=AS_THEY_ARE).fit(train, profiles[:30])
    mean = profiles[:30].mean(axis=0)
    theirs = KernelRidge(alpha=0.7, kernel="precomputed").fit(tanimoto_kernel(counts(train)), profiles[:30] - mean)
    expected = theirs.predict(tanimoto_kernel(counts(test), counts(train))) + mean
    np.testing.assert_allclose(ours.predict(test), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "tanimoto+rbf"])
def test_rbf_ridge_is_that_of_scikit_learn_on_balanced_blocks(smiles, profiles, kernel):
    train, test = smiles[:30], smiles[30:]
    tables = FIVE if kernel == "rbf" else FIVE[:1]
    a, b = blocks(train, test, *tables)
    gram, cross = (rbf_kernel(x, a, gamma=1 / len(tables)) for x in (a, b))
    if kernel != "rbf":
        gram = (gram + tanimoto_kernel(counts(train))) / 2
        cross = (cross + tanimoto_kernel(counts(test), counts(train))) / 2
    mean = profiles[:30].mean(axis=0)
    theirs = KernelRidge(alpha=2.0, kernel="precomputed").fit(gram, profiles[:30] - mean)
    ours = ProfileKernelRidge(kernel, alpha=2.0, profile_transformer=AS_THEY_ARE).fit(train, profiles[:30])
    np.testing.assert_allclose(ours.predict(test), theirs.predict(cross) + mean, atol=1e-4)


def test_alpha_is_chosen_by_retrieval_in_folds_of_whole_molecules(smiles, profiles):
    isomers = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O"]
    X = sorted({*smiles, *isomers})
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(len(X), 6))
    alphas = (0.01, 1.0, 100.0)
    ridge = ProfileKernelRidge("tanimoto", alpha=alphas, cv=4, profile_transformer=AS_THEY_ARE).fit(X, Y)
    scores = dict.fromkeys(alphas, 0.0)
    for train, test in GroupKFold(4).split(X, groups=molecule_groups(X)):
        part = [X[i] for i in train], Y[train]
        for alpha in alphas:
            plain = {"profile_transformer": AS_THEY_ARE, "local_scaling": False}
            fitted = ProfileKernelRidge("tanimoto", alpha=alpha, **plain).fit(*part)
            scores[alpha] += fitted.score([X[i] for i in test], Y[test]) / 4
    assert ridge.cv_scores_ == pytest.approx(scores, abs=1e-6)
    assert ridge.alpha_ == max(scores, key=scores.get)


def test_neighbors_average_the_nearest_profiles(smiles, profiles):
    similarity = tanimoto_kernel(counts(["CCCCO"]), counts(smiles))[0]
    nearest = np.lexsort((canonical_smiles(smiles), -similarity))[:4]  # of equals, the first in alphabetical order
    fitted = ProfileNeighbors(4, profile_transformer=AS_THEY_ARE).fit(smiles, profiles)
    expected = np.average(profiles[nearest], axis=0, weights=similarity[nearest])
    np.testing.assert_allclose(fitted.predict(["CCCCO"])[0], expected, rtol=1e-5)
    fitted.set_params(weights="uniform")
    np.testing.assert_allclose(fitted.predict(["CCCCO"])[0], profiles[nearest].mean(axis=0), rtol=1e-5)


def test_where_nothing_is_similar_neighbors_count_alike():
    fitted = ProfileNeighbors(2, profile_transformer=AS_THEY_ARE).fit(["CCO", "CCN"], [[1.0, 0.0], [3.0, 2.0]])
    np.testing.assert_allclose(fitted.predict(["[Na+].[Cl-]"]), [[2.0, 1.0]])


@every_baseline
def test_the_score_is_retrieval_by_cosine_among_distinct_molecules(baseline, smiles, profiles):
    fitted = clone(baseline).set_params(local_scaling=False).fit(smiles[:25], profiles[:25])
    scaled = clone(baseline).fit(smiles[:25], profiles[:25])
    X, P = smiles[25:] + smiles[25:28], np.concatenate([profiles[25:], profiles[:3]])
    predicted, measured = fitted.predict(smiles[25:]), fitted.transform_profiles(P)
    measured[:3] = (measured[:3] + measured[-3:]) / 2
    measured = measured[:-3]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (predicted, measured)]
    assert fitted.score(X, P) == pytest.approx(retrieval_score(*unit), abs=0.01)
    # and with cosines that are corrected for hubs, which changes no prediction
    np.testing.assert_array_equal(scaled.predict(smiles), fitted.predict(smiles))
    own = LocalScaling().fit(*map(normalize, (fitted.predict(smiles[:25]), fitted.transform_profiles(profiles[:25]))))
    corrected = own.scale_molecules(unit[0]), own.scale_profiles(unit[1])
    assert scaled.score(X, P) == pytest.approx(retrieval_score(*corrected), abs=0.02)


# -- invariances ---------------------------------------------------------------------------------


@every_baseline
def test_the_order_of_rows_and_the_notation_do_not_matter(baseline, smiles, profiles):
    order = np.random.default_rng(1).permutation(len(smiles))
    other = clone(baseline).fit([smiles[i].replace("c1ccccc1", "C1=CC=CC=C1") for i in order], profiles[order])
    fitted = clone(baseline).fit(smiles, profiles)
    np.testing.assert_allclose(
        other.predict(["CCCCO", "CCc1ccccc1"]), fitted.predict(["OCCCC", "CCc1ccccc1"]), atol=1e-3
    )


@every_baseline
def test_each_row_is_predicted_alone(baseline, smiles, profiles):
    fitted = clone(baseline).fit(smiles[:30], profiles[:30])
    together = fitted.predict(smiles)
    alone = np.concatenate([fitted.predict([s]) for s in smiles[28:33]])
    np.testing.assert_allclose(alone, together[28:33], atol=1e-6)


@every_baseline
def test_replicates_are_averaged(baseline, smiles, profiles):
    doubled = clone(baseline).set_params(profile_transformer=AS_THEY_ARE)
    noise = np.random.default_rng(0).normal(size=profiles.shape)
    twice = clone(doubled).fit([*smiles, *smiles], np.concatenate([profiles + noise, profiles - noise]))
    once = clone(doubled).fit(smiles, profiles)
    np.testing.assert_allclose(twice.predict(smiles[:3]), once.predict(smiles[:3]), atol=1e-5)


@every_baseline
def test_a_clone_a_pickle_and_a_cache_give_the_same(baseline, smiles, profiles, tmp_path):
    fitted = clone(baseline).fit(smiles, profiles)
    expected = fitted.predict(["CCCCO"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(["CCCCO"]), expected)
    for _ in range(2):
        again = clone(fitted).set_params(memory=str(tmp_path)).fit(smiles, profiles)
        np.testing.assert_array_equal(again.predict(["CCCCO"]), expected)


def test_tools_of_scikit_learn_take_them(smiles, profiles):
    assert cross_val_score(ProfileNeighbors(), smiles, profiles, cv=3).shape == (3,)
    search = GridSearchCV(ProfileKernelRidge("tanimoto"), {"alpha": [0.3, 3.0]}, cv=2).fit(smiles, profiles)
    assert search.best_estimator_.cv_scores_ == {}


# -- profiles and features -----------------------------------------------------------------------


@every_baseline
def test_columns_are_matched_by_name_and_missing_values_are_those_of_the_transformer(baseline, smiles, profiles):
    frame = pd.DataFrame(profiles.copy(), columns=[f"Cells_{i}" for i in range(profiles.shape[1])])
    frame.iloc[0, 0] = np.nan
    frame["Metadata_Plate"] = "P1"
    fitted = clone(baseline).fit(smiles, frame)
    turned = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(fitted.transform_profiles(turned), fitted.transform_profiles(frame))
    scaler = ProfileScaler(n_components=64, whitening=0.75).fit(
        frame.drop(columns="Metadata_Plate").to_numpy(np.float32)
    )
    expected = scaler.transform(frame.drop(columns="Metadata_Plate").to_numpy(np.float32))
    np.testing.assert_array_equal(fitted.transform_profiles(frame), expected)
    with pytest.raises(ValueError, match=r"P lacks 1 of the columns of fit: \['Cells_3'\]"):
        fitted.transform_profiles(frame.drop(columns="Cells_3"))


class Sizes(TransformerMixin, BaseEstimator):
    """Length of the text, unknown for some texts."""

    def __init__(self, unknown=()):
        self.unknown = unknown

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([[np.nan if s in self.unknown else len(s), len(s) ** 2] for s in X], dtype=float)


def test_names_and_transformers_of_the_same_tables_predict_the_same(smiles, profiles):
    named = ProfileKernelRidge(features=["descriptors", "fcfp"], alpha=1.0).fit(smiles, profiles)
    given = clone(named).set_params(features=[FIVE[0], FIVE[2]]).fit(smiles, profiles)
    np.testing.assert_array_equal(named.predict(smiles), given.predict(smiles))


def test_any_transformer_of_molecules_makes_a_block(smiles, profiles):
    ridge = ProfileKernelRidge(features=[Sizes(), MorganCounts()], alpha=1.0).fit(smiles, profiles)
    assert np.isfinite(ridge.predict(["CCCCO"])).all()
    unknown = clone(ridge).set_params(features=[Sizes(("CCCCO",)), MorganCounts()]).fit(smiles, profiles)
    assert np.isfinite(unknown.predict(["CCCCO"])).all()
    np.testing.assert_array_equal(unknown.predict(["CCO"]), ridge.predict(["CCO"]))


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_form_of_a_table_does_not_matter(smiles, profiles, container):
    pytest.importorskip(container)
    ridge = ProfileKernelRidge(features=[MorganCounts(fp_size=64)], alpha=1.0).fit(smiles, profiles)
    thin = FunctionTransformer(lambda texts: csr_array(MorganCounts(fp_size=64).transform(texts)))
    with config_context(transform_output=container):
        other = clone(ridge).fit(smiles, profiles)
        for fitted in (ridge, other):
            np.testing.assert_allclose(fitted.predict(["CCCCO"]), ridge.predict(["CCCCO"]), rtol=1e-6)
    sparse = clone(ridge).set_params(features=[thin]).fit(smiles, profiles)
    np.testing.assert_allclose(sparse.predict(["CCCCO"]), ridge.predict(["CCCCO"]), rtol=1e-6)
    with pytest.raises(ValueError, match=r"features=FunctionTransformer.* one row for each of \d+ molecules"):
        clone(ridge).set_params(features=[FunctionTransformer(lambda texts: np.ones(3))]).fit(smiles, profiles)


# -- bad input -----------------------------------------------------------------------------------


@every_baseline
def test_rows_that_are_not_molecules_raise_or_are_left_out(baseline, smiles, profiles):
    X, P = ["junk", *smiles, None], np.concatenate([profiles[:1], profiles, profiles[:1]])
    with pytest.raises(ValueError, match=r"2 of 42 rows of X are not valid molecules:\n  row 0: 'junk'"):
        clone(baseline).fit(X, P)
    lenient = clone(baseline).set_params(invalid="nan")
    with pytest.warns(UserWarning, match="2 of 42 rows"):
        fitted = lenient.fit(X, P)
    with pytest.warns(UserWarning, match="2 of 42 rows"):
        predicted = fitted.predict(X)
    assert np.isnan(predicted[[0, -1]]).all()
    expected = clone(baseline).fit(smiles, profiles)
    np.testing.assert_array_equal(predicted[1:-1], expected.predict(smiles))
    with pytest.warns(UserWarning, match="2 of 42 rows"):
        assert fitted.score(X, P) == expected.score(smiles, profiles)
    with pytest.raises(ValueError, match="1 of 1 rows of X are not valid molecules"):
        expected.predict(["junk"])


def test_a_profile_without_values_raises_or_is_left_out(smiles, profiles):
    P = profiles.copy()
    P[3] = np.nan
    with pytest.raises(ValueError, match=r'1 of 40 profiles hold no finite value: rows \[3\].*invalid="nan"'):
        ProfileNeighbors().fit(smiles, P)
    with pytest.warns(UserWarning, match="They are left out"):
        fitted = ProfileNeighbors(invalid="nan").fit(smiles, P)
    assert len(fitted.molecules_) == 39


@pytest.mark.parametrize(
    ("baseline", "n", "message"),
    [
        (ProfileNeighbors(), 3, "n_neighbors=5, but X has 3 distinct molecules"),
        (ProfileKernelRidge("tanimoto"), 3, "at least 4 distinct molecules, got 3: give one number"),
        (ProfileKernelRidge("tanimoto", alpha=[]), 9, "alpha must be a number greater than 0"),
        (ProfileKernelRidge("tanimoto", alpha=[1.0, -1.0]), 9, "alpha must be a number greater than 0"),
        (ProfileKernelRidge("tanimoto", alpha=0), 9, "'alpha' parameter"),
        (ProfileKernelRidge("linear"), 9, "'kernel' parameter"),
        (ProfileKernelRidge(features=[]), 9, "features is empty"),
        (ProfileKernelRidge(features=["maccs"]), 9, r"features holds 'maccs', but it takes \['atom_pairs', "),
    ],
)
def test_parameters_that_cannot_be_used_are_named(baseline, n, message, smiles, profiles):
    with pytest.raises(ValueError, match=message):
        baseline.fit(smiles[:n], profiles[:n])


@every_baseline
def test_profiles_of_another_shape_are_refused(baseline, smiles, profiles):
    with pytest.raises(ValueError, match="y has 39 rows but X has 40"):
        clone(baseline).fit(smiles, profiles[:39])
    with pytest.raises(ValueError, match="y must have two dimensions"):
        clone(baseline).fit(smiles, profiles[:, 0])
    fitted = clone(baseline).fit(smiles, profiles)
    with pytest.raises(ValueError, match="P has 3 features, but fit had 24"):
        fitted.transform_profiles(profiles[:, :3])


# -- measured profiles ---------------------------------------------------------------------------


@pytest.mark.slow
def test_on_measured_profiles_ridge_is_ahead_of_neighbors_which_are_ahead_of_chance():
    data = load_comas()
    groups = molecule_groups(data.smiles)
    test = np.isin(groups, np.random.default_rng(0).permutation(np.unique(groups))[:97])
    arms = {"ridge": ProfileKernelRidge("tanimoto"), "neighbors": ProfileNeighbors()}
    score = {
        name: arm.fit(data.smiles[~test], data.profiles[~test]).score(data.smiles[test], data.profiles[test])
        for name, arm in arms.items()
    }
    assert score["ridge"] > score["neighbors"] > 0.5
