"""``SideTower``: a kernel ridge from features of molecules to profiles, which stands beside the network of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline

from ..molecules._blocks import BlockScaler
from ..molecules._tables import MoleculeDescriptors, MorganCounts
from ..profiles._moments import blocks
from ..utils._arrays import unit_rows

FEATURES = {"descriptors": MoleculeDescriptors, "ecfp": MorganCounts}
N_LANDMARKS = 2048
_ALPHA = 1.0
_LARGEST_RADIUS = 20
_ROWS = 64  # of each product, always, so that the last bit of a vector does not depend on the other rows


class SideTower(BaseEstimator):
    """Molecules and profiles → unit vectors that agree where a kernel ridge predicts the profile well.

    Features of molecules, such as descriptors and Morgan counts, are scaled in balanced blocks. A ridge regression with
    an RBF kernel (gamma = 1 / number of blocks, alpha = 1) maps them to transformed profiles. The vector of a molecule
    is the direction of its prediction, that of a profile its own direction, both less the mean of training. With more
    than 2,048 training molecules, the kernel is computed to that many of them only, drawn at random (subset of
    regressors; Rasmussen and Williams, *Gaussian Processes for Machine Learning*, section 8.3.1).

    Parameters
    ----------
    features : list of {"descriptors", "ecfp"} or transformer
        A transformer takes a list of canonical SMILES. Where it has no number, the mean stands in.

    Attributes
    ----------
    pipelines_ : list of Pipeline
        The fitted transformers, a scaler of blocks after each.
    landmarks_ : ndarray of float32, shape (n_landmarks, n_features)
        Scaled features of the molecules to which others are compared.
    coef_ : ndarray of float64, shape (n_landmarks, n_profile_features)
    mean_ : ndarray of float32, shape (n_profile_features,)
    """

    def __init__(self, features: Sequence[Any]):
        self.features = features

    def fit(self, smiles: Sequence[str], profiles: np.ndarray, *, seed: int = 0, n_jobs: int | None = None) -> Self:
        """Fit the transformers and the ridge.

        Parameters
        ----------
        smiles : sequence of str
            Canonical SMILES of distinct molecules.
        profiles : ndarray of float32, shape (n_molecules, n_profile_features)
            Transformed.
        seed : int, default=0
            Draws the landmarks.
        n_jobs : int, default=None
            Processes of the transformers that have such a parameter.
        """
        self.pipelines_ = [make_pipeline(_transformer(feature), BlockScaler()) for feature in self.features]
        columns = self._columns(smiles, n_jobs, Pipeline.fit_transform)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(columns))[:N_LANDMARKS])
        self.landmarks_ = columns[chosen]
        self.mean_ = profiles.mean(axis=0).astype(np.float32)
        centered = profiles.astype(np.float64) - self.mean_
        between = self._kernel(self.landmarks_)
        if len(chosen) == len(columns):
            self.coef_ = _solve(between + _ALPHA * np.eye(len(between)), centered[chosen])
        else:
            gram, right = _ALPHA * between, np.zeros((len(between), centered.shape[1]))
            for part in blocks(len(columns), len(between)):
                kernel = self._kernel(columns[part])
                gram += kernel.T @ kernel
                right += kernel.T @ centered[part]
            self.coef_ = _solve(gram + 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram)), right)
        return self

    def check(self) -> None:
        """Raise ``ValueError`` unless parameters and shapes agree, before anything of these sizes is allocated."""
        scalers = []
        for pipeline in self.pipelines_:
            first, scaler = pipeline[0], pipeline[-1]
            if hasattr(first, "_validate_params"):
                first._validate_params()
            if isinstance(first, MorganCounts) and (
                first.fp_size != len(scaler.mean_) or first.radius > _LARGEST_RADIUS
            ):
                raise ValueError(f"{first!r} does not return the {len(scaler.mean_)} columns that were scaled")
            scalers.append(scaler)
        width = sum(len(scaler.mean_) for scaler in scalers)
        if self.landmarks_.shape != (len(self.coef_), width) or self.coef_.shape[1:] != self.mean_.shape:
            raise ValueError(f"arrays of shapes {self.landmarks_.shape}, {self.coef_.shape} and {self.mean_.shape}")
        if not self.features or len(self.features) != len(scalers):
            raise ValueError(f"{len(scalers)} blocks of the features {self.features!r:.80}")

    def project_molecules(self, smiles: Sequence[str], n_jobs: int | None = None) -> np.ndarray:
        """Return unit vectors of molecules, float32 of shape (n_molecules, n_profile_features)."""
        columns = self._columns(smiles, n_jobs, Pipeline.transform)
        n = len(columns)
        columns = np.pad(columns, ((0, -n % _ROWS), (0, 0)))
        parts = [self._kernel(columns[i : i + _ROWS]) @ self.coef_ for i in range(0, len(columns), _ROWS)]
        return unit_rows(np.concatenate(parts)[:n]).astype(np.float32)

    def project_profiles(self, profiles: np.ndarray) -> np.ndarray:
        """Return unit vectors of transformed profiles, float32 of shape (n_profiles, n_profile_features)."""
        return unit_rows(profiles - self.mean_).astype(np.float32)

    def _columns(
        self, smiles: Sequence[str], n_jobs: int | None, compute: Callable[[Pipeline, list[str]], Any]
    ) -> np.ndarray:
        """Return what ``compute``, a method of Pipeline, makes of the molecules, all blocks side by side."""
        with config_context(transform_output="default"):
            parts = [np.asarray(compute(pipeline, list(smiles))) for pipeline in self._with_jobs(n_jobs)]
        self._with_jobs(None)  # the number of processes does not belong to a model
        return np.nan_to_num(np.hstack(parts).astype(np.float32))

    def _with_jobs(self, n_jobs: int | None) -> list[Pipeline]:
        """Set the number of processes of the transformers that have such a parameter."""
        for pipeline in self.pipelines_:
            if "n_jobs" in pipeline[0].get_params(deep=False):
                pipeline[0].set_params(n_jobs=n_jobs)
        return self.pipelines_

    def _kernel(self, columns: np.ndarray) -> np.ndarray:
        kernel: np.ndarray = rbf_kernel(columns, self.landmarks_, gamma=1 / len(self.features)).astype(np.float64)
        return kernel


def _transformer(given: Any) -> Any:
    if isinstance(given, str):
        return FEATURES[given](standardize=None, invalid="nan")
    return clone(given)


def _solve(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    solution: np.ndarray = cho_solve(cho_factor(gram, lower=True), right)
    return solution


def beside(network: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Put unit vectors of both towers side by side, so that a cosine is the mean of theirs."""
    return np.hstack([network, side]) * np.float32(np.sqrt(0.5))
