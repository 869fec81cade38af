"""Molecules, read by calls that answer for all of one: adjacency matrix, rings and types of atoms."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import chain

import numpy as np
from rdkit import Chem

from ._atom_types import ATOM_TYPES, PROPERTIES
from ._columns import Columns, Edges, assemble, starts
from ._fields import Featurizer, Field
from ._graphs import MoleculeGraphs, concatenate
from ._readers import (
    AtomProperty,
    bond_orders,
    bonds_in_rings,
    bonds_of,
    isotope_shifts,
    order_code,
    ring_code,
    smallest_rings,
)

# The adjacency matrix of a larger molecule costs more than its bonds, one by one.
_MAX_ATOMS = 128
# Matrices of so many cells, of 8 bytes each, are turned into edges together.
_CELLS_PER_PART = 2**20
# A cell of an adjacency matrix holds 0 for no edge, the order of a bond, or this for an atom itself.
_LOOP = -1.0
_AROMATIC = 1.5
# Dative bonds stand in a matrix once instead of twice, bonds of order 0 not at all. Without these, there are none.
_ODD_BONDS = re.compile(r"[\[~<>]")
_ORDER_CODES = np.array([order_code(twice_order / 2) for twice_order in range(16)])
_RING_CODES = np.array([ring_code(size) for size in range(2**10)])
# Properties of atoms that follow from their types and from the matrix.
_QUICK_PROPERTIES = {*PROPERTIES, "GetDegree", "GetIsAromatic"}


class WholeMolecules:
    """Molecules of up to 128 atoms. Fields without a quick way are read by their readers."""

    def __init__(self, featurizer: Featurizer):
        self._featurizer = featurizer
        fields = (*featurizer.atom_fields, *featurizer.bond_fields)
        properties = {field.read.name for field in fields if isinstance(field.read, AtomProperty)}
        self._typed = bool(properties) and properties <= _QUICK_PROPERTIES
        self._needs_rings = any(field.read in (smallest_rings, bonds_in_rings) for field in fields)
        self._parts: list[MoleculeGraphs] = []
        self._clear()

    def _clear(self) -> None:
        self._matrices: list[np.ndarray] = []
        self._n_atoms = array("q")
        self._n_cells = 0
        self._types = array("q")
        self._ring_atoms, self._ring_sizes, self._n_rings = array("q"), array("q"), array("q")
        self._slow_atoms = Columns(field for field in self._featurizer.atom_fields if not self._is_quick(field))
        slow_bonds = [field for field in self._featurizer.bond_fields if not self._is_quick(field)]
        self._slow_bonds = [_BondColumn(field) for field in slow_bonds]

    def _is_quick(self, field: Field) -> bool:
        if isinstance(field.read, AtomProperty) or field.read is isotope_shifts:
            return self._typed
        return field.read in (smallest_rings, bond_orders, bonds_in_rings)

    def add(self, mol: Chem.Mol, smiles: str) -> bool:
        """Append a molecule, or return False where it must be read one atom at a time.

        Raises
        ------
        FieldError
            When a field cannot be read. Nothing is appended.
        """
        n_atoms = mol.GetNumAtoms()
        if n_atoms > _MAX_ATOMS:
            return False
        types = ATOM_TYPES.read(mol, smiles) if self._typed else ()
        if types is None:
            return False
        # RDKit keeps it under this name; under the usual one it does not tell matrices of orders from others
        matrix = Chem.GetAdjacencyMatrix(mol, True, 0, False, "order")
        if _ODD_BONDS.search(smiles) and np.count_nonzero(matrix) != 2 * mol.GetNumBonds():
            return False
        atoms = self._slow_atoms.read(mol, smiles, n_atoms)
        bonds = [column.read(mol, smiles) for column in self._slow_bonds]
        # nothing fails from here on
        if self._n_cells > _CELLS_PER_PART:
            self._finish_part()
        self._slow_atoms.append(n_atoms, atoms)
        for column, values in zip(self._slow_bonds, bonds, strict=True):
            column.append(mol, values, self._n_cells)
        if self._needs_rings:
            rings = mol.GetRingInfo().AtomRings()
            self._n_rings.append(len(rings))
            self._ring_sizes.extend(map(len, rings))
            self._ring_atoms.extend(chain.from_iterable(rings))
        self._types.extend(types)
        self._matrices.append(matrix.ravel())
        self._n_atoms.append(n_atoms)
        self._n_cells += n_atoms * n_atoms
        return True

    def build(self) -> MoleculeGraphs:
        """Return all molecules added so far."""
        if self._n_atoms or not self._parts:
            self._finish_part()
        self._parts = [concatenate(self._parts)]
        return self._parts[0]

    def _finish_part(self) -> None:
        """Turn all matrices, laid end to end, into edges."""
        n_atoms = np.array(self._n_atoms)
        width = np.repeat(n_atoms, n_atoms)  # of each atom's row
        row = starts(width)
        cells = np.concatenate([np.zeros(0), *self._matrices])
        cells[row + np.arange(len(row)) - np.repeat(starts(n_atoms), n_atoms)] = _LOOP
        is_edge = cells != 0
        position = np.flatnonzero(is_edge)
        n_neighbors = np.add.reduceat(is_edge, row, dtype=np.int64) if len(row) else np.zeros(0, dtype=np.int64)
        receivers = np.repeat(np.arange(len(row)), n_neighbors)
        order = cells[position]
        edges = Edges(n_neighbors, position - row[receivers], order == _LOOP)

        quick = {
            "GetDegree": n_neighbors - 1,
            "GetIsAromatic": np.bincount(receivers[order == _AROMATIC], minlength=len(row)) > 0,
            isotope_shifts: np.zeros(len(row), dtype=np.int64),
            bond_orders: _ORDER_CODES[(2 * order).astype(np.int64)],
        }
        if self._typed:
            quick |= zip(PROPERTIES, ATOM_TYPES.properties(np.array(self._types)).T, strict=True)
        if self._needs_rings:
            quick[smallest_rings], in_ring = self._rings(n_atoms, len(cells))
            quick[bonds_in_rings] = in_ring[position]
        of_atoms, of_edges = (
            self._slow_atoms.arrays(),
            {column.field.name: column.of_cells(len(cells))[position] for column in self._slow_bonds},
        )
        for fields, values in ((self._featurizer.atom_fields, of_atoms), (self._featurizer.bond_fields, of_edges)):
            for field in fields:
                if self._is_quick(field):
                    values[field.name] = quick[getattr(field.read, "name", field.read)]
        self._parts.append(assemble(self._featurizer, n_atoms, of_atoms, edges, of_edges))
        self._clear()

    def _rings(self, n_atoms: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
        """Smallest ring of each atom, as ``smallest_rings`` codes it, and whether each cell is a bond of a ring."""
        sizes, atoms = np.array(self._ring_sizes), np.array(self._ring_atoms)
        molecule = np.repeat(np.repeat(np.arange(len(n_atoms)), self._n_rings), sizes)
        following = np.arange(1, len(atoms) + 1)
        following[np.cumsum(sizes) - 1] = starts(sizes)
        following = atoms[following]
        smallest = np.full(n_atoms.sum(), len(_RING_CODES))
        np.minimum.at(smallest, starts(n_atoms)[molecule] + atoms, np.repeat(_RING_CODES[sizes], sizes))
        in_ring = np.zeros(n_cells, dtype=np.int8)
        first_cell, width = starts(n_atoms**2)[molecule], n_atoms[molecule]
        in_ring[first_cell + atoms * width + following] = 1
        in_ring[first_cell + following * width + atoms] = 1
        return np.where(smallest == len(_RING_CODES), 0, smallest), in_ring


class _BondColumn:
    """A bond field without a quick way, and its integers by the cells of all matrices."""

    def __init__(self, field: Field):
        self.field = field
        self._reader = Columns([field])
        self._cells, self._values = array("q"), array("q")

    def read(self, mol: Chem.Mol, smiles: str) -> Sequence[int] | None:
        """Return the integers of all bonds of a molecule, None where all are 0."""
        return self._reader.read(mol, smiles, mol.GetNumBonds())[0]

    def append(self, mol: Chem.Mol, values: Sequence[int] | None, first_cell: int) -> None:
        """Keep what ``read`` returned for the molecule whose matrix begins at ``first_cell``."""
        if values is None:
            return
        width = mol.GetNumAtoms()
        for bond, value in zip(bonds_of(mol), values, strict=True):
            if value:
                begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
                self._cells.extend((first_cell + begin * width + end, first_cell + end * width + begin))
                self._values.extend((value, value))

    def of_cells(self, n_cells: int) -> np.ndarray:
        """Return the integers of all cells, shape (n_cells,)."""
        result = np.zeros(n_cells, dtype=np.int64)
        result[np.array(self._cells)] = np.array(self._values)
        return result
