"""RDKit molecules → integer arrays, fast: no Python loop over atoms, no tensor per molecule."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from rdkit import Chem, rdBase

from ._fields import Featurizer, Field, resolve_featurizer
from ._graphs import MoleculeGraphs, concatenate, edge_dtype
from ._parse import InvalidMolecule, Standardize, connectivity_key, read_molecule, unique_molecules


class GraphBuilder:
    """RDKit molecules → ``MoleculeGraphs``.

    Parameters
    ----------
    featurizer : str or Featurizer
    """

    def __init__(self, featurizer: str | Featurizer):
        self._featurizer = resolve_featurizer(featurizer)
        self._atoms = [array("l") for _ in self._featurizer.atom_fields]
        self._bonds = [array("l") for _ in self._featurizer.bond_fields]
        self._bond_ends = (array("l"), array("l"))
        self._n_atoms: list[int] = []
        self._n_bonds: list[int] = []

    def __len__(self) -> int:
        return len(self._n_atoms)

    def add(self, mol: Chem.Mol, smiles: str | None = None) -> None:
        """Append one molecule with at least one atom.

        Parameters
        ----------
        mol : Mol
        smiles : str, optional
            The SMILES that ``mol`` was read from: it shows which fields are zero throughout.
        """
        bonds = list(map(mol.GetBondWithIdx, range(mol.GetNumBonds())))
        self._n_atoms.append(mol.GetNumAtoms())
        self._n_bonds.append(len(bonds))
        self._bond_ends[0].extend(map(Chem.Bond.GetBeginAtomIdx, bonds))
        self._bond_ends[1].extend(map(Chem.Bond.GetEndAtomIdx, bonds))
        for fields, columns, n in (
            (self._featurizer.atom_fields, self._atoms, mol.GetNumAtoms()),
            (self._featurizer.bond_fields, self._bonds, len(bonds)),
        ):
            for field, column in zip(fields, columns, strict=True):
                if smiles is not None and field.only_with and not set(field.only_with) & set(smiles):
                    column.extend(repeat(0, n))
                else:
                    column.extend(field.read(mol))

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        n_atoms = np.array(self._n_atoms, dtype=np.int64)
        atom_ptr = np.concatenate([[0], np.cumsum(n_atoms)])
        shift = np.repeat(atom_ptr[:-1], self._n_bonds)
        begin, end = (np.asarray(ends) + shift for ends in self._bond_ends)
        loops = np.arange(atom_ptr[-1])
        receivers, senders = np.concatenate([loops, begin, end]), np.concatenate([loops, end, begin])
        order = np.lexsort((senders, receivers))
        receivers, senders = receivers[order], senders[order]
        bonds = 1 + self._bond_codes()
        edges = np.concatenate([np.zeros_like(loops), bonds, bonds])[order] if self._bonds else np.zeros(0)
        molecule = np.repeat(np.arange(len(self)), n_atoms)
        n_neighbors = np.bincount(receivers, minlength=atom_ptr[-1])
        n_edges = np.bincount(molecule, weights=n_neighbors, minlength=len(self)).astype(np.int64)
        return MoleculeGraphs(
            self._featurizer,
            atoms=torch.from_numpy(self._atom_codes()),
            n_neighbors=torch.from_numpy(n_neighbors.astype(np.uint8)),
            neighbors=torch.from_numpy((senders - atom_ptr[molecule[receivers]]).astype(np.int16)),
            edges=torch.from_numpy(edges.astype(edge_dtype(self._featurizer))),
            atom_ptr=torch.from_numpy(atom_ptr),
            edge_ptr=torch.from_numpy(np.concatenate([[0], np.cumsum(n_edges)])),
        )

    def _atom_codes(self) -> np.ndarray:
        fields = self._featurizer.atom_fields
        codes = np.empty((len(self._atoms[0]), len(fields)), dtype=np.int8)
        for column, (field, values) in enumerate(zip(fields, self._atoms, strict=True)):
            low, high = (-128, 127) if field.size == 1 else (0, field.size - 1)
            codes[:, column] = np.clip(_coded(np.asarray(values), field), low, high)
        return codes

    def _bond_codes(self) -> np.ndarray:
        fields = self._featurizer.bond_fields
        if not fields:
            return np.zeros(len(self._bond_ends[0]), dtype=np.int64)
        levels = [max(field.size, 2) for field in fields]
        codes = [
            np.clip(_coded(np.asarray(values), field), 0, level - 1)
            for field, values, level in zip(fields, self._bonds, levels, strict=True)
        ]
        return np.ravel_multi_index(codes, levels)


def _coded(values: np.ndarray, field: Field) -> np.ndarray:
    """The columns that the integers of a field belong to."""
    if field.code is None:
        return values
    known = np.sort(field.code)
    column = np.argsort(field.code)
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[place] == values, column[place], len(known))


@dataclass(frozen=True)
class FeaturizedMolecules:
    """Values, their graphs, and the way back from one to the other.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The valid molecules, each text once.
    graph_of_value : ndarray of int, shape (n_values,)
        Row of ``graphs`` for each value, -1 where the value is no molecule.
    reasons : dict of int to str
        Index of each value that is no molecule, and why.
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
    identify: bool = False,
    n_jobs: int | None = None,
) -> FeaturizedMolecules:
    """Parse, standardise and featurise molecules, each text once.

    Parameters
    ----------
    values : sequence of str or Mol
    featurizer : {"rich", "paper"} or Featurizer
    standardize : {"parent", None} or callable, default="parent"
    identify : bool, default=False
        Also compute canonical SMILES and connectivity keys, which costs three times the parsing.
    n_jobs : int, default=None
        Processes, as in joblib.
    """
    unique, inverse = unique_molecules(values)
    chunks = [unique[start : start + _CHUNK] for start in range(0, len(unique), _CHUNK)] or [unique]
    work = partial(
        _featurize_chunk, featurizer=resolve_featurizer(featurizer), standardize=standardize, identify=identify
    )
    parts: list[_Chunk] = Parallel(n_jobs=n_jobs)(map(delayed(work), chunks))
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


def _featurize_chunk(values: Sequence[Any], featurizer: Featurizer, standardize: Standardize, identify: bool) -> _Chunk:
    builder = GraphBuilder(featurizer)
    reasons: list[str | None] = []
    smiles, keys = [], []
    with rdBase.BlockLogs():  # the reasons are reported by row; RDKit's log is as before afterwards
        for value in values:
            try:
                mol, text = read_molecule(value, standardize)
            except InvalidMolecule as error:
                reasons.append(str(error))
                continue
            reasons.append(None)
            builder.add(mol, text)
            if identify:
                smiles.append(Chem.MolToSmiles(mol))
                keys.append(connectivity_key(mol))
    return _Chunk(builder.build(), reasons, smiles, keys)
