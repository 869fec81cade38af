"""Groups by molecule and by scaffold: molecules checked by hand, and invariances."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from rdkit import Chem
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold

from mocop_sklearn.model_selection import _keys, cluster_groups, molecule_groups, overlap, scaffold_groups
from tests.helpers.library import LIBRARY, real, same_partition

GROUPERS = [molecule_groups, scaffold_groups, cluster_groups]


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
    monkeypatch.setattr(_keys, "_CHUNK", 30)
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
    # the carbonyl of a linker does not belong to the framework
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


def test_published_folds_keep_stereoisomers_together():
    wells = real("bio_moshkov250")[["smiles", "split"]].iloc[:1500]
    folds_per_group = wells["split"].groupby(molecule_groups(wells["smiles"])).nunique()
    assert len(folds_per_group) < 1000
    assert (folds_per_group == 1).all()
