"""The files of a stored corpus: a memory-mapped matrix of profiles, and what its rows are.

A store is a folder. ``profiles.npy`` is the matrix, ``wells.npz`` has one entry per row and per molecule, and
``header.json`` holds all else: format, names, counts, provenance, and the digest of the content.

The header is the youngest of the three. When another file is younger, its content may have changed, and it is
compared with the digest once; the time of the header is then set to the present.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..model_file._shipped import path_of
from ._arrays import map_matrix, read_arrays, start_of_data
from ._header import FORMAT, DamagedStore, header_text, read_header
from ._labels import WELL_COLUMNS, Labels

_DATA = ("profiles.npy", "wells.npz")
_NUMBERS: tuple[str, ...] = ("dose", "weight")
_BLOCK = 2**22  # bytes that are hashed at a time
_PATIENCE = 0.25  # seconds that the clock of a file system may need to go on
_verified: set[tuple[Any, ...]] = set()  # states of stores whose content was compared by this process


@dataclass(frozen=True)
class Store:
    """A stored corpus.

    Attributes
    ----------
    path : Path
    profiles : ndarray of float16 or float32, shape (n_rows, n_features), memory-mapped
    smiles, keys : list of str
        Canonical SMILES and connectivity key of each molecule.
    molecule : ndarray of int32, shape (n_rows,)
    labels : dict of str to Labels
        ``source``, ``batch``, ``plate``, ``well``, those that are known.
    numbers : dict of str to ndarray of float32
        ``dose`` and ``weight``, those that are known.
    header : dict
        ``feature_names``, ``report``, ``provenance``, ``digest`` and more.
    state : tuple
        Sizes and times of the files when they were opened.
    """

    path: Path
    profiles: np.ndarray
    smiles: list[str]
    keys: list[str]
    molecule: np.ndarray
    labels: dict[str, Labels]
    numbers: dict[str, np.ndarray]
    header: dict[str, Any]
    state: tuple[Any, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """Digest of the content.

        Raises
        ------
        ValueError
            When a file was written since the store was opened.
        """
        with suppress(FileNotFoundError):  # what is open stays readable when its folder goes
            if _state(self.path) != self.state:
                raise ValueError(f"{str(self.path)!r} was written since it was opened: open it again.")
        return str(self.header["digest"])


def is_store(path: Any) -> bool:
    """Whether there is a folder at ``path``: stores are folders, tables are files.

    An empty folder may by chance have the name of a model that comes with the package.
    """
    return Path(path).is_dir() and ((Path(path) / "header.json").exists() or path_of(path) == path)


def read_store(path: Any, verify: bool = False) -> Store:
    """Open a store; the profiles stay on the disk.

    Parameters
    ----------
    path : str or Path
    verify : bool, default=False
        Compare the whole content with its digest, also where no file seems to have been written.

    Raises
    ------
    FileNotFoundError
        When there is no store.
    ValueError
        When the store is of a newer format, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No stored pairs at {str(path)!r}.")
    if not (path / "header.json").exists():
        raise ValueError(f"{str(path)!r} holds no stored pairs (no header.json): make them with mocop build.")
    header = read_header(path)
    with _damage(path):
        store = _read_content(path, header)
        wells = _arrays_of_wells(store.smiles, store.keys, store.molecule, store.labels, store.numbers)
        if header["digest"] != _digest(header, wells):
            raise ValueError("the content is not what was stored: wells")
        if verify or not _is_known(store):
            if header["digest_of_profiles"] != _digest_of_profiles(path):
                raise ValueError("the content is not what was stored: profiles")
            _verified.add(_identity(store))
            _set_time_of_header(path)
    return store


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Raise one kind of error for whatever is wrong with the files."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        raise DamagedStore(path, str(error) or type(error).__name__) from error


def _read_content(path: Path, header: dict[str, Any]) -> Store:
    """Read all but the profiles, and check that the parts fit together."""
    n_rows, state = header["n_rows"], _state(path)
    profiles = map_matrix(path / "profiles.npy", (n_rows, header["n_features"]), header["dtype"])
    kinds: dict[str, tuple[str, int | None]] = {"molecule": ("<i4", n_rows), "smiles": ("|u1", None)}
    kinds |= {"keys": ("|u1", None)} | dict.fromkeys(_NUMBERS, ("<f4", n_rows))
    kinds |= dict.fromkeys(header["labels"], ("<i4", n_rows))
    wells = read_arrays(path / "wells.npz", kinds)
    lacking = {"molecule", "smiles", "keys", *header["labels"]}.difference(wells)
    if lacking:
        raise ValueError(f"without {sorted(lacking)}")
    smiles, keys = (bytes(wells[name]).decode().split("\n") for name in ("smiles", "keys"))
    if len(smiles) != len(keys) or len(set(smiles)) < len(smiles) or not all(smiles):
        raise ValueError(f"{len(smiles)} structures, {len(set(smiles))} of them different, for {len(keys)} keys")
    _check_codes("molecule", wells["molecule"], len(smiles))
    labels = {}
    for name in (name for name in WELL_COLUMNS if name in header["labels"]):
        labels[name] = Labels(wells[name], np.array(header["labels"][name], dtype=str))
        _check_codes(name, labels[name].codes, len(labels[name].names))
    numbers = {name: wells[name] for name in _NUMBERS if name in wells}
    weight = numbers.get("weight", np.ones(1))
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("a weight is negative or not finite")
    return Store(path, profiles, smiles, keys, wells["molecule"], labels, numbers, header, state)


