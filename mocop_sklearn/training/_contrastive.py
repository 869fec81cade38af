"""Pretraining: the recipe, one step with gradient caching, and validation; losses are in ``nn``."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..metrics import retrieval_report
from ..nn._losses import LOSSES, Loss
from ..nn._models import Architecture, TwoTower
from ..utils._device import autocast
from ..utils._distributed import average, average_buffers, average_gradients, gather, of_first_rank, process_group
from ..utils._random import Stream, generator, torch_integer, torch_seed
from ..utils._warnings import TrainingInterrupted
from ._batches import Batch, Corpus
from ._inference import embed_graphs, embed_profiles
from ._loop import TrainingState, run_epochs
from ._structure import StructureBatch, StructureCorpus, squared_error, structure_gradients, validate_regression

_POOL = 256
REGRESSION_HEAD = "regression_head"  # regresses profiles; it is trained, but does not belong to the model


@dataclass(frozen=True)
class Recipe:
    """Settings of a pretraining, documented at ``MoCoPEmbedder``."""

    loss: str | Loss | None
    temperature: float
    learn_temperature: bool
    replicates: str | int
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    selection: str
    patience: int | None
    train_heads: bool
    precision: str
    seed: int
    structure_weight: float = 1.0
    profile_weight: float = 0.0

    @property
    def structure_batch_size(self) -> int:
        """Molecules of the structure objective in each step."""
        return 2 * self.batch_size

    @property
    def loss_function(self) -> Loss | None:
        """The loss itself, also where it was given by name; None where profiles are regressed only."""
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss


def train(
    architecture: Architecture,
    recipe: Recipe,
    training: Corpus | None,
    validation: Corpus | None,
    *,
    device: torch.device,
    structure: StructureCorpus | None = None,
    structure_validation: StructureCorpus | None = None,
    initial_weights: dict[str, Tensor] | None = None,
    resume_from: TrainingState | None = None,
    begin: Callable[[], object] | None = None,
    save: Callable[[TrainingState], object] | None = None,
    verbose: bool = False,
) -> TrainingState:
    """Pretrain a model by contrasting molecules with their profiles, by the structure objective, or by both.

    In a process group (torch.distributed) all processes call it with the same arguments. Each computes its share of
    every batch, the first validates and saves, and all return the same state.

    Parameters
    ----------
    training, validation : Corpus or None
        Molecules with profiles. Without ``validation``, the weights of the last epoch are kept.
    structure : StructureCorpus, optional
        Molecules for the structure objective, some of which are in every step.
    structure_validation : StructureCorpus, optional
        What chooses the best epoch where there are no profiles.
    initial_weights : dict of Tensor, optional
        Start from these instead of random weights; what is not among them is random.
    resume_from : TrainingState, optional
        Continue this run; the result is bit-equal to the run without a break, on a CPU.
    begin, save : callable, optional
        Called before every epoch, and with the state after it; ``save`` returns whether to stop.

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
        run = _Run(model, recipe, training, structure, device)
        try:
            run_epochs(
                model,
                optimizer,
                state,
                seed=recipe.seed,
                max_epochs=recipe.max_epochs,
                batches=run.batches,
                step=run.step,
                schedule=lambda epoch, i: _schedule(
                    epoch * run.n_batches + i, recipe.max_epochs * run.n_batches, recipe.warmup_fraction
                ),
                validate=_validation(model, validation, structure_validation, device, recipe),
                describe=lambda: {"learning_rate": float(optimizer.param_groups[0]["lr"]), **run.describe()},
                patience=recipe.patience,
                begin=begin if rank == 0 else None,
                save=lambda state: of_first_rank(rank == 0 and save is not None and save(state) is True),
                rank=rank,
                label="MoCoP",
                verbose=verbose and rank == 0,
                remedy="Lower learning_rate, raise temperature, or use a profile_transformer that scales and clips.",
            )
        except KeyboardInterrupt:
            warnings.warn(_interrupted(state, recipe.max_epochs), TrainingInterrupted, stacklevel=2)
    return state


