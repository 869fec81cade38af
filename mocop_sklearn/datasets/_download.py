"""Downloads with care: resumed, verified, retried, and never half-written under their final name.

What they leave on disk is said in ``_local_file.py``.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from filelock import FileLock, Timeout

from ._local_file import LocalFile, Record, digest, md5, multipart_etag

_CHUNK = 1 << 16
_MIB = 1 << 20
# what the usual tools upload in: AWS CLI and boto3 8, MinIO 16, rclone 5, Java 5, s3fs 50
_PART_SIZES = tuple(n * _MIB for n in (8, 5, 16, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512, 1024))
_RETRIED_STATUS = frozenset((408, 429, 500, 502, 503, 504))
_LONGEST_WAIT = 120.0


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes
    ----------
    url : str
    s3 : bool
        Whether the server is an S3 store: then the ETag is made of MD5 digests and is checked.
    sha256 : str or None
        The digest that the file must have.
    """

    url: str
    s3: bool = False
    sha256: str | None = None


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


class NotOnServer(FileNotFoundError):
    """The server says that there is no such file."""


class Stopped(Exception):
    """The download was asked to end; its ``.part`` stays."""


class _Transient(Exception):
    """Worth another try, after ``retry_after`` seconds at least."""

    def __init__(self, message: str, retry_after: float = 0.0):
        super().__init__(message)
        self.retry_after = retry_after


# ---------------------------------------------------------------------------------------------
# One file
# ---------------------------------------------------------------------------------------------


def new_session() -> Any:
    """A session of requests, which knows proxies and certificates of the environment.

    Raises
    ------
    ImportError
        Without requests: the extra ``data`` brings it.
    """
    try:
        import requests
    except ImportError as error:
        raise ImportError("Downloads need requests: pip install 'mocop-sklearn[data]'.") from error
    session = requests.Session()
    # Anonymous: without this, a default entry in ~/.netrc would be sent, and S3 refuses what it does not know.
    session.auth = lambda request: request
    return session


def download(
    remote: Remote,
    path: Path,
    patience: Patience | None = None,
    session: Any = None,
    stop: Event | None = None,
) -> int:
    """Download a file unless it is there already.

    Parameters
    ----------
    remote : Remote
    path : Path
        The final name; its folder is made.
    patience : Patience, optional
    session : requests.Session, optional
    stop : threading.Event, optional
        Ends the download soon after it is set.

    Returns
    -------
    int
        The number of bytes received, 0 when the file was there.

    Raises
    ------
    NotOnServer
        When the server has no such file (404).
    PermissionError
        When the server refuses to give it (401, 403).
    ConnectionError
        When it did not arrive whole in the allowed number of tries; the next call goes on where this one ended.
    OSError
        After another answer of the server that a retry would not change.
    ValueError
        When the file has not the SHA-256 digest that it should have.
    Stopped
        When ``stop`` was set.
    """
    local, patience, stop = LocalFile(path), patience or Patience(), stop or Event()
    if local.is_finished():
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(local.lock, stop):
        transfer = _Transfer(remote, local, session or new_session(), patience.timeout, stop)
        attempt = 0
        while True:
            try:
                transfer.run()
                return transfer.n_received
            except _Transient as error:
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
    """Hold the lock of a file, for which another process or thread may have to end first."""
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


