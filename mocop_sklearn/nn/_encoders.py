"""Layers → molecule encoder → profile encoder → heads → the two-tower model, and the model of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..molecules._fields import FEATURIZERS
from ..molecules._graphs import GraphBatch


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the shape of a model."""

    featurizer: str
    n_layers: int
    hidden_dim: int
    embedding_dim: int
    projection_dim: int
    profile_dims: tuple[int, ...]
    n_profile_features: int
    dropout: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as written into model files."""
        return {**asdict(self), "profile_dims": list(self.profile_dims)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Architecture:
        """Undo ``as_dict``."""
        return cls(**{**data, "profile_dims": tuple(data["profile_dims"])})


class _Propagate(torch.autograd.Function):
    """Â H in float32. Â is symmetric and has no gradient, so the backward pass is the same product."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, graph: GraphBatch) -> Tensor:
        ctx.graph = graph
        return _sparse_product(graph, h)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _sparse_product(ctx.graph, grad), None


def _sparse_product(graph: GraphBatch, h: Tensor) -> Tensor:
    # a bag per atom: three times as fast on a CPU as torch's CSR product
    return F.embedding_bag(
        graph.senders,
        h.float().contiguous(),
        graph.edge_ptr,
        mode="sum",
        per_sample_weights=graph.weights,
        include_last_offset=True,
    )


# On a CPU oneDNN multiplies matrices this narrow twice as fast as what torch takes by default, once it has made code
# for their shape; so the number of rows is rounded up, and few shapes occur.
_ROWS_MULTIPLE = 256


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
    """f(X Wᵀ + b), for many rows; on a CPU fastest where their number is a multiple of 256."""
    if x.is_cuda or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not _has_onednn():
        return _ACTIVATIONS[activation][0](F.linear(x, weight, bias))
    return _OneDNNLinear.apply(x, weight, bias, activation)


class _Linear(nn.Linear):
    """A linear layer for many rows, or for batches of one size."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class _Dropout(nn.Dropout):
    """Dropout, on a CPU from 16 random bits per element: torch draws a number of 32 bits for each, one by one."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = int(self.p * 2**16)  # of 2**16 equally likely values
        if not self.training or dropped == 0 or x.is_cuda:
            return super().forward(x)
        n = x.numel()
        bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n].view(x.shape)
        kept = (bits >= dropped - 2**15).to(x.dtype)
        return x * kept.mul_(1 / (1 - dropped / 2**16))


def _gated(m: Tensor, h: Tensor, cell: nn.GRUCell) -> Tensor:
    """What the cell computes; its own code for CPUs multiplies slowly."""
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
        m, weight = _Propagate.apply(h, graph), self.message.weight
        if self.bond is not None:
            assert graph.bonds is not None
            m, weight = torch.cat([m, graph.bonds], dim=1), torch.cat([weight, self.bond.weight], dim=1)
        m = linear(m, weight, self.message.bias, "relu")
        return self.update(m, h) if m.is_cuda else _gated(m, h, self.update)  # one kernel on a GPU


