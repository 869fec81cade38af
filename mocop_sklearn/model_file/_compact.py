"""The arrays of a model file: weights of networks, in half precision where it is exact, and hashed keys as integers."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..nn._models import Architecture

_PREFIX = "keys."
KEYS = ("molecule_keys", "structure_keys")


def numbered(networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the weights of several networks under one name each; undo it with ``networks_of``."""
    return {f"{i}.{name}" if i else name: w for i, network in enumerate(networks) for name, w in network.items()}


def networks_of(weights: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return the weights of each network, by their names in it."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, w in weights.items():
        number, name = re.fullmatch(r"(?:([1-9]\d{0,3})\.)?(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
        found.setdefault(int(number or 0), {})[name] = w
    return [found.get(i, {}) for i in range(max(found, default=0) + 1)]


def kept_parts(weights: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    """Return the weights of one network without those of parts that only training needs, or the architecture lacks."""
    kept = ["molecule_encoder", "structure_head"]
    if architecture.has_profile_network:
        kept += ["molecule_head", "profile_encoder", "profile_head", "log_scale"]
    return {name: w for name, w in weights.items() if name.partition(".")[0] in kept}


def rounded(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights that half precision holds exactly.

    Raises
    ------
    ValueError
        When a weight is beyond its range.
    """
    found = {}
    for name, w in weights.items():
        if w.dtype == np.float32:
            with np.errstate(over="ignore"):
                w = w.astype(np.float16).astype(np.float32)
            if not np.isfinite(w).all():
                raise ValueError(f"The weights {name!r} hold numbers beyond half precision (65,504).")
        found[name] = w
    return found


def packed(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights in half precision if nothing is lost by it, else as they are."""
    with np.errstate(over="ignore"):
        halves = {name: w.astype(np.float16) if w.dtype == np.float32 else w for name, w in weights.items()}
    exact = all(np.array_equal(half, weights[name]) for name, half in halves.items())
    return halves if exact else dict(weights)


def unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a file with weights in single precision, and without those that are keys."""
    return {
        name: a.astype(np.float32) if name.startswith("weights.") and a.dtype == np.float16 else a
        for name, a in arrays.items()
        if not name.startswith(_PREFIX)
    }


def hashed_key(key: str) -> str:
    """Return "#" and 16 digits that stand for a connectivity key in a file that should be small."""
    return key if key.startswith("#") else "#" + hashlib.sha256(key.encode()).hexdigest()[:16]


def distinct_keys(*parts: Iterable[str]) -> list[str]:
    """Return the keys of all molecules, sorted; a key takes the place of its hashed form."""
    keys = set(itertools.chain.from_iterable(parts))
    plain = {key for key in keys if not key.startswith("#")}
    return sorted(keys if len(plain) == len(keys) else keys - set(map(hashed_key, plain)))


def keys_beyond(keys: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the keys of the molecules that have none among the known ones, hashed or not."""
    keys, known = list(keys), set(known)
    if not any(key.startswith("#") for key in (*keys, *known)):
        return [key for key in keys if key not in known]
    hashes = set(map(hashed_key, known))
    return [key for key in keys if hashed_key(key) not in hashes]


def integers_of(keys: Iterable[str]) -> np.ndarray:
    """Return hashed keys as integers, 8 bytes each."""
    return np.array([int(key[1:], 16) for key in keys], dtype=np.uint64)


def keys_of_integers(integers: np.ndarray) -> list[str]:
    """Undo ``integers_of``."""
    return [f"#{integer:016x}" for integer in integers.tolist()]


def pack_keys(record: dict[str, Any]) -> dict[str, np.ndarray]:
    """Move the hashed keys of a record to arrays, which are returned."""
    arrays = {}
    for name in KEYS:
        keys = record[name]
        if keys and all(key.startswith("#") for key in keys):
            arrays[_PREFIX + name] = integers_of(keys)
            record[name] = []
    return arrays


def unpack_keys(name: str, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the keys of a record, also those that are in an array.

    Raises
    ------
    ValueError
        When the array does not hold hashed keys.
    """
    stored = arrays.get(_PREFIX + name)
    if stored is None:
        return list(record[name])
    if stored.dtype != np.uint64 or stored.ndim != 1:
        raise ValueError(f"{name} are not hashed keys but {stored.dtype} of shape {stored.shape}.")
    return keys_of_integers(stored)
