"""Builds of small plates."""

import itertools
import signal

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from tests.helpers.platemaker import (
    MOLECULES,
    Plate,
    build_store,
    contents,
    make_plate,
    start_build,
    write,
)
from tests.helpers.wells import labelled


@pytest.fixture
def build(tmp_path):
    """Write frames to files and build a store of them."""
    numbers = itertools.count()

    def build(*frames, suffix="parquet", **options):
        number = next(numbers)
        files = [write(frame, tmp_path / f"plate{number}-{i}.{suffix}") for i, frame in enumerate(frames)]
        return build_pairs(tmp_path / f"store{number}", files, **options)

    return build


@pytest.fixture
def files(tmp_path):
    return [write(make_plate(f"P{i}"), tmp_path / f"P{i}.parquet") for i in range(5)]


@pytest.fixture
def calm(files, tmp_path):
    """What an undisturbed build writes."""
    build_pairs(tmp_path / "calm", files)
    return contents(tmp_path / "calm")


@pytest.fixture
def killed(files, tmp_path):
    """A function that starts a build whose fourth file kills the process, and leaves three parts."""

    def kill(**options):
        log = tmp_path / "log"
        plates = [Plate(file, log, fatal=i == 3) for i, file in enumerate(files)]
        process = start_build(tmp_path / "store", plates, **options)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert log.read_text().split() == ["P0.parquet", "P1.parquet", "P2.parquet", "P3.parquet"]
        log.unlink()
        assert not (tmp_path / "store").exists()
        return [Plate(file, log) for file in files], log

    return kill


@pytest.fixture
def pairs():
    return PairedProfiles(["CCO", "CCN", "CCO"], np.arange(12.0).reshape(3, 4))


@pytest.fixture(params=["memory", "store"])
def many(request, tmp_path):
    """The same twelve rows in memory and stored."""
    molecules, frame, doses, weights = labelled()
    if request.param == "memory":
        return PairedProfiles(molecules, frame, doses=doses, sample_weight=weights)
    table = frame.assign(Metadata_SMILES=molecules, Metadata_Dose=doses, Metadata_Share=weights)
    table.to_parquet(tmp_path / "wells.parquet")
    columns = {"dose_column": "Metadata_Dose", "weight_column": "Metadata_Share", "plate_columns": "Metadata_Plate"}
    options = {"normalizer": "passthrough", "dtype": "float32"}
    return build_pairs(tmp_path / "pairs", [tmp_path / "wells.parquet"], **columns, **options)


@pytest.fixture
def path(tmp_path):
    """A store of six rows."""
    build_store(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def wide(tmp_path):
    """A thousand rows."""
    frame = pd.concat([make_plate(f"P{i}", MOLECULES * 10) for i in range(17)], ignore_index=True)
    pairs = build_store(tmp_path, frame.assign(Metadata_Dose=np.arange(1, len(frame) + 1.0), Metadata_Share=1.0))
    assert len(pairs) == 1020
    return pairs