class _Run:
    """What every step draws: a batch of molecules with profiles, one of the structure objective, or both."""

    def __init__(
        self,
        model: TwoTower,
        recipe: Recipe,
        training: Corpus | None,
        structure: StructureCorpus | None,
        device: torch.device,
    ):
        self.model, self.recipe, self.device = model, recipe, device
        self.training = None if training is None else training.to(device)
        self.structure = None if structure is None else structure.to(device)
        self.replicates = recipe.replicates
        if self.training is not None and self.replicates == "mean":
            self.training, self.replicates = self.training.averaged(), "sample"
        if self.training is not None:
            self.n_batches = self.training.n_batches(recipe.batch_size)[0]
        else:
            assert self.structure is not None
            self.n_batches = -(-len(self.structure) // recipe.structure_batch_size)
        self._structure_losses: list[Tensor] = []

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Batch | None, StructureBatch | None]]:
        """Draw the batches of an epoch."""
        contrasted: Iterable[Batch | None] = repeat(None, self.n_batches)
        bare: Iterable[StructureBatch | None] = repeat(None, self.n_batches)
        if self.training is not None:
            contrasted = self.training.batches(rng, self.recipe.batch_size, self.replicates)
        if self.structure is not None:
            size = min(self.recipe.structure_batch_size, len(self.structure))
            # a generator of its own, so that the draws of profiles do not depend on the structures
            own = np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0])  # type: ignore[attr-defined]
            bare = self.structure.batches(own, self.n_batches, size)
        return zip(contrasted, bare, strict=True)

    def step(self, drawn: tuple[Batch | None, StructureBatch | None]) -> Tensor:
        """Compute the loss of what was drawn and leave its gradients in the parameters."""
        batch, bare = drawn
        loss = torch.zeros((), device=self.device)
        if bare is not None:
            weight = self.recipe.structure_weight
            error = average(structure_gradients(self.model, bare, weight, self.device, self.recipe.precision))
            self._structure_losses.append(error)
            loss = loss + weight * error
        if batch is None:
            average_over_processes(self.model)
            return loss
        assert self.training is not None
        weights = self.training.weights
        own = None if weights is None else weights[batch.molecules]
        recipe = self.recipe
        return loss + accumulate_gradients(
            self.model,
            batch,
            own,
            self.device,
            recipe.precision,
            recipe.loss_function,
            structure_weight=recipe.structure_weight,
            profile_weight=recipe.profile_weight,
        )

    def describe(self) -> dict[str, float]:
        """Return entries of the history of an epoch."""
        row = {}
        if self.training is not None and self.recipe.loss is not None:
            row["temperature"] = float((-self.model.log_scale.detach()).exp())
        if self._structure_losses:
            row["structure_loss"] = float(torch.stack(self._structure_losses).mean())
            self._structure_losses = []
        return row


def _initial_model(architecture: Architecture, recipe: Recipe, initial_weights: dict[str, Tensor] | None) -> TwoTower:
    model = TwoTower(architecture, recipe.temperature)
    if initial_weights is not None:
        known = model.state_dict().keys()
        model.load_state_dict({name: w for name, w in initial_weights.items() if name in known}, strict=False)
    if not architecture.has_profile_network:
        return model
    if recipe.profile_weight:
        width = model.molecule_encoder.out_features
        setattr(model, REGRESSION_HEAD, nn.Linear(width, architecture.n_profile_features))
    if initial_weights is not None and not recipe.learn_temperature:
        model.log_scale.data.fill_(-math.log(recipe.temperature))
    model.log_scale.requires_grad_(recipe.learn_temperature)
    model.molecule_head.requires_grad_(recipe.train_heads)
    model.profile_head.requires_grad_(recipe.train_heads)
    return model


