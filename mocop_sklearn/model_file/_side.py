"""``SideTower``: a kernel ridge from features of molecules to profiles, which stands beside the network of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import gen_batches

from ..metrics import retrieval_score
from ..molecules._blocks import BlockScaler
from ..molecules._fingerprints import FingerprintCounts, MorganCounts, table_of
from ..profiles._moments import blocks
from ..profiles._ridge import cross_validate, solve
from ..utils._arrays import by_blocks, numbers_of, unit_rows

N_LANDMARKS = 4096
# What cross-validation and validation choose from, the first where there are too few molecules to choose by.
_GAMMAS = (1.0, 2.0)
_ALPHAS = (3.0, 1.0)
_NETWORK_WEIGHTS = (0.35, 0.2, 0.5)  # few, because the molecules of validation may be few
_FIXED_BEFORE = {"gamma_": 1.0, "network_weight_": 0.5}  # in files that do not tell them
_N_FOLDS = 3
_FEWEST = 20  # molecules that a choice is made by
_LARGEST_RADIUS = 20
_MOLECULES = 4096  # whose columns are in memory at once


class SideTower(BaseEstimator):
    """Molecules and profiles → unit vectors that agree where a kernel ridge predicts the profile well.

    Features of molecules, such as descriptors and counts of substructures, are scaled in balanced blocks. A ridge
    regression with an RBF kernel maps them to transformed profiles. The vector of a molecule is the direction of its
    prediction, that of a profile its own direction, both less the mean of training. Cross-validation on the training
    molecules chooses the width of the kernel and the strength of the regularisation by the retrieval score. With more
    than 4,096 training molecules, that many of them, drawn at random, set the scales, and the kernel is computed to
    these only (subset of regressors; Rasmussen and Williams, *Gaussian Processes for Machine Learning*, section
    8.3.1).

    How much a network counts beside the ridge is chosen by molecules that the network was not trained on: of several
    weights, the one whose sum of both cosines retrieves best.

    Parameters
    ----------
    features : list of {"descriptors", "ecfp", "fcfp", "atom_pairs", "torsions"} or transformer
        A transformer takes a list of canonical SMILES. Where it has no number, the mean stands in.

    Attributes
    ----------
    pipelines_ : list of Pipeline
        The fitted transformers, a scaler of blocks after each.
    gamma_ : float
        Of the kernel, times the number of blocks.
    alpha_ : float
        Strength of the regularisation.
    network_weight_ : float
        Weight of the network's cosine beside that of the ridge; both weights sum up to one.
    landmarks_ : ndarray of float32, shape (n_landmarks, n_features)
        Scaled features of the molecules to which others are compared.
    coef_ : ndarray of float64, shape (n_landmarks, n_profile_features)
    mean_ : ndarray of float32, shape (n_profile_features,)
    """

    def __init__(self, features: Sequence[Any]):
        self.features = features

    def fit(
        self,
        smiles: Sequence[str],
        profiles: np.ndarray,
        *,
        groups: Sequence[str] | None = None,
        held_out: tuple[np.ndarray, np.ndarray] | None = None,
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> Self:
        """Fit the transformers and the ridge.

        Parameters
        ----------
        smiles : sequence of str
            Canonical SMILES of distinct molecules.
        profiles : ndarray of float32, shape (n_molecules, n_profile_features)
            Transformed.
        groups : sequence of str, default=None
            Molecules of one group are in one fold of the cross-validation; without it, each is a group of its own.
        held_out : (ndarray, ndarray), default=None
            Unit vectors that a network gives the last molecules and their profiles, which it was not trained on.
        seed : int, default=0
            Draws the landmarks.
        n_jobs : int, default=None
            Processes of the transformers that have such a parameter.
        """
        self.pipelines_ = [
            make_pipeline(table_of(feature, standardize=None, invalid="nan"), BlockScaler())
            for feature in self.features
        ]
        smiles, n = list(smiles), len(smiles)
        chosen = landmarks(n, seed)
        self.landmarks_ = self._fit_columns(smiles, chosen, n_jobs)
        self.mean_ = profiles.mean(axis=0).astype(np.float32)
        centered = profiles.astype(np.float64) - self.mean_
        names = np.arange(n) if groups is None else np.asarray(groups)
        self.gamma_, self.alpha_ = self._cross_validated(centered[chosen], names[chosen])
        self.network_weight_ = _NETWORK_WEIGHTS[0]
        n_training = n - (0 if held_out is None else len(held_out[0]))
        stops = sorted({n_training, n})
        for stop, coef in zip(stops, self._ridges(smiles, centered, stops, n_jobs), strict=True):
            self.coef_ = coef
            if held_out is not None and stop == n_training and min(n_training, n - n_training) >= _FEWEST:
                predicted = self._predict(smiles[n_training:], n_jobs)
                self.network_weight_ = _best_weight(held_out, (predicted, centered[n_training:]))
        return self

    def _cross_validated(self, targets: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
        """Return the gamma and the alpha with the best retrieval of landmarks by models of other landmarks."""
        if len(np.unique(groups)) < _FEWEST:
            return _GAMMAS[0], _ALPHAS[0]
        scores: dict[tuple[float, float], float] = {}
        for gamma in _GAMMAS:
            self.gamma_ = gamma
            gram = self._kernel(self.landmarks_)
            found = cross_validate(gram, targets, groups, _ALPHAS, _N_FOLDS)
            scores |= {(gamma, alpha): score for alpha, score in found.items()}
        return max(scores, key=lambda choice: scores[choice])

    def _ridges(
        self, smiles: list[str], targets: np.ndarray, stops: Sequence[int], n_jobs: int | None
    ) -> Iterator[np.ndarray]:
        """Yield the coefficients of the ridge on the first molecules, for each of the numbers of these."""
        between = self._kernel(self.landmarks_)
        if len(between) == len(smiles):
            for stop in stops:
                coef = np.zeros(targets.shape)
                coef[:stop] = solve(between[:stop, :stop], targets[:stop], self.alpha_)
                yield coef
            return
        gram, right = self.alpha_ * between, np.zeros((len(between), targets.shape[1]))
        for start, stop in pairwise([0, *stops]):
            for rows, columns in self._columns(smiles[start:stop], n_jobs):
                for part in blocks(len(columns), len(between)):
                    kernel = self._kernel(columns[part])
                    gram += kernel.T @ kernel
                    right += kernel.T @ targets[start:stop][rows][part]
            yield solve(gram, right, 1e-6 * np.trace(gram) / len(gram))

    def check(self) -> None:
        """Raise ``ValueError`` unless parameters and shapes agree, before anything of these sizes is allocated."""
        scalers = []
        for pipeline in self.pipelines_:
            first, scaler = pipeline[0], pipeline[-1]
            if hasattr(first, "_validate_params"):
                first._validate_params()
            if (isinstance(first, FingerprintCounts) and first.fp_size != len(scaler.mean_)) or (
                isinstance(first, MorganCounts) and first.radius > _LARGEST_RADIUS
            ):
                raise ValueError(f"{first!r} does not return the {len(scaler.mean_)} columns that were scaled")
            scalers.append(scaler)
        width = sum(len(scaler.mean_) for scaler in scalers)
        if self.landmarks_.shape != (len(self.coef_), width) or self.coef_.shape[1:] != self.mean_.shape:
            raise ValueError(f"arrays of shapes {self.landmarks_.shape}, {self.coef_.shape} and {self.mean_.shape}")
        gamma, weight = self._of_file("gamma_"), self._of_file("network_weight_")
        if not (0 < gamma < np.inf and 0 <= weight <= 1):
            raise ValueError(f"gamma_={gamma!r} and network_weight_={weight!r}")
        if not self.features or len(self.features) != len(scalers):
            raise ValueError(f"{len(scalers)} blocks of the features {self.features!r:.80}")

    def project_molecules(self, smiles: Sequence[str], n_jobs: int | None = None) -> np.ndarray:
        """Return unit vectors of molecules, float32 of shape (n_molecules, n_profile_features)."""
        return unit_rows(self._predict(list(smiles), n_jobs)).astype(np.float32)

    def project_landmarks(self) -> np.ndarray:
        """Return the unit vectors of the landmarks, float32 of shape (n_landmarks, n_profile_features)."""
        return unit_rows(self._predict_columns(self.landmarks_)).astype(np.float32)

    def project_profiles(self, profiles: np.ndarray) -> np.ndarray:
        """Return unit vectors of transformed profiles, float32 of shape (n_profiles, n_profile_features)."""
        return unit_rows(profiles - self.mean_).astype(np.float32)

    def beside(self, network: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Put unit vectors of the network and of this tower side by side; a cosine is the weighted mean of theirs."""
        return _side_by_side(network, own, self._of_file("network_weight_"))

    def _predict(self, smiles: list[str], n_jobs: int | None) -> np.ndarray:
        """Return the transformed profiles that are predicted, less their mean."""
        predicted = np.empty((len(smiles), self.coef_.shape[1]))
        for rows, columns in self._columns(smiles, n_jobs):
            predicted[rows] = self._predict_columns(columns)
        return predicted

    def _predict_columns(self, columns: np.ndarray) -> np.ndarray:
        return by_blocks(lambda block: self._kernel(block) @ self.coef_, columns)

    def _fit_columns(self, smiles: list[str], chosen: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Fit the transformers to all molecules and the scalers to the chosen ones; return the columns of these."""
        parts = []
        with config_context(transform_output="default"):
            for pipeline in self._with_jobs(n_jobs):
                transformer, scaler = pipeline[0], pipeline[-1]
                if len(chosen) == len(smiles) and hasattr(transformer, "fit_transform"):
                    given, table = smiles, transformer.fit_transform(smiles)
                else:
                    given = [smiles[i] for i in chosen]
                    table = transformer.fit(smiles).transform(given)
                numbers = _numbers(transformer, table, given)
                if not np.isfinite(numbers).any():
                    raise ValueError(
                        f"side_features={transformer!r} returned no number for any of {len(given)} training molecules. "
                        "Mend or leave out this transformer."
                    )
                parts.append(scaler.fit_transform(numbers))
        self._with_jobs(None)  # the number of processes does not belong to a model
        return _joined(parts)

    def _columns(self, smiles: list[str], n_jobs: int | None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield some of the molecules, and their scaled columns, all blocks side by side."""
        for rows in gen_batches(len(smiles), _MOLECULES):
            part = smiles[rows]
            with config_context(transform_output="default"):
                parts = [
                    pipeline[-1].transform(_numbers(pipeline[0], pipeline[0].transform(part), part))
                    for pipeline in self._with_jobs(n_jobs)
                ]
            self._with_jobs(None)
            yield rows, _joined(parts)

    def _with_jobs(self, n_jobs: int | None) -> list[Pipeline]:
        """Set the number of processes of the transformers that have such a parameter."""
        for pipeline in self.pipelines_:
            if "n_jobs" in pipeline[0].get_params(deep=False):
                pipeline[0].set_params(n_jobs=n_jobs)
        return self.pipelines_

    def _of_file(self, name: str) -> float:
        """Return a fitted number, also where the model comes from a file that was written before it was chosen."""
        number: float = getattr(self, name, _FIXED_BEFORE[name])
        return number

    def _kernel(self, columns: np.ndarray) -> np.ndarray:
        gamma = self._of_file("gamma_") / len(self.features)
        kernel: np.ndarray = rbf_kernel(columns, self.landmarks_, gamma=gamma).astype(np.float64)
        return kernel


def landmarks(n_molecules: int, seed: int) -> np.ndarray:
    """Return which molecules the others are compared to: all, or 4,096 at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(n_molecules)[:N_LANDMARKS])


def _numbers(transformer: Any, table: Any, smiles: list[str]) -> np.ndarray:
    return numbers_of(table, len(smiles), f"side_features={transformer!r}")


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.nan_to_num(np.hstack(parts).astype(np.float32))


def _best_weight(network: tuple[np.ndarray, np.ndarray], ridge: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the weight of the network with the best retrieval of molecules that neither has seen."""
    own = unit_rows(ridge[0]), unit_rows(ridge[1])
    scores = {
        weight: retrieval_score(_side_by_side(network[0], own[0], weight), _side_by_side(network[1], own[1], weight))
        for weight in _NETWORK_WEIGHTS
    }
    return max(scores, key=lambda weight: scores[weight])


def _side_by_side(network: np.ndarray, own: np.ndarray, weight: float) -> np.ndarray:
    stacked: np.ndarray = np.hstack([network * np.float32(np.sqrt(weight)), own * np.float32(np.sqrt(1 - weight))])
    return stacked
