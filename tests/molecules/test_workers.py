"""Molecules that end a process, or never come to an end, when several processes read."""

import os
import time

from mocop_sklearn.molecules import _workers
from mocop_sklearn.molecules._featurize import featurize


def deadly(mol):
    """A standardiser that no process survives, for one molecule."""
    if mol.GetNumAtoms() == 7:
        os._exit(9)
    return mol


def test_the_row_that_kills_is_the_one_that_is_invalid(monkeypatch):
    monkeypatch.setattr("mocop_sklearn.molecules._featurize._CHUNK", 4)
    values = ["C" * n for n in range(1, 11)]
    found = featurize(values, "rich", deadly, n_jobs=2)
    assert found.reasons == {6: "ended the process that read it"}
    assert found.graph_of_value.tolist() == [0, 1, 2, 3, 4, 5, -1, 6, 7, 8]
    assert found.graphs.atom_ptr.diff().tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10]


def endless(values):
    if "endless" in values:
        time.sleep(60)
    return list(values)


def test_the_row_that_does_not_end(monkeypatch):
    for name in ("SECONDS", "_SECONDS_TO_START", "_SECONDS_OF_MORE"):
        monkeypatch.setattr(_workers, name, 2.0 if name == "SECONDS" else 0.0)
    results = _workers.in_chunks(endless, [["a", "b"], ["c", "endless"]], lambda reason: [reason], n_jobs=2)
    assert [value for result in results for value in result] == ["a", "b", "c", "took longer than 2 seconds"]
