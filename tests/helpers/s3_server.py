"""Servers for tests of downloads: a real S3 server in a process of its own, and one in front that misbehaves."""

import hashlib
import socket
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
import requests

CHUNK = 1 << 14


def etag_of(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


class Memory:
    """Files that are answered from memory, in the manner of S3 or of a plain web server."""

    def __init__(self):
        self.files = {}
        self.etags = {}

    def put(self, path, body, etag=None):
        self.files[path] = body
        self.etags[path] = etag or etag_of(body)

    def answer(self, method, path, headers):
        if path not in self.files:
            return 404, {}, b""
        body, etag = self.files[path], self.etags[path]
        if headers.get("If-Match", etag) != etag:
            return 412, {}, b""
        described = {"ETag": etag, "Accept-Ranges": "bytes"}
        if "Range" in headers:
            start = int(headers["Range"].removeprefix("bytes=").partition("-")[0])
            if start >= len(body):
                return 416, {}, b""
            described["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return 206, described, body[start:]
        return 200, described, body


class Upstream:
    """Another server, to which requests are passed on."""

    def __init__(self, url):
        self.url = url

    def answer(self, method, path, headers):
        passed = {name: headers[name] for name in ("Range", "If-Match", "Authorization") if name in headers}
        response = requests.request(method, self.url + path, headers=passed, timeout=30)
        kept = {name: response.headers[name] for name in KEPT if name in response.headers}
        return response.status_code, kept, response.content


KEPT = ("ETag", "Content-Range", "Content-Length", "Accept-Ranges", "x-amz-mp-parts-count")


class FaultyServer:
    """A server that counts requests and fails as it is told.

    ``faults[path]`` are the faults of the next GETs of a path: ``("status", 503, {header: value})``, ``("corrupt",)``,
    ``("headers", {})``, and after n bytes of the body ``("cut", n)``, ``("reset", n)`` and ``("stall", n)``. A
    status is also the answer to the HEADs that follow, until the next GET.
    """

    def __init__(self, backend):
        self.backend = backend
        self.clear()
        self.closed = Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.serve(self)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def clear(self):
        self.faults = defaultdict(list)
        self.refused = {}  # path: the status fault of its last GET
        self.requests = []  # (method, path, Range)
        self.signed = 0
        self.n_served = 0
        self.seconds_per_chunk = 0.0

    def close(self):
        self.closed.set()
        self._http.shutdown()
        self._http.server_close()

    def n_gets(self):
        return Counter(path for method, path, _ in self.requests if method == "GET")

    def ranges(self, path):
        return [wanted for method, asked, wanted in self.requests if (method, asked) == ("GET", path)]

    def next_fault(self, method, path):
        if method == "HEAD":
            return self.refused.get(path, ("none",))
        fault = self.faults[path].pop(0) if self.faults[path] else ("none",)
        self.refused.pop(path, None)
        if fault[0] == "status":
            self.refused[path] = fault
        return fault

    def serve(self, handler):
        self.requests.append((handler.command, handler.path, handler.headers.get("Range")))
        self.signed += "Authorization" in handler.headers
        kind, *details = self.next_fault(handler.command, handler.path)
        if kind == "status":
            status, headers, body = details[0], details[1], b""
        else:
            status, headers, body = self.backend.answer(handler.command, handler.path, handler.headers)
        told = headers.pop("Content-Length", len(body))
        length = told if handler.command == "HEAD" else len(body)
        if kind == "headers":
            headers |= details[0]
        if kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command == "GET":
            self.send(handler, body[: details[0]] if kind in ("cut", "reset", "stall") else body)
        if kind == "stall":
            self.closed.wait(60)
        if kind == "reset":
            time.sleep(0.1)  # what has arrived is read before the reset throws it away
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if kind in ("cut", "reset", "stall"):
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()

    def send(self, handler, body):
        for start in range(0, len(body), CHUNK):
            handler.wfile.write(body[start : start + CHUNK])
            self.n_served += len(body[start : start + CHUNK])
            if self.seconds_per_chunk:
                time.sleep(self.seconds_per_chunk)


@contextmanager
def faulty_server(backend):
    server = FaultyServer(backend)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def moto_server():
    """Yield the address of an S3 server, which refuses anonymous reading of what is not public."""
    pytest.importorskip("moto", reason="moto is not installed")
    pytest.importorskip("flask_cors", reason="moto's server needs flask and flask-cors")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                requests.get(f"{url}/moto-api/", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def s3_client(url):
    """A client that may write."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=url, **keys)


def upload_in_parts(client, bucket, key, body, part_size):
    """Upload a public object in parts, and return its ETag."""
    name = {"Bucket": bucket, "Key": key}
    upload = client.create_multipart_upload(**name, ACL="public-read")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(body), part_size), 1):
        part = body[start : start + part_size]
        sent = client.upload_part(**name, UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    return client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": parts})["ETag"]
