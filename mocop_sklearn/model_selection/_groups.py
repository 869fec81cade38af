"""Groups of rows by molecule and by scaffold.

A group may go into ``GroupKFold``, ``GroupShuffleSplit`` or ``StratifiedGroupKFold`` as it is. The key of
a molecule is its connectivity (:func:`~mocop_sklearn.molecules.connectivity_key`). Scaffold and cluster
groups consist of whole molecule groups, so that no key is ever on two sides of a split. Groups are
numbered by their content, so that rows in another order keep their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolHash
from rdkit.Chem.Scaffolds import MurckoScaffold

from ..molecules._parse import Standardize, check_molecules, connectivity_key, report_invalid
from ._keys import check_choice, describe_rows, key_and_flat_smiles, map_chunks, number_groups, one_smiles_per_key


def molecule_groups(
    X: Any,
    *,
    standardize: Standardize = "parent",
    invalid: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Group the rows that hold the same molecule.

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
        With ``"nan"`` each row that is not a molecule is a group of its own (integers have no NaN), and
        one warning gives their number.
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
        When a row is not a molecule and ``invalid="raise"``, or a parameter is not one of its choices.

    Examples
    --------
    >>> from mocop_sklearn.model_selection import molecule_groups
    >>> groups = molecule_groups(["CC(=O)O", "CCO", "CC(=O)[O-].[Na+]"])
    >>> bool(groups[0] == groups[2] != groups[1])
    True
    """
    values = check_molecules(X)
    keys, reasons = describe_rows(values, connectivity_key, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    return number_groups(keys)


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
        False takes RDKit's scaffold, which includes atoms that are doubly bonded to it. True takes the
        graph framework: all atoms and all bonds are alike, and there are no side atoms.
    acyclic : {"molecule", "one"}, default="molecule"
        A molecule without rings has no scaffold. Each such molecule is a group of its own
        (``"molecule"``), or all of them are one group (``"one"``).
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
        When a row is not a molecule and ``invalid="raise"``, or a parameter is not one of its choices.

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
    check_choice("acyclic", acyclic, ("molecule", "one"))
    values = check_molecules(X)
    found, reasons = describe_rows(values, key_and_flat_smiles, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    flat = one_smiles_per_key(found)
    scaffolds = dict(zip(flat, map_chunks(_scaffold_chunk, list(flat.values()), n_jobs, generic), strict=True))
    if acyclic == "molecule":
        scaffolds = {key: scaffold or f"acyclic {key}" for key, scaffold in scaffolds.items()}
    return number_groups([None if item is None else scaffolds[item[0]] for item in found])


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
