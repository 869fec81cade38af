"""Fetching JUMP's assembled profiles from a real S3 server, by an index of files with their ETags."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_NEGCON, fetch_jump_cp
from tests.helpers.jump_bucket import BUCKET, QUICK
from tests.helpers.s3_server import etag_of, s3_client, upload_in_parts

NAME = "profiles_var_mad_int_featselect_harmony.parquet"
KEY = f"cpg0016-jump-assembled/source_all/workspace/profiles_assembled/COMPOUND/v1.0/{NAME}"
PARTS_KEY = (
    "cpg0042-chandrasekaran-jump/source_all/workspace/profiles_assembled/compound_no_source7/v1.0/profiles_mad.parquet"
)
INDEX_KEY = "cpg0016-jump/metadata/profile_index.json"
MOLECULES = {"JCP2022_000001": "CCO", "JCP2022_000002": "c1ccccc1O", JUMP_NEGCON: "CS(C)=O", JUMP_EMPTY: ""}


def entry(subset, key, etag):
    recipe = "https://github.com/broadinstitute/jump-profiling-recipe/tree/a917fa7"
    url = f"https://{BUCKET}.s3.amazonaws.com/{key}"
    return {"subset": subset, "url": url, "recipe_permalink": recipe, "etag": etag}


def assembled():
    """Eight wells of two plates, as the consortium's last stage has them: coordinates, and no structures."""
    names = [*MOLECULES] * 2
    frame = pd.DataFrame(
        {
            "Metadata_Source": "source_1",
            "Metadata_Plate": ["UL001641"] * 4 + ["UL001643"] * 4,
            "Metadata_Well": ["A01", "A02", "A03", "A04"] * 2,
            "Metadata_JCP2022": names,
        }
    )
    X = np.random.default_rng(0).normal(size=(8, 5)).astype("f4")
    return frame, pd.concat([frame, pd.DataFrame(X, columns=[f"X_{i}" for i in range(1, 6)])], axis=1)


@pytest.fixture(scope="module")
def published(moto):
    """Two assembled files, one of them uploaded in parts, their index, and the tables of compounds and wells."""
    client, (wells, frame) = s3_client(moto), assembled()
    body, parts = frame.to_parquet(), np.random.default_rng(0).bytes(6 << 20)
    etags = etag_of(body).strip('"'), upload_in_parts(client, BUCKET, PARTS_KEY, parts, 5 << 20).strip('"')
    index = [entry("compound", KEY, etags[0]), entry("compound_no_source7", PARTS_KEY, etags[1]),
             entry("replaced", KEY, "0" * 32)]  # fmt: skip
    plates = wells[["Metadata_Source", "Metadata_Plate"]].drop_duplicates()
    tables = {
        "plate": plates.assign(Metadata_Batch="Batch1_20221004", Metadata_PlateType="COMPOUND"),
        "well": wells,
        "compound": pd.DataFrame({"Metadata_JCP2022": [*MOLECULES], "Metadata_SMILES": [*MOLECULES.values()]}),
    }
    objects = {KEY: body, INDEX_KEY: json.dumps(index).encode()}
    objects |= {
        f"cpg0016-jump/metadata/{name}.csv.gz": gzip.compress(table.to_csv(index=False).encode(), mtime=0)
        for name, table in tables.items()
    }
    for key, content in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=content, ACL="public-read")
    return frame, body, parts, etags


def test_one_file(server, published, tmp_path):
    _, body, _, etags = published
    jump = fetch_jump_cp(tmp_path, profiles="compound", **QUICK)
    assert jump.plates == [tmp_path / "jump_cp" / "assembled" / "compound" / etags[0] / NAME]
    assert jump.plates[0].read_bytes() == body
    assert jump.profiles.corrections == ("var", "mad", "int", "featselect", "harmony")
    assert jump.report == {"n_selected": 1, "n_downloaded": 1, "n_kept": 0, "n_missing": 0, "n_bytes": len(body)}
    server.clear()
    again = fetch_jump_cp(tmp_path, profiles="compound", download_if_missing=False, **QUICK)
    assert again.plates == jump.plates
    assert again.report["n_kept"] == 1
    assert server.requests == []


