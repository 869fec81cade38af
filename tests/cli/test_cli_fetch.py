"""``mocop fetch`` against a local S3 server that holds plates in JUMP's layout."""

import pytest
from simulation import make_jump_like

from mocop_sklearn import PairedProfiles
from mocop_sklearn.cli import main

pytest.importorskip("moto", reason="needs moto, a local S3 server")

from tests.helpers.s3_server import moto_server, s3_client

BUCKET = "cellpainting-gallery"


@pytest.fixture(scope="module")
def jump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jump")
    return folder, make_jump_like(folder, n_plates=4, n_features=12, n_useless=4, random_state=0)


@pytest.fixture(scope="module")
def endpoint(jump):
    folder, data = jump
    with moto_server() as url:
        client = s3_client(url)
        client.create_bucket(Bucket=BUCKET)
        for path in (*data.plates, *data.metadata.values()):
            key = path.relative_to(folder).as_posix()
            key = key if key.startswith("cpg0016-jump") else f"cpg0016-jump/{key}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
        yield url, client, f"cpg0016-jump/{data.plates[-1].relative_to(folder / 'cpg0016-jump').as_posix()}"


def test_fetch_jump(jump, endpoint, tmp_path, capsys):
    _, data = jump
    command = ["fetch", "jump", "-o", str(tmp_path), "--endpoint-url", endpoint[0], "--n-plates", "3"]
    assert main(command) == 0
    assert "3 downloaded, 0 kept, 0 missing" in " ".join(capsys.readouterr().out.split())
    content = {path.stem: path.read_bytes() for path in data.plates}
    fetched = sorted((tmp_path / "jump_cp").rglob("*.parquet"))
    assert len(fetched) == 3
    assert all(path.read_bytes() == content[path.stem] for path in fetched)
    assert main(command) == 0
    assert "0 downloaded, 3 kept" in " ".join(capsys.readouterr().out.split())


def test_fetch_jump_into_a_store(jump, endpoint, tmp_path, capsys):
    """Plates that come and go make the corpus that plates on disk make."""
    _, data = jump
    out = tmp_path / "data"
    command = ["fetch", "jump", "-o", str(out), "--endpoint-url", endpoint[0], "--n-jobs", "1"]
    assert main([*command, "--store", str(tmp_path / "jump.pairs")]) == 0
    assert "4 in 4 files" in " ".join(capsys.readouterr().out.split())
    assert not list(out.rglob("*.parquet"))
    positive = "JCP2022_085227,JCP2022_037716,JCP2022_025848,JCP2022_046054,JCP2022_035095,JCP2022_064022,"
    positive += "JCP2022_050797,JCP2022_012818,JCP2022_999999"
    tables = map(str, data.metadata.values())
    files = sorted(map(str, data.plates))
    build = ["build", *files, "-o", str(tmp_path / "local.pairs"), "--metadata", *tables, "--filter", "paper"]
    assert main([*build, "--exclude", f"Metadata_JCP2022={positive}", "--on-missing", "drop", "-q"]) == 0
    fetched, local = (PairedProfiles.open(tmp_path / f"{name}.pairs") for name in ("jump", "local"))
    assert fetched.report_ == local.report_
    assert fetched.n_features == 12
    order, place = (sorted(range(len(p)), key=lambda i: (p.plates[i], p.wells[i])) for p in (fetched, local))
    assert (fetched.read(order) == local.read(place)).all()
    assert [fetched.molecules[i] for i in order] == [local.molecules[i] for i in place]


def test_plates_that_the_bucket_lacks(endpoint, tmp_path, capsys):
    url, client, key = endpoint
    body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    client.delete_object(Bucket=BUCKET, Key=key)
    store = ["--store", str(tmp_path / "jump.pairs"), "--n-jobs", "1"]
    command = ["fetch", "jump", "-o", str(tmp_path), "--endpoint-url", url]
    try:
        for more in ([], store):
            assert main([*command, *more]) == 1
            assert key.split("/")[-2] in capsys.readouterr().err
        assert main([*command, *store, "--skip-missing"]) == 1  # the parts of another build are there
        assert "missing_files" in capsys.readouterr().err
        store[1] = str(tmp_path / "other.pairs")
        assert main([*command, *store, "--skip-missing"]) == 0
        assert "3 in 4 files, of which 1 are missing" in " ".join(capsys.readouterr().out.split())
    finally:
        client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")
