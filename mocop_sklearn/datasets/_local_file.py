"""A downloaded file on disk, and the record of what it should be.

Beside a file ``x`` lie ``x.part`` while the file is incomplete, the record ``.x.json``, and the lock ``.x.lock``, which
processes that want the same file take in turn.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """What a file should be. ``md5`` and ``mtime_ns`` are known when it is complete."""

    etag: str | None
    size: int
    md5: str | None = None
    mtime_ns: int | None = None


class LocalFile:
    """A file, its incomplete beginning, and its record."""

    def __init__(self, path: Path):
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.lock = path.with_name(f".{path.name}.lock")
        self.record = path.with_name(f".{path.name}.json")

    def read_record(self) -> Record | None:
        """Read the record, if there is one."""
        try:
            return Record(**json.loads(self.record.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_record(self, record: Record) -> None:
        """Replace the record. The caller holds the lock."""
        temporary = self.record.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(record)))
        os.replace(temporary, self.record)

    def n_bytes(self) -> int:
        """Bytes of the incomplete file."""
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def is_finished(self) -> bool:
        """Tell, without the network, whether the file is the one that was downloaded."""
        record = self.read_record()
        if record is None or record.md5 is None or not self.path.exists():
            return False
        stat = self.path.stat()
        if stat.st_size != record.size:
            return False
        # reading every file at every call would be slow: only a file that was touched or copied is read again
        return stat.st_mtime_ns == record.mtime_ns or digest(self.path, md5) == record.md5

    def finish(self, source: Path, etag: str | None) -> None:
        """Give the complete ``source`` its final name. A process that is killed in between loses nothing."""
        stat = source.stat()
        self.write_record(Record(etag, stat.st_size, digest(source, md5), stat.st_mtime_ns))
        os.replace(source, self.path)


def md5(data: bytes = b"") -> Any:
    """MD5, which systems in FIPS mode refuse unless told that security does not depend on it."""
    return hashlib.md5(data, usedforsecurity=False)


def digest(path: Path, algorithm: Callable[[], Any]) -> str:
    """The hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def multipart_etag(path: Path, part_size: int) -> str:
    """The ETag that S3 gives to a file uploaded in parts of this size."""
    digests, block = [], 1 << 20
    with open(path, "rb") as file:
        while data := file.read(min(block, part_size)):
            part, left = md5(data), part_size - len(data)  # a part may be larger than the memory
            while left and (data := file.read(min(block, left))):
                part.update(data)
                left -= len(data)
            digests.append(part.digest())
    return f"{md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def is_downloaded(path: Path) -> bool:
    """Whether ``path`` is there and is the file that was downloaded. A file of unknown origin counts."""
    local = LocalFile(path)
    return path.exists() and (local.read_record() is None or local.is_finished())


def forget(path: Path) -> None:
    """Remove a file that turned out to be useless, so that it is downloaded again."""
    LocalFile(path).record.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
