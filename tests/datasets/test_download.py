"""One download: what is retried and what is not, what goes on and what begins again, what counts as finished."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest

from mocop_sklearn.datasets import _local_file
from mocop_sklearn.datasets._download import Patience, download, download_all
from mocop_sklearn.datasets._local_file import is_downloaded, multipart_etag
from mocop_sklearn.datasets._transfer import NotOnServer, Remote, Stopped, Transfer
from tests.helpers.s3_server import Memory, faulty_server

BODY = np.random.default_rng(0).bytes(700_000)
OTHER = np.random.default_rng(1).bytes(700_000)
QUICK = Patience(n_retries=3, delay=0.001, timeout=5)


@pytest.fixture
def server():
    with faulty_server(Memory()) as server:
        server.backend.put("/x", BODY)
        yield server


@pytest.fixture
def remote(server):
    return Remote(f"{server.url}/x", s3=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "x.bin"


def leave_partial(path, n_bytes, etag, body=BODY):
    """What a killed download leaves."""
    path.parent.mkdir()
    local = _local_file.LocalFile(path)
    local.write_record(_local_file.Record(etag, len(BODY)))
    local.part.write_bytes(body[:n_bytes])


def test_plain(server, remote, path):
    assert download(remote, path) == len(BODY)
    assert path.read_bytes() == BODY
    assert download(remote, path) == 0
    assert is_downloaded(path)
    assert server.ranges("/x") == [None]
    assert sorted(p.name for p in path.parent.iterdir()) == [".x.bin.json", ".x.bin.lock", "x.bin"]


@pytest.mark.parametrize(
    "fault",
    [
        ("status", 500, {}),
        ("status", 503, {}),
        ("status", 503, {"Retry-After": "0"}),
        ("status", 503, {"Retry-After": "soon"}),
        ("status", 503, {"Retry-After": formatdate(0, usegmt=True)}),
        ("status", 429, {}),
        ("cut", 0),
        ("cut", 300_000),
        ("reset", 300_000),
        ("corrupt",),
    ],
    ids=lambda fault: "-".join(map(str, fault[:2])),
)
def test_retried(server, remote, path, fault):
    server.faults["/x"] = [fault, fault]
    download(remote, path, QUICK)
    assert path.read_bytes() == BODY
    assert server.n_gets()["/x"] == 3


@pytest.mark.parametrize(("kind", "resumed"), [("cut", True), ("reset", True), ("corrupt", False)])
def test_a_retry_asks_only_for_the_rest(server, remote, path, kind, resumed):
    server.faults["/x"] = [(kind, 300_000)]
    received = download(remote, path, QUICK)
    assert path.read_bytes() == BODY
    first, second = server.ranges("/x")
    assert first is None
    assert (second is not None and int(second[6:-1]) > 0) == resumed
    assert received <= 2 * len(BODY)
    assert (received == len(BODY)) == resumed


def test_timeout(server, remote, path):
    server.faults["/x"] = [("stall", 100_000)]
    download(remote, path, Patience(1, 0.001, timeout=0.3))
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotOnServer), (410, NotOnServer), (401, PermissionError), (403, PermissionError), (400, OSError)],
)
def test_not_retried(server, remote, path, status, error):
    server.faults["/x"] = [("status", status, {})] * 5
    with pytest.raises(error, match=f"{status}"):
        download(remote, path, QUICK)
    assert server.n_gets()["/x"] == 1
    assert not path.exists()


def test_retries_end(server, remote, path):
    server.faults["/x"] = [("cut", 1000)] * 9
    with pytest.raises(ConnectionError, match=r"/x could not be downloaded; try 4 of 4.*Call again"):
        download(remote, path, QUICK)
    assert server.n_gets()["/x"] == 4
    assert not path.exists()
    server.clear()
    download(remote, path, QUICK)
    assert path.read_bytes() == BODY
    assert server.ranges("/x") != [None]


def test_no_server(path):
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        download(Remote("http://127.0.0.1:9/x"), path, Patience(1, 0.001))


class Impatient(threading.Event):
    """Never set; it notes the waits that it is asked for and does not wait."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return False


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0.01),
        ("soon", 0, 0.01),
        (formatdate(0, usegmt=True), 0, 0.01),
        (formatdate(32503680000, usegmt=True), 120, 120),
        (None, 0, 0.01),
    ],
)
def test_retry_after_is_honoured(server, remote, path, status, asked, least, most):
    headers = {} if asked is None else {"Retry-After": asked}
    server.faults["/x"] = [("status", status, headers), ("cut", 1000)]
    stop = Impatient()
    download(remote, path, QUICK, stop)
    assert path.read_bytes() == BODY
    first, second = stop.waits
    assert least <= first <= most
    assert second <= 0.01


