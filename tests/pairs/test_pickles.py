"""Copies and pickles of pairs: what travels, and what is opened when."""

import copy
import os
import pickle
import shutil

import numpy as np
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from tests.helpers.platemaker import build_store, make_plate, other_value
from tests.helpers.processes import elsewhere


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
    assert elsewhere(digest_of, tmp_path / "pickle") == PairedProfiles.open(path)[1:].digest


def digest_of(path):
    os.chdir("/")
    return pickle.loads(path.read_bytes()).digest


@pytest.fixture
def pickled(path):
    """The pickle of a view of every other row."""
    return pickle.dumps(PairedProfiles.open(path)[::2])


def test_a_pickle_loads_where_its_store_is_not(path, pickled):
    digest = PairedProfiles.open(path)[::2].digest
    moved = path.rename(path.with_name("elsewhere"))
    pairs = pickle.loads(pickled)
    assert repr(pairs) == f"PairedProfiles(at {str(path.resolve())!r}, not opened)"
    assert clone(MoCoPEmbedder(pairs=pairs)).pairs is pairs
    assert "not opened" in repr(MoCoPEmbedder(pairs=pairs))
    assert pickle.dumps(pairs) == pickled
    for use in (lambda: pairs.profiles, lambda: len(pairs), lambda: pairs.digest, lambda: pairs.provenance):
        with pytest.raises(FileNotFoundError, match="No stored pairs at"):
            use()
    moved.rename(path)
    assert pairs.digest == digest
    assert pairs.profiles.shape == (3, 5)


def test_a_pickle_of_another_store(path, pickled, tmp_path):
    shutil.rmtree(path)
    build_store(tmp_path, other_value("Cells_f2", 0.0)(make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0)))
    pairs = pickle.loads(pickled)
    with pytest.raises(ValueError, match=r"store' holds other pairs than when this object was made"):
        len(pairs)


def test_what_is_not_there_is_no_attribute(pickled):
    pairs = pickle.loads(pickled)
    assert not hasattr(pairs, "get_params")
    assert "not opened" in repr(pairs)
    with pytest.raises(AttributeError, match="'PairedProfiles' object has no attribute 'colour'"):
        _ = pairs.colour


def test_pairs_in_memory_can_travel_without_their_rows():
    matrix = np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float32)
    pairs = PairedProfiles(["C" * (i % 9 + 1) for i in range(1000)], matrix)
    bare = pairs.without_rows()
    assert len(pickle.dumps(pairs)) > matrix.nbytes
    pickled = pickle.dumps(bare)
    assert len(pickled) < 1000
    for again in (bare, pickle.loads(pickled)):
        assert again.digest == pairs.digest
        assert again.provenance == pairs.provenance
        assert again.without_rows() is copy.deepcopy(again) is again
        assert repr(again) == "PairedProfiles(1000 rows, 50 features, without its rows)"
        assert not hasattr(again, "get_params")
        with pytest.raises(ValueError, match=r"pickled without the rows of its pairs\. To fit it again, set"):
            again.read()


def test_a_stored_corpus_travels_as_its_path(path):
    pairs = PairedProfiles.open(path)
    assert pairs.without_rows() is pairs
    closed = pickle.loads(pickle.dumps(pairs))
    assert closed.without_rows() is closed
