"""Losses and scores of labels: binary, multiclass and regression, each an ``Objective``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch.nn.functional as F
from scipy.special import expit, log_expit, log_softmax, logsumexp
from sklearn.metrics import average_precision_score, r2_score
from torch import Tensor

from ._linear_start import logistic_classes, logistic_columns, measured_column, ridge_columns


@dataclass(frozen=True)
class Objective:
    """One kind of label: its loss, its score, where the last layer starts and what is predicted.

    A new kind is one more object of this class.

    Attributes
    ----------
    loss : callable
        Maps outputs and targets, both of shape (n, n_outputs), to losses of that shape, or (n, 1) for one softmax.
    score : callable
        Maps the targets, outputs and weights of one column, ndarrays of shape (n,), to a number, higher is better;
        NaN where the column cannot be scored.
    start : callable
        Maps standardised features, targets and weights to the outputs that could be learned, and the coefficients and
        intercepts of a linear model of them.
    join : callable
        Maps the outputs of an ensemble, shape (n_estimators, n, n_outputs), to one decision, shape (n, n_outputs).
    link : callable
        Maps a decision to probabilities or numbers.
    scales_targets : bool
        Whether each target is brought to mean 0 and variance 1 on the training part.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    start: Callable[[np.ndarray, Any, Any], tuple[np.ndarray, np.ndarray, np.ndarray]]
    join: Callable[[np.ndarray], np.ndarray]
    link: Callable[[np.ndarray], np.ndarray]
    scales_targets: bool = False


def mean_loss(objective: Objective, outputs: Tensor, targets: Tensor, weights: Tensor, mass: Tensor) -> Tensor:
    """Return the mean loss over the measured labels, with class weights as factors.

    Divided by the weights with those of the classes, a batch without the rare class would count as much as any other,
    and the class weights would act within batches only.

    Parameters
    ----------
    outputs, targets : Tensor, shape (n, n_outputs)
    weights, mass : Tensor, shape (n, n_outputs), or (n, 1) for one softmax
        As in ``LabelledMolecules``.

    Returns
    -------
    Tensor, shape ()
        0 when no label was measured.

    Raises
    ------
    ValueError
        When the loss has another shape than the weights.
    """
    losses = objective.loss(outputs, targets)
    if losses.shape != weights.shape:
        raise ValueError(
            f"loss must return one loss for each label, shape {tuple(weights.shape)}, but it returned the shape "
            f"{tuple(losses.shape)}."
        )
    return (weights * losses).sum() / mass.sum().clamp(min=1e-30)


def mean_score(
    objective: Objective, outputs: np.ndarray, targets: np.ndarray | sp.csc_array, weights: np.ndarray | sp.csc_array
) -> float:
    """Return the mean score of the columns that can be scored; NaN when there is none.

    Parameters
    ----------
    outputs : ndarray, shape (n, n_outputs)
    targets, weights : ndarray or csc_array
        As in ``LabelledMolecules``.
    """
    scores = []
    for column in range(targets.shape[1]):
        known, target, weight = measured_column(targets, weights, column)
        scores.append(objective.score(target, outputs[known, column], weight))
    defined = [score for score in scores if not math.isnan(score)]
    return float(np.mean(defined)) if defined else math.nan


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of independent classes, one logit for each output."""
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def softmax_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of exclusive classes, one loss for each row."""
    return -(targets * outputs.log_softmax(dim=1)).sum(dim=1, keepdim=True)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each output."""
    return (outputs - targets).square()


def _average_precision(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray) -> float:
    labels = targets >= 0.5  # where replicates disagree, a target is a probability
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(average_precision_score(labels, outputs, sample_weight=weights))


def _r2(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray) -> float:
    if not len(targets) or np.ptp(targets) == 0:
        return math.nan
    return float(r2_score(targets, outputs, sample_weight=weights))


def _log_odds_of_mean(outputs: np.ndarray) -> np.ndarray:
    """Log-odds of the mean probability of an ensemble."""
    return logsumexp(log_expit(outputs), axis=0) - logsumexp(log_expit(-outputs), axis=0)


def _logarithm_of_mean(outputs: np.ndarray) -> np.ndarray:
    """Logarithms of the mean probabilities of an ensemble."""
    return logsumexp(log_softmax(outputs, axis=2), axis=0) - np.log(len(outputs))


def _softmax(decision: np.ndarray) -> np.ndarray:
    return np.exp(decision - logsumexp(decision, axis=-1, keepdims=True))


def _mean(outputs: np.ndarray) -> np.ndarray:
    return outputs.mean(axis=0)


def _identity(decision: np.ndarray) -> np.ndarray:
    return decision


BINARY = Objective(cross_entropy, _average_precision, logistic_columns, _log_odds_of_mean, expit)
MULTICLASS = Objective(softmax_cross_entropy, _average_precision, logistic_classes, _logarithm_of_mean, _softmax)
REGRESSION = Objective(squared_error, _r2, ridge_columns, _mean, _identity, scales_targets=True)
