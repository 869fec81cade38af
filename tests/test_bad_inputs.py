"""What users get wrong, and what they are told: the row or key, what came, and the remedy."""

import copy
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rdkit import Chem
from safetensors.numpy import save_file
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from tests.helpers.bad_corpora import CASES as CORPORA

RESHAPE = r"X has 2 columns, but molecules come in one\. Reshape your data: pass the column that holds the SMILES"
COLLECTION = r"X must be an ordered collection of SMILES strings or RDKit molecules, got {}\. Pass a list or one column"
REMEDIES = (
    r"needs profiles to learn from, or a pretrained model, but got {}\. Do one of: \(1\) fit\(X, profiles=P\).*"
    r"\(2\) MoCoPEmbedder\(pairs=\.\.\.\).*\(3\) fit\(X, P\).*\(4\) MoCoPEmbedder\(pretrained=\.\.\.\)"
)
LABELS = REMEDIES.format(r"y of shape {}, which looks like labels")


def invalid_row(reason):
    """The message about one bad row, the second."""
    return rf"1 of 40 rows of X are not valid molecules:\n  row 1: .*{reason}.*\nRemove or mend these rows, or set "


class Context:
    """What the cases are made of."""

    def __init__(self, smiles, profiles, tiny, fitted, model_file, folder):
        self.smiles, self.profiles, self.fitted, self.model_file = smiles, profiles, fitted, model_file
        self.tiny = tiny | {"max_epochs": 1}
        self.folder = folder

    def fit(self, X=None, y=None, profiles=None, **parameters):
        X = self.smiles if X is None else X
        return MoCoPEmbedder(**self.tiny | parameters).fit(X, y, profiles=profiles)

    def fit_pairs(self, X=None, **parameters):
        return self.fit(X, profiles=self.profiles, **parameters)

    def second_row(self, value):
        """Fit on the molecules with ``value`` in the second row."""
        return self.fit_pairs([self.smiles[0], value, *self.smiles[2:]])

    def with_profiles(self, change):
        """Fit on profiles that ``change`` has been at."""
        return self.fit(profiles=change(self.profiles.copy()))

    def frame(self, **columns):
        return pd.DataFrame(self.profiles, columns=[f"f{i}" for i in range(24)]).assign(**columns)

    def named(self):
        """An embedder that was fitted on named columns."""
        return self.fit(profiles=self.frame())

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def altered(self, change):
        """Load the model file with other bytes."""
        return MoCoPEmbedder.load(self.file("altered", change(bytearray(self.model_file.read_bytes()))))

    def safetensors(self, metadata):
        path = self.folder / "made.safetensors"
        save_file({"a": np.zeros(3)}, path, metadata=metadata)
        return MoCoPEmbedder.load(path)

    def checkpoint(self):
        self.fit_pairs(checkpoint_dir=self.folder)
        return MoCoPEmbedder.load(next(self.folder.glob("*.safetensors")))

    def with_callable(self):
        """Load a model whose ``standardize`` is a function, without the function."""
        self.fit_pairs(standardize=Chem.RemoveHs).save(self.folder / "model")
        return MoCoPEmbedder.load(self.folder / "model")


def flip(data, position):
    data[position] ^= 1
    return data


def set_value(profiles, where, value):
    profiles[where] = value
    return profiles


