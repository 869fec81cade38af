"""Tables of pairs that cannot be used: what users are told of the file, the line and the cell."""

import pandas as pd
import pytest

from mocop_sklearn import PairedProfiles
from tests.helpers.bad_inputs import check, set_value

CASES = {
    "pairs: no file": (
        FileNotFoundError,
        r"No table at '.*wells\.parquet'",
        lambda c: c.fit(pairs=c.folder / "wells.parquet"),
    ),
    "pairs: broken": (
        ValueError,
        r"a\.parquet' cannot be read as a table",
        lambda c: c.fit(pairs=c.file("a.parquet", b"PAR1 no")),
    ),
    "pairs: another format": (
        ValueError,
        r"a\.xlsx' cannot be read as a table: its name does not end in \.parquet, \.csv, \.tsv or \.h5ad",
        lambda c: c.fit(pairs=c.file("a.xlsx", b"")),
    ),
    "pairs: no structures": (
        ValueError,
        r"no column of structures; its first columns are \['well', 'f0'\]\. Name the column",
        lambda c: c.fit(pairs=c.file("a.csv", b"well,f0\nA01,1.0\n")),
    ),
    "pairs: no features": (
        ValueError,
        r"has no features\. Its other columns: \{'f0': 'text'\}",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nCCO,x\n")),
    ),
    "pairs: all empty": (
        ValueError,
        r"has no row with a structure",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\n,1.0\n")),
    ),
    "pairs: a triple": (
        ValueError,
        r"pairs must be \(molecules, profiles\), got a tuple of 3",
        lambda c: c.fit(pairs=(c.smiles, c.profiles, 1)),
    ),
    "pairs: a frame": (ValueError, r"'pairs' parameter .* Got ", lambda c: c.fit(pairs=c.frame())),
    "pairs: lengths": (
        ValueError,
        r"profiles has 40 rows but X has 3",
        lambda c: PairedProfiles(c.smiles[:3], c.profiles),
    ),
    "cell: a number as text": (
        ValueError,
        r"profiles must be a matrix of numbers.* holds '7\.5' in row 1, column 1, which is not a number but a text",
        lambda c: c.with_profiles(lambda P: set_value(P.astype(object), (1, 1), "7.5")),
    ),
    "cell: a decimal comma": (
        ValueError,
        r"profiles holds '7,5' in row 1 of the column 'f2', which is not a number \(a decimal comma\?\)",
        lambda c: c.fit(profiles=c.frame(f2=["1", "7,5", *["2"] * 38])),
    ),
    "cell: an integer beyond floats": (
        ValueError,
        r"holds an integer of 1329 bits in row 1, column 1, which is not a number that fits into 64 bits",
        lambda c: c.with_profiles(lambda P: set_value(P.astype(object), (1, 1), 10**400)),
    ),
    "cell: an error of Excel": (
        ValueError,
        r"a\.csv' holds '#DIV/0!' in row 1 of the column 'f0', which is not a number: convert it, start the name",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nCCO,1\nCCN,#DIV/0!\nCCC,2\n")),
    ),
    "column: dates": (
        ValueError,
        r"profiles has columns that are not numeric: when \(date\)",
        lambda c: c.fit(profiles=c.frame(when=pd.Timestamp("2024-01-01"))),
    ),
    "column: booleans": (
        ValueError,
        r"profiles has columns that are not numeric: flag \(bool\)",
        lambda c: c.fit(profiles=c.frame(flag=True)),
    ),
    "column: object numbers alone": (
        ValueError,
        r"a\.csv' has no features\. Its other columns: \{'ImageNumber': 'object number'\}",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,ImageNumber\nCCO,1\nCCN,2\n")),
    ),
    "table: a trailing separator": (
        ValueError,
        r"a\.csv' cannot be read as a table: line 2: it has 3 fields, but the header has 2 \(a separator at the end",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nCCO,1,\nCCN,2,\n")),
    ),
    "table: a quotation mark": (
        ValueError,
        r"a\.csv' cannot be read as a table: line 3: a quotation mark is not balanced",
        lambda c: c.fit(pairs=c.file("a.csv", b'smiles,f0\nCCO,1\n"CCN,2\nCCC,3\n')),
    ),
    "table: a short row": (
        ValueError,
        r"a\.csv' cannot be read as a table: line 3: it has 1 fields, but the header has 2",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nCCO,1\nCCN\n")),
    ),
    "table: two headers": (
        ValueError,
        r"a\.csv' cannot be read as a table: line 3: it repeats the header",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nCCO,1\nsmiles,f0\nCCN,2\n")),
    ),
    "table: two columns of one name": (
        ValueError,
        r"a\.csv' cannot be read as a table: line 1: it has more than one column of the names \['f0'\]",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0,f0\nCCO,1,2\n")),
    ),
    "table: not text": (
        ValueError,
        r"a\.csv' cannot be read as a table: it holds zero bytes",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0\nC\0CO,1\n")),
    ),
    "table: latin-1": (
        ValueError,
        r"a\.csv' cannot be read as a table: line \d: .* not UTF-8 text\. Save it as UTF-8",
        lambda c: c.fit(pairs=c.file("a.csv", b"smiles,f0,Metadata_x\nCCO,1,\xb5\n")),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_tables(case, context):
    check(*CASES[case], context)
