"""Networks of torch-geometric's convolutions that it does not ship as models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP, GINEConv, GPSConv
from torch_geometric.nn.models.basic_gnn import BasicGNN


class GINE(BasicGNN):
    """Graph isomorphism network whose messages hold bond features (Hu et al., arXiv 1905.12265)."""

    supports_edge_weight = False
    supports_edge_attr = True

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> nn.Module:
        """Return one convolution, with a perceptron of two layers."""
        return GINEConv(MLP([in_channels, out_channels, out_channels], norm=None), train_eps=True, **kwargs)


class GPS(nn.Module):
    """Graph transformer: in each layer a GINE convolution beside attention among all atoms of a molecule.

    Normalisation is by layer and not by batch, so that a molecule's vector does not depend on its neighbours.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        heads: int | None = None,
    ):
        super().__init__()
        heads = heads or next(n for n in (5, 4, 3, 2, 1) if hidden_channels % n == 0)
        self.embed = nn.Linear(in_channels, hidden_channels)
        self.edge_dim = edge_dim
        width = edge_dim or 1
        self.layers = nn.ModuleList(
            GPSConv(
                hidden_channels,
                GINEConv(MLP([hidden_channels] * 3, norm=None), edge_dim=width),
                heads=heads,
                dropout=dropout,
                norm="layer_norm",
                norm_kwargs={"mode": "node"},
            )
            for _ in range(num_layers)
        )
        self.out_channels = hidden_channels

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        if edge_attr is None:
            edge_attr = torch.ones(edge_index.shape[1], 1, dtype=x.dtype, device=x.device)
        h = self.embed(x)
        for layer in self.layers:
            h = layer(h, edge_index, batch=batch, edge_attr=edge_attr)
        return h  # (n_atoms, out_channels)
