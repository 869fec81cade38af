"""Corpora from files: tables of wells, one below the other, or a store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..profiles._features import matching_columns
from ._labels import WELL_COLUMNS, Labels
from ._pairs import PairedProfiles
from ._store import is_store


def open_pairs(path: Any) -> PairedProfiles:
    """Open a store, or read a table of wells, whichever is at ``path``."""
    return PairedProfiles.open(path) if is_store(path) else PairedProfiles.from_file(path)


def read_pairs(
    paths: Sequence[Any],
    smiles: str | None = None,
    features: Sequence[str] = (),
    columns: str = "same",
    controls: str = "keep",
) -> PairedProfiles:
    """Read tables of wells, one below the other, or open one store.

    Parameters
    ----------
    paths : sequence of str or Path
    smiles : str, optional
        As in :meth:`PairedProfiles.from_file`.
    features : sequence of str
        Names of feature columns, or patterns like ``Cells_*``; by default those of
        :func:`mocop_sklearn.profiles.feature_columns`.
    columns : {"same", "intersection"}
        Whether files with different features are refused, or the features that all have are taken.
    controls : {"keep", "exclude"}
        As in :meth:`PairedProfiles.from_file`; a store stays as it was built.

    Returns
    -------
    PairedProfiles
        The features are in the order of the first file.

    Raises
    ------
    ValueError
        When a file cannot be read, or when features are missing.
    """
    stores = [path for path in paths if is_store(path)]
    if stores and len(paths) > 1:
        raise ValueError(f"{str(stores[0])!r} is a folder: pass one stored corpus alone, or only tables.")
    if stores:
        return _open_with_features(stores[0], features)
    tables = [PairedProfiles.from_file(path, smiles, features, controls) for path in paths]
    if len(tables) == 1:
        return tables[0]
    return _stacked(tables, _common_features(paths, tables, features, columns))


def _open_with_features(path: Any, features: Sequence[str]) -> PairedProfiles:
    pairs = PairedProfiles.open(path)
    names = pairs.feature_names or []
    chosen = matching_columns(names, features, repr(str(path)))
    return pairs.select_features([names.index(name) for name in chosen]) if features else pairs


def _common_features(
    paths: Sequence[Any], tables: Sequence[PairedProfiles], features: Sequence[str], columns: str
) -> list[str]:
    """Features that all tables have, in the order of the first."""
    chosen = [
        matching_columns(table.feature_names or [], features, repr(str(path)))
        for path, table in zip(paths, tables, strict=True)
    ]
    for path, names in zip(paths, chosen, strict=True):
        lacking = sorted(set(chain(*chosen)).difference(names))
        if lacking and columns == "same":
            raise ValueError(
                f"{str(path)!r} lacks {len(lacking)} feature columns that another file has: {lacking[:10]}. Choose "
                'columns with features=, or take those that all files have with columns="intersection".'
            )
    shared = set(chosen[0]).intersection(*chosen)
    if not shared:
        raise ValueError("The files have no feature column in common.")
    return [name for name in chosen[0] if name in shared]


def _stacked(tables: Sequence[PairedProfiles], names: list[str]) -> PairedProfiles:
    """Rows of all tables, one below the other, with the labels that all tables have."""
    import pandas as pd

    molecules = list(chain(*(table.molecules for table in tables)))
    profiles = np.empty((len(molecules), len(names)), dtype=np.float32)
    for table, part in zip(tables, np.split(profiles, np.cumsum([len(table) for table in tables[:-1]])), strict=True):
        part[:] = table.profiles[:, pd.Index(table.feature_names).get_indexer(names)]
    pairs = PairedProfiles(molecules, profiles, names)
    pairs._left_out = dict(chain(*(table._left_out.items() for table in tables)))
    for name in WELL_COLUMNS:
        labels = [table._labels.get(name) for table in tables]
        if all(label is not None for label in labels):
            pairs._labels[name] = Labels.of(np.concatenate([label.text() for label in labels if label is not None]))
    return pairs
