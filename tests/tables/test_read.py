"""Whole tables: what is read is what was written, and errors that name the file and the line."""

import gzip
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mocop_sklearn.tables._formats import TableError
from mocop_sklearn.tables._molecules import MoleculeFile
from mocop_sklearn.tables._read import read_table, read_wells, write_table


@pytest.mark.parametrize(
    "column", ["Metadata_SMILES", "smiles", "SMILES", "canonical_smiles", "Metadata_InChI", "InChI"]
)
def test_read_wells_finds_the_structures(tmp_path, column):
    frame = pd.DataFrame({"Metadata_Plate": ["a", "b"], column: ["CCO", None], "Cells_Area": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "wells.parquet")
    structures, table = read_wells(tmp_path / "wells.parquet")
    assert structures == column
    pd.testing.assert_frame_equal(table, frame)


def test_read_wells_takes_the_named_column(tmp_path):
    path = tmp_path / "wells.csv"
    pd.DataFrame({"SMILES": ["C"], "other": [123], "x": [1.0]}).to_csv(path, index=False)
    assert read_wells(path)[0] == "SMILES"
    structures, table = read_wells(path, "other")
    assert table[structures].tolist() == ["123"]
    with pytest.raises(ValueError, match=r"wells\.csv' has no column 'wrong'; its first columns are .*Name the column"):
        read_wells(path, "wrong")
    pd.DataFrame({"x": [1.0]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"wells\.csv' has no column of structures; its first columns are \['x'\]"):
        read_wells(path)


def test_read_table_reads_what_was_written(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.CSV.gz", index=False, compression="gzip")
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "plain.csv.gz", index=False, compression=None)
    for name in ("t.csv", "t.CSV.gz", "plain.csv.gz", "t.tsv", "t.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), frame)


def test_write_table(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]}, index=[7, 8])
    for name in ("t.csv", "t.parquet"):
        write_table(frame, tmp_path / "new" / name)
        pd.testing.assert_frame_equal(read_table(tmp_path / "new" / name), frame.reset_index(drop=True))


def test_labels_of_text_files_are_texts(tmp_path):
    texts = ["0012", "12", "1E3", "1000", "NA", "None", "", "true", "1.50"]
    frame = pd.DataFrame(dict.fromkeys(("Metadata_Plate", "metadata_x", "Image_Metadata_y", "SMILES", "id"), texts))
    frame = frame.assign(f=np.arange(9) / 2)
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv", text=["id"])
    for column in frame.columns[:-1]:
        assert table[column].tolist() == texts
    assert table["f"].tolist() == frame["f"].tolist()


def test_texts_without_numbers_are_as_written(tmp_path):
    (tmp_path / "t.csv").write_text("name,f,g\nNA,1,\nnull,NA,\nx,2,\n")
    table = read_table(tmp_path / "t.csv")
    assert table["name"].tolist() == ["NA", "null", "x"]
    np.testing.assert_array_equal(table[["f", "g"]].to_numpy(float), [[1, np.nan], [np.nan, np.nan], [2, np.nan]])


def test_named_levels_of_an_index_are_columns(tmp_path):
    frame = pd.DataFrame({"Metadata_Plate": ["a", "b"], "Metadata_Well": ["A01", "A02"], "f": [1.0, 2.0]})
    for keys in (["Metadata_Plate"], ["Metadata_Plate", "Metadata_Well"]):
        frame.set_index(keys).to_parquet(tmp_path / "t.parquet")
        pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet")[frame.columns], frame)
    frame.set_axis([7, 3]).to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_separators_and_ends_of_lines(tmp_path, encoding, separator, end):
    lines = [separator.join(row) for row in (["SMILES", "Metadata_µ", "f"], ["CCO", "é", "1.5"], ["CC", "b", "2"])]
    (tmp_path / "t.csv").write_bytes(end.join([*lines, ""]).encode(encoding))
    table = read_table(tmp_path / "t.csv")
    assert table.to_dict("list") == {"SMILES": ["CCO", "CC"], "Metadata_µ": ["é", "b"], "f": [1.5, 2.0]}
    assert MoleculeFile(tmp_path / "t.csv").n_rows == 2


def test_an_empty_line_is_a_row(tmp_path):
    (tmp_path / "one.csv").write_text("smiles\nCCO\n\nCCC\n\n")
    assert read_table(tmp_path / "one.csv")["smiles"].tolist() == ["CCO", "", "CCC", ""]
    # of several columns, an empty line can only be a row between others
    (tmp_path / "two.csv").write_text("smiles,f\nCCO,1\n\nCCC,2\n\n\n")
    table = read_table(tmp_path / "two.csv")
    assert table["smiles"].tolist() == ["CCO", "", "CCC"]
    np.testing.assert_array_equal(table["f"], [1, np.nan, 2])


def test_quoted_fields(tmp_path):
    (tmp_path / "t.csv").write_text('name,smiles,f\n"2,4-DNP",CCO,1\n"a ""b""",CC,2\n"two\nlines",C,3\n')
    table = read_table(tmp_path / "t.csv")
    assert table["name"].tolist() == ["2,4-DNP", 'a "b"', "two\nlines"]
    assert table["f"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("read", [read_table, MoleculeFile])
@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("id,smiles,salt\nx1,CCO,CCN,\nx2,CCC,CCCC,\n", 2, r"4 fields, but the header has 3 \(a separator at the end"),
        ("smiles,f\nCCO,1\nCC\n", 3, "1 fields, but the header has 2"),
        ("smiles,f\nCCO,1\nCC,1,2\n", 3, "3 fields, but the header has 2"),
        ("smiles\nCC |t:1,2|\n", 2, "2 fields, but the header has 1"),
        ('smiles,f\nCCO,1\n"CC,2\nC,3\n', 3, "quotation mark is not balanced"),
        ('smiles,f\nCCO,1\n"CC,2\nC,3\n"C,3\n', 3, "quotation mark is not balanced"),
        ('id,smiles\n"a,CCO\nb",CCC\n', 2, "quotation mark is not balanced"),
        ('smiles\nCCO\n"CC\nC"\n', 3, "quotation mark is not balanced"),
        ("smiles,f,f\nCCO,1,2\n", 1, r"more than one column of the names \['f'\]"),
        ("smiles,f\nCCO,1\nsmiles,f\nCC,2\n", 3, "it repeats the header"),
        ("\n\n", 1, "no header"),
    ],
)
def test_rows_that_do_not_fit(tmp_path, read, text, line, problem):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=rf"t\.csv' cannot be read as a table: line {line}: .*{problem}") as raised:
        read(tmp_path / "t.csv")
    assert (raised.value.line, raised.value.path) == (line, str(tmp_path / "t.csv"))


