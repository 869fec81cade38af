"""Tanimoto similarities, beside those of RDKit."""

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy import sparse

from mocop_sklearn.baselines import tanimoto_kernel
from mocop_sklearn.molecules import MorganCounts


@pytest.mark.parametrize("kind", ["counts", "bits"])
def test_similarities_are_those_of_rdkit(smiles, kind):
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    make = generator.GetCountFingerprint if kind == "counts" else generator.GetFingerprint
    fingerprints = [make(Chem.MolFromSmiles(s)) for s in smiles]
    expected = [[DataStructs.TanimotoSimilarity(a, b) for b in fingerprints] for a in fingerprints]
    rows = MorganCounts(log=False, standardize=None).fit(smiles).transform(smiles)
    rows = rows if kind == "counts" else rows > 0
    np.testing.assert_allclose(tanimoto_kernel(rows), expected, rtol=1e-6)


def test_many_rows_sparse_rows_and_two_sides_agree_with_the_definition():
    rng = np.random.default_rng(0)
    X, Y = rng.poisson(0.3, (7, 40)), rng.poisson(0.3, (1100, 40))
    smaller, larger = (f(X[:, None], Y[None]).sum(axis=2) for f in (np.minimum, np.maximum))
    expected = np.where(larger > 0, smaller / np.maximum(larger, 1), 1)
    np.testing.assert_allclose(tanimoto_kernel(X, Y), expected, rtol=1e-6)
    np.testing.assert_array_equal(tanimoto_kernel(sparse.csr_array(X), sparse.coo_array(Y)), tanimoto_kernel(X, Y))
    np.testing.assert_allclose(tanimoto_kernel(Y, X).T, tanimoto_kernel(X, Y))


def test_rows_of_zeros_are_alike():
    assert tanimoto_kernel([[0, 0]], [[0, 0], [1, 0]]).tolist() == [[1.0, 0.0]]


def test_stored_zeros_do_not_matter_and_stay():
    X = sparse.csr_array((np.array([2, 0, 1]), np.array([0, 1, 2]), np.array([0, 3])))
    assert tanimoto_kernel(X, [[2, 0, 1]]).tolist() == [[1.0]]
    assert X.data.tolist() == [2, 0, 1]


@pytest.mark.parametrize("value", [-1, 0.5, np.nan])
def test_what_is_not_a_count_is_refused(value):
    with pytest.raises(ValueError, match=r"Y must hold counts or bits.*log=False"):
        tanimoto_kernel([[1, 0]], [[1, value]])


def test_fingerprints_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="X has 2 columns and Y has 3"):
        tanimoto_kernel([[1, 0]], [[1, 0, 0]])
