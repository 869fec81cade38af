"""``PretrainedModel``: a trained model in memory, and how it is loaded, checked and saved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from ..molecules._fields import Featurizer
from ..nn._models import Architecture, TwoTower, TwoTowers
from ..utils._names import describe_callable, plain_repr
from ._codec import Encoder, decode
from ._compact import (
    KEYS,
    hashed_key,
    kept_parts,
    keys_of_integers,
    networks_of,
    numbered,
    pack_keys,
    packed,
    rounded,
    unpack_keys,
    unpacked,
)
from ._format import FINE_TUNED, MODEL, content_digest, library_versions, read_file, write_or_save_elsewhere
from ._local_scaling import N_COLUMNS, LocalScaling
from ._schema import (
    Section,
    check_architecture,
    check_header,
    check_local_scaling,
    check_seen,
    check_side,
    check_transformer,
    check_vocabulary,
    check_weights,
)
from ._shipped import path_of, source_of
from ._side import SideTower
from ._statistics import FOREIGN, foreign_share, restore_statistics
from ._structure import StructureTargets

# Parameters that a model without a profile network does not determine.
_OF_PROFILES = ("projection_dim", "profile_encoder", "profile_dims", "dropout")
_OTHER_PROFILES = (
    "To train its molecule encoder on profiles of another kind, pass pretrained=embedder.model_.without_profiles()."
)


@dataclass
class PretrainedModel:
    """A trained two-tower model with everything needed to embed molecules and profiles.

    Attributes
    ----------
    architecture : Architecture
    weights : dict of ndarray
        Of the first network by their names in it; those of the second have the prefix "1.", and so on.
    standardize : {"parent", None} or callable
    profile_transformer : fitted scikit-learn transformer
    profile_features : list of str or None
        Column names, when the profiles had some.
    n_profile_columns : int
        Width of a profile before the transformer.
    molecule_keys : list of str
        Sorted connectivity keys of all molecules with a profile that took part in training or validation, or hashes of
        them: "#" and 16 digits.
    history : list of dict
    n_iter : int
        Epochs run.
    best_score : float
        Validation score of the kept weights; NaN without validation.
    parameters : dict
        Parameters of the estimator that made it, as plain data.
    provenance : dict
        Where the profiles come from and how they were normalised, as plain data.
    profile_statistics : dict of ndarray
        ``center`` and ``spread`` of each column of the training profiles, before the transformer: the median and the
        interquartile range. Empty in a model without profiles.
    structure_keys : list of str
        Sorted connectivity keys of the molecules that took part in training without a profile.
    structure_targets : StructureTargets or None
        What was regressed from structures.
    side : SideTower or None
        What stands beside the network in the shared space.
    local_scaling : LocalScaling or None
        What corrects the cosines in the shared space for hubs.
    source : str
        What it was loaded from: the name of a file or of a model that comes with the package, or the address of a
        commit on the Hugging Face Hub. Empty if it was trained in this process; files do not hold it.
    digest : str
        SHA-256 of everything that determines an embedding. Models that embed alike have equal digests.
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
    provenance: dict[str, Any] = field(default_factory=dict)
    profile_statistics: dict[str, np.ndarray] = field(default_factory=dict)
    structure_keys: list[str] = field(default_factory=list)
    structure_targets: StructureTargets | None = None
    side: SideTower | None = None
    local_scaling: LocalScaling | None = None
    source: str = ""
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.digest = content_digest(*self._pack(strict=False))

    def _pack(self, strict: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all that decides an embedding, as plain data and arrays."""
        encoder = Encoder(strict)
        header = {
            "architecture": self.architecture.as_dict(),
            "vocabulary": self.architecture.resolved_featurizer.vocabulary(),
            "standardize": describe_callable(self.standardize),
            "profile_transformer": encoder.encode(self.profile_transformer, "profile_transformer"),
            "profile_features": self.profile_features,
            "n_profile_columns": self.n_profile_columns,
            "side": encoder.encode(self.side, "side"),
        }
        if self.local_scaling is not None:  # older models keep their digests
            header["local_scaling"] = encoder.encode(self.local_scaling, "local_scaling")
        return header, encoder.arrays | {f"weights.{name}": w for name, w in self.weights.items()}

    def module(self) -> TwoTower | TwoTowers:
        """Build the torch module with these weights."""
        members = []
        for weights in networks_of(self.weights):
            with self.architecture.without_initial_weights():
                member = TwoTower(self.architecture)
            member.load_state_dict(as_tensors(weights), assign=True)
            members.append(member)
        return members[0] if len(members) == 1 else TwoTowers(members)

    @property
    def n_networks(self) -> int:
        """Number of networks whose vectors stand side by side."""
        return len(networks_of(self.weights))

    def network_weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return the weights of one network, counted around when there are fewer."""
        networks = networks_of(self.weights)
        return as_tensors(networks[member % len(networks)])

    def encoder_weights(self, member: int = 0) -> dict[str, torch.Tensor]:
        """Return the weights of the molecule encoder of one network, by their names within it."""
        prefix = "molecule_encoder."
        weights = self.network_weights(member).items()
        return {name.removeprefix(prefix): w for name, w in weights if name.startswith(prefix)}

    def profile_columns(self, n_columns: int, names: list[str] | None, what: str) -> list[int] | None:
        """Return the positions of the columns the model was fitted on, in its order; None to take all as they are.

        Parameters
        ----------
        n_columns : int
            Number of columns of the matrix.
        names : list of str or None
            Names of its columns.
        what : str
            Name of the matrix in error messages.

        Raises
        ------
        ValueError
            When columns are missing, which the message names, or when the widths differ and there are no names.
        """
        if names is not None and self.profile_features is not None:
            position = {name: i for i, name in enumerate(names)}
            missing = [name for name in self.profile_features if name not in position]
            if missing:
                raise ValueError(
                    f"{what} lacks {len(missing)} of the {self.n_profile_columns} columns the model was fitted on: "
                    f"{missing[:10]}. {_OTHER_PROFILES}"
                )
            order = [position[name] for name in self.profile_features]
            return None if order == list(range(n_columns)) else order
        if n_columns != self.n_profile_columns:
            raise ValueError(
                f"{what} has {n_columns} features, but the model was fitted on profiles with "
                f"{self.n_profile_columns} features. {_OTHER_PROFILES}"
            )
        return None

    def check_kind_of_profiles(self, profiles: np.ndarray) -> None:
        """Warn when profiles look unlike the training profiles, for instance raw instead of normalised."""
        share = foreign_share(profiles, self.profile_statistics)
        if share > FOREIGN:
            known = self.provenance.get("normalization")
            how = known.get("method") if isinstance(known, dict) else "unknown"
            warnings.warn(
                f"{share:.0%} of the features of these profiles lie far outside of what the model was trained on "
                f"(normalisation of the training profiles: {how}). Were they normalised in the same way? "
                "build_pairs and ProfileNormalizer scale raw wells on the controls of their plates.",
                UserWarning,
                stacklevel=4,
            )

    def require_transformer(self, transformer: Any) -> None:
        """Raise ``ValueError`` unless the profiles of this model were transformed by one with the same parameters."""
        mine, theirs = plain_repr(transformer), plain_repr(self.profile_transformer)
        if self.architecture.has_profile_network and mine != theirs:
            raise ValueError(
                f"profile_transformer={mine} contradicts the pretrained model, which has {theirs}. Leave "
                f"profile_transformer at None, or pretrain anew. {_OTHER_PROFILES}"
            )

    @property
    def n_shared(self) -> int:
        """Width of the shared space: that of the networks, of what stands beside them, and of local scaling."""
        of_scaling = 0 if self.local_scaling is None else N_COLUMNS
        return _width(self.n_networks, self.architecture, self.side) + of_scaling

    def require_profile_network(self) -> None:
        """Raise ``ValueError`` when the model cannot embed profiles."""
        if not self.architecture.has_profile_network:
            raise ValueError(
                "This model was trained on labels or on structures and has no profile network, so there is no shared "
                'space: only transform with output="encoder" is possible. For the rest, fit an embedder on profiles, '
                "with this model as pretrained."
            )

    def without_profiles(self) -> PretrainedModel:
        """Return the molecule encoder, and what regresses structures, as a start for profiles of another kind.

        What transforms and embeds profiles, the shared space, and what belongs to it stay behind. The
        molecules that were seen with a profile stay known.
        """
        architecture = self.architecture.of_structures()
        return replace(
            self,
            architecture=architecture,
            weights=numbered([kept_parts(own, architecture) for own in networks_of(self.weights)]),
            profile_transformer=None,
            profile_features=None,
            n_profile_columns=0,
            profile_statistics={},
            side=None,
            local_scaling=None,
        )

    def compact(self) -> PretrainedModel:
        """Return the model with weights rounded to half precision and hashed keys, so that both take half the space.

        Its embeddings are close to those of this model, but it is another model with a digest of its own. What stands
        beside the network, and local scaling, stay as they are.

        Raises
        ------
        ValueError
            When a weight is beyond the range of half precision.
        """
        return replace(
            self,
            weights=rounded(self.weights),
            molecule_keys=sorted(map(hashed_key, self.molecule_keys)),
            structure_keys=sorted(map(hashed_key, self.structure_keys)),
            source="",
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to ``path``.

        Raises
        ------
        TypeError
            When the profile transformer cannot be written without pickle.
        OSError
            When the file cannot be written.
        """
        model, arrays = self._pack(strict=True)
        record = {
            "versions": library_versions(),
            "parameters": self.parameters,
            "history": self.history,
            "n_iter": self.n_iter,
            "best_score": self.best_score,
            "molecule_keys": self.molecule_keys,
            "structure_keys": self.structure_keys,
            "structure_targets": self.structure_targets and self.structure_targets.as_dict(),
            "provenance": self.provenance,
        }
        arrays |= {f"weights.{name}": w for name, w in packed(self.weights).items()}
        arrays |= {f"statistics.{name}": a for name, a in self.profile_statistics.items()} | pack_keys(record)
        write_or_save_elsewhere(path, MODEL, {"model": model, "record": record}, arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], standardize: Any = "parent", components: Mapping[str, Any] | None = None
    ) -> PretrainedModel:
        """Read a model; of the file of a classifier or a regressor, the encoder of its first network.

        Parameters
        ----------
        path : str or Path
        standardize : callable, optional
            Must be given again if it was a function.
        components : mapping of str to callable, optional
            ``encoder``, ``profile_encoder`` and ``featurizer``, which must be given again if they were not names.

        Raises
        ------
        FileNotFoundError, ValueError
            When the file is missing, damaged, of another kind, or needs a function that was not given.
        """
        header, arrays = read_file(path, MODEL, FINE_TUNED)
        if header["kind"] == FINE_TUNED:
            return _encoder_of(path, header, arrays, standardize, components or {})
        check_header(path, header)
        keys = {name: unpack_keys(name, header["record"], arrays) for name in KEYS}
        arrays = unpacked(arrays)
        model, record = header["model"], header["record"]
        architecture = restore_architecture(path, model["architecture"], components or {})
        check_vocabulary(path, architecture, model["vocabulary"], record["versions"])
        weights = {name.removeprefix("weights."): a for name, a in arrays.items() if name.startswith("weights.")}
        check_weights(path, architecture, networks_of(weights))
        transformer = decode(model["profile_transformer"], arrays)
        statistics = restore_statistics(path, arrays, model["n_profile_columns"])
        center = statistics.get("center", np.zeros(model["n_profile_columns"]))
        check_transformer(path, transformer, center, architecture.n_profile_features)
        side = decode(model["side"], arrays)
        check_side(path, side, architecture.n_profile_features)
        scaling = decode(model["local_scaling"], arrays) if "local_scaling" in model else None
        check_local_scaling(path, scaling, _width(len(networks_of(weights)), architecture, side))
        return cls(
            architecture=architecture,
            weights=weights,
            side=side,
            local_scaling=scaling,
            standardize=restore_callable(path, "standardize", model["standardize"], standardize),
            profile_transformer=transformer,
            profile_features=model["profile_features"],
            n_profile_columns=model["n_profile_columns"],
            molecule_keys=keys["molecule_keys"],
            structure_keys=keys["structure_keys"],
            structure_targets=StructureTargets.from_section(Section(path, record)),
            history=record["history"],
            n_iter=record["n_iter"],
            best_score=record["best_score"],
            parameters=record["parameters"],
            provenance=record["provenance"],
            profile_statistics=statistics,
        )


def _width(n_networks: int, architecture: Architecture, side: SideTower | None) -> int:
    """Width of the shared space before local scaling."""
    return n_networks * architecture.projection_dim + (architecture.n_profile_features if side else 0)


def encoder_alone(architecture: Architecture, standardize: Any, fitted: Mapping[str, Any]) -> PretrainedModel:
    """Return the encoder of the first network of a fine-tuned estimator.

    Parameters
    ----------
    architecture : Architecture
    standardize : {"parent", None} or callable
    fitted : mapping
        Attributes of the estimator: ``weights_``, ``molecule_keys_``, ``history_``, ``n_iter_`` and ``best_score_``,
        and ``_structure_hashes``, which files did not always have.
    """
    prefix = "molecule_encoder."
    return PretrainedModel(
        architecture=architecture.without_profile_network(),
        weights={name: w for name, w in fitted["weights_"][0].items() if name.startswith(prefix)},
        standardize=standardize,
        profile_transformer=None,
        profile_features=None,
        n_profile_columns=0,
        molecule_keys=list(map(str, fitted["molecule_keys_"])),
        history=[{name: v for name, v in row.items() if name != "estimator"} for row in fitted["history_"]],
        n_iter=fitted["n_iter_"],
        best_score=fitted["best_score_"],
        structure_keys=keys_of_integers(fitted.get("_structure_hashes", np.empty(0, dtype=np.uint64))),
    )


def _encoder_of(
    path: Any, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], standardize: Any, components: Any
) -> PretrainedModel:
    """Encoder in the file of a fine-tuned estimator, whose header and arrays were read."""
    section = Section(path, header)
    check_architecture(section.section("architecture"))
    section.component("standardize", ("parent", None))
    architecture = restore_architecture(path, header["architecture"], components)
    check_vocabulary(path, architecture, section.section("vocabulary").data, section.section("versions").data)
    fitted = Section(path, decode(section.section("fitted").data, arrays))
    if not fitted.items("weights_", dict):
        raise fitted.error("it has no networks")
    fitted.items("history_", dict)
    fitted.number("n_iter_", 0, 2**31)
    fitted.entry("best_score_", int, float)
    check_seen(fitted)
    standardize = restore_callable(path, "standardize", header["standardize"], standardize)
    model = encoder_alone(architecture, standardize, fitted.data)
    check_weights(path, model.architecture, [model.weights])
    return model


def load_pretrained(
    what: Any,
    *,
    standardize: Any = "parent",
    components: Mapping[str, Any] | None = None,
    expected: Mapping[str, Any] | None = None,
) -> PretrainedModel | None:
    """Return the model that an estimator starts from.

    Parameters
    ----------
    what : None, PretrainedModel, fitted estimator of this package, str or Path
        A str is the name of a model that comes with the package, an address on the Hugging Face Hub
        (``"hf://owner/name@revision"``), or a path, also of a fine-tuned estimator's file.
    standardize : {"parent", None} or callable
        Needed again by a file whose model was trained with a function.
    components : mapping of str to callable, optional
        As in ``PretrainedModel.load``.
    expected : mapping, optional
        Parameters that were set explicitly: they must be those of the model.

    Raises
    ------
    FileNotFoundError, ValueError
        When the model does not exist, the file cannot be read, or a parameter contradicts the model.
    ImportError, ConnectionError
        For an address on the hub: without huggingface_hub, of the extra ``hub``, or without a connection.
    """
    if what is None or isinstance(what, PretrainedModel):
        model = what
    elif isinstance(what, BaseEstimator):
        model = getattr(getattr(what, "estimator", what), "model_", None)
        if not isinstance(model, PretrainedModel):
            raise ValueError(
                f"pretrained={what!r} is not a fitted estimator of this package. scikit-learn's clone, which "
                "pipelines and searches use, returns it unfitted: pass its model_, a model file, or "
                "FrozenEstimator(embedder)."
            )
    else:
        path = path_of(what)
        model = PretrainedModel.load(path, standardize, components)
        model.source = source_of(what, path)
    if model is not None:
        _check_expected(model, expected or {})
    return model


def _check_expected(model: PretrainedModel, expected: Mapping[str, Any]) -> None:
    stored = model.architecture.as_dict() | {"standardize": describe_callable(model.standardize)}
    for name, value in expected.items():
        if name in _OF_PROFILES and not model.architecture.has_profile_network:
            continue
        mine = list(value) if isinstance(value, tuple) else describe_callable(value)
        if isinstance(value, Featurizer):
            mine = {"callable": value.name}
        if mine != stored[name]:
            raise ValueError(
                f"{name}={_shown(mine)} contradicts the pretrained model, which has {_shown(stored[name])}. Leave "
                f"{name} at its default, or pretrain anew."
            )


def _shown(value: Any) -> str:
    return value["callable"] if isinstance(value, dict) else repr(value)


def as_tensors(weights: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Copy arrays into torch's memory: the last bit of products depends on alignment, which numpy does not fix."""
    return {name: torch.tensor(w) for name, w in weights.items()}


def restore_architecture(path: Any, stored: Mapping[str, Any], components: Mapping[str, Any]) -> Architecture:
    """Undo ``Architecture.as_dict``: a factory cannot be stored and must be given again."""
    names = ("featurizer", "encoder", "profile_encoder")
    given = {name: restore_callable(path, name, stored[name], components.get(name)) for name in names}
    return Architecture.from_dict(dict(stored), **given)


def restore_callable(path: Any, parameter: str, stored: Any, given: Any) -> Any:
    """Undo ``describe_callable``: a function cannot be stored and must be ``given`` again."""
    if not isinstance(stored, dict):
        return stored
    if given is None or isinstance(given, str):
        raise ValueError(
            f"{str(path)!r} was trained with {parameter}={stored['callable']}: pass that again as {parameter}."
        )
    return given
