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


def paired_interval(differences: Iterable[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of paired differences and Student's interval around it; infinite for a single difference."""
    a = np.asarray(list(differences), dtype=float)
    if not len(a):
        return math.nan, math.nan, math.nan
    mean = float(a.mean())
    if len(a) < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf((1 + confidence) / 2, len(a) - 1) * a.std(ddof=1) / math.sqrt(len(a)))
    return mean, mean - half, mean + half
