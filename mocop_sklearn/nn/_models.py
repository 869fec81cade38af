"""The networks that are trained: two towers for contrastive pretraining, and the network that predicts labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..molecules._featurize import featurize
from ..molecules._fields import Featurizer, resolve_featurizer
from ..molecules._graphs import GraphBatch
from ..utils._names import describe_callable
from ..utils._random import torch_seed
from ._encoders import ENCODERS, PROFILE_ENCODERS, ProjectionHead, built_component
from ._layers import Dropout

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the shape of a model.

    Attributes
    ----------
    featurizer : str or Featurizer
    n_layers, hidden_dim : int
        Of an encoder with a name.
    embedding_dim : int
        Width of the molecular representation.
    dropout : float
        In an encoder with a name, in the profile encoder "mlp", and before a prediction.
    encoder, profile_encoder : str or callable
        A name, or a factory.
    projection_dim : int
        Width of the shared space.
    profile_dims : tuple of int
        Widths of the profile encoder "mlp".
    n_profile_features : int
        Width of a transformed profile; 0 for a model without a profile network.
    n_structure_targets : int
        Numbers that are regressed from the molecule alone; 0 without a structure objective.
    """

    featurizer: Any
    n_layers: int
    hidden_dim: int
    embedding_dim: int
    dropout: float
    encoder: Any = "ggnn"
    profile_encoder: Any = "mlp"
    profile_dims: tuple[int, ...] = ()
    projection_dim: int = 0
    n_profile_features: int = 0
    n_structure_targets: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as written into model files; a factory is recorded by name."""
        values = {field.name: describe_callable(getattr(self, field.name)) for field in fields(self)}
        if isinstance(self.featurizer, Featurizer):
            values["featurizer"] = {"callable": self.featurizer.name}
        return {**values, "profile_dims": list(self.profile_dims)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **components: Any) -> Architecture:
        """Undo ``as_dict``; ``components`` takes the place of what was recorded by name."""
        return cls(**{**data, "profile_dims": tuple(data["profile_dims"]), **components})

    @property
    def resolved_featurizer(self) -> Featurizer:
        """The featuriser itself, also where it has a name."""
        return resolve_featurizer(self.featurizer)

    @property
    def has_profile_network(self) -> bool:
        """Whether the model can embed profiles."""
        return self.n_profile_features > 0

    def completed(self) -> Architecture:
        """Return the architecture with the ``embedding_dim`` of a factory's encoder, which is tried on two molecules.

        Raises
        ------
        TypeError, ValueError
            When the factory does not make an encoder.
        """
        if not callable(self.encoder):
            return self
        # not under the lock of torch_seed: joblib may wait for a cluster whose workers wait for that lock
        graph = featurize(["CCO", "C"], self.featurizer).graphs.collate()
        with torch_seed(_CPU), torch.no_grad():
            encoder = self.build_encoder().eval()
            shape = tuple(encoder(graph).shape)
        if shape != (2, encoder.out_features):
            raise ValueError(
                f"{type(encoder).__name__}, from encoder, must map 2 molecules to an array of shape "
                f"(2, {encoder.out_features}), as its out_features says, but it returned the shape {shape}."
            )
        return replace(self, embedding_dim=int(encoder.out_features))

    def without_profile_network(self) -> Architecture:
        """Return the architecture of the molecule encoder alone."""
        absent = {"projection_dim": 0, "n_profile_features": 0, "n_structure_targets": 0}
        return replace(self, profile_encoder="mlp", profile_dims=(), **absent)

    def of_structures(self) -> Architecture:
        """Return the architecture of the molecule encoder and what regresses structure targets."""
        return replace(self.without_profile_network(), n_structure_targets=self.n_structure_targets)

    def build_encoder(self) -> Any:
        """Return the molecule encoder with random weights."""
        featurizer = self.resolved_featurizer
        widths = featurizer.n_atom_features, featurizer.n_bond_features
        if callable(self.encoder):
            return built_component(self.encoder, "encoder", *widths)
        sizes = {name: getattr(self, name) for name in ("n_layers", "hidden_dim", "embedding_dim", "dropout")}
        return ENCODERS[self.encoder](*widths, **sizes)

    def build_profile_encoder(self) -> Any:
        """Return the profile encoder with random weights."""
        if callable(self.profile_encoder):
            return built_component(self.profile_encoder, "profile_encoder", self.n_profile_features)
        return PROFILE_ENCODERS[self.profile_encoder](self.n_profile_features, self.profile_dims, self.dropout)

    @contextlib.contextmanager
    def without_initial_weights(self) -> Iterator[None]:
        """Build networks whose weights are assigned next, at no cost and without drawing random numbers.

        A factory's module may hold more than weights, so that it is built in full.
        """
        own = self.encoder in ("gine", "ggnn") and self.profile_encoder == "mlp"
        with torch.device("meta") if own else torch_seed(_CPU):
            yield


class TwoTower(nn.Module):
    """The two encoders with their heads and the logit scale, the whole of what pretraining trains.

    ``log_scale`` is the logarithm of 1 / temperature. Without profile features there is no profile encoder and no head
    that projects: a model that was trained on labels, or by the structure objective alone.
    """

    def __init__(self, architecture: Architecture, temperature: float = 0.1):
        super().__init__()
        self.molecule_encoder = architecture.build_encoder()
        if architecture.n_structure_targets:
            self.structure_head = nn.Linear(self.molecule_encoder.out_features, architecture.n_structure_targets)
        if not architecture.has_profile_network:
            return
        self.molecule_head = ProjectionHead(self.molecule_encoder.out_features, architecture.projection_dim)
        self.profile_encoder = architecture.build_profile_encoder()
        self.profile_head = ProjectionHead(self.profile_encoder.out_features, architecture.projection_dim)
        self.log_scale = nn.Parameter(torch.tensor(1.0 / temperature).log())

    def forward(self, graph: GraphBatch, profiles: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors of molecules and of profiles."""
        return self.project_molecules(graph), self.project_profiles(profiles)

    def project_molecules(self, graph: GraphBatch) -> Tensor:
        """Return unit vectors of molecules, shape (n_molecules, projection_dim)."""
        return self.molecule_head(self.molecule_encoder(graph))

    def project_profiles(self, profiles: Tensor) -> Tensor:
        """Return unit vectors of profiles, shape (n_profiles, projection_dim)."""
        return self.profile_head(self.profile_encoder(profiles))

    def structure_network(self) -> nn.Sequential:
        """Return the part that regresses the structure targets, graph → (n_molecules, n_structure_targets)."""
        return nn.Sequential(self.molecule_encoder, nn.ReLU(), self.structure_head)

    def tower(self, output: str) -> SideBySide:
        """Return the part that embeds molecules, up to ``output``: "encoder" or "projection"."""
        encoder: Any = self.molecule_encoder
        if output == "encoder":
            return SideBySide([encoder], encoder.out_features)
        return SideBySide([nn.Sequential(encoder, self.molecule_head)], self.molecule_head.linear.out_features)


