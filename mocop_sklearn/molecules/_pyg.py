"""Molecules as torch-geometric reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ._featurize import featurize
from ._fields import Featurizer
from ._parse import check_molecules, report_invalid

if TYPE_CHECKING:
    from torch_geometric.data import Batch


def to_pyg(smiles: Any, featurizer: str | Featurizer = "rich") -> Batch:
    """Return molecules as a batch of torch-geometric.

    Parameters
    ----------
    smiles : list, ndarray, Series or one-column DataFrame of str or Mol, shape (n_molecules,)
        Standardised as the embedder does by default: the parent fragment, neutral where it can be.
    featurizer : {"rich", "paper"} or Featurizer, default="rich"

    Returns
    -------
    torch_geometric.data.Batch
        One ``Data`` for each molecule, in order, with ``x`` of shape (n_atoms, n_atom_features), ``edge_index`` of
        shape (2, n_edges) with both directions of every bond, and ``edge_attr`` of shape (n_edges, n_bond_features).

    Raises
    ------
    ValueError
        When a row is not a valid molecule; the message names the rows.

    Examples
    --------
    >>> from mocop_sklearn.molecules import to_pyg
    >>> to_pyg(["CCO", "c1ccccc1"]).num_graphs
    2
    """
    from torch_geometric.data import Batch, Data

    values = check_molecules(smiles)
    found = featurize(values, featurizer)
    report_invalid(values, found.reasons, "raise")
    molecules = [found.graphs.take(torch.tensor([row])).collate() for row in found.graph_of_value]
    data = [Data(x=graph.x, edge_index=graph.edge_index, edge_attr=graph.edge_attr) for graph in molecules]
    return Batch.from_data_list(data)
