"""Molecules that cannot be used: what users are told of the collection and of the row, and where NaN is wanted."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rdkit import Chem
from scipy import sparse

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.bad_inputs import check

RESHAPE = r"X has 2 columns, but molecules come in one\. Reshape your data: pass the column that holds the SMILES"
COLLECTION = r"X must be an ordered collection of SMILES strings or RDKit molecules, got {}\. Pass a list or one column"


def invalid_row(reason):
    """The message about one bad row, the second."""
    return rf"1 of 40 rows of X are not valid molecules:\n  row 1: .*{reason}.*\nRemove or mend these rows, or set "


CASES = {
    # molecules: the collection
    "one SMILES": (TypeError, r"got a single str\. Wrap it in a list: \[X\]", lambda c: c.fit_pairs("CCO")),
    "one Mol": (TypeError, r"a single Mol\. Wrap it", lambda c: c.fitted.transform(Chem.MolFromSmiles("CCO"))),
    "bytes": (TypeError, r"a single bytes\. Wrap it", lambda c: c.fitted.transform(b"CCO")),
    "None": (TypeError, COLLECTION.format("NoneType"), lambda c: c.fitted.transform(None)),
    "a number": (TypeError, COLLECTION.format("float"), lambda c: c.fitted.transform(1.0)),
    "an object": (TypeError, COLLECTION.format("object"), lambda c: c.fitted.transform(object())),
    "a dict": (TypeError, COLLECTION.format("dict"), lambda c: c.fitted.transform({"smiles": c.smiles})),
    "a set": (TypeError, COLLECTION.format("set"), lambda c: c.fitted.transform(set(c.smiles))),
    "sparse": (TypeError, r"X is a sparse matrix; SMILES", lambda c: c.fitted.transform(sparse.csr_array(np.eye(3)))),
    "two columns": (ValueError, RESHAPE, lambda c: c.fitted.transform(np.array([["CCO", "CCN"]]))),
    "a frame": (ValueError, RESHAPE, lambda c: c.fitted.transform(pd.DataFrame({"s": c.smiles, "t": c.smiles}))),
    "a polars frame": (ValueError, RESHAPE, lambda c: c.fitted.transform(pl.DataFrame({"s": ["C"], "t": ["C"]}))),
    "three dimensions": (
        ValueError,
        r"got an array of shape \(1, 1, 1\)",
        lambda c: c.fitted.transform(np.array([[["C"]]])),
    ),
    "no dimension": (
        ValueError,
        r"one dimension, got an array of shape \(\)",
        lambda c: c.fitted.transform(np.array("C")),
    ),
    "no rows": (ValueError, r"0 sample\(s\).*minimum of 1 molecule", lambda c: c.fitted.transform([])),
    "an empty generator": (ValueError, r"0 sample\(s\)", lambda c: c.fitted.transform(s for s in ())),
    # molecules: one row
    "syntax": (ValueError, invalid_row(r"'C1CC' \(not a valid SMILES\)"), lambda c: c.second_row("C1CC")),
    "valence": (
        ValueError,
        invalid_row(r"valence for atom # 0 C, 5, is greater"),
        lambda c: c.second_row("C(C)(C)(C)(C)C"),
    ),
    "aromaticity": (ValueError, invalid_row(r"Can't kekulize mol"), lambda c: c.second_row("c1cccc1")),
    "empty string": (ValueError, invalid_row(r"'' \(empty string\)"), lambda c: c.second_row("")),
    "blank string": (ValueError, invalid_row(r"\(empty string\)"), lambda c: c.second_row(" ")),
    "InChI": (ValueError, invalid_row(r"\(not a valid InChI\)"), lambda c: c.second_row("InChI=1S/nonsense")),
    "missing None": (ValueError, invalid_row(r"None \(missing value\)"), lambda c: c.second_row(None)),
    "missing nan": (ValueError, invalid_row(r"nan \(missing value\)"), lambda c: c.second_row(np.nan)),
    "missing float32": (ValueError, invalid_row(r"\(missing value\)"), lambda c: c.second_row(np.float32("nan"))),
    "missing NA": (ValueError, invalid_row(r"<NA> \(missing value\)"), lambda c: c.second_row(pd.NA)),
    "row is a number": (ValueError, invalid_row(r"neither a SMILES .* but int\)"), lambda c: c.second_row(7)),
    "row is bytes": (ValueError, invalid_row(r"neither a SMILES .* but bytes\)"), lambda c: c.second_row(b"CCO")),
    "row is an array": (ValueError, invalid_row(r"but ndarray\)"), lambda c: c.second_row(np.array(["C", "C"]))),
    "Mol without atoms": (ValueError, invalid_row(r"molecule without atoms"), lambda c: c.second_row(Chem.Mol())),
    "too many atoms": (
        ValueError,
        invalid_row(r"40000 atoms, more than max_atoms=2000"),
        lambda c: c.second_row("C" * 40000),
    ),
    "all rows": (
        ValueError,
        r"40 of 40 rows.*  row 9: .*\n  \.\.\. and 30 more",
        lambda c: c.fit_pairs([s + "(" for s in c.smiles]),
    ),
    "one molecule": (
        ValueError,
        r"at least two different molecules, but X holds 1",
        lambda c: c.fit_pairs(["CCO"] * 40),
    ),
    "standardize that fails": (
        ValueError,
        invalid_row(r"standardize raised KeyError: 'CCN'"),
        lambda c: c.fit_pairs(standardize=lambda mol: mol if Chem.MolToSmiles(mol) != "CCN" else {}["CCN"]),
    ),
    "standardize of another kind": (
        ValueError,
        r"standardize returned str, not a molecule",
        lambda c: c.fit_pairs(standardize=Chem.MolToSmiles),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_molecules(case, context):
    check(*CASES[case], context)


@pytest.mark.parametrize("memory", [False, True])
def test_nan_rows_stay_in_place(fitted, smiles, tmp_path, memory):
    embedder = copy.deepcopy(fitted).set_params(invalid="nan", memory=tmp_path if memory else None)
    X = ["not a molecule", *smiles, None, smiles[0], "not a molecule"]
    for _ in range(2):
        with pytest.warns(UserWarning, match="3 of 44 rows of X are not valid molecules") as caught:
            Z = embedder.transform(X)
        assert len(caught) == 1
        assert all(f"row {row}: " in str(caught[0].message) for row in (0, 41, 43))
        assert np.flatnonzero(np.isnan(Z).all(axis=1)).tolist() == [0, 41, 43]
        np.testing.assert_array_equal(Z[1:41], fitted.transform(smiles))
        np.testing.assert_array_equal(Z[42], Z[1])
    with pytest.raises(ValueError, match=r"(?s)3 of 44 rows.*row 43: "):
        embedder.set_params(invalid="raise").transform(X)


def test_no_row_is_a_molecule(fitted):
    with pytest.warns(UserWarning, match="2 of 2 rows"):
        Z = copy.deepcopy(fitted).set_params(invalid="nan").transform(["?", ""])
    assert np.isnan(Z).all()
    assert Z.shape == (2, 32)


def test_bad_rows_are_left_out_of_fit(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, invalid="nan")
    bad = np.isin(np.arange(40), [0, 7, 39])
    X = np.where(bad, "?", smiles)
    with pytest.warns(UserWarning, match="3 of 40 rows of X are not valid molecules") as caught:
        embedder.fit(X, profiles)
    assert len(caught) == 1
    clean = MoCoPEmbedder(**tiny).fit(np.array(smiles)[~bad], profiles[~bad])
    assert embedder.digest_ == clean.digest_
    with pytest.warns(UserWarning, match="3 of 40 rows"):
        assert embedder.score(X, profiles) == clean.score(np.array(smiles)[~bad], profiles[~bad])


def test_nothing_is_left_to_fit(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, invalid="nan")
    with (
        pytest.warns(UserWarning, match="40 of 40 rows"),
        pytest.raises(ValueError, match=r"at least two different molecules, but X holds 0"),
    ):
        embedder.fit(["?"] * 40, profiles)
