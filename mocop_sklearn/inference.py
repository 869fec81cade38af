"""Graphs and profiles → embeddings, in batches of bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .encoders import TwoTower
from .graphs import MoleculeGraphs
from .runtime import autocast

# A batch of about this many atoms keeps the hidden states in the processor's cache.
_ATOMS_PER_BATCH = 8192
_PROFILES_PER_BATCH = 4096


@torch.inference_mode()
def embed_graphs(
    model: TwoTower, graphs: MoleculeGraphs, output: str, device: torch.device, precision: str = "fp32"
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
    forward = model.molecule_encoder if output == "encoder" else model.project_molecules
    parts = []
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
