"""The files of a store: what is read when, what damages them, and what changes their digest."""

import json
import shutil

import numpy as np
import pytest

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from tests.helpers.platemaker import build_store, contents, make_plate, other_value

# ---------------------------------------------------------------------------------------------
# Opening
# ---------------------------------------------------------------------------------------------


def test_the_matrix_stays_on_disk(path):
    pairs = PairedProfiles.open(path)
    matrix = np.load(path / "profiles.npy")
    assert matrix.dtype == np.float16
    assert matrix.shape == (len(pairs), pairs.n_features)
    np.testing.assert_array_equal(pairs.profiles, matrix.astype(np.float32))
    assert isinstance(pairs._matrix, np.memmap)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_read_cannot_change_the_store(tmp_path, dtype):
    pairs = build_store(tmp_path, dtype=dtype)
    before = contents(tmp_path / "store")
    profiles = pairs.profiles
    if profiles.flags.writeable:
        profiles[:] = 0
    else:
        with pytest.raises(ValueError, match="read-only"):
            profiles[:] = 0
    assert contents(tmp_path / "store") == before


def test_rows_are_read_as_numpy_takes_them(wide):
    profiles = wide.profiles
    for rows in (slice(None), slice(3, 900, 7), [5, 5, 1019, 0], np.arange(1020) % 3 == 1, np.array([-1])):
        np.testing.assert_array_equal(wide.read(rows), profiles[rows])
        np.testing.assert_array_equal(wide[rows].profiles, profiles[rows])


# ---------------------------------------------------------------------------------------------
# Damage
# ---------------------------------------------------------------------------------------------


def header_of(change):
    def damage(path):
        header = json.loads((path / "header.json").read_text())
        (path / "header.json").write_text(json.dumps(change(header)))

    return damage


def cut(name, share):
    def damage(path):
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: int(share * len(data))])

    return damage


def text(content):
    return lambda path: (path / "header.json").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("profiles.npy", 0.9), r"store' is damaged \(profiles.npy has \d+ bytes instead of \d+\)"),
        (cut("profiles.npy", 0.1), r"store' is damaged"),
        (cut("profiles.npy", 0.0), r"store' is damaged"),
        (cut("wells.npz", 0.9), r"store' is damaged"),
        (cut("wells.npz", 0.5), r"store' is damaged"),
        (cut("wells.npz", 0.0), r"store' is damaged"),
        (cut("header.json", 0.5), r"store' is damaged \(header.json: .*build it anew"),
        (text(b""), r"store' is damaged \(header.json"),
        (text(b"[]"), r"store' is damaged \(header.json"),
        (text(b"{}"), r"store' is damaged \(header.json"),
        (text(b"\xff\xfe\x00"), r"store' is damaged \(header.json"),
        (header_of(lambda h: h | {"format": "one"}), r"store' is damaged \(header.json"),
        (header_of(lambda h: h | {"format": 2}), r"has format 2, but this version of mocop-sklearn reads up to 1"),
        (header_of(lambda h: {"format": 1}), r"store' is damaged \(without \['n_rows', 'n_features', 'dtype'"),
        (header_of(lambda h: h | {"feature_names": ["a"]}), r"is damaged \(1 names for 5 features\)"),
        (lambda path: np.save(path / "profiles.npy", np.zeros((7, 5), "f2")), r"damaged \(a matrix of shape \(7, 5\)"),
        (lambda path: (path / "profiles.npy").unlink(), r"store' is damaged \(.*No such file"),
        (lambda path: (path / "wells.npz").unlink(), r"store' is damaged \(.*No such file"),
        (
            lambda path: (path / "header.json").unlink(),
            r"holds no stored pairs \(no header.json\): make them with mocop",
        ),
    ],
)
def test_damage(path, damage, message):
    damage(path)
    with pytest.raises(ValueError, match=message):
        PairedProfiles.open(path)
    with pytest.raises(ValueError, match=message):
        MoCoPEmbedder(pairs=path).fit(["CCO"])


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="No stored pairs at"):
        PairedProfiles.open(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no stored pairs"):
        PairedProfiles.open(tmp_path)


# ---------------------------------------------------------------------------------------------
# The digest
# ---------------------------------------------------------------------------------------------


def test_the_same_content_has_the_same_digest(tmp_path, path):
    digest = PairedProfiles.open(path).digest
    moved = tmp_path / "moved"
    shutil.copytree(path, moved)
    assert PairedProfiles.open(moved).digest == digest
    assert build_store(tmp_path / "again").digest == digest
    assert contents(tmp_path / "again" / "store") == contents(path)
    wells = make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0)
    assert build_store(tmp_path / "options", wells, max_wells=100, clip=50.0).digest == digest
    assert build_store(tmp_path / "salt", wells.replace({"Metadata_SMILES": {"CCN": "CCN.Cl"}})).digest == digest


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (other_value("Cells_f2", 0.0), {}),
        (other_value("Metadata_SMILES", "CCBr"), {}),
        (other_value("Metadata_SMILES", "CCC"), {}),
        (other_value("Metadata_Dose", 3.0), {}),
        (other_value("Metadata_Share", 0.5), {}),
        (other_value("Metadata_Well", "H12"), {}),
        (other_value("Metadata_Source", "s2"), {"plate_columns": "Metadata_Plate"}),
        (lambda frame: frame.assign(Metadata_Source="s2"), {}),
        (lambda frame: frame.assign(Metadata_Batch="b2"), {}),
        (lambda frame: frame.assign(Metadata_Plate="P2"), {}),
        (lambda frame: frame.rename(columns={"Cells_f2": "Cells_f9"}), {}),
        (lambda frame: frame.iloc[[*range(4), *range(9, 3, -1)]], {}),
        (lambda frame: frame.iloc[:-1], {}),
        (lambda frame: frame, {"weight_column": None}),
        (lambda frame: frame, {"dose_column": None}),
        (lambda frame: frame, {"dtype": "float32"}),
    ],
)
def test_other_content_has_another_digest(tmp_path, path, change, options):
    frame = change(make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0))
    assert build_store(tmp_path / "other", frame, **options).digest != PairedProfiles.open(path).digest
