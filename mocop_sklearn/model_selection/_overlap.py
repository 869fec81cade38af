"""Which molecules a pretraining has seen."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

import numpy as np
from sklearn.exceptions import NotFittedError

from ..model_file._compact import hashed_key
from ..molecules._parse import Standardize, check_molecules, connectivity_key, report_invalid
from ._keys import canonical, check_choice, describe_rows
from ._seen import keys_of, models_in, opened


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
    pretraining : estimator, str, Path, PairedProfiles or collection of str or Mol
        A fitted estimator of this package, baselines included, or a fitted Pipeline, union or search that holds models;
        the name or the file of a model; or the molecules themselves, as a collection, as pairs, in a file or in a
        stored corpus. Of several models, what any of them has seen counts.
    X : list, tuple, ndarray, Series, one-column DataFrame, (n_samples, 1) array, or the path of a file
        SMILES strings or RDKit molecules.
    level : {"connectivity", "exact"}, default="connectivity"
        ``"connectivity"`` ignores stereochemistry and isotopes, as :func:`molecule_groups` does;
        ``"exact"`` compares canonical SMILES, for which the pretraining molecules are needed.
    seen : {"profile", "structure"}, default="profile"
        With a model: whether the molecule was seen with a profile, or at all, which includes the molecules of
        ``unlabeled``. Their structures, and what was regressed from them, took part in pretraining. Molecules with
        labels count as those with a profile. A model that starts from another knows what that has seen.
    standardize : {"parent", None} or callable, default="parent"
        As in :func:`molecule_groups`. With a model, the model's own takes its place. A file whose model was trained
        with a function needs that again.
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
        When ``pretraining`` is an estimator without a fitted model of this package.
    FileNotFoundError
        When ``pretraining`` is a text, but neither a file nor the name of a model.
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
    values = check_molecules(opened(X, standardize) if _is_file(X) else X)
    known = opened(pretraining, standardize)
    models = models_in(known)
    if models and level == "exact":
        raise ValueError('A model keeps only connectivity keys: pass the molecules themselves for level="exact".')
    if not models and hasattr(known, "fit"):
        raise NotFittedError(
            f"{type(known).__name__} holds no fitted model of this package, which would have molecule_keys_: pass a "
            "fitted MoCoPEmbedder, a fitted Pipeline or search with one, a model file, or the pretraining molecules."
        )
    identity = connectivity_key if level == "connectivity" else canonical
    sources = [
        (keys_of(model, seen), getattr(getattr(model, "model_", model), "standardize", standardize)) for model in models
    ]
    if not models:
        known = check_molecules(known)
        identities, reasons = describe_rows(known, identity, standardize, invalid, n_jobs)
        _report_pretraining(reasons, len(known), invalid)
        sources = [(set(identities) - {None}, standardize)]
    found = np.zeros(len(values), dtype=bool)
    for keys, own in sources:
        identities, reasons = describe_rows(values, identity, own, invalid, n_jobs)
        found |= np.array([name in keys for name in identities], dtype=bool)
        if any(key.startswith("#") for key in keys):  # of a shipped model; what starts from it adds keys of its own
            found |= np.array([name is not None and hashed_key(name) in keys for name in identities], dtype=bool)
    report_invalid(values, reasons, invalid)
    return found


def _is_file(X: Any) -> bool:
    return isinstance(X, os.PathLike) or (isinstance(X, str) and os.path.exists(X))


def _report_pretraining(reasons: dict[int, str], n: int, invalid: str) -> None:
    if not reasons:
        return
    row, reason = min(reasons.items())
    message = f"{len(reasons)} of {n} pretraining molecules are not valid, the first in row {row} ({reason})"
    if invalid == "raise":
        raise ValueError(f'{message}. Remove them, or set invalid="nan" to leave them out.')
    warnings.warn(f"{message}; they are left out.", UserWarning, stacklevel=3)
