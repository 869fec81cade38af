"""Molecules → canonical SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any

from rdkit import Chem, rdBase
from sklearn.utils import check_scalar

from ._parse import MAX_ATOMS, InvalidMolecule, Standardize, described, parse_molecule, unique_molecules
from ._workers import in_chunks

_CHUNK = 1024


def canonical_smiles(
    values: Sequence[Any], standardize: Standardize = "parent", max_atoms: int = 2_000, n_jobs: int | None = None
) -> list[str | None]:
    """Return the canonical SMILES of each standardised molecule.

    Parameters
    ----------
    values : sequence of str or Mol
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`.
    max_atoms : int, default=2000
        A value with more atoms than this, all its fragments together and hydrogens left out, is not accepted.
    n_jobs : int, default=None
        Processes, as in joblib. With several, a molecule that ends its process, or that takes longer than 20 seconds,
        is not a molecule; with one, nothing can be done about it.

    Returns
    -------
    list of str or None
        None for a value that is not a molecule.

    Raises
    ------
    ValueError
        When ``max_atoms`` is not between 1 and 32,767.
    """
    check_scalar(max_atoms, "max_atoms", Integral, min_val=1, max_val=MAX_ATOMS)
    unique, inverse = unique_molecules(values)
    chunks = [unique[start : start + _CHUNK] for start in range(0, len(unique), _CHUNK)]
    work = partial(_canonical, standardize=standardize, max_atoms=max_atoms)
    smiles = [text for parts in in_chunks(work, chunks, _lost, n_jobs) for part in parts for text in part]
    return [smiles[i] for i in inverse]


def _canonical(values: Sequence[Any], standardize: Standardize, max_atoms: int) -> list[str | None]:
    smiles: list[str | None] = []
    with rdBase.BlockLogs():  # None tells of a value that is not a molecule
        for value in values:
            try:
                smiles.append(described(Chem.MolToSmiles, parse_molecule(value, standardize, max_atoms)))
            except InvalidMolecule:
                smiles.append(None)
    return smiles


def _lost(reason: str) -> list[str | None]:
    return [None]
