"""Molecules paired with their profiles: the corpus that training draws from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .graphs import GraphBatch, MoleculeGraphs
from .runtime import generator

_SPLIT = 0


@dataclass(frozen=True)
class Corpus:
    """Distinct molecules and, for each, the rows of a profile matrix that are its replicates.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The molecules.
    profiles : Tensor of float32, shape (n_rows, n_features)
        Transformed profiles, finite.
    rows : Tensor of int64, shape (n_rows,)
        Rows of ``profiles``, molecule by molecule.
    ptr : Tensor of int64, shape (n_molecules + 1,)
        Replicates of molecule i are ``rows[ptr[i]:ptr[i + 1]]``.
    """

    graphs: MoleculeGraphs
    profiles: Tensor
    rows: Tensor
    ptr: Tensor

    @classmethod
    def from_rows(cls, graphs: MoleculeGraphs, profiles: np.ndarray, molecule_of_row: np.ndarray) -> Corpus:
        """Index ``profiles`` by the molecule of each row, a row of ``graphs``."""
        ptr = np.concatenate([[0], np.cumsum(np.bincount(molecule_of_row, minlength=len(graphs)))])
        rows = np.argsort(molecule_of_row, kind="stable")
        return cls(graphs, torch.from_numpy(profiles), torch.from_numpy(rows), torch.from_numpy(ptr))

    def __len__(self) -> int:
        return len(self.graphs)

    def to(self, device: torch.device) -> Corpus:
        """Return this corpus with every array on ``device``."""
        return Corpus(self.graphs.to(device), self.profiles.to(device), self.rows.to(device), self.ptr.to(device))

    def mean_profiles(self) -> Tensor:
        """Average the replicates of each molecule, shape (n_molecules, n_features)."""
        return torch.segment_reduce(self.profiles[self.rows], "mean", lengths=self.ptr.diff())

    def averaged(self) -> Corpus:
        """Return the corpus with one profile for each molecule, the mean of its replicates."""
        one_each = torch.arange(len(self) + 1, device=self.ptr.device)
        return Corpus(self.graphs, self.mean_profiles(), one_each[:-1], one_each)

    def draw(self, molecules: np.ndarray, rng: np.random.Generator) -> tuple[GraphBatch, Tensor, Tensor]:
        """Return the graphs of ``molecules``, one replicate of each at random, and the identity of each row."""
        index = torch.from_numpy(molecules).to(self.ptr.device)
        start, n_replicates = self.ptr[index], self.ptr[index + 1] - self.ptr[index]
        u = torch.from_numpy(rng.random(len(molecules))).to(self.ptr.device)
        profiles = self.profiles[self.rows[start + (u * n_replicates).long()]]
        return self.graphs.take(index).collate(), profiles, index


def split_molecules(keys: Sequence[str], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split molecules into training and validation so that no key is on both sides.

    Parameters
    ----------
    keys : sequence of str
        Connectivity key of each molecule: stereoisomers and salts of one compound stay together.

    Returns
    -------
    training, validation : ndarray of int
        ``validation`` is empty when either part would hold fewer than two keys.
    """
    unique, group = np.unique(np.asarray(keys), return_inverse=True)
    n_validation = round(validation_fraction * len(unique))
    if n_validation < 2 or len(unique) - n_validation < 2:
        return np.arange(len(keys)), np.arange(0)
    chosen = generator(seed, _SPLIT).permutation(len(unique))[:n_validation]
    held_out = np.isin(group, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
