import joblib
import numpy as np
import pytest
import torch
from rdkit import Chem

from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.training import _inference as inference
from mocop_sklearn.training._inference import embed_graphs, embed_molecules, embed_profiles

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TwoTower(
        Architecture(
            featurizer="rich",
            n_layers=2,
            hidden_dim=16,
            embedding_dim=32,
            projection_dim=8,
            profile_dims=(16, 8),
            n_profile_features=12,
            dropout=0.5,
        )
    )


def embed(model, values, output="encoder", invalid="nan", **changes):
    return embed_molecules(
        model.tower(output),
        values,
        **{
            "featurizer": "rich",
            "standardize": "parent",
            "invalid": invalid,
            "device": CPU,
            "precision": "fp32",
        }
        | changes,
    )


@pytest.mark.parametrize("output", ["encoder", "projection"])
def test_agrees_with_the_network(model, smiles, output):
    z, reasons = embed(model, smiles, output)
    graph = featurize(smiles, "rich").graphs.collate()
    model.eval()
    with torch.no_grad():
        expected = model.molecule_encoder(graph) if output == "encoder" else model.project_molecules(graph)
    np.testing.assert_allclose(z, expected.numpy(), rtol=1e-5, atol=1e-5)
    assert z.dtype == np.float32
    assert z.shape == (len(smiles), 32 if output == "encoder" else 8)
    assert reasons == {}


@pytest.mark.parametrize(("rows", "atoms"), [(1, 10**6), (7, 1), (7, 25), (1000, 1), (1000, 40)])
def test_pieces_agree_with_the_whole(model, smiles, monkeypatch, rows, atoms):
    values = [*smiles[:15], "junk", *smiles[10:], None, *smiles[:3]]
    whole, reasons = embed(model, values)
    monkeypatch.setattr(inference, "_ROWS_PER_CHUNK", rows)
    monkeypatch.setattr(inference, "_ATOMS_PER_BATCH", atoms)
    pieces, the_same = embed(model, values)
    np.testing.assert_allclose(pieces, whole, rtol=1e-5, atol=1e-5)
    assert the_same == reasons == {15: "not a valid SMILES", 46: "missing value"}


@pytest.mark.parametrize("output", ["encoder", "projection"])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_processes_agree_with_one(model, smiles, monkeypatch, output, backend):
    monkeypatch.setattr(inference, "_ROWS_PER_CHUNK", 7)
    values = [*smiles[:15], "junk", *smiles[10:], None, *smiles[:3]]
    one, reasons = embed(model, values, output)
    with joblib.parallel_config(backend):
        two, the_same = embed(model, values, output, n_jobs=2)
        assert embed(model, values, output, invalid="raise", n_jobs=2)[1] == reasons
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6)
    assert the_same == reasons


def test_batches_hold_all_molecules_and_few_atoms(smiles, monkeypatch):
    monkeypatch.setattr(inference, "_ATOMS_PER_BATCH", 30)
    graphs = featurize(smiles, "rich").graphs
    batches = inference._batches_by_atoms(graphs)
    assert torch.equal(torch.cat(batches), torch.arange(len(smiles)))
    largest = int(graphs.atom_ptr.diff().max())
    assert len(batches) > 5
    assert all(len(graphs.take(rows).atoms) < 30 + largest for rows in batches)


def test_rows_stay_in_place(model):
    values = ["CCO", None, "c1ccccc1", "C(C)(C)(C)(C)C", "CCN", ""]
    z, reasons = embed(model, values)
    assert sorted(reasons) == [1, 3, 5]
    assert np.isnan(z).all(axis=1).tolist() == [False, True, False, True, False, True]
    assert np.isfinite(z[[0, 2, 4]]).all()
    expected, _ = embed(model, ["CCO", "c1ccccc1", "CCN"])
    np.testing.assert_allclose(z[[0, 2, 4]], expected, rtol=1e-5, atol=1e-5)


def test_nothing_but_bad_rows(model):
    z, reasons = embed(model, ["junk", None])
    assert z.shape == (2, 32)
    assert np.isnan(z).all()
    assert sorted(reasons) == [0, 1]


def test_raise_finds_every_bad_row_without_embedding_in_vain(model, smiles, monkeypatch):
    runs = []
    monkeypatch.setattr(inference, "_ROWS_PER_CHUNK", 5)
    monkeypatch.setattr(inference, "embed_graphs", lambda *args: runs.append(1) or embed_graphs(*args))
    values = [*smiles[:6], "junk", *smiles[6:12], "more junk"]
    _, reasons = embed(model, values, invalid="raise")
    assert sorted(reasons) == [6, 13]
    assert len(runs) == 1


def test_duplicates_are_embedded_once(model, monkeypatch):
    seen = []

    def record(model, graphs, *args):
        seen.append(len(graphs))
        return embed_graphs(model, graphs, *args)

    monkeypatch.setattr(inference, "embed_graphs", record)
    values = ["CCO", "CCN", "CCO", Chem.MolFromSmiles("OCC"), "CCO", "CCN"]
    z, _ = embed(model, values)
    assert seen == [2]
    for rows in ([0, 2, 3, 4], [1, 5]):
        assert (z[rows] == z[rows[0]]).all()
    assert not np.allclose(z[0], z[1])


def test_an_embedding_is_bit_equal_whatever_else_is_embedded(model, smiles):
    z, _ = embed(model, smiles)
    for rows in ([3], [0, 7, 20], range(33)):
        np.testing.assert_array_equal(embed(model, [smiles[i] for i in rows])[0], z[list(rows)])


def test_one_molecule_written_in_two_ways(model):
    z, _ = embed(model, ["OCC", "CCO", "[CH3][CH2][OH]", Chem.AddHs(Chem.MolFromSmiles("CCO")), "CC[OH2+].[Cl-]"])
    np.testing.assert_allclose(z, np.repeat(z[:1], 5, axis=0), rtol=1e-5, atol=1e-5)


def test_embedding_is_deterministic_and_leaves_training_mode(model, smiles):
    model.train()
    one, _ = embed(model, smiles)
    two, _ = embed(model, smiles)
    np.testing.assert_array_equal(one, two)


def test_standardize_is_heeded(model):
    parent, _ = embed(model, ["CCN.Cl", "CCN"])
    np.testing.assert_array_equal(parent[0], parent[1])
    kept, _ = embed(model, ["CCN.Cl", "CCN"], standardize=None)
    assert not np.allclose(kept[0], kept[1])


@pytest.mark.parametrize("batch", [1, 3, 10_000])
def test_profiles_in_batches(model, monkeypatch, batch):
    profiles = np.random.default_rng(0).normal(size=(10, 12)).astype(np.float32)
    model.eval()
    with torch.no_grad():
        expected = model.project_profiles(torch.from_numpy(profiles)).numpy()
    monkeypatch.setattr(inference, "_PROFILES_PER_BATCH", batch)
    for views in (profiles, torch.from_numpy(profiles)):
        z = embed_profiles(model, views, CPU)
        np.testing.assert_allclose(z, expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-6)


def test_bfloat16_is_close(model, smiles):
    exact, _ = embed(model, smiles, "projection")
    rough, _ = embed(model, smiles, "projection", precision="bf16")
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=0.03)
    assert not np.array_equal(rough, exact)
