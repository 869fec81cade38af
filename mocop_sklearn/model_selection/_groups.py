"""Groups for scikit-learn's own splitters, nested training fractions, and overlap with a pretraining set.

The groups go into ``GroupKFold``, ``GroupShuffleSplit`` or ``StratifiedGroupKFold`` as they are. A
molecule's key is the connectivity of :func:`~mocop_sklearn.molecules.connectivity_key`: scaffold and
cluster groups are made of whole molecule groups, so that no key is ever on two sides of a split.
Groups are numbered by content: rows in another order get the same numbers in that order.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdMolHash
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.SimDivFilters import rdSimDivPickers
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils._missing import is_pandas_na

from ..molecules._parse import (
    InvalidMolecule,
    Standardize,
    check_molecules,
    check_standardize,
    connectivity_key,
    parse_molecule,
    report_invalid,
    unique_molecules,
)
from ..utils._arrays import as_array

__all__ = ["cluster_groups", "molecule_groups", "overlap", "scaffold_groups", "training_fractions"]

_CHUNK = 1024  # molecules a job
_TILE = 2048  # molecules on each side of one block of similarities
_MAX_BUTINA = 10_000  # distinct molecules for which method="auto" compares all pairs
_UNLABELLED = 0  # the first label, of rows without any
_ROUNDING = 1e-9  # far below the gap between two different Tanimoto distances


def molecule_groups(
    X: Any,
    *,
    standardize: Standardize = "parent",
    invalid: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Group the rows that hold one molecule.

    Salts, charge states, stereoisomers and isotopologues of a compound share a group. So do most
    tautomers that differ by a hydrogen on a heteroatom, which standard InChI treats as one; keto
    and enol forms do not, nor azo compounds and hydrazones.

    Parameters
    ----------
    X : list, tuple, ndarray, Series, one-column DataFrame or (n_samples, 1) array
        SMILES strings or RDKit molecules.
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`. With None, a salt is another molecule.
    invalid : {"raise", "nan"}, default="raise"
        With ``"nan"`` each row that is no molecule is a group of its own (integers have no NaN), and
        one warning has their count.
    n_jobs : int, default=None
        Processes, as in joblib.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Group of each row of X, from 0.

    Raises
    ------
    TypeError
        When X is not a collection of molecules.
    ValueError
        When a row is no molecule and ``invalid="raise"``, or a parameter is not one of its choices.

    Examples
    --------
    >>> from mocop_sklearn.model_selection import molecule_groups
    >>> groups = molecule_groups(["CC(=O)O", "CCO", "CC(=O)[O-].[Na+]"])
    >>> bool(groups[0] == groups[2] != groups[1])
    True
    """
    values = check_molecules(X)
    keys, reasons = _describe(values, connectivity_key, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    return _number(keys)


def scaffold_groups(
    X: Any,
    *,
    generic: bool = False,
    acyclic: Literal["molecule", "one"] = "molecule",
    standardize: Standardize = "parent",
    invalid: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Group the rows by Bemis-Murcko scaffold, the rings and the chains between them.

    Scaffolds carry no stereochemistry. Each distinct molecule has one scaffold, read from the
    tautomer whose SMILES without stereochemistry sorts first among the rows.

    Parameters
    ----------
    X : list, tuple, ndarray, Series, one-column DataFrame or (n_samples, 1) array
        SMILES strings or RDKit molecules.
    generic : bool, default=False
        False takes RDKit's scaffold, in which atoms doubly bonded to it count; True takes the graph
        framework: every atom and every bond alike, without side atoms.
    acyclic : {"molecule", "one"}, default="molecule"
        Molecules without rings have no scaffold: each is a group of its own (``"molecule"``), or
        all of them are one group (``"one"``).
    standardize : {"parent", None} or callable, default="parent"
        As in :func:`molecule_groups`.
    invalid : {"raise", "nan"}, default="raise"
        As in :func:`molecule_groups`.
    n_jobs : int, default=None
        Processes, as in joblib.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Group of each row of X, from 0.

    Raises
    ------
    TypeError
        When X is not a collection of molecules.
    ValueError
        When a row is no molecule and ``invalid="raise"``, or a parameter is not one of its choices.

    References
    ----------
    .. [1] Bemis and Murcko, The properties of known drugs. 1. Molecular frameworks,
       J. Med. Chem. 1996, 39, 2887.

    Examples
    --------
    >>> from mocop_sklearn.model_selection import scaffold_groups
    >>> benzene, toluene, pyridine = scaffold_groups(["c1ccccc1", "Cc1ccccc1", "c1ccncc1"])
    >>> bool(benzene == toluene != pyridine)
    True
    >>> scaffold_groups(["c1ccccc1", "Cc1ccccc1", "c1ccncc1"], generic=True)
    array([0, 0, 0])
    """
    _check_choice("acyclic", acyclic, ("molecule", "one"))
    values = check_molecules(X)
    found, reasons = _describe(values, _key_and_flat_smiles, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    flat = _one_smiles_per_key(found)
    scaffolds = dict(zip(flat, _map(_scaffold_chunk, list(flat.values()), n_jobs, generic), strict=True))
    if acyclic == "molecule":
        scaffolds = {key: scaffold or f"acyclic {key}" for key, scaffold in scaffolds.items()}
    return _number([None if item is None else scaffolds[item[0]] for item in found])


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
          the order of their keys, which is as good as random: a molecule near no leader is a new
          one. Then each molecule joins its nearest leader. Dense regions are not found first, so the
          clusters are more and of more equal size; memory is about 1 kB a molecule.
        - ``"auto"`` is Butina for up to 10,000 distinct molecules, then leader.
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
        When a row is no molecule and ``invalid="raise"``, or a parameter is out of its range.

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
    _check_choice("method", method, ("auto", "butina", "leader"))
    check_scalar(threshold, "threshold", Real, min_val=0, max_val=1, include_boundaries="left")
    if np.isnan(threshold):
        raise ValueError("threshold is NaN, but must be a number from 0 to below 1.")
    check_scalar(radius, "radius", Integral, min_val=0)
    check_scalar(fp_size, "fp_size", Integral, min_val=1)
    values = check_molecules(X)
    found, reasons = _describe(values, _key_and_flat_smiles, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    flat = _one_smiles_per_key(found)
    fingerprints = [
        DataStructs.CreateFromBinaryText(text)
        for text in _map(_fingerprint_chunk, list(flat.values()), n_jobs, radius, fp_size)
    ]
    if method == "auto":
        method = "butina" if len(fingerprints) <= _MAX_BUTINA else "leader"
    centers = (_butina if method == "butina" else _leader)(fingerprints, threshold + _ROUNDING)
    keys = list(flat)
    center_of_key = {key: keys[center] for key, center in zip(keys, centers, strict=True)}
    return _number([None if item is None else center_of_key[item[0]] for item in found])


def training_fractions(
    y: Any,
    fractions: Iterable[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
    *,
    groups: Any = None,
    random_state: Any = None,
) -> dict[float, np.ndarray]:
    """Nested, stratified training sets for a learning curve.

    All rows are put in one random order in which every label is spread evenly, as far as the labels
    allow, and a training set is a beginning of that order. So each holds the smaller ones.

    Parameters
    ----------
    y : array-like, shape (n_samples,) or (n_samples, n_tasks)
        Labels; None and NaN mean not measured. Values with a fraction, and whole numbers that occur
        fewer than five times on average, are cut at quantiles (tenths, or halves in each of several
        tasks); other values are classes.
    fractions : iterable of float, default=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
        Share of the rows in each training set, above 0 and at most 1.
    groups : array-like, shape (n_samples,), default=None
        Rows of one group stay together.
    random_state : int, RandomState instance or None, default=None
        Seed. The same seed with the rows in another order draws other rows: sizes and, without
        groups, the class counts of a 1-D y stay.

    Returns
    -------
    dict of float to ndarray of int64
        For each fraction the sorted indices of its rows, at least one. The size is fraction ×
        n_samples, rounded, or about that when whole groups do not add up to it: a group that is too
        large waits for a larger fraction.

    Raises
    ------
    ValueError
        When a fraction is out of range or none is given, when y has more than two dimensions or an
        infinite value, or when groups has missing values, mixes types or has another length than y.

    Notes
    -----
    In the order, the k-th of the n rows of a label stands at about (k + 1/2) / n, and one row of
    each label stands at the very beginning: even the smallest set holds each label if it has room.
    The class counts of a 1-D y are then within one of proportional, but for the places that rare classes
    take first from the others. Where labels overlap, with several
    tasks or with groups, they are placed from the rarest to the commonest, each filling the gaps that
    its rows placed before have left, in the manner of iterative stratification [1]_. With tens of
    tasks this is nearer to proportional than a random draw; with hundreds, the smallest sets trade
    that for holding each label: of 250 assays with 3 % actives, 1 % of the rows has 9 % actives.

    References
    ----------
    .. [1] Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.model_selection import training_fractions
    >>> y = np.repeat([0, 1], [90, 10])
    >>> subsets = training_fractions(y, (0.02, 0.1, 0.5), random_state=0)
    >>> {fraction: np.bincount(y[rows]).tolist() for fraction, rows in subsets.items()}
    {0.02: [1, 1], 0.1: [9, 1], 0.5: [45, 5]}
    """
    fractions = _check_fractions(fractions)
    y = check_array(_without_na(y), dtype=None, ensure_2d=False, ensure_all_finite="allow-nan")
    rng = check_random_state(random_state)
    unit = np.arange(len(y)) if groups is None else _check_groups(groups, len(y))
    membership = sp.csr_array((np.ones(len(unit), dtype=np.int64), (unit, np.arange(len(unit)))))
    labels = membership @ _labels(y)
    order = _stratified_order(labels, rarest_first=y.ndim == 2 or groups is not None, rng=rng)
    chosen = _nested_beginnings(order, np.bincount(unit), fractions)
    return {fraction: np.flatnonzero(chosen[fraction][unit]) for fraction in fractions}


def overlap(
    pretraining: Any,
    X: Any,
    *,
    level: Literal["connectivity", "exact"] = "connectivity",
    standardize: Standardize = "parent",
    invalid: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Tell which rows of X are molecules that pretraining has seen.

    Parameters
    ----------
    pretraining : MoCoPEmbedder or collection of str or Mol
        A fitted model (any object with ``molecule_keys_``), or the molecules themselves.
    X : list, tuple, ndarray, Series, one-column DataFrame or (n_samples, 1) array
        SMILES strings or RDKit molecules.
    level : {"connectivity", "exact"}, default="connectivity"
        ``"connectivity"`` ignores stereochemistry and isotopes, as :func:`molecule_groups` does;
        ``"exact"`` compares canonical SMILES, for which the pretraining molecules are needed.
    standardize : {"parent", None} or callable, default="parent"
        As in :func:`molecule_groups`. With a model, the model's own takes its place.
    invalid : {"raise", "nan"}, default="raise"
        With ``"nan"`` rows of X that are no molecules are False and pretraining molecules that are
        none are left out, each with one warning that has their count.
    n_jobs : int, default=None
        Processes, as in joblib.

    Returns
    -------
    ndarray of bool, shape (n_samples,)
        True where pretraining holds the molecule.

    Raises
    ------
    NotFittedError
        When ``pretraining`` is an estimator that has not been fitted.
    TypeError
        When X or ``pretraining`` is not a collection of molecules.
    ValueError
        When a molecule is invalid and ``invalid="raise"``, when ``level="exact"`` meets a model, or
        when a parameter is not one of its choices.

    Examples
    --------
    >>> from mocop_sklearn.model_selection import overlap
    >>> overlap(["C[C@H](N)C(=O)O"], ["C[C@@H](N)C(=O)O", "CCO"])
    array([ True, False])
    >>> overlap(["C[C@H](N)C(=O)O"], ["C[C@@H](N)C(=O)O", "CCO"], level="exact")
    array([False, False])
    """
    _check_choice("level", level, ("connectivity", "exact"))
    identity = connectivity_key if level == "connectivity" else Chem.MolToSmiles
    if hasattr(pretraining, "molecule_keys_"):
        if level == "exact":
            raise ValueError('A model keeps only connectivity keys: pass the molecules themselves for level="exact".')
        seen = set(pretraining.molecule_keys_)
        standardize = getattr(getattr(pretraining, "model_", pretraining), "standardize", standardize)
    elif hasattr(pretraining, "fit"):
        raise NotFittedError(
            f"{type(pretraining).__name__} has no molecule_keys_: pass a fitted MoCoPEmbedder (a step of a "
            "pipeline, not the pipeline), or the pretraining molecules."
        )
    else:
        if isinstance(pretraining, (str, os.PathLike)):
            raise TypeError(
                f"pretraining must be a fitted model or a collection of molecules, got the text {str(pretraining)!r}. "
                "Open a model file with MoCoPEmbedder.load."
            )
        known = check_molecules(pretraining)
        found, reasons = _describe(known, identity, standardize, invalid, n_jobs)
        _report_pretraining(reasons, len(known), invalid)
        seen = set(found) - {None}
    values = check_molecules(X)
    identities, reasons = _describe(values, identity, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    return np.array([name in seen for name in identities], dtype=bool)


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _report_pretraining(reasons: dict[int, str], n: int, invalid: str) -> None:
    if not reasons:
        return
    row, reason = min(reasons.items())
    message = f"{len(reasons)} of {n} pretraining molecules are not valid, the first in row {row} ({reason})"
    if invalid == "raise":
        raise ValueError(f'{message}. Remove them, or set invalid="nan" to leave them out.')
    warnings.warn(f"{message}; they are left out.", UserWarning, stacklevel=3)


# Molecules


def _describe(
    values: Sequence[Any],
    describe: Callable[[Chem.Mol], Any],
    standardize: Standardize,
    invalid: str,
    n_jobs: int | None,
) -> tuple[list[Any], dict[int, str]]:
    """``describe(molecule)`` for each row, None where there is none, and the reasons of those rows."""
    check_standardize(standardize)
    _check_choice("invalid", invalid, ("raise", "nan"))
    unique, inverse = unique_molecules(values)
    found = _map(_describe_chunk, unique, n_jobs, describe, standardize)
    rows = [found[i] for i in inverse]
    reasons = {row: str(item) for row, item in enumerate(rows) if isinstance(item, InvalidMolecule)}
    return [None if row in reasons else item for row, item in enumerate(rows)], reasons


def _describe_chunk(values: Sequence[Any], describe: Callable[[Chem.Mol], Any], standardize: Standardize) -> list[Any]:
    found: list[Any] = []
    for value in values:
        try:
            found.append(describe(parse_molecule(value, standardize)))
        except InvalidMolecule as error:
            found.append(error)
    return found


def _map(function: Callable[..., list[Any]], values: Sequence[Any], n_jobs: int | None, *args: Any) -> list[Any]:
    """``function`` over chunks of ``values``, the results joined."""
    chunks = (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
    parts = Parallel(n_jobs=n_jobs)(delayed(function)(chunk, *args) for chunk in chunks)
    return [item for part in parts for item in part]


def _key_and_flat_smiles(mol: Chem.Mol) -> tuple[str, str]:
    return connectivity_key(mol), Chem.MolToSmiles(mol, isomericSmiles=False)


def _one_smiles_per_key(found: Iterable[tuple[str, str] | None]) -> dict[str, str]:
    """The first SMILES of each key, in the order of the keys: the same whatever the order of rows."""
    flat: dict[str, str] = {}
    for item in found:
        if item is not None:
            key, smiles = item
            flat[key] = min(smiles, flat.get(key, smiles))
    return dict(sorted(flat.items()))


def _number(labels: Sequence[str | None]) -> np.ndarray:
    """Labels → integers in sorted order; each None gets a number of its own, after all others."""
    valid = np.array([label is not None for label in labels])
    groups = np.empty(len(labels), dtype=np.int64)
    names, groups[valid] = np.unique(np.array([x for x in labels if x is not None], dtype=str), return_inverse=True)
    groups[~valid] = len(names) + np.arange(len(labels) - valid.sum())
    return groups


def _scaffold_chunk(smiles: Sequence[str], generic: bool) -> list[str]:
    return [_scaffold(Chem.MolFromSmiles(s), generic) for s in smiles]


def _scaffold(mol: Chem.Mol, generic: bool) -> str:
    """SMILES of the scaffold, empty for an acyclic molecule."""
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)
    if generic and scaffold.GetNumAtoms():
        # dummy atoms, unlike the carbons of MakeScaffoldGeneric, may have any number of neighbours
        framework = Chem.MolFromSmiles(rdMolHash.MolHash(scaffold, rdMolHash.HashFunction.AnonymousGraph))
        scaffold = MurckoScaffold.GetScaffoldForMol(framework)
    return Chem.MolToSmiles(scaffold, isomericSmiles=False)


# Clusters


def _fingerprint_chunk(smiles: Sequence[str], radius: int, fp_size: int) -> list[bytes]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=fp_size)
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


# Training fractions


def _check_fractions(fractions: Any) -> list[float]:
    listed = list(fractions) if np.iterable(fractions) else []
    if not listed or not all(isinstance(fraction, Real) and 0 < float(fraction) <= 1 for fraction in listed):
        raise ValueError(
            f"fractions must be a list of one or more numbers above 0 and at most 1, got {listed or fractions!r}."
        )
    return listed


def _check_groups(groups: Any, n: int) -> np.ndarray:
    groups = _without_na(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups must have one value for each of the {n} rows of y, got shape {groups.shape}.")
    if _missing(groups).any():
        raise ValueError("groups has missing values; give each such row a group of its own.")
    try:
        return np.unique(groups, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"groups mixes values that have no order: {error}. Make them all strings.") from error


def _without_na(values: Any) -> Any:
    """An array, in which pandas' NA is None, for NumPy cannot compare NA; a sparse matrix as it came."""
    if sp.issparse(values):
        return values
    array = as_array(values)
    if array.dtype == object and array.size:
        array = array.copy()
        array[np.vectorize(is_pandas_na, otypes=[bool])(array)] = None
    return array


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype != object:
        return values != values
    return np.array([value is None or value != value for value in values], dtype=bool)


def _labels(y: np.ndarray) -> sp.csr_array:
    """Which row has which (task, class or quantile) label; ``_UNLABELLED`` is of rows with nothing measured."""
    tasks = y.reshape(len(y), -1)
    measured = np.column_stack([~_missing(task) for task in tasks.T])
    rows = [np.flatnonzero(~measured.any(axis=1))]
    columns = [np.full_like(rows[0], _UNLABELLED)]
    n_labels = 1
    for task, known in zip(tasks.T, measured.T, strict=True):
        values, codes = np.unique(_strata(task[known], 10 if y.ndim == 1 else 2), return_inverse=True)
        rows.append(np.flatnonzero(known))
        columns.append(codes + n_labels)
        n_labels += len(values)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_array((np.ones(len(row), dtype=np.int64), (row, column)), shape=(len(y), n_labels))


def _strata(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Classes as they are, measurements as the number of their quantile."""
    if values.dtype == object:
        try:
            values = values.astype(float)
        except (TypeError, ValueError):
            return values.astype(str)
        if not np.isfinite(values).all():
            raise ValueError("y has an infinite value.")
    if values.dtype.kind not in "iuf":
        return values
    n_distinct = len(np.unique(values))
    whole = bool((values == np.round(values)).all())
    if n_distinct <= 2 or (whole and n_distinct <= len(values) / 5):
        return values
    n_bins = max(1, min(n_bins, len(values) // 5))
    return np.searchsorted(np.quantile(values, np.arange(1, n_bins) / n_bins), values)


def _stratified_order(labels: sp.csr_array, rarest_first: bool, rng: np.random.RandomState) -> np.ndarray:
    """Order of the units (rows, or groups of them) in which each label is spread evenly.

    ``labels[u, l]`` counts the rows of unit u with label l; every unit has a label.
    """
    time = np.full(labels.shape[0], np.nan)
    turn = np.zeros(labels.shape[0])
    kind = _equal_rows(labels)
    by_label = labels.tocsc()
    totals = np.asarray(labels.sum(axis=0)).ravel()
    order = np.argsort(totals if rarest_first else -totals, kind="stable")
    for i, label in enumerate(order[totals[order] > 0]):
        segment = slice(by_label.indptr[label], by_label.indptr[label + 1])
        members, weights = by_label.indices[segment], by_label.data[segment]
        placed = ~np.isnan(time[members])
        new = np.flatnonzero(~placed)
        if len(new):
            new = new[_mixed(kind[members[new]], rng)]
            slots = _free_slots(np.repeat(time[members[placed]], weights[placed]), totals[label])
            starts = np.cumsum(weights[new]) - weights[new]
            middle = np.add.reduceat(slots, starts) / weights[new] + 0.5
            time[members[new]] = middle / totals[label]
            turn[members[new]] = i
        first = members[np.argmin(time[members])]
        if time[first] > 0 and label != _UNLABELLED:
            time[first], turn[first] = 0, i
    return np.lexsort((turn, time))


def _equal_rows(labels: sp.csr_array) -> np.ndarray:
    """Number of the set of labels that each unit has."""
    labels.sort_indices()
    sets = [labels.indices[i:j].tobytes() for i, j in pairwise(labels.indptr)]
    return np.unique(np.array(sets, dtype=object), return_inverse=True)[1]


def _mixed(kinds: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Random order of units in which those of one kind are spread evenly."""
    order = rng.permutation(len(kinds))
    order = order[np.argsort(kinds[order], kind="stable")]
    _, first, kind, count = np.unique(kinds[order], return_index=True, return_inverse=True, return_counts=True)
    position = (np.arange(len(order)) - first[kind] + rng.uniform(size=len(count))[kind]) / count[kind]
    return order[np.argsort(position)]


def _free_slots(taken: np.ndarray, n_slots: int) -> np.ndarray:
    """Those of the slots 0 to n_slots - 1 that the times ``taken``, between 0 and 1, leave free."""
    step = np.arange(len(taken))
    slots = np.floor(np.sort(taken) * n_slots).astype(np.int64)
    slots = np.maximum.accumulate(slots - step) + step  # one slot each, the next one when it is taken
    slots = np.minimum(slots, n_slots - len(taken) + step)
    return np.delete(np.arange(n_slots), slots)


def _nested_beginnings(order: np.ndarray, sizes: np.ndarray, fractions: Iterable[float]) -> dict[float, np.ndarray]:
    """For each fraction a mask of units whose sizes sum up to about that fraction, nested."""
    chosen = np.zeros(len(order), dtype=bool)
    filled, masks = 0, {}
    for fraction in sorted(set(fractions)):
        target = fraction * sizes.sum()
        for u in order:
            if not chosen[u] and sizes[u] < 2 * (target - filled):
                chosen[u] = True
                filled += sizes[u]
        if not filled:
            smallest = order[np.argmin(sizes[order])]
            chosen[smallest] = True
            filled = sizes[smallest]
        masks[fraction] = chosen.copy()
    return masks
