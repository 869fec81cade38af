"""Pictures, in the manner of scikit-learn's Display classes; they need the extra ``plot``."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .metrics import normalized_rank, retrieval_ranks


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Plotting needs matplotlib: pip install 'mocop-sklearn[plot]'.") from error
    return pyplot.subplots()[1]


class RetrievalDisplay:
    """How many queries find their own candidate within the first k, against chance.

    Parameters
    ----------
    ranks : dict of str to ndarray
        Direction to the rank of each query's own candidate, 0 is best.
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
        """Rank both ways between paired rows, and plot.

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
        ``history_`` of a fitted embedder.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the losses; the validation score has its own axis on the right.
    lines_ : list of matplotlib Line2D
    """

    def __init__(self, history: list[dict[str, float]]):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Plot the history of a fitted ``MoCoPEmbedder``."""
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = _axes(ax)
        epochs = [row["epoch"] for row in self.history]
        self.lines_ = self.ax_.plot(epochs, [row["loss"] for row in self.history], label="training loss")
        self.ax_.set(xlabel="epoch", ylabel="InfoNCE")
        if self.history and "validation_score" in self.history[0]:
            self.lines_ += self.ax_.plot(
                epochs, [row["validation_loss"] for row in self.history], label="validation loss"
            )
            right = self.ax_.twinx()
            scores = [row["validation_score"] for row in self.history]
            self.lines_ += right.plot(epochs, scores, color="black", label="validation score (right)")
            right.set(ylabel="1 - 2 × normalised rank", ylim=(min(0, *scores), 1))
        self.ax_.legend(handles=self.lines_, fontsize="small")
        return self
