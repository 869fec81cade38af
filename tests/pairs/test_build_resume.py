"""``build_pairs``: killed and resumed, repeated, several at the same time."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from tests.helpers.platemaker import (
    Plate,
    build_under_kills,
    contents,
    make_plate,
    start_build,
    write,
)


@pytest.mark.slow
@pytest.mark.parametrize("with_table", [False, True])
def test_a_killed_build_goes_on_where_it_was(killed, files, tmp_path, with_table):
    options = {"metadata": [pd.DataFrame({"Metadata_Plate": [f"P{i}" for i in range(5)]})]} if with_table else {}
    build_pairs(tmp_path / "calm", files, **options)
    plates, log = killed(**options)
    (tmp_path / "store.partial" / "store").mkdir()  # as a kill while the parts are joined leaves it
    (tmp_path / "store.partial" / "store" / "profiles.npy").write_bytes(b"half")
    (tmp_path / "store.partial" / ".000003.npz.rubbish").write_bytes(b"half")
    build_pairs(tmp_path / "store", plates, **options)
    assert log.read_text().split() == ["P3.parquet", "P4.parquet"]
    assert contents(tmp_path / "store") == contents(tmp_path / "calm")
    assert not [*tmp_path.glob("*partial*")]
    # and once more: nothing is read
    build_pairs(tmp_path / "store", plates, **options)
    assert len(log.read_text().split()) == 2
    assert not [*tmp_path.glob("*partial*")]


CHANGES = {
    "clip": 50.0,
    "dtype": "float32",
    "normalizer": ProfileNormalizer("mad"),
    "controls": "keep",
    "smiles": "Metadata_SMILES",
    "plate_columns": ["Metadata_Plate"],
    "control_column": "Metadata_IsNegcon",
    "features": ["Cells_*"],
    "keep": {"Metadata_Plate": ["P1"]},
    "exclude": {"Metadata_Plate": ["P1"]},
    "hold_out": ["CCO"],
    "standardize": None,
    "missing_files": "skip",
}


@pytest.mark.slow
def test_a_build_with_other_options_does_not_take_the_parts(killed, tmp_path):
    plates, log = killed()
    for name, value in CHANGES.items():
        with pytest.raises(ValueError, match=rf"unfinished build that differs in \['{name}'\]\. To go on with them"):
            build_pairs(tmp_path / "store", plates, **{name: value})
    table = pd.DataFrame({"Metadata_Plate": ["P0"]})
    for name, arguments in [("tables", {"metadata": [table]}), ("files", {"plates": plates[::-1]})]:
        with pytest.raises(ValueError, match=rf"differs in \['{name}'\]"):
            build_pairs(tmp_path / "store", **{"plates": plates} | arguments)
    assert not log.exists()
    build_pairs(tmp_path / "store", plates)
    assert log.read_text().split() == ["P3.parquet", "P4.parquet"]


def test_a_build_with_other_options_begins_anew_when_asked(killed, tmp_path):
    plates, log = killed()
    pairs = build_pairs(tmp_path / "store", plates, clip=50.0, restart=True)
    assert log.read_text().split() == [plate.name for plate in plates]
    assert pairs.digest == build_pairs(tmp_path / "calm", plates, clip=50.0).digest
    with pytest.raises(ValueError, match=r"holds pairs of another build, which differs in \['clip'\]"):
        build_pairs(tmp_path / "store", plates, restart=True)


@pytest.fixture
def unfinished(files, tmp_path):
    """A build whose last file was missing, and is there now."""
    plates = [*files, tmp_path / "gone.parquet"]
    with pytest.raises(FileNotFoundError, match="gone"):
        build_pairs(tmp_path / "store", plates)
    write(make_plate("P9"), plates[-1])
    return plates


def test_a_damaged_part_is_named(unfinished, tmp_path):
    part = tmp_path / "store.partial" / "000001.npz"
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"The part '.*000001.npz' of an unfinished build is damaged .*: remove it"):
        build_pairs(tmp_path / "store", unfinished)
    part.unlink()
    assert len(build_pairs(tmp_path / "store", unfinished)) == 36


def test_a_damaged_record_of_the_options(unfinished, tmp_path):
    (tmp_path / "store.partial" / "recipe.json").write_text("{")
    with pytest.raises(ValueError, match="unfinished build that differs in"):
        build_pairs(tmp_path / "store", unfinished)
    assert len(build_pairs(tmp_path / "store", unfinished, restart=True)) == 36


@pytest.mark.parametrize(
    "options",
    [{"columns": "union"}, {"max_wells": 1}, {"repeated_wells": "first"}, {"feature_filter": ProfileFilter()}],
)
def test_options_of_the_store_alone_go_on_with_the_parts(killed, tmp_path, options):
    plates, log = killed()
    pairs = build_pairs(tmp_path / "store", plates, **options)
    assert log.read_text().split() == ["P3.parquet", "P4.parquet"]
    assert pairs.digest == build_pairs(tmp_path / "calm", plates, **options).digest


@pytest.mark.parametrize("n_names", [2, 100])
def test_finished_builds_are_told_apart(files, tmp_path, n_names):
    rules = [ProfileFilter(blocklist=[f"x{i}" for i in range(n_names // 2)] + [name] +
                           [f"y{i}" for i in range(n_names // 2)]) for name in ("Cells_f1", "Cells_f2")]  # fmt: skip
    plates = [Plate(file, tmp_path / "log") for file in files]
    pairs = build_pairs(tmp_path / "store", plates, feature_filter=rules[0])
    for change in ({"feature_filter": rules[1]}, {}, {"plates": plates[:4], "feature_filter": rules[0]}):
        with pytest.raises(ValueError, match=r"pairs of another build, which differs in .*: remove it, or choose"):
            build_pairs(tmp_path / "store", **{"plates": plates} | change)
    assert build_pairs(tmp_path / "store", plates, feature_filter=rules[0]).digest == pairs.digest
    assert len((tmp_path / "log").read_text().split()) == 5
    assert not [*tmp_path.glob("*partial*")]


def test_after_an_error_the_options_can_be_corrected(files, tmp_path, calm):
    with pytest.raises(ValueError, match="has no column 'SMILES'"):
        build_pairs(tmp_path / "store", files, smiles="SMILES")
    build_pairs(tmp_path / "store", files)
    assert contents(tmp_path / "store") == calm
    assert not [*tmp_path.glob("*partial*")]


def test_leftovers_beside_a_finished_store_are_removed(files, tmp_path, calm):
    partial = tmp_path / "calm.partial"
    partial.mkdir()
    (partial / "000000.npz").write_bytes(b"half")
    build_pairs(tmp_path / "calm", files)
    assert not [*tmp_path.glob("*partial*")]
    assert contents(tmp_path / "calm") == calm


def test_processes_write_the_same_bytes(files, tmp_path, calm, capsys):
    build_pairs(tmp_path / "store", files, n_jobs=2, verbose=1)
    assert contents(tmp_path / "store") == calm
    assert "5/5" in capsys.readouterr().err


def test_two_builds_at_once(files, tmp_path, calm):
    log = tmp_path / "log"
    table = pd.DataFrame({"Metadata_Plate": ["P0"]})
    processes = [start_build(tmp_path / "store", [Plate(f, log) for f in files], metadata=[table]) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(log.read_text().split()) == [file.name for file in files]
    assert contents(tmp_path / "store")["profiles.npy"] == calm["profiles.npy"]
    assert not [*tmp_path.glob("*partial*")]


@pytest.mark.slow
def test_builds_killed_at_random_times(tmp_path):
    assert len(build_under_kills(3, 0, tmp_path)) == 3


def test_the_header_says_where_all_came_from(files, tmp_path, calm):
    header = json.loads(calm["header.json"])
    assert [file["name"] for file in header["files"]] == [Path(file).name for file in files]
    assert all(len(file["sha256"]) == 64 for file in header["files"])
    pairs = PairedProfiles.open(tmp_path / "calm")
    assert pairs.recipe_ == header["recipe"]
    pairs.recipe_.clear()
    pairs.report_["fates"].clear()
    assert pairs.recipe_
    assert pairs.report_["fates"]["stored"] == len(pairs) == 30


def test_another_content_of_a_file_is_another_build(tmp_path):
    path = tmp_path / "plate.parquet"
    make_plate().to_parquet(path)
    build_pairs(tmp_path / "store", [path])
    assert [file["bytes"] for file in PairedProfiles.open(tmp_path / "store").files_] == [path.stat().st_size]
    pd.concat([make_plate(), make_plate("P2")]).to_parquet(path)
    with pytest.raises(ValueError, match="holds pairs of another build"):
        build_pairs(tmp_path / "store", [path])


def test_another_content_of_the_same_size_is_another_build(tmp_path):
    path = tmp_path / "plate.csv"

    def write_later(seed):
        """All numbers have one width, and a file that is written again is newer."""
        make_plate(seed=seed).to_csv(path, index=False, float_format="%+.6e")
        written = path.stat()
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns + 10**9))
        return written.st_size

    size = write_later(seed=0)
    digest = build_pairs(tmp_path / "store", [path]).digest
    assert write_later(seed=0) == size
    assert build_pairs(tmp_path / "store", [path]).digest == digest
    assert write_later(seed=1) == size
    with pytest.raises(ValueError, match="holds pairs of another build"):
        build_pairs(tmp_path / "store", [path])