def test_waits_grow_and_are_random():
    patience = Patience(delay=1)
    for attempt in range(5):
        waits = {patience.wait(attempt) for _ in range(20)}
        assert len(waits) > 1
        assert 0.5 * 2**attempt <= min(waits) <= max(waits) <= 1.5 * 2**attempt
    assert patience.wait(60) == 120
    assert patience.wait(0, at_least=30) == 30
    assert patience.wait(0, at_least=1e6) == 120


class TestResume:
    def test_goes_on(self, server, remote, path):
        leave_partial(path, 400_000, server.backend.etags["/x"])
        assert download(remote, path) == 300_000
        assert path.read_bytes() == BODY
        assert server.ranges("/x") == ["bytes=400000-"]

    def test_complete_but_not_renamed(self, server, remote, path):
        leave_partial(path, len(BODY), server.backend.etags["/x"])
        assert download(remote, path) == 0
        assert path.read_bytes() == BODY
        assert server.requests == []

    def test_changed_on_the_server(self, server, remote, path):
        leave_partial(path, 400_000, server.backend.etags["/x"])
        server.backend.put("/x", OTHER)
        download(remote, path)
        assert path.read_bytes() == OTHER
        assert server.ranges("/x") == ["bytes=400000-", None]

    def test_server_that_ignores_if_match(self, server, remote, path):
        leave_partial(path, 400_000, '"old"', body=OTHER)
        server.backend.answer = lambda method, path, headers: Memory.answer(
            server.backend, method, path, {name: value for name, value in headers.items() if name != "If-Match"}
        )
        download(remote, path)
        assert path.read_bytes() == BODY

    def test_server_without_ranges(self, server, remote, path):
        leave_partial(path, 400_000, server.backend.etags["/x"])
        server.backend.answer = lambda method, path, headers: Memory.answer(server.backend, method, path, {})
        assert download(remote, path) == len(BODY)
        assert path.read_bytes() == BODY

    @pytest.mark.parametrize("etag", [None, 'W/"weak"'])
    def test_begins_again_without_a_strong_etag(self, server, path, etag):
        leave_partial(path, 400_000, etag, body=OTHER)
        server.backend.put("/x", BODY, etag='W/"weak"')
        download(Remote(f"{server.url}/x"), path)
        assert path.read_bytes() == BODY
        assert server.ranges("/x") == [None]

    def test_begins_again_without_a_record(self, server, remote, path):
        path.parent.mkdir()
        path.with_name("x.bin.part").write_bytes(OTHER[:1000])
        download(remote, path)
        assert path.read_bytes() == BODY

    def test_partial_file_is_too_long(self, server, remote, path):
        leave_partial(path, 700_000, server.backend.etags["/x"], body=OTHER + OTHER)
        _local_file.LocalFile(path).part.write_bytes(OTHER + OTHER)
        download(remote, path)
        assert path.read_bytes() == BODY

    def test_partial_file_is_corrupt(self, server, remote, path):
        leave_partial(path, 400_000, server.backend.etags["/x"], body=OTHER)
        download(remote, path, QUICK)
        assert path.read_bytes() == BODY
        assert server.ranges("/x") == ["bytes=400000-", None]

    def test_broken_record(self, server, remote, path):
        leave_partial(path, 400_000, server.backend.etags["/x"])
        path.with_name(".x.bin.json").write_text('{"etag": ')
        download(remote, path)
        assert path.read_bytes() == BODY


