"""Molecules of the structure objective: those without profiles, and the training molecules that have one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..model_file._structure import StructureTargets
from ..molecules._featurize import featurize
from ..molecules._graphs import MoleculeGraphs, concatenate
from ..molecules._parse import report_invalid
from ..pairs._grouping import split_molecules
from ._job import Job
from ._profiled import ProfiledMolecules
from ._structure import StructureCorpus, fit_targets, structure_table


@dataclass(frozen=True)
class StructureMolecules:
    """Molecules with structure targets, in two parts.

    Attributes
    ----------
    training : StructureCorpus
    validation : StructureCorpus or None
        None where molecules with profiles choose the best epoch.
    targets : StructureTargets
    keys : list of str
        Connectivity keys of the molecules without profiles.
    """

    training: StructureCorpus
    validation: StructureCorpus | None
    targets: StructureTargets
    keys: list[str]


def structure_molecules(job: Job, profiled: ProfiledMolecules | None) -> StructureMolecules:
    """Featurise the molecules without profiles, join those that have one, and compute the targets of all.

    Molecules of a validation part, and others of the same connectivity, are not trained on.

    Raises
    ------
    ValueError
        When rows are not molecules, or fewer than two remain to train on.
    """
    bare = _bare_molecules(job)
    keys = bare.keys
    if profiled is None:
        training, validation = split_molecules(keys, job.validation_fraction, job.recipe.seed)
    else:
        n_training = len(profiled.training)
        held_out = set(profiled.keys[n_training:])
        training = np.array([i for i, key in enumerate(keys) if key not in held_out], dtype=np.int64)
        validation = np.arange(0)
    graphs, smiles = bare.graphs.take(torch.from_numpy(training)), [bare.smiles[i] for i in training]
    if profiled is not None:
        known = set(smiles)
        new = [i for i, text in enumerate(profiled.smiles[:n_training]) if text not in known]
        graphs = concatenate([graphs, profiled.training.graphs.take(torch.tensor(new, dtype=torch.int64))])
        smiles += [profiled.smiles[i] for i in new]
    if len(smiles) < 2:
        raise ValueError(
            f"The structure objective needs at least two molecules to train on, but there are {len(smiles)}."
        )
    held = [bare.smiles[i] for i in validation]
    table, transformer, names = structure_table(
        job.structure_targets, smiles + held, n_jobs=job.n_jobs, memory=job.memory
    )
    known_targets = None if job.start is None else job.start.structure_targets
    same = known_targets is not None and known_targets.names == names
    targets = known_targets if same and known_targets else fit_targets(table[: len(smiles)], transformer, names)
    scaled = torch.from_numpy(targets.scaled(table))
    return StructureMolecules(
        StructureCorpus(graphs, scaled[: len(smiles)]),
        StructureCorpus(bare.graphs.take(torch.from_numpy(validation)), scaled[len(smiles) :]) if held else None,
        targets,
        keys,
    )


@dataclass(frozen=True)
class _Bare:
    """Distinct molecules."""

    graphs: MoleculeGraphs
    smiles: list[str]
    keys: list[str]


def _bare_molecules(job: Job) -> _Bare:
    assert job.unlabeled is not None
    found = featurize(job.unlabeled, job.architecture.featurizer, job.standardize, identify=True, n_jobs=job.n_jobs)
    report_invalid(job.unlabeled, found.reasons, job.invalid, name="unlabeled")
    smiles, first = np.unique(np.asarray(found.smiles, dtype=object), return_index=True)
    return _Bare(found.graphs.take(torch.from_numpy(first)), smiles.tolist(), [found.keys[i] for i in first])
