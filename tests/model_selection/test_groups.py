"""Groups, nested training fractions and overlap: hand-checked molecules, parity and invariances."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.ML.Cluster import Butina
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold

from mocop_sklearn.model_selection import _groups as model_selection
from mocop_sklearn.model_selection import cluster_groups, molecule_groups, overlap, scaffold_groups, training_fractions

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "bioactivity"
GROUPERS = [molecule_groups, scaffold_groups, cluster_groups]
RINGS = "c1ccccc1 c1ccncc1 C1CCCCC1 c1ccc2ccccc2c1 C1CCNCC1 c1ccsc1".split()
CHAINS = "C CC CCO C(=O)N C(=O)O OC NC(=O)C S(=O)(=O)N CCCCN FC(F)(F)".split()
LIBRARY = [chain + ring for ring, chain in product(RINGS, CHAINS)] + [
    chain + ring[:2] + "(O)" + ring[2:] for ring, chain in product(("C1CCCCC1", "C1CCNCC1"), CHAINS)
]


def same_partition(a, b) -> bool:
    """Whether two labellings put the same rows together."""
    return len(np.unique(np.c_[a, b], axis=0)) == len(np.unique(a)) == len(np.unique(b))


def real(name: str) -> pd.DataFrame:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{name} is not among the data of this checkout")
    return pd.read_parquet(path)


# Groups


@pytest.mark.parametrize(
    ("smiles", "together"),
    [
        (["CC(=O)O", "CC(=O)[O-]", "CC(=O)[O-].[Na+]", "[K+].CC([O-])=O"], True),  # charge states and salts
        (["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC([NH3+])C(=O)[O-]"], True),  # enantiomers
        (["F/C=C/F", "F/C=C\\F", "FC=CF"], True),  # double bonds
        (["CCO", "[2H]C([2H])C[18OH]", "OCC"], True),  # isotopes, order of atoms
        (["O=c1cccc[nH]1", "Oc1ccccn1"], True),  # mobile hydrogen
        (["CC(=O)CC(C)=O", "CC(O)=CC(C)=O"], False),  # keto and enol
        (["CCO", "COC"], False),
        (["*CC", "*CCC"], False),  # InChI has no dummy atoms
    ],
)
def test_molecule_groups_of_known_pairs(smiles, together):
    groups = molecule_groups(smiles)
    assert groups.dtype == np.int64
    assert len(set(groups)) == (1 if together else len(smiles))


def test_standardize_decides_about_salts():
    salt = ["CC(=O)O", "CC(=O)[O-].[Na+]"]
    assert len(set(molecule_groups(salt, standardize=None))) == 2
    assert len(set(molecule_groups(salt, standardize=lambda mol: Chem.MolFromSmiles("C")))) == 1


def test_groups_accept_every_container_of_molecules():
    smiles = ["CCO", "c1ccccc1", "OCC"]
    want = molecule_groups(smiles)
    columns = [
        np.array(smiles),
        np.array(smiles)[:, None],
        pd.Series(smiles, index=[5, 5, 1]),
        pd.DataFrame({"s": smiles}),
    ]
    for X in [*columns, [Chem.MolFromSmiles(s) for s in smiles]]:
        np.testing.assert_array_equal(molecule_groups(X), want)


@pytest.mark.parametrize("function", [*GROUPERS, lambda X: cluster_groups(X, method="leader")])
def test_groups_follow_the_rows(function):
    rng = np.random.default_rng(0)
    X = np.array([*LIBRARY, *LIBRARY[:10], "O=c1cccc[nH]1", "Oc1ccccn1"])
    groups, order = function(X), rng.permutation(len(X))
    np.testing.assert_array_equal(function(X[order]), groups[order])
    np.testing.assert_array_equal(np.unique(groups), np.arange(groups.max() + 1))


@pytest.mark.parametrize("function", GROUPERS)
def test_groups_in_parallel(function, monkeypatch):
    want = function(LIBRARY)
    monkeypatch.setattr(model_selection, "_CHUNK", 30)
    with parallel_config("threading"):
        np.testing.assert_array_equal(function(LIBRARY, n_jobs=2), want)


@pytest.mark.parametrize("function", [scaffold_groups, cluster_groups])
def test_coarser_groups_are_made_of_molecule_groups(function):
    # the two tautomers of one key have different scaffolds and fingerprints
    X = ["O=c1cccc[nH]1", "Oc1ccccn1", "C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1", "Cl.CC(N)c1ccccc1"]
    groups = function(X)
    assert groups[0] == groups[1] != groups[2] == groups[3] == groups[4]


@pytest.mark.parametrize("function", GROUPERS)
@pytest.mark.parametrize("splitter", [GroupKFold(3), GroupShuffleSplit(3, random_state=0), StratifiedGroupKFold(3)])
def test_no_key_on_both_sides_of_a_split(function, splitter):
    X = np.array([*LIBRARY, *(f"{s}.Cl" for s in LIBRARY)])
    y = np.tile([0, 1, 1, 0], len(X) // 4)
    for train, test in splitter.split(X, y, groups=function(X)):
        assert not overlap(X[train], X[test]).any()


@pytest.mark.parametrize("function", GROUPERS)
def test_invalid_rows(function):
    X = ["CCO", "no molecule", "OCC", None, "no molecule"]
    with pytest.raises(ValueError, match=r"3 of 5 rows of X are not valid molecules:\n  row 1: 'no molecule'"):
        function(X)
    with pytest.warns(UserWarning, match="3 of 5 rows") as caught:
        groups = function(X, invalid="nan")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(groups, [0, 1, 0, 2, 3])
    with pytest.warns(UserWarning, match="1 of 1"):
        np.testing.assert_array_equal(function(["no molecule"], invalid="nan"), [0])


@pytest.mark.parametrize("function", GROUPERS)
@pytest.mark.parametrize(
    ("X", "parameters", "error", "message"),
    [
        ("CCO", {}, TypeError, "single str"),
        ([], {}, ValueError, "0 sample"),
        (["CCO"], {"invalid": "ignore"}, ValueError, "invalid must be one of 'raise', 'nan'"),
        (["CCO"], {"standardize": "children"}, ValueError, "standardize must be None, 'parent' or a callable"),
    ],
)
def test_bad_molecules_and_parameters(function, X, parameters, error, message):
    with pytest.raises(error, match=message):
        function(X, **parameters)


# Scaffolds


def test_scaffold_groups_of_known_molecules():
    smiles = "Cc1ccccc1 OC(=O)c1ccccc1 c1ccncc1 C1CCCCC1 C[C@H]1CCCC[C@@H]1O O=C1CCCCC1 CC(=O)C1CCCCC1".split()
    want = ["benzene", "benzene", "pyridine", "hexane", "hexane", "hexanone", "hexane"]
    assert same_partition(scaffold_groups(smiles), want)
    assert set(scaffold_groups(smiles, generic=True)) == {0}


def test_linkers_belong_to_the_scaffold():
    a, b, c = "c1ccccc1CCc1ccccc1", "Cc1ccccc1CCc1ccccc1", "c1ccccc1CCCc1ccccc1"
    assert same_partition(scaffold_groups([a, b, c], generic=True), [0, 0, 1])
    # the carbonyl of a linker is no part of the framework
    assert len(set(scaffold_groups(["O=C(Cc1ccccc1)c1ccncc1", a], generic=True))) == 1


def test_acyclic_molecules():
    smiles = ["CCO", "CCN", "OCC", "c1ccccc1", "CO.[Na+].[Cl-]"]
    assert same_partition(scaffold_groups(smiles), [0, 1, 0, 2, 3])
    assert same_partition(scaffold_groups(smiles, acyclic="one"), [0, 0, 0, 1, 0])
    with pytest.raises(ValueError, match="acyclic must be one of 'molecule', 'one', got 'none'"):
        scaffold_groups(smiles, acyclic="none")


def test_frameworks_of_atoms_with_more_neighbours_than_carbon():
    ferrocene = "[Fe]12345678(C9C1C2C3C49)C1C5C6C7C81"
    assert same_partition(scaffold_groups([ferrocene, "C1CCCC1"], generic=True), [0, 1])


# Clusters


def fingerprints_by_key(smiles):
    mols = [Chem.MolFromSmiles(s) for s in smiles]
    order = np.argsort([Chem.MolToInchiKey(mol)[:14] for mol in mols])
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return [generator.GetFingerprint(mols[i]) for i in order], order


def test_butina_by_hand():
    # Radius 0 leaves the set of atom types, here M(ethyl), m(ethylene), O(H), N(H2); distance 1/3 is two of three.
    #          MmO    MO    mO      Mm     M     MmN
    smiles = ["CCO", "CO", "OCCO", "CCC", "CC", "CCN"]
    # CCO has the most neighbours and takes CO, OCCO and CCC; CCN, whose only neighbour was CCC, stays alone
    for fp_size in (2048, 1003):
        groups = cluster_groups(smiles, threshold=1 / 3, radius=0, fp_size=fp_size, method="butina")
        assert same_partition(groups, [0, 0, 0, 0, 1, 2])


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.35, 0.6, 0.9])
def test_butina_agrees_with_rdkit(threshold):
    fingerprints, order = fingerprints_by_key(LIBRARY)
    n = len(fingerprints)
    distances = [
        d
        for i in range(1, n)
        for d in 1 - np.array(DataStructs.BulkTanimotoSimilarity(fingerprints[i], fingerprints[:i]))
    ]
    want = np.empty(n, dtype=int)
    for number, cluster in enumerate(Butina.ClusterData(distances, n, threshold + 1e-9, isDistData=True)):
        want[order[list(cluster)]] = number
    assert same_partition(cluster_groups(LIBRARY, threshold=threshold, method="butina"), want)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.35, 0.6, 0.9])
def test_leader_agrees_with_a_plain_loop(threshold):
    fingerprints, order = fingerprints_by_key(LIBRARY)
    leaders: list[int] = []
    distances = 1 - np.array([DataStructs.BulkTanimotoSimilarity(fp, fingerprints) for fp in fingerprints])
    for i in range(len(fingerprints)):
        if not leaders or distances[i, leaders].min() > threshold + 1e-9:
            leaders.append(i)
    nearest = distances[:, leaders].argmin(axis=1)
    assert distances[np.arange(len(nearest)), np.array(leaders)[nearest]].max() <= threshold + 1e-9
    want = np.empty(len(order), dtype=int)
    want[order] = nearest
    assert same_partition(cluster_groups(LIBRARY, threshold=threshold, method="leader"), want)


@pytest.mark.parametrize("method", ["butina", "leader"])
def test_clusters_do_not_depend_on_the_size_of_blocks(method, monkeypatch):
    want = cluster_groups(LIBRARY, threshold=0.6, method=method)
    monkeypatch.setattr(model_selection, "_TILE", 7)
    np.testing.assert_array_equal(cluster_groups(LIBRARY, threshold=0.6, method=method), want)


def test_auto_is_butina_until_there_are_too_many(monkeypatch):
    butina, leader = (cluster_groups(LIBRARY, threshold=0.6, method=m) for m in ("butina", "leader"))
    assert not same_partition(butina, leader)
    np.testing.assert_array_equal(cluster_groups(LIBRARY, threshold=0.6), butina)
    monkeypatch.setattr(model_selection, "_MAX_BUTINA", len(LIBRARY) - 1)
    np.testing.assert_array_equal(cluster_groups(LIBRARY, threshold=0.6), leader)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"threshold": 1.0}, ValueError, "threshold == 1.0, must be < 1"),
        ({"threshold": -0.1}, ValueError, "threshold == -0.1, must be >= 0"),
        ({"threshold": "near"}, TypeError, "threshold must be an instance"),
        ({"radius": -1}, ValueError, "radius == -1"),
        ({"fp_size": 0}, ValueError, "fp_size == 0"),
        ({"method": "kmeans"}, ValueError, "method must be one of 'auto', 'butina', 'leader', got 'kmeans'"),
    ],
)
def test_bad_cluster_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        cluster_groups(["CCO"], **parameters)


# Training fractions

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def assert_nested(subsets, n):
    for fraction, rows in subsets.items():
        assert rows.size
        np.testing.assert_array_equal(rows, np.unique(rows))
        assert 0 <= rows[0] <= rows[-1] < n
        assert fraction < 1 or len(rows) == n
    ascending = [subsets[fraction] for fraction in sorted(subsets)]
    assert all(np.isin(small, large).all() for small, large in pairwise(ascending))


@pytest.mark.parametrize(
    "y",
    [
        np.repeat([0, 1], [960, 40]),
        np.repeat([0, 1], [960, 40]).astype(bool),
        np.repeat(["a", "b", "c"], [700, 297, 3]),
        pd.Series(np.repeat(["a", "b"], [900, 100]), index=np.arange(1000) // 2),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_class_proportions_hold_in_each_fraction(y, seed):
    order = np.random.default_rng(seed).permutation(len(y))
    y = y.iloc[order] if isinstance(y, pd.Series) else y[order]
    subsets = training_fractions(y, random_state=seed)
    assert tuple(subsets) == FRACTIONS
    assert_nested(subsets, len(y))
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    for fraction, rows in subsets.items():
        assert len(rows) == round(fraction * len(y))
        counts = np.bincount(codes[rows], minlength=len(classes))
        assert counts.min() >= 1
        assert np.abs(counts - fraction * np.bincount(codes)).max() <= 1


def test_small_sets_hold_each_class_when_they_have_room():
    y = np.repeat(np.arange(8), [200, 100, 40, 20, 20, 10, 5, 5])
    for seed in range(5):
        subsets = training_fractions(y, (0.0025, 0.01, 0.02), random_state=seed)
        assert [len(set(y[rows])) for rows in subsets.values()] == [1, 4, 8]
        assert set(y[subsets[0.01]]) == {0, 1, 2, 3} or set(y[subsets[0.01]]) == {0, 1, 2, 4}


def test_regression_is_spread_over_its_range():
    y = np.random.default_rng(0).lognormal(size=1000)
    tenth = np.searchsorted(np.quantile(y, np.arange(0.1, 1, 0.1)), y)
    for fraction, rows in training_fractions(y, (0.01, 0.05, 0.5), random_state=0).items():
        np.testing.assert_array_equal(np.bincount(tenth[rows]), np.full(10, 100 * fraction))
    counts = np.arange(1000) + 7  # whole numbers, but no classes
    rows = training_fractions(counts, (0.01,), random_state=0)[0.01]
    np.testing.assert_array_equal(rows // 100, np.arange(10))


@pytest.fixture
def sparse_tasks():
    rng = np.random.default_rng(0)
    Y = (rng.random((2000, 20)) < np.linspace(0.01, 0.5, 20)).astype(np.float32)
    Y[rng.random(Y.shape) < 0.8] = np.nan
    Y[:100] = np.nan
    Y[100:103, 0] = 1
    return Y


def test_rare_labels_of_many_tasks_appear_early(sparse_tasks):
    Y = pd.DataFrame(sparse_tasks)
    subsets = training_fractions(Y, random_state=0)
    assert_nested(subsets, len(Y))
    is_label = np.hstack([sparse_tasks == 0, sparse_tasks == 1])
    is_label = is_label[:, is_label.any(axis=0)]
    rng = np.random.default_rng(0)
    error, error_of_random = [], []
    for fraction, rows in list(subsets.items())[1:]:
        assert len(rows) == round(fraction * len(Y))
        assert is_label[rows].any(axis=0).all()
        share = fraction * is_label.sum(axis=0)
        error.append(np.abs(is_label[rows].sum(axis=0) - share).mean())
        draw = rng.choice(len(Y), len(rows), replace=False)
        error_of_random.append(np.abs(is_label[draw].sum(axis=0) - share).mean())
    assert sum(error) < sum(error_of_random)


def test_tasks_may_be_measured_nowhere_and_rows_have_no_label(sparse_tasks):
    sparse_tasks[:, 3] = np.nan
    subsets = training_fractions(sparse_tasks, random_state=0)
    unlabelled = [np.sum(rows < 100) / len(rows) for rows in subsets.values()]
    np.testing.assert_allclose(unlabelled[3:], 0.05, atol=0.02)
    assert_nested(training_fractions(np.full((50, 2), np.nan), random_state=0), 50)


def test_missing_labels_of_one_task():
    y = np.repeat([0.0, 1.0, np.nan], [60, 20, 20])
    rows = training_fractions(y, (0.1,), random_state=0)[0.1]
    assert np.nansum(y[rows]) == 2
    assert np.isnan(y[rows]).sum() == 2
    texts = np.repeat(np.array(["a", "b", None], dtype=object), [60, 20, 20])
    np.testing.assert_array_equal(training_fractions(texts, (0.1,), random_state=0)[0.1], rows)


def test_tasks_of_measurements():
    Y = np.random.default_rng(0).normal(size=(400, 3))
    for fraction, rows in training_fractions(Y, (0.1, 0.5), random_state=0).items():
        high = (Y[rows] > np.median(Y, axis=0)).mean(axis=0)
        np.testing.assert_allclose(high, 0.5, atol=0.1 if fraction < 0.5 else 0.03)


@pytest.mark.parametrize("named", [False, True])
def test_groups_stay_whole(named):
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 300, 1000))
    y = (rng.random(1000) < 0.2).astype(int)
    subsets = training_fractions(y, groups=[f"g{g}" for g in groups] if named else groups, random_state=0)
    assert_nested(subsets, 1000)
    for fraction, rows in subsets.items():
        assert not np.isin(groups[rows], np.delete(groups, rows)).any()
        assert abs(len(rows) - 1000 * fraction) <= 2
        assert abs(y[rows].sum() - fraction * y.sum()) <= 2 + 0.05 * fraction * y.sum()


def test_a_large_group_waits_for_a_large_fraction():
    groups = np.r_[np.zeros(600, dtype=int), np.arange(1, 401)]
    for seed in range(5):
        subsets = training_fractions(np.arange(1000) % 2, (0.01, 0.1, 0.7, 1), groups=groups, random_state=seed)
        assert [len(rows) for rows in subsets.values()][:2] == [10, 100]
        assert 600 < len(subsets[0.7]) < 1000
    only = training_fractions([0, 1, 0, 1], (0.1, 1.0), groups=[0, 0, 0, 0])
    assert [len(rows) for rows in only.values()] == [4, 4]


def test_the_seed_decides():
    y = np.arange(200) % 2
    first, again, other = (training_fractions(y, (0.1,), random_state=seed)[0.1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(training_fractions(y, (0.1,), random_state=rng)[0.1], first)


def test_fractions_come_back_in_the_order_they_were_given():
    subsets = training_fractions(np.arange(100) % 2, (1, 0.5, 0.1, 0.5), random_state=0)
    assert list(subsets) == [1, 0.5, 0.1]
    assert_nested(subsets, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": ()}, "fractions must be a list of one or more numbers above 0 and at most 1"),
        ({"fractions": 0.5}, "fractions must be a list"),
        ({"fractions": (0, 0.5)}, "fractions must be a list"),
        ({"fractions": (0.5, 1.5)}, "fractions must be a list"),
        ({"fractions": ("half",)}, "fractions must be a list"),
        ({"groups": [1, 2]}, re.escape("one value for each of the 4 rows of y, got shape (2,)")),
        ({"groups": [[1, 2], [3, 4]]}, "one value for each of the 4 rows"),
        ({"groups": [1, 2, None, 3]}, "groups has missing values"),
        ({"groups": [1, 2, np.nan, 3]}, "groups has missing values"),
        ({"groups": pd.Series(["a", pd.NA, "b", "c"], dtype="string")}, "groups has missing values"),
        ({"groups": np.array([1, "a", 2, 3], dtype=object)}, "groups mixes values that have no order"),
        ({"y": [0, 1, np.inf, 0]}, "infinity"),
        ({"y": np.array([0, 1, np.inf, 0], dtype=object)}, "infinite value"),
        ({"y": []}, "0 sample"),
        ({"y": np.zeros((2, 2, 2))}, "dim 3"),
    ],
)
def test_bad_training_fractions(arguments, message):
    with pytest.raises(ValueError, match=message):
        training_fractions(**{"y": [0, 1, 0, 1]} | arguments)


def test_rows_without_a_label_take_no_place_of_a_label():
    y = np.r_[np.full(196, np.nan), [0, 0, 1, 1]]
    subsets = training_fractions(y, (0.005, 0.01, 0.02), random_state=0)
    assert sorted(y[subsets[0.01]]) == [0, 1]
    assert len(subsets[0.005]) == 1
    assert y[subsets[0.005]] in (0, 1)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, pd.NA, 0] * 20, dtype="Int64"),
        pd.Series(["a", pd.NA, "b"] * 20, dtype="string"),
        pd.Series(["a", None, "b"] * 20, dtype=object),
        ["a", float("nan"), "b"] * 20,
    ],
)
def test_missing_labels_come_in_any_form(y):
    expected = training_fractions(np.array([1.0, np.nan, 0.0] * 20), (0.1, 0.5), random_state=0)
    for fraction, rows in training_fractions(y, (0.1, 0.5), random_state=0).items():
        counts = [np.bincount(found % 3, minlength=3).tolist() for found in (rows, expected[fraction])]
        assert counts[0] == counts[1]


# Overlap


def test_overlap_of_salts_and_stereoisomers():
    pretraining = ["C[C@H](N)C(=O)O", "CC(=O)[O-].[Na+]", "Oc1ccccn1"]
    X = ["N[C@@H](C)C(O)=O", "N[C@H](C)C(O)=O", "CC(N)C(=O)O", "CC(O)=O", "CCO", "O=c1cccc[nH]1"]
    np.testing.assert_array_equal(overlap(pretraining, X), [True, True, True, True, False, True])
    np.testing.assert_array_equal(overlap(pretraining, X, level="exact"), [True, False, False, True, False, False])
    np.testing.assert_array_equal(overlap(pretraining, X, standardize=None)[3], False)


def test_overlap_with_a_model():
    class Model(BaseEstimator):
        standardize = "parent"

        def fit(self, X, y=None):
            self.molecule_keys_ = np.array(["LFQSCWFLJHTTHZ"])  # ethanol
            return self

    X = ["CCO", "CC[O-].[Na+]", "CO"]
    model = Model().fit(X)
    for fitted in (model, FrozenEstimator(model), SimpleNamespace(molecule_keys_=["LFQSCWFLJHTTHZ"])):
        np.testing.assert_array_equal(overlap(fitted, X), [True, True, False])
    # the keys were made with the model's own standardisation, and so are those of X
    model.model_ = SimpleNamespace(standardize=None)
    np.testing.assert_array_equal(overlap(model, X), [True, False, False])
    with pytest.raises(ValueError, match="pass the molecules themselves"):
        overlap(model, X, level="exact")
    with pytest.raises(NotFittedError, match="Model has no molecule_keys_"):
        overlap(Model(), X)


def test_overlap_with_invalid_molecules():
    with pytest.raises(ValueError, match="1 of 2 rows of X"):
        overlap(["CCO"], ["CCO", "no molecule"])
    with pytest.raises(ValueError, match="1 of 2 pretraining molecules are not valid, the first in row 1"):
        overlap(["CCO", "no molecule"], ["CCO"])
    with pytest.warns(UserWarning, match="not valid") as caught:
        seen = overlap(["CCO", "no molecule"], ["CCO", None, "no molecule"], invalid="nan")
    np.testing.assert_array_equal(seen, [True, False, False])
    assert len(caught) == 2
    assert {warning.filename for warning in caught} == {__file__}


def test_overlap_with_nothing_in_common():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(overlap(["no molecule"], ["CCO"], invalid="nan"), [False])
    with pytest.raises(TypeError, match="pretraining must be a fitted model or a collection of molecules"):
        overlap("model.safetensors", ["CCO"])
    with pytest.raises(ValueError, match="level must be one of 'connectivity', 'exact', got 'scaffold'"):
        overlap(["CCO"], ["CCO"], level="scaffold")


# Real data


def test_published_folds_keep_stereoisomers_together():
    wells = real("bio_moshkov250")[["smiles", "split"]].iloc[:1500]
    folds_per_group = wells["split"].groupby(molecule_groups(wells["smiles"])).nunique()
    assert len(folds_per_group) < 1000
    assert (folds_per_group == 1).all()


def test_every_assay_is_trainable_at_one_percent():
    table = real("bio_hofmarcher209")
    Y = table.drop(columns=[c for c in table if c == "smiles" or c.startswith(("meta_", "split"))]).to_numpy()
    rows = training_fractions(Y, random_state=0)[0.01]
    assert len(rows) == round(0.01 * len(Y))
    assert ((Y[rows] == 0).any(axis=0) & (Y[rows] == 1).any(axis=0)).all()
