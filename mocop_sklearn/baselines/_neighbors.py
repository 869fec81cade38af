"""``ProfileNeighbors``: the profiles of the nearest molecules by fingerprint."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from ..molecules._fingerprints import MorganCounts
from ..utils._sklearn import Interval, StrOptions
from ._regressor import ProfileRegressor
from ._tanimoto import tanimoto_kernel


class ProfileNeighbors(ProfileRegressor):
    """Predict the profile of a molecule from those of its nearest neighbours in training.

    Nearest are those with the largest Tanimoto similarity of Morgan counts (radius 2, 2,048 columns). It is the
    simplest baseline for an embedding that was learned from profiles.

    Parameters
    ----------
    n_neighbors : int, default=5
        Of distinct training molecules.
    weights : {"similarity", "uniform"}, default="similarity"
        How the profiles of the neighbours are averaged.
    profile_transformer : scikit-learn transformer, default=None
        Fitted on the profiles of all training rows. None is ``ProfileScaler(n_components=64, whitening=0.75)``, as in
        :class:`~mocop_sklearn.MoCoPEmbedder`.
    local_scaling : bool, default=True
        Whether ``score`` corrects cosines for hubs, as those of :class:`~mocop_sklearn.MoCoPEmbedder` are
        (:class:`~mocop_sklearn.model_file.LocalScaling`). It does not change what is predicted.
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`.
    invalid : {"raise", "nan"}, default="raise"
        With ``"nan"``, ``fit`` and ``score`` leave out rows that are not molecules, ``fit`` also profiles without a
        finite value, and ``predict`` returns NaN.
    n_jobs : int, default=None
        Processes that read molecules.
    memory : str, Path or joblib.Memory, default=None
        Cache of the fingerprints.

    Attributes
    ----------
    molecules_ : list of str
        Canonical SMILES of the distinct training molecules, sorted.
    profiles_ : ndarray of float, shape (n_molecules, n_outputs)
        Their transformed profiles, the mean of replicates.
    profile_transformer_ : transformer
    local_scaling_ : LocalScaling or None
    n_outputs_ : int
    n_profile_features_in_ : int
    profile_names_in_ : list of str or None
        Columns of the profiles of ``fit``.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.baselines import ProfileNeighbors
    >>> smiles = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1"]
    >>> profiles = np.array([[1.0, 0.0], [1.0, 0.2], [-1.0, 0.0], [-1.0, 0.1]])
    >>> neighbors = ProfileNeighbors(n_neighbors=2).fit(smiles, profiles)
    >>> neighbors.predict(["CCCCO"]).shape
    (1, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ProfileRegressor._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "weights": [StrOptions({"similarity", "uniform"})],
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: str = "similarity",
        profile_transformer: Any = None,
        local_scaling: bool = True,
        standardize: Any = "parent",
        invalid: str = "raise",
        n_jobs: int | None = None,
        memory: Any = None,
    ):
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.profile_transformer = profile_transformer
        self.local_scaling = local_scaling
        self.standardize = standardize
        self.invalid = invalid
        self.n_jobs = n_jobs
        self.memory = memory

    def _fit_molecules(self, smiles: list[str], targets: np.ndarray, shown: np.ndarray) -> np.ndarray:
        if len(smiles) < self.n_neighbors:
            raise ValueError(
                f"n_neighbors={self.n_neighbors}, but X has {len(smiles)} distinct molecules: take fewer neighbours."
            )
        table = MorganCounts(log=False, standardize=None, n_jobs=self.n_jobs, memory=self.memory)
        self._table = table.fit(smiles)
        self._fingerprints = self._table.transform(smiles)
        self.molecules_ = smiles
        self.profiles_ = targets
        self.n_outputs_ = targets.shape[1]
        return self._mean_of_nearest(self._fingerprints[shown])

    def _predict_molecules(self, smiles: list[str]) -> np.ndarray:
        return self._mean_of_nearest(self._table.transform(smiles))

    def _mean_of_nearest(self, fingerprints: np.ndarray) -> np.ndarray:
        similarity = tanimoto_kernel(fingerprints, self._fingerprints)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.n_neighbors]
        weights = np.take_along_axis(similarity, nearest, axis=1).astype(np.float64)
        if self.weights == "uniform":
            weights[:] = 1.0
        weights[weights.sum(axis=1) == 0] = 1.0  # nothing is similar
        return np.einsum("ij,ijk->ik", weights / weights.sum(axis=1, keepdims=True), self.profiles_[nearest])
