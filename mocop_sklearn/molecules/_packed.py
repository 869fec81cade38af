"""Molecules in RDKit's binary format → arrays, many molecules at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from ._columns import places_of, starts

# An index of an atom is one byte in molecules of up to this many atoms.
MAX_ATOMS = 254
# The format: a header with the numbers of atoms (byte 20) and bonds (bytes 24 and 25), then records of atoms, bonds and
# rings. A tag stands before each kind of record.
_TAG_OF_ATOMS, _TAG_OF_BONDS, _TAG_OF_RINGS = 1, 11, 66
_HEADER = 29
# An atom: element, flags, four bytes of which bit i says that value i follows, the values.
_VALUES_OF_ATOM = 6
_NO_IMPLICIT_HYDROGENS, _AROMATIC = 32, 64
# A bond: two atoms, flags, then its type unless it is single, its direction and its stereochemistry where it has them.
_VALUES_OF_BOND = 3
_HAS_STEREO, _HAS_DIRECTION, _HAS_TYPE = 2, 4, 8

_N_BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
# Values 1 to 7 of an atom where they are absent: charge, chirality, hybridisation, explicit hydrogens, explicit and
# implicit valence, radical electrons. Value 8 is the isotope.
_DEFAULTS = (0, 0, int(Chem.HybridizationType.SP3), 0, 0, 0, 0)
_SINGLE = int(Chem.BondType.SINGLE)


@dataclass(frozen=True)
class Unpacked:
    """What the binary format says of many molecules.

    Attributes
    ----------
    n_atoms, n_bonds, n_rings : ndarray of int64, shape (n_molecules,)
    atoms : dict of str to ndarray, shape (n_atoms.sum(),)
        By the method of ``rdkit.Chem.Atom`` that returns the same.
    begin, end : ndarray of int64, shape (n_bonds.sum(),)
        Atoms of each bond, counted within its molecule.
    bond_types : ndarray of uint8, shape (n_bonds.sum(),)
        Values of ``rdkit.Chem.BondType``.
    ring_sizes : ndarray of int64, shape (n_rings.sum(),)
    ring_atoms : ndarray of int64, shape (ring_sizes.sum(),)
        Atoms of each ring in order, counted within their molecule.
    """

    n_atoms: np.ndarray
    n_bonds: np.ndarray
    n_rings: np.ndarray
    atoms: dict[str, np.ndarray]
    begin: np.ndarray
    end: np.ndarray
    bond_types: np.ndarray
    ring_sizes: np.ndarray
    ring_atoms: np.ndarray


def unpack(packed: Sequence[bytes]) -> Unpacked:
    """Read molecules that ``Mol.ToBinary(0)`` has packed.

    Parameters
    ----------
    packed : sequence of bytes
        Molecules of up to ``MAX_ATOMS`` atoms, without atoms or bonds of queries, and sanitised.

    Raises
    ------
    ValueError
        When the bytes have another layout.
    """
    lengths = np.array([len(molecule) for molecule in packed], dtype=np.int64)
    data = np.frombuffer(b"".join([*packed, bytes(16)]), dtype=np.uint8)  # some look-ups go beyond the last molecule
    first = starts(lengths)
    n_atoms = data[first + 20].astype(np.int64)
    n_bonds = data[first + 24] + 256 * data[first + 25].astype(np.int64)
    _check_tag(data, first + _HEADER, _TAG_OF_ATOMS)
    atoms, end_of_atoms = _walk(_lengths_of_atoms, data, first + _HEADER + 1, n_atoms)
    _check_tag(data, end_of_atoms, _TAG_OF_BONDS)
    bonds, end_of_bonds = _walk(_lengths_of_bonds, data, end_of_atoms + 1, n_bonds)
    _check_tag(data, end_of_bonds, _TAG_OF_RINGS)
    n_rings = data[end_of_bonds + 1] + 256 * data[end_of_bonds + 2].astype(np.int64)
    rings, end_of_rings = _walk(_lengths_of_rings, data, end_of_bonds + 5, n_rings)
    if (end_of_rings > first + lengths).any():
        raise ValueError("rings beyond the end of a molecule")
    ring_sizes = data[rings].astype(np.int64)
    return Unpacked(
        n_atoms,
        n_bonds,
        n_rings,
        atoms=_values_of_atoms(data, atoms),
        begin=data[bonds].astype(np.int64),
        end=data[bonds + 1].astype(np.int64),
        bond_types=np.where(data[bonds + 2] & _HAS_TYPE, data[bonds + _VALUES_OF_BOND], _SINGLE),
        ring_sizes=ring_sizes,
        ring_atoms=data[places_of(rings + 1, ring_sizes)].astype(np.int64),
    )


def _check_tag(data: np.ndarray, places: np.ndarray, tag: int) -> None:
    if (data[places] != tag).any():
        raise ValueError(f"a molecule has no tag {tag} where it should stand")


def _walk(
    length: Callable[[np.ndarray, np.ndarray], np.ndarray], data: np.ndarray, first: np.ndarray, n_records: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Follow the records of all molecules at once.

    Parameters
    ----------
    length : callable
        ``length(data, places)`` returns the bytes of the records that begin at some places.
    data : ndarray of uint8, shape (n_bytes,)
    first, n_records : ndarray of int64, shape (n_molecules,)
        Place of each molecule's first record, and how many there are.

    Returns
    -------
    places : ndarray of int64, shape (n_records.sum(),)
    ends : ndarray of int64, shape (n_molecules,)
        Where the last record of each molecule ends.
    """
    order = np.argsort(-n_records, kind="stable")
    position, to = first[order], starts(n_records)[order]
    places = np.empty(n_records.sum(), dtype=np.int64)
    # of the molecules in that order, as many as have more than i records are still on the way
    n_left = np.searchsorted(-n_records[order], -np.arange(n_records.max(initial=0)))
    for i, n in enumerate(n_left):
        here = position[:n]
        places[to[:n] + i] = here
        here += length(data, here)
    ends = np.empty_like(first)
    ends[order] = position
    return places, ends


