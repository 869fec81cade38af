"""Device, precision, seeds, process group, work done ahead, and files that are never half-written."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import torch
import torch.distributed as dist
from filelock import FileLock
from joblib.parallel import get_active_backend
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

_T = TypeVar("_T")
_UMASK_LOCK = threading.Lock()
_TORCH_SEED_LOCK = threading.RLock()


def resolve_device(device: str | torch.device) -> torch.device:
    """``"auto"`` is the GPU when there is one, and in a process group the one of this process, else the CPU.

    Raises
    ------
    ValueError
        When the device is unknown or not available on this machine.
    """
    if device == "auto":
        local = f":{os.environ.get('LOCAL_RANK', 0)}" if process_group()[1] > 1 else ""
        return torch.device(f"cuda{local}" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'device must be "auto", "cpu", "cuda" or "cuda:<index>", got {device!r}.') from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f'device must be "auto", "cpu", "cuda" or "cuda:<index>", got {device!r}.')
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} asks for a GPU, but torch sees {torch.cuda.device_count()} here. "
            'Use device="auto" or device="cpu".'
        )
    return resolved


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The autocast context of ``precision``: ``"auto"`` is bfloat16 on a GPU that has it, else float32."""
    bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


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


def process_group() -> tuple[int, int]:
    """Rank of this process, and the number of processes that train together; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextlib.contextmanager
def joined_process_group() -> Iterator[int]:
    """Join the processes that torchrun has started, if it has, and yield the rank of this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield process_group()[0]
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def of_first_rank(value: Any) -> Any:
    """Return the value that the first process of the group has."""
    if process_group()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes of the group."""
    world_size = process_group()[1]
    if world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient) / world_size)


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yield items, the next of which a thread makes while the last is in use."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        upcoming = thread.submit(next, items, end)
        while (item := upcoming.result()) is not end:
            upcoming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def results(jobs: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    """Results of delayed calls, in order and, where joblib's active backend can, as soon as they are there."""
    backend, _ = get_active_backend()
    return_as = "generator" if getattr(backend, "supports_return_generator", False) else "list"
    return iter(joblib.Parallel(n_jobs, return_as=return_as)(jobs))


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """Permissions that new files are denied; it can only be read by setting it, for all threads."""
    with _UMASK_LOCK:
        umask = os.umask(0o077)
        os.umask(umask)
    return umask


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
