"""The pretraining loop: flat, deterministic, resumable after every epoch."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..metrics import retrieval_report
from ..nn._encoders import Architecture, TwoTower
from ..nn._losses import contrastive_logits, info_nce
from ..utils._distributed import of_first_rank, process_group
from ..utils._random import Stream, generator, torch_seed
from ._batches import Corpus
from ._inference import embed_graphs, embed_profiles
from ._step import accumulate_gradients


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the meaning of each is documented at ``MoCoPEmbedder``."""

    temperature: float
    learn_temperature: bool
    replicates: str | int
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    patience: int | None
    train_heads: bool
    precision: str
    seed: int


@dataclass
class TrainingState:
    """All that a run must remember between two epochs."""

    weights: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    best_weights: dict[str, Tensor]
    best_score: float = -math.inf
    best_epoch: int = 0
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    architecture: Architecture,
    recipe: Recipe,
    training: Corpus,
    validation: Corpus | None,
    *,
    device: torch.device,
    initial_weights: dict[str, Tensor] | None = None,
    resume_from: TrainingState | None = None,
    save: Callable[[TrainingState], None] | None = None,
    verbose: bool = False,
) -> TrainingState:
    """Pretrain a two-tower model by contrasting molecules with their profiles.

    In a process group (torch.distributed) all processes call it with the same arguments; each computes its share of
    every batch, the first validates and saves, and all return the same state.

    Parameters
    ----------
    training, validation : Corpus
        Without ``validation``, the weights of the last epoch are the best.
    initial_weights : dict of Tensor, optional
        Start from these instead of random weights.
    resume_from : TrainingState, optional
        Continue this run; the result is bit-equal to the run without a break, on a CPU.
    save : callable, optional
        Called with the state after every epoch.

    Returns
    -------
    TrainingState
        ``best_weights`` are those of the epoch with the best validation score.
    """
    rank, _ = process_group()
    with torch_seed(device):
        torch.manual_seed(int(generator(recipe.seed, Stream.INITIAL_WEIGHTS).integers(2**62)))
        model = TwoTower(architecture, recipe.temperature)
        if initial_weights is not None:
            model.load_state_dict(initial_weights)
            if not recipe.learn_temperature:
                model.log_scale.data.fill_(-math.log(recipe.temperature))
        model.to(device)
        model.log_scale.requires_grad_(recipe.learn_temperature)
        if not recipe.train_heads:
            model.molecule_head.requires_grad_(False)
            model.profile_head.requires_grad_(False)
        groups = _parameter_groups(model, recipe.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        if resume_from is None:
            state = TrainingState(model.state_dict(), {}, _cpu_copy(model.state_dict()))
        else:
            state = resume_from
            model.load_state_dict(state.weights)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})

        training = training.to(device)
        replicates = recipe.replicates
        if replicates == "mean":
            training, replicates = training.averaged(), "sample"
        if validation is not None:
            validation = validation.averaged()
        n_batches, _ = training.n_batches(recipe.batch_size)
        n_steps = recipe.max_epochs * n_batches
        progress = tqdm(range(state.epoch, recipe.max_epochs), initial=state.epoch, total=recipe.max_epochs,
                        desc="MoCoP", unit="epoch", disable=not verbose or rank > 0)  # fmt: skip
        try:
            for epoch in progress:
                if out_of_patience(state, recipe.patience):
                    break
                started = time.perf_counter()
                rng = generator(recipe.seed, Stream.EPOCH, epoch)
                torch.manual_seed(int(rng.integers(2**62)) + rank)  # dropout differs between processes
                losses = []
                waiting = 0.0
                model.train()
                batches = training.batches(rng, recipe.batch_size, replicates)
                for i in range(n_batches):
                    learning_rate = recipe.learning_rate * _schedule(
                        epoch * n_batches + i, n_steps, recipe.warmup_fraction
                    )
                    for group in optimizer.param_groups:
                        group["lr"] = learning_rate
                    asked = time.perf_counter()
                    batch = next(batches)
                    waiting += time.perf_counter() - asked
                    optimizer.zero_grad(set_to_none=True)
                    weights = None if training.weights is None else training.weights[batch.molecules]
                    losses.append(accumulate_gradients(model, batch, weights, device, recipe.precision))
                    optimizer.step()
                mean_loss = float(torch.stack(losses).mean())
                if not math.isfinite(mean_loss):
                    raise ValueError(
                        f"The loss became {mean_loss} in epoch {epoch + 1}. Lower learning_rate, raise temperature, or "
                        "see to it that profile_transformer scales and clips."
                    )
                check_weights(model, epoch + 1)
                row = {
                    "epoch": epoch + 1,
                    "loss": mean_loss,
                    "learning_rate": learning_rate,
                    "temperature": float((-model.log_scale.detach()).exp()),
                }
                if validation is not None:
                    row |= of_first_rank(_validate(model, validation, device, recipe) if rank == 0 else None)
                _finish_epoch(state, model, optimizer, row)
                row |= {"seconds": time.perf_counter() - started, "seconds_waiting": waiting}
                progress.set_postfix({name: f"{row[name]:.3f}" for name in ("loss", "validation_score") if name in row})
                if save is not None and rank == 0:
                    save(state)
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted in epoch {state.epoch + 1} of {recipe.max_epochs}; the weights of epoch "
                f"{state.best_epoch} are kept.",
                RuntimeWarning,
                stacklevel=2,
            )
        finally:
            progress.close()
    return state