class Holey(TransformerMixin, BaseEstimator):
    """Returns NaN."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.full_like(X, np.nan)


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
        invalid_row(r"40000 atoms, more than max_atoms=32767"),
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
    # profiles
    "no source": (ValueError, REMEDIES.format("nothing"), lambda c: c.fit()),
    "int labels": (ValueError, LABELS.format(r"\(40,\)"), lambda c: c.fit(y=np.arange(40) % 2)),
    "bool labels": (ValueError, LABELS.format(r"\(40, 2\)"), lambda c: c.fit(y=np.ones((40, 2), dtype=bool))),
    "float labels": (ValueError, LABELS.format(r"\(40,\)"), lambda c: c.fit(y=np.linspace(0, 1, 40))),
    "object labels": (ValueError, LABELS.format(r"\(40,\)"), lambda c: c.fit(y=["active", "inactive"] * 20)),
    "int matrix": (ValueError, LABELS.format(r"\(40, 24\)"), lambda c: c.fit(y=np.ones((40, 24), dtype=int))),
    "ragged y": (ValueError, LABELS.format(r"\(40,\)"), lambda c: c.fit(y=[[1.0]] + [[1.0, 2.0]] * 39)),
    "y of another length": (
        ValueError,
        r"inconsistent numbers of samples: \[40, 39\]",
        lambda c: c.fit(y=c.profiles[1:]),
    ),
    "narrow y": (
        UserWarning,
        r"float matrix of 3 columns, is taken for the profiles.*profiles= or pairs=, or freeze",
        lambda c: c.fit(y=c.profiles[:, :3]),
    ),
    "length": (
        ValueError,
        r"profiles has 39 rows but X has 40: pass one profile per row",
        lambda c: c.with_profiles(lambda P: P[1:]),
    ),
    "one dimension": (
        ValueError,
        r"two dimensions \(rows, features\), got shape \(40,\)",
        lambda c: c.with_profiles(lambda P: P[:, 0]),
    ),
    "cube": (
        ValueError,
        r"two dimensions .* got shape \(40, 24, 1\)",
        lambda c: c.with_profiles(lambda P: P[..., None]),
    ),
    "no columns": (ValueError, r"0 feature\(s\) \(shape=\(40, 0\)\)", lambda c: c.with_profiles(lambda P: P[:, :0])),
    "a path": (
        ValueError,
        r"must be a matrix of numbers, one row per molecule",
        lambda c: c.fit(profiles="wells.parquet"),
    ),
    "text": (
        ValueError,
        r"matrix of numbers.* holds 'high' in row 1, column 1, which is not a number",
        lambda c: c.with_profiles(lambda P: set_value(P.astype(object), (1, 1), "high")),
    ),
    "numbers as text": (
        ValueError,
        r"matrix of numbers.*type <U\d+ are not supported",
        lambda c: c.with_profiles(lambda P: P.astype(str)),
    ),
    "complex": (
        ValueError,
        r"matrix of numbers.*complex128 are not supported",
        lambda c: c.with_profiles(lambda P: P + 1j),
    ),
    "dates": (
        ValueError,
        r"matrix of numbers.*datetime64",
        lambda c: c.fit(profiles=np.full((40, 2), "2020", "M8[D]")),
    ),
    "ragged": (ValueError, r"matrix of numbers.*inhomogeneous", lambda c: c.fit(profiles=[[1.0]] + [[1.0, 2.0]] * 39)),
    "sparse profiles": (
        TypeError,
        r"profiles is a sparse matrix.*use profiles\.toarray\(\)",
        lambda c: c.with_profiles(sparse.csr_array),
    ),
    "text column": (
        ValueError,
        r"columns that are not numeric: plate \(text\)\. Convert or drop .*Metadata_",
        lambda c: c.fit(profiles=c.frame(plate="P1")),
    ),
    "repeated column": (
        ValueError,
        r"more than one column of the names \['f1'\]",
        lambda c: c.fit(profiles=c.frame().rename(columns={"f2": "f1"})),
    ),
    "only metadata": (
        ValueError,
        r"0 feature\(s\)",
        lambda c: c.fit(profiles=c.frame()[[]].assign(Metadata_Well="A01")),
    ),
    "empty rows": (
        ValueError,
        r"2 of 40 profiles hold no finite value: rows \[3, 5\]\. Remove .*invalid=\"nan\"",
        lambda c: c.with_profiles(lambda P: set_value(P, [3, 5], np.nan)),
    ),
    "constant": (ValueError, r"All 24 profile columns are constant", lambda c: c.with_profiles(np.ones_like)),
    "pretrained with another width": (
        ValueError,
        r"profile matrix has 23 features, but the model was fitted on profiles with 24 features",
        lambda c: c.fit(profiles=c.profiles[:, 1:], pretrained=c.model_file),
    ),
    "transform_profiles: width": (
        ValueError,
        r"P has 3 features, but .* 24 features",
        lambda c: c.fitted.transform_profiles(c.profiles[:, :3]),
    ),
    "transform_profiles: columns": (
        ValueError,
        r"P lacks 2 of the 24 columns the model was fitted on: \['f0', 'f7'\]",
        lambda c: c.named().transform_profiles(c.frame().drop(columns=["f0", "f7"])),
    ),
    "transform_profiles: one profile": (
        ValueError,
        r"two dimensions",
        lambda c: c.fitted.transform_profiles(c.profiles[0]),
    ),
    "score: no profiles": (
        ValueError,
        r"score needs the profiles of X: score\(X, profiles=P\)",
        lambda c: c.fitted.score(c.smiles),
    ),
    "score: labels": (ValueError, r"two dimensions", lambda c: c.fitted.score(c.smiles, np.arange(40))),
    "score: length": (ValueError, r"\[40, 39\]", lambda c: c.fitted.score(c.smiles, c.profiles[1:])),
    # pairs
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
        r"a\.xlsx' cannot be read as a table: its name does not end in \.parquet, \.csv or \.tsv",
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
    # models
    "not fitted: transform": (NotFittedError, r"not fitted yet", lambda c: MoCoPEmbedder().transform(["CCO"])),
    "not fitted: transform_profiles": (
        NotFittedError,
        r"not fitted yet",
        lambda c: MoCoPEmbedder().transform_profiles(c.profiles),
    ),
    "not fitted: score": (NotFittedError, r"not fitted yet", lambda c: MoCoPEmbedder().score(c.smiles, c.profiles)),
    "not fitted: save": (NotFittedError, r"not fitted yet", lambda c: MoCoPEmbedder().save(c.folder / "model")),
    "pretrained: not fitted": (
        ValueError,
        r"not a fitted estimator of this package.*FrozenEstimator\(embedder\)",
        lambda c: c.fit(pretrained=MoCoPEmbedder()),
    ),
    "pretrained: another class": (
        ValueError,
        r"LogisticRegression\(\) is not a fitted estimator",
        lambda c: c.fit(pretrained=LogisticRegression()),
    ),
    "profile_dims: bool": (
        ValueError,
        r"profile_dims must be a tuple of positive integers, got \(True,\)",
        lambda c: c.fit(profile_dims=(True,)),
    ),
    "profiles: two columns of sources": (
        ValueError,
        r"profiles has more than one column of the names \['Metadata_Source'\]",
        lambda c: c.fit(profiles=c.frame(Metadata_Source="a", b="b").rename(columns={"b": "Metadata_Source"})),
    ),
    "pretrained: another shape": (
        ValueError,
        r"n_layers=5 contradicts the pretrained model, which has 2\. Leave n_layers at its default, or pretrain anew",
        lambda c: c.fit(pretrained=c.fitted, n_layers=5),
    ),
    "pretrained: another standardisation": (
        ValueError,
        r"standardize=None contradicts .*'parent'",
        lambda c: c.fit(pretrained=c.fitted, standardize=None),
    ),
    "pretrained: another transformer": (
        ValueError,
        r"=RobustScaler\(\) contradicts .*ProfileScaler\(n_components=64\)\. Leave profile_transformer at None",
        lambda c: c.fit(pretrained=c.fitted, profile_transformer=RobustScaler()),
    ),
    "file: missing": (
        FileNotFoundError,
        r"No model file at '.*absent'",
        lambda c: MoCoPEmbedder.load(c.folder / "absent"),
    ),
    "file: missing for fit": (
        FileNotFoundError,
        r"No model file at '.*absent'",
        lambda c: c.fit(pretrained=c.folder / "absent"),
    ),
    "file: a folder": (ValueError, r"is a directory, not a model file", lambda c: MoCoPEmbedder.load(c.folder)),
    "file: truncated": (
        ValueError,
        r"truncated or of another kind: copy it again",
        lambda c: c.altered(lambda b: b[:-100]),
    ),
    "file: empty": (ValueError, r"truncated or of another kind", lambda c: c.altered(lambda b: b[:0])),
    "file: text": (
        ValueError,
        r"not a readable safetensors file",
        lambda c: MoCoPEmbedder.load(c.file("a.txt", b"CCO\n" * 9)),
    ),
    "file: altered": (
        ValueError,
        r"altered after it was written: its digest .* Copy it again",
        lambda c: c.altered(lambda b: flip(b, -3)),
    ),
    "file: foreign": (
        ValueError,
        r"is a safetensors file, but not one written by mocop_sklearn",
        lambda c: c.safetensors({"format": "pt"}),
    ),
    "file: newer": (
        ValueError,
        r"format version 99, but this mocop_sklearn reads versions up to 1\. Upgrade",
        lambda c: c.safetensors({"mocop_sklearn": json.dumps({"format_version": 99, "kind": "model", "digest": ""})}),
    ),
    "file: a checkpoint": (ValueError, r"holds a training checkpoint, but a model is needed", lambda c: c.checkpoint()),
    "file: a function is missing": (
        ValueError,
        r"was trained with standardize=rdkit\.Chem\.rdmolops\.RemoveHs: pass that again",
        lambda c: c.with_callable(),
    ),
    "save: code": (
        TypeError,
        r"profile_transformer\.func is a .*cannot be written .* without pickle\. Use these transformers",
        lambda c: c.fit_pairs(profile_transformer=FunctionTransformer(np.tanh)).save(c.folder / "model"),
    ),
    "save: foreign class": (
        TypeError,
        r"profile_transformer is a tests\.test_bad_inputs\.Foreign, which .* without pickle",
        lambda c: c.fit_pairs(profile_transformer=Foreign()).save(c.folder / "model"),
    ),
    "transformer that returns NaN": (
        ValueError,
        r"profile_transformer=Holey\(\) returned missing or infinite values.*Put an imputer",
        lambda c: c.fit_pairs(profile_transformer=Holey()),
    ),
    # parameters
    "device: unknown": (
        ValueError,
        r'device must be "auto", "cpu", "cuda" or "cuda:<index>", got \'gpu\'',
        lambda c: c.fit_pairs(device="gpu"),
    ),
    "device: of another kind": (ValueError, r"got 'mps'", lambda c: c.fit_pairs(device="mps")),
    "device: lacking": (
        ValueError,
        r'device=\'cuda:99\' asks for a GPU, but torch sees \d+ here\. Use device="auto"',
        lambda c: c.fit_pairs(device="cuda:99"),
    ),
    "memory: a number": (
        ValueError,
        r"'memory' should be None, a string or have the same interface",
        lambda c: c.fit_pairs(memory=5),
    ),
    "memory: a lambda": (
        ValueError,
        r"one of them cannot be pickled: .*lambda.*Use functions .* top level of a module",
        lambda c: c.fit_pairs(memory=c.folder, standardize=lambda mol: mol),
    ),
    "memory: a function of RDKit": (
        ValueError,
        r"one of them cannot be pickled",
        lambda c: c.fit_pairs(memory=c.folder, standardize=Chem.RemoveHs),
    ),
    "load: unknown parameter": (
        TypeError,
        r"unexpected keyword argument 'layers'",
        lambda c: MoCoPEmbedder.load(c.model_file, layers=3),
    ),
    "load: bad parameter": (
        ValueError,
        r"'output' parameter .* Got 'graph'",
        lambda c: MoCoPEmbedder.load(c.model_file, output="graph"),
    ),
    "profile_dims: empty": (
        ValueError,
        r"profile_dims must be a tuple of positive integers, got \(\)",
        lambda c: c.fit_pairs(profile_dims=()),
    ),
    "profile_dims: zero": (ValueError, r"got \(16, 0\)", lambda c: c.fit_pairs(profile_dims=(16, 0))),
    "profile_dims: text": (ValueError, r"got \('16',\)", lambda c: c.fit_pairs(profile_dims=("16",))),
    # tables, cells and columns
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
CASES |= CORPORA


class Foreign(MinMaxScaler):
    """A class that is not scikit-learn's."""