def _optimizer(model: TwoTower, recipe: Recipe) -> torch.optim.Optimizer:
    """Do not decay the logit scale: its magnitude is meaningful."""
    decayed = [p for name, p in model.named_parameters() if name != "log_scale"]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if hasattr(model, "log_scale"):
        groups.append({"params": [model.log_scale], "weight_decay": 0.0})
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


def accumulate_gradients(
    model: TwoTower,
    batch: Batch,
    weights: Tensor | None,
    device: torch.device,
    precision: str,
    loss_function: Loss | None,
    *,
    structure_weight: float = 0.0,
    profile_weight: float = 0.0,
) -> Tensor:
    """Compute the loss of a batch and add its gradients to those in the parameters.

    The loss sees all rows of the batch, those of other processes too.

    Parameters
    ----------
    batch : Batch
    weights : Tensor of float32, shape (n,), or None
        Weights of the rows of the whole batch.
    loss_function : callable or None
        As :func:`mocop_sklearn.nn.infonce`. None contrasts nothing.
    structure_weight : float
        Weight of the structure objective, where the batch has targets.
    profile_weight : float
        Weight of the squared error of profiles that are regressed.

    Returns
    -------
    Tensor, shape ()
        The same in every process.

    Raises
    ------
    ValueError
        When the loss is not one number.
    """
    n_rows = sum(len(profiles) for _, profiles in batch.passes)

    def loss_of(molecules: Tensor, profiles: Tensor) -> Tensor:
        assert loss_function is not None
        scale = model.log_scale.exp()
        loss = loss_function(gather(molecules), gather(profiles), scale, batch.molecules, weights)
        if not isinstance(loss, Tensor) or loss.ndim:
            shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
            raise ValueError(f"loss must return one number, a Tensor of shape (), but it returned the {shape}.")
        return loss

    def error_of(z: Tensor, i: int) -> Tensor:
        """Weighted errors of what is regressed from the representations of one pass."""
        _, profiles = batch.passes[i]
        error = z.new_zeros((), dtype=torch.float32)
        if batch.targets is not None:
            error = error + structure_weight * squared_error(model.structure_head(z).float(), batch.targets[i])
        if profile_weight:
            outputs = getattr(model, REGRESSION_HEAD)(z).float()
            error = error + profile_weight * squared_error(outputs, profiles, batch.own_weights(weights, i))
        return error * (len(profiles) / n_rows)

    def vectors_of(i: int) -> tuple[Tensor, Tensor, Tensor]:
        graph, profiles = batch.passes[i]
        with autocast(device, precision):
            z = model.molecule_encoder(graph)
            return model.molecule_head(z), model.project_profiles(profiles), error_of(z.relu(), i)

    if loss_function is None:
        loss = torch.zeros((), device=device)
        for i, (graph, _) in enumerate(batch.passes):
            with autocast(device, precision):
                error = error_of(model.molecule_encoder(graph).relu(), i)
            error.backward()
            loss += error.detach()
    elif len(batch.passes) == 1:
        molecules, profiles, error = vectors_of(0)
        loss = loss_of(molecules, profiles) + error
        loss.backward()
    else:
        loss = _cached_gradients(model, len(batch.passes), device, vectors_of, loss_of)
    average_over_processes(model)
    return average(loss.detach())  # of what is regressed each process knows its share


def average_over_processes(model: nn.Module) -> None:
    """Replace gradients, and statistics that layers keep, by their means over the processes of a group."""
    average_gradients(model.parameters())
    average_buffers(model.buffers())


