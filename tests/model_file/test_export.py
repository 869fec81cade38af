"""Exported encoders give the vectors of the embedder, for molecules of sizes that were not seen at export."""

import json
import sys

import numpy as np
import pytest
import torch

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.model_file import export_encoder
from mocop_sklearn.molecules import to_arrays
from mocop_sklearn.nn._exported import ExportedEncoder

# one molecule of one atom has neither bonds nor neighbours
SETS = [
    ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C", "CCO", "[Na+].CC(=O)[O-]"],
    ["CCCCCCCCCCO"],
    ["C"],
]
SMALL = {"n_layers": 1, "hidden_dim": 8, "embedding_dim": 8, "projection_dim": 4, "profile_dims": (8,), "max_epochs": 0}
ALONE = {"side_features": None, "local_scaling": False, "structure_weight": 0, "random_state": 0}


def untrained(smiles, profiles, **parameters):
    return MoCoPEmbedder(**SMALL | ALONE | parameters).fit(smiles, profiles=profiles)


def as_tensors(arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def program(smiles, profiles, tmp_path_factory):
    """A gated encoder of atoms alone, exported to its shared space, and its embedder."""
    embedder = untrained(smiles, profiles, encoder="ggnn", featurizer="paper", output="projection")
    path = tmp_path_factory.mktemp("export") / "model.pt2"
    export_encoder(embedder, path, output="projection")
    extra = {"mocop_sklearn": ""}
    return torch.export.load(path, extra_files=extra).module(), json.loads(extra["mocop_sklearn"]), embedder


@pytest.fixture(scope="module")
def session(fitted, model_file, tmp_path_factory):
    """The default encoder, trained, as ONNX."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_encoder(model_file, path)
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    return onnxruntime.InferenceSession(path)


@pytest.mark.slow
@pytest.mark.parametrize("molecules", SETS, ids=len)
def test_programs_of_torch(program, molecules):
    run, _, embedder = program
    arrays = to_arrays(molecules, "paper")
    assert "edge_attr" not in arrays
    vectors = run(**as_tensors(arrays)).numpy()
    np.testing.assert_allclose(vectors, embedder.transform(molecules), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("molecules", SETS, ids=len)
def test_onnx(session, fitted, molecules):
    (vectors,) = session.run(None, to_arrays(molecules))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, fitted.transform(molecules), atol=1e-5)


@pytest.mark.slow
def test_what_the_files_tell(program, session, fitted):
    _, record, embedder = program
    assert record == {
        "digest": embedder.digest_,
        "output": "projection",
        "featurizer": "paper",
        "standardize": "parent",
    }
    of_onnx = json.loads(session.get_modelmeta().custom_metadata_map["mocop_sklearn"])
    assert (of_onnx["digest"], of_onnx["output"]) == (fitted.digest_, "encoder")
    assert {i.name: i.type for i in session.get_inputs()} == {
        "x": "tensor(float)",
        "edge_index": "tensor(int64)",
        "batch": "tensor(int64)",
        "atoms_per_molecule": "tensor(int64)",
        "edge_attr": "tensor(float)",
    }
    assert [o.name for o in session.get_outputs()] == ["vectors"]


def test_plain_operations_of_an_ensemble(smiles, profiles):
    embedder = untrained(smiles, profiles, n_estimators=2, output="projection")
    network = ExportedEncoder(embedder.model_.module().tower("projection")).eval()
    with torch.inference_mode():
        vectors = network(**as_tensors(to_arrays(smiles))).numpy()
    np.testing.assert_allclose(vectors, embedder.transform(smiles), atol=1e-5)


@pytest.mark.parametrize("encoder", ["gine", "ggnn", "gin", "gatv2", "pna", "gps"])
@pytest.mark.parametrize("featurizer", ["rich", "paper"])
def test_plain_operations_give_the_same(smiles, encoder, featurizer):
    """What is exported, before it is."""
    embedder = MoCoPEmbedder(unlabeled=smiles[:6], encoder=encoder, featurizer=featurizer, **SMALL, random_state=0)
    network = ExportedEncoder(embedder.fit(smiles[:6]).model_.module().tower("encoder")).eval()
    with torch.inference_mode():
        vectors = network(**as_tensors(to_arrays(smiles, featurizer))).numpy()
    np.testing.assert_allclose(vectors, embedder.transform(smiles), atol=1e-5)


def test_arrays_are_those_of_torch_geometric(smiles):
    from mocop_sklearn.molecules import to_pyg

    arrays, batch = to_arrays(smiles), to_pyg(smiles)
    for name in ("x", "edge_index", "edge_attr", "batch"):
        np.testing.assert_array_equal(arrays[name], getattr(batch, name).numpy())
    np.testing.assert_array_equal(arrays["atoms_per_molecule"], batch.ptr.diff().numpy())


@pytest.mark.parametrize("standardize", ["parent", None])
def test_arrays_of_salts(standardize):
    salt = "[Na+].CC(=O)[O-]"
    expected = 4 if standardize else 5
    assert to_arrays([salt, salt], standardize=standardize)["atoms_per_molecule"].tolist() == [expected] * 2
    with pytest.raises(ValueError, match=r"1 of 2 rows of X are not valid molecules:\n  row 1"):
        to_arrays(["CCO", "nonsense"])


def test_errors(smiles, profiles, tmp_path, monkeypatch):
    embedder = untrained(smiles, profiles, side_features="descriptors", encoder="gps")
    with pytest.raises(ValueError, match=r"model.bin' must end in .onnx, or in .pt2"):
        export_encoder(embedder, tmp_path / "model.bin")
    with pytest.raises(ValueError, match="output='both' is neither"):
        export_encoder(embedder, tmp_path / "model.pt2", output="both")
    with pytest.raises(ValueError, match="model=None: give a fitted estimator"):
        export_encoder(None, tmp_path / "model.pt2")
    with pytest.raises(ValueError, match=r'side_features.*Export output="encoder"'):
        export_encoder(embedder, tmp_path / "model.pt2", output="projection")
    with pytest.raises(ValueError, match=r"torch.export cannot export the encoder 'gps': .*\w"):
        export_encoder(embedder, tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="has no profile network"):
        export_encoder("distilled", tmp_path / "model.pt2", output="projection")
    with pytest.raises(ValueError, match="not a fitted estimator"):
        export_encoder(MoCoPClassifier(), tmp_path / "model.pt2")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"model.onnx' needs onnxscript: pip install 'mocop-sklearn\[onnx\]'"):
        export_encoder(embedder, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
