"""How well molecules and profiles find each other: a curve for one model, and a comparison of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..metrics import normalized_rank, retrieval_ranks
from ..utils._arrays import floats_of
from ._axes import COLORS, GREY, MARKERS, literal, new_axes, tidy

_RESAMPLES = 1000


class RetrievalDisplay:
    """The share of queries that find their own candidate among the first k, compared with chance.

    Parameters
    ----------
    ranks : dict of str to ndarray
        For each direction, the rank of each query's own candidate; 0 is best.
    n_candidates : int

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
    """

    def __init__(self, ranks: dict[str, np.ndarray], n_candidates: int):
        self.ranks = ranks
        self.n_candidates = n_candidates

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, profiles: Any, *, ax: Any = None, name: str | None = None) -> Self:
        """Rank the distinct molecules of X against their mean profiles, as ``score`` does, and plot.

        Parameters
        ----------
        estimator : fitted MoCoPEmbedder, ProfileKernelRidge or ProfileNeighbors
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        profiles : array-like of float or DataFrame, shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
        name : str, default=None
            Prefix of the labels.
        """
        return cls.from_predictions(*estimator._paired_vectors(X, profiles), ax=ax, name=name)

    @classmethod
    def from_predictions(cls, molecules: Any, profiles: Any, *, ax: Any = None, name: str | None = None) -> Self:
        """Rank paired rows in both directions, and plot.

        Parameters
        ----------
        molecules, profiles : array-like of float, shape (n_molecules, projection_dim)
            ``transform`` with ``output="projection"`` and ``transform_profiles``, one row per molecule.
        ax : matplotlib Axes, default=None
        name : str, default=None
            Prefix of the labels.
        """
        prefix = f"{name}: " if name else ""
        ranks = {
            f"{prefix}molecule → profile": retrieval_ranks(molecules, profiles),
            f"{prefix}profile → molecule": retrieval_ranks(profiles, molecules),
        }
        return cls(ranks, len(molecules)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        k = np.arange(1, self.n_candidates + 1)
        self.lines_ = []
        for i, (label, ranks) in enumerate(self.ranks.items()):
            found = np.searchsorted(np.sort(ranks), k, side="left") / len(ranks)  # the share of ranks below k
            text = f"{literal(label)} (normalised rank {normalized_rank(ranks, self.n_candidates):.3f})"
            style = {"color": COLORS[i % len(COLORS)], "linestyle": ("-", "-.")[i % 2]}
            self.lines_ += self.ax_.plot(k, found, label=text, **style)
        chance = self.ax_.plot(k, k / self.n_candidates, linestyle="--", color=GREY, label="chance (0.500)")
        self.lines_ += chance
        self.ax_.set(
            xlabel=f"first k of {self.n_candidates}", ylabel="share of queries that find their own", ylim=(0, 1.02)
        )
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.legend(loc="lower right", fontsize="small")
        return self


class RetrievalComparisonDisplay:
    """The retrieval scores of several ways to predict profiles from molecules, with intervals, compared with chance.

    Parameters
    ----------
    ranks : dict of str to array-like of float, shape (n_queries,)
        For each way, the normalised ranks of its queries: 0 is perfect, 0.5 is chance, 1 is worst.

    Attributes
    ----------
    scores_ : dict of str to float
        1 - 2 × the mean of the ranks: 1 is perfect, 0 is chance.
    intervals_ : dict of str to tuple of float
        95 percent of the scores of 1,000 samples of the queries, drawn with replacement from a fixed seed.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Raises
    ------
    ValueError
        When a way has no ranks, or a rank is missing.
    """

    def __init__(self, ranks: Mapping[str, Any]):
        self.ranks = {name: floats_of(values) for name, values in ranks.items()}
        wrong = [name for name, values in self.ranks.items() if not len(values) or not np.isfinite(values).all()]
        if wrong:
            raise ValueError(f"The ranks of {wrong[0]!r} must be finite numbers, of one query or more.")
        self.scores_ = {name: float(1 - 2 * values.mean()) for name, values in self.ranks.items()}
        self.intervals_ = {name: _interval(values) for name, values in self.ranks.items()}

    @classmethod
    def from_estimator(cls, estimators: Mapping[str, Any], X: Any, profiles: Any, *, ax: Any = None) -> Self:
        """Compare fitted estimators on the same molecules, and plot.

        Parameters
        ----------
        estimators : dict of str to fitted MoCoPEmbedder, ProfileKernelRidge or ProfileNeighbors
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        profiles : array-like of float or DataFrame, shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
        """
        vectors = {name: estimator._paired_vectors(X, profiles) for name, estimator in estimators.items()}
        return cls.from_predictions(vectors, ax=ax)

    @classmethod
    def from_predictions(cls, vectors: Mapping[str, tuple[Any, Any]], *, ax: Any = None) -> Self:
        """Rank paired rows in both directions, and plot.

        Parameters
        ----------
        vectors : dict of str to (molecules, profiles)
            Paired rows, as :meth:`RetrievalDisplay.from_predictions` takes them.
        ax : matplotlib Axes, default=None
        """
        return cls({name: ranks_of_pairs(*pair) for name, pair in vectors.items()}).plot(ax=ax)

    def plot(self, *, ax: Any = None, styles: Mapping[str, int] | None = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        styles : dict of str to int, default=None
            Number of the colour and marker of each way, so that it has the same in several pictures.
        """
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        places = np.arange(len(self.scores_))
        for i, (name, score) in enumerate(self.scores_.items()):
            low, high = self.intervals_[name]
            number = i if styles is None else styles[name]
            style = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)], "capsize": 3}
            self.ax_.errorbar(score, i, xerr=[[max(score - low, 0)], [max(high - score, 0)]], **style)
            self.ax_.annotate(f"{score:.3f}", (score, i), xytext=(0, 7), textcoords="offset points", ha="center")
        self.ax_.axvline(0, color=GREY, linestyle="--")
        self.ax_.annotate(
            "chance", (0, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color="#555555"
        )
        self.ax_.set_yticks(places, [literal(name, 60) for name in self.scores_])
        self.ax_.set(xlabel="retrieval score (1: perfect, 0: chance)", ylim=(len(places) - 0.5, -0.7))
        tidy(self.ax_)
        return self


def ranks_of_pairs(molecules: Any, profiles: Any) -> np.ndarray:
    """Return the normalised rank of each molecule and its profile, the mean of both directions."""
    n = len(molecules)
    if n < 2:
        return np.full(n, 0.5)
    both = retrieval_ranks(molecules, profiles) + retrieval_ranks(profiles, molecules)
    return both / (2 * (n - 1))


def _interval(ranks: np.ndarray) -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(ranks), size=(_RESAMPLES, len(ranks)))
    low, high = np.percentile(1 - 2 * ranks[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