def _parameter_groups(model: TwoTower, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for all but the logit scale, whose size is meant."""
    decayed = [p for name, p in model.named_parameters() if name != "log_scale"]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": [model.log_scale], "weight_decay": 0.0}]


def _schedule(step: int, n_steps: int, warmup_fraction: float) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine to zero."""
    warmup = warmup_fraction * n_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, n_steps - warmup)))


def check_weights(model: nn.Module, epoch: int) -> None:
    """Raise ``ValueError`` when a weight is no longer finite; the last step of an epoch shows in no loss."""
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"Weights became infinite or NaN in epoch {epoch}. Lower learning_rate.")


def out_of_patience(state: TrainingState, patience: int | None) -> bool:
    """Whether the last ``patience`` epochs brought no better validation score."""
    return patience is not None and state.epoch - state.best_epoch >= patience


def _validate(model: TwoTower, validation: Corpus, device: torch.device, recipe: Recipe) -> dict[str, float]:
    """Retrieval among the validation molecules, one averaged profile each, and the loss in batches as in training."""
    molecules = embed_graphs(model.tower("projection"), validation.graphs, device, recipe.precision)
    assert isinstance(validation.profiles, Tensor)  # they are averaged
    profiles = embed_profiles(model, validation.profiles, device, recipe.precision)
    report = retrieval_report(molecules, profiles, ks=(1, 10))
    scale = model.log_scale.detach().exp().cpu()
    losses = []
    n_batches = max(1, len(molecules) // recipe.batch_size)
    for i in range(n_batches):  # every n-th: neighbours in the corpus may be alike
        m, p = torch.from_numpy(molecules[i::n_batches]), torch.from_numpy(profiles[i::n_batches])
        losses.append(float(info_nce(contrastive_logits(m, p, scale, torch.arange(len(m))))))
    return {
        "validation_loss": float(np.mean(losses)),
        "validation_score": 1 - 2 * report["normalized_rank"],
        "validation_top1": report["top1"],
        "validation_top10": report["top10"],
    }


def _finish_epoch(
    state: TrainingState, model: TwoTower, optimizer: torch.optim.Optimizer, row: dict[str, float]
) -> None:
    state.epoch += 1
    state.history.append(row)
    state.weights = model.state_dict()
    state.optimizer = optimizer.state_dict()["state"]
    score = row.get("validation_score", -math.inf)
    if score > state.best_score or "validation_score" not in row:
        state.best_score = score
        state.best_epoch = state.epoch
        state.best_weights = _cpu_copy(model.state_dict())


def _cpu_copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: copy.deepcopy(w.detach().cpu()) for name, w in weights.items()}
