"""Checks of model files before anything is built: types, bounds, shapes and finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import nn

from ..molecules._fields import FEATURIZERS
from ..nn._encoders import ENCODERS, PROFILE_ENCODERS
from ..nn._models import Architecture, TwoTower

_DEEPEST = 1000
_WIDEST = 1_000_000


@dataclass(frozen=True)
class Section:
    """A part of the header of the file at ``path``; its checks raise a ``ValueError`` that names the file."""

    path: Any
    data: Mapping[str, Any]

    def error(self, problem: str) -> ValueError:
        """Return the error for a problem, which is a clause."""
        return ValueError(f"{str(self.path)!r} does not hold a model of this package: {problem}.")

    def entry(self, name: str, *types: type) -> Any:
        """Return an entry of one of the types."""
        if name not in self.data:
            raise self.error(f"{name} is missing")
        value = self.data[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.error(f"{name} is {str(value)[:80]!r}")
        return value

    def section(self, name: str) -> Section:
        """Return an entry that is a mapping."""
        return Section(self.path, self.entry(name, dict))

    def number(self, name: str, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self.entry(name, int)
        if not least <= value <= most:
            raise self.error(f"{name} is {value}, but it must be from {least} to {most}")
        return int(value)

    def items(self, name: str, *types: type) -> list[Any]:
        """Return a list whose items are of some types."""
        items = self.entry(name, list)
        if not all(isinstance(item, types) for item in items):
            raise self.error(f"{name} holds other values than {' and '.join(t.__name__ for t in types)}")
        return items

    def component(self, name: str, known: tuple[Any, ...]) -> None:
        """Check an entry that is a known value, or the name of a function."""
        value = self.data.get(name, math.nan)
        is_function = isinstance(value, dict) and list(value) == ["callable"] and isinstance(value["callable"], str)
        if not is_function and (isinstance(value, (dict, list)) or value not in known):
            raise self.error(f"{name} is {str(value)[:80]!r}")


def check_header(path: Any, header: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless the header of a model has the right form."""
    model = Section(path, header).section("model")
    check_architecture(model.section("architecture"))
    model.section("vocabulary")
    model.entry("side", dict, type(None))
    if "local_scaling" in model.data:
        model.entry("local_scaling", dict)
    if "profile_transformer" not in model.data:
        raise model.error("profile_transformer is missing")
    model.component("standardize", ("parent", None))
    n_columns = model.number("n_profile_columns", 0, 10 * _WIDEST)
    if model.entry("profile_features", list, type(None)) is not None:
        features = model.items("profile_features", str)
        if len(set(features)) < len(features) or len(features) != n_columns:
            raise model.error(f"profile_features does not hold {n_columns} different names")
    check_record(Section(path, header).section("record"))


def check_architecture(section: Section) -> None:
    """Raise ``ValueError`` unless the section describes a network of a size that can be built."""
    expected = {field.name for field in fields(Architecture)}
    if set(section.data) != expected:
        raise section.error(f"the architecture has the entries {sorted(section.data)}")
    section.component("featurizer", tuple(FEATURIZERS))
    section.component("encoder", tuple(ENCODERS))
    section.component("profile_encoder", tuple(PROFILE_ENCODERS))
    section.number("n_layers", 1, _DEEPEST)
    for name in ("hidden_dim", "embedding_dim"):
        section.number(name, 1, _WIDEST)
    n_features = section.number("n_profile_features", 0, _WIDEST)
    section.number("n_structure_targets", 0, _WIDEST)
    dims = section.items("profile_dims", int)
    if len(dims) > _DEEPEST or not all(1 <= d <= _WIDEST for d in dims):
        raise section.error(f"profile_dims is {str(dims)[:80]}")
    needs_dims = section.data["profile_encoder"] == "mlp"
    if (not section.number("projection_dim", 0, _WIDEST) and n_features) or (n_features and needs_dims and not dims):
        raise section.error("a model with profiles needs profile_dims and projection_dim")
    if not 0 <= section.entry("dropout", int, float) < 1:
        raise section.error(f"dropout is {section.data['dropout']}")


def check_record(record: Section) -> None:
    """Raise ``ValueError`` unless the record of a training has the right form."""
    versions = record.section("versions")
    for name in versions.data:
        versions.entry(name, str)
    record.section("parameters")
    for row in record.items("history", dict):
        for name in row:
            Section(record.path, row).entry(name, int, float)
    record.number("n_iter", 0, 2**31)
    record.entry("best_score", int, float)
    record.items("molecule_keys", str)
    record.items("structure_keys", str)
    record.section("provenance")


