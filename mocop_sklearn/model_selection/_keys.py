"""Keys of molecules, row by row: what groups and overlap have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from ..molecules._parse import (
    InvalidMolecule,
    Standardize,
    check_standardize,
    connectivity_key,
    described,
    parse_molecule,
    unique_molecules,
)
from ..molecules._workers import in_chunks

_CHUNK = 1024  # molecules a job


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a parameter that is not one of its choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def describe_rows(
    values: Sequence[Any],
    describe: Callable[[Chem.Mol], Any],
    standardize: Standardize,
    invalid: str,
    n_jobs: int | None,
) -> tuple[list[Any], dict[int, str]]:
    """Describe the molecule of each row.

    Returns
    -------
    found : list, shape (n_rows,)
        ``describe(molecule)``, or None where the row is not a molecule.
    reasons : dict of int to str
        For each such row, why it is not.
    """
    check_standardize(standardize)
    check_choice("invalid", invalid, ("raise", "nan"))
    unique, inverse = unique_molecules(values)
    found = _map_chunks(_describe_chunk, unique, n_jobs, describe, standardize)
    rows = [found[i] for i in inverse]
    reasons = {row: str(item) for row, item in enumerate(rows) if isinstance(item, InvalidMolecule)}
    return [None if row in reasons else item for row, item in enumerate(rows)], reasons


def _describe_chunk(values: Sequence[Any], describe: Callable[[Chem.Mol], Any], standardize: Standardize) -> list[Any]:
    found: list[Any] = []
    with rdBase.BlockLogs():  # the reasons are reported by row
        for value in values:
            try:
                found.append(described(describe, parse_molecule(value, standardize)))
            except InvalidMolecule as error:
                found.append(error)
    return found


def map_chunks(function: Callable[..., list[Any]], smiles: list[str], n_jobs: int | None, *args: Any) -> list[Any]:
    """Apply ``function`` to chunks of valid molecules, and join the results.

    Raises
    ------
    ValueError
        When a molecule ends its process or takes too long.
    """
    found = _map_chunks(function, smiles, n_jobs, *args)
    for text, item in zip(smiles, found, strict=True):
        if isinstance(item, InvalidMolecule):
            raise ValueError(f"The molecule {text!r} {item}: leave it out.")
    return found


def _map_chunks(function: Callable[..., list[Any]], values: Sequence[Any], n_jobs: int | None, *args: Any) -> list[Any]:
    chunks = [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]
    parts = in_chunks(partial(_call, function, args), chunks, _lost, n_jobs)
    return [item for results in parts for result in results for item in result]


def _call(function: Callable[..., list[Any]], args: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
    return function(values, *args)


def _lost(reason: str) -> list[Any]:
    return [InvalidMolecule(reason)]


def canonical(mol: Chem.Mol) -> str:
    """Canonical SMILES. This function can be sent to another process, which RDKit's own cannot."""
    smiles: str = Chem.MolToSmiles(mol)
    return smiles


def key_and_flat_smiles(mol: Chem.Mol) -> tuple[str, str]:
    """Connectivity key and SMILES without stereochemistry."""
    return connectivity_key(mol), Chem.MolToSmiles(mol, isomericSmiles=False)


def one_smiles_per_key(found: Iterable[tuple[str, str] | None]) -> dict[str, str]:
    """Return the first SMILES of each key, in the order of the keys, so that the order of rows does not matter."""
    flat: dict[str, str] = {}
    for item in found:
        if item is not None:
            key, smiles = item
            flat[key] = min(smiles, flat.get(key, smiles))
    return dict(sorted(flat.items()))


def number_groups(labels: Sequence[str | None]) -> np.ndarray:
    """Number the labels in sorted order; each None gets a number of its own, after all others."""
    valid = np.array([label is not None for label in labels])
    groups = np.empty(len(labels), dtype=np.int64)
    names, groups[valid] = np.unique(np.array([x for x in labels if x is not None], dtype=str), return_inverse=True)
    groups[~valid] = len(names) + np.arange(len(labels) - valid.sum())
    return groups