class TwoTowers(nn.Module):
    """Several two-tower networks: their representations stand side by side, and a cosine is the mean of theirs."""

    def __init__(self, members: Sequence[TwoTower]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def project_profiles(self, profiles: Tensor) -> Tensor:
        """Return unit vectors of profiles, shape (n_profiles, n_members * projection_dim)."""
        vectors = [member.project_profiles(profiles) for member in self.members]  # type: ignore[operator]
        return torch.cat(vectors, dim=1) * len(vectors) ** -0.5

    def tower(self, output: str) -> SideBySide:
        """Return the part that embeds molecules, up to ``output``: "encoder" or "projection"."""
        towers = [member.tower(output) for member in self.members]  # type: ignore[operator]
        networks = [network for tower in towers for network in tower.members]
        scale = len(towers) ** -0.5 if output == "projection" else 1.0
        return SideBySide(networks, sum(tower.width for tower in towers), scale)


HEADS = ("tanh", "linear", "mlp")


class PredictionNetwork(nn.Module):
    """Molecule encoder → features → dropout → linear: what predicts labels.

    Parameters
    ----------
    architecture : Architecture
    n_outputs : int
    head : {"tanh", "linear", "mlp"}
        ``"tanh"``: the features are tanh(z), after arXiv 2305.09790. ``"linear"``: relu of z, each column standardised
        by ``center`` and ``spread``. ``"mlp"``: of these, a hidden layer of half the width.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, architecture: Architecture, n_outputs: int, head: str = "tanh"):
        super().__init__()
        self.molecule_encoder = architecture.build_encoder()
        self.dropout = Dropout(architecture.dropout)
        n_features = width = self.molecule_encoder.out_features
        self.standardizes = head != "tanh"
        if self.standardizes:
            self.register_buffer("center", torch.zeros(width))
            self.register_buffer("spread", torch.ones(width))
        self.hidden = nn.Linear(width, n_features := (width + 1) // 2) if head == "mlp" else None
        self.head = nn.Linear(n_features, n_outputs)
        self.keeps_statistics = False  # of batch normalisation in the encoder, while the network is trained

    def features(self, z: Tensor) -> Tensor:
        """Return the inputs of the last layer, (n_molecules, embedding_dim) → (n_molecules, n_features)."""
        if not self.standardizes:
            return torch.tanh(z)
        x = torch.relu((z - self.center) / self.spread)
        return x if self.hidden is None else torch.relu(self.hidden(self.dropout(x)))

    def predict(self, z: Tensor) -> Tensor:
        """Return the outputs for representations z, (n_molecules, embedding_dim) → (n_molecules, n_outputs)."""
        return self.head(self.dropout(self.features(z))).float()

    def forward(self, graph: GraphBatch) -> Tensor:
        return self.predict(self.molecule_encoder(graph))

    def train(self, mode: bool = True) -> PredictionNetwork:
        """Set the mode of all parts, but for batch normalisation whose statistics are kept."""
        super().train(mode)
        if self.keeps_statistics:
            for module in self.molecule_encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def head_of(weights: Mapping[str, Any]) -> str:
    """Return which head a ``PredictionNetwork`` with these weights has."""
    if "center" not in weights:
        return "tanh"
    return "mlp" if "hidden.weight" in weights else "linear"


class SideBySide(nn.Module):
    """Several networks that read one graph; their outputs, ``width`` columns in all times ``scale``, side by side."""

    def __init__(self, members: Sequence[nn.Module], width: int, scale: float = 1.0):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.width = width
        self.scale = scale

    @property
    def takes_empty_molecules(self) -> bool:
        """Whether a batch may be filled up with molecules that have no atoms."""
        encoders = [m for m in self.modules() if hasattr(type(m), "takes_empty_molecules") and m is not self]
        return len(encoders) == len(self.members)

    def forward(self, graph: GraphBatch) -> Tensor:
        outputs = torch.cat([member(graph) for member in self.members], dim=1)  # (n_molecules, width)
        return outputs if self.scale == 1 else outputs * self.scale
