"""Work in other processes that goes on when a molecule ends one of them or never comes to an end."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from math import isqrt
from multiprocessing import TimeoutError as PoolTimeout
from multiprocessing import current_process
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend.process import LokyProcess
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend

_T = TypeVar("_T")

SECONDS = 20.0  # that one molecule may take in another process
_SECONDS_TO_START = 240.0  # of all processes, on a busy machine
_SECONDS_OF_MORE = 0.05  # that every further molecule of a chunk may take
_FEW = 16  # values of a lost chunk that are tried one by one at once
_TOO_LONG = (FutureTimeout, PoolTimeout, TimeoutError)
# What joblib raises when a process is lost.
LOST = (TerminatedWorkerError, BrokenProcessPool, *_TOO_LONG)


def in_chunks(
    work: Callable[[Sequence[Any]], _T],
    chunks: Sequence[Sequence[Any]],
    failed: Callable[[str], _T],
    n_jobs: int | None,
) -> Iterator[list[_T]]:
    """Yield ``work(chunk)`` for all chunks, in order and, where joblib's backend can, as soon as each is there.

    When a process dies or a chunk takes too long, the chunks that were in work are tried again in a process of their
    own, then in pieces: only a value that cannot be worked on alone is given up. The other chunks go on as before. In
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
        For each chunk one result, or several in order for a chunk that was tried in pieces.
    """
    backend = get_active_backend()[0]
    n_processes = effective_n_jobs(n_jobs)
    several = n_processes > 1 and getattr(backend, "supports_timeout", False)
    lazy = getattr(backend, "supports_return_generator", False)
    settings: dict[str, Any] = {"n_jobs": n_jobs, "return_as": "generator" if lazy else "list"}
    if several:
        # one chunk a task, so that the time limit is that of a chunk
        settings |= {"timeout": _SECONDS_TO_START + seconds_for(max(map(len, chunks), default=0)), "batch_size": 1}
    n_lost = 2 * n_processes if lazy else len(chunks)  # as many as joblib may have had in work
    worker = _Worker()
    done = 0
    try:
        while done < len(chunks):
            try:
                for result in Parallel(**settings)(map(delayed(work), chunks[done:])):
                    yield [result]
                    done += 1
            except LOST:
                for chunk in chunks[done : done + n_lost]:
                    yield _in_pieces(worker, work, chunk, failed)
                    done += 1
    finally:
        worker.stop()


def in_another_process(
    work: Callable[[Sequence[Any]], _T], chunks: Sequence[Sequence[Any]], failed: Callable[[str], _T]
) -> Iterator[list[_T]]:
    """Do the same in one process beside this one, for chunks that are known to hold such a value."""
    worker = _Worker()
    try:
        for chunk in chunks:
            yield _in_pieces(worker, work, chunk, failed)
    finally:
        worker.stop()


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this process when the block takes longer, if it is one of joblib's, which are replaced.

    A thread in C does it, because code that reads a molecule lets no other Python run.
    """
    if not isinstance(current_process(), LokyProcess):
        yield
        return
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def seconds_for(n: int) -> float:
    """Seconds that a chunk of n molecules may take."""
    return SECONDS + _SECONDS_OF_MORE * n


def _in_pieces(
    worker: _Worker, work: Callable[[Sequence[Any]], _T], values: Sequence[Any], failed: Callable[[str], _T]
) -> list[_T]:
    try:
        return [worker.run(work, values)]
    except LOST as error:
        if len(values) > 1:
            # halves would lose, and start, a process for each power of two
            size = isqrt(len(values)) if len(values) > _FEW else 1
            pieces = [values[start : start + size] for start in range(0, len(values), size)]
            return [result for piece in pieces for result in _in_pieces(worker, work, piece, failed)]
        too_long = isinstance(error, _TOO_LONG)
        return [failed(f"took longer than {SECONDS:.0f} seconds" if too_long else "ended the process that read it")]


def _received(work: Any) -> None:
    """Do nothing: what ``work`` needs is imported with it."""


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
            result: _T = self._executor.submit(work, values).result(timeout=seconds_for(len(values)))
            return result
        except LOST:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process."""
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)
            self._executor = None