@pytest.mark.parametrize("fault", [("none",), ("cut", 3_000_000), ("corrupt",)], ids=lambda fault: fault[0])
def test_in_parts(server, published, tmp_path, fault):
    server.faults[f"/{BUCKET}/{PARTS_KEY}"] = [fault]
    (path,) = fetch_jump_cp(tmp_path, profiles="compound_no_source7", **QUICK).plates
    assert path.read_bytes() == published[2]
    assert server.n_gets()[f"/{BUCKET}/{PARTS_KEY}"] == 1 + (fault[0] != "none")


def test_a_copy_that_was_uploaded_otherwise(server, moto, published, tmp_path):
    """A mirror gives the same content another ETag, and the content is compared with that of the index."""
    client = s3_client(moto)
    client.put_object(Bucket=BUCKET, Key=PARTS_KEY, Body=published[2], ACL="public-read")
    try:
        (path,) = fetch_jump_cp(tmp_path, profiles="compound_no_source7", **QUICK).plates
        assert path.read_bytes() == published[2]
    finally:
        upload_in_parts(client, BUCKET, PARTS_KEY, published[2], 5 << 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"profiles": "compounds"},
            r"'compounds' is not in .*profile_index.json, which has \['compound', 'compound_no",
        ),
        ({"profiles": "replaced"}, "has the ETag [0-9a-f]{32}, and its content not that of 0{32}: the server holds"),
        ({"profiles": "compound", "sources": "source_1", "n_plates": 1}, "so sources and n_plates cannot choose"),
    ],
)
def test_errors(server, published, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fetch_jump_cp(tmp_path, **options, **QUICK)
    assert not list(tmp_path.rglob("profiles_*.parquet"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "cannot be read as an index.*Delete it"),
        ("[]", "lists no profiles"),
        ('["compound"]', "entry 0: 'compound' is not an object with subset, url and etag"),
        (json.dumps([entry("a", "x/../profiles.csv", "0" * 32)]), "entry 0: .* is not a usable url"),
        (json.dumps([entry("../a", "x/profiles.parquet", "0" * 32)]), "entry 0: '../a' is not a usable subset"),
        (json.dumps([entry("a", "profiles.parquet", "0" * 31)]), "entry 0: '0{31}' is not a usable etag"),
    ],
)
def test_a_broken_index(server, published, moto, tmp_path, content, message):
    s3_client(moto).put_object(Bucket=BUCKET, Key="broken.json", Body=content.encode(), ACL="public-read")
    with pytest.raises(ValueError, match=message):
        fetch_jump_cp(tmp_path, profiles="compound", index_url=f"s3://{BUCKET}/broken.json", **QUICK)


def test_an_index_in_csv(server, published, moto, tmp_path):
    """As the consortium published it before."""
    text = f'"subset","url","etag"\n"compound","https://{BUCKET}.s3.amazonaws.com/{KEY}","{published[3][0]}"\n'
    s3_client(moto).put_object(Bucket=BUCKET, Key="index.csv", Body=text.encode(), ACL="public-read")
    jump = fetch_jump_cp(tmp_path, profiles="compound", index_url=f"s3://{BUCKET}/index.csv", **QUICK)
    assert jump.plates[0].read_bytes() == published[1]


def test_into_a_store(server, published, tmp_path, capsys):
    """Wells find their structures in the tables, and profiles that are normalised stay as they are."""
    frame = published[0]
    store = tmp_path / "jump.pairs"
    assert main(["fetch", "jump", "-o", str(tmp_path), "--profiles", "compound", "--store", str(store)]) == 0
    assert "done before [var, mad, int, featselect, harmony]" in " ".join(capsys.readouterr().out.split())
    pairs = PairedProfiles.open(store)
    treated = frame["Metadata_JCP2022"].isin(["JCP2022_000001", "JCP2022_000002"])
    np.testing.assert_array_equal(pairs.profiles, frame.loc[treated].filter(like="X_").to_numpy().astype("f2"))
    assert pairs.molecules == ["CCO", "Oc1ccccc1"] * 2
    assert set(pairs.batches) == {"Batch1_20221004"}
    assert pairs.report_["fates"] | {"control": 2, "excluded": 2, "stored": 4} == pairs.report_["fates"]
