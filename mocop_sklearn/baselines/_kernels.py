"""Kernels between molecules and those of training."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel

from ..molecules._blocks import BlockScaler
from ..molecules._fingerprints import MorganCounts
from ..utils._arrays import numbers_of
from ._tanimoto import tanimoto_kernel


class TanimotoKernel:
    """Tanimoto similarity of fingerprints."""

    def __init__(self, table: MorganCounts):
        self._table = table

    def fit(self, smiles: list[str]) -> np.ndarray:
        """Keep the training molecules, and return the kernel between them."""
        self._training = self._table.fit(smiles).transform(smiles)
        return tanimoto_kernel(self._training).astype(np.float64)

    def compare(self, smiles: list[str]) -> np.ndarray:
        """Return the kernel between molecules and those of training, shape (n_molecules, n_training)."""
        return tanimoto_kernel(self._table.transform(smiles), self._training).astype(np.float64)


class BlockKernel:
    """Radial basis function of blocks of columns that weigh alike."""

    def __init__(self, tables: list[Any]):
        self._tables = tables

    def fit(self, smiles: list[str]) -> np.ndarray:
        """Scale the blocks on the training molecules, keep these, and return the kernel between them."""
        blocks = self._blocks([table.fit(smiles) for table in self._tables], smiles)
        self._scalers = [BlockScaler().fit(block) for block in blocks]
        self._training = self._scale(blocks)
        return self._between(self._training)

    def compare(self, smiles: list[str]) -> np.ndarray:
        """Return the kernel between molecules and those of training, shape (n_molecules, n_training)."""
        return self._between(self._scale(self._blocks(self._tables, smiles)))

    def _blocks(self, tables: list[Any], smiles: list[str]) -> list[np.ndarray]:
        return [numbers_of(table.transform(smiles), len(smiles), f"features={table!r}") for table in tables]

    def _scale(self, blocks: list[np.ndarray]) -> np.ndarray:
        scaled = [np.asarray(scaler.transform(block)) for scaler, block in zip(self._scalers, blocks, strict=True)]
        return np.nan_to_num(np.hstack(scaled).astype(np.float64), nan=0.0)

    def _between(self, columns: np.ndarray) -> np.ndarray:
        kernel: np.ndarray = rbf_kernel(columns, self._training, gamma=1 / len(self._tables))
        return kernel
