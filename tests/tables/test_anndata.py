"""Files of molecules as AnnData: their structures and names are in ``obs``."""

import sys

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPClassifier
from mocop_sklearn.cli import main
from mocop_sklearn.tables._formats import TableError
from mocop_sklearn.tables._molecules import MoleculeFile

anndata = pytest.importorskip("anndata")
SMILES = ["CCO", None, "c1ccccc1", "CC(C)O", "no molecule"]
NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def path(tmp_path):
    batch = pd.Categorical.from_codes([0, 1, -1, 0, 1], pd.Index(["x", "y"], dtype=object))
    obs = pd.DataFrame({"smiles": SMILES}, index=pd.Index(NAMES, dtype=object), dtype=object)
    obs = obs.assign(n=range(1, 6), batch=batch)
    var = pd.DataFrame(index=pd.Index(["f"], dtype=object))
    anndata.AnnData(np.ones((5, 1)), obs=obs, var=var).write_h5ad(tmp_path / "molecules.h5ad")
    return tmp_path / "molecules.h5ad"


@pytest.mark.parametrize("size", [1, 2, 99])
@pytest.mark.parametrize("rows", [None, range(1, 4), range(2, 2)])
def test_molecules_in_batches(path, size, rows):
    file = MoleculeFile(path, keep=["obs_names", "n", "batch"])
    assert (file.columns, file.n_rows) == (["smiles", "obs_names", "n", "batch"], 5)
    wanted = range(5) if rows is None else rows
    batches = list(file.batches(size, rows))
    columns = {name: [text for batch in batches for text in batch.columns[name]] for name in file.columns}
    assert columns == {
        "smiles": [SMILES[i] for i in wanted],
        "obs_names": [NAMES[i] for i in wanted],
        "n": [str(i + 1) for i in wanted],
        "batch": [["x", "y", None, "x", "y"][i] for i in wanted],
    }
    assert [row for batch in batches for row in batch.rows] == list(wanted)


def test_structures_are_found_by_their_content(tmp_path):
    obs = pd.DataFrame(index=pd.Index(["CCCO", "c1ccccc1"], dtype=object))
    var = pd.DataFrame(index=pd.Index(["f"], dtype=object))
    anndata.AnnData(np.ones((2, 1)), obs=obs, var=var).write_h5ad(tmp_path / "named.h5ad")
    with pytest.warns(UserWarning, match="read from the column 'obs_names'"):
        assert MoleculeFile(tmp_path / "named.h5ad").columns == ["obs_names"]


def test_the_command_line(path, fitted, model_file, smiles, labels, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["embed", str(path), "-m", str(model_file), "-o", str(out), "--id", "obs_names", "-q"]) == 0
    table = pd.read_csv(out)
    assert table["obs_names"].tolist() == NAMES
    valid = [0, 2, 3]
    vectors = table.filter(like="mocopembedder").to_numpy()
    np.testing.assert_allclose(vectors[valid], fitted.transform([SMILES[i] for i in valid]), atol=1e-5)
    assert np.isnan(vectors[[1, 4]]).all()
    MoCoPClassifier(pretrained=fitted, max_epochs=1, random_state=0).fit(smiles, labels).save(tmp_path / "tuned")
    assert main(["predict", str(path), "-m", str(tmp_path / "tuned"), "-o", str(out), "-q"]) == 0
    reasons = pd.read_csv(out, keep_default_na=False)["invalid"].tolist()
    assert [bool(reason) for reason in reasons] == [False, True, False, False, True]
    assert reasons[1] == "missing value"


def test_errors(path, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no column 'wrong'; its columns are \['smiles', 'n', 'batch', 'obs_names'\]"):
        MoleculeFile(path, keep=["wrong"])
    (tmp_path / "text.h5ad").write_text("SMILES\nCCO\n")
    with pytest.raises(TableError, match=r"text.h5ad' cannot be read as a table"):
        MoleculeFile(tmp_path / "text.h5ad")
    with pytest.raises(FileNotFoundError, match=r"No table at .*absent.h5ad"):
        MoleculeFile(tmp_path / "absent.h5ad")
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ImportError, match=r"molecules.h5ad' needs anndata: pip install 'mocop-sklearn\[anndata\]'"):
        MoleculeFile(path)
