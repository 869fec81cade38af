"""Tables: what is read is what was written, in batches of any size, and errors that name the file."""

import gzip
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mocop_sklearn.tables._files import MoleculeFile, embedding_writer, read_table, read_wells, write_table

# ---------------------------------------------------------------------------------------------
# Whole tables
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["Metadata_SMILES", "smiles", "SMILES", "canonical_smiles", "Metadata_InChI", "InChI"]
)
def test_read_wells_finds_the_structures(tmp_path, column):
    frame = pd.DataFrame({"Metadata_Plate": ["a", "b"], column: ["CCO", None], "Cells_Area": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "wells.parquet")
    molecules, table = read_wells(tmp_path / "wells.parquet")
    assert molecules[0] == "CCO"
    assert pd.isna(molecules[1])
    pd.testing.assert_frame_equal(table, frame)


def test_read_wells_takes_the_named_column(tmp_path):
    path = tmp_path / "wells.csv"
    pd.DataFrame({"SMILES": ["C"], "other": ["CC"], "x": [1.0]}).to_csv(path, index=False)
    assert read_wells(path)[0] == ["C"]
    assert read_wells(path, "other")[0] == ["CC"]


def test_read_table_reads_what_was_written(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.CSV.gz", index=False, compression="gzip")
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.CSV.gz", "t.tsv", "t.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), frame)


def test_write_table(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]}, index=[7, 8])
    for name in ("t.csv", "t.parquet"):
        write_table(frame, tmp_path / "new" / name)
        pd.testing.assert_frame_equal(read_table(tmp_path / "new" / name), frame.reset_index(drop=True))


def test_broken_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No table at .*none.csv"):
        read_table(tmp_path / "none.csv")
    for name, message in {
        "t.parquet": "cannot be read as a table",
        "t.xlsx": "' is no .parquet, .csv or .tsv",
    }.items():
        (tmp_path / name).write_bytes(b"PAR1 and no more")
        for read in (read_table, MoleculeFile):
            with pytest.raises(ValueError, match=f"{name}.*{message}"):
                read(tmp_path / name)


@pytest.mark.parametrize("read", [read_table, MoleculeFile])
@pytest.mark.parametrize(("name", "module"), [("t.csv", "pandas"), ("t.parquet", "pyarrow")])
def test_without_the_extra(tmp_path, monkeypatch, read, name, module):
    write_table(pd.DataFrame({"SMILES": ["C"]}), tmp_path / name)
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(ImportError, match=r"mocop-sklearn\[data\]"):
        read(tmp_path / name)


# ---------------------------------------------------------------------------------------------
# Molecules in
# ---------------------------------------------------------------------------------------------

SMILES = ["CCO", "", "NA", "1", "C,C", "CC(C)O", "c1ccccc1", "\u00b5", "CC", "O"]
NAMES = [f"molecule {i}" for i in range(9)] + [""]


def write_molecules(folder, suffix):
    path = folder / f"molecules{suffix}"
    table = pd.DataFrame({"name": NAMES, "SMILES": SMILES})
    if "smi" in suffix.lower():
        text = "".join(f"{smiles}\t {name} \r\n" for smiles, name in zip(SMILES, NAMES, strict=True))
        content = text.encode("utf-8-sig")
        path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    elif suffix == ".parquet":
        table.to_parquet(path, row_group_size=3)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".smi", ".SMI.gz", ".smiles", ".csv", ".csv.gz", ".tsv", ".parquet"])
def test_molecules_in_batches(tmp_path, suffix):
    file = MoleculeFile(write_molecules(tmp_path, suffix))
    assert file.columns == (["smiles", "name"] if "smi" in suffix.lower() else ["SMILES"])
    assert file.n_rows == 10
    for size in (1, 3, 10, 99):
        for rows in (None, range(10), range(4), range(2, 9), range(5, 6), range(5, 5), range(9, 10)):
            expected = list(range(10) if rows is None else rows)
            batches = list(file.batches(size, rows))
            assert all(1 <= len(batch) <= size for batch in batches)
            assert [row for batch in batches for row in batch.index] == expected
            assert [s for batch in batches for s in batch[file.columns[0]]] == [SMILES[i] for i in expected]
            if "name" in file.columns:
                assert [n for batch in batches for n in batch["name"]] == [NAMES[i] for i in expected]


def test_missing_and_encoded_structures(tmp_path):
    path = tmp_path / "molecules.parquet"
    pd.DataFrame({"SMILES": pd.Categorical(["CC", None, "CC"]), "n": [1, 2, 3]}).to_parquet(path)
    assert [s for batch in MoleculeFile(path).batches(2) for s in batch["SMILES"]] == ["CC", None, "CC"]
    # numbers are text here, and for the embedder no molecules
    assert [s for batch in MoleculeFile(path, "n").batches(2) for s in batch["n"]] == ["1", "2", "3"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_columns_by_priority_and_by_name(tmp_path, suffix):
    path = tmp_path / f"molecules{suffix}"
    write_table(pd.DataFrame({"InChI": ["no"], "Canonical_Smiles": ["CCO"], "other": ["CC"]}), path)
    assert MoleculeFile(path).columns == ["Canonical_Smiles"]
    assert MoleculeFile(path, "other").columns == ["other"]
    with pytest.raises(ValueError, match=rf"molecules{suffix}' has no column 'wrong'.*InChI.*Name the column"):
        MoleculeFile(path, "wrong")


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("absent.smi", None, FileNotFoundError, "No table at"),
        ("empty.smi", "", ValueError, "' holds no rows"),
        ("empty.csv", "", ValueError, "cannot be read as a table"),
        ("header.csv", "SMILES,a\n", ValueError, "' holds no rows"),
        ("broken.smi.gz", "CCO", ValueError, "cannot be read as a table"),
        ("broken.tsv", 'SMILES\tb\nC\t1\n"CC\t2\n', ValueError, "cannot be read as a table"),
    ],
)
def test_files_that_hold_no_molecules(tmp_path, name, text, error, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error) as raised:
        MoleculeFile(tmp_path / name)
    assert name in str(raised.value)
    assert message in str(raised.value)


# ---------------------------------------------------------------------------------------------
# Embeddings out
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy"])
@pytest.mark.parametrize("rows", [range(10), range(3, 8), range(4, 4)])
def test_embeddings_come_back(tmp_path, suffix, rows):
    z = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    z[1] = np.nan
    path = tmp_path / f"z{suffix}"
    library = MoleculeFile(write_molecules(tmp_path, ".smi"))
    with embedding_writer(path, library.columns, ["a", "b", "c"], len(rows)) as write:
        for frame in library.batches(4, rows):
            write(frame, z[frame.index])
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
        write(pd.DataFrame({"SMILES": ["C", None]}, dtype=object), np.array([[1], [np.nan]], dtype=np.float32))
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
            write(pd.DataFrame({"s": ["C"]}), np.ones((1, 1), dtype=np.float32))
            raise RuntimeError("stop")

    (tmp_path / name).write_text("precious")
    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"
