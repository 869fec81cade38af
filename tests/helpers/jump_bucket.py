"""A small copy of the bucket of JUMP on a real S3 server, behind one that misbehaves. Fixtures for conftest files."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.helpers.s3_server import Upstream, faulty_server, moto_server, s3_client

BUCKET = "cellpainting-gallery"
ROWS = [
    ("source_1", "Batch1_20221004", "UL001641", "COMPOUND"),
    ("source_1", "Batch1_20221004", "UL001643", "COMPOUND"),
    ("source_1", "Batch2_20221006", "UL001783", "COMPOUND"),
    ("source_4", "2021_04_26_Batch1", "BR00117035", "ORF"),
    ("source_4", "2021_06_07_Batch5", "BR00121429", "COMPOUND"),
    ("source_4", "2021_06_07_Batch5", "00121430", "COMPOUND"),
    ("source_8", "J1", "A1170383", "TARGET2"),
    ("source_8", "J1", "A1170384", "COMPOUND"),
]
NAMES = ["/".join(row[:3]) for row in ROWS]
COMPOUND = [name for name, row in zip(NAMES, ROWS, strict=True) if row[3] == "COMPOUND"]
QUICK = {"n_retries": 3, "delay": 0.001}


def key_of(name):
    source, batch, plate = name.split("/")
    return f"cpg0016-jump/{source}/workspace/profiles/{batch}/{plate}/{plate}.parquet"


def path_of(name):
    return f"/{BUCKET}/{key_of(name)}"


def plate_file(name, seed):
    """A small plate as it is in the bucket."""
    source, _, plate = name.split("/")
    wells = [f"{row}{column:02}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    frame = pd.DataFrame({"Metadata_Source": source, "Metadata_Plate": plate, "Metadata_Well": wells})
    features = np.random.default_rng(seed).normal(size=(len(wells), 80)).astype("float32")
    table = pd.concat([frame, pd.DataFrame(features).add_prefix("Cells_AreaShape_")], axis=1)
    return table.to_parquet()


@pytest.fixture(scope="module")
def bodies():
    """The content of every object, by its name."""
    return {name: plate_file(name, seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def moto(bodies):
    """A store that holds the plates and tables, and nothing for anonymous readers but what is public."""
    with moto_server() as url:
        client = s3_client(url)
        client.create_bucket(Bucket=BUCKET)
        columns = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_PlateType"]
        text = pd.DataFrame(ROWS, columns=columns).to_csv(index=False)
        objects = {key_of(name): body for name, body in bodies.items()}
        for table in ("plate", "well", "compound"):
            objects[f"cpg0016-jump/metadata/{table}.csv.gz"] = gzip.compress(text.encode(), mtime=0)
        for key, body in objects.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")
        client.put_object(Bucket=BUCKET, Key="private/plate.csv.gz", Body=b"")
        yield url


@pytest.fixture(scope="module")
def proxy(moto):
    with faulty_server(Upstream(moto)) as server:
        yield server


@pytest.fixture
def server(proxy, monkeypatch):
    """The server in front, named by the standard variable; there are no credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    proxy.clear()
    return proxy


def names_of(plates):
    return ["/".join((*path.parts[-3:-1], path.stem)) for path in plates]


def check(plates, bodies):
    for name, path in zip(names_of(plates), plates, strict=True):
        assert path.read_bytes() == bodies[name]


def start_fetch(folder, url, **options):
    """Fetch all compound plates in a process of its own."""
    code = "import sys; from mocop_sklearn.datasets import fetch_jump_cp; fetch_jump_cp(sys.argv[1], delay=0.001)"
    environment = os.environ | {"AWS_ENDPOINT_URL_S3": url}
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment, **options)
