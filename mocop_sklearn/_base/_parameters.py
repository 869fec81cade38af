"""Parameters that all estimators of this package have, and what values they may take."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from .._version import __version__
from ..model_file._format import recorded
from ..model_file._hub import is_address
from ..model_file._model import PretrainedModel, load_pretrained
from ..molecules._fields import FEATURIZERS, Featurizer
from ..molecules._fingerprints import TABLES, check_features
from ..molecules._parse import MAX_ATOMS, as_text
from ..nn._encoders import ENCODERS, PROFILE_ENCODERS
from ..nn._losses import LOSSES
from ..pairs._pairs import PairedProfiles
from ..utils._cache import digest_of_pickle
from ..utils._sklearn import HasMethods, Hidden, Interval, StrOptions

# What decides the shape of a molecule encoder, and which of it cannot be written to a file.
ENCODER_SHAPE = ("featurizer", "encoder", "n_layers", "hidden_dim", "embedding_dim")
COMPONENTS = ("featurizer", "encoder")
_OF_ONE_MACHINE = ("callbacks", "memory", "checkpoint_dir")
_FILES = ("pretrained", "pairs", "unlabeled")  # parameters that may be paths

CONSTRAINTS: dict[str, list[Any]] = {
    "pretrained": [str, os.PathLike, PretrainedModel, BaseEstimator, None],
    "standardize": [StrOptions({"parent"}), callable, None],
    "invalid": [StrOptions({"raise", "nan"})],
    "max_atoms": [Interval(Integral, 1, MAX_ATOMS, closed="both")],
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
    "callbacks": [tuple, list],
}

EMBEDDER_CONSTRAINTS: dict[str, list[Any]] = {
    **CONSTRAINTS,
    "pairs": [str, os.PathLike, PairedProfiles, tuple, None],
    "unlabeled": [str, os.PathLike, PairedProfiles, "array-like", None],
    "structure_targets": [StrOptions({"descriptors"}), HasMethods(["fit_transform"])],
    "side_features": [StrOptions(set(TABLES)), HasMethods(["fit", "transform"]), list, tuple, None],
    "local_scaling": ["boolean"],
    "structure_weight": [Interval(Real, 0, None, closed="left")],
    "profile_weight": [Interval(Real, 0, None, closed="left")],
    "profile_transformer": [BaseEstimator, None],
    "projection_dim": [Interval(Integral, 1, None, closed="left")],
    "profile_encoder": [StrOptions(set(PROFILE_ENCODERS)), callable],
    "profile_dims": [tuple, list],
    "train_heads": ["boolean"],
    "loss": [StrOptions(set(LOSSES)), callable, None],
    "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"learned"})],
    "replicates": [StrOptions({"sample", "source", "mean", "mix"}), Interval(Integral, 2, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "selection": [StrOptions({"score", "top1"})],
    "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
    "output": [StrOptions({"encoder", "projection"})],
    "memory": [str, os.PathLike, Hidden(object), None],
}

# Recipe of the paper (arXiv 2305.09790) for the embedder, whose profiles are scaled
PAPER: dict[str, Any] = {
    "structure_weight": 0.0,
    "side_features": None,
    "local_scaling": False,
    "featurizer": "paper",
    "encoder": "ggnn",
    "n_layers": 6,
    "hidden_dim": 75,
    "embedding_dim": 1024,
    "projection_dim": 128,
    "profile_dims": (512, 256, 128),
    "dropout": 0.1,
    "temperature": 0.1,
    "replicates": "sample",
    "max_epochs": 1000,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_fraction": 0.05,
    "validation_fraction": 0.1,
    "precision": "fp32",
}


def load_start(estimator: Any, shape: tuple[str, ...], components: tuple[str, ...]) -> PretrainedModel | None:
    """Return the model of the parameter ``pretrained``, checked against the parameters that are not at their defaults.

    Parameters
    ----------
    estimator : estimator of this package
    shape : tuple of str
        Parameters that decide the shape of its network.
    components : tuple of str
        Those of them that a file cannot hold.
    """
    defaults = type(estimator)().get_params(deep=False)
    values = estimator.get_params(deep=False)
    return load_pretrained(
        estimator.pretrained,
        standardize=estimator.standardize,
        components={name: values[name] for name in components},
        expected={name: values[name] for name in (*shape, "standardize") if values[name] != defaults[name]},
    )


def warn_of_networks_left(start: PretrainedModel | None, n_estimators: int) -> None:
    """Warn when the model that training starts from has more networks than are trained."""
    if start is not None and start.n_networks > n_estimators:
        warnings.warn(
            f"pretrained has {start.n_networks} networks, of which n_estimators={n_estimators} trains the first "
            f"{n_estimators} only. Pass n_estimators={start.n_networks} to go on from all of them.",
            UserWarning,
            stacklevel=4,
        )


def recorded_parameters(estimator: Any, start: PretrainedModel | None) -> dict[str, Any]:
    """Return the parameters as a model file records them.

    A start on the hub is its address with its commit, one in memory its digest. What tells nothing of the model, and
    belongs to one machine, is left out.
    """
    values = {name: value for name, value in estimator.get_params(deep=False).items() if name not in _OF_ONE_MACHINE}
    if start is not None and not isinstance(estimator.pretrained, (str, os.PathLike)):
        values["pretrained"] = f"{type(estimator.pretrained).__name__} with digest {start.digest}"
    given = {name: recorded(_file_name(value) if name in _FILES else value) for name, value in values.items()}
    return given | {"pretrained": start.source} if start and is_address(start.source) else given


def _file_name(value: Any) -> Any:
    """Return the last part of a path; what is none, as it came."""
    return Path(value).name if isinstance(value, (str, os.PathLike)) else value


def pretraining_key(
    estimator: Any,
    source: PairedProfiles | None,
    unlabeled: list[Any] | None,
    start: PretrainedModel | None,
    without: Any,
) -> str:
    """Return a digest of all that decides a pretraining; empty unless ``memory`` or ``checkpoint_dir`` is set.

    Parameters
    ----------
    estimator : MoCoPEmbedder
    source, unlabeled, start
        The pairs, the bare molecules and the model, which have digests of their own.
    without : sequence of str
        Parameters that change no result.
    """
    if estimator.memory is None and estimator.checkpoint_dir is None:
        return ""
    skipped = (*without, "pairs", "unlabeled", "pretrained")
    parameters = {
        name: value
        for name, value in estimator.get_params(deep=True).items()
        if name not in skipped and not name.startswith("pretrained__")
    }
    bare = None if unlabeled is None else [as_text(value) for value in unlabeled]
    return digest_of_pickle([__version__, source and source.digest, bare, start and start.digest, parameters])


def list_of_features(given: Any) -> list[Any]:
    """Return the features of the parameter ``side_features`` as a list.

    Raises
    ------
    ValueError
        When one is neither a known name nor a transformer, or a name is there twice.
    """
    features = [f for f in (given if isinstance(given, (list, tuple)) else [given]) if f is not None]
    check_features("side_features", features)
    names = [f for f in features if isinstance(f, str)]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"side_features holds {twice} more than once, but each block weighs alike: name it once.")
    return features


def check_callbacks(callbacks: Any) -> None:
    """Raise ``ValueError`` unless the parameter ``callbacks`` holds callables only."""
    for i, callback in enumerate(callbacks):
        if not callable(callback):
            raise ValueError(
                f"callbacks[{i}] is {callback!r}, which cannot be called. Give functions, or objects with __call__, "
                "of one row of history_."
            )


def check_widths(name: str, widths: Any) -> None:
    """Raise ``ValueError`` unless a parameter is a tuple of positive integers."""
    if not widths or any(isinstance(w, bool) or not isinstance(w, Integral) or w < 1 for w in widths):
        raise ValueError(f"{name} must be a tuple of positive integers, got {widths!r}.")