@pytest.mark.parametrize("case", CASES)
def test_bad_inputs(case, smiles, profiles, tiny, fitted, model_file, tmp_path):
    outcome, message, action = CASES[case]
    context = Context(smiles, profiles, tiny, fitted, model_file, tmp_path)
    expected = pytest.warns if issubclass(outcome, Warning) else pytest.raises
    with expected(outcome, match=f"(?s){message}"):
        action(context)


OUT_OF_RANGE = {
    "pretrained": 3,
    "pairs": [1],
    "unlabeled": 3,
    "structure_targets": "fingerprints",
    "structure_weight": -1,
    "side_features": 3,
    "profile_transformer": "robust",
    "standardize": "tautomer",
    "invalid": "ignore",
    "max_atoms": 40_000,
    "featurizer": "ecfp",
    "n_layers": 0,
    "hidden_dim": 0,
    "embedding_dim": -1,
    "projection_dim": 1.5,
    "profile_dims": 512,
    "dropout": 1.0,
    "train_heads": "no",
    "loss": "clip",
    "temperature": 0,
    "replicates": "first",
    "max_epochs": -1,
    "encoder": "transformer",
    "profile_encoder": "cnn",
    "batch_size": 1,
    "learning_rate": 0,
    "weight_decay": -0.1,
    "warmup_fraction": 1.0,
    "validation_fraction": 1.0,
    "patience": 0,
    "output": "both",
    "device": 0,
    "precision": "fp16",
    "n_jobs": 1.5,
    "checkpoint_dir": 1,
    "resume": "yes",
    "random_state": -1,
    "verbose": "loud",
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_parameters_out_of_range(name, smiles, profiles):
    value = OUT_OF_RANGE[name]
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of MoCoPEmbedder must be .*Got .*{value}"):
        MoCoPEmbedder(**{name: value}).fit(smiles, profiles)


def test_every_parameter_has_a_range():
    free = {"memory"}  # whatever has joblib.Memory's interface
    assert set(OUT_OF_RANGE) | free == set(MoCoPEmbedder().get_params())


def test_any_flipped_bit_of_a_model_file_is_noticed(model_file, tmp_path):
    content = model_file.read_bytes()
    path = tmp_path / "model"
    header = 8 + int.from_bytes(content[:8], "little")
    positions = {
        *range(8),
        *np.linspace(8, header - 1, 150, dtype=int),
        *np.linspace(header, len(content) - 1, 20, dtype=int),
    }
    for position in sorted(positions):
        for bit in (1, 32):
            altered = bytearray(content)
            altered[position] ^= bit
            if position < header and _metadata(altered, header) == _metadata(content, header):
                continue  # the seventeenth digit of a number, which is the same number
            path.write_bytes(altered)
            with pytest.raises(ValueError, match=r"model' "):
                MoCoPEmbedder.load(path)


def _metadata(content, end):
    """The parsed header of a model file; None where it cannot be parsed."""
    try:
        parsed = json.loads(content[8:end])
        return parsed | {"__metadata__": {k: json.loads(v) for k, v in parsed["__metadata__"].items()}}
    except (ValueError, KeyError, AttributeError):
        return None


# ---------------------------------------------------------------------------------------------
# bad rows that are wanted
# ---------------------------------------------------------------------------------------------


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


def test_rows_without_a_profile_are_left_out_of_fit(smiles, profiles, tiny):
    P = profiles.copy()
    P[2], P[3] = np.nan, np.inf
    embedder = MoCoPEmbedder(**tiny, invalid="nan")
    with pytest.warns(
        UserWarning, match=r"2 of 40 profiles hold no finite value: rows \[2, 3\]; they are left"
    ) as caught:
        embedder.fit(smiles, P)
    assert len(caught) == 1
    clean = MoCoPEmbedder(**tiny).fit(smiles[:2] + smiles[4:], np.delete(profiles, [2, 3], axis=0))
    assert embedder.digest_ == clean.digest_


def test_nothing_is_left_to_fit(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, invalid="nan")
    with (
        pytest.warns(UserWarning, match="40 of 40 rows"),
        pytest.raises(ValueError, match=r"at least two different molecules, but X holds 0"),
    ):
        embedder.fit(["?"] * 40, profiles)


def test_the_gpu_is_not_asked_for_by_default(fitted, smiles):
    assert fitted.device == "auto"
    assert torch.from_numpy(fitted.transform(smiles)).device.type == "cpu"
