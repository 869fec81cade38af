"""Median and spread of the training profiles, and a check for profiles of another kind."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

_ROWS = 5000  # enough for a median and quartiles
_ENOUGH_ROWS = 10  # for a spread
_FAR = 10.0  # interquartile ranges between two medians
_WIDER = 30.0  # ratio of two interquartile ranges
FOREIGN = 0.3  # share of the features


def statistics_of(profiles: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the median and the interquartile range of each column.

    Parameters
    ----------
    profiles : ndarray of float, shape (n_rows, n_features)
        NaN and infinities are left out.
    rng : Generator
        Draws the rows where there are very many.
    """
    if len(profiles) > _ROWS:
        profiles = profiles[np.sort(rng.choice(len(profiles), _ROWS, replace=False))]
    center, spread = _location_and_spread(profiles)
    return {"center": center.astype(np.float32), "spread": spread.astype(np.float32)}


def foreign_share(profiles: np.ndarray, statistics: Mapping[str, np.ndarray]) -> float:
    """Return the share of the features whose location or spread is far from that of the training profiles.

    Features that did not vary in training, or hold no finite value, are left out.
    """
    if not statistics:
        return 0.0
    center, spread = _location_and_spread(np.asarray(profiles))
    known = np.isfinite(center) & (statistics["spread"] > 0)
    if not known.any():
        return 0.0
    trained = statistics["spread"][known].astype(np.float64)
    foreign = np.abs(center[known] - statistics["center"][known]) > _FAR * trained
    if len(profiles) >= _ENOUGH_ROWS:
        ratio = spread[known] / trained
        foreign |= (ratio > _WIDER) | ((ratio > 0) & (ratio < 1 / _WIDER))
    return float(foreign.mean())


def restore_statistics(path: Any, arrays: Mapping[str, np.ndarray], n_columns: int) -> dict[str, np.ndarray]:
    """Return the statistics that a model file holds.

    Raises
    ------
    ValueError
        When they are not those of its columns.
    """
    found = {name: arrays[f"statistics.{name}"] for name in ("center", "spread") if f"statistics.{name}" in arrays}
    if found and (len(found) < 2 or any(a.shape != (n_columns,) or a.dtype.kind != "f" for a in found.values())):
        raise ValueError(f"{str(path)!r} holds statistics of other profiles than its {n_columns} columns.")
    return found


def _location_and_spread(profiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finite = np.where(np.isfinite(profiles), profiles, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value are NaN
        low, center, high = np.nanquantile(finite.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    return center, high - low
