"""Encoders by name (``ENCODERS``, ``PROFILE_ENCODERS``), and how encoders of users are built and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..molecules._graphs import GraphBatch
from ._layers import ROWS_MULTIPLE, Dropout, GatedGraphConv, Linear, linear
from ._pyg import attentive_fp, gatv2, gin, gps, pna
from ._residual import ResidualGraphEncoder


class GatedGraphEncoder(nn.Module):
    """The encoder of the paper: gated graph convolutions, the sum over atoms, one linear layer.

    Each convolution has its own weights. Atom features enter as they are when they are as wide as ``hidden_dim`` (the
    paper: 75), else through a linear layer without bias.

    Parameters
    ----------
    n_atom_features, n_bond_features : int
    n_layers : int
        Convolutions.
    hidden_dim : int
        Width of the atoms' states.
    embedding_dim : int
        Width of the representation.
    dropout : float
        After each convolution.

    References
    ----------
    Nguyen, Pertusi, Branson, arXiv 2305.09790; Li et al., arXiv 1511.05493.
    """

    # In batches filled up with molecules without atoms, an embedding does not depend on what stands beside it.
    takes_empty_molecules = True

    def __init__(
        self,
        n_atom_features: int,
        n_bond_features: int,
        *,
        n_layers: int,
        hidden_dim: int,
        embedding_dim: int,
        dropout: float,
    ):
        super().__init__()
        same = n_atom_features == hidden_dim
        self.embed = nn.Identity() if same else nn.Linear(n_atom_features, hidden_dim, bias=False)
        self.layers = nn.ModuleList(GatedGraphConv(hidden_dim, n_bond_features) for _ in range(n_layers))
        self.dropout = Dropout(dropout)
        self.readout = nn.Linear(hidden_dim, embedding_dim)
        self.out_features = embedding_dim

    @property
    def parts(self) -> list[nn.Module]:
        """The input, the convolutions and the readout, in the order in which a molecule passes them."""
        return [self.embed, *self.layers, self.readout]

    def forward(self, graph: GraphBatch) -> Tensor:
        n_atoms = graph.x.shape[0]
        if graph.x.is_cpu:
            graph = graph.padded(ROWS_MULTIPLE)
        h = graph.x if isinstance(self.embed, nn.Identity) else linear(graph.x, self.embed.weight)
        for layer in self.layers:
            h = self.dropout(layer(h, graph))
        atoms = h[:n_atoms].float()
        pooled = graph.reduce_atoms(atoms, "sum")  # (n_molecules, hidden_dim)
        return self.readout(pooled)  # (n_molecules, embedding_dim)


class ProfileEncoder(nn.Sequential):
    """Profile → representation: linear layers with ReLU between, dropout before each.

    Parameters
    ----------
    n_features : int
    dims : sequence of int
        Width of each layer.
    dropout : float
    """

    def __init__(self, n_features: int, dims: Sequence[int], dropout: float):
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(zip([n_features, *dims], dims, strict=False)):
            layers += [nn.ReLU()] if i else []
            layers += [Dropout(dropout), Linear(n_in, n_out)]
        super().__init__(*layers)  # (n, n_features) → (n, dims[-1])
        self.out_features = dims[-1]


class ProjectionHead(nn.Module):
    """Representation → unit vector in the shared space: ReLU, linear, L2 normalisation."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(self.linear(F.relu(z)).float(), dim=-1)


ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "gine": ResidualGraphEncoder,
    "ggnn": GatedGraphEncoder,
    "gin": gin,
    "gatv2": gatv2,
    "pna": pna,
    "attentivefp": attentive_fp,
    "gps": gps,
}
PROFILE_ENCODERS: dict[str, Callable[..., nn.Module]] = {"mlp": ProfileEncoder}


def parts_of(encoder: nn.Module) -> list[nn.Module]:
    """Return the parts of an encoder from input to output; an encoder without ``parts`` is one part.

    Raises
    ------
    ValueError
        When a parameter belongs to none of the parts, so that it would never be trained.
    """
    parts = list(getattr(encoder, "parts", [encoder]))
    covered = {id(p) for part in parts for p in part.parameters()}
    missing = [name for name, p in encoder.named_parameters() if id(p) not in covered]
    if missing:
        raise ValueError(f"The parts of {type(encoder).__name__} do not hold its parameters {missing[:5]}.")
    return parts


def built_component(factory: Callable[..., Any], parameter: str, *widths: int) -> Any:
    """Return what a factory makes, if it can serve as an encoder.

    Raises
    ------
    TypeError, ValueError
        When the factory is itself a module, when what it makes is not one, or when that does not say how wide its
        output is.
    """
    if isinstance(factory, nn.Module):
        raise TypeError(
            f"{parameter} is a module, a {type(factory).__name__}, but a factory is needed: pass its class, or a "
            "functools.partial of it, so that each fit begins with new weights."
        )
    module = factory(*widths)
    if not isinstance(module, nn.Module):
        raise TypeError(f"The factory {parameter} must return a torch.nn.Module, but it returned {module!r}.")
    width = getattr(module, "out_features", None)
    if not isinstance(width, int) or width < 1:
        raise ValueError(
            f"The module from {parameter} must have an attribute out_features, the width of its output, a positive "
            f"integer; {type(module).__name__} has {width!r}."
        )
    return module
