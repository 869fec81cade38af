"""What a run of the protocol is made of: the paper's sizes, a share of them, or a few for a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

N_PLATES = 1730  # compound plates of JUMP-CP
N_MOLECULES = 456_331  # of the ChEMBL 20 benchmark
N_TASKS = 1310
# What makes a pretraining by contrast one that regresses the profile
MULTITASK: dict[str, Any] = {"loss": None, "profile_weight": 1.0}


@dataclass(frozen=True)
class Settings:
    """Sizes, and what differs from the recipes of the paper.

    Attributes
    ----------
    scale : float
        Share of JUMP's plates and, where it is simulated, of ChEMBL's molecules.
    n_features, n_tasks, share_measured
        Of the simulated plates and labels.
    pretraining, multitask, finetuning : dict
        Parameters that replace those of ``MoCoPEmbedder.paper()``, of the same with ``MULTITASK``, and of
        ``MoCoPClassifier.paper()``.
    """

    scale: float = 1.0
    n_plates: int = N_PLATES
    n_molecules: int = N_MOLECULES
    n_features: int = 3475
    n_tasks: int = N_TASKS
    share_measured: float = 0.01
    n_seeds: int = 3
    splits: tuple[int, ...] = (1, 2, 3)
    fractions: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    pool: int = 256
    pretraining: dict[str, Any] = field(default_factory=dict)
    multitask: dict[str, Any] = field(default_factory=dict)
    finetuning: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def quick(cls) -> Settings:
        """A rehearsal of all steps and arms, whose figures mean nothing."""
        few = {"max_epochs": 2, "min_epochs": 1, "learning_rate": 1e-3, "batch_size": 32}
        return cls(
            scale=0.0,
            n_plates=8,
            n_molecules=900,
            n_features=120,
            n_tasks=24,
            share_measured=0.3,
            n_seeds=1,
            pretraining={"max_epochs": 12, "batch_size": 64},
            multitask={"max_epochs": 4, "batch_size": 32},
            finetuning=few,
        )

    def scaled(self, scale: float) -> Settings:
        """A share of the plates and the molecules."""
        n_plates, n_molecules = max(4, round(scale * N_PLATES)), max(500, round(scale * N_MOLECULES))
        return replace(self, scale=scale, n_plates=n_plates, n_molecules=n_molecules)
