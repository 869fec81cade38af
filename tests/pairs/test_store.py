"""The files of a store: what is read when, what damages them, and what their digest hangs on."""

import copy
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from tests.helpers.platemaker import MOLECULES, contents, make_plate, write


def build(folder, frame=None, **options):
    folder.mkdir(exist_ok=True)
    frame = make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0) if frame is None else frame
    columns = {"dose_column": "Metadata_Dose", "weight_column": "Metadata_Share"}
    return build_pairs(folder / "store", [write(frame, folder / "P1.parquet")], **columns | options)


@pytest.fixture
def path(tmp_path):
    """A store of six rows."""
    build(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def wide(tmp_path):
    """A thousand rows."""
    frame = pd.concat([make_plate(f"P{i}", MOLECULES * 10) for i in range(17)], ignore_index=True)
    pairs = build(tmp_path, frame.assign(Metadata_Dose=np.arange(1, len(frame) + 1.0), Metadata_Share=1.0))
    assert len(pairs) == 1020
    return pairs


# ---------------------------------------------------------------------------------------------
# Opening
# ---------------------------------------------------------------------------------------------


def test_the_matrix_stays_on_disk(path):
    pairs = PairedProfiles.open(path)
    matrix = np.load(path / "profiles.npy")
    assert matrix.dtype == np.float16
    assert matrix.shape == (len(pairs), pairs.n_features)
    np.testing.assert_array_equal(pairs.profiles, matrix.astype(np.float32))
    # what is written there is what is read next
    raw = np.load(path / "profiles.npy", mmap_mode="r+")
    raw[:] = 7
    raw.flush()
    assert (pairs.read([1, 3]) == 7).all()
    assert PairedProfiles.open(path).digest == pairs.digest


def test_opening_and_a_few_rows_need_no_memory_for_the_matrix(path, tmp_path):
    header = json.loads((path / "header.json").read_text())
    names = [f"f{i}" for i in range(2**20)]
    big = np.lib.format.open_memmap(path / "profiles.npy", "w+", np.float16, (6, len(names)))
    big[:, -1] = np.arange(6)
    del big
    (path / "header.json").write_text(json.dumps(header | {"feature_names": names}))
    pairs = PairedProfiles.open(path)
    assert pairs.select_features([2**20 - 1])[[5, 2]].profiles.ravel().tolist() == [5, 2]
    assert pairs[1:3].select_features([0, -1]).profiles.tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_read_cannot_change_the_store(tmp_path, dtype):
    pairs = build(tmp_path, dtype=dtype)
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
        (cut("profiles.npy", 0.9), r"store' is damaged \(mmap length is greater than file size"),
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
        (header_of(lambda h: {"format": 1}), r"store' is damaged \(without \['digest', 'feature_names'"),
        (header_of(lambda h: h | {"feature_names": ["a"]}), r"is damaged \(a matrix of shape \(6, 5\)\)"),
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
    assert build(tmp_path / "again").digest == digest
    assert contents(tmp_path / "again" / "store") == contents(path)
    wells = make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0)
    assert build(tmp_path / "options", wells, max_wells=100, clip=50.0).digest == digest
    assert build(tmp_path / "salt", wells.replace({"Metadata_SMILES": {"CCN": "CCN.Cl"}})).digest == digest


def value(column, new, row=5):
    def change(frame):
        frame.loc[row, column] = new
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (value("Cells_f2", 0.0), {}),
        (value("Metadata_SMILES", "CCBr"), {}),
        (value("Metadata_SMILES", "CCC"), {}),
        (value("Metadata_Dose", 3.0), {}),
        (value("Metadata_Share", 0.5), {}),
        (value("Metadata_Well", "H12"), {}),
        (value("Metadata_Source", "s2"), {"plate_columns": "Metadata_Plate"}),
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
    assert build(tmp_path / "other", frame, **options).digest != PairedProfiles.open(path).digest


# ---------------------------------------------------------------------------------------------
# Copies and pickles
# ---------------------------------------------------------------------------------------------


def test_a_store_is_never_copied(wide):
    for pairs in (wide, wide[::2], wide.select_features([1]), wide.with_dose()):
        assert copy.deepcopy(pairs) is copy.copy(pairs) is pairs
        assert clone(MoCoPEmbedder(pairs=pairs)).pairs is pairs


@pytest.mark.parametrize(
    ("view", "size"),
    [
        (lambda pairs: pairs, 1000),
        (lambda pairs: pairs.select_features([3, 1]), 1000),
        (lambda pairs: pairs.with_dose(), 1000),
        (lambda pairs: pairs[:1000], 10_000),
        (lambda pairs: pairs[::2][5:].select_features([4, 0, 2]).select_features([2, 0]).with_dose()[::-1], 10_000),
    ],
)
def test_a_pickle_is_a_path(wide, view, size):
    pairs = view(wide)
    pickled = pickle.dumps(pairs)
    assert len(pickled) < size
    again = pickle.loads(pickled)
    assert again.digest == pairs.digest
    assert again.feature_names == pairs.feature_names
    assert again.molecules == pairs.molecules
    np.testing.assert_array_equal(again.profiles, pairs.profiles)
    for name in ("plates", "wells", "doses", "sample_weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pairs, name))
    assert pickle.dumps(again) == pickled


@pytest.mark.slow
def test_another_process_opens_the_store_elsewhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    (tmp_path / "pickle").write_bytes(pickle.dumps(PairedProfiles.open("store")[1:]))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).digest)"
    command = [sys.executable, "-c", code, str(tmp_path / "pickle")]
    answer = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == PairedProfiles.open(path)[1:].digest


def test_a_pickle_of_what_has_changed_or_gone(path, tmp_path):
    pickled = pickle.dumps(PairedProfiles.open(path)[::2])
    shutil.rmtree(path)
    with pytest.raises(FileNotFoundError, match="No stored pairs at"):
        pickle.loads(pickled)
    frame = value("Cells_f2", 0.0)(make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0))
    build(tmp_path, frame)
    with pytest.raises(ValueError, match=r"store' holds other pairs than when this object was made"):
        pickle.loads(pickled)
