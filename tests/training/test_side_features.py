"""Features of molecules beside the network: the kernel ridge, and what it adds to the shared space."""

import shutil

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, normalize

import mocop_sklearn.model_file._side as side_module
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.metrics import retrieval_score
from mocop_sklearn.model_file import SideTower
from mocop_sklearn.molecules import AtomPairCounts, BlockScaler, MoleculeDescriptors, MorganCounts, TorsionCounts


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
    targets = profiles[:30] - profiles[:30].mean(axis=0)
    ridge = KernelRidge(alpha=side.alpha_, kernel="rbf", gamma=side.gamma_ / 2).fit(train, targets)
    expected = ridge.predict(test)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(side.project_molecules(smiles[30:]), expected, atol=1e-4)


def test_cross_validation_chooses_the_kernel_and_the_regularisation(smiles, profiles):
    groups = np.arange(40) // 2
    side = SideTower(["ecfp"]).fit(smiles, profiles, groups=groups)
    table = MorganCounts().fit(smiles).transform(smiles)
    X, y = BlockScaler().fit_transform(table), profiles - profiles.mean(axis=0)
    scores = {}
    for gamma in (1.0, 2.0):
        for alpha in (3.0, 1.0):
            ridge = TransformedTargetRegressor(
                KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma), transformer=StandardScaler(with_std=False)
            )
            folds = [(ridge.fit(X[a], y[a]).predict(X[b]), y[b]) for a, b in GroupKFold(3).split(X, groups=groups)]
            scores[gamma, alpha] = np.mean([retrieval_score(*map(normalize, fold)) for fold in folds])
    assert (side.gamma_, side.alpha_) == max(scores, key=scores.get)
    assert len(set(scores.values())) > 1


def test_held_out_molecules_choose_the_weight_of_the_network():
    rng = np.random.default_rng(0)
    smiles = [f"{'C' * length}{end}" for length in range(1, 13) for end in "NOFS"]
    smiles = rng.permutation(smiles).tolist()
    structure = np.array([[len(s) / 6, *(s.endswith(end) for end in "NOFS")] for s in smiles], dtype=np.float32)
    noise = rng.normal(size=(48, 8)).astype(np.float32)
    vectors = normalize(rng.normal(size=(24, 8)))
    ridge_guesses = SideTower(["descriptors"]).fit(smiles, noise, held_out=(vectors, vectors))
    network_guesses = SideTower(["descriptors"]).fit(smiles, structure, held_out=(vectors, rng.permutation(vectors)))
    assert ridge_guesses.network_weight_ == 0.5
    assert network_guesses.network_weight_ == 0.2
    # nothing but the weight depends on the network, and all molecules are fitted
    alone = SideTower(["descriptors"]).fit(smiles, structure)
    np.testing.assert_allclose(alone.coef_, network_guesses.coef_)


def test_few_molecules_choose_nothing(smiles, profiles):
    vectors = np.eye(10, dtype=np.float32)
    side = SideTower(["ecfp"]).fit(smiles[:19], profiles[:19], held_out=(vectors, vectors))
    assert (side.gamma_, side.alpha_, side.network_weight_) == (1.0, 3.0, 0.35)


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


def test_cosines_are_the_weighted_mean_of_both_towers(smiles, profiles, tiny):
    settings = tiny | {"output": "projection", "local_scaling": False}
    plain = MoCoPEmbedder(**settings, side_features=None).fit(smiles, profiles=profiles)
    both = MoCoPEmbedder(**settings, side_features="ecfp").fit(smiles, profiles=profiles)
    side = both.model_.side
    network = plain.transform(smiles) @ plain.transform_profiles(profiles).T
    scaled = plain.profile_transformer_.transform(profiles)
    ridge = side.project_molecules(smiles) @ side.project_profiles(scaled).T
    together = both.transform(smiles) @ both.transform_profiles(profiles).T
    weight = side.network_weight_
    np.testing.assert_allclose(together, weight * network + (1 - weight) * ridge, atol=1e-5)
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


