"""``ApplicabilityDomain``: which molecules lie near enough to those of training."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import euclidean_distances
from sklearn.utils.validation import check_is_fitted

from ..baselines import tanimoto_kernel
from ..embedder import MoCoPEmbedder
from ..model_file import PretrainedModel
from ..model_selection._keys import canonical, describe_rows
from ..molecules._blocks import BlockScaler
from ..molecules._fingerprints import MorganCounts
from ..molecules._parse import check_molecules, report_invalid
from ..utils._sklearn import Interval, StrOptions, accept_molecules

_CELLS = 2**24  # of the matrix of closeness that is in memory at a time
_ROWS = 4096  # fingerprints that are dense at a time
_N_LEFT_OUT = 4096  # training molecules that decide the threshold
_NO_NUMBER = "the embedder has no number for it"


class ApplicabilityDomain(OutlierMixin, BaseEstimator):
    r"""Detector of molecules that lie far from those of training.

    A model of structure and activity is reliable near the molecules that it was fitted to. The score of a molecule x is
    the mean of its closeness to the k nearest training molecules [1]_ [2]_,

    .. math:: s(x) = \frac{1}{k} \sum_{i \in N_k(x)} c(x, x_i).

    Closeness is the Tanimoto similarity of ECFP4 counts, or minus the Euclidean distance in an embedding. A molecule is
    inside the domain when its score is at least ``offset_``, the quantile of the scores of the training molecules.

    A molecule is never its own neighbour. So a training molecule has the score that it would have if it were new, and
    the share ``quantile`` of the training molecules lies outside.

    Parameters
    ----------
    method : {"similarity", "embedding"}, default="similarity"
        ``"similarity"`` compares circular substructures: radius 2, counts, 2,048 columns. ``"embedding"`` compares the
        output of ``embedder``, scaled by :class:`~mocop_sklearn.molecules.BlockScaler`: the distance of two training
        molecules is near the root of 2.
    embedder : str, Path, model or transformer, default=None
        For ``method="embedding"``: the name or the file of a model, a fitted estimator of this package, or another
        transformer of molecules, which is cloned and fitted on X. In a search or cross-validation, which clone, put a
        fitted one in scikit-learn's ``FrozenEstimator``.
    n_neighbors : int, default=5
        Number k of training molecules that a molecule is compared with.
    quantile : float, default=0.05
        Share of the training molecules that lies outside.
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`.
    invalid : {"raise", "nan"}, default="raise"
        With ``"nan"``, ``fit`` leaves out rows that are not molecules, and all answers are NaN for them.
    n_jobs : int, default=None
        Processes that read molecules.

    Attributes
    ----------
    molecules_ : ndarray of str, shape (n_molecules,)
        Canonical SMILES of the distinct training molecules, sorted.
    offset_ : float
        The threshold. With more than 4,096 training molecules, it is the quantile of that many of them.
    embedder_, scaler_ : transformer
        With ``method="embedding"``: what embeds, and what scales the embedding.

    See Also
    --------
    mocop_sklearn.model_selection.overlap : Which molecules a model has seen.

    References
    ----------
    .. [1] Sheridan, Feuston, Maiorov, Kearsley. Similarity to molecules in the training set is a good discriminator for
       prediction accuracy in QSAR. J. Chem. Inf. Comput. Sci. 44, 1912, 2004.
    .. [2] Sahigara, Ballabio, Todeschini, Consonni. Defining a novel k-nearest neighbours approach to assess the
       applicability domain of a QSAR model. J. Cheminform. 5, 27, 2013.

    Examples
    --------
    >>> from mocop_sklearn.inspection import ApplicabilityDomain
    >>> alcohols = ["CO", "CCO", "CCCO", "CCCCO", "CCCCCO", "CCCCCCO"]
    >>> domain = ApplicabilityDomain(n_neighbors=2, quantile=0.2).fit(alcohols)
    >>> domain.predict(["CCCCCCCO", "c1ccc2ccccc2c1"])
    array([ 1, -1])
    >>> domain.nearest(["CCCCCCCO"])[1].tolist()
    ['CCCCCCO']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"similarity", "embedding"})],
        "embedder": [str, os.PathLike, PretrainedModel, BaseEstimator, None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "quantile": [Interval(Real, 0, 1, closed="left")],
        "standardize": [StrOptions({"parent"}), callable, None],
        "invalid": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        method: str = "similarity",
        *,
        embedder: Any = None,
        n_neighbors: int = 5,
        quantile: float = 0.05,
        standardize: Any = "parent",
        invalid: str = "raise",
        n_jobs: int | None = None,
    ):
        self.method = method
        self.embedder = embedder
        self.n_neighbors = n_neighbors
        self.quantile = quantile
        self.standardize = standardize
        self.invalid = invalid
        self.n_jobs = n_jobs

    _reference: tuple[np.ndarray, ...]  # counts, columns and starts of sparse rows, or the scaled embedding

    # -- fitting ------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep the training molecules, and find the threshold.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
            Rows of one molecule count once.
        y : ignored

        Returns
        -------
        ApplicabilityDomain

        Raises
        ------
        ValueError
            When rows are invalid, no more than ``n_neighbors`` distinct molecules remain, or ``embedder`` does not
            suit ``method``.
        """
        self._validate_params()
        if (self.method == "embedding") != (self.embedder is not None):
            raise ValueError(
                f'method="embedding" needs an embedder and method="similarity" reads none, got method={self.method!r} '
                f"and embedder={self.embedder!r}."
            )
        values = check_molecules(X)
        smiles = np.unique([text for text in self._read(values) if text is not None])
        smiles = self._fit_reference(smiles) if len(smiles) else smiles
        if len(smiles) <= self.n_neighbors:
            raise ValueError(
                f"n_neighbors={self.n_neighbors} needs at least {self.n_neighbors + 1} distinct molecules, because a "
                f"molecule is not its own neighbour, but X (n_samples={len(values)}) holds {len(smiles)}: take fewer "
                "neighbours."
            )
        self.molecules_ = smiles
        left_out = smiles[np.linspace(0, len(smiles) - 1, min(len(smiles), _N_LEFT_OUT)).astype(int)]
        closeness, _ = self._neighbors(left_out, self.n_neighbors)
        self.offset_ = float(np.quantile(closeness.mean(axis=1), self.quantile))
        return self

    def _fit_reference(self, smiles: np.ndarray) -> np.ndarray:
        """Keep what new molecules are compared with, and return the molecules for which there is a number."""
        if self.method == "similarity":
            counts = self._counts(smiles)
            kind = np.min_scalar_type(int(counts.data.max(initial=0)))
            self._reference = (
                counts.data.astype(kind),
                counts.indices.astype(np.int32),
                counts.indptr.astype(np.int64),
            )
            return smiles
        self.embedder_ = _embedder(self.embedder).fit(smiles.tolist(), None)
        embedding = self._embedding(smiles)
        known = np.isfinite(embedding).any(axis=1)
        report_invalid(smiles.tolist(), dict.fromkeys(np.flatnonzero(~known).tolist(), _NO_NUMBER), self.invalid)
        self.scaler_ = BlockScaler().fit(embedding[known])
        self._reference = (np.asarray(self.scaler_.transform(embedding[known])),)
        return smiles[known]

    # -- answers ------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Mean closeness of molecules to their nearest training molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Higher is nearer: from 0 to 1 with ``method="similarity"``, at most 0 with ``method="embedding"``. With
            ``invalid="nan"``, rows that are not molecules are NaN.

        Raises
        ------
        ValueError
            With ``invalid="raise"``, when rows are not molecules. The message names the first ten.
        """
        scores: np.ndarray = self.kneighbors(X)[0].mean(axis=1)
        return scores

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``: negative outside of the domain.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Tell which molecules are inside the domain.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray, shape (n_samples,)
            1 inside, -1 outside. Integers, but floats where a row is not a molecule, which is NaN.
        """
        decision = self.decision_function(X)
        undefined = np.isnan(decision)
        if undefined.any():
            return np.where(undefined, np.nan, np.where(decision < 0, -1.0, 1.0))
        return np.where(decision < 0, -1, 1)

    def kneighbors(self, X: Any, n_neighbors: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest training molecules, other than the molecules themselves, the nearest one first.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        n_neighbors : int, default=None
            None is that of the domain.

        Returns
        -------
        closeness : ndarray of float64, shape (n_samples, n_neighbors)
            Tanimoto similarity, or minus the distance; NaN for a row that is not a molecule.
        places : ndarray of int, shape (n_samples, n_neighbors)
            Their places in ``molecules_``; -1 for a row that is not a molecule.

        Raises
        ------
        ValueError
            With ``invalid="raise"``, when rows are not molecules; when there are not so many other molecules.
        """
        check_is_fitted(self)
        n = self.n_neighbors if n_neighbors is None else n_neighbors
        if not isinstance(n, Integral) or isinstance(n, bool) or not 0 < n < len(self.molecules_):
            raise ValueError(
                f"n_neighbors={n!r}, but it has to be an integer from 1 to {len(self.molecules_) - 1}: there are "
                f"{len(self.molecules_)} training molecules, and none is its own neighbour."
            )
        values = check_molecules(X)
        smiles = self._read(values)
        rows = np.array([i for i, text in enumerate(smiles) if text is not None], dtype=int)
        unique, inverse = np.unique(smiles[rows].astype(str), return_inverse=True)
        closeness, places = np.full((len(values), n), np.nan), np.full((len(values), n), -1)
        if len(rows):
            closeness[rows], places[rows] = (part[inverse] for part in self._neighbors(unique, n))
            absent = rows[np.isnan(closeness[rows, 0])].tolist()
            report_invalid(values, dict.fromkeys(absent, _NO_NUMBER), self.invalid)
        return closeness, places

    def nearest(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest training molecules, other than the molecules themselves.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        closeness : ndarray of float64, shape (n_samples,)
            Tanimoto similarity, or minus the distance; NaN for a row that is not a molecule.
        molecules : ndarray of object, shape (n_samples,)
            Canonical SMILES; None for a row that is not a molecule.
        """
        closeness, places = self.kneighbors(X, 1)
        molecules = np.array([*self.molecules_.tolist(), None], dtype=object)  # -1 is None
        return closeness[:, 0], molecules[places[:, 0]]

    def check(self) -> None:
        """Raise ``ValueError`` unless the fitted numbers agree, after they were read from a file.

        Only ``method="similarity"`` can be written to a file.
        """
        self._validate_params()
        check_is_fitted(self)
        if self.method != "similarity":
            raise ValueError(f"it compares molecules with method={self.method!r}")
        molecules, (counts, _, starts) = self.molecules_, self._reference
        if molecules.ndim != 1 or not self.n_neighbors < len(molecules) == len(starts) - 1:
            raise ValueError(f"{molecules.shape} molecules, {len(starts) - 1} fingerprints")
        if counts.dtype.kind != "u" or not np.isfinite(self.offset_) or (molecules[1:] <= molecules[:-1]).any():
            raise ValueError("the fingerprints, the threshold or the molecules are not those of a fitted domain")
        self._training_counts().check_format(full_check=True)

    # -- neighbours ---------------------------------------------------------------------------

    def _read(self, values: list[Any]) -> np.ndarray:
        """Canonical SMILES of each row, None for a row that is not a molecule."""
        found, reasons = describe_rows(values, canonical, self.standardize, self.invalid, self.n_jobs)
        report_invalid(values, reasons, self.invalid)
        return np.array(found, dtype=object)

    def _neighbors(self, smiles: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Closeness and place of the n nearest training molecules of canonical SMILES, the nearest first."""
        size = max(1, _CELLS // len(self.molecules_))
        parts = [self._neighbors_of_chunk(smiles[i : i + size], n) for i in range(0, len(smiles), size)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _neighbors_of_chunk(self, smiles: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        if self.method == "similarity":
            closeness = tanimoto_kernel(self._counts(smiles), self._training_counts()).astype(np.float64)
            places = _highest(self._without_own(closeness, smiles), n)
            return np.take_along_axis(closeness, places, axis=1), places
        rows = np.asarray(self.scaler_.transform(self._embedding(smiles)), dtype=np.float64)
        absent = np.isnan(rows).any(axis=1)
        rows[absent] = 0.0
        training = self._reference[0].astype(np.float64)
        rough = -euclidean_distances(rows, training, squared=True)
        places = _highest(self._without_own(rough, smiles), n)
        # from the differences, so that a distance does not depend on the other rows
        closeness = -np.linalg.norm(rows[:, None] - training[places], axis=2)
        closeness[absent], places[absent] = np.nan, -1
        return closeness, places

    def _without_own(self, closeness: np.ndarray, smiles: np.ndarray) -> np.ndarray:
        """Put a training molecule farthest from itself."""
        place = np.minimum(np.searchsorted(self.molecules_, smiles), len(self.molecules_) - 1)
        own = np.flatnonzero(self.molecules_[place] == smiles)
        closeness[own, place[own]] = -np.inf
        return closeness

    def _counts(self, smiles: np.ndarray) -> Any:
        """Fingerprints as a sparse matrix."""
        table = MorganCounts(log=False, standardize=None, n_jobs=self.n_jobs).fit(["C"])
        chunks = [smiles[i : i + _ROWS].tolist() for i in range(0, len(smiles), _ROWS)]
        return sparse.vstack([sparse.csr_array(table.transform(chunk)) for chunk in chunks], format="csr")

    def _training_counts(self) -> Any:
        counts, columns, starts = self._reference
        return sparse.csr_array((counts, columns, starts), shape=(len(starts) - 1, MorganCounts().fp_size))

    def _embedding(self, smiles: np.ndarray) -> np.ndarray:
        # a row without a number is reported by its place in X
        with config_context(transform_output="default"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ of \d+ rows of X are not valid molecules", UserWarning)
            return np.asarray(self.embedder_.transform(smiles.tolist()), dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        accept_molecules(tags, self.invalid)
        return tags


def _highest(values: np.ndarray, n: int) -> np.ndarray:
    """Places of the n highest values of each row, the highest first."""
    places = np.argpartition(-values, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(values, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def _embedder(given: Any) -> Any:
    """Return a transformer of molecules whose ``fit`` loads, learns or does nothing.

    Raises
    ------
    ValueError
        When ``given`` does not embed.
    """
    fitted = getattr(given, "model_", None) is not None
    if isinstance(given, (str, os.PathLike, PretrainedModel)) or (fitted and not hasattr(given, "transform")):
        return MoCoPEmbedder(pretrained=given, invalid="nan")
    if not hasattr(given, "transform"):
        raise ValueError(
            f"embedder={given!r} cannot embed: it needs the name or the file of a model, a fitted estimator of this "
            "package, or a transformer of molecules."
        )
    return FrozenEstimator(given) if fitted else clone(given)
