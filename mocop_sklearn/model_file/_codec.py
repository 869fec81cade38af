"""Fitted scikit-learn transformers as plain data: their attributes are numbers, strings and arrays."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..utils._names import described, public_path

_PACKAGES = {
    "sklearn.compose": ("ColumnTransformer",),
    "sklearn.decomposition": ("PCA", "TruncatedSVD", "IncrementalPCA", "FastICA", "FactorAnalysis", "SparsePCA"),
    "sklearn.feature_selection": ("VarianceThreshold",),
    "sklearn.impute": ("SimpleImputer", "MissingIndicator"),
    "sklearn.pipeline": ("Pipeline", "FeatureUnion"),
    "sklearn.preprocessing": (
        "FunctionTransformer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    ),
    "sklearn.random_projection": ("GaussianRandomProjection",),
    "mocop_sklearn.inspection": ("ApplicabilityDomain",),
    "mocop_sklearn.model_file": ("LocalScaling", "SideTower"),
    "mocop_sklearn.molecules": (
        "AtomPairCounts",
        "BlockScaler",
        "MiniMol",
        "MoleculeDescriptors",
        "MorganCounts",
        "TorsionCounts",
    ),
    "mocop_sklearn.profiles": ("ProfileFilter", "ProfileScaler"),
}
# Parameters of transformers that say where something is computed, and change no number.
_OF_THE_MACHINE = ("memory", "n_jobs")
_PLAIN = (bool, int, float, str, type(None))
# A file can name only these classes, and only their modules are imported.
ALLOWED = frozenset(f"{package}.{name}" for package, names in _PACKAGES.items() for name in names)


class Encoder:
    """Turns values into JSON data; numeric arrays go into ``arrays`` under dotted names.

    Parameters
    ----------
    strict : bool
        Whether a value that cannot be read back raises ``TypeError``. Otherwise its name is recorded, as for a digest.
    """

    def __init__(self, strict: bool):
        self.strict = strict
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return ``value`` as JSON data; ``name`` stands for it in arrays and errors."""
        return _encode(value, self, name)

    def store(self, a: np.ndarray, name: str) -> str:
        """Keep an array and return the name under which it is kept."""
        self.arrays[name] = a
        return name


@singledispatch
def _encode(value: Any, to: Encoder, name: str) -> Any:
    """Encode by type. This function handles values of all other types."""
    if not to.strict:
        return {"callable": described(value)} if callable(value) else public_path(type(value))
    raise TypeError(
        f"{name} is a {public_path(type(value))}, which cannot be written to a model file without pickle. Use these "
        f"transformers, or Pipelines of them: {', '.join(sorted(ALLOWED))}. Or transform the profiles before fit."
    )


@_encode.register(type(None))
@_encode.register(bool)
@_encode.register(int)
@_encode.register(float)
@_encode.register(str)
def _(value: Any, to: Encoder, name: str) -> Any:
    return value


@_encode.register(np.generic)
def _(value: Any, to: Encoder, name: str) -> Any:
    return {"array": to.store(np.asarray(value), name), "scalar": True}


@_encode.register(np.dtype)
def _(value: Any, to: Encoder, name: str) -> Any:
    return {"dtype": value.str}


@_encode.register(np.ndarray)
def _(value: Any, to: Encoder, name: str) -> Any:
    if value.dtype.kind in "biuf":
        # the memory layout decides the order of sums in matrix products, and so their last bit
        layout = {"order": "F"} if value.flags.f_contiguous and not value.flags.c_contiguous else {}
        return {"array": to.store(value, name)} | layout
    if all(isinstance(item, str) for item in value.ravel()):
        return {"strings": value.ravel().tolist(), "shape": list(value.shape), "object": value.dtype == object}
    if all(isinstance(item, _PLAIN) for item in value.ravel().tolist()):
        return {"objects": value.ravel().tolist(), "shape": list(value.shape)}
    return _encode.dispatch(object)(value, to, name)


@_encode.register(slice)
def _(value: Any, to: Encoder, name: str) -> Any:
    if not all(isinstance(part, (int, type(None))) for part in (value.start, value.stop, value.step)):
        return _encode.dispatch(object)(value, to, name)
    return {"slice": [value.start, value.stop, value.step]}


@_encode.register(list)
@_encode.register(tuple)
def _(value: Any, to: Encoder, name: str) -> Any:
    return {type(value).__name__: [to.encode(item, f"{name}.{i}") for i, item in enumerate(value)]}


