"""Molecules of the structure objective: those without profiles, and the training molecules that have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..model_file._structure import StructureTargets
from ..molecules._featurize import featurize
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import report_invalid
from ..pairs._grouping import split_molecules
from ._job import Job
from ._profiled import ProfiledMolecules
from ._structure import StructureCorpus, fit_targets, structure_table


@dataclass(frozen=True)
class StructureMolecules:
    """Structure targets of molecules with and without profiles.

    Attributes
    ----------
    targets : StructureTargets
    of_profiled : Tensor of float32, shape (n_training, n_targets), or None
        Targets of the training molecules that have a profile.
    training : StructureCorpus or None
        Molecules without profiles.
    validation : StructureCorpus or None
        None where molecules with profiles choose the best epoch.
    keys : list of str
        Connectivity keys of the molecules without profiles.
    """

    targets: StructureTargets
    of_profiled: torch.Tensor | None
    training: StructureCorpus | None
    validation: StructureCorpus | None
    keys: list[str]


def structure_molecules(job: Job, profiled: ProfiledMolecules | None) -> StructureMolecules:
    """Featurise the molecules without profiles, and compute the targets of all.

    Molecules of a validation part, and others of the same connectivity, are not trained on.

    Raises
    ------
    ValueError
        When rows are not molecules, or fewer than two remain to train on.
    """
    bare = _bare_molecules(job)
    training, validation = _split(job, bare.keys, profiled)
    own = [] if profiled is None else profiled.smiles[: len(profiled.training)]
    smiles = own + [bare.smiles[i] for i in training]
    if len(smiles) < 2:
        raise ValueError(f"The structure objective needs at least two molecules to train on, got {len(smiles)}.")
    held = [bare.smiles[i] for i in validation]
    table, transformer, names = structure_table(
        job.structure_targets, smiles + held, n_jobs=job.n_jobs, memory=job.memory
    )
    known = None if job.start is None else job.start.structure_targets
    targets = known if known is not None and known.are_columns_of(transformer, names) else None
    targets = targets or fit_targets(table[: len(smiles)], transformer, names)
    of_own, of_training, of_held = torch.from_numpy(targets.scaled(table)).split([len(own), len(training), len(held)])

    def corpus(rows: np.ndarray, of_rows: torch.Tensor) -> StructureCorpus | None:
        return StructureCorpus(bare.graphs.take(torch.from_numpy(rows)), of_rows) if len(rows) else None

    return StructureMolecules(
        targets,
        of_own if own else None,
        corpus(training, of_training),
        corpus(validation, of_held),
        bare.keys,
    )


def _split(job: Job, keys: list[str], profiled: ProfiledMolecules | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of molecules without profiles for training, and for validation where there are no profiles."""
    if profiled is None:
        return split_molecules(keys, job.validation_fraction, job.recipe.seed)
    held_out = set(profiled.keys[len(profiled.training) :])
    return np.array([i for i, key in enumerate(keys) if key not in held_out], dtype=np.int64), np.arange(0)


@dataclass(frozen=True)
class _Bare:
    """Distinct molecules."""

    graphs: MoleculeGraphs
    smiles: list[str]
    keys: list[str]


def _bare_molecules(job: Job) -> _Bare:
    values: list[Any] = job.unlabeled or []
    found = featurize(values, job.architecture.featurizer, job.standardize, identify=True, n_jobs=job.n_jobs)
    report_invalid(values, found.reasons, job.invalid, name="unlabeled")
    smiles, first = np.unique(np.asarray(found.smiles, dtype=object), return_index=True)
    return _Bare(found.graphs.take(torch.from_numpy(first)), smiles.tolist(), [found.keys[i] for i in first])
