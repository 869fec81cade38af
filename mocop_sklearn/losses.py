"""Unit vectors of two views → logits → loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_logits(molecules: Tensor, profiles: Tensor, scale: Tensor, groups: Tensor) -> Tensor:
    """Scaled cosines of every molecule against every profile, in float32.

    Off-diagonal pairs of one group are no negatives: they become minus infinity.

    Parameters
    ----------
    molecules, profiles : Tensor, shape (n, d)
        Unit vectors; row i of one belongs to row i of the other.
    scale : Tensor, shape ()
        1 / temperature.
    groups : Tensor of int64, shape (n,)
        Identity of each row's molecule.

    Returns
    -------
    Tensor, shape (n, n)
    """
    with torch.autocast(molecules.device.type, enabled=False):
        logits = scale * (molecules.float() @ profiles.float().T)
    same = groups[:, None] == groups[None, :]
    same.fill_diagonal_(False)
    return logits.masked_fill(same, -torch.inf)


def info_nce(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Symmetric InfoNCE: the mean of the cross-entropies of rows and columns with the diagonal as target.

    .. math::
        L = -\frac{1}{2n} \sum_i \left( \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
            + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}} \right)

    With ``weights``, of shape (n,), the sum over i is their weighted mean.

    van den Oord et al. (arXiv 1807.03748); in this form Radford et al. (arXiv 2103.00020).
    """
    target = torch.arange(len(logits), device=logits.device)
    if weights is None:
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    losses = F.cross_entropy(logits, target, reduction="none") + F.cross_entropy(logits.T, target, reduction="none")
    return (weights * losses).sum() / (2 * weights.sum())
