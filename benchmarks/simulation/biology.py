"""The planted biology of JUMP-like plates: read from the structures of a table of compounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import joblib
import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from mocop_sklearn.datasets._planting import (
    N_SUBSTRUCTURES,
    common_environments,
    environment_counts,
    latent_dimension,
    morgan_environments,
    text_array,
)
from mocop_sklearn.molecules import canonical_smiles

_N_REFERENCE = 10_000  # structures that the biology is standardised over
_CHUNK = 1000


class Described(NamedTuple):
    """Molecules in the order of the compounds that were kept."""

    smiles: np.ndarray  # (n,), as given where unreadable
    inchi: np.ndarray  # (n,), None where unreadable
    inchikey: np.ndarray  # (n,), None where unreadable
    unreadable: np.ndarray  # (n,)
    latent: np.ndarray  # (n, n_latent), 0 where unreadable


def describe(
    structures: np.ndarray, rows: np.ndarray, n_latent: int, rng: np.random.Generator, n_jobs: int | None
) -> Described:
    """Read the structures of some rows, and their latent biology."""
    parallel = joblib.Parallel(n_jobs=n_jobs)
    reference = structures[rng.permutation(len(structures))[:_N_REFERENCE]]
    found = [f for part in parallel(joblib.delayed(_environments)(c) for c in _chunks(reference)) for f in part]
    environments = common_environments(found)
    if len(environments) < N_SUBSTRUCTURES:
        raise ValueError(
            f"The structures share {len(environments)} environments that are in 3 to 50 % of them, and a latent "
            f"dimension needs {N_SUBSTRUCTURES}: give more structures."
        )
    parts = parallel(joblib.delayed(_describe_chunk)(chunk, environments) for chunk in _chunks(structures[rows]))
    smiles, inchi, inchikey, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    counts = np.concatenate([environment_counts(found, environments).astype(np.float32), counts])
    standard = slice(0, len(found))
    latent = np.stack([latent_dimension(counts, rng, standard)[len(found) :] for _ in range(n_latent)], axis=1)
    unreadable = np.array([text is None for text in inchi])
    latent[unreadable] = 0.0
    return Described(smiles, inchi, inchikey, unreadable, latent)


def _chunks(values: np.ndarray) -> Iterable[np.ndarray]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _readable(structures: np.ndarray) -> tuple[np.ndarray, list[Chem.Mol]]:
    """Canonical SMILES of the standardised molecules, None where a structure cannot be read, and the molecules."""
    smiles = text_array(canonical_smiles(list(structures)))
    return smiles, [Chem.MolFromSmiles(text) for text in smiles if text is not None]


def _environments(structures: np.ndarray) -> list[dict[int, int]]:
    """Environments of the structures that can be read."""
    with BlockLogs():
        return morgan_environments(_readable(structures)[1])


def _describe_chunk(
    structures: np.ndarray, environments: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """SMILES, InChI, its key and counts of environments."""
    with BlockLogs():
        smiles, molecules = _readable(structures)
        readable = np.array([text is not None for text in smiles])
        inchi = np.full(len(structures), None, dtype=object)
        inchi[readable] = [Chem.MolToInchi(mol) or None for mol in molecules]
        counts = np.zeros((len(structures), len(environments)), dtype=np.float32)
        counts[readable] = environment_counts(morgan_environments(molecules), environments)
    keys = [None if text is None else Chem.InchiToInchiKey(text) for text in inchi]
    return np.where(readable, smiles, structures), inchi, text_array(keys), counts
