"""The files of a stored corpus: a memory-mapped matrix of profiles, and what its rows are.

A store is a folder. ``profiles.npy`` is the matrix, ``wells.npz`` has one entry per row and per molecule,
``header.json`` all else: format, names, counts, provenance and the digest of the content.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._labels import WELL_COLUMNS, Labels

FORMAT = 1


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
    """

    path: Path
    profiles: np.ndarray
    smiles: list[str]
    keys: list[str]
    molecule: np.ndarray
    labels: dict[str, Labels]
    numbers: dict[str, np.ndarray]
    header: dict[str, Any]


def is_store(path: Any) -> bool:
    """Whether there is a folder at ``path``: stores are folders, tables are files."""
    return Path(path).is_dir()


def read_store(path: Any) -> Store:
    """Open a store; the profiles stay on disk.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no store, when it is of a newer format, or when a file is cut short.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No stored pairs at {str(path)!r}.")
    if not (path / "header.json").exists():
        raise ValueError(f"{str(path)!r} holds no stored pairs (no header.json): make them with mocop build.")
    try:
        header = json.loads((path / "header.json").read_text(encoding="utf-8"))
        version = int(header["format"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{str(path)!r} is damaged (header.json: {error}): build it anew.") from error
    if version > FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {version}, but this version of mocop-sklearn reads up to "
            f"{FORMAT}: upgrade it, or build the store anew."
        )
    try:
        profiles = np.load(path / "profiles.npy", mmap_mode="r")
        with open(path / "wells.npz", "rb") as file, np.load(file) as arrays:
            wells = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}): build it anew.") from error
    lacking = [
        name for name in ("digest", "feature_names", "labels", "recipe", "files", "report") if name not in header
    ]
    lacking += [name for name in ("molecule", "smiles", "keys") if name not in wells]
    if lacking:
        raise ValueError(f"{str(path)!r} is damaged (without {lacking}): build it anew.")
    if profiles.shape != (len(wells["molecule"]), len(header["feature_names"])):
        raise ValueError(f"{str(path)!r} is damaged (a matrix of shape {profiles.shape}): build it anew.")
    smiles, keys = (bytes(wells[name]).decode().split("\n") for name in ("smiles", "keys"))
    labels = {n: Labels(wells[n], np.array(header["labels"][n], dtype=str)) for n in WELL_COLUMNS if n in wells}
    numbers = {name: wells[name] for name in ("dose", "weight") if name in wells}
    return Store(path, profiles, smiles, keys, wells["molecule"], labels, numbers, header)


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
    little = np.dtype(dtype).newbyteorder("<")
    shape = len(molecule), len(header["feature_names"])
    sha = hashlib.sha256()
    with open(path / "profiles.npy", "wb") as file:
        layout = {"descr": little.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, layout)
        for block in blocks:
            data = np.ascontiguousarray(block, dtype=little).data
            sha.update(data)
            file.write(data)
    wells: dict[str, np.ndarray] = {
        "molecule": molecule.astype(np.int32),
        "smiles": np.frombuffer("\n".join(smiles).encode(), dtype=np.uint8),
        "keys": np.frombuffer("\n".join(keys).encode(), dtype=np.uint8),
        **{name: label.codes for name, label in labels.items()},
        **numbers,
    }
    content = {
        "format": FORMAT,
        "n_rows": shape[0],
        "n_features": shape[1],
        "dtype": dtype,
        "labels": {name: label.names.tolist() for name, label in labels.items()},
        **header,
    }
    sha.update(json.dumps([content["feature_names"], content["labels"]]).encode())
    for name, array in wells.items():
        sha.update(name.encode() + array.tobytes())
    np.savez(path / "wells.npz", **wells)  # type: ignore[arg-type]
    content["digest"] = sha.hexdigest()
    (path / "header.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
