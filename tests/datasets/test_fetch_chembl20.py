"""Fetching ChEMBL 20: the arrays that come out, archives that are unsafe or lack files, tables with odd values."""

import gzip
import hashlib
import io
import lzma
import os
import subprocess
import sys
import tarfile
import tracemalloc

import numpy as np
import pytest

from mocop_sklearn.datasets import _chembl20, fetch_chembl20
from tests.helpers.s3_server import Memory, faulty_server

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "N#N", "[Na+].[Cl-]"]
TASKS = ["CHEMBL1", "CHEMBL 2, human", "3"]
LABELS = np.array([[1, -1, 0], [-1, -1, -1], [0, 1, -1], [1, 1, 1], [-1, 0, -1]])
FRACTIONS, SPLITS = (1, 5, 10, 25, 50, 100), (1, 2, 3)
INDEX = {"train": [3, 0, 2], "val": [1], "test": [4]}


def table_text(labels=LABELS, smiles=SMILES, tasks=TASKS, numbered=True):
    header = ["smiles", *(f'"{task}"' for task in tasks)]
    lines = [",".join([""] * numbered + header)]
    for i, (text, row) in enumerate(zip(smiles, labels, strict=True)):
        lines.append(",".join([str(i)] * numbered + [text, *map(str, row)]))
    return "\n".join(lines) + "\n"


def split_text(index):
    return "".join(f"{line}\n" for line in [",index", *(f"{i},{row}" for i, row in enumerate(index))])


def contents(shared=True, **changed):
    """Texts of all files by their names; validation and test of all fractions in one file, or in one each."""
    files = {"chembl20.csv": table_text()}
    for split in SPLITS:
        for fraction in FRACTIONS:
            for part in ("train",) if shared else INDEX:
                files[f"chembl20-frac{fraction}-split{split}-{part}.csv"] = split_text(INDEX[part])
        for part in ("val", "test") if shared else ():
            files[f"chembl20-split{split}-{part}.csv"] = split_text(INDEX[part])
    return files | changed


