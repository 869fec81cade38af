"""``TrainingHistoryDisplay``: loss and validation score over the epochs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._axes import COLORS, new_axes


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
    figure_ : matplotlib Figure
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
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        contrastive = any("temperature" in row for row in self.history)
        self.ax_.set(xlabel="epoch", ylabel="loss")
        self.lines_ = self._draw(self.ax_, "loss", "training loss", color=COLORS[0])
        if any("validation_score" in row for row in self.history):
            dashed = {"color": COLORS[1], "linestyle": "--"}
            self.lines_ += self._draw(self.ax_, "validation_loss", "validation loss", **dashed)
            right = self.ax_.twinx()
            dotted = {"color": "black", "linestyle": ":"}
            self.lines_ += self._draw(right, "validation_score", "validation score (right)", **dotted)
            scores = [row["validation_score"] for row in self.history if np.isfinite(row["validation_score"])]
            right.set(ylim=(min([0.0, *scores]), 1))
            if contrastive:
                right.set(ylabel="1 - 2 × normalised rank")
        handles = {line.get_label(): line for line in self.lines_}  # all networks share a label
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": len(handles), "frameon": False}
        self.ax_.legend(handles=list(handles.values()), fontsize="small", **above)
        self.ax_.locator_params(axis="x", integer=True)
        return self

    def _draw(self, ax: Any, column: str, label: str, **style: Any) -> list[Any]:
        networks = list(dict.fromkeys(row.get("estimator", 0) for row in self.history))
        lines = []
        for network in networks:
            rows = [row for row in self.history if row.get("estimator", 0) == network]
            lines += ax.plot([row["epoch"] for row in rows], [row[column] for row in rows], label=label, **style)
        return lines
