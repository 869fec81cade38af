"""Rows of one molecule, merged into one molecule with the mean of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ..molecules._featurize import FeaturizedMolecules, featurize
from ..molecules._fields import Featurizer
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import Standardize, as_text, report_invalid
from ._labels import weighted_moments
from ._supervised import LabelledMolecules, compact, dense


@dataclass(frozen=True)
class Targets:
    """What is to be learned of each row, in the manner of a sparse matrix by rows.

    Attributes
    ----------
    indptr : ndarray of int, shape (n_rows + 1,)
    column : ndarray of int, shape (n_entries,)
        The output of each entry.
    target, weight, mass : ndarray of float, shape (n_entries,)
        Labels, their weights, and these without the class weights.
    n_outputs : int
    exclusive : bool
        Whether the outputs are classes of one softmax; then each row has one entry, of its class.
    """

    indptr: np.ndarray
    column: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    mass: np.ndarray
    n_outputs: int
    exclusive: bool = False

    @property
    def has_label(self) -> np.ndarray:
        """Whether each row has a label."""
        return np.diff(self.indptr) > 0


@dataclass(frozen=True)
class MergedRows:
    """Distinct molecules, the labels of their rows merged.

    Attributes
    ----------
    graphs : MoleculeGraphs
    keys : ndarray of str
        Connectivity keys.
    smiles : list of str
    targets, weights, mass : csr_array of float, shape (n_molecules, n_outputs)
        As in ``LabelledMolecules``; weights of at most 1.
    """

    graphs: MoleculeGraphs
    keys: np.ndarray
    smiles: list[str]
    targets: sp.csr_array
    weights: sp.csr_array
    mass: sp.csr_array

    def part(self, molecules: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> LabelledMolecules:
        """Return some of the molecules, with scaled targets."""
        targets, weights, mass = (a[molecules] for a in (self.targets, self.weights, self.mass))
        scaled = (targets.data - np.nan_to_num(shift)[targets.indices]) / np.where(scale > 0, scale, 1)[targets.indices]
        form = dense  # of classes of one softmax
        if weights.shape == targets.shape:
            scaled, form = np.where(weights.data > 0, scaled, 0), compact
        targets = sp.csr_array((scaled, targets.indices, targets.indptr), shape=targets.shape)
        return LabelledMolecules(self.graphs.take(torch.from_numpy(molecules)), *map(form, (targets, weights, mass)))

    def moments(self, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of each target on the training part."""
        targets, weights = self.targets[training], self.weights[training]
        n = self.targets.shape[1]
        shift, scale = weighted_moments(targets.indices, targets.data, weights.data, n)
        # a target that cannot be learned is predicted as its only known value
        known = weighted_moments(self.targets.indices, self.targets.data, self.weights.data, n)[0]
        return np.where(np.isnan(shift), known, shift), np.nan_to_num(scale)

    def no_scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Return moments that leave the targets as they are."""
        return np.zeros(self.targets.shape[1]), np.ones(self.targets.shape[1])

    def content(self) -> list[np.ndarray]:
        """Return the arrays that tell these labels from others, for a digest."""
        return [part for a in (self.targets, self.weights) for part in (a.data, a.indices, a.indptr)]


def read_and_merge(
    values: Sequence[Any],
    labels: Targets,
    *,
    featurizer: str | Featurizer,
    standardize: Standardize,
    max_atoms: int,
    invalid: str,
    n_jobs: int | None,
    name: str,
    n_needed: int,
) -> MergedRows:
    """Read the molecules of rows, and merge the rows of each.

    Parameters
    ----------
    values : sequence of str or Mol
    labels : Targets
    featurizer, standardize, max_atoms, n_jobs
        As in ``featurize``.
    invalid : {"raise", "nan"}
    name : str
        What the messages call the values.
    n_needed : int
        Number of distinct molecules with labels.

    Raises
    ------
    ValueError
        When rows are invalid, or fewer molecules remain.
    """
    found = featurize(values, featurizer, standardize, max_atoms=max_atoms, identify=True, n_jobs=n_jobs)
    report_invalid(values, found.reasons, invalid, name=name)
    merged = merge_rows(values, found, labels)
    if len(merged.smiles) < n_needed:
        n_labelled = int((labels.has_label & (found.graph_of_value >= 0)).sum())
        task, number = ("Training", "two different molecules") if n_needed > 1 else ("Validation", "one molecule")
        raise ValueError(
            f"{task} needs at least {number} with labels, but {name} holds {len(merged.smiles)} "
            f"(n_samples={len(values)}, of which {n_labelled} are valid, measured and of a weight above 0)."
        )
    return merged


def merge_rows(values: Sequence[Any], found: FeaturizedMolecules, labels: Targets) -> MergedRows:
    """Merge the rows of each molecule.

    The weighted mean of the labels of a molecule's rows has the same gradient as the rows. So rows may come in any
    order, and a row of weight 2 is two rows.

    Parameters
    ----------
    values : sequence
        Molecules as they were given.
    found : FeaturizedMolecules
        The same, with canonical SMILES and keys.
    labels : Targets
        Of the rows; those of weight 0 left out.
    """
    graph_of_row = found.graph_of_value
    rows = np.flatnonzero((graph_of_row >= 0) & labels.has_label)
    # Of several spellings of a molecule, the alphabetically first one determines the order of its atoms, so that the
    # order of the rows does not matter.
    rows = np.array(sorted(rows, key=lambda row: as_text(values[int(row)])), dtype=int)
    smiles = np.asarray(found.smiles, dtype=object)[graph_of_row[rows]]
    unique, first, molecule = np.unique(smiles, return_index=True, return_inverse=True)
    graph = graph_of_row[rows][first]
    in_order = np.argsort(molecule, kind="stable")
    targets, weights, mass = _sums(labels, rows[in_order], molecule[in_order], len(unique))
    largest = mass.data.max(initial=0) or 1
    return MergedRows(
        graphs=found.graphs.take(torch.from_numpy(graph)),
        keys=np.asarray(found.keys, dtype=str)[graph],
        smiles=unique.tolist(),
        targets=targets,
        weights=weights / largest,
        mass=mass / largest,
    )


def _sums(
    labels: Targets, rows: np.ndarray, molecule: np.ndarray, n_molecules: int
) -> tuple[sp.csr_array, sp.csr_array, sp.csr_array]:
    """Return mean targets, and sums of weights and mass, of the rows of each molecule, which stand together."""
    lengths = np.diff(labels.indptr)[rows]
    starts = np.cumsum(lengths) - lengths
    entry = np.arange(lengths.sum()) + np.repeat(labels.indptr[rows] - starts, lengths)
    place = np.repeat(molecule, lengths) * labels.n_outputs + labels.column[entry]
    if (np.diff(place) <= 0).any():  # a molecule has several rows
        order = np.argsort(place, kind="stable")
        entry, place = entry[order], place[order]
    first = np.flatnonzero(np.diff(place, prepend=-1))
    place = place[first]

    def sums(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.add.reduceat(values, first) if len(first) else values
        return total

    weight = labels.weight[entry]
    total, weighted, mass = sums(weight), sums(weight * labels.target[entry]), sums(labels.mass[entry])
    owner, column = np.divmod(place, labels.n_outputs)
    indptr = np.searchsorted(owner, np.arange(n_molecules + 1))
    shape = (n_molecules, labels.n_outputs)
    if labels.exclusive:  # one weight for all classes of a molecule
        one = np.arange(n_molecules + 1)
        total, mass = (np.bincount(owner, a, minlength=n_molecules) for a in (total, mass))
        mean = weighted / np.where(total > 0, total, 1)[owner]
        weights, masses = (
            sp.csr_array((a, np.zeros(n_molecules, dtype=int), one), shape=(n_molecules, 1)) for a in (total, mass)
        )
    else:
        mean = weighted / np.where(total > 0, total, 1)
        weights, masses = (sp.csr_array((a, column, indptr), shape=shape) for a in (total, mass))
    return sp.csr_array((mean, column, indptr), shape=shape), weights, masses
