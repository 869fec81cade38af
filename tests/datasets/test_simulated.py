"""Simulated profiles: the documented equations, determinism, and the oracle's retrieval."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from simulation import planted_retrieval
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.profiles import feature_columns

pytestmark = pytest.mark.filterwarnings("error")

QUIET = {"noise": 0.0, "plate_effect": 0.0, "position_effect": 0.0, "outlier_fraction": 0.0}


@pytest.fixture(scope="module")
def data():
    return make_paired_profiles(n_molecules=800, n_features=60, random_state=0)


def effects(data):
    """Profiles with the planted plate effects removed."""
    plate = data.plate_of_well
    return (data.profiles - data.plate_offset[plate]) / data.plate_scale[plate]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        if name == "metadata":
            assert_same(a[name], b[name])
        else:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_shapes(data):
    n_plates = 4 * 3  # 800 molecules on plates with 384 - 16 free wells
    n_wells = 4 * 800 + 16 * n_plates
    for name in ("smiles", "is_control", "molecule_of_well", "plate_of_well", *data.metadata):
        values = data[name] if name in data else data.metadata[name]
        assert values.shape == (n_wells,), name
    for name in ("molecules", "active", "amplitude", "task"):
        assert data[name].shape == (800,), name
    assert data.profiles.shape == (n_wells, 60)
    assert data.profiles.dtype == np.float32
    assert data.latent.shape == (800, 8)
    assert data.clean_profiles.shape == (800, 60)
    assert data.plate_offset.shape == data.plate_scale.shape == (n_plates, 60)
    assert data.smiles.dtype == object
    assert "frame" not in data


def test_same_seed_same_arrays():
    kw = {"n_molecules": 60, "n_features": 20, "missing_fraction": 0.1, "outlier_fraction": 0.1}
    assert_same(make_paired_profiles(**kw, random_state=3), make_paired_profiles(**kw, random_state=3))
    assert_same(
        make_paired_profiles(**kw, random_state=3),
        make_paired_profiles(**kw, random_state=np.random.RandomState(3)),
    )
    other = make_paired_profiles(**kw, random_state=4)
    first = make_paired_profiles(**kw, random_state=3)
    assert set(first.molecules) != set(other.molecules)
    assert not np.allclose(first.latent, other.latent)
    assert not np.allclose(first.plate_offset, other.plate_offset)


def test_fewer_molecules_are_the_first_ones(data):
    few = make_paired_profiles(n_molecules=50, n_features=60, n_replicates=2, noise=0.3, random_state=0)
    for name in ("molecules", "latent", "active", "amplitude", "task"):
        np.testing.assert_array_equal(few[name], data[name][:50])
    np.testing.assert_allclose(few.clean_profiles, data.clean_profiles[:50])


def test_molecules_are_distinct_and_standardised(data):
    assert len(set(data.molecules)) == len(data.molecules)
    for smiles in data.molecules[:200]:
        mol = parse_molecule(smiles)
        assert Chem.MolToSmiles(mol) == smiles
        assert 6 <= mol.GetNumHeavyAtoms() <= 60
        assert any(atom.GetSymbol() == "C" for atom in mol.GetAtoms())


def test_plate_layout(data):
    assert data.is_control.tolist() == (data.molecule_of_well == -1).tolist()
    assert data.metadata["Metadata_IsNegcon"].tolist() == data.is_control.tolist()
    assert set(data.smiles[data.is_control]) == {"CS(C)=O"}
    assert set(data.metadata["Metadata_Compound"][data.is_control]) == {"DMSO"}
    assert (data.smiles[~data.is_control] == data.molecules[data.molecule_of_well[~data.is_control]]).all()
    assert np.bincount(data.plate_of_well[data.is_control]).tolist() == [16] * 12
    for molecule in (0, 399, 799):
        plates = data.plate_of_well[data.molecule_of_well == molecule]
        assert len(set(plates)) == len(plates) == 4
    places = set(zip(data.metadata["Metadata_Plate"], data.metadata["Metadata_Well"], strict=True))
    assert len(places) == len(data.smiles)
    wells = {f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)}
    assert set(data.metadata["Metadata_Well"]) == wells


def test_a_full_plate_of_controls_but_one():
    data = make_paired_profiles(n_molecules=3, n_features=5, n_replicates=2, n_controls_per_plate=383, random_state=0)
    assert data.profiles.shape == (6 * 384, 5)
    no_controls = make_paired_profiles(n_molecules=385, n_features=5, n_controls_per_plate=0, random_state=0)
    assert not no_controls.is_control.any()
    assert no_controls.plate_offset.shape == (8, 5)


def test_feature_names(data):
    assert len(set(data.feature_names)) == 60
    assert {name.split("_")[0] for name in data.feature_names} == {"Cells", "Cytoplasm", "Nuclei"}
    assert len(set(make_paired_profiles(n_molecules=1, n_features=3475, random_state=0).feature_names)) == 3475


def test_without_disturbance_a_well_shows_its_molecules_effect():
    data = make_paired_profiles(n_molecules=50, n_features=30, random_state=0, **QUIET)
    expected = np.vstack([data.clean_profiles, np.zeros(30)])[data.molecule_of_well]
    np.testing.assert_allclose(effects(data), expected, atol=1e-4)
    np.testing.assert_array_equal(np.ptp(data.plate_offset, axis=0), 0)


def test_controls_scatter_around_zero_once_plates_are_corrected():
    data = make_paired_profiles(
        n_molecules=400, n_features=40, n_controls_per_plate=192, plate_effect=2.0, position_effect=0.0,
        noise=0.7, outlier_fraction=0.0, random_state=0,
    )  # fmt: skip
    control = effects(data)[data.is_control]
    assert np.abs(control.mean(axis=0)).max() < 4 * 0.7 / np.sqrt(len(control))
    np.testing.assert_allclose(control.std(axis=0), 0.7, rtol=0.08)
    correlation = data.noise_loadings.T @ data.noise_loadings
    np.fill_diagonal(correlation, 1.0)
    np.testing.assert_allclose(np.corrcoef(control.T), correlation, atol=0.1)
    assert data.plate_offset.std(axis=0).min() > 0


def test_position_effect_is_a_plane_and_an_edge():
    quiet = QUIET | {"position_effect": 1.0}
    data = make_paired_profiles(n_molecules=200, n_features=5, inactive_fraction=1.0, random_state=0, **quiet)
    plate = data.plate_of_well == 0
    wells = data.metadata["Metadata_Well"][plate]
    row, column = np.array([ord(w[0]) - ord("A") for w in wells]), np.array([int(w[1:]) - 1 for w in wells])
    edge = (row == 0) | (row == 15) | (column == 0) | (column == 23)
    design = np.stack([row / 7.5 - 1, column / 11.5 - 1, edge], axis=1)
    effect = effects(data)[plate]
    coefficients = np.linalg.lstsq(design, effect, rcond=None)[0]
    np.testing.assert_allclose(design @ coefficients, effect, atol=1e-4)
    assert np.abs(coefficients).mean() > 0.2


def test_inactive_molecules_have_no_effect(data):
    assert 0.1 < 1 - data.active.mean() < 0.3
    assert not data.amplitude[~data.active].any()
    assert not data.clean_profiles[~data.active].any()
    assert (data.amplitude[data.active] > 0).all()
    assert data.amplitude[data.active].std() > 0.1
    assert np.abs(data.clean_profiles).max() < 4.0
    assert data.latent[~data.active].std() > 0.5


def test_latent_is_standardised_over_the_collection():
    with pytest.raises(ValueError, match="holds 4") as error:
        make_paired_profiles(n_molecules=10**6)
    n_all = int(str(error.value).split()[-1].rstrip("."))
    data = make_paired_profiles(n_molecules=n_all, n_features=2, n_latent=3, n_replicates=1, random_state=1)
    np.testing.assert_allclose(data.latent.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(data.latent.std(axis=0), 1)
    assert 0.295 < data.task.mean() < 0.305


def test_replicates_correlate_more_than_different_molecules(data):
    effect = np.clip(effects(data), -10, 10)
    rows = [np.flatnonzero(data.molecule_of_well == i) for i in range(200)]
    same = np.array([np.corrcoef(effect[a[0]], effect[a[1]])[0, 1] for a in rows])
    different = np.array([np.corrcoef(effect[a[0]], effect[b[1]])[0, 1] for a, b in pairwise(rows)])
    active = data.active[:200]
    assert same[active].mean() > 0.35
    assert abs(same[~active].mean()) < 0.15
    assert abs(different.mean()) < 0.1


def test_outliers_and_missing_values():
    data = make_paired_profiles(
        n_molecules=700, n_features=20, outlier_fraction=0.1, missing_fraction=0.03, random_state=0
    )
    effect = np.abs(effects(data))
    assert 0.02 < np.isnan(effect).mean() < 0.04
    wells = np.nanmax(effect, axis=1) > 90
    assert 0.07 < wells.mean() < 0.13
    assert (np.nansum(effect > 90, axis=1) <= 1).all()
    assert np.nanmax(effect) > 1e5


def test_more_latent_dimensions_do_not_make_effects_larger():
    sizes = [
        make_paired_profiles(n_molecules=300, n_latent=n, n_replicates=1, random_state=0).clean_profiles.std()
        for n in (2, 8, 32)
    ]
    assert max(sizes) < 1.5 * min(sizes)


def test_task_can_be_learned_but_not_perfectly(data):
    train, test = slice(0, 500), slice(500, None)
    assert set(data.task) == {0, 1}
    assert 0.25 < data.task.mean() < 0.36
    forest = RandomForestClassifier(random_state=0).fit(data.latent[train], data.task[train])
    planted = roc_auc_score(data.task[test], forest.predict_proba(data.latent[test])[:, 1])
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in data.molecules])
    linear = LogisticRegression(C=0.1, max_iter=500).fit(bits[train], data.task[train])
    structure = roc_auc_score(data.task[test], linear.predict_proba(bits[test])[:, 1])
    assert 0.65 < structure < 0.95
    assert 0.75 < planted < 0.99


def test_planted_retrieval_is_near_perfect_with_little_noise():
    """Over several draws of molecules and wells: a molecule whose wells hold outliers only cannot be found."""
    distinct, whole = [], []
    for seed in range(4):
        data = make_paired_profiles(n_molecules=300, noise=0.1, position_effect=0.0, random_state=seed)
        _, first = np.unique(data.clean_profiles, axis=0, return_index=True)
        report = planted_retrieval(data, first)
        assert report["n_candidates"] == len(first)
        distinct.append(report["top1"])
        whole.append(planted_retrieval(data)["top1"])
    assert np.mean(distinct) > 0.99
    # with equal effects in the pool the best is no longer 1
    assert np.mean(whole) < np.mean(distinct)


def test_planted_retrieval_is_at_chance_when_nothing_is_active():
    data = make_paired_profiles(n_molecules=400, inactive_fraction=1.0, random_state=0)
    report = planted_retrieval(data)
    assert abs(report["normalized_rank"] - 0.5) < 0.05
    assert report["top10"] < 3 * report["chance_top10"]


def test_planted_retrieval_falls_with_noise():
    reports = [
        planted_retrieval(make_paired_profiles(n_molecules=300, n_features=50, noise=noise, random_state=0))
        for noise in (0.3, 1.0, 3.0, 10.0)
    ]
    top1 = [report["top1"] for report in reports]
    assert top1 == sorted(top1, reverse=True)
    assert top1[-1] < 0.5 * top1[0]


def test_planted_retrieval_withstands_outliers_and_missing_values():
    kw = {"n_molecules": 200, "random_state": 0}
    clean = planted_retrieval(make_paired_profiles(**kw, outlier_fraction=0.0))
    dirty = planted_retrieval(make_paired_profiles(**kw, outlier_fraction=0.3, missing_fraction=0.1))
    assert dirty["top10"] > clean["top10"] - 0.05


def test_planted_retrieval_takes_rows_or_a_mask(data):
    by_mask = planted_retrieval(data, data.active, ks=(5,))
    by_rows = planted_retrieval(data, np.flatnonzero(data.active).tolist(), ks=(5,))
    assert by_mask == by_rows
    assert by_mask["n_candidates"] == data.active.sum()
    assert {"top5", "chance_top5"} <= by_mask.keys()
    assert by_mask["top5"] > planted_retrieval(data, ks=(5,))["top5"]


def test_as_frame():
    pandas = pytest.importorskip("pandas")
    kw = {"n_molecules": 20, "n_features": 15, "random_state": 0}
    data, arrays = make_paired_profiles(**kw, as_frame=True), make_paired_profiles(**kw)
    assert isinstance(data.metadata, pandas.DataFrame)
    assert data.frame.columns.tolist() == [
        "Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_SMILES", "Metadata_IsNegcon",
        *data.feature_names,
    ]  # fmt: skip
    assert feature_columns(data.frame) == data.feature_names.tolist()
    np.testing.assert_array_equal(data.frame[data.feature_names].to_numpy(), arrays.profiles)
    for name, values in arrays.metadata.items():
        assert data.frame[name].tolist() == values.tolist()


def test_as_frame_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"mocop-sklearn\[data\]"):
        make_paired_profiles(n_molecules=5, as_frame=True)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_molecules", 0),
        ("n_molecules", 10.0),
        ("n_features", 0),
        ("n_latent", 0),
        ("n_replicates", 0),
        ("n_controls_per_plate", 384),
        ("inactive_fraction", 1.5),
        ("noise", -1.0),
        ("plate_effect", -0.1),
        ("position_effect", -0.1),
        ("outlier_fraction", 2),
        ("missing_fraction", 1.0),
        ("as_frame", "yes"),
        ("random_state", "zero"),
    ],
)
def test_bad_parameters(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of make_paired_profiles"):
        make_paired_profiles(**{parameter: value})


def test_more_features_than_names():
    with pytest.raises(ValueError, match="n_features=10000, but there are names for 3756"):
        make_paired_profiles(n_features=10_000)
