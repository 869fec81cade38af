"""From paired rows, bare molecules, or both to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..model_file._compact import distinct_keys, kept_parts, keys_beyond, numbered
from ..model_file._local_scaling import LocalScaling
from ..model_file._model import PretrainedModel
from ..model_file._side import SideTower, landmarks
from ..model_file._structure import StructureTargets
from ..nn._models import Architecture
from ._contrastive import Recipe, train
from ._inference import embed_graphs, embed_profiles
from ._job import Job
from ._loop import TrainingState, after_epochs, read_state, state_saver
from ._profiled import ProfiledMolecules, profiled_molecules
from ._unlabeled import StructureMolecules, structure_molecules


class Interrupted(Exception):
    """A training ended early; raised with the model so far, so that no cache keeps it for the whole."""

    def __init__(self, model: PretrainedModel):
        super().__init__(model)
        self.model = model


def pretrain(job: Job) -> PretrainedModel:
    """Run a pretraining.

    Raises
    ------
    ValueError
        When rows are invalid, or fewer than two distinct molecules remain.
    Interrupted
        When training ended before its time.
    """
    job, unfinished = _resume(job)
    profiled = None if job.source is None else profiled_molecules(job, job.source)
    structure = structure_molecules(job, profiled) if job.recipe.structure_weight > 0 else None
    architecture = job.architecture
    if profiled is not None:
        architecture = replace(architecture, n_profile_features=profiled.n_features)
    if structure is not None:
        architecture = replace(architecture, n_structure_targets=len(structure.targets.names))
    states: list[TrainingState] = []
    while len(states) < job.n_networks and not (states and _is_unfinished(states[-1], job.recipe)):
        member = len(states)

        def model_of(state: TrainingState) -> PretrainedModel:
            return _model(job, architecture, [*states, state], profiled, structure)

        resumed = unfinished.get(member)
        states.append(_train_member(job, member, architecture, profiled, structure, resumed, model_of))
    model = _model(job, architecture, states, profiled, structure)
    if profiled and model.architecture.has_profile_network and (job.side_features or job.local_scaling):
        model = _with_shared_space(job, profiled, model)
    if _is_unfinished(states[-1], job.recipe) or any(state.is_stopped for state in states):
        raise Interrupted(model)
    return model


def _train_member(
    job: Job,
    member: int,
    architecture: Architecture,
    profiled: ProfiledMolecules | None,
    structure: StructureMolecules | None,
    resumed: TrainingState | None,
    model_of: Callable[[TrainingState], PretrainedModel],
) -> TrainingState:
    """Train one network, on the same training and validation molecules as the others."""
    recipe, checkpoint = job.recipe_of(member), job.checkpoint_of(member)
    with job.network(member) as task:
        return train(
            architecture,
            recipe,
            replace(profiled.training, targets=structure.of_profiled if structure else None) if profiled else None,
            profiled.validation if profiled else None,
            device=job.device,
            structure=structure.training if structure else None,
            structure_validation=structure.validation if structure else None,
            initial_weights=_initial_weights(job, member, structure.targets if structure else None),
            resume_from=resumed,
            begin=task.begin,
            save=after_epochs(
                state_saver(checkpoint, recipe.seed) if checkpoint else None,
                job.callbacks,
                {"estimator": member} if job.n_networks > 1 else {},
                lambda state: task.end(lambda: job.attributes_of(model_of(state))),
            ),
            verbose=job.verbose,
        )


def _is_unfinished(state: TrainingState, recipe: Recipe) -> bool:
    has_ended = state.is_stopped or state.is_out_of_patience(recipe.patience)
    return state.epoch < recipe.max_epochs and not has_ended


def _initial_weights(job: Job, member: int, targets: StructureTargets | None) -> dict[str, torch.Tensor] | None:
    """Return the weights to start from; a head for other structure targets than ours begins at random."""
    if job.start is None:
        return None
    known = job.start.structure_targets
    keeps_head = targets is None or (known is not None and known.are_columns_of(targets.transformer, targets.names))
    weights = job.start.network_weights(member)
    return weights if keeps_head else {n: w for n, w in weights.items() if not n.startswith("structure_head.")}


def _model(
    job: Job,
    architecture: Architecture,
    states: list[TrainingState],
    profiled: ProfiledMolecules | None,
    structure: StructureMolecules | None,
) -> PretrainedModel:
    start, source = job.start, job.source
    keys = distinct_keys(profiled.keys if profiled else (), start.molecule_keys if start else ())
    bare = distinct_keys(structure.keys if structure else (), start.structure_keys if start else ())
    provenance = source.provenance if source and not job.start_with_profiles else start.provenance if start else {}
    # without a contrastive loss, there is no shared space: what embeds profiles was not trained
    of_profiles = profiled if job.recipe.loss is not None else None
    if profiled and of_profiles is None:
        architecture = architecture.of_structures()
    return PretrainedModel(
        architecture=architecture,
        weights=numbered(
            [{name: w.numpy() for name, w in kept_parts(state.best_weights, architecture).items()} for state in states]
        ),
        standardize=job.standardize,
        profile_transformer=of_profiles.transformer if of_profiles else None,
        profile_features=source.feature_names if source and of_profiles else None,
        n_profile_columns=source.n_features if source and of_profiles else 0,
        molecule_keys=keys,
        structure_keys=keys_beyond(bare, keys),
        history=_history(states),
        n_iter=max(state.epoch for state in states),
        best_score=float(np.mean([state.best_score for state in states])),
        parameters=job.parameters,
        provenance=provenance,
        profile_statistics=of_profiles.statistics if of_profiles else {},
        structure_targets=structure.targets if structure else start.structure_targets if start else None,
    )


def _history(states: list[TrainingState]) -> list[dict[str, float]]:
    """Return the rows of all networks; where there are several, each says which one it belongs to."""
    if len(states) == 1:
        return states[0].history
    return [{"estimator": member, **row} for member, state in enumerate(states) for row in state.history]


def _with_shared_space(job: Job, profiled: ProfiledMolecules, model: PretrainedModel) -> PretrainedModel:
    """Return the model with what else belongs to its shared space, fitted on one averaged profile of each molecule."""
    parts = [part for part in (profiled.training, profiled.validation) if part is not None]
    profiles = torch.cat([part.mean_profiles() for part in parts])
    if job.side_features:
        model = replace(model, side=_side_tower(job, profiled, profiles, model))
    if job.local_scaling:
        model = replace(model, local_scaling=_local_scaling(job, profiled, profiles, model))
    return model


def _side_tower(job: Job, profiled: ProfiledMolecules, profiles: torch.Tensor, model: PretrainedModel) -> SideTower:
    """Fit what stands beside the network; the molecules of validation tell how much the network counts beside it."""
    validation = profiled.validation
    held_out = None
    if validation is not None:
        network, precision = model.module().to(job.device), job.recipe.precision
        held_out = (
            embed_graphs(network.tower("projection"), validation.graphs, job.device, precision),
            embed_profiles(network, profiles[-len(validation) :], job.device, precision),
        )
    return SideTower(job.side_features).fit(
        profiled.smiles,
        profiles.numpy(),
        groups=profiled.keys,
        held_out=held_out,
        seed=job.recipe.seed,
        n_jobs=job.n_jobs,
    )


def _local_scaling(
    job: Job, profiled: ProfiledMolecules, profiles: torch.Tensor, model: PretrainedModel
) -> LocalScaling:
    """Fit the correction for hubs on the molecules that are landmarks of the side tower, too."""
    network, precision, side = model.module().to(job.device), job.recipe.precision, model.side
    rows = torch.from_numpy(landmarks(len(profiles), job.recipe.seed))
    n_training = len(profiled.training)
    graphs = [profiled.training.graphs.take(rows[rows < n_training])]
    if profiled.validation is not None:
        graphs.append(profiled.validation.graphs.take(rows[rows >= n_training] - n_training))
    tower = network.tower("projection")
    of_molecules = np.concatenate([embed_graphs(tower, part, job.device, precision) for part in graphs])
    of_profiles = embed_profiles(network, profiles[rows], job.device, precision)
    if side is not None:
        of_molecules = side.beside(of_molecules, side.project_landmarks())
        of_profiles = side.beside(of_profiles, side.project_profiles(profiles[rows].numpy()))
    return LocalScaling().fit(of_molecules, of_profiles)


def _resume(job: Job) -> tuple[Job, dict[int, TrainingState]]:
    """Return the job with the seed of the run that it continues, and the states of that run's networks."""
    paths = {member: job.checkpoint_of(member) for member in range(job.n_networks if job.resume else 0)}
    found = {member: read_state(path) for member, path in paths.items() if path is not None and path.exists()}
    if 0 in found:
        job = replace(job, recipe=replace(job.recipe, seed=found[0][0]))
    # a state with another seed belongs to an earlier run
    return job, {member: state for member, (seed, state) in found.items() if seed == job.recipe_of(member).seed}
