"""All inputs of one pretraining."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..model_file._model import PretrainedModel
from ..nn._models import Architecture
from ..pairs._pairs import PairedProfiles
from ._contrastive import Recipe


@dataclass(frozen=True)
class Job:
    """All inputs of one pretraining, documented at ``MoCoPEmbedder``."""

    source: PairedProfiles | None
    unlabeled: list[Any] | None
    structure_targets: Any
    side_features: list[Any]
    start: PretrainedModel | None
    architecture: Architecture  # without the width of the profiles, which the transformer decides
    recipe: Recipe
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

    @property
    def start_with_profiles(self) -> PretrainedModel | None:
        """The model to start from, if it has a profile network whose transformer and weights stay."""
        return self.start if self.start is not None and self.start.architecture.has_profile_network else None
