"""The state of a training between two epochs, as a file: a killed run goes on from it."""

from __future__ import annotations

import os

import torch

from ..model_file._model import read_file, write_file
from ._contrastive import TrainingState

_KIND = "training checkpoint"


def write_state(path: str | os.PathLike[str], seed: int, state: TrainingState) -> None:
    """Write ``state``, and the seed that all its random numbers hang on."""
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


def read_state(path: str | os.PathLike[str]) -> tuple[int, TrainingState]:
    """Return the seed and the state that ``write_state`` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, truncated, altered, of a newer format or of another kind.
    """
    header, arrays = read_file(path, _KIND)
    sections: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "best": {}, "optimizer": {}}
    for key, a in arrays.items():
        section, _, name = key.partition(".")
        sections[section][name] = torch.tensor(a)
    optimizer: dict[int, dict[str, torch.Tensor]] = {}
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
