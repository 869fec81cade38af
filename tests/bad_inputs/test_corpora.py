"""Corpora that cannot be built or opened, and what users are told."""

import json

import numpy as np
import pytest

from mocop_sklearn import PairedProfiles, build_pairs
from tests.helpers.bad_inputs import check
from tests.helpers.platemaker import MOLECULES, build_store, make_plate, write


def built(c, *frames, **options):
    """Build a store of some plates in the folder of a case."""
    files = [write(frame, c.folder / f"P{i}.parquet") for i, frame in enumerate(frames or [make_plate("P1")])]
    return build_pairs(c.folder / "store", files, **options)


def altered(c, change):
    """Open a store of which ``change`` has altered a file."""
    build_store(c.folder)
    change(c.folder / "store")
    return PairedProfiles.open(c.folder / "store")


def overwrite_last(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def set_clip(path):
    header = json.loads((path / "header.json").read_text())
    (path / "header.json").write_text(json.dumps(header | {"clip": 1.0}))


def changed_options(c):
    """Build, fail at the second plate, and build again with another option."""
    bad = make_plate("P2", n_controls=0)
    try:
        built(c, make_plate("P1"), bad)
    except ValueError:
        built(c, make_plate("P1"), bad, normalizer="mad")


CASES = {
    "build: nothing to exclude": (
        UserWarning,
        r"exclude: 1 of 1 values match none of the 10 wells in the column .*: 'A1' \(did you mean 'A01'\?\)",
        lambda c: built(c, exclude={"Metadata_Well": ["A1"]}),
    ),
    "build: nothing to keep": (
        ValueError,
        r"No well is left to store: .*keep: 1 of 1 values.*'a01' \(did you mean 'A01'\?\)",
        lambda c: built(c, keep={"Metadata_Well": ["a01"]}),
    ),
    "build: nothing to hold out": (
        UserWarning,
        r"hold_out: 1 molecules are in none of the 10 wells: 'CCBr'",
        lambda c: built(c, hold_out=["CCBr"]),
    ),
    "build: hold out a text": (
        ValueError,
        r"1 of the 1 texts in hold_out are not valid molecules, such as 'C1CC': mend or remove them",
        lambda c: built(c, hold_out=["C1CC"]),
    ),
    "build: a label without wells": (
        ValueError,
        r"fewer than min_controls.*control_label: 1 of 1 values .* 'P01' \(did you mean 'P1'\?\)",
        lambda c: built(c, control_column="Metadata_Plate", control_label="P01"),
    ),
    "build: a table without wells": (
        UserWarning,
        r"the table 'metadata0.parquet' has a row for none of the 10 wells.*'P1' \(did you mean 'p1'\?\)",
        lambda c: built(c, metadata=[make_plate("p1")[["Metadata_Plate"]].drop_duplicates()]),
    ),
    "build: solvates are not controls": (
        ValueError,
        r"fewer than min_controls.*Controls found in this file: none by any rule",
        lambda c: built(c, make_plate("P1", Metadata_SMILES="CS(C)=O.CCO").drop(columns="Metadata_IsNegcon")),
    ),
    "build: one name for two plates": (
        UserWarning,
        r"6 rows repeat the plate and the well of another row, 6 of them with another molecule.*plate_columns",
        lambda c: built(c, make_plate("P1"), make_plate("P1", MOLECULES[::-1])),
    ),
    "build: options that changed": (
        ValueError,
        r"holds 1 finished parts of an unfinished build that differs in \['normalizer'\].*restart=True",
        changed_options,
    ),
    "build: another normaliser": (
        ValueError,
        r"normalizer must be a ProfileNormalizer, one of .*'robust'.*got 'zscore'",
        lambda c: built(c, normalizer="zscore"),
    ),
    "store: an altered matrix": (
        ValueError,
        r"is damaged \(the content is not what was stored: profiles\): build it anew",
        lambda c: altered(c, lambda path: overwrite_last(path / "profiles.npy")),
    ),
    "store: an altered header": (
        ValueError,
        r"is damaged \(header.json was altered\): build it anew",
        lambda c: altered(c, set_clip),
    ),
    "pairs: a masked weight": (
        ValueError,
        r"sample_weight must be finite",
        lambda c: PairedProfiles(["C", "CC"], np.eye(2), sample_weight=np.ma.masked_array([1.0, 2.0], [True, False])),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_corpora(case, context):
    check(*CASES[case], context)