class MoleculeEncoder(nn.Module):
    """Graph → representation: gated graph convolutions, sum over atoms, one linear layer.

    Each convolution has its own weights. Atom features enter as they are when they are as wide as
    ``hidden_dim`` (the paper: 75), else through a linear layer without bias.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        vocabulary = FEATURIZERS[architecture.featurizer]
        width = architecture.hidden_dim
        same = vocabulary.n_atom_features == width
        self.embed = nn.Identity() if same else nn.Linear(vocabulary.n_atom_features, width, bias=False)
        self.layers = nn.ModuleList(
            GatedGraphConv(width, vocabulary.n_bond_features) for _ in range(architecture.n_layers)
        )
        self.dropout = _Dropout(architecture.dropout)
        self.readout = nn.Linear(width, architecture.embedding_dim)

    def forward(self, graph: GraphBatch) -> Tensor:
        n_atoms = len(graph.x)
        if not graph.x.is_cuda:
            graph = graph.padded(_ROWS_MULTIPLE)
        h = graph.x if isinstance(self.embed, nn.Identity) else linear(graph.x, self.embed.weight)
        for layer in self.layers:
            h = self.dropout(layer(h, graph))
        atoms = h[:n_atoms].float()
        pooled = torch.segment_reduce(atoms, "sum", lengths=graph.atoms_per_molecule)  # (n_molecules, width)
        return self.readout(pooled)  # (n_molecules, embedding_dim)


class ProfileEncoder(nn.Sequential):
    """Profile → representation: linear layers with ReLU between, dropout before each."""

    def __init__(self, n_features: int, dims: Sequence[int], dropout: float):
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(zip([n_features, *dims], dims, strict=False)):
            layers += [nn.ReLU()] if i else []
            layers += [_Dropout(dropout), _Linear(n_in, n_out)]
        super().__init__(*layers)  # (n, n_features) → (n, dims[-1])


class ProjectionHead(nn.Module):
    """Representation → unit vector in the shared space: ReLU, linear, L2 normalisation."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(self.linear(F.relu(z)).float(), dim=-1)


class TwoTower(nn.Module):
    """The two encoders with their heads and the logit scale, the whole of what is trained.

    ``log_scale`` is the logarithm of 1 / temperature. Without ``profile_dims`` there is the molecule encoder only:
    what is left of a network that was trained on labels.
    """

    def __init__(self, architecture: Architecture, temperature: float = 0.1):
        super().__init__()
        self.molecule_encoder = MoleculeEncoder(architecture)
        if not architecture.profile_dims:
            return
        self.molecule_head = ProjectionHead(architecture.embedding_dim, architecture.projection_dim)
        self.profile_encoder = ProfileEncoder(
            architecture.n_profile_features, architecture.profile_dims, architecture.dropout
        )
        self.profile_head = ProjectionHead(architecture.profile_dims[-1], architecture.projection_dim)
        self.log_scale = nn.Parameter(torch.tensor(1.0 / temperature).log())

    def forward(self, graph: GraphBatch, profiles: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of molecules and of profiles."""
        return self.project_molecules(graph), self.project_profiles(profiles)

    def project_molecules(self, graph: GraphBatch) -> Tensor:
        """Unit vectors of molecules, shape (n_molecules, projection_dim)."""
        return self.molecule_head(self.molecule_encoder(graph))

    def tower(self, output: str) -> SideBySide:
        """Return the part that embeds molecules, up to ``output``: "encoder" or "projection"."""
        encoder = self.molecule_encoder
        if output == "encoder":
            return SideBySide([encoder], encoder.readout.out_features)
        return SideBySide([nn.Sequential(encoder, self.molecule_head)], self.molecule_head.linear.out_features)

    def project_profiles(self, profiles: Tensor) -> Tensor:
        """Unit vectors of profiles, shape (n_profiles, projection_dim)."""
        return self.profile_head(self.profile_encoder(profiles))


class PredictionNetwork(nn.Module):
    """Molecule encoder → tanh → dropout → linear: what predicts labels, after arXiv 2305.09790."""

    def __init__(self, architecture: Architecture, n_outputs: int):
        super().__init__()
        self.molecule_encoder = MoleculeEncoder(architecture)
        self.dropout = _Dropout(architecture.dropout)
        self.head = nn.Linear(architecture.embedding_dim, n_outputs)

    def predict(self, z: Tensor) -> Tensor:
        """Outputs of representations z, (n_molecules, embedding_dim) → (n_molecules, n_outputs)."""
        return self.head(self.dropout(torch.tanh(z))).float()

    def forward(self, graph: GraphBatch) -> Tensor:
        return self.predict(self.molecule_encoder(graph))


class SideBySide(nn.Module):
    """Several networks that read one graph; their outputs, of ``width`` columns in all, side by side."""

    def __init__(self, members: Sequence[nn.Module], width: int):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.width = width

    def forward(self, graph: GraphBatch) -> Tensor:
        return torch.cat([member(graph) for member in self.members], dim=1)  # (n_molecules, width)
