"""Contrastive losses by name (``LOSSES``): unit vectors of molecules and profiles → a number."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]


def infonce(
    molecules: Tensor, profiles: Tensor, scale: Tensor, groups: Tensor, weights: Tensor | None = None
) -> Tensor:
    r"""Symmetric InfoNCE: each molecule has to find its profile in the batch, and each profile its molecule.

    .. math::
        L = -\frac{1}{2n} \sum_i \left( \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
            + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}} \right)

    with :math:`s_{ij}` = scale × cosine. Other rows of the same molecule are not negatives.

    Parameters
    ----------
    molecules, profiles : Tensor, shape (n, d)
        Unit vectors; row i of one belongs to row i of the other.
    scale : Tensor, shape ()
        1 / temperature.
    groups : Tensor of int64, shape (n,)
        The molecule of each row, as a number.
    weights : Tensor of float32, shape (n,), optional
        The sum over i becomes their weighted mean.

    Returns
    -------
    Tensor, shape ()

    References
    ----------
    van den Oord, Li, Vinyals, arXiv 1807.03748; in this form Radford et al., arXiv 2103.00020.
    """
    logits = _logits(molecules, profiles, scale).masked_fill(_same_molecule(groups), -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    rows = F.cross_entropy(logits, target, reduction="none")
    columns = F.cross_entropy(logits.T, target, reduction="none")
    return _mean((rows + columns) / 2, weights)


def siglip(molecules: Tensor, profiles: Tensor, scale: Tensor, groups: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Sigmoid loss: each pair of a molecule and a profile is classified by itself.

    .. math::
        L = \frac{1}{n} \sum_{ij} \log \left( 1 + e^{-z_{ij} (s_{ij} + b)} \right)

    with :math:`z_{ii}` = 1 and else −1. Other rows of the same molecule are left out. The paper learns the offset b;
    here it is −log(n − 1), with which the one match of a row weighs as much as all its other pairs where all cosines
    are 0.

    Parameters
    ----------
    molecules, profiles, scale, groups, weights
        As in :func:`infonce`.

    Returns
    -------
    Tensor, shape ()

    References
    ----------
    Zhai, Mustafa, Kolesnikov, Beyer. Sigmoid Loss for Language Image Pre-Training, arXiv 2303.15343.
    """
    n = len(molecules)
    logits = _logits(molecules, profiles, scale) - torch.tensor(max(1.0, n - 1.0)).log()
    sign = 2 * torch.eye(n, device=logits.device) - 1
    losses = F.softplus(-sign * logits).masked_fill(_same_molecule(groups), 0)
    return _mean((losses.sum(dim=1) + losses.sum(dim=0)) / 2, weights)


LOSSES: dict[str, Loss] = {"infonce": infonce, "siglip": siglip}


def _logits(molecules: Tensor, profiles: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines of every molecule against every profile, in float32 also under autocast."""
    with torch.autocast(molecules.device.type, enabled=False):
        return scale * (molecules.float() @ profiles.float().T)


def _same_molecule(groups: Tensor) -> Tensor:
    """Mark the pairs off the diagonal that are of one molecule."""
    same = groups[:, None] == groups[None, :]
    return same.fill_diagonal_(False)


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    return losses.mean() if weights is None else (weights * losses).sum() / weights.sum()
