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

FORMAT = 2  # of a part: a build does not go on with those of another version


@dataclass(frozen=True)
class Part:
    """The wells of one file that may be stored; their profiles stay on the disk.

    Attributes
    ----------
    facts : dict
        ``file``, ``features``, ``left_out``, ``fates``, ``counts``, ``names``, ``rules``, ``selections``, ``joins``,
        ``held_out`` and ``told_apart_by``. ``counts`` is empty where the file is missing.
    wells : dict of str to ndarray, each of shape (n_stored,)
        ``smiles`` and ``key``, and of source, batch, plate, well, dose and weight those that are known.
    moments : ndarray, shape (4, n_features)
        Count, mean, variance and largest size of the finite values of each feature, before clipping.
    """

    facts: dict[str, Any]
    wells: dict[str, np.ndarray]
    moments: np.ndarray


MISSING = Part({"features": [], "fates": {}, "names": [], "counts": {}}, {}, np.empty((4, 0)))


def save_part(target: Path, part: Part, profiles: np.ndarray | None) -> None:
    """Write a part, at once or not at all."""
    arrays = part.wells | {"moments": part.moments}
    if profiles is not None:
        arrays["profiles"] = profiles
    facts = np.frombuffer(json.dumps(part.facts).encode(), dtype=np.uint8)
    with atomic_write(target) as temporary, open(temporary, "wb") as out:
        np.savez(out, facts=facts, **arrays)  # type: ignore[arg-type]


def read_part(path: Path) -> Part:
    """Read all of a part but its profiles."""
    with _part_file(path) as arrays:
        content = {name: arrays[name] for name in arrays.files if name != "profiles"}
        return Part(json.loads(bytes(content.pop("facts"))), moments=content.pop("moments"), wells=content)


def read_profiles(path: Path) -> np.ndarray:
    """Read the clipped profiles of a part, shape (n_stored, n_features)."""
    with _part_file(path) as arrays:
        return arrays["profiles"]


@contextmanager
def _part_file(path: Path) -> Iterator[Any]:
    """Open a part; whatever is wrong with it is one kind of error."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:  # np.load alone leaves a broken file open
            yield arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The part {str(path)!r} of an unfinished build is damaged ({error}): remove it, and make the same call "
            "again."
        ) from error
