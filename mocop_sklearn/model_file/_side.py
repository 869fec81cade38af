"""``SideTower``: a kernel ridge from features of molecules to profiles, which stands beside the network of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline

from ..metrics import retrieval_score
from ..molecules._blocks import BlockScaler
from ..molecules._fingerprints import FingerprintCounts, MorganCounts, table_of
from ..profiles._moments import blocks
from ..profiles._ridge import cross_validate, solve
from ..utils._arrays import numbers_of, unit_rows

N_LANDMARKS = 4096
# What cross-validation and validation choose from, the first where there are too few molecules to choose by.
_GAMMAS = (1.0, 2.0)
_ALPHAS = (3.0, 1.0)
_NETWORK_WEIGHTS = (0.35, 0.2, 0.5)  # few, because the molecules of validation may be few
_FIXED_BEFORE = {"gamma_": 1.0, "network_weight_": 0.5}  # in files that do not tell them
_N_FOLDS = 3
_FEWEST = 20  # molecules that a choice is made by
_LARGEST_RADIUS = 20
_ROWS = 64  # of each product, always, so that the last bit of a vector does not depend on the other rows


class SideTower(BaseEstimator):
    """Molecules and profiles → unit vectors that agree where a kernel ridge predicts the profile well.

    Features of molecules, such as descriptors and counts of substructures, are scaled in balanced blocks. A ridge
    regression with an RBF kernel maps them to transformed profiles. The vector of a molecule is the direction of its
    prediction, that of a profile its own direction, both less the mean of training. Cross-validation on the training
    molecules chooses the width of the kernel and the strength of the regularisation by the retrieval score. With more
    than 4,096 training molecules, the kernel is computed to that many of them only, drawn at random (subset of
    regressors; Rasmussen and Williams, *Gaussian Processes for Machine Learning*, section 8.3.1).

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
        columns = self._columns(smiles, n_jobs, _fit_and_scale)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(columns))[:N_LANDMARKS])
        self.landmarks_ = columns[chosen]
        self.mean_ = profiles.mean(axis=0).astype(np.float32)
        centered = profiles.astype(np.float64) - self.mean_
        names = np.arange(len(columns)) if groups is None else np.asarray(groups)
        self.gamma_, self.alpha_ = self._cross_validated(centered[chosen], names[chosen])
        self.network_weight_ = _NETWORK_WEIGHTS[0]
        n_training = len(columns) - (0 if held_out is None else len(held_out[0]))
        stops = sorted({n_training, len(columns)})
        for stop, coef in zip(stops, self._ridges(columns, centered, stops), strict=True):
            self.coef_ = coef
            if held_out is not None and stop == n_training and min(n_training, len(columns) - n_training) >= _FEWEST:
                predicted = self._kernel(columns[n_training:]) @ coef
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

    def _ridges(self, columns: np.ndarray, targets: np.ndarray, stops: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the coefficients of the ridge on the first molecules, for each of the numbers of these."""
        between = self._kernel(self.landmarks_)
        if len(between) == len(columns):
            for stop in stops:
                coef = np.zeros((len(columns), targets.shape[1]))
                coef[:stop] = solve(between[:stop, :stop], targets[:stop], self.alpha_)
                yield coef
            return
        gram, right = self.alpha_ * between, np.zeros((len(between), targets.shape[1]))
        for start, stop in pairwise([0, *stops]):
            for part in blocks(stop - start, len(between)):
                kernel = self._kernel(columns[start:stop][part])
                gram += kernel.T @ kernel
                right += kernel.T @ targets[start:stop][part]
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
        columns = self._columns(smiles, n_jobs, _scale)
        n = len(columns)
        columns = np.pad(columns, ((0, -n % _ROWS), (0, 0)))
        parts = [self._kernel(columns[i : i + _ROWS]) @ self.coef_ for i in range(0, len(columns), _ROWS)]
        return unit_rows(np.concatenate(parts)[:n]).astype(np.float32)

    def project_profiles(self, profiles: np.ndarray) -> np.ndarray:
        """Return unit vectors of transformed profiles, float32 of shape (n_profiles, n_profile_features)."""
        return unit_rows(profiles - self.mean_).astype(np.float32)

    def beside(self, network: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Put unit vectors of the network and of this tower side by side; a cosine is the weighted mean of theirs."""
        return _side_by_side(network, own, self._of_file("network_weight_"))

    def _columns(
        self, smiles: Sequence[str], n_jobs: int | None, compute: Callable[[Pipeline, list[str]], np.ndarray]
    ) -> np.ndarray:
        """Return what ``compute`` makes of the molecules with each pipeline, all blocks side by side."""
        with config_context(transform_output="default"):
            parts = [compute(pipeline, list(smiles)) for pipeline in self._with_jobs(n_jobs)]
        self._with_jobs(None)  # the number of processes does not belong to a model
        return np.nan_to_num(np.hstack(parts).astype(np.float32))

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


def _fit_and_scale(pipeline: Pipeline, smiles: list[str]) -> np.ndarray:
    """Fit a transformer of molecules and its scaler, and return the scaled columns."""
    transformer, at_once = pipeline[0], hasattr(pipeline[0], "fit_transform")
    table = transformer.fit_transform(smiles) if at_once else transformer.fit(smiles).transform(smiles)
    return np.asarray(pipeline[-1].fit_transform(_numbers(transformer, table, smiles)))


def _scale(pipeline: Pipeline, smiles: list[str]) -> np.ndarray:
    """Return the scaled columns of molecules."""
    table = pipeline[0].transform(smiles)
    return np.asarray(pipeline[-1].transform(_numbers(pipeline[0], table, smiles)))


def _numbers(transformer: Any, table: Any, smiles: list[str]) -> np.ndarray:
    return numbers_of(table, len(smiles), f"side_features={transformer!r}")


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
