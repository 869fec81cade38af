"""What each step will take: measured on a few steps here, extrapolated to one GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import print_table
from qsar.arms import Arm

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.datasets import load_comas
from protocol.settings import MULTITASK, N_MOLECULES, N_PLATES, Settings

N_COMPOUNDS, WELLS_PER_PLATE = 112_000, 350  # of JUMP-CP; treated wells
GB_PER_PLATE = 0.025  # as published, all columns
MEGABITS = 200  # a second, of the connection
FINETUNING_EPOCHS = 70  # of at least 50, and 20 without a better score
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SAMPLE = 256  # molecules that are trained on for the measurement
# No GPU is measured here: of one core's work, one GPU is taken to do this many times as much a second, and never more
# than so many steps.
GPU_TIMES, GPU_STEPS = 30.0, 100.0


@dataclass(frozen=True)
class Cost:
    """What a step takes.

    Attributes
    ----------
    core_seconds : float
        Of one core, in all.
    n_processes : int
        How many of them the step can share its work among.
    gpu_seconds : float or None
        On one GPU, extrapolated; None for a step without a network, which stays on the processor.
    gb : float
        On the disk.
    """

    step: str
    core_seconds: float
    n_processes: int
    gpu_seconds: float | None = None
    gb: float = 0.0

    def here(self, n_jobs: int) -> float:
        """Seconds on this machine."""
        return self.core_seconds / min(n_jobs, self.n_processes)


def measure(settings: Settings) -> dict[str, float]:
    """Seconds of one core for a molecule and an epoch, of each kind of training; of reading one; of embedding one."""
    smiles = load_comas(return_X_y=True)[0].tolist()[:SAMPLE]
    rng = np.random.default_rng(0)
    profiles = rng.normal(size=(len(smiles), settings.n_features)).astype(np.float32)
    labels = np.where(rng.random((len(smiles), settings.n_tasks)) < 0.1, rng.random((len(smiles), 1)) < 0.5, -1)
    once: dict[str, Any] = {"max_epochs": 2, "min_epochs": 0, "validation_fraction": 0, "random_state": 0}
    few: dict[str, Any] = {"max_epochs": 2, "batch_size": 64, "validation_fraction": 0, "random_state": 0}
    embedder = MoCoPEmbedder.paper(**few)
    embedder.fit(smiles, profiles=profiles)
    started = time.perf_counter()
    embedder.transform(smiles)
    embedding = time.perf_counter() - started
    started = time.perf_counter()
    scratch = MoCoPClassifier.paper(missing=-1, **once).fit(smiles, labels)
    reading = time.perf_counter() - started - sum(row["seconds"] for row in scratch.history_)
    fits = {
        "contrastive": embedder,
        "scratch": scratch,
        "fine-tuned": MoCoPClassifier.paper(pretrained=embedder, missing=-1, **once).fit(smiles, labels),
        "multitask": MoCoPEmbedder.paper(**MULTITASK, **few).fit(smiles, profiles=profiles),
    }
    seconds = {name: min(row["seconds"] for row in fit.history_) for name, fit in fits.items()}
    return {k: v / len(smiles) for k, v in (seconds | {"reading": max(0.0, reading), "embedding": embedding}).items()}


def costs(settings: Settings, arms: Sequence[Arm], rates: dict[str, float], simulated: bool) -> list[Cost]:
    """What the steps take."""
    n_molecules = settings.n_molecules if simulated else N_MOLECULES
    n_compounds = min(N_COMPOUNDS, max(500, round(N_COMPOUNDS * settings.n_plates / N_PLATES)))
    gb = GB_PER_PLATE * settings.n_plates
    store = 2e-9 * WELLS_PER_PLATE * settings.n_plates * settings.n_features
    found = [
        Cost("download (at 200 Mbit/s)", 8000 * gb / MEGABITS, 1, gb=gb + 1.5e-9 * n_molecules * settings.n_tasks),
        Cost("store", 5.0 * settings.n_plates, 64, gb=2 * store),
    ]
    corpora = dict.fromkeys(arm.corpus for arm in arms if arm.objective in ("contrastive", "multitask"))
    recipe = MoCoPEmbedder.paper()
    for kind, own in (("contrastive", settings.pretraining), ("multitask", settings.multitask)):
        n_epochs, batch = own.get("max_epochs", recipe.max_epochs), own.get("batch_size", recipe.batch_size)
        times = len(corpora) * settings.n_seeds * n_epochs
        cpu = times * n_compounds * rates[kind]
        found.append(Cost(f"pretraining, {kind}", cpu, settings.n_seeds, _gpu(cpu, times * n_compounds / batch), 0.01))
    return found + [_fits(settings, arm, rates, n_molecules) for arm in arms]


def _fits(settings: Settings, arm: Arm, rates: dict[str, float], n_molecules: int) -> Cost:
    """All fits of an arm."""
    batch = settings.finetuning.get("batch_size", MoCoPClassifier.paper().batch_size)
    epochs = min(settings.finetuning.get("max_epochs", FINETUNING_EPOCHS), FINETUNING_EPOCHS)
    n_fits = len(settings.splits) * settings.n_seeds
    rate = rates["scratch" if arm.objective == "-" else "fine-tuned"]
    seconds = steps = 0.0
    for fraction in settings.fractions:
        train, val = fraction / 100 * SHARES["train"] * n_molecules, SHARES["val"] * n_molecules
        learning = 0.05 * rate * train if arm.frozen else rate * train + rates["embedding"] * val
        seconds += n_fits * (epochs * learning + rates["embedding"] * SHARES["test"] * n_molecules)
        seconds += n_fits * rates["reading"] * (train + val + SHARES["test"] * n_molecules)
        steps += n_fits * epochs * train / batch
    return Cost(f"ChEMBL 20, {arm.label}", seconds, n_fits * len(settings.fractions), _gpu(seconds, steps))


def _gpu(core_seconds: float, steps: float) -> float:
    return max(core_seconds / GPU_TIMES, steps / GPU_STEPS)


def show(found: Sequence[Cost], n_jobs: int) -> None:
    """Print the table."""
    rows = []
    for cost in found:
        gpu = cost.here(n_jobs) if cost.gpu_seconds is None else cost.gpu_seconds
        mark = "" if cost.gpu_seconds is None else "~"
        rows.append([cost.step, hours(cost.here(n_jobs)), f"{mark}{hours(gpu)}", f"{cost.gb:,.1f}" if cost.gb else "–"])
    here = sum(cost.here(n_jobs) for cost in found)
    gpu = sum(cost.here(n_jobs) if cost.gpu_seconds is None else cost.gpu_seconds for cost in found)
    rows.append(["in all", hours(here), f"~{hours(gpu)}", f"{sum(cost.gb for cost in found):,.1f}"])
    header = ["step", f"hours here, {n_jobs} of {os.cpu_count()} cores", "hours, one GPU", "GB of disk"]
    print_table(header, rows)
    print(
        f"Networks are measured on two epochs of {SAMPLE} molecules. ~: extrapolated, {GPU_TIMES:g} times one core, at "
        f"most {GPU_STEPS:g} steps a second. Fits on labels are taken to end after {FINETUNING_EPOCHS} epochs."
    )


def hours(seconds: float) -> str:
    """Hours with two digits that count."""
    h = seconds / 3600
    return f"{h:,.0f}" if h >= 10 else f"{h:.2g}"
