"""``DomainDisplay``: which molecules lie within the domain of a model."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..utils._arrays import floats_of
from ._axes import COLORS, literal, new_axes, tidy


class DomainDisplay:
    """How similar molecules are to those of training, beside the threshold of an applicability domain.

    Parameters
    ----------
    scores : array-like of float, shape (n_molecules,)
        ``score_samples`` of the molecules; NaN is left out. Larger is nearer to training.
    threshold : float
        Molecules with a smaller score lie outside.
    reference : array-like of float, default=None
        Scores of other molecules, such as those of training.
    reference_name : str, default="reference"

    Attributes
    ----------
    inside_ : float
        Share of the molecules whose score reaches the threshold.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, scores: Any, threshold: float, reference: Any = None, reference_name: str = "reference"):
        self.scores = _finite(scores)
        self.threshold = float(threshold)
        self.reference = None if reference is None else _finite(reference)
        self.reference_name = reference_name
        self.inside_ = float(np.mean(self.scores >= self.threshold)) if len(self.scores) else float("nan")

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, reference: Any = None, ax: Any = None) -> Self:
        """Score molecules by a fitted domain, and plot.

        Parameters
        ----------
        estimator : fitted ApplicabilityDomain
            Or another outlier detector of molecules with ``score_samples`` and ``offset_``.
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        reference : list of str or Mol, default=None
            Molecules to compare with.
        ax : matplotlib Axes, default=None
        """
        others = None if reference is None else estimator.score_samples(reference)
        return cls.from_predictions(estimator.score_samples(X), estimator.offset_, reference=others, ax=ax)

    @classmethod
    def from_predictions(cls, scores: Any, threshold: float, *, reference: Any = None, ax: Any = None) -> Self:
        """Plot scores; the parameters are those of :class:`DomainDisplay`."""
        return cls(scores, threshold, reference).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        shown = {"these molecules": self.scores}
        if self.reference is not None:
            shown[literal(self.reference_name)] = self.reference
        both = np.concatenate(list(shown.values()))
        edges = np.histogram_bin_edges(both, bins=30) if len(both) else np.linspace(0, 1, 31)
        for (name, scores), color, line in zip(shown.items(), COLORS, ("-", "--"), strict=False):
            style = {"color": color, "linestyle": line, "linewidth": 1.5, "histtype": "step"}
            weights = np.full(len(scores), 1 / max(len(scores), 1))
            self.ax_.hist(scores, bins=edges, weights=weights, label=f"{name} ({len(scores):,})", **style)
        label = f"threshold {self.threshold:.3g}: {self.inside_:.0%} of these molecules lie inside"
        self.ax_.axvline(self.threshold, color="black", linestyle=":", label=label)
        self.ax_.set(xlabel="similarity to the molecules of training", ylabel="share of molecules")
        self.ax_.legend(fontsize="small")
        tidy(self.ax_)
        return self


def _finite(scores: Any) -> np.ndarray:
    values = floats_of(scores)
    return values[np.isfinite(values)]
