"""From paired rows to a trained model: featurise, split, scale, train, keep."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .checkpoint import PretrainedModel, as_tensors
from .encoders import Architecture
from .featurize import featurize
from .molecules import report_invalid, unique_molecules
from .pairs import Corpus, PairedProfiles, split_molecules
from .profiles import ProfileScaler
from .resuming import read_state, write_state
from .training import Recipe, TrainingState, out_of_patience, train


@dataclass(frozen=True)
class Job:
    """One pretraining, all its inputs."""

    source: PairedProfiles
    start: PretrainedModel | None
    architecture: dict[str, Any]
    recipe: Recipe
    profile_transformer: Any
    standardize: Any
    invalid: str
    validation_fraction: float
    device: torch.device
    n_jobs: int | None
    checkpoint: Path | None
    resume: bool
    parameters: dict[str, Any]
    verbose: bool


class Interrupted(Exception):
    """The user cut a training short; raised with the model so far, so that no cache keeps it for the whole."""

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
    job, resumed = _resume(job)
    source = job.source
    texts, text_of_row = unique_molecules(source.molecules)
    found = featurize(texts, job.architecture["featurizer"], job.standardize, identify=True, n_jobs=job.n_jobs)
    graph_of_row = found.graph_index(len(texts))[text_of_row]
    bad = np.flatnonzero(graph_of_row < 0).tolist()
    report_invalid(source.molecules, {row: found.reasons[text_of_row[row]] for row in bad}, job.invalid)
    rows = np.flatnonzero((graph_of_row >= 0) & _has_values(source.profiles, job.invalid))
    graph_of_row = graph_of_row[rows]

    # replicates are the rows of one canonical SMILES
    smiles = np.asarray(found.smiles, dtype=object)[graph_of_row]
    unique, first, molecule_of_row = np.unique(smiles, return_index=True, return_inverse=True)
    if len(unique) < 2:
        raise ValueError(
            f"Contrastive training needs at least two different molecules, but X holds {len(unique)} "
            f"(n_samples={len(source)}, of which {len(rows)} usable)."
        )
    graphs = found.graphs.take(torch.from_numpy(graph_of_row[first]))
    keys = np.asarray(found.keys, dtype=str)[graph_of_row[first]]
    training, validation = split_molecules(keys, job.validation_fraction, job.recipe.seed)

    profiles = source.profiles[rows]
    transformer, scaled = _transform_profiles(job, profiles, np.isin(molecule_of_row, training))

    def corpus(molecules: np.ndarray) -> Corpus:
        position = np.full(len(unique), -1)
        position[molecules] = np.arange(len(molecules))
        own = position[molecule_of_row]
        return Corpus.from_rows(graphs.take(torch.from_numpy(molecules)), scaled[own >= 0], own[own >= 0])

    architecture = (
        job.start.architecture if job.start else Architecture(**job.architecture, n_profile_features=scaled.shape[1])
    )
    state = train(
        architecture,
        job.recipe,
        corpus(training),
        corpus(validation) if len(validation) else None,
        device=job.device,
        initial_weights=as_tensors(job.start.weights) if job.start else None,
        resume_from=resumed,
        save=_state_writer(job),
        verbose=job.verbose,
    )
    model = PretrainedModel(
        architecture=architecture,
        weights={name: w.numpy() for name, w in state.best_weights.items()},
        standardize=job.standardize,
        profile_transformer=transformer,
        profile_features=source.feature_names,
        n_profile_columns=profiles.shape[1],
        molecule_keys=sorted({*keys.tolist(), *(job.start.molecule_keys if job.start else ())}),
        history=state.history,
        n_iter=state.epoch,
        best_score=state.best_score if len(validation) else float("nan"),
        parameters=job.parameters,
    )
    if state.epoch < job.recipe.max_epochs and not out_of_patience(state, job.recipe.patience):
        raise Interrupted(model)
    return model


def _has_values(profiles: np.ndarray, invalid: str) -> np.ndarray:
    """Which rows hold at least one finite value; the others are reported like bad molecules."""
    has_values = np.isfinite(profiles).any(axis=1)
    if not has_values.all():
        bad = np.flatnonzero(~has_values)
        message = f"{len(bad)} of {len(profiles)} profiles hold no finite value: rows {bad[:10].tolist()}"
        if invalid == "raise":
            raise ValueError(f'{message}. Remove these rows, or set invalid="nan" to leave them out of training.')
        warnings.warn(f"{message}; they are left out of training.", UserWarning, stacklevel=2)
    return has_values


def _transform_profiles(job: Job, profiles: np.ndarray, is_training: np.ndarray) -> tuple[Any, np.ndarray]:
    """Fit the profile transformer on training rows only and apply it to all."""
    if job.start is not None:
        transformer = job.start.profile_transformer
    else:
        transformer = (
            ProfileScaler(n_components=64) if job.profile_transformer is None else clone(job.profile_transformer)
        )
        transformer.fit(profiles[is_training])
    return transformer, apply_transformer(transformer, profiles)


def apply_transformer(transformer: Any, profiles: np.ndarray) -> np.ndarray:
    """Transform profiles and check that what comes out can be trained on."""
    scaled = transformer.transform(profiles)
    scaled = np.require(scaled.toarray() if hasattr(scaled, "toarray") else scaled, np.float32, ["C", "W"])
    if scaled.ndim != 2 or len(scaled) != len(profiles) or not np.isfinite(scaled).all():
        raise ValueError(
            f"profile_transformer={transformer!r} returned missing or infinite values, or another number of rows "
            f"({scaled.shape} from {profiles.shape}). Put an imputer and a clipping scaler into it, or use the "
            "default."
        )
    return scaled


# ---------------------------------------------------------------------------------------------
# Resuming
# ---------------------------------------------------------------------------------------------


def _state_writer(job: Job) -> Callable[[TrainingState], None] | None:
    return None if job.checkpoint is None else partial(write_state, job.checkpoint, job.recipe.seed)


def _resume(job: Job) -> tuple[Job, TrainingState | None]:
    """Return the job with the seed of its checkpoint, and the state there, if there is one to go on from."""
    if not job.resume or job.checkpoint is None or not job.checkpoint.exists():
        return job, None
    seed, state = read_state(job.checkpoint)
    return replace(job, recipe=replace(job.recipe, seed=seed)), state
