"""``PairedProfiles``: content, labels, digests and hold-outs."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rdkit import Chem
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.model_selection import molecule_groups, overlap, scaffold_groups
from mocop_sklearn.molecules._parse import connectivity_key
from tests.helpers.wells import labelled


def test_pairs_hold_molecules_and_profiles(pairs):
    assert pairs.molecules == ["CCO", "CCN", "CCO"]
    assert pairs.profiles.dtype == np.float32
    assert pairs.profiles.shape == (3, 4)
    assert pairs.feature_names is None
    assert len(pairs) == 3
    assert repr(pairs) == "PairedProfiles(3 rows, 4 features)"


def test_pairs_are_never_copied(pairs):
    assert copy.copy(pairs) is pairs
    assert copy.deepcopy(pairs) is pairs
    assert clone(MoCoPEmbedder(pairs=pairs)).pairs is pairs
    with pytest.raises(ValueError, match="read-only"):
        pairs.profiles[0, 0] = 1


def test_digest_depends_on_all_the_content(pairs):
    matrix = np.arange(12.0).reshape(3, 4)
    assert PairedProfiles(np.array(["CCO", "CCN", "CCO"]), matrix.astype(np.float32)).digest == pairs.digest
    assert pickle.loads(pickle.dumps(pairs)).digest == pairs.digest
    as_mols = PairedProfiles([Chem.MolFromSmiles(s) for s in pairs.molecules], matrix)
    assert as_mols.digest == pairs.digest

    changed = matrix.copy()
    changed[2, 3] += 1e-3
    others = [
        PairedProfiles(["CCO", "CCN", "CCO"], changed),
        PairedProfiles(["CCO", "CCN", "CCC"], matrix),
        PairedProfiles(["CCN", "CCO", "CCO"], matrix),
        PairedProfiles(["CCO", "CCN"], matrix.ravel()[:8].reshape(2, 4)),
        PairedProfiles(["CCO", "CCN", "CCO"], pd.DataFrame(matrix, columns=list("abcd"))),
        PairedProfiles(["CCO", "CCN", "CCO"], pd.DataFrame(matrix, columns=list("abdc"))),
        PairedProfiles(["CCO", "CCN", "CCO"], matrix[:, ::-1]),
        PairedProfiles(["CCO", "CCN", None], matrix),
    ]
    assert len({other.digest for other in [pairs, *others]}) == 1 + len(others)


def test_names_come_from_a_frame_without_metadata():
    frame = pd.DataFrame({"Metadata_Plate": ["a", "b"], "Cells_Area": [1.0, 2.0], "Nuclei_Area": [3, 4]})
    pairs = PairedProfiles(["CCO", "CCN"], frame)
    assert pairs.feature_names == ["Cells_Area", "Nuclei_Area"]
    assert pairs.profiles.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("dtype", [float, np.float32, int])
def test_masked_values_are_missing(dtype):
    profiles = np.ma.masked_equal(np.arange(12, dtype=dtype).reshape(3, 4), 5)
    doses = np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])
    pairs = PairedProfiles(["CCO", "CCN", "CCO"], profiles, doses=doses)
    expected = np.arange(12.0).reshape(3, 4)
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(pairs.profiles, expected)
    np.testing.assert_array_equal(pairs.doses, [1, np.nan, 3])
    assert pairs.digest == PairedProfiles(["CCO", "CCN", "CCO"], expected).digest
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        PairedProfiles(["CCO", "CCN", "CCO"], profiles, sample_weight=doses)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_labels_that_are_missing_are_empty(frame):
    table = frame({"Metadata_Plate": ["0012", None, "12"], "Metadata_Well": [7.0, 8.0, None], "x": [1.0, 2.0, 3.0]})
    pairs = PairedProfiles(["CCO", "CCN", "CCC"], table)
    assert pairs.plates.tolist() == ["0012", "", "12"]
    assert pairs.wells.tolist() == ["7", "8", ""]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"profiles has 3 rows but X has 2"):
        PairedProfiles(["CCO", "CCN"], np.eye(3))


def test_columns_can_be_named(pairs):
    named = PairedProfiles(pairs.molecules, pairs.profiles, [f"f{i}" for i in range(pairs.profiles.shape[1])])
    assert named.feature_names[0] == "f0"
    assert named.digest != pairs.digest
    with pytest.raises(ValueError, match="There are 1 feature_names for"):
        PairedProfiles(pairs.molecules, pairs.profiles, ["f0"])


def test_labels_doses_and_weights(many):
    molecules, frame, doses, weights = labelled()
    assert many.molecules == molecules
    np.testing.assert_array_equal(many.profiles, frame.filter(like="Cells_"))
    for name, column in [("sources", "Source"), ("batches", "Batch"), ("plates", "Plate"), ("wells", "Well")]:
        assert getattr(many, name).tolist() == frame[f"Metadata_{column}"].tolist()
    assert many.source_codes.tolist() == (frame["Metadata_Source"] == "s2").astype(int).tolist()
    np.testing.assert_array_equal(many.doses, doses)
    np.testing.assert_array_equal(many.sample_weight, weights)
    assert many.doses.dtype == many.sample_weight.dtype == np.float32
    assert many.has_values().all()


def test_what_is_unknown_is_none(pairs):
    names = ("sources", "batches", "plates", "wells", "doses", "sample_weight", "source_codes")
    assert [getattr(pairs, name) for name in names] == [None] * 7
    assert [getattr(pairs[1:], name) for name in names] == [None] * 7
    assert pairs.report_ == pairs.recipe_ == {}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_labels_come_from_any_kind_of_frame(frame):
    pairs = PairedProfiles(
        ["CCO", "CCN"], frame({"Metadata_Plate": [2, 1], "Metadata_Other": ["a", "b"], "x": [0.5, 1]})
    )
    assert pairs.plates.tolist() == ["2", "1"]
    assert pairs.feature_names == ["x"]
    assert pairs.sources is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_weight": [1.0, -1.0, 1.0]}, "sample_weight must be finite, not negative, and not all 0"),
        ({"sample_weight": [1.0, np.nan, 1.0]}, "sample_weight must be finite"),
        ({"sample_weight": [1.0, np.inf, 1.0]}, "sample_weight must be finite"),
        ({"sample_weight": [0, 0, 0]}, "not all 0"),
        ({"feature_names": ["a"]}, "There are 1 feature_names for 3 features"),
        ({"feature_names": ["a", "a", "b"]}, r"feature_names holds \['a'\] more than once"),
        ({"sample_weight": [1.0, 1.0]}, r"sample_weight has shape \(2,\) but there are 3 rows: pass one value per row"),
        ({"doses": [1.0]}, r"doses has shape \(1,\) but there are 3 rows"),
        ({"doses": np.eye(3)}, r"doses has shape \(3, 3\) but there are 3 rows"),
        ({"doses": ["high", "low", "low"]}, "could not convert string to float"),
    ],
)
def test_numbers_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        PairedProfiles(["CCO", "CCN", "CCC"], np.eye(3), **values)


def test_a_digest_depends_on_sources_and_weights_alone_among_labels():
    molecules, frame, doses, weights = labelled()
    pairs = PairedProfiles(molecules, frame, sample_weight=weights, doses=doses)
    other_source = frame.assign(Metadata_Source="s1")
    assert PairedProfiles(molecules, other_source, sample_weight=weights).digest != pairs.digest
    assert PairedProfiles(molecules, frame, sample_weight=weights + 1).digest != pairs.digest
    assert PairedProfiles(molecules, frame).digest != pairs.digest
    # what no fit reads
    assert PairedProfiles(molecules, frame.assign(Metadata_Well="x"), sample_weight=weights).digest == pairs.digest


@pytest.mark.parametrize(
    "groups",
    [
        lambda pairs: pairs.plates,
        lambda pairs: pairs.sources,
        lambda pairs: molecule_groups(pairs.molecules),
        lambda pairs: scaffold_groups(pairs.molecules),
    ],
    ids=["plates", "sources", "molecules", "scaffolds"],
)
def test_hold_outs_by_group(many, groups):
    group = groups(many)
    splitter = GroupShuffleSplit(n_splits=3, test_size=0.5, random_state=0)
    for training, test in splitter.split(many.molecules, groups=group):
        ours, theirs = many[training], many[test]
        assert len(ours) + len(theirs) == len(many)
        assert set(group[training]).isdisjoint(group[test])
        np.testing.assert_array_equal(ours.profiles, many.profiles[training])
        np.testing.assert_array_equal(theirs.wells, many.wells[test])


def test_a_hold_out_by_molecule_keeps_isomers_together(many):
    group = molecule_groups(many.molecules)
    training, test = next(GroupShuffleSplit(random_state=1).split(many.molecules, groups=group))
    keys = [{connectivity_key(Chem.MolFromSmiles(s)) for s in many[rows].molecules} for rows in (training, test)]
    assert keys[0].isdisjoint(keys[1])


def test_only_the_training_part_is_learned(many, tiny):
    training, test = next(
        GroupShuffleSplit(random_state=0).split(many.molecules, groups=molecule_groups(many.molecules))
    )
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 1}, pairs=many[training]).fit(many.molecules)
    assert not overlap(embedder, many[test].molecules).any()
    assert overlap(embedder, np.array(many.molecules)[training][many[training].sample_weight > 0]).all()
