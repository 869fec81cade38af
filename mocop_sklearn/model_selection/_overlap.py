"""Which molecules a pretraining has seen."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

import numpy as np
from rdkit import Chem
from sklearn.exceptions import NotFittedError

from ..molecules._parse import Standardize, check_molecules, connectivity_key, report_invalid
from ._keys import check_choice, describe_rows, hashed_key


def overlap(
    pretraining: Any,
    X: Any,
    *,
    level: Literal["connectivity", "exact"] = "connectivity",
    seen: Literal["profile", "structure"] = "profile",
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
    seen : {"profile", "structure"}, default="profile"
        With a model: whether the molecule was seen with a profile, or at all, which includes the molecules of
        ``unlabeled``. Their structures, and what was regressed from them, took part in pretraining.
    standardize : {"parent", None} or callable, default="parent"
        As in :func:`molecule_groups`. With a model, the model's own takes its place.
    invalid : {"raise", "nan"}, default="raise"
        With ``"nan"``, rows of X that are not molecules are False, and pretraining molecules that are
        invalid are left out. One warning for each of the two gives their number.
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
    check_choice("level", level, ("connectivity", "exact"))
    check_choice("seen", seen, ("profile", "structure"))
    identity = connectivity_key if level == "connectivity" else Chem.MolToSmiles
    if hasattr(pretraining, "molecule_keys_"):
        if level == "exact":
            raise ValueError('A model keeps only connectivity keys: pass the molecules themselves for level="exact".')
        known_keys = set(pretraining.molecule_keys_)
        if seen == "structure":
            known_keys |= set(getattr(pretraining, "structure_keys_", ()))
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
        found, reasons = describe_rows(known, identity, standardize, invalid, n_jobs)
        _report_pretraining(reasons, len(known), invalid)
        known_keys = set(found) - {None}
    values = check_molecules(X)
    identities, reasons = describe_rows(values, identity, standardize, invalid, n_jobs)
    report_invalid(values, reasons, invalid)
    if any(key.startswith("#") for key in known_keys):  # a shipped model
        identities = [name and hashed_key(name) for name in identities]
    return np.array([name in known_keys for name in identities], dtype=bool)


def _report_pretraining(reasons: dict[int, str], n: int, invalid: str) -> None:
    if not reasons:
        return
    row, reason = min(reasons.items())
    message = f"{len(reasons)} of {n} pretraining molecules are not valid, the first in row {row} ({reason})"
    if invalid == "raise":
        raise ValueError(f'{message}. Remove them, or set invalid="nan" to leave them out.')
    warnings.warn(f"{message}; they are left out.", UserWarning, stacklevel=3)
