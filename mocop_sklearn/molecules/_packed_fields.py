"""Readers whose answers RDKit's binary format tells: the same integers, for all molecules at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rdkit import Chem

from ._columns import starts
from ._packed import Unpacked
from ._readers import (
    AtomProperty,
    bond_orders,
    bonds_in_rings,
    isotope_shifts,
    order_code,
    ring_code,
    smallest_rings,
)

_PERIODIC_TABLE = Chem.GetPeriodicTable()
_N_ELEMENTS = _PERIODIC_TABLE.GetMaxAtomicNumber()
_ISOTOPES = np.array([0, *map(_PERIODIC_TABLE.GetMostCommonIsotope, range(1, _N_ELEMENTS + 1))])
_RING_CODES = np.array([ring_code(size) for size in range(256)])
_ORDERS = {
    Chem.BondType.SINGLE: 1.0,
    Chem.BondType.DATIVE: 1.0,
    Chem.BondType.DATIVEONE: 1.0,
    Chem.BondType.DOUBLE: 2.0,
    Chem.BondType.TRIPLE: 3.0,
    Chem.BondType.AROMATIC: 1.5,
    Chem.BondType.ONEANDAHALF: 1.5,
}
_ORDER_CODES = np.full(256, order_code(0.0))
_ORDER_CODES[list(map(int, _ORDERS))] = list(map(order_code, _ORDERS.values()))


def _degrees(found: Unpacked) -> np.ndarray:
    of_molecule = np.repeat(starts(found.n_atoms), found.n_bonds)
    ends = np.concatenate([found.begin + of_molecule, found.end + of_molecule])
    return np.bincount(ends, minlength=found.n_atoms.sum())


def _isotope_shifts(found: Unpacked) -> np.ndarray:
    elements, isotopes = found.atoms["GetAtomicNum"], found.atoms["GetIsotope"]
    return np.where(isotopes > 0, isotopes - _ISOTOPES[elements], 0)


def _first_atom_of_ring(found: Unpacked) -> np.ndarray:
    """First atom of the molecule of each atom in a ring."""
    return np.repeat(np.repeat(starts(found.n_atoms), found.n_rings), found.ring_sizes)


def _smallest_rings(found: Unpacked) -> np.ndarray:
    outside = len(_RING_CODES)
    smallest = np.full(found.n_atoms.sum(), outside)
    codes = np.repeat(_RING_CODES[found.ring_sizes], found.ring_sizes)
    np.minimum.at(smallest, _first_atom_of_ring(found) + found.ring_atoms, codes)
    return np.where(smallest == outside, 0, smallest)


def _bonds_in_rings(found: Unpacked) -> np.ndarray:
    following = np.arange(1, len(found.ring_atoms) + 1)
    following[np.cumsum(found.ring_sizes) - 1] = starts(found.ring_sizes)
    one, other = found.ring_atoms, found.ring_atoms[following]
    # a table with a row for each atom and a column for each other atom of its molecule
    width = found.n_atoms.max(initial=0)
    in_ring = np.zeros(found.n_atoms.sum() * width, dtype=bool)
    first = _first_atom_of_ring(found)
    in_ring[(first + one) * width + other] = True
    in_ring[(first + other) * width + one] = True
    begin = found.begin + np.repeat(starts(found.n_atoms), found.n_bonds)
    return in_ring[begin * width + found.end].astype(np.int64)


_PROPERTIES = (
    "GetAtomicNum",
    "GetFormalCharge",
    "GetHybridization",
    "GetIsAromatic",
    "GetIsotope",
    "GetNumExplicitHs",
    "GetNumImplicitHs",
    "GetTotalNumHs",
)


def _property(name: str) -> Callable[[Unpacked], np.ndarray]:
    return lambda found: found.atoms[name]


PACKED_ATOMS: dict[Any, Callable[[Unpacked], np.ndarray]] = {
    **{AtomProperty(name): _property(name) for name in _PROPERTIES},
    AtomProperty("GetDegree"): _degrees,
    isotope_shifts: _isotope_shifts,
    smallest_rings: _smallest_rings,
}
PACKED_BONDS: dict[Any, Callable[[Unpacked], np.ndarray]] = {
    bond_orders: lambda found: _ORDER_CODES[found.bond_types],
    bonds_in_rings: _bonds_in_rings,
}
