"""Molecules that end a process, or never come to an end, when several processes read."""

import joblib
import numpy as np
import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import _workers, canonical_smiles
from mocop_sklearn.molecules._featurize import featurize
from tests.helpers.awkward import deadly, endless, sleepy


@pytest.fixture
def impatient(monkeypatch):
    for name, seconds in {"SECONDS": 3.0, "_SECONDS_TO_START": 2.0, "_SECONDS_OF_MORE": 0.0}.items():
        monkeypatch.setattr(_workers, name, seconds)


def test_the_row_that_kills_is_the_one_that_is_invalid(monkeypatch):
    monkeypatch.setattr("mocop_sklearn.molecules._featurize._CHUNK", 40)
    values = ["C" * n for n in range(1, 60)]
    found = featurize(values, "rich", deadly, n_jobs=2)
    assert found.reasons == {6: "ended the process that read it"}
    assert found.graph_of_value.tolist() == [*range(6), -1, *range(6, 58)]
    assert found.graphs.atom_ptr.diff().tolist() == [n for n in range(1, 60) if n != 7]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("standardize", "reason"),
    [(deadly, "ended the process that read it"), (endless, "took longer than 3 seconds")],
)
def test_transform_survives(fitted, tmp_path, monkeypatch, impatient, standardize, reason):
    monkeypatch.setattr("mocop_sklearn.training._inference._ROWS_PER_CHUNK", 8)
    fitted.save(tmp_path / "model")
    values = ["C" * n for n in [*range(1, 11), 7, 3]]
    expected = MoCoPEmbedder.load(tmp_path / "model").transform(values)
    expected[[6, 10]] = np.nan
    model = fitted.model_
    monkeypatch.setattr(model, "standardize", standardize)
    survivor = MoCoPEmbedder(pretrained=model, standardize=standardize, n_jobs=2, invalid="nan").fit(values)
    with pytest.warns(UserWarning, match=f"2 of 12 rows(.|\n)*row 6: 'CCCCCCC' .{reason}"):
        z = survivor.transform(values)
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5)
    if standardize is deadly:
        with pytest.raises(ValueError, match=f"1 of 8 rows(.|\n)*row 6: 'CCCCCCC' .{reason}"):
            survivor.set_params(invalid="raise").transform(values[:8])


@pytest.mark.slow
def test_groups_survive(monkeypatch):
    monkeypatch.setattr("mocop_sklearn.model_selection._keys._CHUNK", 4)
    values = ["C" * n for n in range(1, 11)]
    with pytest.warns(UserWarning, match="row 6: 'CCCCCCC' .ended the process"):
        groups = molecule_groups(values, standardize=deadly, invalid="nan", n_jobs=2)
    assert len(set(groups)) == 10
    assert groups[6] == 9


@pytest.mark.slow
def test_canonical_smiles_survive():
    values = ["OC", "CCCCCCC", "?", "C"]
    assert canonical_smiles(values, deadly, n_jobs=2) == ["CO", None, None, "C"]
    assert canonical_smiles([], n_jobs=2) == []


@pytest.mark.slow
def test_other_chunks_go_on(impatient):
    chunks = [["a", "b"], ["c", "endless"], *([str(i)] for i in range(20))]
    results = list(_workers.in_chunks(sleepy, chunks, lambda reason: [reason], n_jobs=2))
    assert results == [[["a", "b"]], [["c"], ["took longer than 3 seconds"]], *([[str(i)]] for i in range(20))]


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "sequential"])
def test_results_come_in_order(backend):
    with joblib.parallel_config(backend, n_jobs=2):
        results = list(_workers.in_chunks(sleepy, [[i] for i in range(20)], str, None))
    assert results == [[[i]] for i in range(20)]


def test_results_of_one_process_come_as_they_are_asked_for():
    made = []
    next(_workers.in_chunks(made.append, [[i] for i in range(20)], str, None))
    assert made == [[0]]
