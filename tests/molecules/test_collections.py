"""Collections of molecules: what is accepted as one, repeats, identities, and the report of invalid rows."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rdkit import Chem
from scipy import sparse

from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import canonical_smiles, check_molecules
from mocop_sklearn.molecules._parse import (
    as_text,
    connectivity_key,
    molecule_text,
    parse_molecule,
    report_invalid,
    unique_molecules,
)


@pytest.mark.parametrize(
    "X",
    [
        ["CCO", "CCN"],
        ("CCO", "CCN"),
        np.array(["CCO", "CCN"]),
        np.array(["CCO", "CCN"], dtype=object),
        np.array([["CCO"], ["CCN"]]),
        [["CCO"], ["CCN"]],
        pd.Series(["CCO", "CCN"], index=[5, 5]),
        pd.Series(["CCO", "CCN"], dtype="string"),
        pd.DataFrame({"smiles": ["CCO", "CCN"]}),
        pd.Index(["CCO", "CCN"]),
        pl.Series(["CCO", "CCN"]),
        pl.DataFrame({"smiles": ["CCO", "CCN"]}),
        (s for s in ["CCO", "CCN"]),
    ],
    ids=lambda X: type(X).__name__,
)
def test_check_molecules(X):
    assert check_molecules(X) == ["CCO", "CCN"]


def test_check_molecules_keeps_what_it_holds():
    mol = Chem.MolFromSmiles("CCO")
    assert check_molecules([mol, "C", None])[0] is mol
    assert check_molecules(np.array([mol, "C"], dtype=object))[0] is mol
    assert check_molecules(pd.Series([mol, None]))[0] is mol


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("CCO", TypeError, r"single str. Wrap it in a list"),
        (b"CCO", TypeError, r"single bytes"),
        (Chem.MolFromSmiles("C"), TypeError, r"single Mol"),
        (None, TypeError, "NoneType"),
        (3, TypeError, "int"),
        ({"a": "C"}, TypeError, "dict"),
        (sparse.eye_array(2).tocsr(), TypeError, "sparse"),
        ([], ValueError, "0 sample"),
        (np.array([], dtype=str), ValueError, "0 sample"),
        (np.array([["C", "N"], ["O", "S"]]), ValueError, "X has 2 columns, but molecules come in one"),
        (pd.DataFrame({"a": ["C"], "b": ["N"]}), ValueError, "X has 2 columns"),
        (np.zeros((2, 1, 1)), ValueError, "one dimension"),
        (np.array("CCO"), ValueError, "one dimension"),
    ],
)
def test_check_molecules_refuses(X, error, message):
    with pytest.raises(error, match=message):
        check_molecules(X)


def test_unique_molecules():
    mol = Chem.MolFromSmiles("OCC")
    values = ["CCO", "CCN", mol, "CCO", None, None, "OCC", Chem.MolFromSmiles("CCO")]
    unique, inverse = unique_molecules(values)
    assert [as_text(value) for value in unique] == ["CCO", "CCN", None, None, "OCC"]
    assert inverse.tolist() == [0, 1, 0, 0, 2, 3, 4, 0]


def test_canonical_smiles():
    values = ["OCC", "CC[NH3+]", None, Chem.MolFromSmiles("CCO"), "junk", "OCC"]
    assert canonical_smiles(values) == ["CCO", "CCN", None, "CCO", None, "CCO"]
    assert canonical_smiles(["CC[NH3+]"], None) == ["CC[NH3+]"]


def test_text_of_a_molecule():
    assert molecule_text(" OCC ") == "OCC"
    assert molecule_text(Chem.MolFromSmiles("OCC")) == "CCO"
    assert molecule_text("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3") == "CCO"
    assert as_text(Chem.MolFromSmiles("OCC")) == "CCO"
    assert as_text("OCC") == "OCC"
    assert as_text(None) is None


def test_connectivity_key():
    """The first block of the InChIKey of alanine, whatever its stereochemistry, charge, salt or isotopes."""
    forms = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC([NH3+])C(=O)[O-]", "CC(N)C(=O)[O-].[Na+]"]
    forms += ["Cl.CC(N)C(=O)O", "[13CH3]C(N)C(=O)O"]
    assert {connectivity_key(parse_molecule(form)) for form in forms} == {"QNAYBMKLOCPYGJ"}
    assert {connectivity_key(parse_molecule(s)) for s in ("C/C=C/C", "C/C=C\\C", "CC=CC")} == {"IAQRGUVFOMOMEM"}
    assert connectivity_key(parse_molecule("NCCC(=O)O")) != "QNAYBMKLOCPYGJ"


def test_connectivity_key_of_what_inchi_does_not_know():
    keys = [connectivity_key(parse_molecule(s)) for s in ("*[C@H](N)C(=O)O", "*[C@@H](N)C(=O)O", "*CC(N)C(=O)O")]
    assert keys[0] == keys[1] != keys[2]
    assert all(keys)


# ---------------------------------------------------------------------------------------------
# The policy for bad rows
# ---------------------------------------------------------------------------------------------


def test_report_of_twelve_bad_rows():
    values = ["CCO"] * 20
    reasons = {i: f"reason {i}" for i in range(19, 7, -1)}
    for i in reasons:
        values[i] = f"bad {i}"
    with pytest.raises(ValueError, match="12 of 20 rows of X are not valid molecules") as error:
        report_invalid(values, reasons, "raise")
    lines = str(error.value).splitlines()
    assert lines[1:11] == [f"  row {i}: 'bad {i}' (reason {i})" for i in range(8, 18)]
    assert lines[11] == "  ... and 2 more"
    assert 'set invalid="nan"' in lines[12]
    with pytest.warns(UserWarning, match="12 of 20 rows of X are not valid molecules and are treated as missing"):
        report_invalid(values, reasons, "nan")


def test_report_of_one_bad_row():
    with pytest.raises(ValueError, match="1 of 2 rows") as error:
        report_invalid(["CCO", Chem.Mol()], {1: "molecule without atoms"}, "raise")
    assert str(error.value).splitlines()[1] == "  row 1: <Mol> (molecule without atoms)"
    assert "more" not in str(error.value)


def test_report_shortens_long_values():
    with pytest.raises(ValueError, match="1 of 1") as error:
        report_invalid(["C" * 1000 + "("], {0: "not a valid SMILES"}, "raise")
    assert max(map(len, str(error.value).splitlines())) < 120


@pytest.mark.parametrize("invalid", ["raise", "nan"])
def test_nothing_to_report(invalid):
    report_invalid(["CCO"], {}, invalid)


def test_what_is_not_a_molecule_leaves_nothing_in_the_log(capfd):
    assert canonical_smiles(["C1CC", "c1cccc1", "CCO"]) == [None, None, "CCO"]
    with pytest.warns(UserWarning, match="1 of 2"):
        molecule_groups(["C1CC", "CCO"], invalid="nan")
    assert capfd.readouterr().err == ""
