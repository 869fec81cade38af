"""Contrastive training: the recipe, one step with gradient caching, and validation; losses are in ``nn``."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..metrics import retrieval_report
from ..nn._losses import LOSSES, Loss
from ..nn._models import Architecture, TwoTower
from ..utils._device import autocast
from ..utils._distributed import average_buffers, average_gradients, gather, of_first_rank, process_group
from ..utils._random import Stream, generator, torch_integer, torch_seed
from ..utils._warnings import TrainingInterrupted
from ._batches import Batch, Corpus
from ._inference import embed_graphs, embed_profiles
from ._loop import TrainingState, run_epochs


@dataclass(frozen=True)
class Recipe:
    """Settings of a contrastive training, documented at ``MoCoPEmbedder``."""

    loss: str | Loss
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

    @property
    def loss_function(self) -> Loss:
        """The loss itself, also where it was given by name."""
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss


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

    In a process group (torch.distributed) all processes call it with the same arguments. Each computes its share of
    every batch, the first validates and saves, and all return the same state.

    Parameters
    ----------
    training, validation : Corpus
        Without it, the weights of the last epoch are kept.
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
        torch.manual_seed(torch_integer(generator(recipe.seed, Stream.INITIAL_WEIGHTS)))
        model = _initial_model(architecture, recipe, initial_weights).to(device)
        optimizer = _optimizer(model, recipe)
        state = TrainingState.of(model) if resume_from is None else resume_from
        training, replicates = training.to(device), recipe.replicates
        if replicates == "mean":
            training, replicates = training.averaged(), "sample"
        n_batches, _ = training.n_batches(recipe.batch_size)
        try:
            run_epochs(
                model,
                optimizer,
                state,
                seed=recipe.seed,
                max_epochs=recipe.max_epochs,
                batches=lambda rng: training.batches(rng, recipe.batch_size, replicates),
                step=partial(_step, model, training.weights, recipe, device),
                schedule=lambda epoch, i: _schedule(
                    epoch * n_batches + i, recipe.max_epochs * n_batches, recipe.warmup_fraction
                ),
                validate=_validation(model, validation, device, recipe),
                describe=lambda: {
                    "learning_rate": float(optimizer.param_groups[0]["lr"]),
                    "temperature": float((-model.log_scale.detach()).exp()),
                },
                patience=recipe.patience,
                save=save if rank == 0 else None,
                rank=rank,
                label="MoCoP",
                verbose=verbose and rank == 0,
                remedy="Lower learning_rate, raise temperature, or use a profile_transformer that scales and clips.",
            )
        except KeyboardInterrupt:
            warnings.warn(_interrupted(state, recipe.max_epochs), TrainingInterrupted, stacklevel=2)
    return state


def _initial_model(architecture: Architecture, recipe: Recipe, initial_weights: dict[str, Tensor] | None) -> TwoTower:
    model = TwoTower(architecture, recipe.temperature)
    if initial_weights is not None:
        model.load_state_dict(initial_weights)
        if not recipe.learn_temperature:
            model.log_scale.data.fill_(-math.log(recipe.temperature))
    model.log_scale.requires_grad_(recipe.learn_temperature)
    model.molecule_head.requires_grad_(recipe.train_heads)
    model.profile_head.requires_grad_(recipe.train_heads)
    return model


def _optimizer(model: TwoTower, recipe: Recipe) -> torch.optim.Optimizer:
    """Do not decay the logit scale: its magnitude is meaningful."""
    decayed = [p for name, p in model.named_parameters() if name != "log_scale"]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [model.log_scale], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def _interrupted(state: TrainingState, max_epochs: int) -> str:
    return (
        f"Training was interrupted in epoch {state.epoch + 1} of {max_epochs}; the weights of epoch "
        f"{state.best_epoch} are kept."
    )


def _schedule(step: int, n_steps: int, warmup_fraction: float) -> float:
    """Factor of the learning rate: a linear warm-up, then a cosine to zero."""
    warmup = warmup_fraction * n_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, n_steps - warmup)))


# ---------------------------------------------------------------------------------------------
# One step: a batch of any size, over any number of processes → gradients
# ---------------------------------------------------------------------------------------------


def _step(model: TwoTower, weights: Tensor | None, recipe: Recipe, device: torch.device, batch: Batch) -> Tensor:
    own = None if weights is None else weights[batch.molecules]
    return accumulate_gradients(model, batch, own, device, recipe.precision, recipe.loss_function)


def accumulate_gradients(
    model: TwoTower, batch: Batch, weights: Tensor | None, device: torch.device, precision: str, loss_function: Loss
) -> Tensor:
    """Compute the loss of a batch and leave its gradients in the parameters.

    The loss sees all rows of the batch, those of other processes too.

    Parameters
    ----------
    batch : Batch
    weights : Tensor of float32, shape (n,), or None
        Weights of the rows of the whole batch.
    loss_function : callable
        As :func:`mocop_sklearn.nn.infonce`.

    Returns
    -------
    Tensor, shape ()
        The same in every process.

    Raises
    ------
    ValueError
        When the loss is not one number.
    """

    def loss_of(molecules: Tensor, profiles: Tensor) -> Tensor:
        scale = model.log_scale.exp()
        loss = loss_function(gather(molecules), gather(profiles), scale, batch.molecules, weights)
        if not isinstance(loss, Tensor) or loss.ndim:
            shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
            raise ValueError(f"loss must return one number, a Tensor of shape (), but it returned the {shape}.")
        return loss

    if len(batch.passes) == 1:
        with autocast(device, precision):
            molecules, profiles = model(*batch.passes[0])
        loss = loss_of(molecules, profiles)
        loss.backward()
    else:
        loss = _cached_gradients(model, batch, device, precision, loss_of)
    average_gradients(model.parameters())
    average_buffers(model.buffers())
    return loss.detach()


def _cached_gradients(
    model: TwoTower,
    batch: Batch,
    device: torch.device,
    precision: str,
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Send a batch through the network twice, so that the backward pass holds one part of it at a time.

    Gradient caching, Gao et al. (arXiv 2101.06983), section 3.2. Statistics that layers keep, as BatchNorm does, are
    updated in the second pass only.
    """
    seeds = torch.randint(2**62, (len(batch.passes),)).tolist()

    def vectors_of(i: int) -> tuple[Tensor, Tensor]:
        with torch_seed(device), autocast(device, precision):  # dropout must be alike both times
            torch.manual_seed(seeds[i])
            return model(*batch.passes[i])

    with torch.no_grad(), _kept_buffers(model):
        parts = [vectors_of(i) for i in range(len(seeds))]
    molecules, profiles = (torch.cat(vectors).requires_grad_() for vectors in zip(*parts, strict=True))
    loss = loss_of(molecules, profiles)
    loss.backward()
    sizes = [len(part[0]) for part in parts]
    assert molecules.grad is not None
    assert profiles.grad is not None
    gradients = zip(molecules.grad.split(sizes), profiles.grad.split(sizes), strict=True)
    for i, of_pass in enumerate(gradients):
        torch.autograd.backward(vectors_of(i), of_pass)
    return loss


@contextlib.contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    """Undo what the block does to the statistics that layers keep."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    yield
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])


# ---------------------------------------------------------------------------------------------
# Validation
# ---------------------------------------------------------------------------------------------


def _validation(
    model: TwoTower, validation: Corpus | None, device: torch.device, recipe: Recipe
) -> Callable[[], dict[str, float]] | None:
    if validation is None:
        return None
    averaged = validation.averaged()
    rank, _ = process_group()
    return lambda: of_first_rank(_validate(model, averaged, device, recipe) if rank == 0 else None)


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
        losses.append(float(recipe.loss_function(m, p, scale, torch.arange(len(m)), None)))
    return {
        "validation_loss": float(np.mean(losses)),
        "validation_score": 1 - 2 * report["normalized_rank"],
        "validation_top1": report["top1"],
        "validation_top10": report["top10"],
    }
