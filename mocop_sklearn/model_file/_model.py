"""The file format: safetensors with a JSON header, versioned, digested, no pickle.

A file holds two sections: ``model``, all that decides an embedding, and ``record``, how it came
about. ``PretrainedModel`` is what such a file means to the rest of the package.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import sklearn
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator

from ..molecules._fields import FEATURIZERS
from ..nn._encoders import Architecture, TwoTower
from ..utils._files import atomic_write

FORMAT_VERSION = 1
_KEY = "mocop_sklearn"
# Classes are only ever imported from these packages, so that a model file cannot name code to run.
_TRUSTED_PACKAGES = ("sklearn.", "mocop_sklearn.")


def write_file(path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays and a JSON header atomically, with a digest of everything."""
    arrays = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in arrays.items()}
    header = {"format_version": FORMAT_VERSION, "kind": kind, **header}
    header["digest"] = content_digest(header, arrays)
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata={_KEY: json.dumps(header)})


def read_file(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what ``write_file`` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is truncated, altered, of a newer format or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No model file at {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a directory, not a model file.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{str(path)!r} is not a readable safetensors file ({error}). It is truncated or of another kind: "
            "copy it again, or name another file."
        ) from error
    if _KEY not in metadata:
        raise ValueError(f"{str(path)!r} is a safetensors file, but not one written by mocop_sklearn.")
    altered = f"{str(path)!r} was altered after it was written: its digest does not match. Copy it again."
    try:
        header = json.loads(metadata[_KEY])
        version, stored_kind, digest = header["format_version"], header["kind"], header.pop("digest")
    except (ValueError, KeyError) as error:
        raise ValueError(altered) from error
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{str(path)!r} has format version {version}, but this mocop_sklearn reads versions up to "
            f"{FORMAT_VERSION}. Upgrade mocop-sklearn."
        )
    if stored_kind != kind:
        raise ValueError(f"{str(path)!r} holds a {stored_kind}, but a {kind} is needed.")
    if digest != content_digest(header, arrays):
        raise ValueError(altered)
    return header, arrays


def content_digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of plain data and named arrays."""
    sha = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        sha.update(f"{name}:{a.dtype.str}:{a.shape}".encode())
        sha.update(np.ascontiguousarray(a).data if a.size else b"")
    return sha.hexdigest()


def plain_value(value: Any) -> Any:
    """A numpy scalar as the Python number that it is, which JSON can hold; anything else as it came."""
    return value.item() if isinstance(value, np.generic) else value


def library_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    from .._version import __version__

    return {
        "mocop_sklearn": __version__,
        "torch": torch.__version__,
        "rdkit": rdkit.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@dataclass
class PretrainedModel:
    """A trained two-tower model with all that is needed to embed molecules and profiles.

    Attributes
    ----------
    architecture : Architecture
    weights : dict of ndarray
    standardize : {"parent", None} or callable
    profile_transformer : fitted scikit-learn transformer
    profile_features : list of str or None
        Column names, when the profiles had some.
    n_profile_columns : int
        Width of a profile before the transformer.
    molecule_keys : list of str
        Sorted connectivity keys of all molecules that took part in training or validation.
    history : list of dict
    n_iter : int
        Epochs run.
    best_score : float
        Validation score of the kept weights; NaN without validation.
    parameters : dict
        Parameters of the estimator that made it, as plain data.
    digest : str
        SHA-256 of all that decides an embedding: models that embed alike have equal digests.
    """

    architecture: Architecture
    weights: dict[str, np.ndarray]
    standardize: Any
    profile_transformer: Any
    profile_features: list[str] | None
    n_profile_columns: int
    molecule_keys: list[str]
    history: list[dict[str, float]] = field(default_factory=list)
    n_iter: int = 0
    best_score: float = float("nan")
    parameters: dict[str, Any] = field(default_factory=dict)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.digest = content_digest(*self._pack(strict=False))

    def _pack(self, strict: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that decides an embedding, as plain data and arrays."""
        arrays = {f"weights.{name}": w for name, w in self.weights.items()}
        header = {
            "architecture": self.architecture.as_dict(),
            "vocabulary": FEATURIZERS[self.architecture.featurizer].vocabulary(),
            "standardize": describe_callable(self.standardize),
            "profile_transformer": encode(self.profile_transformer, arrays, "profile_transformer", strict),
            "profile_features": self.profile_features,
            "n_profile_columns": self.n_profile_columns,
        }
        return header, arrays

    def module(self) -> TwoTower:
        """Build the torch module with these weights."""
        with torch.device("meta"):  # random initial weights would cost time and torch's global random state
            module = TwoTower(self.architecture)
        module.load_state_dict(as_tensors(self.weights), assign=True)
        return module

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to ``path``.

        Raises
        ------
        TypeError
            When the profile transformer cannot be written without pickle.
        """
        model, arrays = self._pack(strict=True)
        record = {
            "versions": library_versions(),
            "parameters": self.parameters,
            "history": self.history,
            "n_iter": self.n_iter,
            "best_score": self.best_score,
            "molecule_keys": self.molecule_keys,
        }
        write_file(path, "model", {"model": model, "record": record}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], standardize: Any = "parent") -> PretrainedModel:
        """Read a model; ``standardize`` is needed again when it was a callable."""
        header, arrays = read_file(path, "model")
        model, record = header["model"], header["record"]
        architecture = Architecture.from_dict(model["architecture"])
        check_vocabulary(path, architecture, model["vocabulary"], record["versions"])
        return cls(
            architecture=architecture,
            weights={name.removeprefix("weights."): a for name, a in arrays.items() if name.startswith("weights.")},
            standardize=restore_standardize(path, model["standardize"], standardize),
            profile_transformer=decode(model["profile_transformer"], arrays),
            profile_features=model["profile_features"],
            n_profile_columns=model["n_profile_columns"],
            molecule_keys=record["molecule_keys"],
            history=record["history"],
            n_iter=record["n_iter"],
            best_score=record["best_score"],
            parameters=record["parameters"],
        )


def as_tensors(weights: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Copy arrays into torch's memory: the last bit of products hangs on alignment, and numpy's is left to chance."""
    return {name: torch.tensor(w) for name, w in weights.items()}


