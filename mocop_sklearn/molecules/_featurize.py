"""RDKit molecules → integer arrays, fast: no Python loop over atoms, no tensor per molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rdkit import rdBase

from ._builder import GraphBuilder
from ._fields import Featurizer, resolve_featurizer
from ._graphs import MoleculeGraphs, concatenate
from ._parse import MAX_ATOMS, InvalidMolecule, Standardize, described, identity, read_molecule, unique_molecules
from ._workers import in_chunks


@dataclass(frozen=True)
class FeaturizedMolecules:
    """Values, their graphs, and the way back from one to the other.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The valid molecules, each text once.
    graph_of_value : ndarray of int, shape (n_values,)
        Row of ``graphs`` for each value, -1 where the value is not a molecule.
    reasons : dict of int to str
        Index of each value that is not a molecule, and why.
    smiles, keys : list of str
        Canonical SMILES and connectivity key of each of ``graphs``; empty unless asked for.
    """

    graphs: MoleculeGraphs
    graph_of_value: np.ndarray
    reasons: dict[int, str]
    smiles: list[str]
    keys: list[str]


_CHUNK = 1024


def featurize(
    values: Sequence[Any],
    featurizer: str | Featurizer,
    standardize: Standardize = "parent",
    *,
    max_atoms: int = MAX_ATOMS,
    identify: bool = False,
    n_jobs: int | None = None,
) -> FeaturizedMolecules:
    """Parse, standardise and featurise molecules, each text once.

    Parameters
    ----------
    values : sequence of str or Mol
    featurizer : {"rich", "paper"} or Featurizer
    standardize : {"parent", None} or callable, default="parent"
    max_atoms : int, default=32767
    identify : bool, default=False
        Also compute canonical SMILES and connectivity keys, which costs three times the parsing.
    n_jobs : int, default=None
        Processes, as in joblib. With several, a molecule that ends its process, or that takes longer than 20 seconds,
        is invalid; with one, nothing can be done about it.
    """
    unique, inverse = unique_molecules(values)
    chunks = [unique[start : start + _CHUNK] for start in range(0, len(unique), _CHUNK)] or [unique]
    featurizer = resolve_featurizer(featurizer)
    work = partial(
        _featurize_chunk, featurizer=featurizer, standardize=standardize, max_atoms=max_atoms, identify=identify
    )
    parts = [part for parts in in_chunks(work, chunks, partial(_failed_chunk, featurizer), n_jobs) for part in parts]
    reasons = [reason for part in parts for reason in part.reasons]
    valid = np.array([reason is None for reason in reasons], dtype=bool)
    graph_of_unique = np.where(valid, np.cumsum(valid) - 1, -1)
    return FeaturizedMolecules(
        concatenate([part.graphs for part in parts]),
        graph_of_unique[inverse],
        {int(row): str(reasons[inverse[row]]) for row in np.flatnonzero(~valid[inverse])},
        [smiles for part in parts for smiles in part.smiles],
        [key for part in parts for key in part.keys],
    )


@dataclass(frozen=True)
class _Chunk:
    """Distinct values featurised in one process; ``reasons`` has None for each that is a molecule."""

    graphs: MoleculeGraphs
    reasons: list[str | None]
    smiles: list[str]
    keys: list[str]


def _featurize_chunk(
    values: Sequence[Any], featurizer: Featurizer, standardize: Standardize, max_atoms: int, identify: bool
) -> _Chunk:
    builder = GraphBuilder(featurizer)
    reasons: list[str | None] = []
    identities: list[tuple[str, str]] = []
    with rdBase.BlockLogs():  # the reasons are reported by row; RDKit's log is as before afterwards
        for value in values:
            try:
                mol, smiles = read_molecule(value, standardize, max_atoms)
                own = described(identity, mol) if identify else None
                builder.add(mol, smiles)
            except InvalidMolecule as error:
                reasons.append(str(error))
                continue
            reasons.append(None)
            if own is not None:
                identities.append(own)
    smiles_of_graphs, keys = (list(column) for column in zip(*identities, strict=True)) if identities else ([], [])
    return _Chunk(builder.build(), reasons, smiles_of_graphs, keys)


def _failed_chunk(featurizer: Featurizer, reason: str) -> _Chunk:
    return _Chunk(GraphBuilder(featurizer).build(), [reason], [], [])
