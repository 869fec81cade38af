"""The parts of an unfinished build: what each file of plates comes to."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils._files import atomic_write
from ._labels import Labels

FORMAT = 4  # of a part: a build does not go on with those of another version


@dataclass(frozen=True)
class Part:
    """The wells of one file that may be stored; their profiles stay on the disk.

    Attributes
    ----------
    facts : dict
        ``file``, ``features``, ``left_out``, ``fates``, ``counts``, ``names``, ``unreadable``, ``rules``,
        ``selections``, ``joins``, ``held_out`` and ``told_apart_by``. ``counts`` is empty where the file is missing.
    texts : dict of str to Labels, each of shape (n_stored,)
        ``smiles`` and ``key``, and of source, batch, plate and well those that are known.
    numbers : dict of str to ndarray, each of shape (n_stored,)
        Of dose and weight those that are known.
    moments : ndarray, shape (4, n_features)
        Count, mean, variance and largest size of the finite values of each feature, before clipping.
    """

    facts: dict[str, Any]
    texts: dict[str, Labels]
    numbers: dict[str, np.ndarray]
    moments: np.ndarray


MISSING = Part({"features": [], "fates": {}, "names": [], "unreadable": {}, "counts": {}}, {}, {}, np.empty((4, 0)))


def profiles_path(target: Path) -> Path:
    """The file beside a part that holds its clipped profiles, row by row, and nothing else."""
    return target.with_suffix(".profiles")


def save_part(target: Path, part: Part) -> None:
    """Write a part, at once or not at all; its profiles have been written."""
    arrays = part.numbers | {f"codes_of_{name}": labels.codes for name, labels in part.texts.items()}
    facts = part.facts | {"texts": {name: labels.names.tolist() for name, labels in part.texts.items()}}
    content = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    with atomic_write(target) as temporary, open(temporary, "wb") as out:
        np.savez(out, facts=content, moments=part.moments, **arrays)  # type: ignore[arg-type]


def read_part(path: Path) -> Part:
    """Read all of a part but its profiles."""
    with _damage(path), open(path, "rb") as file, np.load(file) as arrays:  # np.load alone leaves a broken file open
        content = {name: arrays[name] for name in arrays.files}
        facts = json.loads(bytes(content.pop("facts")))
        texts = {
            name: Labels(content.pop(f"codes_of_{name}"), np.array(names, dtype=object))
            for name, names in facts.pop("texts").items()
        }
        return Part(facts, texts, moments=content.pop("moments"), numbers=content)


def map_profiles(path: Path, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Map the clipped profiles of a part into memory, shape (n_stored, n_features)."""
    file = profiles_path(path)
    with _damage(path):
        wanted = shape[0] * shape[1] * np.dtype(dtype).itemsize
        if file.stat().st_size != wanted:
            raise ValueError(f"{file.name} has {file.stat().st_size:,} bytes instead of {wanted:,}")
        return np.memmap(file, dtype=dtype, mode="r", shape=shape) if wanted else np.empty(shape, dtype=dtype)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever is wrong with a part is one kind of error."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The part {str(path)!r} of an unfinished build is damaged ({error}): remove it, and make the same call "
            "again."
        ) from error
