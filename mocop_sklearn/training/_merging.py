"""Rows of one molecule, merged into one molecule with the mean of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ..molecules._featurize import FeaturizedMolecules
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import as_text
from ._labels import weighted_moments
from ._supervised import LabelledMolecules


@dataclass(frozen=True)
class MergedRows:
    """Distinct molecules, the labels of their rows merged.

    Attributes
    ----------
    graphs : MoleculeGraphs
    keys : ndarray of str
        Connectivity keys.
    smiles : list of str
    targets, weights, mass : ndarray, shape (n_molecules, n_outputs)
        As in ``LabelledMolecules``; weights of at most 1.
    """

    graphs: MoleculeGraphs
    keys: np.ndarray
    smiles: list[str]
    targets: np.ndarray
    weights: np.ndarray
    mass: np.ndarray

    def part(self, molecules: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> LabelledMolecules:
        """Return some of the molecules, with scaled targets."""
        scaled = (self.targets - np.nan_to_num(shift)) / np.where(scale > 0, scale, 1)
        scaled = np.where(self.weights > 0, scaled, 0)
        arrays = (a[molecules].astype(np.float32) for a in (scaled, self.weights, self.mass))
        return LabelledMolecules(self.graphs.take(torch.from_numpy(molecules)), *map(torch.from_numpy, arrays))

    def moments(self, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of each target on the training part."""
        shift, scale = weighted_moments(self.targets[training], self.weights[training])
        # a target that cannot be learned is predicted as its only known value
        shift = np.where(np.isnan(shift), weighted_moments(self.targets, self.weights)[0], shift)
        return shift, np.nan_to_num(scale)

    def no_scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Return moments that leave the targets as they are."""
        return np.zeros(self.targets.shape[1]), np.ones(self.targets.shape[1])


def merge_rows(
    values: Sequence[Any],
    found: FeaturizedMolecules,
    measured: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    mass: np.ndarray,
) -> MergedRows:
    """Merge the rows of each molecule.

    The weighted mean of the labels of a molecule's rows has the same gradient as the rows. So rows may come in any
    order, and a row of weight 2 is two rows.

    Parameters
    ----------
    values : sequence
        Molecules as they were given.
    found : FeaturizedMolecules
        The same, with canonical SMILES and keys.
    measured : ndarray of bool, shape (n_rows,)
        Rows with a label and a weight above 0.
    targets, weights : ndarray, shape (n_rows, n_outputs)
    mass : ndarray
        The weights without the class weights.

    Raises
    ------
    ValueError
        When fewer than two molecules remain.
    """
    graph_of_row = found.graph_of_value
    rows = np.flatnonzero((graph_of_row >= 0) & measured)
    # Of several spellings of a molecule, the alphabetically first one determines the order of its atoms, so that the
    # order of the rows does not matter.
    rows = np.array(sorted(rows, key=lambda row: as_text(values[int(row)])), dtype=int)
    smiles = np.asarray(found.smiles, dtype=object)[graph_of_row[rows]]
    unique, first, molecule = np.unique(smiles, return_index=True, return_inverse=True)
    if len(unique) < 2:
        raise ValueError(
            f"Training needs at least two different molecules with labels, but X holds {len(unique)} "
            f"(n_samples={len(values)}, of which {len(rows)} are valid, measured and of a weight above 0)."
        )
    graph = graph_of_row[rows][first]
    targets, weights, mass = (a[rows] for a in (targets, weights, mass))
    merge = sp.csr_array((np.ones(len(rows)), (molecule, np.arange(len(rows)))))
    total, mass = merge @ weights, merge @ mass
    largest = mass.max() or 1
    return MergedRows(
        graphs=found.graphs.take(torch.from_numpy(graph)),
        keys=np.asarray(found.keys, dtype=str)[graph],
        smiles=unique.tolist(),
        targets=merge @ (weights * targets) / np.where(total > 0, total, 1),
        weights=total / largest,
        mass=mass / largest,
    )