@_encode.register(dict)
def _(value: Any, to: Encoder, name: str) -> Any:
    if not all(isinstance(key, str) for key in value):
        return _encode.dispatch(object)(value, to, name)
    return {"dict": {key: to.encode(item, f"{name}.{key}") for key, item in value.items()}}


@_encode.register(BaseEstimator)
def _(value: Any, to: Encoder, name: str) -> Any:
    path = public_path(type(value))
    if path not in ALLOWED and to.strict:
        return _encode.dispatch(object)(value, to, name)
    state = {
        key: to.encode(None if key in _OF_THE_MACHINE else item, f"{name}.{key}") for key, item in vars(value).items()
    }
    return {"estimator": path, "state": state}


# ---------------------------------------------------------------------------------------------
# Decoding
# ---------------------------------------------------------------------------------------------


class DamagedValue(ValueError):
    """A value in a file does not have the form of something that was encoded, or names what is not allowed."""


def decode(data: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Undo ``Encoder.encode``.

    Raises
    ------
    DamagedValue
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    reader = next((_DECODERS[key] for key in _DECODERS if isinstance(data, dict) and key in data), None)
    if reader is None:
        raise DamagedValue(f"The model file holds {str(data)[:80]!r} where a value of a transformer is expected.")
    try:
        return reader(data, arrays)
    except DamagedValue:
        raise
    except (KeyError, TypeError, AttributeError, OverflowError, ValueError) as error:
        raise DamagedValue(f"The model file holds a damaged value of a transformer: {error!r}.") from error


def _array(data: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    array = np.asarray(arrays[data["array"]], order="F" if data.get("order") == "F" else None)
    return array[()] if data.get("scalar") else array


def _strings(data: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if not all(isinstance(item, str) for item in data["strings"]):
        raise DamagedValue("The model file holds a list of strings with other values in it.")
    return np.array(data["strings"], dtype=object if data["object"] else str).reshape(data["shape"])


def _objects(data: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if not all(isinstance(item, _PLAIN) for item in data["objects"]):
        raise DamagedValue("The model file holds an array of objects with other values than plain ones in it.")
    array = np.empty(len(data["objects"]), dtype=object)
    array[:] = data["objects"]
    return array.reshape(data["shape"])


def _slice(data: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> slice:
    start, stop, step = data["slice"]
    if not all(isinstance(part, (int, type(None))) for part in (start, stop, step)):
        raise DamagedValue("The model file holds a slice that is not made of integers.")
    return slice(start, stop, step)


def _estimator(data: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    path = data["estimator"]
    if path not in ALLOWED:
        raise DamagedValue(
            f"The model file names the class {path}, which is not among the transformers of scikit-learn and of this "
            "package that a file may hold."
        )
    module, _, name = path.rpartition(".")
    cls = getattr(importlib.import_module(module), name, None)
    if cls is None:
        raise DamagedValue(f"The model file names {path}, which this scikit-learn does not have.")
    estimator = object.__new__(cls)
    parameters = inspect.signature(cls).parameters
    for key, item in data["state"].items():
        if not _is_state(cls, key, parameters):
            raise DamagedValue(f"The model file sets {key!r} of {path}, which is not an attribute of its state.")
        vars(estimator)[key] = decode(item, arrays)
    # parameters that were added after the file was written take their defaults
    for parameter in parameters.values():
        if parameter.default is not parameter.empty:
            vars(estimator).setdefault(parameter.name, parameter.default)
    return estimator


def _is_state(cls: type, key: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an attribute is a parameter or a fitted value, and not a method."""
    if key in parameters:
        return True
    is_fitted = key.isidentifier() and not key.startswith("__") and (key.endswith("_") or key.startswith("_"))
    return is_fitted and not hasattr(cls, key)


_DECODERS: dict[str, Callable[[dict[str, Any], Mapping[str, np.ndarray]], Any]] = {
    "array": _array,
    "dtype": lambda data, arrays: np.dtype(data["dtype"]),
    "strings": _strings,
    "objects": _objects,
    "slice": _slice,
    "list": lambda data, arrays: [decode(item, arrays) for item in data["list"]],
    "tuple": lambda data, arrays: tuple(decode(item, arrays) for item in data["tuple"]),
    "dict": lambda data, arrays: {key: decode(item, arrays) for key, item in data["dict"].items()},
    "estimator": _estimator,
}