def check_seen(fitted: Section) -> None:
    """Raise ``ValueError`` unless a fine-tuned estimator's keys of molecules have the right form."""
    fitted.entry("molecule_keys_", np.ndarray)
    if "_structure_hashes" in fitted.data:
        hashes = fitted.entry("_structure_hashes", np.ndarray)
        if hashes.dtype != np.uint64 or hashes.ndim != 1:
            raise fitted.error(f"the keys of structures are {hashes.dtype} of shape {hashes.shape}")


def check_vocabulary(path: Any, architecture: Architecture, vocabulary: Any, versions: Mapping[str, str]) -> None:
    """Raise ``ValueError`` unless this version featurises as the one that wrote the file at ``path``."""
    if architecture.resolved_featurizer.vocabulary() != vocabulary:
        raise ValueError(
            f"{str(path)!r} was written with another atom vocabulary ({vocabulary.get('name')!r}, "
            f"mocop_sklearn {versions.get('mocop_sklearn')}); this version cannot featurise for it."
        )


def check_weights(path: Any, architecture: Architecture, networks: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Raise ``ValueError`` unless the weights are those of the architecture, in single precision and finite."""
    n_numbers = sum(a.size for a in networks[0].values())
    widths = [architecture.hidden_dim, architecture.embedding_dim, architecture.projection_dim]
    inputs = architecture.n_profile_features, architecture.n_structure_targets
    if max(*widths, *architecture.profile_dims, *inputs) > n_numbers:
        raise ValueError(f"{str(path)!r} describes a larger network than it has weights for.")
    with architecture.without_initial_weights():
        module = TwoTower(architecture)
    for weights in networks:
        check_arrays(path, weights, module)


def check_arrays(path: Any, weights: Mapping[str, Any], module: nn.Module) -> None:
    """Raise ``ValueError`` unless there are finite arrays of the names, shapes and types of a module's weights."""
    expected = {name: _kind(w.detach()) for name, w in module.state_dict().items()}
    found = {name: _kind(a) for name, a in weights.items()}
    if found != expected:
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))[0]
        raise ValueError(
            f"{str(path)!r} does not hold the weights of its network: {wrong!r} is {found.get(wrong, 'missing')}, but "
            f"{expected.get(wrong, 'nothing')} is needed."
        )
    for name, a in weights.items():
        if not np.isfinite(a).all():
            raise ValueError(f"{str(path)!r} holds weights that are not finite numbers: {name!r}.")


def _kind(a: Any) -> str:
    """Describe the shape and the type of an array or tensor."""
    return f"{str(a.dtype).removeprefix('torch.')} {tuple(a.shape)}" if hasattr(a, "dtype") else type(a).__name__


def check_transformer(path: Any, transformer: Any, center: np.ndarray, n_features: int) -> None:
    """Raise ``ValueError`` unless the transformer maps a profile to as many finite numbers as the network takes.

    The profile that is tried is the median of training, because not every transformer takes any number.
    """
    if not n_features:
        return
    try:
        profile = np.where(np.isfinite(center), center, 0).astype(np.float32)
        scaled = np.asarray(transformer.transform(np.stack([profile, profile])))  # SparsePCA makes a vector of one row
    except Exception as error:
        raise ValueError(f"{str(path)!r} holds a profile transformer that cannot be used: {error}") from error
    if scaled.shape != (2, n_features) or not np.isfinite(scaled.astype(float)).all():
        raise ValueError(
            f"{str(path)!r} holds a profile transformer that returns the shape {scaled.shape} for two profiles, or "
            f"numbers that are not finite; the network takes {n_features} features."
        )


def check_local_scaling(path: Any, scaling: Any, n_columns: int) -> None:
    """Raise ``ValueError`` unless what corrects for hubs takes vectors of the shared space."""
    if scaling is None:
        return
    try:
        scaling.check()
        vectors = scaling.scale_molecules(np.zeros((1, n_columns))), scaling.scale_profiles(np.zeros((1, n_columns)))
    except Exception as error:
        raise ValueError(f"{str(path)!r} holds a local scaling that cannot be used: {error}") from error
    if not np.isfinite(vectors).all():
        raise ValueError(f"{str(path)!r} holds a local scaling whose reference vectors are not finite.")


def check_side(path: Any, side: Any, n_features: int) -> None:
    """Raise ``ValueError`` unless what stands beside the network maps a molecule to as many finite numbers."""
    if side is None:
        return
    try:
        side.check()
        molecules, profiles = side.project_molecules(["CCO"]), side.project_profiles(np.zeros((1, n_features)))
    except Exception as error:
        raise ValueError(f"{str(path)!r} holds a side tower that cannot be used: {error}") from error
    for vectors in (molecules, profiles):
        if vectors.shape != (1, n_features) or not np.isfinite(vectors).all():
            raise ValueError(
                f"{str(path)!r} holds a side tower that returns the shape {vectors.shape} for one row, or numbers that "
                f"are not finite; the profiles have {n_features} features."
            )
