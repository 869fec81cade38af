"""The group of processes that train together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist


def process_group() -> tuple[int, int]:
    """Rank of this process, and the number of processes that train together; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextlib.contextmanager
def joined_process_group() -> Iterator[int]:
    """Join the processes that torchrun has started, if it has, and yield the rank of this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield process_group()[0]
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def of_first_rank(value: Any) -> Any:
    """Return the value of the first process, in every process of the group."""
    if process_group()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def is_first_of_computer() -> bool:
    """Whether this process is the first of the group on its computer, as torchrun numbers them."""
    return process_group()[1] == 1 or int(os.environ.get("LOCAL_RANK", process_group()[0])) == 0


def of_first_of_computer(value: Any) -> Any:
    """Return the value that the first process of the group on this computer has."""
    world_size = process_group()[1]
    if world_size == 1:
        return value
    computer = os.environ.get("GROUP_RANK", "0")
    everything: list[Any] = [None] * world_size
    dist.all_gather_object(everything, (computer, is_first_of_computer(), value))
    return next(other for place, is_first, other in everything if place == computer and is_first)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes of the group."""
    world_size = process_group()[1]
    if world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient) / world_size)


def average(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a value over the processes of the group."""
    world_size = process_group()[1]
    if world_size == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size


def average_buffers(buffers: Iterable[torch.Tensor]) -> None:
    """Replace every buffer of floats, such as the statistics of a BatchNorm, by its mean over the processes."""
    world_size = process_group()[1]
    if world_size == 1:
        return
    for buffer in buffers:
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= world_size


class _Gather(torch.autograd.Function):
    """Rows of all processes, in the order of their ranks; the gradient goes to the own rows."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows) for _ in range(process_group()[1])]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        rank, world_size = process_group()
        # times their number, because gradients of parameters are averaged over the processes
        return world_size * gradient.chunk(world_size)[rank]


def gather(rows: torch.Tensor) -> torch.Tensor:
    """Join the rows of all processes that train together, so that the rows of each are negatives for all.

    Every process then computes the whole loss. The gradient of its own rows, times the number of processes, flows
    back. Averaged over the processes, the gradients of the parameters are those of one process with the joint batch.

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
