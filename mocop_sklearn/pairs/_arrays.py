"""Arrays of a store, read with bounds: nothing is allocated that the file does not hold."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_MAX_NPY_HEADER = 10_000


def map_matrix(path: Path, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Map a matrix in an ``.npy`` file into memory; it stays on the disk.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        What the file must hold.
    dtype : str

    Raises
    ------
    ValueError
        When the file holds something else, or more or less of it.
    """
    with open(path, "rb") as file:
        found, little = _npy_header(file)
        if found != shape or little != np.dtype(dtype).newbyteorder("<"):
            raise ValueError(f"a matrix of shape {found} and type {little}")
        start = file.tell()
        size = file.seek(0, 2)
    wanted = start + shape[0] * shape[1] * little.itemsize
    if size != wanted:
        raise ValueError(f"{path.name} has {size:,} bytes instead of {wanted:,}")
    return np.memmap(path, dtype=little, mode="r", offset=start, shape=shape)


def start_of_data(path: Path) -> int:
    """Where the numbers of an ``.npy`` file begin."""
    with open(path, "rb") as file:
        _npy_header(file)
        return file.tell()


def read_arrays(path: Path, kinds: Mapping[str, tuple[str, int | None]]) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file, each with one dimension and not compressed.

    Parameters
    ----------
    path : Path
    kinds : dict of str to (dtype, length)
        The arrays that the file may hold; a length of None is any length.

    Raises
    ------
    ValueError, BadZipFile
        When the file holds something else.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if len(set(names)) < len(names) or not set(names) <= set(kinds):
            raise ValueError(f"{path.name} holds {names[:20]}")
        if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
            raise ValueError(f"{path.name} is compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError(f"{path.name} claims to hold more bytes than it has")
        return {name: _member(archive, entry, *kinds[name]) for name, entry in zip(names, entries, strict=True)}


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, dtype: str, length: int | None) -> np.ndarray:
    with archive.open(entry) as file:
        shape, found = _npy_header(file)
        data = file.read()
    if found != np.dtype(dtype) or len(shape) != 1 or length not in (None, shape[0]):
        raise ValueError(f"{entry.filename} of shape {shape} and type {found}")
    if len(data) != shape[0] * found.itemsize:
        raise ValueError(f"{entry.filename} has {len(data):,} bytes for {shape[0]:,} values")
    return np.frombuffer(data, dtype=found)


def _npy_header(file: IO[bytes]) -> tuple[Any, np.dtype[Any]]:
    """Shape and type of an array in NumPy's format 1.0, in the order of C."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array of format {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_NPY_HEADER)
    if fortran:
        raise ValueError("an array in the order of Fortran")
    return shape, dtype
