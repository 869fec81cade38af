"""Layers whose kernels are fast on a CPU; on a GPU they are plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..molecules._graphs import GraphBatch


class _SparseProduct(torch.autograd.Function):
    """S H in float32, with S = A + I, or its weighted form. S is symmetric and constant: backward is the same."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, graph: GraphBatch, weights: Tensor | None) -> Tensor:
        ctx.graph, ctx.weights = graph, weights
        return _sparse_product(graph, h, weights)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _sparse_product(ctx.graph, grad, ctx.weights), None, None


def _sparse_product(graph: GraphBatch, h: Tensor, weights: Tensor | None) -> Tensor:
    return graph.sum_of_neighbors(h.float().contiguous(), weights)


def sum_of_neighbors(h: Tensor, graph: GraphBatch) -> Tensor:
    """(A + I) H: the sum over each atom and its neighbours."""
    return _SparseProduct.apply(h, graph, None)


# On a CPU, oneDNN multiplies such narrow matrices twice as fast as torch's default, but it compiles code for every new
# shape. So the number of rows is rounded up, which keeps the shapes few.
ROWS_MULTIPLE = 256


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "")


_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    # each with its backward pass, from the gradient and the output
    "none": (lambda y: y, lambda grad, y: grad),
    "relu": (torch.relu, lambda grad, y: torch.ops.aten.threshold_backward(grad, y, 0)),
    "sigmoid": (torch.sigmoid, lambda grad, y: torch.ops.aten.sigmoid_backward(grad, y)),
}


class _OneDNNLinear(torch.autograd.Function):
    """f(x Wᵀ + b) in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
        y = _multiply(x, weight, bias, activation)
        ctx.save_for_backward(x, weight, y if activation != "none" else None)
        ctx.activation = activation
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight, y = ctx.saved_tensors
        grad = _ACTIVATIONS[ctx.activation][1](grad, y).contiguous()
        of_x = _multiply(grad, weight.T.contiguous()) if ctx.needs_input_grad[0] else None
        of_weight = _multiply(x.T, grad.T).T.contiguous()  # twice as fast as its transpose
        return of_x, of_weight, grad.sum(dim=0) if ctx.needs_input_grad[2] else None, None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """f(X Wᵀ + b) for many rows; on a CPU it is fastest if their number is a multiple of 256."""
    plain = not x.is_cpu or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not _has_onednn()
    if plain or torch.compiler.is_compiling():  # an exported program runs elsewhere
        return _ACTIVATIONS[activation][0](F.linear(x, weight, bias))
    return _OneDNNLinear.apply(x, weight, bias, activation)


class Linear(nn.Linear):
    """A linear layer for many rows, or for batches of constant size."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Dropout(nn.Dropout):
    """Dropout that draws 16 random bits per element on a CPU, where torch's own draws 32."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = int(self.p * 2**16)  # of 2**16 equally likely values
        if not self.training or dropped == 0 or not x.is_cpu:
            return super().forward(x)
        n = x.numel()
        bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n].view(x.shape)
        kept = (bits >= dropped - 2**15).to(x.dtype)
        return x * kept.mul_(1 / (1 - dropped / 2**16))


def _gated(m: Tensor, h: Tensor, cell: nn.GRUCell) -> Tensor:
    """Compute a GRU cell on a CPU, where torch's own implementation is slow."""
    n = 2 * h.shape[1]
    weights = torch.cat([cell.weight_ih[:n], cell.weight_hh[:n]], dim=1)
    gates = linear(torch.cat([m, h], dim=1), weights, cell.bias_ih[:n] + cell.bias_hh[:n], "sigmoid")
    reset, update = gates.chunk(2, dim=1)
    new_m = linear(m, cell.weight_ih[n:], cell.bias_ih[n:])
    new_h = linear(h, cell.weight_hh[n:], cell.bias_hh[n:])
    # tanh(a) = 2 sigmoid(2a) - 1: torch's tanh takes eight times as long as its sigmoid
    new = torch.sigmoid(torch.addcmul(new_m, reset, new_h).mul_(2)).mul(2).sub_(1)
    return torch.lerp(new, h, update)


class GatedGraphConv(nn.Module):
    r"""One gated graph convolution.

    .. math::
        M = \mathrm{ReLU}(\hat A H W + B E + b), \qquad H' = \mathrm{GRU}(M, H),
        \qquad \hat A = D^{-1/2} (A + I) D^{-1/2}

    after Li et al., *Gated Graph Sequence Neural Networks* (arXiv 1511.05493), with the propagation
    rule of Kipf and Welling (arXiv 1609.02907), as in MoCoP (arXiv 2305.09790). ``B`` holds each
    atom's bond features, summed with the weights of :math:`\hat A`; the paper's featuriser has none
    and then the term is absent.

    Shapes: H and H' (n_atoms, width), B (n_atoms, n_bond_features).
    """

    def __init__(self, width: int, n_bond_features: int):
        super().__init__()
        self.message = nn.Linear(width, width)
        self.bond = nn.Linear(n_bond_features, width, bias=False) if n_bond_features else None
        self.update = nn.GRUCell(width, width)

    def forward(self, h: Tensor, graph: GraphBatch) -> Tensor:
        m, weight = _SparseProduct.apply(h, graph, graph.weights), self.message.weight
        if self.bond is not None:
            assert graph.bonds is not None
            m, weight = torch.cat([m, graph.bonds], dim=1), torch.cat([weight, self.bond.weight], dim=1)
        m = linear(m, weight, self.message.bias, "relu")
        return _gated(m, h, self.update) if m.is_cpu else self.update(m, h)  # one kernel on a GPU
