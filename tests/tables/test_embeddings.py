"""Files of embeddings: what comes back is what was written, and files are replaced as a whole."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mocop_sklearn.tables._embeddings import embedding_writer
from mocop_sklearn.tables._molecules import MoleculeBatch, MoleculeFile
from mocop_sklearn.tables._read import read_table
from tests.tables.test_molecules import NAMES, SMILES, write_molecules


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy"])
@pytest.mark.parametrize("rows", [range(10), range(3, 8), range(4, 4)])
def test_embeddings_come_back(tmp_path, suffix, rows):
    z = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    z[1] = np.nan
    path = tmp_path / f"z{suffix}"
    library = MoleculeFile(write_molecules(tmp_path, ".smi"))
    with embedding_writer(path, library.columns, ["a", "b", "c"], len(rows)) as write:
        for batch in library.batches(4, rows):
            write(batch, z[batch.rows])
        assert not path.exists()
    if suffix == ".npy":
        written = np.load(path, mmap_mode="r")
    else:
        table = (
            read_table(path) if suffix == ".parquet" else pd.read_csv(path, keep_default_na=False, na_values={"a": ""})
        )
        assert table.columns.tolist() == ["row", "smiles", "name", "a", "b", "c"]
        assert table["row"].tolist() == list(rows)
        assert table["smiles"].tolist() == SMILES[rows.start : rows.stop]
        assert table["name"].tolist() == NAMES[rows.start : rows.stop]
        written = table[["a", "b", "c"]].apply(pd.to_numeric).to_numpy(np.float32)
    assert written.dtype == np.float32
    np.testing.assert_allclose(written, z[rows.start : rows.stop], rtol=1e-6)


def test_types_of_a_parquet_file(tmp_path):
    with embedding_writer(tmp_path / "z.parquet", ["SMILES"], ["a"], 2) as write:
        write(MoleculeBatch(range(2), {"SMILES": ["C", None]}), np.array([[1], [np.nan]], dtype=np.float32))
    table = pq.read_table(tmp_path / "z.parquet")
    assert [str(field.type) for field in table.schema] == ["int64", "string", "float"]
    assert table["SMILES"].to_pylist() == ["C", None]
    assert table["a"].null_count == 0  # NaN it is


def test_matrices_of_many_rows(tmp_path):
    with embedding_writer(tmp_path / "z.npy", [], ["a"], 210_000) as write:
        for _ in range(3):
            write(None, np.ones((70_000, 1), dtype=np.float32))
    assert np.load(tmp_path / "z.npy", mmap_mode="r").shape == (210_000, 1)


@pytest.mark.parametrize("name", ["z.parquet", "z.csv", "z.npy"])
def test_a_file_stays_when_writing_fails(tmp_path, name):
    def write_half():
        with embedding_writer(tmp_path / name, ["s"], ["a"], 2) as write:
            write(MoleculeBatch(range(1), {"s": ["C"]}), np.ones((1, 1), dtype=np.float32))
            raise RuntimeError("stop")

    (tmp_path / name).write_text("precious")
    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("column", ["row", "a", "smiles", "Metadata_SMILES"])
def test_names_of_columns_do_not_repeat(tmp_path, suffix, column):
    path = tmp_path / f"z{suffix}"
    with embedding_writer(path, [column], ["a", "b"], 1) as write:
        write(MoleculeBatch(range(3, 4), {column: ["C"]}), np.ones((1, 2), dtype=np.float32))
    table = read_table(path)
    assert table.columns.tolist() == ["row", "smiles" if column in ("row", "a") else column, "a", "b"]
    assert table.iloc[0].tolist() == [3, "C", 1, 1]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy"])
@pytest.mark.parametrize("n", [1, 3])
def test_a_file_with_other_rows_than_announced_is_not_kept(tmp_path, suffix, n):
    with (
        pytest.raises(ValueError, match=f"{n} rows were written to .*z{suffix}', but 2 were announced"),
        embedding_writer(tmp_path / f"z{suffix}", ["s"], ["a"], 2) as write,
    ):
        write(MoleculeBatch(range(n), {"s": ["C"] * n}), np.ones((n, 1), dtype=np.float32))
    assert not list(tmp_path.iterdir())