def check_vocabulary(path: Any, architecture: Architecture, vocabulary: Any, versions: Mapping[str, str]) -> None:
    """Raise ``ValueError`` unless this version featurises as the one that wrote the file at ``path``."""
    featurizer = FEATURIZERS.get(architecture.featurizer)
    if featurizer is None or featurizer.vocabulary() != vocabulary:
        raise ValueError(
            f"{str(path)!r} was written with another atom vocabulary ({vocabulary['name']!r}, "
            f"mocop_sklearn {versions['mocop_sklearn']}); this version cannot featurise for it."
        )


def restore_standardize(path: Any, stored: Any, given: Any) -> Any:
    """Undo ``describe_callable``: a function cannot be stored and must be ``given`` again."""
    if not isinstance(stored, dict):
        return stored
    if not callable(given):
        raise ValueError(f"{str(path)!r} was trained with standardize={stored['callable']}: pass that function again.")
    return given


def describe_callable(value: Any) -> Any:
    """Plain data for ``standardize``: itself, or the name of a function."""
    if not callable(value):
        return value
    # RDKit's functions have no __qualname__; an address would differ in the next process
    name = getattr(value, "__qualname__", getattr(value, "__name__", re.sub(r" at 0x\w+", "", repr(value))))
    return {"callable": f"{getattr(value, '__module__', '?')}.{name}"}


# ---------------------------------------------------------------------------------------------
# Fitted scikit-learn transformers as plain data: their attributes are numbers, strings and arrays.
# ---------------------------------------------------------------------------------------------


def encode(value: Any, arrays: dict[str, np.ndarray], name: str, strict: bool) -> Any:
    """Return ``value`` as JSON data; numeric arrays go into ``arrays`` under dotted names.

    What cannot be written is a ``TypeError``, or merely named unless ``strict``.
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, np.generic):
        return {"array": _store(np.asarray(value), arrays, name), "scalar": True}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        # the memory layout decides the order of sums in matrix products, and so their last bit
        layout = {"order": "F"} if value.flags.f_contiguous and not value.flags.c_contiguous else {}
        return {"array": _store(value, arrays, name)} | layout
    if isinstance(value, np.ndarray) and all(isinstance(item, str) for item in value.ravel()):
        return {"strings": value.ravel().tolist(), "shape": list(value.shape), "object": value.dtype == object}
    if isinstance(value, (list, tuple)):
        items = [encode(item, arrays, f"{name}.{i}", strict) for i, item in enumerate(value)]
        return {type(value).__name__: items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(item, arrays, f"{name}.{key}", strict) for key, item in value.items()}}
    path = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, BaseEstimator) and (path.startswith(_TRUSTED_PACKAGES) or not strict):
        state = {key: encode(item, arrays, f"{name}.{key}", strict) for key, item in vars(value).items()}
        return {"estimator": path, "state": state}
    if not strict:
        return {"callable": repr(describe_callable(value)) if callable(value) else path}
    raise TypeError(
        f"{name} is a {path}, which cannot be written to a model file without pickle. Use transformers of "
        "scikit-learn whose fitted attributes are numbers and arrays (scalers, imputers, PCA, QuantileTransformer, "
        "Pipelines of them), or transform the profiles before fit and pass profile_transformer=None."
    )


def _store(a: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> str:
    arrays[name] = a
    return name


def decode(data: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Undo ``encode``."""
    if not isinstance(data, dict):
        return data
    if "array" in data:
        array = np.asarray(arrays[data["array"]], order=data.get("order"))
        return array[()] if data.get("scalar") else array
    if "dtype" in data:
        return np.dtype(data["dtype"])
    if "strings" in data:
        return np.array(data["strings"], dtype=object if data["object"] else str).reshape(data["shape"])
    if "list" in data:
        return [decode(item, arrays) for item in data["list"]]
    if "tuple" in data:
        return tuple(decode(item, arrays) for item in data["tuple"])
    if "dict" in data:
        return {key: decode(item, arrays) for key, item in data["dict"].items()}
    module, _, name = data["estimator"].rpartition(".")
    if not data["estimator"].startswith(_TRUSTED_PACKAGES):
        raise ValueError(f"The model file names the class {data['estimator']}, which is not of scikit-learn.")
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except ImportError:
        cls = None
    if not (isinstance(cls, type) and issubclass(cls, BaseEstimator)):
        raise ValueError(f"The model file names {data['estimator']}, which this scikit-learn does not have.")
    estimator: Any = object.__new__(cls)
    vars(estimator).update({key: decode(item, arrays) for key, item in data["state"].items()})
    # parameters that are newer than the file have their defaults
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is not parameter.empty:
            vars(estimator).setdefault(parameter.name, parameter.default)
    return estimator
