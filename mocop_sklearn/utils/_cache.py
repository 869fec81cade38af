"""A cache of results that processes share; its entries are plain files, not pickles."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import joblib
import numpy as np
from filelock import FileLock
from joblib.parallel import get_active_backend
from sklearn.utils.validation import check_memory

from ._distributed import of_first_rank, process_group
from ._files import atomic_write


@dataclass(frozen=True)
class Entry:
    """How to write and read one kind of result.

    Attributes
    ----------
    suffix : str
        Suffix of the file's name.
    write : callable
        ``write(result, path)``; it raises ``TypeError`` if the result cannot be written.
    read : callable
        ``read(path)`` returns the result; it raises ``ValueError`` or ``OSError`` if the file is damaged.
    """

    suffix: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path], Any]


def _write_rows(found: tuple[np.ndarray, dict[int, str]], path: Path) -> None:
    numbers, reasons = found
    with open(path, "wb") as file:
        np.savez(file, numbers=numbers, rows=np.array([*reasons], int), reasons=np.array([*reasons.values()], str))


def _read_rows(path: Path) -> tuple[np.ndarray, dict[int, str]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["numbers"], dict(zip(arrays["rows"].tolist(), arrays["reasons"].tolist(), strict=True))
    except (KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"it is not a whole archive of arrays: {error}") from error


# A matrix, and the rows of it that have no numbers with the reason of each.
ROWS_WITH_REASONS = Entry(".npz", _write_rows, _read_rows)


def digest_of_pickle(content: Any) -> str:
    """Return a digest of any value that can be pickled; functions count by name.

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


def once(memory: Any, key: str, entry: Entry, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function(*args)`` once per ``key``, among all processes that share the cache ``memory``.

    A damaged entry is computed again. A result that cannot be stored is returned with a warning.

    Parameters
    ----------
    memory : None, str, Path or joblib.Memory
    key : str
        Digest of everything that decides the result.
    entry : Entry
    """
    memory = check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)
    store = getattr(memory, "store_backend", None)
    if store is None:
        return function(*args)
    # Memory.cache also compares the source of functions, and evaluates again where another process left none. The
    # key determines the result, so results are separate files, in the folder that Memory.clear empties.
    path = Path(store.location) / "mocop_sklearn" / f"{key}{entry.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    rank, world_size = process_group()
    if world_size > 1:  # they compute together, so none may wait for another
        found, result = of_first_rank(_read(path, entry) if rank == 0 else None)
        if not found:
            result = function(*args)
            if rank == 0:
                _keep(result, path, entry)
        return result
    # Two workers of a grid search that need the same fit at the same time: the second waits for the first.
    with FileLock(path.with_suffix(".lock")), _on_this_machine():
        found, result = _read(path, entry)
        if not found:
            result = function(*args)
            _keep(result, path, entry)
        return result


def _read(path: Path, entry: Entry) -> tuple[bool, Any]:
    """Return whether there is a sound entry, and its result."""
    if not path.exists():
        return False, None
    try:
        return True, entry.read(path)
    except (ValueError, OSError) as error:
        warnings.warn(f"The cache entry {str(path)!r} is damaged and is made anew: {error}", UserWarning, stacklevel=4)
        return False, None


def _keep(result: Any, path: Path, entry: Entry) -> None:
    try:
        with atomic_write(path) as temporary:
            entry.write(result, temporary)
    except (OSError, TypeError) as error:
        warnings.warn(f"A result could not be kept in the cache: {error}", UserWarning, stacklevel=4)


def _on_this_machine() -> contextlib.AbstractContextManager[Any]:
    """Keep joblib from handing parts of the work to a cluster, all workers of which may be waiting for this one."""
    backend, _ = get_active_backend()
    if type(backend).__module__ == "joblib._parallel_backends":  # joblib's own
        return contextlib.nullcontext()
    return joblib.parallel_config("loky")
