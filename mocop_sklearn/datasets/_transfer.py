"""How one file comes from a server: received by obstore, gone on with after a break, verified."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ._local_file import LocalFile, Record, digest, md5, multipart_etag

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import HTTPStore

_MIB = 1 << 20
# the part sizes of common tools: AWS CLI and boto3 8 MiB, MinIO 16, rclone and Java 5, s3fs 50
_PART_SIZES = tuple(n * _MIB for n in (8, 5, 16, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512, 1024, 2048, 4096, 5120))
_RETRIED_STATUS = frozenset((408, 429, 500, 502, 503, 504))
_THROTTLED_STATUS = frozenset((429, 503))
_STATUS = re.compile(r"status code: ((\d{3})[^:\n]*)")
_DETAIL = re.compile(r'message: "([^"]+)"')


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes
    ----------
    url : str
    s3 : bool
        Whether the server is an S3 store. Its ETags are made of MD5 digests, and the content is compared with them.
    sha256 : str or None
        The digest that the file must have.
    etag : str or None
        The ETag that the file has on the server it was published on. On a server that gives it another ETag, the
        content is compared with this one.
    """

    url: str
    s3: bool = False
    sha256: str | None = None
    etag: str | None = None


class NotOnServer(FileNotFoundError):
    """The server says that it does not have the file."""


class Stopped(Exception):
    """The download was asked to end. What has arrived stays in the ``.part`` file."""


class Transient(Exception):
    """A failure after which another try may succeed.

    Attributes
    ----------
    retry_after : float
        Seconds that the server asks to wait at least.
    """

    def __init__(self, message: str, retry_after: float = 0.0):
        super().__init__(message)
        self.retry_after = retry_after


class _Changed(Exception):
    """The server cannot give the rest of the file that was begun."""