def test_text_in_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes("smiles,f\nCCO,1\nCCµ,2\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"line \d: .*not UTF-8 text\. Save it as UTF-8"):
        read_table(tmp_path / "t.csv")
    # a stream of molecules goes on: the row has a letter that no molecule has
    assert MoleculeFile(tmp_path / "t.csv").n_rows == 2
    (tmp_path / "t.csv").write_bytes(b"smiles,f\nCC\x00O,1\n")
    with pytest.raises(TableError, match="zero bytes"):
        read_table(tmp_path / "t.csv")


def test_broken_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No table at .*none.csv"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"smiles,f\n" + b"CCO,1\n" * 9999)[:-30])
    for name, message in {
        "t.parquet": "cannot be read as a table",
        "t.xlsx": r"its name does not end in \.parquet, \.csv, \.tsv or \.h5ad",
        "t.csv.gz": "cannot be read as a table",
    }.items():
        if name != "t.csv.gz":
            (tmp_path / name).write_bytes(b"PAR1 and no more")
        for read in (read_table, MoleculeFile):
            with pytest.raises(TableError, match=f"{name}.*{message}"):
                read(tmp_path / name)


@pytest.mark.parametrize(
    ("read", "name", "module"),
    [
        (read_table, "t.csv", "pandas"),
        (read_table, "t.parquet", "pandas"),
        (read_table, "t.parquet", "pyarrow"),
        (MoleculeFile, "t.parquet", "pyarrow"),
    ],
)
def test_without_the_extra(tmp_path, monkeypatch, read, name, module):
    write_table(pd.DataFrame({"SMILES": ["C"]}), tmp_path / name)
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(ImportError, match=rf"{name}' needs {module}: pip install 'mocop-sklearn\[data\]'"):
        read(tmp_path / name)


def test_molecules_in_text_need_no_extra(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("SMILES\nCCO\n")
    for loaded in [m for m in sys.modules if m.partition(".")[0] in ("pandas", "pyarrow")]:
        monkeypatch.setitem(sys.modules, loaded, None)
    assert [batch.structures for batch in MoleculeFile(tmp_path / "t.csv").batches(9)] == [["CCO"]]


def test_repeated_columns_of_parquet(tmp_path):
    table = pa.table([pa.array(["C"]), pa.array(["CC"])], names=["SMILES", "SMILES"])
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    for read in (read_table, MoleculeFile):
        with pytest.raises(TableError, match=r"more than one column of the names \['SMILES'\]"):
            read(tmp_path / "t.parquet")