class TestFinished:
    @pytest.mark.parametrize("content", [OTHER, BODY[:-1], b""], ids=["changed", "shorter", "empty"])
    def test_damaged_afterwards(self, server, remote, path, content):
        download(remote, path)
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
        assert not is_downloaded(path)
        download(remote, path)
        assert path.read_bytes() == BODY

    def test_touched_or_copied(self, server, remote, path):
        download(remote, path)
        os.utime(path, ns=(1, 1))
        assert is_downloaded(path)
        shutil.copytree(path.parent, path.parent.parent / "copy", copy_function=shutil.copyfile)
        assert download(remote, path.parent.parent / "copy" / "x.bin") == 0
        assert len(server.requests) == 1

    @pytest.mark.parametrize(("content", "n_gets"), [(BODY, 0), (OTHER, 1), (BODY[:9], 1)])
    def test_put_there_by_someone_else(self, server, remote, path, content, n_gets):
        path.parent.mkdir()
        path.write_bytes(content)
        download(remote, path)
        assert path.read_bytes() == BODY
        assert server.n_gets()["/x"] == n_gets
        assert len(server.requests) == n_gets + 1
        assert download(remote, path) == 0

    def test_read_only_folder(self, remote, path):
        download(remote, path)
        path.parent.chmod(0o500)
        try:
            assert download(remote, path) == 0
        finally:
            path.parent.chmod(0o700)


class TestDigests:
    def test_sha256(self, server, path):
        url = f"{server.url}/x"
        download(Remote(url, sha256=hashlib.sha256(BODY).hexdigest().upper()), path)
        path.unlink()
        with pytest.raises(ValueError, match="has the SHA-256 digest"):
            download(Remote(url, sha256="0" * 64), path, QUICK)
        assert list(path.parent.glob("x*")) == []
        assert server.n_gets()["/x"] == 2

    def test_etag_of_another_kind(self, server, path):
        server.backend.put("/x", BODY, etag='"' + "0" * 32 + '"')
        download(Remote(f"{server.url}/x"), path)
        assert path.read_bytes() == BODY
        with pytest.raises(ConnectionError, match="does not agree with the ETag"):
            download(Remote(f"{server.url}/x", s3=True), path.with_name("y"), QUICK)

    @pytest.mark.parametrize(
        ("part_size", "told", "good"),
        [
            (5 << 20, False, True),
            (6 << 20, True, True),
            (6 << 20, True, False),
            (6 << 20, False, True),
            (6 << 20, False, False),
        ],
    )
    def test_etag_of_parts(self, server, path, part_size, told, good):
        body = BODY * 18
        path.parent.mkdir()
        path.write_bytes(body)
        etag = multipart_etag(path, part_size)
        path.unlink()
        assert etag.endswith("-3")
        server.backend.put("/x", body if good else body[1:] + b"!", etag=f'"{etag}"')
        if told:
            answer = {"Content-Length": str(part_size), "x-amz-mp-parts-count": "3"}
            server.backend.answer = lambda method, path, headers: (
                (206, answer, b"")
                if path == "/x?partNumber=1"
                else Memory.answer(server.backend, method, path, headers)
            )
        remote = Remote(f"{server.url}/x", s3=True)
        if told and not good:
            with pytest.raises(ConnectionError, match="does not agree with the ETag"):
                download(remote, path, Patience(0))
        else:  # of parts of an unknown size, nothing can be checked but the length
            download(remote, path, QUICK)
            assert path.stat().st_size == len(body)
            assert json.loads(path.with_name(".x.bin.json").read_text())["etag"] == f'"{etag}"'

    def test_stored_gzip_stays(self, server, remote, path):
        server.faults["/x"] = [("headers", {"Content-Encoding": "gzip"})]
        download(remote, path)
        assert path.read_bytes() == BODY


