"""Unit vectors of two views → logits → loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ..utils._distributed import process_group


class _Gather(torch.autograd.Function):
    """Rows of all processes, in the order of their ranks; the gradient goes to the own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(process_group()[1])]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rank, world_size = process_group()
        # times their number, because gradients of parameters are averaged over the processes
        return world_size * gradient.chunk(world_size)[rank]


def gather(rows: Tensor) -> Tensor:
    """Join the rows of all processes that train together, so that the negatives of each count for all.

    Every process then computes the whole loss. The gradient of its own rows, times the number of processes, flows back;
    averaged over the processes, the gradients of the parameters are those of one process with the joint batch.

    Parameters
    ----------
    rows : Tensor, shape (n, d)
        The same shape in every process.

    Returns
    -------
    Tensor, shape (n_processes × n, d)
        ``rows`` itself without a process group.
    """
    return _Gather.apply(rows) if process_group()[1] > 1 else rows


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
