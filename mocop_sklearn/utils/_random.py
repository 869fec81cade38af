"""Seeds and independent random streams."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

_TORCH_SEED_LOCK = threading.RLock()


class Stream(IntEnum):
    """Ids of the independent random streams derived from the seed of a run."""

    SPLIT = 0
    INITIAL_WEIGHTS = 1
    EPOCH = 2
    ENSEMBLE_MEMBER = 3
    TRANSFORMER_ROWS = 4


def base_seed(random_state: Any) -> int:
    """Return the integer from which every random choice of a run is derived."""
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    return int(random_state)


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the generator of a stream (and an epoch, or a member), so that resuming needs no stored state."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *key)))


def torch_integer(rng: np.random.Generator) -> int:
    """Draw a seed for torch."""
    return int(rng.integers(2**62))


@contextlib.contextmanager
def torch_seed(device: torch.device) -> Iterator[None]:
    """Leave torch's global random state as it was found; one thread at a time, because there is only one."""
    with _TORCH_SEED_LOCK, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
