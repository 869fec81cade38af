"""``ProfileKernelRidge``: kernel ridge regression from structures to profiles."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from ..model_selection._groups import molecule_groups
from ..molecules._fingerprints import TABLES, MorganCounts, table_of
from ..profiles._ridge import cross_validate, solve
from ..utils._sklearn import Interval, StrOptions
from ._kernels import BlockKernel, TanimotoKernel
from ._regressor import ProfileRegressor


class ProfileKernelRidge(ProfileRegressor):
    """Predict the profile of a molecule by kernel ridge regression on its structure.

    With a few thousand molecules, this takes seconds and retrieves well: an embedding that was learned from profiles is
    worth its cost only where it is ahead.

    Parameters
    ----------
    kernel : {"rbf", "tanimoto", "tanimoto+rbf"}, default="rbf"
        ``"tanimoto"``: :func:`tanimoto_kernel` of Morgan counts (radius 2, 2,048 columns). ``"rbf"``: a radial basis
        function of ``features``, whose blocks weigh alike (:class:`~mocop_sklearn.molecules.BlockScaler`), with gamma =
        1 / number of blocks. ``"tanimoto+rbf"`` is the mean of both.
    features : list of {"descriptors", "ecfp", "fcfp", "atom_pairs", "torsions"} or transformer, default=None
        Blocks of columns for ``"rbf"``: names, as in ``side_features`` of :class:`~mocop_sklearn.MoCoPEmbedder`, or
        transformers of molecules, such as :class:`~mocop_sklearn.molecules.MiniMol`. None is all five, and the
        descriptors alone with ``"tanimoto+rbf"``. Transformers are given the canonical SMILES of the standardised
        molecules. A number that is NaN counts as the mean of its column.
    alpha : float or sequence of float, default=(0.3, 1.0, 3.0)
        Strength of the regularisation. Of several, cross-validation on the training molecules takes the one with
        the best retrieval score, of plain cosines.
    cv : int, default=3
        Folds of the cross-validation. Molecules of one connectivity are in one fold.
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
        Processes that read molecules and compute the default features.
    memory : str, Path or joblib.Memory, default=None
        Cache of the default features.

    Attributes
    ----------
    alpha_ : float
    cv_scores_ : dict of float to float
        Score of each ``alpha``, the mean of the folds; empty when ``alpha`` is one number.
    dual_coef_ : ndarray of float, shape (n_molecules, n_outputs)
    intercept_ : ndarray of float, shape (n_outputs,)
        Mean of the transformed profiles of the training molecules.
    molecules_ : list of str
        Canonical SMILES of the distinct training molecules, sorted.
    profile_transformer_ : transformer
    local_scaling_ : LocalScaling or None
    n_outputs_ : int
    n_profile_features_in_ : int
    profile_names_in_ : list of str or None
        Columns of the profiles of ``fit``.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.baselines import ProfileKernelRidge
    >>> smiles = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1"]
    >>> profiles = np.array([[1.0, 0.0], [1.0, 0.2], [-1.0, 0.0], [-1.0, 0.1]])
    >>> ridge = ProfileKernelRidge("tanimoto", alpha=1.0).fit(smiles, profiles)
    >>> ridge.predict(["CCCCO"]).shape
    (1, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ProfileRegressor._parameter_constraints,
        "kernel": [StrOptions({"rbf", "tanimoto", "tanimoto+rbf"})],
        "features": [list, tuple, None],
        "alpha": [Interval(Real, 0, None, closed="neither"), list, tuple, np.ndarray],
        "cv": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        kernel: str = "rbf",
        *,
        features: Any = None,
        alpha: float | Sequence[float] = (0.3, 1.0, 3.0),
        cv: int = 3,
        profile_transformer: Any = None,
        local_scaling: bool = True,
        standardize: Any = "parent",
        invalid: str = "raise",
        n_jobs: int | None = None,
        memory: Any = None,
    ):
        self.kernel = kernel
        self.features = features
        self.alpha = alpha
        self.cv = cv
        self.profile_transformer = profile_transformer
        self.local_scaling = local_scaling
        self.standardize = standardize
        self.invalid = invalid
        self.n_jobs = n_jobs
        self.memory = memory

    def _fit_molecules(self, smiles: list[str], targets: np.ndarray, shown: np.ndarray) -> np.ndarray:
        alphas = self._alphas()
        self._kernels = self._chosen_kernels()
        gram = _mean([kernel.fit(smiles) for kernel in self._kernels])
        targets = targets.astype(np.float64)
        self.cv_scores_ = {} if len(alphas) == 1 else self._cross_validate(smiles, gram, targets, alphas)
        self.alpha_ = max(alphas, key=lambda alpha: self.cv_scores_.get(alpha, 0.0))
        self.intercept_ = targets.mean(axis=0)
        self.dual_coef_ = solve(gram, targets - self.intercept_, self.alpha_)
        self.molecules_ = smiles
        self.n_outputs_ = targets.shape[1]
        fitted: np.ndarray = targets - self.alpha_ * self.dual_coef_  # (K + alpha) c = targets - mean
        return fitted[shown]

    def _predict_molecules(self, smiles: list[str]) -> np.ndarray:
        return _mean([kernel.compare(smiles) for kernel in self._kernels]) @ self.dual_coef_ + self.intercept_

    def _alphas(self) -> list[float]:
        alphas = [float(alpha) for alpha in np.ravel(self.alpha)]
        if not alphas or not all(0 < alpha < np.inf for alpha in alphas):
            raise ValueError(f"alpha must be a number greater than 0, or several of them, got {self.alpha!r}.")
        return alphas

    def _chosen_kernels(self) -> list[TanimotoKernel | BlockKernel]:
        settings = {"standardize": None, "n_jobs": self.n_jobs, "memory": self.memory}
        kernels: list[TanimotoKernel | BlockKernel] = []
        if self.kernel != "rbf":
            kernels.append(TanimotoKernel(MorganCounts(log=False, **settings)))
        if self.kernel != "tanimoto":
            features = self.features
            if features is None:
                features = list(TABLES) if self.kernel == "rbf" else ["descriptors"]
            if not len(features):
                raise ValueError("features is empty: give at least one transformer of molecules, or None.")
            kernels.append(BlockKernel([table_of(feature, **settings) for feature in features]))
        return kernels

    def _cross_validate(
        self, smiles: list[str], gram: np.ndarray, targets: np.ndarray, alphas: Sequence[float]
    ) -> dict[float, float]:
        groups = molecule_groups(smiles, standardize=None)
        n_groups = len(np.unique(groups))
        n_folds = min(self.cv, n_groups // 2)
        if n_folds < 2:
            raise ValueError(
                f"Cross-validation of alpha needs at least 4 distinct molecules, got {n_groups}: give one number for "
                "alpha."
            )
        return cross_validate(gram, targets, groups, alphas, n_folds)


def _mean(kernels: list[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.mean(kernels, axis=0) if len(kernels) > 1 else kernels[0]
    return mean
