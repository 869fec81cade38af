"""All inputs of one pretraining."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..model_file._model import PretrainedModel
from ..nn._models import Architecture
from ..pairs._pairs import PairedProfiles
from ..utils._cache import Entry
from ..utils._random import Stream, generator
from ._contrastive import Recipe


@dataclass(frozen=True)
class Job:
    """All inputs of one pretraining, documented at ``MoCoPEmbedder``."""

    source: PairedProfiles | None
    unlabeled: list[Any] | None
    structure_targets: Any
    side_features: list[Any]
    local_scaling: bool
    start: PretrainedModel | None
    architecture: Architecture  # without the width of the profiles, which the transformer decides
    recipe: Recipe
    n_networks: int
    profile_transformer: Any
    standardize: Any
    invalid: str
    validation_fraction: float
    device: torch.device
    n_jobs: int | None
    checkpoint: Path | None
    resume: bool
    memory: Any
    parameters: dict[str, Any]
    verbose: bool
    callbacks: tuple[Callable[[dict[str, float]], object], ...]
    network: Callable[[int], AbstractContextManager[Any]]  # of the training of one; it yields what hears of its epochs
    attributes_of: Callable[[PretrainedModel], dict[str, Any]]

    def recipe_of(self, member: int) -> Recipe:
        """Return the recipe of one network; the first has the seed of the job."""
        seed = self.recipe.seed
        if member:
            seed = int(generator(seed, Stream.ENSEMBLE_MEMBER, member).integers(2**62))
        return replace(self.recipe, seed=seed)

    def checkpoint_of(self, member: int) -> Path | None:
        """Return where the state of one network is written."""
        path = self.checkpoint
        return path if path is None or not member else path.with_name(f"{path.stem}-{member}{path.suffix}")

    @property
    def cache_entry(self) -> Entry:
        """How a cache keeps the model."""
        components = {name: getattr(self.architecture, name) for name in ("featurizer", "encoder", "profile_encoder")}
        return Entry(
            ".safetensors",
            lambda model, path: model.save(path),
            lambda path: PretrainedModel.load(path, self.standardize, components),
        )

    @property
    def start_with_profiles(self) -> PretrainedModel | None:
        """The model to start from, if it has a profile network whose transformer and weights stay."""
        return self.start if self.start is not None and self.start.architecture.has_profile_network else None
