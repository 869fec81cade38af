"""Molecules as torch-geometric, and exported encoders, read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ._featurize import FeaturizedMolecules, featurize
from ._fields import Featurizer
from ._parse import Standardize, check_molecules, report_invalid

if TYPE_CHECKING:
    from torch_geometric.data import Batch


def to_pyg(smiles: Any, featurizer: str | Featurizer = "rich", *, standardize: Standardize = "parent") -> Batch:
    """Return molecules as a batch of torch-geometric.

    Parameters
    ----------
    smiles : list, ndarray, Series or one-column DataFrame of str or Mol, shape (n_molecules,)
    featurizer : {"rich", "paper"} or Featurizer, default="rich"
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`: the parent fragment, neutral where it can be.

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

    found = _featurized(smiles, featurizer, standardize)
    molecules = [found.graphs.take(torch.tensor([row])).collate() for row in found.graph_of_value]
    data = [Data(x=graph.x, edge_index=graph.edge_index, edge_attr=graph.edge_attr) for graph in molecules]
    return Batch.from_data_list(data)


def to_arrays(
    smiles: Any, featurizer: str | Featurizer = "rich", *, standardize: Standardize = "parent"
) -> dict[str, np.ndarray]:
    """Return molecules as the arrays that an exported encoder takes.

    They are one graph, whose components are the molecules; :func:`~mocop_sklearn.model_file.export_encoder` writes the
    encoder.

    Parameters
    ----------
    smiles : list, ndarray, Series or one-column DataFrame of str or Mol, shape (n_molecules,)
    featurizer : {"rich", "paper"} or Featurizer, default="rich"
        That of the model.
    standardize : {"parent", None} or callable, default="parent"
        That of the model.

    Returns
    -------
    dict of ndarray
        ``x``, float32 of shape (n_atoms, n_atom_features); ``edge_index``, int64 of shape (2, n_edges): sender and
        receiver, both directions of every bond; ``batch``, int64 of shape (n_atoms,): the molecule of each atom;
        ``atoms_per_molecule``, int64 of shape (n_molecules,); and, if the featuriser reads bonds, ``edge_attr``,
        float32 of shape (n_edges, n_bond_features).

    Raises
    ------
    ValueError
        When a row is not a valid molecule; the message names the rows.

    Examples
    --------
    >>> from mocop_sklearn.molecules import to_arrays
    >>> arrays = to_arrays(["CCO", "c1ccccc1"])
    >>> arrays["batch"].tolist(), arrays["atoms_per_molecule"].tolist()
    ([0, 0, 0, 1, 1, 1, 1, 1, 1], [3, 6])
    """
    found = _featurized(smiles, featurizer, standardize)
    graph = found.graphs.take(torch.as_tensor(found.graph_of_value)).collate()
    names = ["x", "edge_index", "batch", "atoms_per_molecule"] + ["edge_attr"] * bool(graph.featurizer.bond_fields)
    return {name: getattr(graph, name).numpy() for name in names}


def _featurized(smiles: Any, featurizer: str | Featurizer, standardize: Standardize) -> FeaturizedMolecules:
    values = check_molecules(smiles)
    found = featurize(values, featurizer, standardize)
    report_invalid(values, found.reasons, "raise")
    return found
