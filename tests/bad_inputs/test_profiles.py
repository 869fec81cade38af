"""Profiles that cannot be used: what users are told of the matrix, the column and the cell."""

import numpy as np
import pytest
from scipy import sparse

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.bad_inputs import check, set_value

REMEDIES = (
    r"needs profiles to learn from, or a pretrained model, but got {}\. Do one of: \(1\) fit\(X, profiles=P\).*"
    r"\(2\) MoCoPEmbedder\(pairs=\.\.\.\).*\(3\) fit\(X, P\).*\(4\) MoCoPEmbedder\(pretrained=\.\.\.\)"
)
LABELS = REMEDIES.format(r"y of shape {}, which looks like labels")


CASES = {
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
    "profiles: two columns of sources": (
        ValueError,
        r"profiles has more than one column of the names \['Metadata_Source'\]",
        lambda c: c.fit(profiles=c.frame(Metadata_Source="a", b="b").rename(columns={"b": "Metadata_Source"})),
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
}


@pytest.mark.parametrize("case", CASES)
def test_bad_profiles(case, context):
    check(*CASES[case], context)


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
