"""A server that speaks the protocol of the Hugging Face Hub, as far as models need it.

Small files are part of a commit. Large ones are objects of Git LFS: they are put under an address beforehand, and are
downloaded from another host than the hub, to which it redirects.
"""

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_of_a_test"


class Hub:
    """Repositories by name: a list of commits, each a pair of its id and its files."""

    def __init__(self):
        self.repositories = {}
        self.requests = []
        self.status = None  # answered to everything
        self.large = ()  # names of files that go by Git LFS
        self.objects = {}

    def commit(self, repository, files):
        commits = self.repositories.setdefault(repository, [])
        held = (commits[-1][1] if commits else {}) | files
        oid = hashlib.sha1(f"{len(commits)}{sorted(held.items())}".encode()).hexdigest()
        commits.append((oid, held))
        return oid

    def find(self, repository, revision):
        """Return the commit of a revision, or the code of the error."""
        if not self.repositories.get(repository):
            return "RepoNotFound"
        commits = self.repositories[repository]
        named = {"main": commits[-1], "v1": commits[0]} | {oid: (oid, files) for oid, files in commits}
        return named.get(revision, "RevisionNotFound")


@contextmanager
def running_hub():
    """Yield a hub and its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        self.hub.requests.append((self.command, self.path))
        if self.hub.status:
            return self.answer(self.hub.status)
        if self.path.startswith("/api/models/"):  # asked when a repository may not be created
            known = self.path.removeprefix("/api/models/") in self.hub.repositories
            return self.answer(200 if known else 401, {"error": "Invalid username or password."})
        if self.path.startswith("/objects/"):
            assert "Authorization" not in self.headers  # another host does not get the token
            return self.answer(200, self.hub.objects[self.path.removeprefix("/objects/")])
        repository, revision, file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path).groups()
        found = self.hub.find(repository, revision.replace("%2F", "/"))
        if isinstance(found, str):
            return self.answer(404, X_Error_Code=found, X_Error_Message=found)
        oid, files = found
        if file not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
        etag = hashlib.sha256(files[file]).hexdigest()
        if etag in self.hub.objects:
            linked = {"X_Linked_ETag": f'"{etag}"', "X_Linked_Size": len(files[file])}
            port = self.headers["Host"].partition(":")[2]
            return self.answer(302, Location=f"http://localhost:{port}/objects/{etag}", X_Repo_Commit=oid, **linked)
        return self.answer(200, files[file], ETag=f'"{etag}"', X_Repo_Commit=oid)

    do_HEAD = do_GET

    def do_PUT(self):
        self.hub.requests.append((self.command, self.path))
        content = b"".join(self.chunks()) if "Content-Length" not in self.headers else self.body()
        assert hashlib.sha256(content).hexdigest() == self.path.removeprefix("/objects/")
        self.hub.objects[self.path.removeprefix("/objects/")] = content
        self.answer(200)

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def chunks(self):
        """Content whose length was not known when it was sent."""
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_POST(self):
        self.hub.requests.append((self.command, self.path))
        body = self.body()
        if self.hub.status:
            return self.answer(self.hub.status)
        if self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            return self.answer(200, {"errors": [], "warnings": []})
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid user token"})
        if self.path == "/api/repos/create":
            return self.create(**json.loads(body))
        if self.path.endswith(".git/info/lfs/objects/batch"):
            wanted = [entry["oid"] for entry in json.loads(body)["objects"]]
            place = f"http://{self.headers['Host']}/objects/"
            objects = [{"oid": oid, "size": 0, "actions": {"upload": {"href": place + oid}}} for oid in wanted]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        repository, action = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path).groups()
        if action == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name in self.hub.large else "regular" for name in names}
            files = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
            return self.answer(200, {"files": files})
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        oid = self.hub.commit(repository, files)
        url = f"http://{self.headers['Host']}/{repository}/commit/{oid}"
        return self.answer(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def create(self, name, organization, **_):
        repository = f"{organization}/{name}"
        url = f"http://{self.headers['Host']}/{repository}"
        if repository in self.hub.repositories:
            return self.answer(409, {"url": url, "error": "You already created this model repo"})
        self.hub.repositories[repository] = []
        return self.answer(200, {"url": url, "name": repository})
