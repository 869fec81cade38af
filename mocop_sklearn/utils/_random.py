"""Seeds and independent random streams."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

_TORCH_SEED_LOCK = threading.RLock()


def base_seed(random_state: Any) -> int:
    """One integer that every random choice of a run is derived from."""
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    return int(random_state)


def generator(seed: int, *key: int) -> np.random.Generator:
    """Independent numpy generator for a purpose (and an epoch), so that resuming needs no stored state."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@contextlib.contextmanager
def torch_seed(device: torch.device) -> Iterator[None]:
    """Leave torch's global random state as it was found; one thread at a time, for there is only one."""
    with _TORCH_SEED_LOCK, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
