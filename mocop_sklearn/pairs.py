"""Molecules paired with their profiles: the corpus that training draws from."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain, compress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .graphs import GraphBatch, MoleculeGraphs
from .molecules import as_text, check_molecules
from .profiles import check_profiles, feature_columns, frame_to_numpy
from .runtime import generator
from .tables import read_wells

_SPLIT = 0


@dataclass(frozen=True)
class Corpus:
    """Distinct molecules and, for each, the rows of a profile matrix that are its replicates.

    Attributes
    ----------
    graphs : MoleculeGraphs
        The molecules.
    profiles : Tensor of float32, shape (n_rows, n_features)
        Transformed profiles, finite.
    rows : Tensor of int64, shape (n_rows,)
        Rows of ``profiles``, molecule by molecule.
    ptr : Tensor of int64, shape (n_molecules + 1,)
        Replicates of molecule i are ``rows[ptr[i]:ptr[i + 1]]``.
    """

    graphs: MoleculeGraphs
    profiles: Tensor
    rows: Tensor
    ptr: Tensor

    @classmethod
    def from_rows(cls, graphs: MoleculeGraphs, profiles: np.ndarray, molecule_of_row: np.ndarray) -> Corpus:
        """Index ``profiles`` by the molecule of each row, a row of ``graphs``."""
        ptr = np.concatenate([[0], np.cumsum(np.bincount(molecule_of_row, minlength=len(graphs)))])
        rows = np.argsort(molecule_of_row, kind="stable")
        return cls(graphs, torch.from_numpy(profiles), torch.from_numpy(rows), torch.from_numpy(ptr))

    def __len__(self) -> int:
        return len(self.graphs)

    def to(self, device: torch.device) -> Corpus:
        """Return this corpus with every array on ``device``."""
        return Corpus(self.graphs.to(device), self.profiles.to(device), self.rows.to(device), self.ptr.to(device))

    def mean_profiles(self) -> Tensor:
        """Average the replicates of each molecule, shape (n_molecules, n_features)."""
        return torch.segment_reduce(self.profiles[self.rows], "mean", lengths=self.ptr.diff())

    def averaged(self) -> Corpus:
        """Return the corpus with one profile for each molecule, the mean of its replicates."""
        one_each = torch.arange(len(self) + 1, device=self.ptr.device)
        return Corpus(self.graphs, self.mean_profiles(), one_each[:-1], one_each)

    def draw(self, molecules: np.ndarray, rng: np.random.Generator) -> tuple[GraphBatch, Tensor, Tensor]:
        """Return the graphs of ``molecules``, one replicate of each at random, and the identity of each row."""
        index = torch.from_numpy(molecules).to(self.ptr.device)
        start, n_replicates = self.ptr[index], self.ptr[index + 1] - self.ptr[index]
        u = torch.from_numpy(rng.random(len(molecules))).to(self.ptr.device)
        profiles = self.profiles[self.rows[start + (u * n_replicates).long()]]
        return self.graphs.take(index).collate(), profiles, index


def split_molecules(keys: Sequence[str], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split molecules into training and validation so that no key is on both sides.

    Parameters
    ----------
    keys : sequence of str
        Connectivity key of each molecule: stereoisomers and salts of one compound stay together.

    Returns
    -------
    training, validation : ndarray of int
        ``validation`` is empty when either part would hold fewer than two keys.
    """
    unique, group = np.unique(np.asarray(keys), return_inverse=True)
    n_validation = round(validation_fraction * len(unique))
    if n_validation < 2 or len(unique) - n_validation < 2:
        return np.arange(len(keys)), np.arange(0)
    chosen = generator(seed, _SPLIT).permutation(len(unique))[:n_validation]
    held_out = np.isin(group, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


class PairedProfiles:
    """Molecules and their profiles, row by row: an external corpus for ``MoCoPEmbedder(pairs=...)``.

    Immutable: ``copy.deepcopy`` and scikit-learn's ``clone`` return the object itself, so that a grid
    search does not copy the profiles.

    Parameters
    ----------
    molecules : list, array or Series of str or Mol, shape (n_rows,)
    profiles : array-like of float or DataFrame, shape (n_rows, n_features)
        Rows of one molecule are its replicates. NaN and infinities are allowed. A float32 array is not
        copied: leave it as it is afterwards.
    feature_names : sequence of str, default=None
        Names of the columns, when ``profiles`` is no DataFrame.

    Attributes
    ----------
    molecules : list
    profiles : ndarray of float32, shape (n_rows, n_features)
    feature_names : list of str or None
    digest : str
        SHA-256 of all the content.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn import PairedProfiles
    >>> PairedProfiles(["CCO", "CCN"], np.eye(2))
    PairedProfiles(2 rows, 2 features)
    """

    def __init__(self, molecules: Any, profiles: Any, feature_names: Sequence[str] | None = None):
        self.molecules = check_molecules(molecules)
        matrix, names = check_profiles(profiles, len(self.molecules))
        self.feature_names = names if feature_names is None else list(feature_names)
        if self.feature_names is not None and len(self.feature_names) != matrix.shape[1]:
            raise ValueError(f"There are {len(self.feature_names)} feature_names for {matrix.shape[1]} features.")
        self.profiles = matrix.view()
        self.profiles.flags.writeable = False

    @classmethod
    def from_file(cls, path: Any, smiles: str | None = None, features: Sequence[str] | None = None) -> PairedProfiles:
        """Read a parquet or CSV file with one row per well.

        Parameters
        ----------
        path : str or Path
        smiles : str, optional
            The column of structures; by default ``Metadata_SMILES``, ``SMILES`` or the like.
        features : sequence of str, optional
            The feature columns; by default every numeric one that does not start with ``Metadata_``.

        Raises
        ------
        ValueError
            When a column is missing. Wells without a structure are left out with a warning that
            counts them.
        """
        molecules, frame = read_wells(path, smiles)
        columns = list(features) if features is not None else feature_columns(frame)
        numeric = set(frame.select_dtypes(["number", "bool"]))
        missing = [c for c in columns if c not in numeric]
        if missing or not columns:
            which = f"{missing[:10]}, or they are not numeric" if missing else "(it has no numeric ones)"
            raise ValueError(f"{str(path)!r} lacks the feature columns {which}.")
        named = np.array([isinstance(m, str) and bool(m.strip()) for m in molecules])
        if not named.all():
            if not named.any():
                raise ValueError(f"{str(path)!r} has no row with a structure.")
            warnings.warn(
                f"{(~named).sum()} of {len(named)} wells in {str(path)!r} have no structure and are left out.",
                UserWarning,
                stacklevel=2,
            )
        return cls(list(compress(molecules, named)), frame_to_numpy(frame.loc[named, columns]), columns)

    @cached_property
    def digest(self) -> str:
        """Digest of the molecules as given, the profiles and their names."""
        sha = hashlib.sha256(repr((self.profiles.shape, self.feature_names)).encode())
        for molecule in self.molecules:
            sha.update(repr(as_text(molecule)).encode() + b"\n")
        sha.update(np.ascontiguousarray(self.profiles).data)
        return sha.hexdigest()

    def __len__(self) -> int:
        return len(self.molecules)

    def __repr__(self) -> str:
        return f"PairedProfiles({len(self)} rows, {self.profiles.shape[1]} features)"

    def __copy__(self) -> PairedProfiles:
        return self

    def __deepcopy__(self, memo: Any) -> PairedProfiles:
        return self


def read_pairs(
    paths: Sequence[Any], smiles: str | None = None, features: Sequence[str] = (), columns: str = "same"
) -> PairedProfiles:
    """Read tables of wells, one below the other.

    Parameters
    ----------
    paths : sequence of str or Path
    smiles : str, optional
        As in :meth:`PairedProfiles.from_file`.
    features : sequence of str
        Names of feature columns, or patterns like ``Cells_*``; by default every numeric column that does
        not start with ``Metadata_``.
    columns : {"same", "intersection"}
        Whether files with different features are refused, or the features that all have are taken.

    Returns
    -------
    PairedProfiles
        The features are in the order of the first file.

    Raises
    ------
    ValueError
        When a file cannot be read, or when features are missing.
    """
    import pandas as pd

    tables = [PairedProfiles.from_file(path, smiles) for path in paths]
    if len(tables) == 1 and not features:
        return tables[0]
    chosen = [_matching(table.feature_names or [], features, path) for path, table in zip(paths, tables, strict=True)]
    for path, names in zip(paths, chosen, strict=True):
        lacking = sorted(set(chain(*chosen)).difference(names))
        if lacking and columns == "same":
            raise ValueError(
                f"{str(path)!r} lacks {len(lacking)} feature columns that another file has: {lacking[:10]}. Choose "
                "columns with features, or take those that all files have with columns intersection."
            )
    shared = set(chosen[0]).intersection(*chosen)
    if not shared:
        raise ValueError("The files have no feature column in common.")
    names = [name for name in chosen[0] if name in shared]
    molecules = list(chain(*(table.molecules for table in tables)))
    profiles = np.empty((len(molecules), len(names)), dtype=np.float32)
    for table, part in zip(tables, np.split(profiles, np.cumsum([len(table) for table in tables[:-1]])), strict=True):
        part[:] = table.profiles[:, pd.Index(table.feature_names).get_indexer(names)]
    return PairedProfiles(molecules, profiles, names)


def _matching(names: Sequence[str], patterns: Sequence[str], path: Any) -> list[str]:
    """The names that one of the patterns describes, in their order; all of them without patterns."""
    matches = {p: [name for name in names if name == p or fnmatchcase(name, p)] for p in patterns}
    lacking = [pattern for pattern, found in matches.items() if not found]
    if lacking:
        raise ValueError(f"{str(path)!r} has no numeric column {lacking} outside Metadata_*.")
    wanted = set(chain(*matches.values())) if patterns else set(names)
    return [name for name in names if name in wanted]


def average_by_group(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean of the rows of each group, shape (n_groups, n_features); groups are numbered from 0 without gaps."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    counts = np.bincount(group)[:, None].astype(rows.dtype)
    return np.add.reduceat(rows[order], starts, axis=0) / counts
