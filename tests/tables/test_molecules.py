"""Files of molecules: rows in batches of any size, from every format."""

import gzip
import os

import pandas as pd
import pytest
from rdkit import Chem

from mocop_sklearn.tables._formats import TableError
from mocop_sklearn.tables._molecules import MoleculeFile, split_line
from mocop_sklearn.tables._read import read_wells, write_table

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
            assert all(1 <= len(batch.structures) <= size for batch in batches)
            assert [row for batch in batches for row in batch.rows] == expected
            assert [s for batch in batches for s in batch.structures] == [SMILES[i] for i in expected]
            if "name" in file.columns:
                assert [n for batch in batches for n in batch.columns["name"]] == [NAMES[i] for i in expected]


@pytest.mark.parametrize(
    ("name", "text"), [("m.smi", "CC a\nCCO \u00b51\n"), ("m.csv", "SMILES,name\nCC,a\nCCO,\u00b51\n")]
)
def test_names_that_cannot_be_read(tmp_path, name, text):
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        file = MoleculeFile(tmp_path / name, keep=["name"])
        if encoding == "utf-8":
            assert [n for batch in file.batches(1) for n in batch.columns["name"]] == ["a", "\u00b51"]
            continue
        with pytest.warns(
            UserWarning, match=rf"{name}' is not UTF-8 text: 1 values hold .*'\ufffd1'. Save it as UTF-8"
        ):
            assert [s for batch in file.batches(1) for s in batch.structures] == ["CC", "CCO"]
        assert [s for batch in file.batches(1, range(1)) for s in batch.structures] == ["CC"]


def test_missing_and_encoded_structures(tmp_path):
    path = tmp_path / "molecules.parquet"
    pd.DataFrame({"SMILES": pd.Categorical(["CC", None, "CC"]), "n": [1, 2, 3]}).to_parquet(path)
    assert [s for batch in MoleculeFile(path).batches(2) for s in batch.structures] == ["CC", None, "CC"]
    # numbers are text here, and for the embedder no molecules
    assert [s for batch in MoleculeFile(path, "n").batches(2) for s in batch.structures] == ["1", "2", "3"]


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
        ("broken.smi.gz", "\x1f\x8bCCO", ValueError, "cannot be read as a table"),
        ("broken.tsv", 'SMILES\tb\nC\t1\n"CC\t2\n', ValueError, "line 3"),
    ],
)
def test_files_that_hold_no_molecules(tmp_path, name, text, error, message):
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(error) as raised:
        MoleculeFile(tmp_path / name)
    assert name in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("line", "structure", "name"),
    [
        ("CCO ethanol\n", "CCO", "ethanol"),
        ("CCO\tthe drug | here\n", "CCO", "the drug | here"),
        ("CC=CC |t:1|\n", "CC=CC |t:1|", ""),
        ("CC=CC  |t:1| trans-2-butene\n", "CC=CC |t:1|", "trans-2-butene"),
        ("CC |$R1;with space$| a name", "CC |$R1;with space$|", "a name"),
        ("CC |unclosed name", "CC", "|unclosed name"),
        (" name alone", "", "name alone"),
        ("\n", "", ""),
        ("C1CC", "C1CC", ""),
    ],
)
def test_lines_of_smi_files(line, structure, name):
    assert split_line(line) == (structure, name)


@pytest.mark.parametrize("suffix", [".smi", ".csv", ".parquet"])
@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_file_that_changes_while_it_is_read(tmp_path, suffix, change):
    path = write_molecules(tmp_path, suffix)
    file = MoleculeFile(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if change == "shorter" else content + content)
    os.utime(path, ns=(1, 1))
    with pytest.raises(TableError, match=f"molecules{suffix}'"):
        list(file.batches(4))


def write_sdf(path, records):
    """An SD file of (SMILES or the text of a block, title, values by tag)."""
    parts = []
    for smiles, title, values in records:
        mol = Chem.MolFromSmiles(smiles)
        block = smiles if mol is None else Chem.MolToMolBlock(mol)
        lines = [title, *block.splitlines()[1:]]
        for tag, value in values.items():
            lines += [f">  <{tag}>  (1)", *value.splitlines(), ""]
        parts.append("\n".join([*lines, "$$$$", ""]))
    text = "".join(parts)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


PENTAVALENT = Chem.MolToMolBlock(Chem.MolFromSmiles("CC(C)(C)C", sanitize=False)).replace(
    "  1  2  1  0", "  1  2  2  0"
)


@pytest.mark.parametrize("suffix", [".sdf", ".sdf.gz"])
def test_sd_files(tmp_path, suffix):
    records = [("C[C@H](N)C(=O)O", "alanine", {"IC50 (nM)": "12", "notes": "two\nlines"}),
               (PENTAVALENT, "no carbon", {}), ("\n\n\nnot a structure", "no record", {"IC50 (nM)": ">30"}),
               ("CCO", "", {"notes": "> not a tag"})]  # fmt: skip
    path = write_sdf(tmp_path / f"molecules{suffix}", records)
    file = MoleculeFile(path, keep=["notes", "IC50 (nM)"])
    assert (file.n_rows, file.columns) == (4, ["smiles", "name", "notes", "IC50 (nM)"])
    for size in (1, 4):
        batches = list(file.batches(size))
        texts = {name: [v for batch in batches for v in batch.columns[name]] for name in file.columns}
        assert texts["smiles"] == ["C[C@H](N)C(=O)O", "C=C(C)(C)C", None, "CCO"]
        assert texts["name"] == ["alanine", "no carbon", "no record", ""]
        assert texts["notes"] == ["two lines", "", "", "> not a tag"]
        assert texts["IC50 (nM)"] == ["12", "", ">30", ""]
    with pytest.raises(ValueError, match=r"has no column 'IC50'; its columns are .*'notes'"):
        MoleculeFile(path, keep=["IC50"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_that_are_kept(tmp_path, suffix):
    path = tmp_path / f"molecules{suffix}"
    write_table(pd.DataFrame({"id": ["007", "NA"], "SMILES": ["CCO", "CC"], "n": [1, 2]}), path)
    file = MoleculeFile(path, keep=["n", "id", "n"])
    assert file.columns == ["SMILES", "n", "id"]
    assert next(file.batches(9)).columns == {"SMILES": ["CCO", "CC"], "n": ["1", "2"], "id": ["007", "NA"]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_structures_are_found_by_their_content(tmp_path, suffix):
    path = tmp_path / f"molecules{suffix}"
    table = pd.DataFrame({"Country": ["CN", "NO", "C"], "Name": ["ethanol", "B12", "x"], "n": [1.5, 2.5, 3.5]})
    write_table(table.assign(Drug=["CCO", "c1ccccc1O", ""]), path)
    with pytest.warns(UserWarning, match="read from the column 'Drug', whose values are molecules"):
        file = MoleculeFile(path)
    assert next(file.batches(9)).structures[:2] == ["CCO", "c1ccccc1O"]
    with pytest.warns(UserWarning, match="column 'Drug'"):
        assert read_wells(path)[0] == "Drug"
    assert MoleculeFile(path, "Country").columns == ["Country"]
    write_table(table, path)
    with pytest.raises(ValueError, match="no column of structures; its first"):
        MoleculeFile(path)
    write_table(table.assign(raw=["CCO", "CCCO", "CCC"], parent=["CCO", "CCCO", "CC"]), path)
    with pytest.raises(ValueError, match=r"in the columns \['raw', 'parent'\]. Name one of them: smiles='raw'"):
        MoleculeFile(path)