def test_columns_of_some_molecules_at_a_time_change_nothing(smiles, profiles, monkeypatch):
    monkeypatch.setattr(side_module, "N_LANDMARKS", 25)
    features = ["ecfp", "torsions"]
    at_once = SideTower(features).fit(smiles, profiles, groups=np.arange(40) // 2)
    monkeypatch.setattr(side_module, "_MOLECULES", 7)
    in_parts = SideTower(features).fit(smiles, profiles, groups=np.arange(40) // 2)
    assert in_parts.landmarks_.shape == (25, 2048 + 512)
    np.testing.assert_allclose(in_parts.coef_, at_once.coef_, rtol=1e-6, atol=1e-9)
    in_parts.coef_ = at_once.coef_
    np.testing.assert_array_equal(in_parts.project_molecules(smiles), at_once.project_molecules(smiles))


def test_the_names_mean_tables_of_molecules(smiles, profiles):
    tables = [
        MoleculeDescriptors(invalid="nan"),
        MorganCounts(),
        MorganCounts(pharmacophore=True, fp_size=512),
        AtomPairCounts(fp_size=512),
        TorsionCounts(fp_size=512),
    ]
    named = SideTower(MoCoPEmbedder().side_features).fit(smiles, profiles)
    given = SideTower(tables).fit(smiles, profiles)
    assert named.landmarks_.shape == (40, len(MoleculeDescriptors().get_feature_names_out()) + 2048 + 3 * 512)
    np.testing.assert_array_equal(named.project_molecules(smiles), given.project_molecules(smiles))


def test_files_and_processes_change_nothing(smiles, profiles, tiny, tmp_path):
    features = ["descriptors", "atom_pairs", make_pipeline(TorsionCounts(fp_size=128), StandardScaler())]
    embedder = MoCoPEmbedder(**tiny, side_features=features, n_jobs=2, output="projection")
    vectors = embedder.fit(smiles, profiles=profiles).transform(smiles)
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors", output="projection")
    assert loaded.digest_ == embedder.digest_
    np.testing.assert_array_equal(loaded.transform(smiles), vectors)
    np.testing.assert_array_equal(loaded.transform(smiles[5:6])[0], vectors[5])


def test_a_file_does_not_hold_what_belongs_to_the_machine(smiles, profiles, tiny, tmp_path):
    cached = MorganCounts(fp_size=64, memory=tmp_path / "cache", n_jobs=1)
    settings = tiny | {"max_epochs": 0, "structure_weight": 0}
    embedders = [
        MoCoPEmbedder(**settings, side_features=[table]).fit(smiles, profiles=profiles)
        for table in (cached, MorganCounts(fp_size=64))
    ]
    assert embedders[0].digest_ == embedders[1].digest_
    embedders[0].save(tmp_path / "model.safetensors")
    shutil.rmtree(tmp_path / "cache")
    MoCoPEmbedder.load(tmp_path / "model.safetensors", output="projection").transform(smiles)
    assert not (tmp_path / "cache").exists()


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
    known = r"\['atom_pairs', 'descriptors', 'ecfp', 'fcfp', 'torsions'\]"
    with pytest.raises(ValueError, match=f"side_features holds 'maccs', but it takes {known}"):
        MoCoPEmbedder(**tiny, side_features=["maccs"]).fit(smiles, profiles=profiles)


def test_features_that_are_there_twice_or_hold_no_number_are_named(smiles, profiles, tiny):
    with pytest.raises(ValueError, match=r"side_features holds \['ecfp'\] more than once"):
        MoCoPEmbedder(**tiny, side_features=["ecfp", "torsions", "ecfp"]).fit(smiles, profiles=profiles)
    nothing = FunctionTransformer(no_numbers)
    with pytest.raises(ValueError, match=r"no_numbers.* returned no number for any of 40 training molecules"):
        MoCoPEmbedder(**tiny | {"max_epochs": 0}, side_features=nothing).fit(smiles, profiles=profiles)


def no_numbers(texts):
    return np.full((len(texts), 2), np.nan)


def test_a_transformer_that_no_file_can_hold_is_named_when_saving(smiles, profiles, tiny, tmp_path):
    class Lengths(FunctionTransformer):
        pass

    features = [Lengths(lambda texts: np.array([[len(s), s.count("C")] for s in texts], dtype=float))]
    embedder = MoCoPEmbedder(**tiny, side_features=features).fit(smiles, profiles=profiles)
    with pytest.raises(TypeError, match=r"side\..* cannot be written to a model file without pickle"):
        embedder.save(tmp_path / "model.safetensors")
