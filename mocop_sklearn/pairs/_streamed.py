"""A parquet file whose profiles are stored as they are → its part, without the file in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..profiles._features import FeatureColumns, describe_columns, feature_matrix
from ..profiles._moments import blocks, merged_moments
from ..tables._columns import is_metadata
from ..tables._streamed import StreamedWells
from ..utils._files import atomic_write
from ._parts import Part
from ._plan import PlatePlan
from ._plates import (
    chosen_features,
    fates_before_normalising,
    finished,
    metadata_columns,
    named_columns,
    part_of_wells,
    wells_of,
)
from ._reader import StructureReader


@dataclass
class _Written:
    """What profiles were found to hold while they were written.

    Attributes
    ----------
    has_values : ndarray of bool, shape (n_wells,)
    moments : ndarray, shape (4, n_features)
        Count, mean, sum of squared deviations and largest size, before clipping.
    n_clipped, n_missing : int
    """

    has_values: np.ndarray
    moments: np.ndarray
    n_clipped: int = 0
    n_missing: int = 0

    def add(self, rows: slice, columns: Any, values: np.ndarray, clip: float | None) -> np.ndarray:
        """Take in a block and return it, clipped."""
        profiles, statistics, n_clipped = finished(values, clip)
        count, mean, variance, peak = statistics
        own = np.stack([count, mean, count * variance, peak])
        self.moments[:, columns] = merged_moments(self.moments[:, columns], own)
        missing = np.isnan(profiles)
        self.has_values[rows] |= ~missing.all(axis=1)
        self.n_clipped += n_clipped
        self.n_missing += int(missing.sum())
        return profiles


def part_of_stream(plan: PlatePlan, path: Any, where: str, stem: str, target: Path, reader: StructureReader) -> Part:
    """Choose the wells of a parquet file, and write their profiles to ``target`` a block at a time.

    Parameters
    ----------
    plan : PlatePlan
        Without a normaliser.
    path : str or Path
    where : str
        The file, in messages.
    stem : str
        The plate, where no column names it.
    target : Path
    reader : StructureReader
    """
    named = named_columns(plan)
    table = StreamedWells(path, lambda name: is_metadata(name) or name in named)
    columns = metadata_columns(plan, table.frame, table.order, where)
    described = _described(table, columns)
    names = chosen_features(plan, described, where)
    wells = wells_of(plan, table.frame[columns], described, names, None, where, stem, reader)
    fates = fates_before_normalising(plan, wells)
    chosen = fates.stored
    with atomic_write(target) as temporary:
        written = _write_profiles(table, names, chosen, plan, temporary)
    empty = np.zeros(len(chosen), dtype=bool)
    empty[np.flatnonzero(chosen)[~written.has_values]] = True
    fates.mark("without_values", empty)
    count, mean, scatter, peak = written.moments
    counts = {
        "values_clipped": written.n_clipped,
        "values_missing": written.n_missing - int(empty.sum()) * len(names),
    }
    statistics = np.stack([count, mean, scatter / np.maximum(count, 1), peak])
    return part_of_wells(plan, wells, fates, statistics, counts)


def _described(table: StreamedWells, columns: list[Any]) -> FeatureColumns:
    """Sort the columns into features and others, as of a table in memory."""
    import pandas as pd

    at_once = describe_columns(table.frame, not_features=columns)
    streamed = describe_columns(pd.DataFrame(columns=table.numbers, dtype=np.float32))
    features = {*at_once.names, *streamed.names}
    left_out = at_once.left_out | streamed.left_out
    return FeatureColumns(
        [name for name in map(str, table.order) if name in features],
        {name: left_out[name] for name in map(str, table.order) if name in left_out},
        at_once.unreadable,
    )


def _write_profiles(
    table: StreamedWells, names: list[str], chosen: np.ndarray, plan: PlatePlan, path: Path
) -> _Written:
    """Write the clipped profiles of the chosen wells, those without any value aside."""
    shape = int(chosen.sum()), len(names)
    written = _Written(np.zeros(shape[0], dtype=bool), np.zeros((4, shape[1])))
    if not shape[0]:
        return written
    _reserve(path, shape[0] * shape[1] * np.dtype(plan.dtype).itemsize)
    matrix = np.memmap(path, dtype=plan.dtype, mode="r+", shape=shape)
    before = np.concatenate([[0], np.cumsum(chosen)])
    for rows, columns, values in _blocks(table, names):
        own = slice(before[rows.start], before[rows.stop])
        matrix[own, columns] = written.add(own, columns, values[chosen[rows]], plan.clip)
    if not written.has_values.all():
        _close_gaps(matrix, written.has_values)
    matrix.flush()
    del matrix
    os.truncate(path, int(written.has_values.sum()) * shape[1] * np.dtype(plan.dtype).itemsize)
    return written


def _blocks(table: StreamedWells, names: list[str]) -> Iterator[tuple[slice, Any, np.ndarray]]:
    """Blocks of the features, those that are in memory among them; places of columns are a slice where they can be."""
    place = {name: i for i, name in enumerate(names)}
    streamed = [name for name in table.numbers if name in place]
    at_once = sorted(set(names).difference(streamed), key=place.__getitem__)
    if at_once:
        yield slice(0, len(table.frame)), [place[name] for name in at_once], feature_matrix(table.frame, at_once)
    to_names = np.array([place[name] for name in streamed], dtype=np.int64)
    for rows, columns, values in table.blocks(streamed):
        own = to_names[columns]
        adjacent = own[-1] - own[0] + 1 == len(own) and (np.diff(own) == 1).all()
        yield rows, slice(own[0], own[-1] + 1) if adjacent else own, values


def _reserve(path: Path, size: int) -> None:
    """Take the space on the disk at once: a process that finds it full while it writes to a mapped file is killed."""
    with open(path, "r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _close_gaps(matrix: np.ndarray, kept: np.ndarray) -> None:
    """Move the rows that are kept to the front, in place."""
    first = 0
    for rows in blocks(*matrix.shape):
        block = matrix[rows][kept[rows]]
        matrix[first : first + len(block)] = block
        first += len(block)
