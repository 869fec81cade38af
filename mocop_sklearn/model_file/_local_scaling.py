"""``LocalScaling``: a correction of the cosines in a shared space for hubs."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from ..utils._arrays import by_blocks

N_COLUMNS = 4  # that stand beside each vector
_LENGTH = 1.5  # of a vector with these columns


class LocalScaling(BaseEstimator):
    """Unit vectors of molecules and profiles → unit vectors whose cosines are corrected for hubs.

    In a shared space of many dimensions, a few profiles are near to most molecules, and a few molecules to most
    profiles ([1]_). Such hubs stand before the true match. Cross-domain similarity local scaling ([2]_, section 2.3)
    asks how much nearer two vectors are than their neighbours: the cosine of molecule u and profile v becomes ::

        (cos(u, v) - r(u) / 2 - r(v) / 2) / 2.25

    Here r(u) is the mean cosine of u and of the training profiles that are nearest to it, r(v) that of v and of the
    nearest training molecules. A pair is above 0 where it is nearer than those neighbours are on average. Four columns
    beside each vector make this the cosine of two unit vectors; of two molecules, or of two profiles, it keeps the
    distance nearly as it was, divided by 1.5.

    Parameters
    ----------
    n_neighbors : int, default=10
        How many of the nearest training vectors count; all, if these are fewer.

    Attributes
    ----------
    molecules_, profiles_ : ndarray of float16, shape (n_reference, n_columns)
        Unit vectors of training molecules and of their profiles.

    References
    ----------
    .. [1] Radovanović, Nanopoulos, Ivanović. Hubs in Space: Popular Nearest Neighbors in High-Dimensional Data. Journal
       of Machine Learning Research 11, 2487, 2010.
    .. [2] Conneau, Lample, Ranzato, Denoyer, Jégou. Word Translation Without Parallel Data. arXiv 1710.04087, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.model_file import LocalScaling
    >>> scaling = LocalScaling(n_neighbors=1).fit(np.eye(2), np.eye(2))
    >>> u, v = np.array([[1.0, 0.0]]), np.array([[0.8, 0.6]])
    >>> cosine = scaling.scale_molecules(u) @ scaling.scale_profiles(v).T
    >>> round(float(cosine[0, 0] * 2.25), 3)  # 0.8 - 1 / 2 - 0.8 / 2
    -0.1
    """

    def __init__(self, n_neighbors: int = 10):
        self.n_neighbors = n_neighbors

    def fit(self, molecules: np.ndarray, profiles: np.ndarray) -> Self:
        """Keep unit vectors of training molecules, and of their profiles, both of shape (n_reference, n_columns)."""
        self.molecules_ = np.asarray(molecules, dtype=np.float16)
        self.profiles_ = np.asarray(profiles, dtype=np.float16)
        return self

    def scale_molecules(self, vectors: np.ndarray) -> np.ndarray:
        """Return unit vectors of molecules, float32 of shape (n_molecules, n_columns + 4), from theirs."""
        nearness = self._nearness(vectors, self.profiles_)
        return self._with_columns(vectors, -nearness / 2, np.ones_like(nearness), _rest(nearness), 0 * nearness)

    def scale_profiles(self, vectors: np.ndarray) -> np.ndarray:
        """Return unit vectors of profiles, float32 of shape (n_profiles, n_columns + 4), from theirs."""
        nearness = self._nearness(vectors, self.molecules_)
        return self._with_columns(vectors, np.ones_like(nearness), -nearness / 2, 0 * nearness, _rest(nearness))

    def check(self) -> None:
        """Raise ``ValueError`` unless the parameter and the arrays are of the right kind and shape."""
        molecules, profiles = self.molecules_, self.profiles_
        if not (molecules.dtype == profiles.dtype == np.float16 and molecules.ndim == 2):
            raise ValueError(
                f"reference vectors of {molecules.ndim} dimensions and {molecules.dtype}, {profiles.dtype}"
            )
        if molecules.shape != profiles.shape:
            raise ValueError(f"reference vectors of shapes {molecules.shape} and {profiles.shape}")
        if not (isinstance(self.n_neighbors, int) and self.n_neighbors > 0 and self.molecules_.size):
            raise ValueError(f"n_neighbors={self.n_neighbors!r} of {len(self.molecules_)} reference vectors")

    def _nearness(self, vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the mean cosine of each vector and of the reference vectors that are nearest to it, as a column."""
        across = reference.astype(np.float32).T
        first = -min(self.n_neighbors, len(reference))

        def of_block(block: np.ndarray) -> np.ndarray:
            nearest: np.ndarray = np.sort(np.partition(block @ across, first, axis=1)[:, first:], axis=1)
            return nearest.mean(axis=1, keepdims=True)

        return np.clip(by_blocks(of_block, np.asarray(vectors, dtype=np.float32)), -1, 1)

    @staticmethod
    def _with_columns(vectors: np.ndarray, *columns: np.ndarray) -> np.ndarray:
        beside: np.ndarray = np.hstack([vectors, *columns]).astype(np.float32) / np.float32(_LENGTH)
        return beside


def _rest(nearness: np.ndarray) -> np.ndarray:
    """Return what makes all vectors equally long: it meets a 0 in the other view."""
    rest: np.ndarray = np.sqrt(1 - nearness**2) / 2
    return rest
