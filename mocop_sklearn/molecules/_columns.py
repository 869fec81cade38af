"""Integers that are read from molecules → the codes of ``MoleculeGraphs``."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from rdkit import Chem

from ._fields import Featurizer, Field
from ._graphs import MoleculeGraphs, edge_dtype
from ._readers import AtomProperty, atoms_of


class FieldError(Exception):
    """A field cannot be read from a molecule; the message is the reason."""


class Columns:
    """Some fields and the integers that their readers have returned so far."""

    def __init__(self, fields: Iterable[Field]):
        self._fields = list(fields)
        self._values = [array("q") for _ in self._fields]
        self._has_properties = any(isinstance(field.read, AtomProperty) for field in self._fields)

    def read(self, mol: Chem.Mol, smiles: str, n: int) -> list[Sequence[int] | None]:
        """Return the integers of each field for a molecule of ``n`` atoms or bonds; None where all are 0.

        Raises
        ------
        FieldError
            When a reader fails.
        ValueError
            When a reader returns another number of integers.
        """
        atoms = list(atoms_of(mol)) if self._has_properties else []
        return [self._read(field, mol, smiles, n, atoms) for field in self._fields]

    def _read(self, field: Field, mol: Chem.Mol, smiles: str, n: int, atoms: list[Chem.Atom]) -> Sequence[int] | None:
        if field.only_with and not any(mark in smiles for mark in field.only_with):
            return None
        if isinstance(field.read, AtomProperty):
            return list(map(field.read.of_atom, atoms))
        try:
            values = field.read(mol)
        except Exception as error:
            raise FieldError(f"the field {field.name!r} raised {type(error).__name__}: {error}") from error
        if len(values) != n:
            raise ValueError(
                f"The reader of the field {field.name!r} returned {len(values)} integers for {smiles!r}. It must "
                f"return one for each of its {n} atoms or bonds."
            )
        return values

    def append(self, n: int, values: Sequence[Sequence[int] | None]) -> None:
        """Keep what ``read`` returned."""
        for column, integers in zip(self._values, values, strict=True):
            column.extend(repeat(0, n) if integers is None else integers)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the integers by field."""
        return {field.name: np.array(column) for field, column in zip(self._fields, self._values, strict=True)}


@dataclass(frozen=True)
class Edges:
    """Edges of many molecules, sorted by receiving atom, with one self loop for each atom.

    Attributes
    ----------
    n_neighbors : ndarray of int, shape (n_atoms,)
        Edges that each atom receives.
    neighbors : ndarray of int, shape (n_edges,)
        Sending atom of each edge, counted within its molecule.
    is_loop : ndarray of bool, shape (n_edges,)
    """

    n_neighbors: np.ndarray
    neighbors: np.ndarray
    is_loop: np.ndarray


def assemble(
    featurizer: Featurizer,
    n_atoms: np.ndarray,
    of_atoms: Mapping[str, np.ndarray],
    edges: Edges,
    of_edges: Mapping[str, np.ndarray],
) -> MoleculeGraphs:
    """Code the integers of all fields.

    Parameters
    ----------
    n_atoms : ndarray of int, shape (n_molecules,)
    of_atoms, of_edges : mapping of str to ndarray of int
        By the name of the field, one integer for every atom or edge; those of self loops do not matter.
    """
    molecule = np.repeat(np.arange(len(n_atoms)), n_atoms)
    n_edges = np.bincount(molecule, weights=edges.n_neighbors, minlength=len(n_atoms)).astype(np.int64)
    atoms = np.empty((len(molecule), len(featurizer.atom_fields)), dtype=np.int8)
    for column, field in enumerate(featurizer.atom_fields):
        low, high = (-128, 127) if field.size == 1 else (0, field.size - 1)
        atoms[:, column] = np.clip(_coded(of_atoms[field.name], field), low, high)
    packed = np.zeros(0)
    if featurizer.bond_fields:
        levels = [max(field.size, 2) for field in featurizer.bond_fields]
        packed = np.zeros(len(edges.neighbors), dtype=np.int64)
        for field, level in zip(featurizer.bond_fields, levels, strict=True):
            packed = packed * level + np.clip(_coded(of_edges[field.name], field), 0, level - 1)
        packed = np.where(edges.is_loop, 0, packed + 1)
    return MoleculeGraphs(
        featurizer,
        atoms=torch.from_numpy(atoms),
        n_neighbors=torch.from_numpy(edges.n_neighbors.astype(np.int16)),
        neighbors=torch.from_numpy(edges.neighbors.astype(np.int16)),
        edges=torch.from_numpy(packed.astype(edge_dtype(featurizer))),
        atom_ptr=torch.from_numpy(np.append(starts(n_atoms), len(molecule))),
        edge_ptr=torch.from_numpy(np.append(starts(n_edges), len(edges.neighbors))),
    )


def _coded(values: np.ndarray, field: Field) -> np.ndarray:
    """Columns that the integers of a field belong to."""
    if field.code is None:
        return values
    column = np.argsort(field.code)
    known = np.array(field.code)[column]
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[place] == values, column[place], len(known))


def starts(lengths: np.ndarray) -> np.ndarray:
    """First place of each of consecutive segments."""
    return np.cumsum(lengths) - lengths
