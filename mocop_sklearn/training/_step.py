"""One step of contrastive training: a batch of any size, over any number of processes → gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn._encoders import TwoTower
from ..nn._losses import contrastive_logits, gather, info_nce
from ..utils._device import autocast
from ..utils._distributed import average_gradients
from ..utils._random import torch_seed
from ._batches import Batch


def accumulate_gradients(
    model: TwoTower, batch: Batch, weights: Tensor | None, device: torch.device, precision: str
) -> Tensor:
    """Compute the loss of a batch and leave its gradients in the parameters.

    The loss sees all rows of the batch, those of other processes too. A batch in several passes goes through the
    network twice, first without gradients, so that one pass at a time is held for the backward pass: gradient
    caching, Gao et al. (arXiv 2101.06983), section 3.2.

    Parameters
    ----------
    batch : Batch
    weights : Tensor of float32, shape (n,), or None
        Of the rows of the whole batch.

    Returns
    -------
    Tensor, shape ()
        The same in every process.
    """

    def loss_of(molecules: Tensor, profiles: Tensor) -> Tensor:
        logits = contrastive_logits(gather(molecules), gather(profiles), model.log_scale.exp(), batch.molecules)
        return info_nce(logits, weights)

    if len(batch.passes) == 1:
        with autocast(device, precision):
            molecules, profiles = model(*batch.passes[0])
        loss = loss_of(molecules, profiles)
        loss.backward()
    else:
        seeds = torch.randint(2**62, (len(batch.passes),)).tolist()

        def vectors_of(i: int) -> tuple[Tensor, Tensor]:
            with torch_seed(device), autocast(device, precision):  # dropout must be alike both times
                torch.manual_seed(seeds[i])
                return model(*batch.passes[i])

        with torch.no_grad():
            parts = [vectors_of(i) for i in range(len(seeds))]
        molecules, profiles = (torch.cat(vectors).requires_grad_() for vectors in zip(*parts, strict=True))
        loss = loss_of(molecules, profiles)
        loss.backward()
        sizes = [len(part[0]) for part in parts]
        assert molecules.grad is not None
        assert profiles.grad is not None
        gradients = zip(molecules.grad.split(sizes), profiles.grad.split(sizes), strict=True)
        for i, of_pass in enumerate(gradients):
            torch.autograd.backward(vectors_of(i), of_pass)
    average_gradients(model.parameters())
    return loss.detach()
