"""Predictions → figures → paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

# larger is better
RANKED = ("auroc", "auprc", "spearman", "r2")


def score_task(kind: str, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float] | str:
    """Figures of one task on its measured test rows, or the reason why there are none."""
    if not len(truth):
        return "no test label"
    if np.isnan(predicted).any():
        return "one class in training" if kind == "classification" else "no prediction"
    if kind == "classification":
        if len(np.unique(truth)) < 2:
            return "one class in test"
        return {
            "auroc": float(roc_auc_score(truth, predicted)),
            "auprc": float(average_precision_score(truth, predicted)),
            "prevalence": float(truth.mean()),
        }
    errors = predicted - truth
    figures = {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}
    if len(truth) < 3 or np.ptp(truth) == 0:
        return "fewer than three different values in test"
    # a constant prediction ranks nothing: its correlation counts as 0, not as undefined
    figures["spearman"] = float(stats.spearmanr(truth, predicted).statistic) if np.ptp(predicted) > 0 else 0.0
    figures["r2"] = float(1 - (errors**2).sum() / ((truth - truth.mean()) ** 2).sum())
    return figures


def score(kind: str, truth: np.ndarray, predicted: np.ndarray, tasks: list[str]) -> dict[str, Any]:
    """Figures of every task, their macro mean, and the tasks that could not be scored, each with the reason."""
    scored: dict[str, dict[str, float]] = {}
    skipped: dict[str, str] = {}
    for column, task in enumerate(tasks):
        known = ~np.isnan(truth[:, column])
        found = score_task(kind, truth[known, column], predicted[known, column])
        if isinstance(found, str):
            skipped[task] = found
        else:
            scored[task] = found
    names = list(next(iter(scored.values()))) if scored else []
    mean = {name: float(np.mean([figures[name] for figures in scored.values()])) for name in names}
    return {"mean": mean, "n_scored": len(scored), "skipped": skipped, "tasks": scored}


def paired_interval(
    differences: Iterable[float], overlap: float = 0.0, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of paired differences and Student's interval around it; infinite for a single difference.

    ``overlap`` is the number of test molecules for each training molecule where the differences come from overlapping
    splits of one set, which are not independent: the variance of their mean is then 1 / n + overlap times that of one
    (Nadeau and Bengio, *Inference for the Generalization Error*, Machine Learning 52, 2003). It is 0 for differences
    of different sets.
    """
    a = np.asarray(list(differences), dtype=float)
    if not len(a):
        return math.nan, math.nan, math.nan
    mean = float(a.mean())
    if len(a) < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf((1 + confidence) / 2, len(a) - 1) * _error_of_mean(a, overlap))
    return mean, mean - half, mean + half


def paired_p_value(differences: Iterable[float], overlap: float = 0.0) -> float:
    """Return the two-sided p-value of ``paired_interval``; 1 where there is nothing to tell."""
    a = np.asarray(list(differences), dtype=float)
    if len(a) < 2 or not a.any():
        return 1.0
    error = _error_of_mean(a, overlap)
    return float(2 * stats.t.sf(abs(a.mean()) / error, len(a) - 1)) if error > 0 else 0.0


def _error_of_mean(a: np.ndarray, overlap: float) -> float:
    return float(a.std(ddof=1) * math.sqrt(1 / len(a) + overlap))


def holm(p_values: Iterable[float]) -> np.ndarray:
    """Return p-values adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    p = np.asarray(list(p_values), dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