def _check_codes(name: str, codes: np.ndarray, n_names: int) -> None:
    if codes.min() < 0 or codes.max() >= n_names:
        raise ValueError(f"a number of {name} is not below {n_names}")


# ---------------------------------------------------------------------------------------------
# Whether the content is what was stored
# ---------------------------------------------------------------------------------------------


def _state(path: Path) -> tuple[Any, ...]:
    """Size, identity and time of the files that hold the content."""
    found = [(path / name).stat() for name in _DATA]
    return tuple((status.st_size, status.st_ino, status.st_mtime_ns) for status in found)


def _is_known(store: Store) -> bool:
    """Whether the content was compared before, and no file has been written since."""
    return _identity(store) in _verified or _header_is_youngest(store.path)


def _identity(store: Store) -> tuple[Any, ...]:
    return store.path.resolve(), store.state, store.header["digest"]


def _header_is_youngest(path: Path) -> bool:
    """Whether the header is younger than the content, by the times of writing and of any change."""
    header = (path / "header.json").stat().st_mtime_ns
    found = [(path / name).stat() for name in _DATA]
    return all(max(status.st_mtime_ns, status.st_ctime_ns) < header for status in found)


def _set_time_of_header(path: Path) -> None:
    """Make the header the youngest file, where this is permitted."""
    end = time.monotonic() + _PATIENCE
    with suppress(OSError):
        while not _header_is_youngest(path) and time.monotonic() < end:
            time.sleep(0.002)
            os.utime(path / "header.json")


def _digest_of_profiles(path: Path) -> str:
    """SHA-256 of the numbers in the matrix, without the header of its file."""
    sha = hashlib.sha256()
    start = start_of_data(path / "profiles.npy")
    with open(path / "profiles.npy", "rb") as file:
        file.seek(start)
        while data := file.read(_BLOCK):
            sha.update(data)
    return sha.hexdigest()


def _arrays_of_wells(
    smiles: Sequence[str],
    keys: Sequence[str],
    molecule: np.ndarray,
    labels: Mapping[str, Labels],
    numbers: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """What ``wells.npz`` holds, in its order."""
    return {
        "molecule": molecule.astype("<i4"),
        "smiles": np.frombuffer("\n".join(smiles).encode(), dtype=np.uint8),
        "keys": np.frombuffer("\n".join(keys).encode(), dtype=np.uint8),
        **{name: label.codes.astype("<i4") for name, label in labels.items()},
        **{name: values.astype("<f4") for name, values in numbers.items()},
    }


def _digest(header: Mapping[str, Any], wells: Mapping[str, np.ndarray]) -> str:
    """Digest of profiles, by their own digest, of their names, and of what the rows are."""
    sha = hashlib.sha256(str(header["digest_of_profiles"]).encode())
    sha.update(repr((header["dtype"], list(header["feature_names"]), dict(header["labels"]))).encode())
    for name, array in wells.items():
        sha.update(name.encode() + array.tobytes())
    return sha.hexdigest()


# ---------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------


def write_store(
    path: Path,
    blocks: Iterable[np.ndarray],
    *,
    dtype: str,
    smiles: Sequence[str],
    keys: Sequence[str],
    molecule: np.ndarray,
    labels: Mapping[str, Labels],
    numbers: Mapping[str, np.ndarray],
    header: Mapping[str, Any],
) -> None:
    """Write a store into an existing folder; the same content gives the same bytes.

    Parameters
    ----------
    path : Path
    blocks : iterable of ndarray, shape (n, n_features)
        The profiles, some rows at a time.
    dtype : {"float16", "float32"}
    smiles, keys, molecule, labels, numbers, header
        As in :class:`Store`; ``header`` without format, shape, labels and digest.
    """
    shape = len(molecule), len(header["feature_names"])
    content = {
        "format": FORMAT,
        "n_rows": shape[0],
        "n_features": shape[1],
        "dtype": dtype,
        "labels": {name: label.names.tolist() for name, label in labels.items()},
        **header,
    }
    wells = _arrays_of_wells(smiles, keys, molecule, labels, numbers)
    content["digest_of_profiles"] = _write_matrix(path / "profiles.npy", blocks, shape, dtype)
    content["digest"] = _digest(content, wells)
    with open(path / "wells.npz", "wb") as file:
        np.savez(file, **wells)  # type: ignore[arg-type]
        _sync(file)
    with open(path / "header.json", "w", encoding="utf-8") as text:
        text.write(header_text(content))
        _sync(text)
    _set_time_of_header(path)


def _write_matrix(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, int], dtype: str) -> str:
    """Write profiles block by block, and return the SHA-256 of their bytes."""
    little = np.dtype(dtype).newbyteorder("<")
    sha = hashlib.sha256()
    with open(path, "wb") as file:
        layout = {"descr": little.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, layout)
        for block in blocks:
            data = np.ascontiguousarray(block, dtype=little).data
            sha.update(data)
            file.write(data)
        _sync(file)
    return sha.hexdigest()


def _sync(file: Any) -> None:
    """Wait until the disk holds a file."""
    file.flush()
    os.fsync(file.fileno())
