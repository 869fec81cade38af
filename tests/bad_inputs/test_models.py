"""Models and files of models that cannot be used."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.bad_inputs import check


def flip(data, position):
    data[position] ^= 1
    return data


class Holey(TransformerMixin, BaseEstimator):
    """Returns NaN."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.full_like(X, np.nan)


class Foreign(MinMaxScaler):
    """A class that is not scikit-learn's."""


CASES = {
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
        r"=RobustScaler\(\) contradicts .*ProfileScaler\(n_components=64, whitening=0\.75\)\. "
        "Leave profile_transformer at None",
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
    "file: a checkpoint": (ValueError, r"holds a training checkpoint, but a model or", lambda c: c.checkpoint()),
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
        r"profile_transformer is a tests\.bad_inputs\.test_models\.Foreign, which .* without pickle",
        lambda c: c.fit_pairs(profile_transformer=Foreign()).save(c.folder / "model"),
    ),
    "transformer that returns NaN": (
        ValueError,
        r"profile_transformer=Holey\(\) returned missing or infinite values.*Put an imputer",
        lambda c: c.fit_pairs(profile_transformer=Holey()),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_models(case, context):
    check(*CASES[case], context)


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
