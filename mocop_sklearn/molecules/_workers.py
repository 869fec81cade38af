"""Work in other processes that goes on when a molecule ends one of them or never comes to an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import TimeoutError as PoolTimeout
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend

_T = TypeVar("_T")

SECONDS = 20.0  # that one molecule may take in another process
_SECONDS_TO_START = 240.0  # of all processes, on a busy machine
_SECONDS_OF_MORE = 0.05  # that every further molecule of a chunk may take
_TOO_LONG = (FutureTimeout, PoolTimeout, TimeoutError)
_LOST = (TerminatedWorkerError, BrokenProcessPool, *_TOO_LONG)


def in_chunks(
    work: Callable[[Sequence[Any]], _T],
    chunks: Sequence[Sequence[Any]],
    failed: Callable[[str], _T],
    n_jobs: int | None,
) -> Iterator[list[_T]]:
    """Yield ``work(chunk)`` for all chunks, in order and, where joblib's backend can, as soon as each is there.

    When a process dies or a chunk takes too long, the chunks that were in work are tried again in a process of their
    own, then in halves: only a value that cannot be worked on alone is given up. The other chunks go on as before. In
    one process nothing can be done about such values, because code in C cannot be interrupted.

    Parameters
    ----------
    work : callable
        It is pickled anew for every chunk, so that a change of its attributes matters to later chunks.
    chunks : sequence of sequences
    failed : callable
        ``failed(reason)`` stands for the result of a chunk with one value that cannot be worked on.
    n_jobs : int or None
        Processes, as in joblib.

    Yields
    ------
    list
        For each chunk one result, or several in order for a chunk that was halved.
    """
    backend = get_active_backend()[0]
    n_processes = effective_n_jobs(n_jobs)
    several = n_processes > 1 and getattr(backend, "supports_timeout", False)
    lazy = getattr(backend, "supports_return_generator", False)
    settings: dict[str, Any] = {"n_jobs": n_jobs, "return_as": "generator" if lazy else "list"}
    if several:
        # one chunk a task, so that the time limit is that of a chunk
        settings |= {"timeout": _SECONDS_TO_START + _seconds(max(map(len, chunks))), "batch_size": 1}
    n_lost = 2 * n_processes if lazy else len(chunks)  # as many as joblib may have had in work
    worker = _Worker()
    done = 0
    try:
        while done < len(chunks):
            try:
                for result in Parallel(**settings)(map(delayed(work), chunks[done:])):
                    yield [result]
                    done += 1
            except _LOST:
                for chunk in chunks[done : done + n_lost]:
                    yield _in_halves(worker, work, chunk, failed)
                    done += 1
    finally:
        worker.stop()


def _in_halves(
    worker: _Worker, work: Callable[[Sequence[Any]], _T], values: Sequence[Any], failed: Callable[[str], _T]
) -> list[_T]:
    try:
        return [worker.run(work, values)]
    except _LOST as error:
        if len(values) > 1:
            middle = len(values) // 2
            halves = values[:middle], values[middle:]
            return [result for half in halves for result in _in_halves(worker, work, half, failed)]
        too_long = isinstance(error, _TOO_LONG)
        return [failed(f"took longer than {SECONDS:.0f} seconds" if too_long else "ended the process that read it")]


def _received(work: Any) -> None:
    """Do nothing: what ``work`` needs is imported with it."""


def _seconds(n: int) -> float:
    return SECONDS + _SECONDS_OF_MORE * n


class _Worker:
    """One process, started anew after every loss."""

    def __init__(self) -> None:
        self._executor: ProcessPoolExecutor | None = None

    def run(self, work: Callable[[Sequence[Any]], _T], values: Sequence[Any]) -> _T:
        """Return ``work(values)``, computed in the process."""
        if self._executor is None:
            self._executor = ProcessPoolExecutor(max_workers=1)
            self._executor.submit(_received, work).result()  # so that the start and the imports are not counted
        try:
            result: _T = self._executor.submit(work, values).result(timeout=_seconds(len(values)))
            return result
        except _LOST:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process."""
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)
            self._executor = None
