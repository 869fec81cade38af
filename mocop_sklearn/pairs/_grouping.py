"""Molecules in groups: a split that keeps each group whole, and means over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..utils._random import Stream, generator


def split_molecules(keys: Sequence[str], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split molecules into training and validation so that no key is on both sides.

    Parameters
    ----------
    keys : sequence of str
        Connectivity key of each molecule: stereoisomers and salts of one compound stay together.
    validation_fraction : float
        Share of the keys in the validation part.
    seed : int

    Returns
    -------
    training, validation : ndarray of int
        Rows of each part. ``validation`` is empty when either part would hold fewer than two keys.
    """
    unique, group = np.unique(np.asarray(keys), return_inverse=True)
    n_validation = round(validation_fraction * len(unique))
    if n_validation < 2 or len(unique) - n_validation < 2:
        return np.arange(len(keys)), np.arange(0)
    chosen = generator(seed, Stream.SPLIT).permutation(len(unique))[:n_validation]
    held_out = np.isin(group, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def average_by_group(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean of the rows of each group, shape (n_groups, n_features); groups are numbered from 0 without gaps."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    counts = np.bincount(group)[:, None].astype(rows.dtype)
    return np.add.reduceat(rows[order], starts, axis=0) / counts
