"""Integers that are read from molecules → the codes of ``MoleculeGraphs``."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rdkit import Chem

from ._fields import Featurizer, Field
from ._graphs import MoleculeGraphs, edge_dtype
from ._parse import InvalidMolecule
from ._readers import AtomProperty, atoms_of

_BITS = 15  # of the number of an atom within its molecule, and of the code of a bond
_MASK = 2**_BITS - 1


class Columns:
    """Some fields and the integers that their readers have returned so far."""

    def __init__(self, fields: Iterable[Field]):
        self._columns = [_Column(field) for field in fields]
        self._has_properties = any(isinstance(column.field.read, AtomProperty) for column in self._columns)
        self._always = any(not column.field.only_with for column in self._columns)
        self._marks = "".join(sorted({mark for column in self._columns for mark in column.field.only_with}))
        self._n = 0

    def are_zero(self, smiles: str) -> bool:
        """Whether a SMILES shows that the integers of all fields are 0."""
        if self._always:
            return False
        for mark in self._marks:  # noqa: SIM110 - half as long as `any`, and called for every molecule
            if mark in smiles:
                return False
        return True

    def read(self, mol: Chem.Mol, smiles: str, n: int) -> list[Sequence[int] | None]:
        """Return the integers of each field for a molecule of ``n`` atoms or bonds; None where all are 0.

        Raises
        ------
        InvalidMolecule
            When a reader fails.
        ValueError
            When a reader returns another number of integers.
        """
        atoms = list(atoms_of(mol)) if self._has_properties else []
        return [_read(column.field, mol, smiles, n, atoms) for column in self._columns]

    def append(self, n: int, values: Sequence[Sequence[int] | None]) -> None:
        """Keep what ``read`` returned for a molecule; nothing where all integers are 0."""
        for column, integers in zip(self._columns, values, strict=False):
            if integers is not None:
                column.first.append(self._n)
                column.lengths.append(n)
                column.values.extend(integers)
        self._n += n

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the integers by field."""
        return {column.field.name: column.array(self._n) for column in self._columns}


class _Column:
    """Integers of one field: those of some molecules, each with its first place among all atoms or bonds."""

    def __init__(self, field: Field):
        self.field = field
        self.first, self.lengths, self.values = array("q"), array("q"), array("q")

    def array(self, n: int) -> np.ndarray:
        result = np.zeros(n, dtype=np.int64)
        result[places_of(np.array(self.first), np.array(self.lengths))] = np.array(self.values)
        return result


def _read(field: Field, mol: Chem.Mol, smiles: str, n: int, atoms: list[Chem.Atom]) -> Sequence[int] | None:
    if field.only_with and not any(mark in smiles for mark in field.only_with):
        return None
    if isinstance(field.read, AtomProperty):
        return list(map(field.read.of_atom, atoms))
    try:
        values = field.read(mol)
    except Exception as error:
        raise InvalidMolecule(f"the field {field.name!r} raised {type(error).__name__}: {error}") from error
    if len(values) != n:
        raise ValueError(
            f"The reader of the field {field.name!r} returned {len(values)} integers for {smiles!r}. It must "
            f"return one for each of its {n} atoms or bonds."
        )
    return values


@dataclass(frozen=True)
class Bonds:
    """Bonds of many molecules.

    Attributes
    ----------
    n : ndarray of int64, shape (n_molecules,)
    begin, end : ndarray of int64, shape (n.sum(),)
        The two atoms of each bond, counted within its molecule.
    """

    n: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def assemble(
    featurizer: Featurizer,
    n_atoms: np.ndarray,
    bonds: Bonds,
    of_atoms: Mapping[str, np.ndarray],
    of_bonds: Mapping[str, np.ndarray],
) -> MoleculeGraphs:
    """Code the integers of all fields, and make two edges of every bond and one of every atom.

    Parameters
    ----------
    n_atoms : ndarray of int64, shape (n_molecules,)
    of_atoms, of_bonds : mapping of str to ndarray of int
        By the name of the field, one integer for every atom or bond.
    """
    own = np.arange(n_atoms.sum())
    first_atom = starts(n_atoms)
    of_molecule = np.repeat(first_atom, bonds.n)
    receivers = np.concatenate([own, bonds.begin + of_molecule, bonds.end + of_molecule])
    senders = np.concatenate([own - np.repeat(first_atom, n_atoms), bonds.end, bonds.begin])
    codes = np.zeros(len(receivers), dtype=np.int64)
    if featurizer.bond_fields:
        codes[len(own) :] = np.tile(_packed(featurizer.bond_fields, of_bonds) + 1, 2)
    # receiver, sender and code as one number; the stable sort merges what is sorted already, four times as fast
    edges = np.sort((receivers << _BITS | senders) << _BITS | codes, kind="stable")
    codes = (edges & _MASK).astype(edge_dtype(featurizer)) if featurizer.bond_fields else codes[:0].astype(np.uint8)
    return MoleculeGraphs(
        featurizer,
        atoms=torch.from_numpy(_codes_of_atoms(featurizer.atom_fields, of_atoms)),
        n_neighbors=torch.from_numpy(np.bincount(receivers, minlength=len(own)).astype(np.int16)),
        neighbors=torch.from_numpy((edges >> _BITS & _MASK).astype(np.int16)),
        edges=torch.from_numpy(codes),
        atom_ptr=torch.from_numpy(np.append(first_atom, len(own))),
        edge_ptr=torch.from_numpy(np.append(starts(n_atoms + 2 * bonds.n), len(senders))),
    )


def _codes_of_atoms(fields: Sequence[Field], values: Mapping[str, np.ndarray]) -> np.ndarray:
    columns = []
    for field in fields:
        low, high = (-128, 127) if field.size == 1 else (0, field.size - 1)
        columns.append(np.clip(_coded(values[field.name], field), low, high).astype(np.int8))
    return np.stack(columns, axis=1)


def _packed(fields: Sequence[Field], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """One number of all fields of each bond."""
    packed = np.zeros_like(values[fields[0].name])
    for field in fields:
        level = max(field.size, 2)
        packed = packed * level + np.clip(_coded(values[field.name], field), 0, level - 1)
    return packed


def _coded(values: np.ndarray, field: Field) -> np.ndarray:
    """Columns that the integers of a field belong to."""
    if field.code is None:
        return values
    column = np.argsort(field.code)
    known = np.array(field.code)[column]
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[place] == values, column[place], len(known))


def places_of(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places of segments ``first:first + length``, one after the other."""
    return np.repeat(first - starts(lengths), lengths) + np.arange(lengths.sum())


def starts(lengths: np.ndarray) -> np.ndarray:
    """First place of each of consecutive segments."""
    return np.cumsum(lengths) - lengths
