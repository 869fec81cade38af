"""Fetching plates from a real S3 server, with a server in front of it that cuts, refuses, resets and stalls."""

import gzip
import pickle
import tempfile

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn.datasets import (
    JUMP_EMPTY,
    JUMP_NEGCON,
    JUMP_POSITIVE_CONTROLS,
    RemotePlate,
    fetch_jump_cp,
    jump_cp_plates,
)
from tests.helpers.jump_bucket import BUCKET, COMPOUND, NAMES, QUICK, ROWS, check, key_of, names_of, path_of, plate_file
from tests.helpers.s3_server import s3_client, upload_in_parts


def test_constants():
    assert len(set(JUMP_POSITIVE_CONTROLS) | {JUMP_NEGCON, JUMP_EMPTY}) == 10


class TestFetch:
    def test_all(self, server, bodies, tmp_path):
        jump = fetch_jump_cp(tmp_path, **QUICK)
        assert names_of(jump.plates) == COMPOUND
        check(jump.plates, bodies)
        assert jump.missing == []
        n_bytes = sum(len(bodies[name]) for name in COMPOUND)
        report = {"n_selected": 6, "n_downloaded": 6, "n_kept": 0, "n_missing": 0, "n_bytes": n_bytes}
        assert jump.report == report
        assert set(jump.metadata) == {"plate", "well", "compound"}
        assert len(pd.read_csv(jump.metadata.plate)) == len(ROWS)
        assert jump.plates[0] == tmp_path / "jump_cp" / "source_1" / "Batch1_20221004" / "UL001641.parquet"
        assert server.signed == 0
        server.clear()
        again = fetch_jump_cp(tmp_path, **QUICK)
        assert again.plates == jump.plates
        assert again.report == report | {"n_downloaded": 0, "n_kept": 6, "n_bytes": 0}
        assert server.requests == []

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"sources": ["source_1"]}, COMPOUND[:3]),
            ({"sources": "source_8", "plate_types": "TARGET2"}, [NAMES[6]]),
            ({"plate_types": None}, NAMES),
            ({"plate_types": ["ORF", "TARGET2"]}, [NAMES[3], NAMES[6]]),
            ({"plates": ["00121430", "UL001643"]}, [NAMES[1], NAMES[5]]),
            ({"n_plates": 1}, COMPOUND[:1]),
            ({"n_plates": 3}, [NAMES[0], NAMES[4], NAMES[7]]),
            ({"n_plates": 4}, [NAMES[0], NAMES[1], NAMES[4], NAMES[7]]),
            ({"n_plates": 2, "sources": np.array(["source_8", "source_4"])}, [NAMES[4], NAMES[7]]),
            ({"n_plates": 99}, COMPOUND),
        ],
    )
    def test_filters(self, server, tmp_path, filters, expected):
        plates, metadata = jump_cp_plates(tmp_path, **filters)
        assert [plate.name for plate in plates] == expected
        assert all(path.exists() for path in metadata.values())

    @pytest.mark.parametrize(
        ("filters", "message"),
        [
            ({"sources": ["source_2"]}, r"no Metadata_Source 'source_2'; the first of 3 are \['source_1'"),
            ({"plates": ["UL001641", "x", "y"]}, "no Metadata_Plate 'x', 'y'"),
            ({"plate_types": ["CRISPR"]}, "no Metadata_PlateType 'CRISPR'"),
            ({"plates": ["BR00117035"]}, r"leave out 1 of the plates asked for: \['BR00117035'\]"),
            ({"plate_types": ["TARGET2"], "sources": ["source_1"]}, "No plate of .* fits"),
            ({"n_plates": 0}, "n_plates"),
            ({"n_jobs": 0}, "n_jobs"),
            ({"n_retries": -1}, "n_retries"),
            ({"on_missing": "ignore"}, "on_missing"),
        ],
    )
    def test_wrong_filters(self, server, tmp_path, filters, message):
        with pytest.raises(ValueError, match=message):
            fetch_jump_cp(tmp_path, **(QUICK | filters))

    def test_default_folder(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
        assert tmp_path in fetch_jump_cp(n_plates=1).plates[0].parents

    def test_progress(self, server, tmp_path, capsys):
        fetch_jump_cp(tmp_path, n_plates=2)
        assert capsys.readouterr().err == ""
        fetch_jump_cp(tmp_path, n_plates=2, verbose=1)
        assert "2/2" in capsys.readouterr().err

    def test_offline(self, server, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"`download_if_missing` is False.*plate\.csv\.gz"):
            fetch_jump_cp(tmp_path, download_if_missing=False)
        fetch_jump_cp(tmp_path, n_plates=2)
        server.clear()
        assert len(fetch_jump_cp(tmp_path, n_plates=2, download_if_missing=False).plates) == 2
        with pytest.raises(FileNotFoundError, match="4 of 6 plates are not in"):
            fetch_jump_cp(tmp_path, download_if_missing=False)
        assert server.requests == []


class TestEndpoint:
    def test_parameter_before_environment(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        assert len(fetch_jump_cp(tmp_path, n_plates=1, endpoint_url=f"{server.url}/").plates) == 1

    def test_environment(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert len(fetch_jump_cp(tmp_path / "a", n_plates=1).plates) == 1
        monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert len(fetch_jump_cp(tmp_path / "b", n_plates=1).plates) == 1

    def test_amazon(self, server, tmp_path, monkeypatch):
        fetch_jump_cp(tmp_path, n_plates=1)
        monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
        (plate,) = jump_cp_plates(tmp_path, n_plates=1)[0]
        assert plate.url == f"https://cellpainting-gallery.s3.amazonaws.com/{key_of(NAMES[0])}"

    @pytest.mark.parametrize(
        "base", ["{url}/" + BUCKET + "/cpg0016-jump/metadata", f"s3://{BUCKET}/cpg0016-jump/metadata/"]
    )
    def test_metadata_url(self, server, tmp_path, base):
        fetch_jump_cp(tmp_path, n_plates=1, metadata_url=base.format(url=server.url))
        assert server.ranges(f"/{BUCKET}/cpg0016-jump/metadata/well.csv.gz") == [None]

    def test_metadata_is_not_there(self, server, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"(?s)plate\.csv\.gz does not exist.*well.*compound.*metadata_url"):
            fetch_jump_cp(tmp_path, metadata_url=f"s3://{BUCKET}/elsewhere/")

    def test_not_public(self, server, tmp_path):
        with pytest.raises(PermissionError, match=r"private/plate\.csv\.gz may not be read \(403"):
            fetch_jump_cp(tmp_path, metadata_url=f"s3://{BUCKET}/private/", **QUICK)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("Metadata_Source,Metadata_Batch\n", "no column Metadata_Plate, Metadata_PlateType"),
            ("S,B,..,COMPOUND", "row 0: '..' is not a usable Metadata_Plate"),
            ("S,B/../../x,P,COMPOUND", "not a usable Metadata_Batch"),
            ("/S,B,P,COMPOUND", "not a usable Metadata_Source"),
            ("S,B,,COMPOUND", "'' is not a usable Metadata_Plate"),
            ("S,B,P,COMPOUND\nS,B,P,COMPOUND", "row 1: the plate is in the table twice"),
            (None, "cannot be read as a table"),
        ],
    )
    def test_odd_table(self, tmp_path, server, text, message):
        fetch_jump_cp(tmp_path, n_plates=1)
        path = tmp_path / "jump_cp" / "metadata" / "plate.csv.gz"
        (path.parent / ".plate.csv.gz.json").unlink()
        if text is not None and not text.startswith("Metadata"):
            text = f"Metadata_Source,Metadata_Batch,Metadata_Plate,Metadata_PlateType\n{text}\n"
        path.write_bytes(b"no gzip" if text is None else gzip.compress(text.encode()))
        with pytest.raises(ValueError, match=message):
            jump_cp_plates(tmp_path, download_if_missing=False)


class TestMissing:
    def refuse(self, server, *names):
        for name in names:
            server.faults[path_of(name)] = [("status", 404, {})] * 9

    def test_raise(self, server, bodies, tmp_path):
        self.refuse(server, NAMES[1], NAMES[7])
        with pytest.raises(FileNotFoundError, match=f"2 of 6 plates are not in the bucket: {NAMES[1]}, {NAMES[7]}"):
            fetch_jump_cp(tmp_path, **QUICK)
        assert server.n_gets()[path_of(NAMES[1])] == 1
        assert len(list(tmp_path.rglob("*.parquet"))) == 4

    def test_skip(self, server, bodies, tmp_path):
        self.refuse(server, NAMES[1], NAMES[7])
        with pytest.warns(UserWarning, match="2 of 6 plates are not in the bucket and are left out") as caught:
            jump = fetch_jump_cp(tmp_path, on_missing="skip", **QUICK)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert jump.missing == [NAMES[1], NAMES[7]]
        assert jump.report["n_missing"] == 2
        assert names_of(jump.plates) == [name for name in COMPOUND if name not in jump.missing]
        check(jump.plates, bodies)

    def test_really_not_in_the_bucket(self, server, moto, tmp_path):
        client, key = s3_client(moto), key_of(NAMES[0])
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        client.delete_object(Bucket=BUCKET, Key=key)
        try:
            with pytest.raises(FileNotFoundError, match=NAMES[0]):
                fetch_jump_cp(tmp_path, n_plates=2, **QUICK)
        finally:
            client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")
        assert len(fetch_jump_cp(tmp_path, n_plates=2, **QUICK).plates) == 2


class TestTrouble:
    def test_everything_at_once(self, server, bodies, tmp_path):
        faults = [
            ("status", 503, {"Retry-After": "0"}),
            ("cut", 70_000),
            ("reset", 70_000),
            ("corrupt",),
            ("status", 500, {}),
            ("cut", 0),
        ]
        for name, fault in zip(COMPOUND, faults, strict=True):
            server.faults[path_of(name)] = [fault, fault]
        check(fetch_jump_cp(tmp_path, **QUICK).plates, bodies)
        assert set(server.ranges(path_of(COMPOUND[1]))) > {None}  # went on by range

    def test_gives_up_and_goes_on_later(self, server, bodies, tmp_path):
        server.faults[path_of(NAMES[1])] = [("cut", 70_000)] * 2
        with pytest.raises(ConnectionError, match="UL001643"):
            fetch_jump_cp(tmp_path, n_retries=0, n_jobs=1)
        assert "UL001643.parquet.part" in [path.name for path in tmp_path.rglob("*.part")]
        with pytest.raises(ConnectionError, match="UL001643"):
            fetch_jump_cp(tmp_path, n_retries=0, n_jobs=1)
        jump = fetch_jump_cp(tmp_path)
        check(jump.plates, bodies)
        assert server.n_gets()[path_of(NAMES[0])] == 1
        asked = server.ranges(path_of(NAMES[1]))
        assert len(asked) == 3
        assert asked[0] is None
        assert None not in asked[1:]

    def test_changes_while_resuming(self, server, moto, bodies, tmp_path):
        name = NAMES[4]
        filters = {"plates": [name.rpartition("/")[2]], "n_retries": 0}
        server.faults[path_of(name)] = [("cut", 70_000)]
        with pytest.raises(ConnectionError):
            fetch_jump_cp(tmp_path, **filters)
        new = plate_file(name, seed=99)
        client = s3_client(moto)
        client.put_object(Bucket=BUCKET, Key=key_of(name), Body=new, ACL="public-read")
        try:
            (path,) = fetch_jump_cp(tmp_path, **filters).plates
            assert path.read_bytes() == new
        finally:
            client.put_object(Bucket=BUCKET, Key=key_of(name), Body=bodies[name], ACL="public-read")

    @pytest.mark.parametrize("part_size", [5 << 20, (5 << 20) + 12345, 8 << 20], ids=["5 MiB", "odd", "8 MiB"])
    @pytest.mark.parametrize("fault", [("none",), ("cut", 7_000_000), ("corrupt",)], ids=lambda fault: fault[0])
    def test_uploaded_in_parts(self, server, moto, bodies, tmp_path, part_size, fault):
        name, body = NAMES[0], np.random.default_rng(0).bytes(11 << 20)
        client = s3_client(moto)
        etag = upload_in_parts(client, BUCKET, key_of(name), body, part_size)
        assert "-" in etag
        server.faults[path_of(name)] = [fault]
        try:
            (path,) = fetch_jump_cp(tmp_path, n_plates=1, **QUICK).plates
            assert path.read_bytes() == body
            assert server.n_gets()[path_of(name)] == 1 + (fault[0] != "none")
        finally:
            client.put_object(Bucket=BUCKET, Key=key_of(name), Body=bodies[name], ACL="public-read")


class TestRemotePlate:
    def test_local(self, server, bodies, tmp_path):
        plates, _ = jump_cp_plates(tmp_path, n_plates=1, **QUICK)
        server.faults[path_of(NAMES[0])] = [("cut", 70_000), ("status", 503, {})]
        with plates[0].local() as path:
            assert path.read_bytes() == bodies[NAMES[0]]
            assert path.name == "UL001641.parquet"
        assert not path.parent.exists()
        assert list(tmp_path.rglob("*.parquet")) == []

    def test_removed_after_an_error(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        plate = RemotePlate(NAMES[0], server.url + path_of(NAMES[0]))
        with pytest.raises(ZeroDivisionError), plate.local():
            raise ZeroDivisionError
        absent = RemotePlate("a/b/c", f"{server.url}/{BUCKET}/absent")
        with pytest.raises(FileNotFoundError, match="absent does not exist"), absent.local():
            pass
        assert list(tmp_path.iterdir()) == []

    def test_pickle(self, server, tmp_path):
        (plate,) = jump_cp_plates(tmp_path, n_plates=1)[0]
        assert pickle.loads(pickle.dumps(plate)) == plate
