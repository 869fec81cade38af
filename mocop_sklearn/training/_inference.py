"""Graphs and profiles → embeddings, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from joblib import parallel_config
from torch import Tensor

from ..molecules._featurize import FeaturizedMolecules, featurize
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import MAX_ATOMS, Standardize
from ..molecules._workers import in_chunks
from ..nn._models import SideBySide, TwoTower, TwoTowers
from ..utils._device import autocast
from ..utils._parallel import ahead

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
    max_atoms: int = MAX_ATOMS,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Parse, featurise and embed molecules, a chunk of rows at a time.

    On a CPU, each of ``n_jobs`` processes does all of that; for a GPU, they featurise and this process embeds. With
    several processes, a value that ends its process or takes too long is not a molecule.

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
    work = _Work(network if on_cpu else None, featurizer, standardize, max_atoms, invalid, precision)
    chunks = [values[start : start + _ROWS_PER_CHUNK] for start in range(0, len(values), _ROWS_PER_CHUNK)]
    done = in_chunks(work, chunks, partial(_failed, featurizer), n_jobs)
    start = 0
    # beside a GPU, a thread can featurise; on a CPU the two would wait for each other
    for parts in done if on_cpu else ahead(done):
        for found, z in parts:
            rows = slice(start, start + len(found.graph_of_value))
            reasons |= {start + row: reason for row, reason in found.reasons.items()}
            start = rows.stop
            if invalid == "raise" and reasons:
                work.network = None  # nobody will see an embedding, but all reasons
                continue
            z = embed_graphs(network, found.graphs, device, precision) if z is None else z
            valid = found.graph_of_value >= 0
            embedding[rows][valid] = z[found.graph_of_value[valid]]
    return embedding, reasons


@dataclass
class _Work:
    """What one process does with its rows: featurise and, with a network, embed."""

    network: SideBySide | None
    featurizer: str
    standardize: Standardize
    max_atoms: int
    invalid: str
    precision: str

    def __call__(self, values: Sequence[Any]) -> tuple[FeaturizedMolecules, np.ndarray | None]:
        network = self.network
        with parallel_config("sequential"):
            found = featurize(values, self.featurizer, self.standardize, max_atoms=self.max_atoms)
        if network is None or (found.reasons and self.invalid == "raise"):
            return found, None
        z = embed_graphs(network, found.graphs, torch.device("cpu"), self.precision)
        return replace(found, graphs=found.graphs.take(torch.arange(0))), z  # the graphs are not needed any more


def _failed(featurizer: str, reason: str) -> tuple[FeaturizedMolecules, None]:
    """Stand for a row that cannot be read."""
    nothing = featurize([], featurizer)
    return replace(nothing, graph_of_value=np.array([-1]), reasons={0: reason}), None


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
    model: TwoTower | TwoTowers, profiles: Tensor | np.ndarray, device: torch.device, precision: str = "fp32"
) -> np.ndarray:
    """Project transformed profiles into the shared space, shape (n_profiles, projection_dim)."""
    model.eval()
    parts = []
    for batch in torch.as_tensor(profiles).split(_PROFILES_PER_BATCH):
        with autocast(device, precision):
            parts.append(model.project_profiles(batch.to(device)).float().cpu())
    return torch.cat(parts).numpy()
