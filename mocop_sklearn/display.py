"""Plots in the style of scikit-learn's Display classes. They need the extra ``plot``."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .metrics import normalized_rank, retrieval_ranks

__all__ = ["RetrievalDisplay", "TrainingHistoryDisplay"]


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Plotting needs matplotlib: pip install 'mocop-sklearn[plot]'.") from error
    return pyplot.subplots()[1]


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
    lines_ : list of matplotlib Line2D
    """

    def __init__(self, ranks: dict[str, np.ndarray], n_candidates: int):
        self.ranks = ranks
        self.n_candidates = n_candidates

    @classmethod
    def from_embeddings(cls, molecules: Any, profiles: Any, *, ax: Any = None, name: str | None = None) -> Self:
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
        self.ax_ = _axes(ax)
        k = np.arange(1, self.n_candidates + 1)
        self.lines_ = []
        for label, ranks in self.ranks.items():
            found = (ranks[:, None] < k).mean(axis=0)
            text = f"{label} (normalised rank {normalized_rank(ranks, self.n_candidates):.3f})"
            self.lines_ += self.ax_.plot(k, found, label=text)
        chance = self.ax_.plot(k, k / self.n_candidates, linestyle="--", color="gray", label="chance (0.500)")
        self.lines_ += chance
        self.ax_.set(
            xlabel=f"first k of {self.n_candidates}", ylabel="share of queries that find their own", ylim=(0, 1)
        )
        self.ax_.legend(loc="lower right", fontsize="small")
        return self


class TrainingHistoryDisplay:
    """Loss and validation score over the epochs.

    Parameters
    ----------
    history : list of dict
        ``history_`` of a fitted embedder, classifier or regressor; an ensemble has a line for each network.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the losses; the validation score has an axis of its own on the right.
    lines_ : list of matplotlib Line2D
    """

    def __init__(self, history: list[dict[str, float]]):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Plot the history of a fitted ``MoCoPEmbedder``, ``MoCoPClassifier`` or ``MoCoPRegressor``."""
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = _axes(ax)
        contrastive = any("temperature" in row for row in self.history)
        self.ax_.set(xlabel="epoch", ylabel="InfoNCE" if contrastive else "loss")
        self.lines_ = self._draw(self.ax_, "loss", "training loss", color="C0")
        if any("validation_score" in row for row in self.history):
            self.lines_ += self._draw(self.ax_, "validation_loss", "validation loss", color="C1")
            right = self.ax_.twinx()
            self.lines_ += self._draw(right, "validation_score", "validation score (right)", color="black")
            scores = [row["validation_score"] for row in self.history if np.isfinite(row["validation_score"])]
            right.set(ylim=(min([0.0, *scores]), 1))
            if contrastive:
                right.set(ylabel="1 - 2 × normalised rank")
        handles = {line.get_label(): line for line in self.lines_}  # all networks share a label
        self.ax_.legend(handles=list(handles.values()), fontsize="small")
        return self

    def _draw(self, ax: Any, column: str, label: str, color: str) -> list[Any]:
        networks = list(dict.fromkeys(row.get("estimator", 0) for row in self.history))
        lines = []
        for network in networks:
            rows = [row for row in self.history if row.get("estimator", 0) == network]
            lines += ax.plot([row["epoch"] for row in rows], [row[column] for row in rows], color=color, label=label)
        return lines
