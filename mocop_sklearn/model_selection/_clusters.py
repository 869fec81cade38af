"""Groups of rows by similarity of their fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters import rdSimDivPickers
from sklearn.utils import check_scalar

from ..molecules._parse import Standardize, check_molecules, report_invalid
from ._keys import check_choice, describe_rows, key_and_flat_smiles, map_chunks, number_groups, one_smiles_per_key

_TILE = 2048  # molecules on each side of one block of similarities
_MAX_BUTINA = 10_000  # distinct molecules for which method="auto" compares all pairs
_ROUNDING = 1e-9  # far below the gap between two different Tanimoto distances


def cluster_groups(
    X: Any,
    *,
    threshold: float = 0.35,
    method: Literal["auto", "butina", "leader"] = "auto",
    radius: int = 2,
    fp_size: int = 2048,
    standardize: Standardize = "parent",
    invalid: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Group the rows by similarity of their Morgan fingerprints (bits, without stereochemistry).

    Both methods give clusters around centres: every molecule lies within ``threshold`` of its
    centre, and no two centres lie within ``threshold`` of each other. Two molecules near the edges
    of neighbouring clusters may still be more alike than that.

    Parameters
    ----------
    X : list, tuple, ndarray, Series, one-column DataFrame or (n_samples, 1) array
        SMILES strings or RDKit molecules.
    threshold : float, default=0.35
        Largest Tanimoto distance (1 - similarity) to a centre, included; 0 ≤ threshold < 1.
    method : {"auto", "butina", "leader"}, default="auto"
        - ``"butina"`` [1]_ compares all pairs. The molecule with the most neighbours is the first
          centre and takes all of them; ties go to the key that sorts last. Its memory grows with
          the number of pairs within the threshold.
        - ``"leader"`` (sphere exclusion, Sayle's algorithm in RDKit) runs through the molecules in
          the order of their keys, which is as good as random. A molecule that is near no leader becomes
          a leader. Then each molecule joins its nearest leader. Dense regions are not found first, so
          there are more clusters, and their sizes are more equal. Memory is about 1 kB a molecule.
        - ``"auto"`` is Butina for up to 10,000 distinct molecules, and leader beyond.
    radius : int, default=2
        Radius of the Morgan fingerprint, in bonds.
    fp_size : int, default=2048
        Bits of the fingerprint.
    standardize : {"parent", None} or callable, default="parent"
        As in :func:`molecule_groups`.
    invalid : {"raise", "nan"}, default="raise"
        As in :func:`molecule_groups`.
    n_jobs : int, default=None
        Processes that parse, as in joblib. Similarities use the threads of numpy's BLAS.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Group of each row of X, from 0.

    Raises
    ------
    TypeError
        When X is not a collection of molecules or a parameter has the wrong type.
    ValueError
        When a row is not a molecule and ``invalid="raise"``, or a parameter is out of its range.

    References
    ----------
    .. [1] Butina, Unsupervised data base clustering based on Daylight's fingerprint and Tanimoto
       similarity, J. Chem. Inf. Comput. Sci. 1999, 39, 747.

    Examples
    --------
    >>> from mocop_sklearn.model_selection import cluster_groups
    >>> decane, undecane, phenol = cluster_groups(["CCCCCCCCCC", "CCCCCCCCCCC", "Oc1ccccc1"])
    >>> bool(decane == undecane != phenol)
    True
    """
    check_choice("method", method, ("auto", "butina", "leader"))
    check_scalar(threshold, "threshold", Real, min_val=0, max_val=1, include_boundaries="left")
    if np.isnan(threshold):
        raise ValueError("threshold is NaN, but must be a number from 0 to below 1.")
    check_scalar(radius, "radius", Integral, min_val=0)
    check_scalar(fp_size, "fp_size", Integral, min_val=1)
    values = check_molecules(X)
    found, reasons = describe_rows(values, key_and_flat_smiles, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    flat = one_smiles_per_key(found)
    fingerprints = [
        DataStructs.CreateFromBinaryText(text)
        for text in map_chunks(_fingerprint_chunk, list(flat.values()), n_jobs, radius, fp_size)
    ]
    if method == "auto":
        method = "butina" if len(fingerprints) <= _MAX_BUTINA else "leader"
    centers = (_butina if method == "butina" else _leader)(fingerprints, threshold + _ROUNDING)
    keys = list(flat)
    center_of_key = {key: keys[center] for key, center in zip(keys, centers, strict=True)}
    return number_groups([None if item is None else center_of_key[item[0]] for item in found])


def _fingerprint_chunk(smiles: Sequence[str], radius: int, fp_size: int) -> list[bytes]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=int(radius), fpSize=int(fp_size))
    return [DataStructs.BitVectToBinaryText(generator.GetFingerprint(Chem.MolFromSmiles(s))) for s in smiles]


def _butina(fingerprints: list[Any], threshold: float) -> np.ndarray:
    """Centre of each molecule: RDKit's Butina without its matrix of all distances."""
    n = len(fingerprints)
    neighbors: list[np.ndarray] = []
    for start in range(0, n, _TILE):
        rows = _bits(fingerprints[start : start + _TILE])
        near = [_distances(rows, _bits(fingerprints[i : i + _TILE])) <= threshold for i in range(0, n, _TILE)]
        neighbors += [np.flatnonzero(row).astype(np.int32) for row in np.hstack(near)]
    centers = np.full(n, -1)
    n_neighbors = np.array([len(row) for row in neighbors], dtype=np.int64)
    for center in np.lexsort((np.arange(n), n_neighbors))[::-1]:
        if centers[center] < 0:
            free = neighbors[center][centers[neighbors[center]] < 0]
            centers[free] = center
    return centers


def _leader(fingerprints: list[Any], threshold: float) -> np.ndarray:
    """Centre of each molecule: its nearest leader, the first of equals."""
    n = len(fingerprints)
    leaders = np.zeros(0, dtype=np.int64)
    if n:
        leaders = np.sort(rdSimDivPickers.LeaderPicker().LazyBitVectorPick(fingerprints, n, threshold))
    centers = np.arange(n)
    others = np.setdiff1d(centers, leaders)
    for start in range(0, len(others), _TILE):
        rows = others[start : start + _TILE]
        bits = _bits([fingerprints[i] for i in rows])
        nearest = np.full(len(rows), np.inf)
        for first in range(0, len(leaders), _TILE):
            tile = leaders[first : first + _TILE]
            distance = _distances(bits, _bits([fingerprints[i] for i in tile]))
            best = distance.argmin(axis=1)
            best_distance = distance[np.arange(len(rows)), best]
            closer = best_distance < nearest
            centers[rows[closer]] = tile[best[closer]]
            nearest[closer] = best_distance[closer]
    return centers


def _bits(fingerprints: list[Any]) -> np.ndarray:
    """Bit vectors → float32 of 0 and 1, shape (n, n_bits)."""
    n_bits = fingerprints[0].GetNumBits()
    packed = np.frombuffer(b"".join(map(DataStructs.BitVectToBinaryText, fingerprints)), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(fingerprints), -1), axis=1, bitorder="little")
    return bits[:, :n_bits].astype(np.float32)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tanimoto distances of bits, shape (len(a), len(b))."""
    common = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1) - common
    return 1 - common.astype(np.float64) / union
