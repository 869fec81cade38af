"""Clusters: parity with plain loops and with RDKit."""

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.ML.Cluster import Butina

from mocop_sklearn.model_selection import _clusters, cluster_groups
from tests.helpers.library import LIBRARY, same_partition


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
    monkeypatch.setattr(_clusters, "_TILE", 7)
    np.testing.assert_array_equal(cluster_groups(LIBRARY, threshold=0.6, method=method), want)


def test_numpy_integers_are_numbers():
    X = LIBRARY[:12]
    np.testing.assert_array_equal(
        cluster_groups(X, radius=np.int64(1), fp_size=np.int32(512)), cluster_groups(X, radius=1, fp_size=512)
    )


def test_auto_is_butina_until_there_are_too_many(monkeypatch):
    butina, leader = (cluster_groups(LIBRARY, threshold=0.6, method=m) for m in ("butina", "leader"))
    assert not same_partition(butina, leader)
    np.testing.assert_array_equal(cluster_groups(LIBRARY, threshold=0.6), butina)
    monkeypatch.setattr(_clusters, "_MAX_BUTINA", len(LIBRARY) - 1)
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