class _Transfer:
    """The tries of one download."""

    def __init__(self, remote: Remote, local: LocalFile, session: Any, timeout: float, stop: Event):
        self.remote, self.local = remote, local
        self.session, self.timeout, self.stop = session, timeout, stop
        self.n_received = 0

    def run(self) -> None:
        if self.local.is_finished() or self._adopt():
            return
        record, start = self._receive()
        n_bytes = self.local.n_bytes()
        if record.size is not None and n_bytes != record.size:
            if n_bytes > record.size:
                self.local.part.unlink()
            raise _Transient(f"the body ended after {n_bytes - start:,} of {record.size - start:,} bytes")
        self._verify(self.local.part, record)
        self.local.finish(self.local.part, record.etag)

    def _adopt(self) -> bool:
        """Keep a file that someone else put here when it is what the server has; remove any other."""
        path = self.local.path
        if not path.exists():
            return False
        if self.local.read_record() is None:
            with self._request("HEAD") as response:
                record = _described(response)
            if record.size == path.stat().st_size:
                try:
                    self._verify(path, record)
                except (_Transient, ValueError):
                    pass
                else:
                    self.local.finish(path, record.etag)
                    return True
        path.unlink(missing_ok=True)
        return False

    def _receive(self) -> tuple[Record, int]:
        """Append to the incomplete file what is lacking; return its record and where this began."""
        record, start = self.local.read_record(), self.local.n_bytes()
        # without a strong ETag nothing tells that the rest belongs to this beginning
        if record is None or record.etag is None or record.etag.startswith("W/") or start > (record.size or math.inf):
            record, start = None, 0
        if record is not None and start == record.size:
            return record, start
        headers = {"Range": f"bytes={start}-", "If-Match": str(record.etag)} if record and start else {}
        with self._request("GET", headers) as response:
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            same = record is not None and response.headers.get("ETag") == record.etag
            if record and start and response.status_code == 206 and begins and same:
                return self._store(response, record, start), start
            if not start or response.status_code == 200:
                record = _described(response)
                self.local.part.unlink(missing_ok=True)
                self.local.write_record(record)
                return self._store(response, record, 0), 0
        # the file on the server is another one by now (412), or shorter (416)
        self.local.part.unlink(missing_ok=True)
        return self._receive()

    def _store(self, response: Any, record: Record, start: int) -> Record:
        from urllib3.exceptions import HTTPError

        with open(self.local.part, "ab" if start else "wb") as file:
            try:
                # raw: a stored .gz file stays one, whatever the server says of its encoding
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    self.n_received += len(chunk)
                    if self.stop.is_set():
                        raise Stopped
                file.flush()
                os.fsync(file.fileno())
            except HTTPError as error:  # no OSError: a full disk stays full
                raise _Transient(f"the connection broke: {error}") from error
        return record

    @contextmanager
    def _request(self, method: str, headers: dict[str, str] | None = None, query: str = "") -> Iterator[Any]:
        """Yield the response when its status is good, or 412 or 416 to a request for a range."""
        import requests

        try:
            response = self.session.request(
                method,
                self.remote.url + query,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                stream=True,
                timeout=self.timeout,
                allow_redirects=True,
            )
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Transient(str(error)) from error
        with response:
            status = response.status_code
            if status in _RETRIED_STATUS:
                raise _Transient(f"the server answered {status} {response.reason}", _retry_after(response))
            if status in (404, 410):
                raise NotOnServer(f"{self.remote.url} does not exist ({status}).")
            if status in (401, 403):
                raise PermissionError(f"{self.remote.url} may not be read ({status} {response.reason}).")
            if status not in (200, 206) and not (headers and status in (412, 416)):
                raise OSError(f"{self.remote.url}: the server answered {status} {response.reason}.")
            yield response

    def _verify(self, path: Path, record: Record) -> None:
        """Compare the content with the digests that are known of it."""
        if self.remote.sha256 is not None:
            found = digest(path, hashlib.sha256)
            if found != self.remote.sha256.lower():
                path.unlink()
                raise ValueError(f"{self.remote.url} has the SHA-256 digest {found}, not {self.remote.sha256}.")
        etag = (record.etag or "").strip('"')
        if not self.remote.s3 or not re.fullmatch(r"[0-9a-f]{32}(-[1-9]\d*)?", etag):
            return
        n_parts = etag.partition("-")[2]
        good = self._verify_parts(path, etag, int(n_parts)) if n_parts else digest(path, md5) == etag
        if not good:
            path.unlink()
            raise _Transient(f"the content does not agree with the ETag {etag}")

    def _verify_parts(self, path: Path, etag: str, n_parts: int) -> bool:
        """Whether the content agrees with an ETag of parts; True, too, when their size cannot be found out."""
        size = path.stat().st_size
        usual = {min(part_size, size) for part_size in _PART_SIZES if math.ceil(size / part_size) == n_parts}
        if any(multipart_etag(path, part_size) == etag for part_size in usual):
            return True
        try:
            with self._request("HEAD", query="?partNumber=1") as response:
                part_size = _described(response).size
                told = response.headers.get("x-amz-mp-parts-count") == str(n_parts)
        except OSError:
            return True
        if not told or not part_size or math.ceil(size / part_size) != n_parts:
            return True
        return multipart_etag(path, part_size) == etag


def _described(response: Any) -> Record:
    length = response.headers.get("Content-Length", "")
    return Record(response.headers.get("ETag"), int(length) if length.isdecimal() else None)


def _retry_after(response: Any) -> float:
    """Seconds that the server asks to wait, which it says as a number or as a date."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except InvalidHeader:
        return 0.0


# ---------------------------------------------------------------------------------------------
# Many files
# ---------------------------------------------------------------------------------------------


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

    def work(session: Any) -> None:
        with session:
            while not stop.is_set():
                try:
                    i = todo.get_nowait()
                except Empty:
                    return
                try:
                    done.put((i, download(*jobs[i], patience, session, stop)))
                except BaseException as error:
                    done.put((i, error))

    for i in range(len(jobs)):
        todo.put(i)
    # Daemons: after Ctrl-C the process need not wait for a thread that waits for a silent server.
    sessions = [new_session() for _ in range(min(n_jobs, len(jobs)))]
    threads = [Thread(target=work, args=(session,), daemon=True) for session in sessions]
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
