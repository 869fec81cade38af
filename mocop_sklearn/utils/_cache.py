"""A cache of results that processes share."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock
from joblib.parallel import get_active_backend
from sklearn.utils.validation import check_memory

from ._distributed import of_first_rank, process_group
from ._files import atomic_write


def digest_of_pickle(content: Any) -> str:
    """Digest of anything that can be pickled; of functions, by their names.

    Raises
    ------
    ValueError
        When a part of it cannot be pickled.
    """
    try:
        return str(joblib.hash(content))
    except (pickle.PicklingError, AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(
            "memory and checkpoint_dir tell fits apart by pickling the parameters, and one of them cannot be "
            f"pickled: {error.args[0]}. Use functions that are defined at the top level of a module."
        ) from error


def once(memory: Any, key: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function(*args)`` once per ``key``, among all processes that share the cache ``memory``.

    Parameters
    ----------
    memory : None, str, Path or joblib.Memory
    key : str
        Digest of everything that decides the result.
    """
    memory = check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)
    store = getattr(memory, "store_backend", None)
    if store is None:
        return function(*args)
    # Memory.cache also compares the source of functions, and evaluates again where another process left none: the
    # key says it all, so results are files of their own, in the folder that Memory.clear empties.
    path = Path(store.location) / "mocop_sklearn" / f"{key}.joblib"
    path.parent.mkdir(parents=True, exist_ok=True)
    rank, world_size = process_group()
    if world_size > 1:  # they compute together, so none may wait for another
        if of_first_rank(path.exists()):
            return joblib.load(path)
        result = function(*args)
        if rank == 0:
            with atomic_write(path) as temporary:
                joblib.dump(result, temporary)
        return result
    # Two workers of a grid search that need the same fit at the same time: the second waits for the first.
    with FileLock(path.with_suffix(".lock")), _on_this_machine():
        if path.exists():
            return joblib.load(path)
        result = function(*args)
        with atomic_write(path) as temporary:
            joblib.dump(result, temporary)
        return result


def _on_this_machine() -> contextlib.AbstractContextManager[Any]:
    """Keep joblib from handing parts of the work to a cluster, all workers of which may be waiting for this one."""
    backend, _ = get_active_backend()
    if type(backend).__module__ == "joblib._parallel_backends":  # joblib's own
        return contextlib.nullcontext()
    return joblib.parallel_config("loky")
