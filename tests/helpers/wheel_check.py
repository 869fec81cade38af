"""What an installed package must be able to do: `python wheel_check.py core`, or the name of an extra."""

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np

from mocop_sklearn import MoCoPEmbedder, list_models
from mocop_sklearn.datasets import load_biogen_adme, load_comas, make_paired_profiles

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C"]
FIRST_COLUMNS = [[0.1127, -0.3026, -1.6722], [3.0762, 0.0575, -0.2404]]  # of "distilled"


def core() -> None:
    for model in list_models():
        assert model.card.startswith(f"# {model.name}")
        assert MoCoPEmbedder(pretrained=model.name).fit(SMILES).digest_ == model.digest
    vectors = MoCoPEmbedder(pretrained="distilled").fit(SMILES).transform(SMILES)
    np.testing.assert_allclose(vectors[:, :3], FIRST_COLUMNS, atol=2e-3)
    for data in load_comas(), load_biogen_adme():
        assert len(data.smiles)
        assert "icence" in data.DESCR


def data() -> None:
    from mocop_sklearn import build_pairs

    wells = make_paired_profiles(n_molecules=20, n_features=20, as_frame=True, random_state=0).frame
    with tempfile.TemporaryDirectory() as folder:
        wells.to_parquet(Path(folder) / "wells.parquet")
        pairs = build_pairs(Path(folder) / "wells.pairs", [Path(folder) / "wells.parquet"])
        assert len(pairs) == 80


def plot() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from mocop_sklearn.display import RetrievalDisplay

    assert RetrievalDisplay.from_predictions(np.eye(3), np.eye(3)).lines_


def minimol() -> None:
    from mocop_sklearn.molecules import MiniMol

    assert MiniMol().fit_transform(SMILES).shape == (2, 512)


def main(extra: str) -> None:
    core()
    checks = {"data": data, "plot": plot, "minimol": minimol}
    if extra in checks:
        checks[extra]()
    elif extra != "core":  # a library that the tests of the release do not call
        assert importlib.util.find_spec({"hub": "huggingface_hub", "onnx": "onnxscript"}.get(extra, extra))


if __name__ == "__main__":
    main(sys.argv[1])
