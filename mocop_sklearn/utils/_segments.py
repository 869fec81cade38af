"""Sums over segments of rows, by torch's kernels where they exist and by scattering on other devices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax"}


def has_segment_kernels(device: torch.device) -> bool:
    """Whether torch has kernels for segments on a device; on Apple's GPU it lacks some."""
    return device.type in ("cpu", "cuda")


def reduce_segments(rows: Tensor, reduction: str, sizes: Tensor) -> Tensor:
    """Reduce consecutive rows.

    Parameters
    ----------
    rows : Tensor, shape (n_rows, d)
    reduction : {"sum", "mean", "max"}
    sizes : Tensor of int64, shape (n_segments,)
        Rows of each segment. What an empty one gives is not defined, unless ``reduction`` is ``"sum"``: 0.

    Returns
    -------
    Tensor, shape (n_segments, d)
    """
    if has_segment_kernels(rows.device):
        return torch.segment_reduce(rows, reduction, lengths=sizes)
    segments = torch.arange(len(sizes), device=rows.device)
    places = torch.repeat_interleave(segments, sizes, output_size=len(rows))[:, None].expand_as(rows)
    empty = rows.new_zeros(len(sizes), rows.shape[1])
    return empty.scatter_reduce(0, places, rows, _REDUCTIONS[reduction], include_self=False)


def sum_of_bags(items: Tensor, table: Tensor, ptr: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum rows of a table, bag by bag.

    Parameters
    ----------
    items : Tensor of int64, shape (n_items,)
        Rows of ``table``.
    table : Tensor of float32, shape (n, d)
    ptr : Tensor of int64, shape (n_bags + 1,)
        Bag i has the items ``ptr[i]:ptr[i + 1]``.
    weights : Tensor, shape (n_items,), optional

    Returns
    -------
    Tensor, shape (n_bags, d)
    """
    if has_segment_kernels(table.device):
        # a bag per atom: three times as fast on a CPU as torch's CSR product
        return F.embedding_bag(items, table, ptr, mode="sum", per_sample_weights=weights, include_last_offset=True)
    rows = table[items]
    return reduce_segments(rows if weights is None else rows * weights[:, None], "sum", ptr.diff())