def archive(files, folder="chembl20/", extra=(), compression="gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:
        for member in extra:
            tar.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(folder + name)
            body = text.encode("utf-8", "surrogateescape")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def special(name, kind=tarfile.REGTYPE, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.fixture
def server(monkeypatch):
    with faulty_server(Memory()) as server:
        server.backend.put("/x.tar.gz", archive(contents()))
        monkeypatch.setenv("MOCOP_CHEMBL20_URL", f"{server.url}/x.tar.gz")
        yield server


def expected_labels():
    return np.where(LABELS < 0, np.nan, LABELS).astype(np.float32)


class TestArrays:
    @pytest.mark.parametrize("shared", [True, False])
    @pytest.mark.parametrize("folder", ["", "chembl20/", "./a/b/"])
    def test_content(self, server, tmp_path, shared, folder):
        hidden = [special("._chembl20.csv"), special("chembl20/README.md"), special("chembl20", tarfile.DIRTYPE)]
        server.backend.put("/x.tar.gz", archive(contents(shared), folder, hidden))
        data = fetch_chembl20(tmp_path)
        assert data.smiles.tolist() == SMILES
        assert data.task_names == TASKS
        assert data.y.dtype == np.float32
        np.testing.assert_array_equal(data.y, expected_labels())
        keys = {(fraction, split, part) for fraction in FRACTIONS for split in SPLITS for part in INDEX}
        assert set(data.splits) == keys
        for (_, _, part), index in data.splits.items():
            assert index.dtype == np.int64
            assert index.tolist() == INDEX[part]
        assert data.smiles[data.splits[5, 2, "train"]].tolist() == ["N#N", "CCO", "CC(=O)O"]
        assert set(data.paths) == set(contents(shared))
        assert all(path.read_text() == contents(shared)[name] for name, path in data.paths.items())
        assert sorted(os.listdir(tmp_path / "chembl20")) == [
            ".chembl20.tar.gz.lock",
            ".lock",
            "archive.sha256",
            "arrays",
            "csv",
        ]
        again = fetch_chembl20(tmp_path, download_if_missing=False)
        np.testing.assert_array_equal(again.y, data.y)
        assert len(server.requests) == 1

    def test_int8(self, server, tmp_path):
        data = fetch_chembl20(tmp_path, dtype="int8")
        assert data.y.dtype == np.int8
        assert isinstance(data.y, np.memmap)
        np.testing.assert_array_equal(data.y, LABELS)
        with pytest.raises(ValueError, match="read-only"):
            data.y[0, 0] = 1
        rows = data.splits[1, 1, "train"]
        np.testing.assert_array_equal(np.where(data.y[rows] < 0, np.nan, data.y[rows]), expected_labels()[rows])

    def test_return_X_y(self, server, tmp_path):
        smiles, y = fetch_chembl20(tmp_path, return_X_y=True)
        assert smiles.tolist() == SMILES
        np.testing.assert_array_equal(y, expected_labels())

    @pytest.mark.parametrize("numbered", [True, False])
    @pytest.mark.parametrize("number", [int, float])
    def test_more_rows_than_are_read_at_a_time(self, server, tmp_path, monkeypatch, numbered, number):
        monkeypatch.setattr(_chembl20, "_N_ROWS", 2)
        text = table_text(LABELS.astype(number), numbered=numbered)
        server.backend.put("/x.tar.gz", archive(contents(**{"chembl20.csv": text})))
        np.testing.assert_array_equal(fetch_chembl20(tmp_path).y, expected_labels())

    def test_memory(self, server, tmp_path, monkeypatch):
        """The labels of int8 stay on disk, and float32 needs little more than itself."""
        labels = np.random.default_rng(0).integers(-1, 2, size=(4_000, 50))
        text = table_text(labels, ["C"] * len(labels), [f"t{i}" for i in range(50)])
        server.backend.put("/x.tar.gz", archive(contents(**{"chembl20.csv": text})))
        fetch_chembl20(tmp_path)
        monkeypatch.setattr(_chembl20, "_N_ROWS", 256)
        peaks = {}
        for dtype in ("int8", "float32"):
            tracemalloc.start()
            fetch_chembl20(tmp_path, dtype=dtype)
            peaks[dtype] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peaks["float32"] - peaks["int8"] < 1.5 * labels.size * 4


class TestDownload:
    def test_goes_on_where_it_broke(self, server, tmp_path):
        body = archive(contents())
        server.faults["/x.tar.gz"] = [("cut", len(body) // 2)]
        with pytest.raises(ConnectionError, match="Call again"):
            fetch_chembl20(tmp_path, n_retries=0)
        fetch_chembl20(tmp_path, n_retries=0)
        assert server.ranges("/x.tar.gz") == [None, f"bytes={len(body) // 2}-"]

    def test_url_and_digest(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("MOCOP_CHEMBL20_URL", "http://127.0.0.1:9/")
        url, body = f"{server.url}/y.tar.gz", archive(contents())
        server.backend.put("/y.tar.gz", body)
        with pytest.raises(ValueError, match="SHA-256"):
            fetch_chembl20(tmp_path, url=url, sha256="0" * 64)
        data = fetch_chembl20(tmp_path, url=url, sha256=hashlib.sha256(body).hexdigest())
        assert len(data.smiles) == 5
        assert data.sha256 == hashlib.sha256(body).hexdigest()

    def test_pinned_digest(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(_chembl20, "CHEMBL20_SHA256", {f"{server.url}/x.tar.gz": "0" * 64})
        with pytest.raises(ValueError, match="SHA-256"):
            fetch_chembl20(tmp_path)
        body = archive(contents())
        monkeypatch.setattr(_chembl20, "CHEMBL20_SHA256", {f"{server.url}/x.tar.gz": hashlib.sha256(body).hexdigest()})
        server.backend.put("/x.tar.gz", body)
        assert len(fetch_chembl20(tmp_path).smiles) == 5

    def test_default_url(self):
        assert _chembl20.CHEMBL20_URL.startswith("https://github.com/GSK-AI/mocop/")

    @pytest.mark.parametrize(
        ("status", "error"), [(404, FileNotFoundError), (403, PermissionError), (503, ConnectionError)]
    )
    def test_refused(self, server, tmp_path, status, error):
        server.faults["/x.tar.gz"] = [("status", status, {})] * 3
        with pytest.raises(error, match=f"x.tar.gz.*{status}"):
            fetch_chembl20(tmp_path, n_retries=1, delay=0.001)

    def test_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`download_if_missing` is False"):
            fetch_chembl20(tmp_path, download_if_missing=False)
        assert list(tmp_path.iterdir()) == []

    def test_two_processes(self, server, tmp_path):
        code = "import sys; from mocop_sklearn.datasets import fetch_chembl20; fetch_chembl20(sys.argv[1])"
        children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
        assert [child.wait(60) for child in children] == [0, 0]
        assert server.n_gets()["/x.tar.gz"] == 1

    @pytest.mark.parametrize("step", ["_extract", "_convert_table", "_read_index"])
    def test_dies_half_way(self, server, tmp_path, monkeypatch, step):
        """A failure at any step leaves nothing half-written, and the next call goes on."""

        def fail(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(_chembl20, step, fail)
            with pytest.raises(KeyboardInterrupt):
                fetch_chembl20(tmp_path)
        assert not (tmp_path / "chembl20" / "arrays").exists()
        assert len(fetch_chembl20(tmp_path).smiles) == 5
        assert server.n_gets()["/x.tar.gz"] == 1


BAD_ARCHIVES = {
    "no archive": (b"<html>sign in</html>", "is damaged, or it is not a"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is damaged, or it is not a"),
    "cut": (archive(contents())[:-200], "is damaged, or it is not a"),
    "no tar": (gzip.compress(b"smiles" * 999), "is damaged, or it is not a"),
    "empty": (archive({}), "lacks 25 files: chembl20-frac1-split1-train.csv"),
    "one file": (
        archive({k: v for k, v in contents().items() if k != "chembl20-split2-val.csv"}),
        "lacks 1 files: chembl20-split2-val.csv",
    ),
    "table": (archive({k: v for k, v in contents().items() if k != "chembl20.csv"}), "lacks 1 files: chembl20.csv"),
    "parent": (archive(contents(), "../"), "leads out of the folder"),
    "parent within": (archive(contents(), "a/../../"), "leads out of the folder"),
    "absolute": (archive(contents(), "/tmp/mocop-evil/"), "leads out of the folder"),
    "other file": (archive(contents(), extra=[special("../evil")]), "leads out of the folder"),
    "windows": (archive(contents(), "..\\"), "leads out of the folder"),
    "link": (archive({}, extra=[special("chembl20.csv", tarfile.SYMTYPE, "/etc/passwd")]), "is not a plain file"),
    "hard link": (archive({}, extra=[special("chembl20.csv", tarfile.LNKTYPE, "x")]), "is not a plain file"),
    "device": (archive({}, extra=[special("chembl20.csv", tarfile.CHRTYPE)]), "is not a plain file"),
    "twice": (archive(contents(), extra=[special("other/chembl20.csv")]), "twice"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archive(server, tmp_path, name):
    body, message = BAD_ARCHIVES[name]
    server.backend.put("/x.tar.gz", body)
    with pytest.raises(ValueError, match=message) as caught:
        fetch_chembl20(tmp_path)
    assert "chembl20.tar.gz" in str(caught.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        ".chembl20.tar.gz.lock",
        ".lock",
        "archive.sha256",
        "chembl20",
    ]
    server.backend.put("/x.tar.gz", archive(contents()))
    assert len(fetch_chembl20(tmp_path).smiles) == 5


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("place", [0.3, 0.7, 1.0])
def test_damaged_archive_is_downloaded_again(server, tmp_path, compression, place):
    body = bytearray(archive(contents(), compression=compression))
    body[min(int(place * len(body)), len(body) - 6)] ^= 0xFF
    server.backend.put("/x.tar.gz", bytes(body))
    with pytest.raises(ValueError, match=r"chembl20\.tar\.gz is damaged"):
        fetch_chembl20(tmp_path)
    server.backend.put("/x.tar.gz", archive(contents(), compression=compression))
    assert len(fetch_chembl20(tmp_path).smiles) == 5
    assert server.n_gets()["/x.tar.gz"] == 2


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_archive_that_holds_too_much(server, tmp_path, monkeypatch, compression):
    """A small archive of zeros. Neither a file nor what follows the last file is unpacked beyond the limit."""
    monkeypatch.setattr(_chembl20, "_MAX_BYTES", 1 << 20)
    monkeypatch.setattr(_chembl20, "_MAX_PADDING", 1 << 20)
    server.backend.put("/x.tar.gz", archive({"other.csv": "0" * (2 << 20)}, compression=compression))
    with pytest.raises(ValueError, match="holds more than 1,048,576 bytes"):
        fetch_chembl20(tmp_path)
    plain = archive(contents(), compression="")
    compress = {"gz": gzip.compress, "xz": lzma.compress}[compression]
    server.backend.put("/x.tar.gz", compress(plain + bytes(3 << 20)))
    with pytest.raises(ValueError, match=r"goes on for more than 1,048,576 bytes"):
        fetch_chembl20(tmp_path)


def changed(row, column, value):
    labels = LABELS.astype(object)
    labels[row, column] = value
    return labels


TRAIN = "chembl20-frac5-split2-train.csv"
BAD_TABLES = {
    "two": ("chembl20.csv", table_text(changed(3, 1, 2)), r"line 5: CHEMBL 2, human is '2'; labels are −1"),
    "word": ("chembl20.csv", table_text(changed(0, 0, "active")), "line 2: CHEMBL1 is 'active'"),
    "empty": ("chembl20.csv", table_text(changed(4, 2, "")), "line 6: 3 is ''"),
    "nan": ("chembl20.csv", table_text(changed(2, 2, "nan")), "line 4: 3 is 'nan'"),
    "fraction": ("chembl20.csv", table_text(changed(2, 0, 0.5)), r"line 4: CHEMBL1 is '0\.5'"),
    "no smiles": ("chembl20.csv", table_text(smiles=["C", "C", " ", "C", "C"]), "no SMILES in line 4"),
    "no rows": ("chembl20.csv", table_text([], []), "no SMILES in line 2"),
    "nothing": ("chembl20.csv", "", "has the columns"),
    "header": ("chembl20.csv", "SMILES,a\nC,1\n", r"has the columns \['SMILES', 'a'\], not 'smiles' and then"),
    "no tasks": ("chembl20.csv", "smiles\nC\n", "not 'smiles' and then the tasks"),
    "same tasks": ("chembl20.csv", "smiles,a,a\nC,1,0\n", "two with the same"),
    "nameless task": ("chembl20.csv", "smiles,a,\nC,1,0\n", "without a name"),
    "row numbers": ("chembl20.csv", ",smiles,a\n0,C,1\n2,C,1\n", "does not count the rows from 0"),
    "too many cells": ("chembl20.csv", "smiles,a\nC,1,1\nC,1,1\n", "more cells than the header"),
    "ragged": ("chembl20.csv", "smiles,a\nC,1\nC,1,1\n", "cannot be read as a table: .*line 3"),
    "too few cells": ("chembl20.csv", "smiles,a,b\nC,1,1\nC,1\n", "line 3: b is ''"),
    "no text": ("chembl20.csv", "smiles,a\nC\udcff,1\n", "cannot be read as a table: 'utf-8' codec"),
    "no text later": ("chembl20.csv", "smiles,a\n" + "C,1\n" * 9999 + "C\udcff,1\n", "table: 'utf-8' codec"),
    "large index": (TRAIN, split_text([0, 1, 5]), "line 4: index 5 is out of range for 5 molecules"),
    "negative index": (TRAIN, split_text([0, -1]), "line 3: index -1 is out of range"),
    "no column": (TRAIN, "row\n1\n", r"has no column 'index', only \['row'\]"),
    "text index": (TRAIN, split_text(["a"]), "'index' is not of integers"),
    "broken index": (TRAIN, split_text([0.5]), "'index' is not of integers"),
    "no index": (TRAIN, split_text([]), "names no rows"),
    "empty split": (TRAIN, "", "cannot be read as a table"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_table(server, tmp_path, monkeypatch, name):
    file, text, message = BAD_TABLES[name]
    monkeypatch.setattr(_chembl20, "_N_ROWS", 2 if len(text) < 9999 else 512)
    server.backend.put("/x.tar.gz", archive(contents(**{file: text})))
    with pytest.raises(ValueError, match=message) as caught:
        fetch_chembl20(tmp_path)
    assert file in str(caught.value)
    assert not (tmp_path / "chembl20" / "arrays").exists()
