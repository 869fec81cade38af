"""Graphs and profiles → embeddings, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .encoders import SideBySide, TwoTower
from .featurize import FeaturizedMolecules, featurize
from .graphs import MoleculeGraphs
from .molecules import Standardize, unique_molecules
from .runtime import ahead, autocast

# A batch of about this many atoms keeps the hidden states in the processor's cache.
_ATOMS_PER_BATCH = 2048
_PROFILES_PER_BATCH = 4096
_ROWS_PER_CHUNK = 2048


def embed_molecules(
    model: TwoTower | SideBySide,
    values: Sequence[Any],
    *,
    featurizer: str,
    standardize: Standardize,
    invalid: str,
    output: str,
    device: torch.device,
    precision: str,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Parse, featurise and embed molecules, a chunk of rows at a time.

    Returns
    -------
    embedding : ndarray of float32, shape (n_values, embedding_dim or projection_dim)
        A ``SideBySide`` model has one output of its own, of ``model.width`` columns.
        NaN where a value is no molecule; with ``invalid="raise"``, everywhere from the first such value's chunk on.
    reasons : dict of int to str
        Index of each value that is no molecule, and why.
    """
    embedding = np.full((len(values), _width(model, output)), np.nan, dtype=np.float32)
    reasons: dict[int, str] = {}

    def prepare(start: int) -> tuple[np.ndarray, FeaturizedMolecules]:
        unique, inverse = unique_molecules(values[start : start + _ROWS_PER_CHUNK])
        return inverse, featurize(unique, featurizer, standardize, n_jobs=n_jobs)

    # RDKit and torch both run without the interpreter's lock: one parses ahead while the other embeds
    starts = range(0, len(values), _ROWS_PER_CHUNK)
    for start, (inverse, found) in zip(starts, ahead(map(prepare, starts)), strict=True):
        graph_of_row = found.graph_index(len(found.graphs) + len(found.reasons))[inverse]
        valid = graph_of_row >= 0
        reasons |= {int(row) + start: found.reasons[inverse[row]] for row in np.flatnonzero(~valid)}
        if reasons and invalid == "raise":
            continue
        z = embed_graphs(model, found.graphs, output, device, precision)
        embedding[start : start + len(inverse)][valid] = z[graph_of_row[valid]]
    return embedding, reasons


def _width(model: TwoTower | SideBySide, output: str) -> int:
    if isinstance(model, SideBySide):
        return model.width
    layer = model.molecule_encoder.readout if output == "encoder" else model.molecule_head.linear
    return layer.out_features


@torch.inference_mode()
def embed_graphs(
    model: TwoTower | SideBySide, graphs: MoleculeGraphs, output: str, device: torch.device, precision: str = "fp32"
) -> np.ndarray:
    """Embed molecules.

    Parameters
    ----------
    output : {"encoder", "projection"}

    Returns
    -------
    ndarray of float32, shape (n_molecules, embedding_dim or projection_dim)
    """
    model.eval()
    if isinstance(model, SideBySide):
        forward = model.__call__
    else:
        forward = model.molecule_encoder.__call__ if output == "encoder" else model.project_molecules
    parts = [torch.empty(0, _width(model, output))]
    for rows in _batches_by_atoms(graphs):
        with autocast(device, precision):
            parts.append(forward(graphs.take(rows).to(device).collate()).float().cpu())
    return torch.cat(parts).numpy()


def _batches_by_atoms(graphs: MoleculeGraphs) -> list[Tensor]:
    batch_of_molecule = (graphs.atom_ptr[1:] - 1) // _ATOMS_PER_BATCH
    sizes = torch.unique_consecutive(batch_of_molecule, return_counts=True)[1]
    return list(torch.arange(len(graphs), device=sizes.device).split(sizes.tolist()))


@torch.inference_mode()
def embed_profiles(
    model: TwoTower, profiles: Tensor | np.ndarray, device: torch.device, precision: str = "fp32"
) -> np.ndarray:
    """Project transformed profiles into the shared space, shape (n_profiles, projection_dim)."""
    model.eval()
    parts = []
    for batch in torch.as_tensor(profiles).split(_PROFILES_PER_BATCH):
        with autocast(device, precision):
            parts.append(model.project_profiles(batch.to(device)).float().cpu())
    return torch.cat(parts).numpy()