def _lengths_of_atoms(data: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    # an isotope has four bytes, every other value one
    return _VALUES_OF_ATOM + _N_BITS[data[atoms + 2]] + ((data[atoms + 3] & 1) << 2)


def _lengths_of_bonds(data: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    flags = data[bonds + 2]
    length = _VALUES_OF_BOND + _N_BITS[flags & (_HAS_TYPE | _HAS_DIRECTION)]
    stereo = np.flatnonzero(flags & _HAS_STEREO)
    # a kind, a number of atoms, and the atoms
    length[stereo] += 2 + data[bonds[stereo] + length[stereo] + 1]
    return length


def _lengths_of_rings(data: np.ndarray, rings: np.ndarray) -> np.ndarray:
    return data[rings] + 1


def _values_of_atoms(data: np.ndarray, atoms: np.ndarray) -> dict[str, np.ndarray]:
    flags, low, high = data[atoms + 1], data[atoms + 2], data[atoms + 3]
    place = atoms + _VALUES_OF_ATOM
    values = []
    for bit, default in enumerate(_DEFAULTS, start=1):
        present = low >> bit & 1
        values.append(np.where(present, data[place], np.uint8(default)).astype(np.int64))
        place += present
    charge, _, hybridization, explicit, _, implicit_valence, _ = values
    implicit = np.where(flags & _NO_IMPLICIT_HYDROGENS, 0, implicit_valence)
    isotopes = np.zeros(len(atoms), dtype=np.int64)
    labelled = np.flatnonzero(high & 1)
    isotopes[labelled] = data[place[labelled]] + 256 * data[place[labelled] + 1].astype(np.int64)
    return {
        "GetAtomicNum": data[atoms].astype(np.int64),
        "GetIsAromatic": (flags & _AROMATIC).astype(np.int64) // _AROMATIC,
        "GetFormalCharge": (charge + 128) % 256 - 128,
        "GetHybridization": hybridization,
        "GetNumExplicitHs": explicit,
        "GetNumImplicitHs": implicit,
        "GetTotalNumHs": explicit + implicit,
        "GetIsotope": isotopes,
    }
