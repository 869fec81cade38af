"""Batches for training: the graphs of molecules, and for each molecule a profile drawn from its replicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..molecules._graphs import GraphBatch, MoleculeGraphs
from ..utils._distributed import process_group
from ..utils._parallel import ahead
from ..utils._segments import reduce_segments

_MIXED = 4  # replicates in a Dirichlet mix
MOLECULES_PER_PASS = 2048  # larger batches go through the network in parts, so that memory stays bounded
_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True)
class StreamedProfiles:
    """Profiles too large for memory, read and transformed on demand.

    Attributes
    ----------
    read : callable
        Maps an ndarray of row numbers to transformed profiles, an ndarray of float32.
    shape : tuple of int
    device : torch.device
        The device on which the profiles arrive.
    """

    read: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, int]
    device: torch.device

    def __getitem__(self, rows: Tensor) -> Tensor:
        profiles = torch.from_numpy(self.read(rows.numpy(force=True)))
        if self.device.type == "cpu":
            return profiles
        return (profiles.pin_memory() if self.device.type == "cuda" else profiles).to(self.device, non_blocking=True)

    def to(self, device: torch.device) -> StreamedProfiles:
        """Return profiles that arrive on ``device``."""
        return replace(self, device=device)


class Batch(NamedTuple):
    """The molecules and profiles of one process in one step.

    Attributes
    ----------
    passes : list of (GraphBatch, Tensor)
        Molecules and their profiles, in parts that go through the network one after the other; in a process group,
        the share of this process.
    molecules : Tensor of int64, shape (n,)
        Identity of every row of the whole batch, of all processes.
    targets : list of Tensor or None
        Structure targets of the molecules of each part; None without a structure objective.
    first : int
        The row of the whole batch that the first part begins with.
    """

    passes: list[tuple[GraphBatch, Tensor]]
    molecules: Tensor
    targets: list[Tensor] | None = None
    first: int = 0

    def own_weights(self, weights: Tensor | None, i: int) -> Tensor | None:
        """Return weights of the rows of one part, from those of the whole batch; their mean is one in the batch."""
        if weights is None:
            return None
        start = self.first + sum(len(profiles) for _, profiles in self.passes[:i])
        return weights[start : start + len(self.passes[i][1])] / weights.mean()


@dataclass(frozen=True)
class Corpus:
    """Distinct molecules and, for each, the rows of a profile matrix that are its replicates.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The molecules.
    profiles : Tensor of float32 or StreamedProfiles, shape (n_rows, n_features)
        Transformed profiles, finite. Other corpora may share them; rows that are not in ``rows`` are unused.
    rows : ndarray of int64, shape (n_replicates,)
        Rows of ``profiles``, molecule by molecule, and within a molecule source by source.
    ptr : ndarray of int64, shape (n_molecules + 1,)
        Replicates of molecule i are ``rows[ptr[i]:ptr[i + 1]]``.
    source_ptr : ndarray of int64, shape (n_molecules + 1,)
        Sources of molecule i are ``source_ptr[i]:source_ptr[i + 1]``.
    source_start : ndarray of int64, shape (n_sources_of_molecules + 1,)
        Replicates from a molecule's source j are ``rows[source_start[j]:source_start[j + 1]]``.
    weights : Tensor of float32, shape (n_molecules,), or None
        Share of each molecule in the loss; None for equal shares.
    targets : Tensor of float32, shape (n_molecules, n_targets), or None
        Scaled structure targets, NaN where there is no number; None without a structure objective.
    """

    graphs: MoleculeGraphs
    profiles: Tensor | StreamedProfiles
    rows: np.ndarray
    ptr: np.ndarray
    source_ptr: np.ndarray
    source_start: np.ndarray
    weights: Tensor | None = None
    targets: Tensor | None = None

    @classmethod
    def from_rows(
        cls,
        graphs: MoleculeGraphs,
        profiles: Tensor | StreamedProfiles,
        molecule_of_row: np.ndarray,
        *,
        source_of_row: np.ndarray | None = None,
        weight_of_row: np.ndarray | None = None,
    ) -> Corpus:
        """Index ``profiles`` by the molecule of each row.

        Parameters
        ----------
        molecule_of_row : ndarray of int, shape (n_rows,)
            Row of ``graphs``, or -1 for a row that is left out.
        source_of_row : ndarray of int, shape (n_rows,), optional
            By default, all rows belong to one source.
        weight_of_row : ndarray of float, shape (n_rows,), optional
            A molecule has the mean weight of its rows.
        """
        source = np.zeros(len(molecule_of_row), dtype=np.int64) if source_of_row is None else source_of_row
        order = np.lexsort((source, molecule_of_row))
        order = order[np.searchsorted(molecule_of_row, 0, sorter=order) :]
        molecule, source = molecule_of_row[order], source[order]
        n_replicates = np.bincount(molecule, minlength=len(graphs))
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = (molecule[1:] != molecule[:-1]) | (source[1:] != source[:-1])
        n_sources = np.bincount(molecule[starts], minlength=len(graphs))
        weights = None
        if weight_of_row is not None:
            sums = np.bincount(molecule, weights=weight_of_row[order], minlength=len(graphs))
            weights = torch.from_numpy((sums / n_replicates).astype(np.float32))
        return cls(
            graphs,
            profiles,
            order,
            ptr=np.concatenate([[0], n_replicates.cumsum()]),
            source_ptr=np.concatenate([[0], n_sources.cumsum()]),
            source_start=np.append(np.flatnonzero(starts), len(order)),
            weights=weights,
        )

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def device(self) -> torch.device:
        """The device on which batches are made."""
        return self.graphs.atoms.device

    def to(self, device: torch.device) -> Corpus:
        """Return this corpus with the molecules, and profiles that are in memory, on ``device``."""
        weights, targets = (None if t is None else t.to(device) for t in (self.weights, self.targets))
        graphs, profiles = self.graphs.to(device), self.profiles.to(device)
        return replace(self, graphs=graphs, profiles=profiles, weights=weights, targets=targets)

    def averaged(self) -> Corpus:
        """Return the corpus with one profile for each molecule, the mean of its replicates, in memory."""
        each = np.arange(len(self) + 1)
        return replace(
            self, profiles=self.mean_profiles(), rows=each[:-1], ptr=each, source_ptr=each, source_start=each
        )

    def mean_profiles(self) -> Tensor:
        """Return the mean of the replicates of each molecule, float32 of shape (n_molecules, n_features)."""
        means = torch.empty(len(self), self.profiles.shape[1], device=self.device)
        first = 0
        while first < len(self):  # some thousand rows at a time, but at least one molecule
            last = max(first + 1, int(np.searchsorted(self.ptr, self.ptr[first] + _ROWS_PER_BLOCK, side="right")) - 1)
            profiles = self.profiles[self._on_device(self.rows[self.ptr[first] : self.ptr[last]])]
            lengths = self._on_device(np.diff(self.ptr[first : last + 1]))
            means[first:last] = reduce_segments(profiles, "mean", lengths)
            first = last
        return means

    def draw(self, molecules: np.ndarray, rng: np.random.Generator, replicates: str | int = "sample") -> Batch:
        """Return the graphs of ``molecules`` and a profile of each at random.

        In a process group all processes draw the same, and each makes its share.

        Parameters
        ----------
        molecules : ndarray of int, shape (n,)
            In a process group n is a multiple of the number of processes.
        replicates : {"sample", "source", "mix"} or int
            ``"sample"`` takes one replicate, each equally likely. ``"source"`` takes one replicate, each source
            equally likely. ``"mix"`` takes a mean of four with weights from a flat Dirichlet distribution. An integer
            takes the mean of that many. Several replicates are spread over the sources.
        """
        n = len(molecules)
        rows = self.rows[self._places(molecules, rng, replicates)]
        weights = None
        if rows.ndim == 2:
            k = rows.shape[1]
            weights = rng.dirichlet(np.ones(k), n) if replicates == "mix" else np.full((n, k), 1 / k)
        rank, world_size = process_group()
        share = range(n * rank // world_size, n * (rank + 1) // world_size)
        passes, targets = [], []
        for first in share[::MOLECULES_PER_PASS]:
            own = slice(first, min(first + MOLECULES_PER_PASS, share.stop))
            graph = self.graphs.take(torch.from_numpy(molecules[own])).collate()
            passes.append((graph, self._profiles(rows[own], None if weights is None else weights[own])))
            if self.targets is not None:
                targets.append(self.targets[self._on_device(molecules[own])])
        return Batch(passes, self._on_device(molecules), targets or None, share.start)

    def _profiles(self, rows: np.ndarray, weights: np.ndarray | None) -> Tensor:
        """Profiles of some rows, shape (n,), or means with ``weights``, both of shape (n, k)."""
        profiles = self.profiles[self._on_device(rows.ravel())]
        if weights is None:
            return profiles
        mix = self._on_device(weights.astype(np.float32))
        return torch.einsum("nk,nkd->nd", mix, profiles.view(*rows.shape, -1))

    def _places(self, molecules: np.ndarray, rng: np.random.Generator, replicates: str | int) -> np.ndarray:
        """Places in ``rows``, shape (n,), or (n, k) if k are combined; the cost does not grow with the replicates."""
        start, stop = self.ptr[molecules], self.ptr[molecules + 1]
        if replicates == "source":
            source = _between(self.source_ptr[molecules], self.source_ptr[molecules + 1], rng.random(len(molecules)))
            start, stop = self.source_start[source], self.source_start[source + 1]
        if replicates in ("sample", "source"):
            return _between(start, stop, rng.random(len(molecules)))
        k = _MIXED if replicates == "mix" else int(replicates)
        u = _one_in_each_part(stop - start, rng.random((len(molecules), k)))
        return _between(start[:, None], stop[:, None], u)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def batches(self, rng: np.random.Generator, batch_size: int, replicates: str | int = "sample") -> Iterator[Batch]:
        """One pass over the molecules in random order; the last partial batch is dropped, unless it is the only one.

        In a process group the size of a batch is rounded down to a multiple of the number of processes.
        """
        order = rng.permutation(len(self))
        n_batches, size = self.n_batches(batch_size)
        draws = (self.draw(order[i * size : (i + 1) * size], rng, replicates) for i in range(n_batches))
        return ahead(draws) if isinstance(self.profiles, StreamedProfiles) else draws

    def n_batches(self, batch_size: int) -> tuple[int, int]:
        """Number of batches in a pass, and their size."""
        world_size = process_group()[1]
        size = min(batch_size, len(self)) // world_size * world_size
        if not size:
            raise ValueError(
                f"{len(self)} molecules, in batches of {batch_size}, are too few for {world_size} processes."
            )
        return len(self) // size, size


def _one_in_each_part(n: np.ndarray, u: np.ndarray) -> np.ndarray:
    """From uniform numbers, one in each k-th part of 0 to 1, such that they fall on different ones of n equal steps.

    So replicates in a row, of several sources, are spread over the sources. Where n < k, some steps are taken several
    times. A step that reaches over the end of a part counts in both, each time with its share, but is taken only once.
    All steps are equally likely: this is Deville's systematic sampling.

    Parameters
    ----------
    n : ndarray of int, shape (n_molecules,)
    u : ndarray of float, shape (n_molecules, k)
    """
    k = u.shape[1]
    place = np.empty_like(u)
    taken = np.zeros(len(n), dtype=bool)  # the step that reaches over from the part before
    for j in range(k):
        over = np.where(n < k, 0.0, -j * n % k / n)  # what it covers here; the part is 1 long, the step k / n
        before = np.where(over > 0, k / n - over, 0.0)
        again = np.where(taken, 0.0, over / (1 - before))
        rest = over + (u[:, j] - again) / (1 - again) * (1 - over)
        place[:, j] = (j + np.where(u[:, j] < again, u[:, j] / np.maximum(again, 1e-300) * over, rest)) / k
        taken = (j + 1) * n // k == (place[:, j] * n).astype(np.int64)
    return place


def _between(start: np.ndarray, stop: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Whole numbers from start up to stop, for u from 0 up to 1."""
    return start + (u * (stop - start)).astype(np.int64)
