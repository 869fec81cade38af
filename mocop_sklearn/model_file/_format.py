"""The file format: safetensors with a JSON header, versioned, digested, no pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import sklearn
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .._version import __version__
from ..utils._files import atomic_write
from ..utils._names import described, plain_repr

FORMAT_VERSION = 1
MODEL, FINE_TUNED = "model", "fine-tuned model"  # kinds of files
_KEY = "mocop_sklearn"


def write_file(path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays and a JSON header atomically, with a digest of everything.

    Raises
    ------
    OSError
        When the file cannot be written, as on a full disk; it names the path.
    """
    arrays = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in arrays.items()}
    header = {"format_version": FORMAT_VERSION, "kind": kind, **header}
    header["digest"] = content_digest(header, arrays)
    try:
        with atomic_write(path) as temporary:
            save_file(arrays, temporary, metadata={_KEY: json.dumps(header)})
    except SafetensorError as error:  # it is not an OSError, although it stands for one
        raise OSError(f"The {kind} could not be written to {os.fspath(path)!r}: {error}") from error


def write_or_save_elsewhere(
    path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write a file; where that fails, as on a full disk, write it to another place before the error is raised.

    Raises
    ------
    OSError
        It names the path, and the place where the content is now.
    """
    try:
        write_file(path, kind, header, arrays)
    except OSError as error:
        for folder in (Path(tempfile.gettempdir()), Path.home(), Path.cwd()):
            fallback = folder / f"{Path(path).stem}-{secrets.token_hex(4)}.safetensors"
            with contextlib.suppress(OSError):
                write_file(fallback, kind, header, arrays)
                break
        else:
            raise
        raise OSError(
            f"{os.fspath(path)!r} could not be written: {error}. Nothing is lost: the {kind} is in {str(fallback)!r}; "
            "move it to where there is room."
        ) from error


def is_model_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is one that ``write_file`` wrote, without reading its arrays."""
    try:
        with safe_open(path, framework="np") as file:
            return _KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_file(path: str | os.PathLike[str], *kinds: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what ``write_file`` wrote, of one of the kinds; ``kind`` in the header tells which.

    Raises
    ------
    FileNotFoundError
        When the file does not exist.
    ValueError
        When the file is truncated, altered, of a newer format or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No model file at {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a directory, not a model file.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} is not a readable safetensors file ({error}). It is truncated or of another kind: "
            "copy it again, or name another file."
        ) from error
    if _KEY not in metadata:
        raise ValueError(f"{str(path)!r} is a safetensors file, but not one written by mocop_sklearn.")
    header = _header(path, metadata[_KEY], kinds)
    if header.pop("digest") != content_digest(header, arrays):
        raise ValueError(_altered(path))
    return header, arrays


def _header(path: Path, text: str, kinds: Sequence[str]) -> dict[str, Any]:
    try:
        header = json.loads(text)
        version, stored_kind, _ = header["format_version"], header["kind"], header["digest"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(_altered(path)) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{str(path)!r} has format version {version}, but this mocop_sklearn reads versions up to "
            f"{FORMAT_VERSION}. Upgrade mocop-sklearn."
        )
    if stored_kind not in kinds:
        raise ValueError(f"{str(path)!r} holds a {stored_kind}, but a {' or a '.join(kinds)} is needed.")
    return header


def _altered(path: Path) -> str:
    return f"{str(path)!r} was altered after it was written: its digest does not match. Copy it again."


def content_digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of plain data and named arrays."""
    sha = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        sha.update(f"{name}:{a.dtype.str}:{a.shape}".encode())
        sha.update(np.ascontiguousarray(a).data if a.size else b"")
    return sha.hexdigest()


def plain_value(value: Any) -> Any:
    """Return a numpy scalar as the Python number that it is, which JSON can hold; anything else as it came."""
    return value.item() if isinstance(value, np.generic) else value


def recorded(value: Any) -> Any:
    """Return a parameter as model files record it: plain data, the name of a function, or a representation."""
    value = plain_value(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and all(isinstance(item, (Real, str)) for item in value):
        return [recorded(item) for item in value]
    return described(value) if callable(value) else plain_repr(value)[:200]


def library_versions() -> dict[str, str]:
    """Return the versions of what a result depends on."""
    return {
        "mocop_sklearn": __version__,
        "torch": torch.__version__,
        "rdkit": rdkit.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