class TestMany:
    def jobs(self, server, folder, n=12):
        for i in range(n):
            server.backend.put(f"/{i}", BODY[i:])
        return [(Remote(f"{server.url}/{i}", s3=True), Path(folder, str(i))) for i in range(n)]

    @pytest.mark.parametrize("n_jobs", [1, 4, 99])
    def test_order_and_missing(self, server, tmp_path, n_jobs):
        jobs = self.jobs(server, tmp_path)
        jobs.insert(5, (Remote(f"{server.url}/absent"), tmp_path / "absent"))
        calls = []
        outcomes = download_all(jobs, n_jobs, QUICK, lambda: calls.append(1))
        assert isinstance(outcomes.pop(5), NotOnServer)
        assert outcomes == [len(BODY) - i for i in range(12)]
        assert len(calls) == 13
        assert all((tmp_path / str(i)).read_bytes() == BODY[i:] for i in range(12))

    def test_first_failure_ends_the_others(self, server, tmp_path):
        jobs = self.jobs(server, tmp_path, 40)
        server.seconds_per_chunk = 0.005
        server.faults["/3"] = [("status", 403, {})]
        with pytest.raises(PermissionError, match="/3 may not be read"):
            download_all(jobs, 2, QUICK)
        time.sleep(0.2)
        assert len(server.n_gets()) < 12
        assert not [t for t in threading.enumerate() if t.name.startswith("Thread") and "work" in t.name]

    def test_nothing_to_do(self):
        assert download_all([], 4, QUICK) == []

    def test_one_file_by_many(self, server, tmp_path):
        server.seconds_per_chunk = 0.002
        outcomes = download_all([(Remote(f"{server.url}/x", s3=True), tmp_path / "x")] * 6, 6, QUICK)
        assert sorted(outcomes) == [0] * 5 + [len(BODY)]
        assert server.n_gets()["/x"] == 1

    def test_full_disk_is_no_reason_to_retry(self, server, remote, path):
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        path.parent.mkdir()
        path.with_name("x.bin.part").symlink_to("/dev/full")
        local = _local_file.LocalFile(path)
        transfer = Transfer(remote, local, 5, threading.Event())
        with pytest.raises(OSError, match="No space left"):
            transfer._append(transfer._get({}))

    def test_stop(self, server, remote, path):
        stop = threading.Event()
        server.seconds_per_chunk = 0.05
        thread = threading.Timer(0.3, stop.set)
        thread.start()
        with pytest.raises(Stopped):
            download(remote, path, QUICK, stop=stop)
        thread.join()
        assert not path.exists()
        server.seconds_per_chunk = 0
        download(remote, path, QUICK)
        assert path.read_bytes() == BODY

    def test_stop_while_waiting(self, server, remote, path):
        server.faults["/x"] = [("status", 503, {"Retry-After": "100"})]
        stop = threading.Event()
        thread = threading.Timer(0.3, stop.set)
        thread.start()
        with pytest.raises(Stopped):
            download(remote, path, QUICK, stop=stop)
        thread.join()


def test_proxy_and_netrc_of_the_environment(server, path, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.backend.put("http://host.invalid/x", BODY)
    download(Remote("http://host.invalid/x"), path, QUICK)
    assert path.read_bytes() == BODY
    assert server.signed == 0


def test_a_url_is_sent_as_it_is_and_redirects_are_followed(server, path):
    server.backend.put("/a%20b?token=c%2Fd", BODY)
    server.backend.answer = lambda method, path, headers: (
        (302, {"Location": "/a%20b?token=c%2Fd"}, b"")
        if path == "/old"
        else Memory.answer(server.backend, method, path, headers)
    )
    server.faults["/a%20b?token=c%2Fd"] = [("cut", 300_000)]
    download(Remote(f"{server.url}/old"), path, QUICK)
    assert path.read_bytes() == BODY
    download(Remote(f"{server.url}/a%20b?token=c%2Fd"), path.with_name("y"), QUICK)
    assert path.with_name("y").read_bytes() == BODY


def test_without_obstore(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ImportError, match=r"mocop-sklearn\[data\]"):
        download_all([(Remote("http://127.0.0.1:9/x"), path)], 1, QUICK)
