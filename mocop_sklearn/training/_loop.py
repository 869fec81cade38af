"""The training loop: epochs, early stopping, best weights, and the state from which a run resumes."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..model_file._format import read_file, write_file
from ..utils._random import Stream, generator, torch_integer

_KIND = "training checkpoint"


@dataclass
class TrainingState:
    """Everything that a run must remember between two epochs.

    Attributes
    ----------
    weights, optimizer
        Weights of the last epoch.
    best_weights : dict of Tensor
        Weights of the epoch with the best validation, or of the last epoch without validation.
    best_score : float
        Validation score of ``best_weights``; NaN without validation.
    best_epoch, epoch : int
        Counted from 1; 0 before the first.
    history : list of dict
        One row per epoch.
    is_stopped : bool
        Whether something else than the recipe ended the run.
    """

    weights: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    best_weights: dict[str, Tensor]
    best_score: float = math.nan
    best_epoch: int = 0
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    is_stopped: bool = False

    @classmethod
    def of(cls, model: nn.Module) -> TrainingState:
        """Return the state before the first epoch."""
        return cls(model.state_dict(), {}, _copy(model))

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a model and its optimiser into this state."""
        model.load_state_dict(self.weights)
        if self.optimizer:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": self.optimizer, "param_groups": groups})

    def finish_epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer, row: dict[str, float]) -> None:
        """Record an epoch. Of epochs with equal score and loss, the earlier one is the best."""
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        self.epoch += 1
        if best is None or "validation_score" not in row or _quality(row) > _quality(best):
            self.best_epoch, self.best_weights = self.epoch, _copy(model)
            self.best_score = row.get("validation_score", math.nan)
        self.weights = model.state_dict()
        self.optimizer = optimizer.state_dict()["state"]
        self.history.append(row)

    def is_out_of_patience(self, patience: int | None, min_epochs: int = 0) -> bool:
        """Whether ``min_epochs`` are run and the last ``patience`` of all brought no better validation."""
        return patience is not None and self.epoch >= min_epochs and self.epoch - self.best_epoch >= patience


def run_epochs(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    *,
    seed: int,
    max_epochs: int,
    batches: Callable[[np.random.Generator], Iterable[Any]],
    step: Callable[[Any], Tensor],
    schedule: Callable[[int, int], float] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    describe: Callable[[], dict[str, float]] = dict,
    patience: int | None = None,
    min_epochs: int = 0,
    begin: Callable[[], object] | None = None,
    save: Callable[[TrainingState], object] | None = None,
    rank: int = 0,
    label: str = "",
    verbose: bool = False,
    remedy: str = "Lower learning_rate.",
) -> None:
    """Train until ``max_epochs``, or until patience ends; ``state`` holds the result.

    Continuing from the state of a killed run gives the weights of the run without a break, bit by bit on a CPU. An
    interrupt (Ctrl-C) leaves the state of the last whole epoch.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        The rate of each group is its peak, which ``schedule`` multiplies.
    state : TrainingState
        Where to begin.
    seed : int
        All random numbers are derived from it.
    batches : callable
        Maps a generator to the batches of one epoch.
    step : callable
        Computes the loss of a batch and leaves its gradients in the parameters.
    schedule : callable, optional
        Maps the number of an epoch and of a batch, both from 0, to a factor of the learning rate.
    validate : callable, optional
        Returns ``validation_score`` and ``validation_loss``, and whatever else the history should hold.
    describe : callable, optional
        Returns further entries of the history.
    patience : int, optional
        Stop after this many epochs without a better validation.
    min_epochs : int, default=0
        Do not stop before this many.
    begin : callable, optional
        Called before every epoch.
    save : callable, optional
        Called with the state after every epoch; what it returns is whether to stop.
    rank : int, default=0
        Rank of this process, so that dropout differs between processes.
    label : str
        Label of the progress bar, which ``verbose`` shows.
    remedy : str
        What a user can do when the loss is not finite.

    Raises
    ------
    ValueError
        When the loss or a weight is not finite.
    """
    state.restore(model, optimizer)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    n_before = state.epoch
    shown = {"desc": label, "unit": "epoch", "disable": not verbose}
    with tqdm(initial=n_before, total=max_epochs, **shown) as progress:
        while state.epoch < max_epochs and not state.is_out_of_patience(patience, min_epochs):
            if begin is not None:
                begin()
            started = time.perf_counter()
            rng = generator(seed, Stream.EPOCH, state.epoch)
            torch.manual_seed(torch_integer(rng) + rank)
            model.train()
            row, waiting = _train_epoch(optimizer, state.epoch, batches(rng), step, schedule)
            _check_finite(model, row, remedy)
            row |= describe()
            if validate is not None:
                row |= validate()
            row |= {"seconds": time.perf_counter() - started, "seconds_waiting": waiting}
            state.finish_epoch(model, optimizer, row)
            progress.set_postfix({name: f"{row[name]:.3f}" for name in ("loss", "validation_score") if name in row})
            progress.update()
            if save is not None and save(state) is True:
                state.is_stopped = True
                break


