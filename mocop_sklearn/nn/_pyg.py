"""``PyGEncoder`` and the named encoders of torch-geometric, which is imported when the first of them is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..molecules._graphs import GraphBatch

# Number of atoms by their number of bonds, from 0, among 10,000 drug-like structures of JUMP in per mille: PNA scales
# what it aggregates by it.
_DEGREES = (0, 155, 524, 306, 15)
_PNA_DEFAULTS = {
    "aggregators": ["mean", "min", "max", "std"],
    "scalers": ["identity", "amplification", "attenuation"],
    "deg": _DEGREES,
}


class PyGEncoder(nn.Module):
    """A network of torch-geometric as an encoder of molecules.

    Parameters
    ----------
    n_atom_features, n_bond_features : int
        Given by the estimator; hand in ``functools.partial(PyGEncoder, ...)`` with the rest.
    cls : type
        A class of ``torch_geometric.nn``, such as ``GIN``, ``PNA`` or ``AttentiveFP``, or another class with that
        interface: ``cls(in_channels=n_atom_features, **kwargs)``, called with ``x`` and ``edge_index`` and, if its
        ``forward`` takes them, ``edge_attr`` and ``batch``. ``PNA`` has defaults here for ``aggregators``, ``scalers``
        and ``deg``.
    pool : {"sum", "mean", "max"}, callable or None, default="sum"
        How the states of a molecule's atoms become one row; a callable has torch-geometric's signature
        ``(x, batch, size)``. None is for networks that pool by themselves, as ``AttentiveFP``.
    **kwargs
        For ``cls``. ``edge_dim`` is set to ``n_bond_features`` where the class takes it and it is not given.

    Attributes
    ----------
    out_features : int
        Width of the representation, the network's ``out_channels``.

    Examples
    --------
    >>> from functools import partial
    >>> from torch_geometric.nn import PNA
    >>> from mocop_sklearn import MoCoPEmbedder
    >>> from mocop_sklearn.nn import PyGEncoder
    >>> embedder = MoCoPEmbedder(encoder=partial(PyGEncoder, PNA, hidden_channels=64, num_layers=3))
    """

    def __init__(
        self,
        cls: type[nn.Module],
        n_atom_features: int,
        n_bond_features: int,
        *,
        pool: str | Callable[..., Tensor] | None = "sum",
        **kwargs: Any,
    ):
        super().__init__()
        if cls.__name__ == "PNA":
            kwargs = _PNA_DEFAULTS | kwargs
        if _takes_bonds(cls) and n_bond_features:
            kwargs.setdefault("edge_dim", n_bond_features)
        if isinstance(kwargs.get("deg"), (list, tuple)):  # plain numbers survive clone; a tensor has no equality
            kwargs["deg"] = torch.tensor(kwargs["deg"])
        network: Any = cls(in_channels=n_atom_features, **kwargs)
        self.network = network
        self.pool = _pooling(pool)
        accepted = inspect.signature(network.forward).parameters
        self._takes_bonds = "edge_attr" in accepted and "edge_dim" in kwargs
        self._takes_batch = "batch" in accepted
        self.out_features = int(network.out_channels)

    def forward(self, graph: GraphBatch) -> Tensor:
        options = {"edge_attr": graph.edge_attr} if self._takes_bonds else {}
        if self._takes_batch:
            options["batch"] = graph.batch
        z = self.network(graph.x, graph.edge_index, **options)
        if self.pool is None:
            return z  # (n_molecules, out_features)
        if z.shape[0] != graph.x.shape[0]:
            raise ValueError(
                f"{type(self.network).__name__} returned {len(z)} rows for {len(graph.x)} atoms, so it pools by "
                "itself: set pool=None."
            )
        return self.pool(z, graph.batch, graph.n_molecules)


def _takes_bonds(cls: type) -> bool:
    """Whether a class reads bond features; the models of torch-geometric that share a base class say so."""
    supported = getattr(cls, "supports_edge_attr", None)
    return "edge_dim" in inspect.signature(cls).parameters if supported is None else bool(supported)


def _pooling(pool: str | Callable[..., Tensor] | None) -> Callable[..., Tensor] | None:
    from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

    if pool is None or callable(pool):
        return pool
    known = {"sum": global_add_pool, "mean": global_mean_pool, "max": global_max_pool}
    if pool not in known:
        raise ValueError(f"pool must be one of {sorted(known)}, a callable or None, got {pool!r}.")
    return known[pool]


class _NamedEncoder(nn.Module):
    """A network of torch-geometric by its name: sum over atoms, then one linear layer to ``embedding_dim``."""

    def __init__(self, encoder: PyGEncoder, embedding_dim: int):
        super().__init__()
        self.encoder = encoder
        self.readout = nn.Linear(encoder.out_features, embedding_dim)
        self.out_features = embedding_dim

    def forward(self, graph: GraphBatch) -> Tensor:
        return self.readout(self.encoder(graph).float())


def _named(
    cls: type[nn.Module],
    n_atom_features: int,
    n_bond_features: int,
    n_layers: int,
    hidden_dim: int,
    embedding_dim: int,
    dropout: float,
    **kwargs: Any,
) -> nn.Module:
    sizes: dict[str, Any] = {"hidden_channels": hidden_dim, "num_layers": n_layers, "dropout": dropout}
    return _NamedEncoder(PyGEncoder(cls, n_atom_features, n_bond_features, **sizes, **kwargs), embedding_dim)


def gin(n_atom_features: int, n_bond_features: int, **sizes: Any) -> nn.Module:
    """Graph isomorphism network; with bonds, GINE (Xu et al., arXiv 1810.00826; Hu et al., arXiv 1905.12265)."""
    from torch_geometric.nn import GIN

    from ._pyg_networks import GINE

    return _named(GINE if n_bond_features else GIN, n_atom_features, n_bond_features, **sizes)


def gatv2(n_atom_features: int, n_bond_features: int, **sizes: Any) -> nn.Module:
    """Graph attention network, second version (Brody, Alon, Yahav, arXiv 2105.14491)."""
    from torch_geometric.nn import GAT

    return _named(GAT, n_atom_features, n_bond_features, v2=True, **sizes)


def pna(n_atom_features: int, n_bond_features: int, **sizes: Any) -> nn.Module:
    """Principal neighbourhood aggregation (Corso et al., arXiv 2004.05718)."""
    from torch_geometric.nn import PNA

    return _named(PNA, n_atom_features, n_bond_features, **sizes)


def attentive_fp(n_atom_features: int, n_bond_features: int, hidden_dim: int, **sizes: Any) -> nn.Module:
    """Attentive fingerprint (Xiong et al., J. Med. Chem. 2020, 63, 8749); it needs bond features."""
    from torch_geometric.nn import AttentiveFP

    if not n_bond_features:
        raise ValueError('encoder="attentivefp" reads bonds: use featurizer="rich", or a Featurizer with bond fields.')
    own: dict[str, Any] = {"out_channels": hidden_dim, "num_timesteps": 2, "pool": None}
    return _named(AttentiveFP, n_atom_features, n_bond_features, hidden_dim=hidden_dim, **own, **sizes)


def gps(n_atom_features: int, n_bond_features: int, **sizes: Any) -> nn.Module:
    """Graph transformer with local GINE convolutions (Rampášek et al., arXiv 2205.12454)."""
    from ._pyg_networks import GPS

    return _named(GPS, n_atom_features, n_bond_features, **sizes)
