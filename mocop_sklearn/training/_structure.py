"""The structure objective: from the molecule alone, regress a table of numbers, such as descriptors or a teacher's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from torch import Tensor, nn

from ..model_file._structure import StructureTargets
from ..molecules._blocks import BlockScaler
from ..molecules._graphs import GraphBatch, MoleculeGraphs
from ..molecules._tables import MoleculeDescriptors
from ..nn._models import SideBySide, TwoTower
from ..utils._arrays import numbers_of
from ..utils._device import autocast
from ..utils._distributed import process_group
from ..utils._names import plain_repr
from ._batches import MOLECULES_PER_PASS
from ._inference import embed_graphs

StructureBatch = list[tuple[GraphBatch, Tensor]]  # molecules and their targets, in parts of bounded size
_VALIDATED = 4096  # molecules that are enough to tell epochs apart


def structure_table(
    targets: Any, smiles: Sequence[str], *, n_jobs: int | None, memory: Any
) -> tuple[np.ndarray, str, list[str]]:
    """Compute the table of molecules, a description of its transformer, and the names of its columns.

    Parameters
    ----------
    targets : "descriptors" or transformer
        A scikit-learn transformer that takes a list of SMILES.
    smiles : sequence of str
        Canonical SMILES of standardised molecules.

    Raises
    ------
    ValueError
        When the transformer returns another number of rows, something else than numbers, or nothing finite.
    """
    named = isinstance(targets, str)
    transformer = MoleculeDescriptors(standardize=None, n_jobs=n_jobs, memory=memory) if named else clone(targets)
    table = transformer.fit_transform(list(smiles))
    table = numbers_of(table, len(smiles), f"structure_targets={targets!r}").astype(np.float64, copy=False)
    if not np.isfinite(table).any():
        raise ValueError(f"structure_targets={targets!r} returned no finite number.")
    return table, "descriptors" if named else plain_repr(targets), _names(transformer, table.shape[1])


def _names(transformer: Any, n_columns: int) -> list[str]:
    """Names of the columns of a transformer; ``x0``, ``x1``, … where it, or a step of it, does not know them."""
    try:
        return [str(name) for name in transformer.get_feature_names_out()]
    except (AttributeError, NotImplementedError):
        return [f"x{i}" for i in range(n_columns)]


def fit_targets(table: np.ndarray, transformer: str, names: list[str]) -> StructureTargets:
    """Learn the scale of a table: mean and spread of winsorised columns."""
    scaler = BlockScaler(balance=False).fit(table)
    mean, scale = (np.array([float(f"{x:.9g}") for x in a]) for a in (scaler.mean_, scaler.scale_))  # short in files
    return StructureTargets(transformer, names, mean, scale)


@dataclass(frozen=True)
class StructureCorpus:
    """Molecules with their targets.

    Attributes
    ----------
    graphs : MoleculeGraphs
    targets : Tensor of float32, shape (n_molecules, n_targets)
        Scaled; NaN where there is no number.
    """

    graphs: MoleculeGraphs
    targets: Tensor

    def __len__(self) -> int:
        return len(self.graphs)

    def to(self, device: torch.device) -> StructureCorpus:
        """Return these molecules on ``device``."""
        return StructureCorpus(self.graphs.to(device), self.targets.to(device))

    def batches(self, rng: np.random.Generator, n_batches: int, size: int) -> Iterator[StructureBatch]:
        """Draw batches without replacement, and from the beginning in another order when all molecules were drawn.

        In a process group all processes draw the same, and each makes its share. A batch comes in parts of bounded
        size.
        """
        rank, world_size = process_group()
        order = np.empty(0, dtype=np.int64)
        for _ in range(n_batches):
            while len(order) < size:
                order = np.concatenate([order, rng.permutation(len(self))])
            drawn, order = order[:size], order[size:]
            own = drawn[size * rank // world_size : size * (rank + 1) // world_size]
            yield [
                self._part(own[first : first + MOLECULES_PER_PASS]) for first in range(0, len(own), MOLECULES_PER_PASS)
            ]

    def _part(self, molecules: np.ndarray) -> tuple[GraphBatch, Tensor]:
        rows = torch.from_numpy(molecules)
        return self.graphs.take(rows).collate(), self.targets[rows.to(self.targets.device)]


def structure_gradients(
    model: TwoTower, parts: StructureBatch, weight: float, device: torch.device, precision: str
) -> Tensor:
    """Compute the mean squared error of a batch and add ``weight`` times its gradients to those of the parameters."""
    network = model.structure_network()
    n = sum(len(targets) for _, targets in parts)
    total = torch.zeros((), device=device)
    for graph, targets in parts:
        with autocast(device, precision):
            outputs = network(graph)
        loss = squared_error(outputs.float(), targets) * (len(targets) / n)
        (weight * loss).backward()
        total += loss.detach()
    return total


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error over the numbers that there are; ``weights`` of the rows multiply their errors."""
    known = ~targets.isnan()
    error = F.mse_loss(outputs, targets.nan_to_num(), reduction="none")
    if weights is not None:
        error = error * weights[:, None]
    return (error * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def validate_regression(
    network: nn.Module, validation: StructureCorpus, device: torch.device, precision: str
) -> dict[str, float]:
    """Return the loss, and as the score the share of the variance of all columns that is explained."""
    n = len(validation)
    kept = min(_VALIDATED, n)
    rows = torch.arange(kept) * n // kept  # evenly spaced, for the molecules are sorted
    head = SideBySide([network], validation.targets.shape[1])
    outputs = torch.from_numpy(embed_graphs(head, validation.graphs.take(rows), device, precision))
    targets = validation.targets[rows.to(validation.targets.device)].cpu()
    known = ~targets.isnan()
    center = targets.nan_to_num().sum(dim=0) / known.sum(dim=0).clamp(min=1)
    spread = ((targets.nan_to_num() - center).square() * known).sum()
    residual = ((outputs - targets.nan_to_num()).square() * known).sum()
    return {
        "validation_loss": float(squared_error(outputs, targets)),
        "validation_score": float(1 - residual / spread) if spread > 0 else math.nan,
    }
