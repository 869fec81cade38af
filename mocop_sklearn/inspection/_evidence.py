"""How well a model, its baselines and its confounders find the profiles of molecules: the figures of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ..baselines import ProfileKernelRidge, ProfileNeighbors
from ..display._retrieval import RetrievalComparisonDisplay, ranks_of_pairs
from ..metrics import retrieval_report
from ..molecules._tables import MoleculeDescriptors
from ..pairs._grouping import average_by_group
from ..profiles._scaler import ProfileScaler
from ._holdout import Part

MODEL = "this model"
RIDGE = "kernel ridge on structures"
NEIGHBORS = "nearest neighbours"
PROPERTIES = "physico-chemical properties alone"
CELL_COUNT = "cell count alone"
_PROPERTIES = (
    "MolWt", "HeavyAtomCount", "MolLogP", "TPSA", "NumHDonors", "NumHAcceptors", "NumRotatableBonds", "RingCount",
    "NumAromaticRings", "FractionCSP3",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to compare molecules with profiles.

    Attributes
    ----------
    molecules : ndarray of float, shape (n_molecules, d)
        Vectors of the molecules.
    profiles : ndarray of float, shape (n_rows, k)
        Transformed profiles of their rows.
    place : callable
        Maps means of transformed profiles to vectors, shape (n, d).
    """

    molecules: np.ndarray
    profiles: np.ndarray
    place: Callable[[np.ndarray], np.ndarray]

    def vectors(self, molecule: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors of molecules and of the mean profile of each."""
        return self.molecules, self.place(average_by_group(self.profiles, molecule))

    def ranks_within(self, molecule: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int]:
        """Return normalised ranks among the molecules of the same label, and how many labels have at least two."""
        keys = np.unique(np.stack([labels, molecule]), axis=1, return_inverse=True)
        (group, own), row = keys[0], keys[1].ravel()
        profiles = self.place(average_by_group(self.profiles, row))
        parts = [np.flatnonzero(group == label) for label in np.unique(group) if label >= 0]
        parts = [part for part in parts if len(part) > 1]
        ranks = [ranks_of_pairs(self.molecules[own[part]], profiles[part]) for part in parts]
        return np.concatenate([np.zeros(0), *ranks]), len(parts)


def ways_to_compare(
    embedder: Any, fit: Part, test: Part, smiles: np.ndarray, names: list[str] | None, n_jobs: int | None
) -> dict[str, Way]:
    """Return the model and its baselines, which learn from the part ``fit``.

    Parameters
    ----------
    embedder : fitted MoCoPEmbedder
        A model without a profile network is left out.
    fit, test : Part
    smiles : ndarray of str
        Of the whole corpus.
    names : list of str or None
        Names of the features.
    n_jobs : int or None
    """
    ways = {}
    if embedder.model_.architecture.has_profile_network:
        ways[MODEL] = _way_of_embedder(embedder, test, smiles[test.molecules].tolist(), names)
    for name, estimator in _baselines(n_jobs).items():
        if len(fit.molecules) < 2 * getattr(estimator, "n_neighbors", 1):
            continue
        estimator.fit(smiles[fit.molecules[fit.molecule]].tolist(), fit.profiles)
        molecules = estimator._vectors_of_molecules(estimator.predict(smiles[test.molecules].tolist()))
        ways[name] = Way(molecules, estimator.transform_profiles(test.profiles), estimator._vectors_of_profiles)
    return ways


def cell_count_alone(fit: Part, test: Part, smiles: np.ndarray, counts: np.ndarray, n_jobs: int | None) -> Way | None:
    """Return the way that predicts the number of cells from the structure, and compares with the measured one.

    None where too few rows have a count.
    """
    known, measured = np.isfinite(counts[fit.rows]), np.isfinite(counts[test.rows])
    if len(np.unique(fit.molecule[known])) < 4 or len(np.unique(counts[fit.rows][known])) < 2 or not measured.any():
        return None
    ridge = ProfileKernelRidge(standardize=None, n_jobs=n_jobs, profile_transformer=ProfileScaler(), cv=2)
    ridge.fit(smiles[fit.molecules[fit.molecule[known]]].tolist(), counts[fit.rows][known, None])
    predicted = ridge.predict(smiles[test.molecules].tolist())
    square = np.hstack([predicted**2, predicted, np.ones_like(predicted)])
    return Way(square, ridge.transform_profiles(counts[test.rows][:, None]), _as_distance)


def retrieval_figures(ways: Mapping[str, Way], molecule: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the figures of each way, and the normalised ranks that they come from."""
    vectors = {name: way.vectors(molecule) for name, way in ways.items()}
    ranks = {name: ranks_of_pairs(*pair) for name, pair in vectors.items()}
    figures = {}
    for name, figure in scores_with_intervals(ranks).items():
        report = retrieval_report(*vectors[name])
        figures[name] = figure | {key: report[key] for key in ("normalized_rank", "top1", "top10")}
    return figures, ranks


def figures_within(
    ways: Mapping[str, Way], molecule: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return figures and ranks of ways among the molecules of one plate, source or other label at a time."""
    names = np.unique(labels)
    numbers = np.where(labels == "", -1, np.searchsorted(names, labels))
    found = {name: way.ranks_within(molecule, numbers) for name, way in ways.items()}
    ranks = {name: ranks for name, (ranks, _) in found.items() if len(ranks)}
    groups = {name: {"n_groups": n} for name, (_, n) in found.items()}
    return {name: figure | groups[name] for name, figure in scores_with_intervals(ranks).items()}, ranks


def scores_with_intervals(ranks: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return for each way its score, the interval of 95 percent, and the number of queries."""
    display = RetrievalComparisonDisplay(ranks)
    return {
        name: {
            "score": display.scores_[name],
            "low": display.intervals_[name][0],
            "high": display.intervals_[name][1],
            "n_queries": len(ranks[name]),
        }
        for name in ranks
    }


def _way_of_embedder(embedder: Any, test: Part, smiles: list[str], names: list[str] | None) -> Way:
    order = embedder.model_.profile_columns(test.profiles.shape[1], names, "pairs")
    profiles = test.profiles if order is None else test.profiles[:, order]
    molecules = embedder._embed(smiles, "projection")
    return Way(molecules, embedder._scale_profiles(profiles, "pairs"), embedder._project)


def _baselines(n_jobs: int | None) -> dict[str, Any]:
    descriptors = MoleculeDescriptors(standardize=None, n_jobs=n_jobs)
    properties = make_pipeline(descriptors, FunctionTransformer(_take_properties))
    return {
        RIDGE: ProfileKernelRidge(standardize=None, n_jobs=n_jobs),
        NEIGHBORS: ProfileNeighbors(standardize=None, n_jobs=n_jobs),
        PROPERTIES: ProfileKernelRidge(features=[properties], standardize=None, n_jobs=n_jobs),
    }


def _take_properties(descriptors: np.ndarray) -> np.ndarray:
    names = MoleculeDescriptors().get_feature_names_out().tolist()
    return descriptors[:, [names.index(name) for name in _PROPERTIES]]


def _as_distance(counts: np.ndarray) -> np.ndarray:
    """Vectors whose inner product with (p², p, 1) is minus the squared difference to p."""
    return np.hstack([-np.ones_like(counts), 2 * counts, -(counts**2)])
