"""Task sets: molecules, labels, and splits of which the first is the published one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from common import DATA, cached
from sklearn.model_selection import GroupShuffleSplit

from mocop_sklearn.model_selection import molecule_groups, scaffold_groups
from mocop_sklearn.molecules import canonical_smiles

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
# Which pairs of a split and a seed belong to the breadth of a set, or of an arm
PAIRS: dict[str, Callable[[int, int], bool]] = {
    "all": lambda split, seed: True,
    "published": lambda split, seed: split == 0,
    "diagonal": lambda split, seed: split == seed,
    "one": lambda split, seed: split == seed == 0,
}


@dataclass(frozen=True)
class Spec:
    """How a file becomes one or several task sets."""

    kind: str  # "classification" or "regression"
    label: str | None = None  # the one label column; all of them by default
    log10: bool = False
    split: str = "split"  # column of the published split; a prefix when there are several
    by: str | None = None  # column whose values make a task set each
    fractions: tuple[float, ...] = FRACTIONS
    pairs: str = "all"  # of split and seed; a key of PAIRS
    arms: tuple[str, ...] = ()  # the only ones by default, by label; all of a benchmark's when empty
    drop_overlap: bool = False  # test rows of a connectivity that is in training leave the test part


@dataclass(frozen=True)
class TaskSet:
    """Molecules with the labels of one or more tasks.

    Attributes
    ----------
    smiles : list of str
        Canonical parents. Rows that are not molecules were dropped, ``n_dropped`` of them.
    labels : ndarray of float, shape (n_molecules, n_tasks)
        NaN where not measured.
    splits : list of (name, training rows, test rows)
    held_out : frozenset of str
        All molecules that the files have in the test part of any split, also those that ``drop_overlap`` takes out.
    """

    name: str
    spec: Spec
    smiles: list[str]
    labels: np.ndarray
    tasks: list[str]
    splits: list[tuple[str, np.ndarray, np.ndarray]]
    held_out: frozenset[str]
    n_dropped: int = 0
    extra: dict[str, np.ndarray] = field(default_factory=dict)  # further columns, such as activity cliffs


def label_columns(frame: pd.DataFrame) -> list[str]:
    """All columns but structure, identifiers and splits."""
    return [c for c in frame.columns if c != "smiles" and not c.startswith(("meta_", "split"))]


def load(name: str, spec: Spec, n_splits: int, cache: Any = None) -> list[TaskSet]:
    """Read a file, or nothing with a message when it is absent.

    The published splits come first; what ``n_splits`` asks beyond them are random splits of whole Bemis-Murcko
    scaffolds with the same share of test molecules.
    """
    path = DATA / "bioactivity" / f"{name}.parquet"
    if not path.exists():
        print(f"skipped: {name} is not in {DATA}")
        return []
    frame = pd.read_parquet(path)
    parts = [(name, frame)]
    if spec.by is not None:
        parts = [(f"{name}/{value}", part) for value, part in frame.groupby(spec.by)]
    return [_task_set(part_name, part.reset_index(drop=True), spec, n_splits, cache) for part_name, part in parts]


def _task_set(name: str, frame: pd.DataFrame, spec: Spec, n_splits: int, cache: Any) -> TaskSet:
    key = "-".join(["canonical", name.replace("/", "-"), str(len(frame))])
    canonical = cached(cache, key, partial(canonical_smiles, frame["smiles"].tolist()))
    valid = np.array([s is not None for s in canonical])
    frame, smiles = frame[valid].reset_index(drop=True), [s for s in canonical if s is not None]
    tasks = [spec.label] if spec.label else label_columns(frame)
    labels = frame[tasks].to_numpy(dtype=float)
    if spec.log10:
        labels = np.log10(np.where(labels > 0, labels, np.nan))
    splits = published_splits(frame, spec.split)
    splits = (splits + scaffold_splits(smiles, splits, n_splits - len(splits)))[:n_splits]
    held_out = frozenset(smiles[row] for _, _, test in splits for row in test)
    if spec.drop_overlap:
        molecule = molecule_groups(smiles, standardize=None)
        splits = [(n, train, test[~np.isin(molecule[test], molecule[train])]) for n, train, test in splits]
    extra = {"cliff": frame["cliff_mol"].to_numpy() > 0} if "cliff_mol" in frame else {}
    return TaskSet(name, spec, smiles, labels, tasks, splits, held_out, int((~valid).sum()), extra)


def published_splits(frame: pd.DataFrame, prefix: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Splits from the columns of a file: train (with valid) against test, or one fold against the others."""
    splits = []
    for column in (c for c in frame.columns if c == prefix or (c.startswith(prefix) and c[len(prefix) :].isdigit())):
        values = frame[column].to_numpy(dtype=object)
        folds = sorted({v for v in values if isinstance(v, str) and v.startswith("fold")})
        if folds:
            splits += [(fold, np.flatnonzero(values != fold), np.flatnonzero(values == fold)) for fold in folds]
        else:
            train = np.isin(values, ["train", "valid", "val"])
            test = np.isin(values, ["test", "external"])
            splits.append((f"published {column}", np.flatnonzero(train), np.flatnonzero(test)))
    return splits


def scaffold_splits(smiles: list[str], published: list[Any], n: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Random splits of whole scaffolds, with the share of test molecules of the first published split."""
    if n < 1:
        return []
    share = len(published[0][2]) / (len(published[0][1]) + len(published[0][2])) if published else 0.2
    groups = scaffold_groups(smiles, standardize=None)
    splitter = GroupShuffleSplit(n, test_size=share, random_state=0)
    return [(f"scaffold {i + 1}", a, b) for i, (a, b) in enumerate(splitter.split(smiles, groups=groups))]
