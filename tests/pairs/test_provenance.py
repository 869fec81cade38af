"""Where the profiles of a corpus come from."""

import hashlib
import json

import numpy as np
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from tests.helpers.platemaker import make_plate, write


def test_a_build_says_where_all_came_from(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    files = [write(make_plate(f"P{i}"), tmp_path / f"P{i}.parquet") for i in range(2)]
    normalizer = ProfileNormalizer("mad", min_controls=3)
    pairs = build_pairs(
        tmp_path / "store", files, normalizer=normalizer, feature_filter=ProfileFilter(max_missing=0.1),
        exclude={"Metadata_Well": ["A05"]}, hold_out=["CCN"], licence="CC0 1.0", notes="of a pilot",
    )  # fmt: skip
    found = PairedProfiles.open(tmp_path / "store").provenance
    assert found == pairs.provenance == json.loads(json.dumps(found))
    sha = hashlib.sha256("".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in files).encode()).hexdigest()
    size = sum(file.stat().st_size for file in files)
    assert found["files"] == {"count": 2, "bytes": size, "sha256": sha, "names": ["P0.parquet", "P1.parquet"]}
    assert {name: found[name] for name in ("digest", "n_wells", "n_molecules", "n_features")} == {
        "digest": pairs.digest, "n_wells": 8, "n_molecules": 4, "n_features": 5,
    }  # fmt: skip
    assert (found["date"], found["licence"], found["notes"]) == ("2023-11-14", "CC0 1.0", "of a pilot")
    assert found["normalization"]["method"] == "mad"
    assert found["normalization"]["min_controls"] == 3
    assert found["normalization"]["controls"] == {"Metadata_IsNegcon": 8}
    assert found["features"]["filter"]["type"] == "ProfileFilter"
    assert found["features"]["filter"]["max_missing"] == 0.1
    assert found["wells"]["exclude"] == {"Metadata_Well": ["A05"]}
    assert found["wells"]["held_out_molecules"] == 1
    found["files"].clear()
    assert pairs.provenance["files"]


def test_provenance_of_a_view(path):
    pairs = PairedProfiles.open(path)
    view = pairs[:3].select_features([0, 1])
    own = ("digest", "n_wells", "n_molecules", "n_features")
    assert [view.provenance[name] for name in own] == [view.digest, 3, 3, 2]
    rest = {name: value for name, value in pairs.provenance.items() if name not in own}
    assert {name: value for name, value in view.provenance.items() if name not in own} == rest


def test_provenance_of_pairs_in_memory(tmp_path):
    pairs = PairedProfiles(["CCO", "CCN", "CCO"], np.arange(12.0).reshape(3, 4))
    known = {"digest": pairs.digest, "n_wells": 3, "n_molecules": 2, "n_features": 4}
    assert pairs.provenance == known | {"files": None, "normalization": None}
    table = write(make_plate("P1"), tmp_path / "P1.csv")
    found = PairedProfiles.from_file(table).provenance
    assert found["files"] == {"count": 1, "bytes": table.stat().st_size, "names": ["P1.csv"]}
    assert found["normalization"] is None


@pytest.mark.parametrize("option", ["licence", "notes"])
def test_what_is_noted_belongs_to_the_build(tmp_path, option):
    files = [write(make_plate(), tmp_path / "P1.parquet")]
    build_pairs(tmp_path / "store", files, **{option: "one"})
    with pytest.raises(ValueError, match=rf"another build, which differs in \['{option}'\]"):
        build_pairs(tmp_path / "store", files, **{option: "other"})
