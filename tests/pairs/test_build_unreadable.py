"""``build_pairs``: structures that end the process that reads them, or never come to an end."""

import os
import time

import numpy as np
import pytest

from mocop_sklearn import build_pairs
from mocop_sklearn.molecules import _workers
from tests.helpers.platemaker import make_plate, start_build, write

DEADLY, ENDLESS = "CCCCCCC", "CCCCCCCC"
MOLECULES = ("CCO", "CCN")


def fatal(mol):
    """A standardiser that no process survives for one molecule, and that does not end for another."""
    if mol.GetNumAtoms() == 7:
        os._exit(9)
    if mol.GetNumAtoms() == 8:
        time.sleep(60)
    return mol


def write_plates(folder, *molecules):
    return [write(make_plate(f"P{i}", own), folder / f"P{i}.parquet") for i, own in enumerate(molecules)]


@pytest.mark.slow
def test_fatal_structures_are_not_molecules(tmp_path, monkeypatch):
    plates = write_plates(tmp_path, MOLECULES, (DEADLY, *MOLECULES, ENDLESS), (*MOLECULES, DEADLY))
    monkeypatch.setattr(_workers, "SECONDS", 3.0)
    monkeypatch.setattr(_workers, "_SECONDS_OF_MORE", 0.0)
    named = f"'{DEADLY}' .ended the process that read it.; '{ENDLESS}' .took longer than 3 seconds."
    with pytest.warns(UserWarning, match=rf"2 structures cannot be read: {named}\. Their wells are left out"):
        pairs = build_pairs(tmp_path / "store", plates, standardize=fatal, normalizer=None, n_jobs=2)
    assert pairs.report_["fates"] | {"unparsable": 3, "stored": 6, "control": 12} == pairs.report_["fates"]
    calm = build_pairs(tmp_path / "calm", plates, normalizer=None, exclude={"Metadata_SMILES": [DEADLY, ENDLESS]})
    assert pairs.molecules == calm.molecules
    np.testing.assert_array_equal(pairs.profiles, calm.profiles)


@pytest.mark.slow
def test_a_build_that_a_structure_has_ended_goes_on(tmp_path):
    """In one process the build ends; the next call finds the structure, and does not read it again."""
    plates = write_plates(tmp_path, (*MOLECULES, DEADLY), (*MOLECULES, DEADLY))
    build = start_build(tmp_path / "store", plates, standardize=fatal)
    build.join()
    assert build.exitcode == 9
    with pytest.warns(UserWarning, match=f"1 structures cannot be read: '{DEADLY}' .ended the process that read it"):
        pairs = build_pairs(tmp_path / "store", plates, standardize=fatal)
    assert pairs.molecules == [*MOLECULES, *MOLECULES]
    assert not [*tmp_path.glob("*partial*")]