def _train_epoch(
    optimizer: torch.optim.Optimizer,
    epoch: int,
    batches: Iterable[Any],
    step: Callable[[Any], Tensor],
    schedule: Callable[[int, int], float] | None,
) -> tuple[dict[str, float], float]:
    """Return the first entries of the history, and the seconds spent waiting for data."""
    losses: list[Tensor] = []
    clock = _Waiting(batches)
    for i, batch in enumerate(clock):
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * (1.0 if schedule is None else schedule(epoch, i))
        optimizer.zero_grad(set_to_none=True)
        losses.append(step(batch))
        optimizer.step()
    return {"epoch": epoch + 1, "loss": float(torch.stack(losses).mean())}, clock.seconds


class _Waiting:
    """An iterable that counts the seconds until its items are there."""

    def __init__(self, items: Iterable[Any]):
        self.items = items
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        items = iter(self.items)
        while True:
            asked = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - asked
            yield item


def _check_finite(model: nn.Module, row: dict[str, float], remedy: str) -> None:
    """Raise ``ValueError`` when training diverged.

    The loss does not show the effect of an epoch's last step, so the weights are checked, too.
    """
    if not math.isfinite(row["loss"]):
        raise ValueError(f"The loss became {row['loss']} in epoch {row['epoch']}. {remedy}")
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"Weights became infinite or NaN in epoch {row['epoch']}. {remedy}")


def _quality(row: dict[str, float]) -> tuple[float, float]:
    """Return what epochs are compared by: the criterion, then the loss. An undefined criterion is the lowest.

    The criterion is the validation score, unless the row has another.
    """
    score = row.get("validation_criterion", row["validation_score"])
    return -math.inf if math.isnan(score) else score, -row["validation_loss"]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: w.detach().cpu().clone() for name, w in model.state_dict().items()}


# ---------------------------------------------------------------------------------------------
# The state as a file
# ---------------------------------------------------------------------------------------------


def write_state(path: str | os.PathLike[str], seed: int, state: TrainingState) -> None:
    """Write ``state``, and the seed from which all its random numbers are derived."""
    arrays = {f"weights.{name}": w for name, w in state.weights.items()}
    arrays |= {f"best.{name}": w for name, w in state.best_weights.items()}
    arrays |= {f"optimizer.{i}.{name}": w for i, s in state.optimizer.items() for name, w in s.items()}
    header = {
        "seed": seed,
        "best_score": state.best_score,
        "best_epoch": state.best_epoch,
        "epoch": state.epoch,
        "history": state.history,
    }
    write_file(path, _KIND, header, {name: a.detach().cpu().numpy() for name, a in arrays.items()})


def state_saver(path: str | os.PathLike[str], seed: int) -> Callable[[TrainingState], None]:
    """Return what writes the state after every epoch; a full disk is a warning, and training goes on."""

    def save(state: TrainingState) -> None:
        try:
            write_state(path, seed, state)
        except OSError as error:
            warnings.warn(
                f"Training goes on without a checkpoint of epoch {state.epoch}: {error}", UserWarning, stacklevel=2
            )

    return save


def after_epochs(
    save: Callable[[TrainingState], None] | None,
    callbacks: Sequence[Callable[[dict[str, float]], object]],
    labels: dict[str, float],
    end: Callable[[TrainingState], bool],
) -> Callable[[TrainingState], bool]:
    """Return what saves the state after every epoch, hands its row of the history to callbacks, and may stop the run.

    Parameters
    ----------
    save : callable or None
    callbacks : sequence of callables
    labels : dict
        What stands before the entries of a row, such as the number of the network.
    end : callable
        Called last; it returns whether to stop.
    """

    def finish(state: TrainingState) -> bool:
        if save is not None:
            save(state)
        for callback in callbacks:
            callback({**labels, **state.history[-1]})
        return end(state)

    return finish


def read_state(path: str | os.PathLike[str]) -> tuple[int, TrainingState]:
    """Return the seed and the state that ``write_state`` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, truncated, altered, of a newer format or of another kind.
    """
    header, arrays = read_file(path, _KIND)
    sections: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "optimizer": {}}
    for key, a in arrays.items():
        section, _, name = key.partition(".")
        sections[section][name] = torch.tensor(a)
    optimizer: dict[int, dict[str, Tensor]] = {}
    for key, tensor in sections["optimizer"].items():
        index, _, name = key.partition(".")
        optimizer.setdefault(int(index), {})[name] = tensor
    return header["seed"], TrainingState(
        weights=sections["weights"],
        optimizer=optimizer,
        best_weights=sections["best"],
        best_score=header["best_score"],
        best_epoch=header["best_epoch"],
        epoch=header["epoch"],
        history=header["history"],
    )
