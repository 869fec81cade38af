"""Downloads of one file and of many: tried again, verified, and never half-written under their final name.

``_transfer.py`` gets one file from a server; ``_local_file.py`` says what lies on disk.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from filelock import FileLock, Timeout

from ._local_file import LocalFile
from ._transfer import NotOnServer, Remote, Stopped, Transfer, Transient, require_obstore

_LONGEST_WAIT = 120.0


@dataclass(frozen=True)
class Patience:
    """How often and how long to try.

    Attributes
    ----------
    n_retries : int
        Tries of one file after the first.
    delay : float
        Seconds before the first retry; each further one waits about twice as long, up to two minutes.
    timeout : float
        Seconds to wait for a silent server.
    """

    n_retries: int = 5
    delay: float = 0.5
    timeout: float = 30.0

    def wait(self, attempt: int, at_least: float = 0.0) -> float:
        """Seconds after try number ``attempt``; random, so that threads do not come back together."""
        backoff = self.delay * 2**attempt * random.uniform(0.5, 1.5)
        return min(max(backoff, at_least), _LONGEST_WAIT)


def download(remote: Remote, path: Path, patience: Patience | None = None, stop: Event | None = None) -> int:
    """Download a file unless it is there already.

    Parameters
    ----------
    remote : Remote
    path : Path
        The final name. Its folder is made.
    patience : Patience, optional
    stop : threading.Event, optional
        Ends the download soon after it is set.

    Returns
    -------
    int
        The number of bytes received, 0 when the file was there.

    Raises
    ------
    NotOnServer
        When the server does not have the file (404).
    PermissionError
        When the server refuses to give the file (401, 403).
    ConnectionError
        When the file did not arrive whole in the allowed number of tries. The next call goes on where this one ended.
    OSError
        After another answer of the server that a retry would not change, or when the disk is full.
    ValueError
        When the file does not have the SHA-256 digest that it should have.
    Stopped
        When ``stop`` was set.
    ImportError
        Without obstore.
    """
    local, patience, stop = LocalFile(path), patience or Patience(), stop or Event()
    if local.is_finished():
        return 0
    require_obstore()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(local.lock, stop):
        transfer = Transfer(remote, local, patience.timeout, stop)
        attempt = 0
        while True:
            try:
                transfer.run()
                return transfer.n_received
            except Transient as error:
                if attempt == patience.n_retries:
                    raise ConnectionError(
                        f"{remote.url} could not be downloaded; try {attempt + 1} of {attempt + 1}: {error}. "
                        "Call again to go on from here."
                    ) from error
                if stop.wait(patience.wait(attempt, error.retry_after)):
                    raise Stopped from None
                attempt += 1


@contextmanager
def _turn(path: Path, stop: Event) -> Iterator[None]:
    """Hold the lock of a file. Another process or thread may have it first."""
    lock = FileLock(path)
    while True:
        if stop.is_set():
            raise Stopped
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            continue
    try:
        yield
    finally:
        lock.release()


def download_all(
    jobs: Sequence[tuple[Remote, Path]],
    n_jobs: int,
    patience: Patience,
    progress: Callable[[], object] = lambda: None,
) -> list[int | NotOnServer]:
    """Download files in parallel.

    Parameters
    ----------
    jobs : sequence of (Remote, Path)
    n_jobs : int
        Number of threads.
    patience : Patience
    progress : callable
        Called after each file.

    Returns
    -------
    list of int or NotOnServer
        For each file the number of bytes received, or that the server does not have it.

    Raises
    ------
    OSError, ValueError
        The first failure other than that, as in :func:`download`. What is finished or begun stays.
    """
    outcomes: list[int | NotOnServer] = [0] * len(jobs)
    todo: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, int | BaseException]] = SimpleQueue()
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            try:
                i = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((i, download(*jobs[i], patience, stop)))
            except BaseException as error:
                done.put((i, error))

    for i in range(len(jobs)):
        todo.put(i)
    # Daemons: after Ctrl-C the process need not wait for a thread that waits for a silent server.
    threads = [Thread(target=work, daemon=True) for _ in range(min(n_jobs, len(jobs)))]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            i, outcome = done.get()
            if isinstance(outcome, BaseException) and not isinstance(outcome, NotOnServer):
                raise outcome
            outcomes[i] = outcome
            progress()
    finally:
        stop.set()
        deadline = time.monotonic() + 1
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    return outcomes
