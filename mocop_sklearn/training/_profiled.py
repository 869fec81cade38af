"""Molecules with profiles: the rows of a source → distinct molecules, scaled profiles, training and validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from ..model_file._statistics import statistics_of
from ..molecules._featurize import FeaturizedMolecules, featurize
from ..molecules._graphs import MoleculeGraphs
from ..molecules._parse import report_invalid
from ..pairs._grouping import split_molecules
from ..pairs._pairs import PairedProfiles
from ..profiles._moments import blocks
from ..profiles._scaler import default_scaler
from ..utils._random import Stream, generator
from ._batches import Corpus, StreamedProfiles
from ._job import Job

_FIT_BYTES = 2**29  # of profiles that a transformer is fitted on
_RESIDENT_BYTES = 2**30  # of transformed profiles that are held in memory


@dataclass(frozen=True)
class ProfiledMolecules:
    """Molecules with profiles, in two parts.

    Attributes
    ----------
    training : Corpus
    validation : Corpus or None
    smiles : list of str
        Canonical SMILES of all molecules, first those of training.
    keys : list of str
        Their connectivity keys.
    transformer : fitted scikit-learn transformer
    statistics : dict of ndarray
        As in ``PretrainedModel.profile_statistics``.
    """

    training: Corpus
    validation: Corpus | None
    smiles: list[str]
    keys: list[str]
    transformer: Any
    statistics: dict[str, np.ndarray]

    @property
    def n_features(self) -> int:
        """Width of a transformed profile."""
        return int(self.training.profiles.shape[1])


def profiled_molecules(job: Job, source: PairedProfiles) -> ProfiledMolecules:
    """Featurise the molecules of a source, split them, and scale the profiles.

    Raises
    ------
    ValueError
        When rows are invalid, or fewer than two distinct molecules remain.
    """
    molecules = _distinct_molecules(job, source)
    training, validation = split_molecules(molecules.keys.tolist(), job.validation_fraction, job.recipe.seed)
    training_rows = np.flatnonzero(np.isin(molecules.of_row, training))
    transformer, statistics = _fit_transformer(job, source, training_rows)
    profiles = _transformed(source, transformer, molecules.of_row >= 0)
    order = np.concatenate([training, validation])
    return ProfiledMolecules(
        _corpus(source, molecules, training, profiles),
        _corpus(source, molecules, validation, profiles) if len(validation) else None,
        [molecules.smiles[i] for i in order],
        molecules.keys[order].tolist(),
        transformer,
        statistics,
    )


@dataclass(frozen=True)
class _Molecules:
    """The distinct molecules of a source that can be trained on.

    Attributes
    ----------
    graphs : MoleculeGraphs
    smiles : list of str
        Canonical.
    keys : ndarray of str, shape (n_molecules,)
        Connectivity keys.
    of_row : ndarray of int, shape (n_rows,)
        The molecule of each row; -1 for a row that cannot be used.
    """

    graphs: MoleculeGraphs
    smiles: list[str]
    keys: np.ndarray
    of_row: np.ndarray


def _distinct_molecules(job: Job, source: PairedProfiles) -> _Molecules:
    """Featurise the molecules of all rows; the replicates of a molecule are the rows of one canonical SMILES."""
    if job.recipe.replicates == "source" and source.source_codes is None:
        raise ValueError('replicates="source" needs pairs that name the source of each row (Metadata_Source).')
    texts, text_of_row = source.distinct_molecules()
    found = featurize(texts, job.architecture.featurizer, job.standardize, identify=True, n_jobs=job.n_jobs)
    graph_of_row = found.graph_of_value[text_of_row]
    usable = _usable_rows(job, source, found, text_of_row)
    smiles = np.asarray(found.smiles, dtype=object)
    _, first, molecule_of_graph = np.unique(smiles, return_index=True, return_inverse=True)
    of_row = np.full(len(source), -1)
    used, of_row[usable] = np.unique(molecule_of_graph[graph_of_row[usable]], return_inverse=True)
    if len(used) < 2:
        raise ValueError(
            f"Contrastive training needs at least two different molecules, but X holds {len(used)} "
            f"(n_samples={len(source)}, of which {usable.sum()} can be used)."
        )
    chosen = first[used]
    graphs, keys = found.graphs.take(torch.from_numpy(chosen)), np.asarray(found.keys, dtype=str)[chosen]
    return _Molecules(graphs, smiles[chosen].tolist(), keys, of_row)


def _usable_rows(job: Job, source: PairedProfiles, found: FeaturizedMolecules, text_of_row: np.ndarray) -> np.ndarray:
    """Mark the rows with a molecule, a profile and a weight above 0; the others are reported."""
    valid = found.graph_of_value[text_of_row] >= 0
    reasons = {row: found.reasons[text_of_row[row]] for row in np.flatnonzero(~valid).tolist()}
    report_invalid(source.molecules if reasons else [], reasons, job.invalid)
    usable = valid & _has_values(source, job.invalid)
    return usable if source.sample_weight is None else usable & (source.sample_weight > 0)


def _has_values(source: PairedProfiles, invalid: str) -> np.ndarray:
    """Mark the rows with at least one finite value; the others are reported like bad molecules."""
    has_values = source.has_values()
    if not has_values.all():
        bad = np.flatnonzero(~has_values)
        message = f"{len(bad)} of {len(source)} profiles hold no finite value: rows {bad[:10].tolist()}"
        if invalid == "raise":
            raise ValueError(f'{message}. Remove these rows, or set invalid="nan" to leave them out of training.')
        warnings.warn(f"{message}; they are left out of training.", UserWarning, stacklevel=2)
    return has_values


def _corpus(
    source: PairedProfiles, molecules: _Molecules, part: np.ndarray, profiles: torch.Tensor | StreamedProfiles
) -> Corpus:
    """Return the molecules of one part, training or validation, with the rows that are theirs."""
    position = np.full(len(molecules.keys) + 1, -1)  # within the part; the last, for rows left out, stays -1
    position[part] = np.arange(len(part))
    return Corpus.from_rows(
        molecules.graphs.take(torch.from_numpy(part)),
        profiles,
        position[molecules.of_row],
        source_of_row=source.source_codes,
        weight_of_row=source.sample_weight,
    )


def _fit_transformer(job: Job, source: PairedProfiles, training_rows: np.ndarray) -> tuple[Any, dict[str, np.ndarray]]:
    """Fit the profile transformer on training rows only, a random part of them where all are too many for memory.

    The statistics of these rows, before the transformer, come with it.
    """
    if job.start_with_profiles is not None:
        return job.start_with_profiles.profile_transformer, job.start_with_profiles.profile_statistics
    default = job.profile_transformer is None
    transformer = default_scaler() if default else clone(job.profile_transformer)
    most = max(1, _FIT_BYTES // (4 * source.n_features))
    rng = generator(job.recipe.seed, Stream.TRANSFORMER_ROWS)
    if len(training_rows) > most:
        training_rows = training_rows[np.sort(rng.choice(len(training_rows), most, replace=False))]
    profiles = source.read(training_rows)
    return transformer.fit(profiles), statistics_of(profiles, rng)


def _transformed(source: PairedProfiles, transformer: Any, usable: np.ndarray) -> torch.Tensor | StreamedProfiles:
    """Return the transformed profiles: in memory, or where that would be too large, as they are drawn."""

    def read(rows: np.ndarray) -> np.ndarray:
        return apply_transformer(transformer, source.read(rows))

    rows = np.flatnonzero(usable)
    shape = len(source), read(rows[:2]).shape[1]
    if 4 * shape[0] * shape[1] > _RESIDENT_BYTES:
        return StreamedProfiles(read, shape, torch.device("cpu"))
    profiles = np.empty(shape, dtype=np.float32)
    for part in blocks(len(rows), source.n_features):
        profiles[rows[part]] = read(rows[part])
    return torch.from_numpy(profiles)


def apply_transformer(transformer: Any, profiles: np.ndarray) -> np.ndarray:
    """Transform profiles and check that the result can be trained on."""
    scaled = transformer.transform(profiles)
    scaled = np.require(scaled.toarray() if hasattr(scaled, "toarray") else scaled, np.float32, ["C", "W"])
    if len(profiles) == 1:
        scaled = scaled.reshape(1, -1)  # SparsePCA makes a vector of one row
    if scaled.ndim != 2 or len(scaled) != len(profiles) or not np.isfinite(scaled).all():
        raise ValueError(
            f"profile_transformer={transformer!r} returned missing or infinite values, or another number of rows "
            f"({scaled.shape} from {profiles.shape}). Put an imputer and a clipping scaler into it, or use the "
            "default."
        )
    return scaled