def require_obstore() -> None:
    """Raise an ImportError with the remedy where obstore is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise ImportError("Downloads need obstore. Install it with: pip install 'mocop-sklearn[data]'") from error


class Transfer:
    """The tries of one download.

    Parameters
    ----------
    remote : Remote
    local : LocalFile
        Where the file goes. The caller holds its lock.
    timeout : float
        Seconds to wait for a silent server.
    stop : threading.Event
        Ends the transfer soon after it is set.
    """

    def __init__(self, remote: Remote, local: LocalFile, timeout: float, stop: Event):
        self.remote, self.local = remote, local
        self.timeout, self.stop = timeout, stop
        self.n_received = 0

    def run(self) -> None:
        """Try once to get the file whole, verified and under its final name."""
        if self.local.is_finished() or self._adopt():
            return
        record, start = self._receive()
        n_bytes = self.local.n_bytes()
        if n_bytes != record.size:
            if n_bytes > record.size:
                self.local.part.unlink()
            raise Transient(f"the body ended after {n_bytes - start:,} of {record.size - start:,} bytes")
        self._verify(self.local.part, record)
        self.local.finish(self.local.part, record.etag)

    def _adopt(self) -> bool:
        """Keep a file of unknown origin when it is the one that the server has. Remove any other."""
        path = self.local.path
        if not path.exists():
            return False
        if self.local.read_record() is None:
            record = self._described()
            if record.size == path.stat().st_size:
                try:
                    self._verify(path, record)
                except (Transient, ValueError):
                    pass
                else:
                    self.local.finish(path, record.etag)
                    return True
        path.unlink(missing_ok=True)
        return False

    # The network

    def _store(self) -> HTTPStore:
        """A store that holds the one file, so that its URL is sent as it is, with its query.

        A request is tried once: obstore's own retries do not honour Retry-After.
        """
        from obstore.store import HTTPStore

        silence = timedelta(seconds=self.timeout)
        return HTTPStore(
            self.remote.url,
            client_options={
                "allow_http": True,
                "connect_timeout": silence,
                "read_timeout": silence,
                "timeout": timedelta(days=1),  # of the whole body
                "default_headers": {"Accept-Encoding": "identity"},
            },
            retry_config={"max_retries": 0},
        )

    def _described(self) -> Record:
        import obstore

        with self._explained():
            meta = obstore.head(self._store(), "")
        return Record(meta["e_tag"], meta["size"])

    def _get(self, options: GetOptions) -> GetResult:
        import obstore

        with self._explained(is_rest="range" in options):
            return obstore.get(self._store(), "", options=options)

    def _receive(self) -> tuple[Record, int]:
        """Append what is missing to the incomplete file. Return its record and where this try began."""
        record, start = self.local.read_record(), self.local.n_bytes()
        # without a strong ETag nothing tells that the rest belongs to this beginning
        if record is None or record.etag is None or record.etag.startswith("W/") or start > record.size:
            record, start = None, 0
        if record is not None and start == record.size:
            return record, start
        rest: GetOptions = {"range": {"offset": start}, "if_match": record.etag} if record and start else {}
        try:
            result = self._get(rest)
            if record and start and result.meta["e_tag"] != record.etag:
                raise _Changed
        except _Changed:
            self.local.part.unlink(missing_ok=True)
            return self._receive()
        if not rest:
            record = Record(result.meta["e_tag"], result.meta["size"])
            self.local.part.unlink(missing_ok=True)
            self.local.write_record(record)
        self._append(result)
        assert record is not None
        return record, start

    def _append(self, result: GetResult) -> None:
        """Write the body to the incomplete file, and wait until the disk has it."""
        with open(self.local.part, "ab") as file:
            for chunk in self._chunks(result):
                file.write(chunk)
                self.n_received += len(chunk)
                if self.stop.is_set():
                    raise Stopped
            file.flush()
            os.fsync(file.fileno())

    def _chunks(self, result: GetResult) -> Iterator[Any]:
        with self._explained():
            yield from result.stream(1)  # as they come: a larger minimum would lose what precedes a break

    @contextmanager
    def _explained(self, is_rest: bool = False) -> Iterator[None]:
        """Turn an error of obstore into one that says what to do about it."""
        from obstore.exceptions import BaseError, NotSupportedError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            match = _STATUS.search(str(error))
            status, answer = (int(match[2]), match[1]) if match else (None, "")
            if is_rest and (status in (412, 416) or isinstance(error, NotSupportedError)):
                raise _Changed from error
            raise self._failure(status, answer, error) from error

    def _failure(self, status: int | None, answer: str, error: Exception) -> Exception:
        url = self.remote.url
        if status is None:
            return Transient("; ".join([str(error).partition("\n")[0], *_DETAIL.findall(str(error))]))
        if status in _RETRIED_STATUS:
            pause = self._pause_asked_for() if status in _THROTTLED_STATUS else 0.0
            return Transient(f"the server answered {answer}", pause)
        if status in (404, 410):
            return NotOnServer(f"{url} does not exist ({status}).")
        if status in (401, 403):
            return PermissionError(f"{url} may not be read ({answer}).")
        return OSError(f"{url}: the server answered {answer}.")

    def _headers(self, query: str = "") -> Any:
        """Headers of the answer to a HEAD request, whatever its status. obstore does not give access to them."""
        request = Request(self.remote.url + query, method="HEAD", headers={"Accept-Encoding": "identity"})
        try:
            with urlopen(request, timeout=self.timeout) as response:
                return response.headers
        except HTTPError as error:
            return error.headers

    def _pause_asked_for(self) -> float:
        """Seconds that a busy server asks to wait, which it says as a number or as a date."""
        try:
            text = self._headers().get("Retry-After", "0")
            if text.isdecimal():
                return float(text)
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
        except (OSError, ValueError, TypeError):
            return 0.0

    # What arrived

    def _verify(self, path: Any, record: Record) -> None:
        """Compare the content with the digests that are known of it. Remove a file that differs."""
        if self.remote.sha256 is not None:
            found = digest(path, hashlib.sha256)
            if found != self.remote.sha256.lower():
                path.unlink()
                raise ValueError(f"{self.remote.url} has the SHA-256 digest {found}, not {self.remote.sha256}.")
        etag = (record.etag or "").strip('"')
        self._verify_as_on_server(path, etag)
        if self.remote.etag not in (None, etag) and not _has_etag(path, str(self.remote.etag)):
            path.unlink()
            raise ValueError(
                f"{self.remote.url} has the ETag {etag or 'of no kind'}, and its content not that of "
                f"{self.remote.etag}: the server holds another version of the file."
            )

    def _verify_as_on_server(self, path: Any, etag: str) -> None:
        if not self.remote.s3 or not re.fullmatch(r"[0-9a-f]{32}(-[1-9]\d*)?", etag):
            return
        n_parts = etag.partition("-")[2]
        good = self._verify_parts(path, etag, int(n_parts)) if n_parts else digest(path, md5) == etag
        if not good:
            path.unlink()
            raise Transient(f"the content does not agree with the ETag {etag}")

    def _verify_parts(self, path: Any, etag: str, n_parts: int) -> bool:
        """Whether the content agrees with an ETag of parts. True where the size of the parts cannot be found out."""
        size = path.stat().st_size
        if _has_etag(path, etag):
            return True
        try:
            headers = self._headers("?partNumber=1")
        except OSError:
            return True
        length, told = headers.get("Content-Length", ""), headers.get("x-amz-mp-parts-count")
        if told != str(n_parts) or not length.isdecimal() or math.ceil(size / max(int(length), 1)) != n_parts:
            return True
        return multipart_etag(path, int(length)) == etag


def _has_etag(path: Any, etag: str) -> bool:
    """Whether the content has an ETag, of one part or of parts of a usual size."""
    n_parts = etag.partition("-")[2]
    if not n_parts:
        return digest(path, md5) == etag
    size = path.stat().st_size
    usual = {min(part_size, size) for part_size in _PART_SIZES if math.ceil(size / part_size) == int(n_parts)}
    return any(multipart_etag(path, part_size) == etag for part_size in sorted(usual))
