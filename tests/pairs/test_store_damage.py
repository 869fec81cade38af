"""Stores that are damaged or altered: one clear error, and never the wrong content."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.pairs import _store
from mocop_sklearn.pairs._header import checksum
from tests.helpers.platemaker import build_store, make_plate, other_value


def edit_header(path, change, *, sign=True):
    """Change the header; with a checksum that fits, unless told otherwise."""
    header = change(json.loads((path / "header.json").read_text()))
    (path / "header.json").write_text(json.dumps(header | ({"checksum": checksum(header)} if sign else {})))


def edit_wells(path, **changes):
    """Write the arrays of the wells anew, some of them changed."""
    with np.load(path / "wells.npz") as arrays:
        wells = dict(arrays)
    np.savez(path / "wells.npz", **wells | {name: change(wells[name]) for name, change in changes.items()})


def overwrite(path, place, data=b"\x01"):
    """Write into a file, without changing its size."""
    with open(path, "r+b") as file:
        file.seek(place, 2 if place < 0 else 0)
        file.write(data)


# ---------------------------------------------------------------------------------------------
# The content
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["profiles.npy", "wells.npz"])
@pytest.mark.parametrize("times", ["as they come", "as before"])
def test_altered_content_is_refused(path, name, times):
    """A model of the former content must not come out of a cache."""
    before = (path / name).stat()
    pairs = PairedProfiles.open(path)
    data = bytearray((path / name).read_bytes())
    place = len(data) - 3 if name == "profiles.npy" else data.index(b"CCO")
    overwrite(path / name, place, b"\x3c" if name == "profiles.npy" else b"CCS")
    if times == "as before":
        os.utime(path / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    for verify in (False, True):
        with pytest.raises(ValueError, match=r"store' is damaged \((the content is not what was stored|Bad CRC-32)"):
            PairedProfiles.open(path, verify=verify)
    with pytest.raises(ValueError, match="is damaged"):
        MoCoPEmbedder(pairs=path).fit(["CCO"])
    if times == "as they come":
        with pytest.raises(ValueError, match=r"store' was written since it was opened: open it again"):
            _ = pairs.digest


def test_a_matrix_of_another_store_is_refused(path, tmp_path):
    frame = other_value("Cells_f2", 0.0)(make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0))
    build_store(tmp_path / "other", frame)
    shutil.copy2(tmp_path / "other" / "store" / "profiles.npy", path / "profiles.npy")
    with pytest.raises(ValueError, match="the content is not what was stored"):
        PairedProfiles.open(path)


def test_a_copy_is_compared_once(path, tmp_path, monkeypatch):
    hashed = []
    digest_of_profiles = _store._digest_of_profiles
    monkeypatch.setattr(_store, "_digest_of_profiles", lambda path: hashed.append(1) or digest_of_profiles(path))
    PairedProfiles.open(path)
    assert not hashed
    copied = tmp_path / "copy"
    shutil.copytree(path, copied)
    for _ in range(2):
        assert PairedProfiles.open(copied).digest == PairedProfiles.open(path).digest
        assert len(hashed) == 1
    PairedProfiles.open(copied, verify=True)
    assert len(hashed) == 2


def test_verifying_accepts_what_was_stored(path):
    for dtype in ("float16", "float32"):
        folder = path.parent / dtype
        pairs = build_store(folder, dtype=dtype)
        assert PairedProfiles.open(folder / "store", verify=True).digest == pairs.digest


def test_the_digest_outlives_the_folder(path):
    pairs = PairedProfiles.open(path)
    digest = pairs.digest
    shutil.rmtree(path)
    assert pairs.digest == digest


# ---------------------------------------------------------------------------------------------
# Forged entries
# ---------------------------------------------------------------------------------------------


def header(**changes):
    return lambda path: edit_header(path, lambda h: h | changes)


def report(**changes):
    return lambda path: edit_header(path, lambda h: h | {"report": h["report"] | changes})


def wells(**changes):
    return lambda path: edit_wells(path, **changes)


def compress(path):
    with np.load(path / "wells.npz") as arrays:
        content = dict(arrays)
    np.savez_compressed(path / "wells.npz", **content)


def append(path):
    with open(path / "profiles.npy", "ab") as file:
        file.write(b"more")


def another_member(path):
    with zipfile.ZipFile(path / "wells.npz", "a") as archive:
        archive.writestr("more.npy", b"")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: edit_header(path, lambda h: h | {"clip": 50.0}, sign=False), "header.json was altered"),
        (header(digest="0" * 64), "the content is not what was stored"),
        (header(digest="x"), r"\['digest'\] cannot be so"),
        (header(n_rows=7), r"a matrix of shape \(6, 5\)"),
        (header(n_rows=-1), r"\['n_rows'\] cannot be so"),
        (header(n_rows=2**40, n_features=2**40), r"\['n_rows', 'n_features'\] cannot be so"),
        (header(n_rows=True), r"\['n_rows'\] cannot be so"),
        (header(dtype="float64"), r"\['dtype'\] cannot be so"),
        (header(dtype="float32"), r"and type float16"),
        (header(feature_names=["a"] * 5), r"\['feature_names'\] cannot be so"),
        (header(feature_names=["a", "b", "c", "d", 5]), r"\['feature_names'\] cannot be so"),
        (header(feature_names="abcde"), r"\['feature_names'\] cannot be so"),
        (header(labels={"plate": ["a", "a"]}), r"\['labels'\] cannot be so"),
        (header(labels={"colour": ["a"]}), r"\['labels'\] cannot be so"),
        (header(labels={"plate": ["a", "b" * 2**23, "c"]}), r"\['labels'\] cannot be so"),
        (header(labels=None), r"\['labels'\] cannot be so"),
        (header(files=[{"name": "P1"}]), r"\['files'\] cannot be so"),
        (header(recipe=[]), r"\['recipe'\] cannot be so"),
        (header(provenance=None), r"\['provenance'\] cannot be so"),
        (header(clip="100"), r"\['clip'\] cannot be so"),
        (header(format=True), r"the content is not what|cannot be so"),
        (report(fates={"stored": "six"}), r"\['report'\] cannot be so"),
        (report(molecules=None), r"\['report'\] cannot be so"),
        (report(notices="none"), r"\['report'\] cannot be so"),
        (lambda path: (path / "header.json").write_text("[" * 100_000), "header.json: RecursionError"),
        (lambda path: (path / "header.json").write_text('{"format": NaN}'), "NaN is not allowed"),
        (lambda path: (path / "header.json").write_text('{"format": 1e400}'), "header.json: OverflowError"),
        (lambda path: (path / "header.json").unlink() or (path / "header.json").mkdir(), "header.json: IsADirectory"),
        (lambda path: overwrite(path / "header.json", 2**24), "header.json: ValueError: more than 16,777,216 bytes"),
        (wells(molecule=lambda codes: codes + 1), r"a number of molecule is not below 6"),
        (wells(molecule=lambda codes: codes - 1), r"a number of molecule is not below 6"),
        (wells(plate=lambda codes: codes + 1), r"a number of plate is not below 1"),
        (wells(plate=lambda codes: codes.astype("i8")), r"plate.npy of shape \(6,\) and type int64"),
        (wells(plate=lambda codes: codes[:-1]), r"plate.npy of shape \(5,\)"),
        (wells(plate=lambda codes: codes[:, None]), r"plate.npy of shape \(6, 1\)"),
        (wells(dose=lambda doses: doses[1:]), r"dose.npy of shape \(5,\)"),
        (wells(weight=lambda weight: -weight), r"a weight is negative or not finite"),
        (wells(weight=lambda weight: weight * np.nan), r"a weight is negative or not finite"),
        (wells(smiles=lambda text: text[:-3]), r"the content is not what was stored: wells"),
        (wells(smiles=lambda text: text[:0]), r"structures, .* of them different, for 6 keys"),
        (wells(smiles=lambda text: np.full_like(text, 255)), r"can't decode byte"),
        (wells(keys=lambda text: np.array([{}], dtype=object)), "keys.npy of shape"),
        (compress, "wells.npz is compressed"),
        (another_member, r"wells.npz holds \['molecule'.*'more'\]"),
        (lambda path: overwrite(path / "profiles.npy", 6, b"\x02"), "an array of format"),
        (lambda path: overwrite(path / "profiles.npy", 0, b"PK"), "magic string"),
        (lambda path: np.save(path / "profiles.npy", np.zeros((6, 5), "f2", order="F")), "order of Fortran"),
        (lambda path: np.save(path / "profiles.npy", np.zeros((6, 5), ">f2")), r"and type >f2"),
        (append, r"profiles.npy has \d+ bytes instead of \d+"),
    ],
)  # fmt: skip
def test_forged_entries(path, damage, message):
    damage(path)
    with pytest.raises(ValueError, match=rf"(?s)store' is damaged \(.*({message})"):
        PairedProfiles.open(path)


def damaged_at_random(path, rng):
    """Flip, cut, repeat, zero or insert bytes of one file."""
    file = path / ["header.json", "profiles.npy", "wells.npz"][rng.integers(3)]
    data = bytearray(file.read_bytes())
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    kind = rng.integers(6)
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        del data[place : place + length]
    elif kind == 3:
        data[place:place] = data[place : place + length]
    elif kind == 4:
        data[place : place + length] = bytes(len(data[place : place + length]))
    else:
        data[place:place] = rng.bytes(length)
    file.write_bytes(data)


def same_content(pairs, other):
    return (
        pairs.molecules == other.molecules
        and pairs.feature_names == other.feature_names
        and np.array_equal(pairs.profiles, other.profiles, equal_nan=True)
        and all(
            np.array_equal(getattr(pairs, name), getattr(other, name))
            for name in ("plates", "wells", "sources", "batches", "doses", "sample_weight")
        )
        and pairs.report_ == other.report_
        and pairs.provenance == other.provenance
    )


def opened(path):
    """What opens, or the message of the error."""
    try:
        return PairedProfiles.open(path), ""
    except ValueError as error:
        return None, str(error)


def test_random_damage(path):
    """A store opens with the content that was stored, or with one kind of error."""
    pairs = PairedProfiles.open(path)
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(100):
        copied = path.parent / f"copy{i}"
        shutil.copytree(path, copied)
        damaged_at_random(copied, rng)
        found, message = opened(copied)
        assert found is None or same_content(found, pairs)
        assert found is not None or "is damaged" in message or "has format" in message
        refused += found is None
        shutil.rmtree(copied)
    assert refused > 80
