"""Parameters that all estimators of this package have, and what values they may take."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

from sklearn.base import BaseEstimator

from ..model_file._model import PretrainedModel
from ..molecules._fields import FEATURIZERS, Featurizer
from ..nn._encoders import ENCODERS
from ..utils._sklearn import Interval, StrOptions

# What decides the shape of a molecule encoder, and which of it cannot be written to a file.
ENCODER_SHAPE = ("featurizer", "encoder", "n_layers", "hidden_dim", "embedding_dim")
COMPONENTS = ("featurizer", "encoder")

CONSTRAINTS: dict[str, list[Any]] = {
    "pretrained": [str, os.PathLike, PretrainedModel, BaseEstimator, None],
    "standardize": [StrOptions({"parent"}), callable, None],
    "invalid": [StrOptions({"raise", "nan"})],
    "featurizer": [StrOptions(set(FEATURIZERS)), Featurizer],
    "encoder": [StrOptions(set(ENCODERS)), callable],
    "n_layers": [Interval(Integral, 1, None, closed="left")],
    "hidden_dim": [Interval(Integral, 1, None, closed="left")],
    "embedding_dim": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
    "device": [str],
    "precision": [StrOptions({"auto", "fp32", "bf16"})],
    "n_jobs": [Integral, None],
    "checkpoint_dir": [str, os.PathLike, None],
    "resume": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def explicit_parameters(estimator: BaseEstimator, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters among ``names`` that do not have their defaults."""
    defaults = type(estimator)().get_params(deep=False)
    values = estimator.get_params(deep=False)
    return {name: values[name] for name in names if values[name] != defaults[name]}