def _cached_gradients(
    model: TwoTower,
    n_passes: int,
    device: torch.device,
    vectors_of: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Send a batch through the network twice, so that the backward pass holds one part of it at a time.

    Gradient caching, Gao et al. (arXiv 2101.06983), section 3.2. Statistics that layers keep, as BatchNorm does, are
    updated in the second pass only.
    """
    seeds = torch.randint(2**62, (n_passes,)).tolist()

    def seeded(i: int) -> tuple[Tensor, Tensor, Tensor]:
        with torch_seed(device):  # dropout must be alike both times
            torch.manual_seed(seeds[i])
            return vectors_of(i)

    with torch.no_grad(), _kept_buffers(model):
        parts = [seeded(i) for i in range(n_passes)]
    *vectors, errors = zip(*parts, strict=True)
    molecules, profiles = (torch.cat(part).requires_grad_() for part in vectors)
    loss = loss_of(molecules, profiles)
    loss.backward()
    sizes = [len(part[0]) for part in parts]
    assert molecules.grad is not None
    assert profiles.grad is not None
    gradients = zip(molecules.grad.split(sizes), profiles.grad.split(sizes), strict=True)
    for i, of_pass in enumerate(gradients):
        *of_vectors, error = seeded(i)
        if error.requires_grad:
            torch.autograd.backward([*of_vectors, error], [*of_pass, None])
        else:
            torch.autograd.backward(of_vectors, of_pass)
    return loss + torch.stack(errors).sum()


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
    model: TwoTower,
    validation: Corpus | None,
    structure: StructureCorpus | None,
    device: torch.device,
    recipe: Recipe,
) -> Callable[[], dict[str, float]] | None:
    """Return what validates an epoch: retrieval among molecules with profiles, else the structure objective."""
    if validation is not None and recipe.loss is None:
        known = validation.averaged()
        assert isinstance(known.profiles, Tensor)
        regression = nn.Sequential(model.molecule_encoder, nn.ReLU(), getattr(model, REGRESSION_HEAD))
        targets = StructureCorpus(known.graphs, known.profiles)
        validate = partial(validate_regression, regression, targets, device, recipe.precision)
    elif validation is not None:
        validate = partial(_validate, model, validation.averaged(), device, recipe)
    elif structure is not None:
        validate = partial(validate_regression, model.structure_network(), structure, device, recipe.precision)
    else:
        return None
    rank, _ = process_group()
    return lambda: of_first_rank(validate() if rank == 0 else None)


def _validate(
    model: TwoTower,
    validation: Corpus,
    device: torch.device,
    recipe: Recipe,
) -> dict[str, float]:
    """Retrieval among the validation molecules, one averaged profile each, and the loss in batches as in training."""
    molecules = embed_graphs(model.tower("projection"), validation.graphs, device, recipe.precision)
    assert isinstance(validation.profiles, Tensor)  # they are averaged
    profiles = embed_profiles(model, validation.profiles, device, recipe.precision)
    report = retrieval_report(molecules, profiles, ks=(1, 10))
    scale = model.log_scale.detach().exp().cpu()
    losses = []
    loss_function = recipe.loss_function
    assert loss_function is not None
    n_batches = max(1, len(molecules) // recipe.batch_size)
    for i in range(n_batches):  # every n-th: neighbours in the corpus may be alike
        m, p = torch.from_numpy(molecules[i::n_batches]), torch.from_numpy(profiles[i::n_batches])
        losses.append(float(loss_function(m, p, scale, torch.arange(len(m)), None)))
    found = {
        "validation_loss": float(np.mean(losses)),
        "validation_score": 1 - 2 * report["normalized_rank"],
        "validation_top1": report["top1"],
        "validation_top10": report["top10"],
    }
    return found | ({"validation_criterion": _top1_in_pools(molecules, profiles)} if recipe.selection == "top1" else {})


def _top1_in_pools(molecules: np.ndarray, profiles: np.ndarray) -> float:
    """Top-1 in pools of 256 at least, as the authors of the paper report it."""
    n_pools = max(1, len(molecules) // _POOL)
    pools = [retrieval_report(molecules[i::n_pools], profiles[i::n_pools], ks=(1,)) for i in range(n_pools)]
    return float(np.mean([pool["top1"] for pool in pools]))
