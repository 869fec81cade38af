"""Graphs and profiles → embeddings, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from joblib import delayed, parallel_config
from torch import Tensor

from ..molecules._featurize import FeaturizedMolecules, featurize
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import Standardize
from ..nn._models import SideBySide, TwoTower
from ..utils._device import autocast
from ..utils._parallel import ahead, results

# A batch of about this many atoms keeps the hidden states in the processor's cache.
_ATOMS_PER_BATCH = 2048
# Products of few rows are summed in another order, so the last bit would depend on the other rows. Molecules without
# atoms fill such a batch up.
_MOLECULES_MULTIPLE = 32
_PROFILES_PER_BATCH = 4096
_ROWS_PER_CHUNK = 1024


def embed_molecules(
    network: SideBySide,
    values: Sequence[Any],
    *,
    featurizer: str,
    standardize: Standardize,
    invalid: str,
    device: torch.device,
    precision: str,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Parse, featurise and embed molecules, a chunk of rows at a time.

    On a CPU, each of ``n_jobs`` processes does all of that; for a GPU, they featurise and this process embeds.

    Returns
    -------
    embedding : ndarray of float32, shape (n_values, network.width)
        NaN where a value is not a molecule; with ``invalid="raise"``, also in later chunks.
    reasons : dict of int to str
        Index of each value that is not a molecule, and the reason.
    """
    embedding = np.full((len(values), network.width), np.nan, dtype=np.float32)
    reasons: dict[int, str] = {}
    on_cpu = device.type == "cpu"

    def is_in_vain() -> bool:
        return invalid == "raise" and bool(reasons)

    work = partial(_work, featurizer=featurizer, standardize=standardize, invalid=invalid, precision=precision)
    starts = range(0, len(values), _ROWS_PER_CHUNK)
    jobs = (
        delayed(work)(values[start : start + _ROWS_PER_CHUNK], network if on_cpu and not is_in_vain() else None)
        for start in starts
    )
    done = results(jobs, n_jobs)
    # beside a GPU, a thread can featurise; on a CPU the two would wait for each other
    for start, (found, z) in zip(starts, done if on_cpu else ahead(done), strict=True):
        reasons |= {start + row: reason for row, reason in found.reasons.items()}
        if is_in_vain():
            continue
        if z is None:
            z = embed_graphs(network, found.graphs, device, precision)
        valid = found.graph_of_value >= 0
        embedding[start : start + len(valid)][valid] = z[found.graph_of_value[valid]]
    return embedding, reasons


def _work(
    values: Sequence[Any],
    network: SideBySide | None,
    featurizer: str,
    standardize: Standardize,
    invalid: str,
    precision: str,
) -> tuple[FeaturizedMolecules, np.ndarray | None]:
    """Featurise and, with a network, embed: what one process does with its rows."""
    with parallel_config("sequential"):
        found = featurize(values, featurizer, standardize)
    if network is None or (found.reasons and invalid == "raise"):
        return found, None
    z = embed_graphs(network, found.graphs, torch.device("cpu"), precision)
    return replace(found, graphs=found.graphs.take(torch.arange(0))), z  # the graphs are not needed any more


@torch.inference_mode()
def embed_graphs(
    network: SideBySide, graphs: MoleculeGraphs, device: torch.device, precision: str = "fp32"
) -> np.ndarray:
    """Embed molecules.

    Returns
    -------
    ndarray of float32, shape (n_molecules, network.width)
    """
    network.eval()
    fills_up = network.takes_empty_molecules
    parts = [torch.empty(0, network.width)]
    for rows in _batches_by_atoms(graphs):
        graph = graphs.take(rows).to(device).collate()
        if fills_up:
            lengths = F.pad(graph.atoms_per_molecule, (0, -len(rows) % _MOLECULES_MULTIPLE))
            graph = replace(graph, atoms_per_molecule=lengths)
        with autocast(device, precision):
            z = network(graph)[: len(rows)]
        parts.append(z.float().cpu())
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
