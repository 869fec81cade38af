"""Profiles of a table of wells, normalised as a build does it, for wells whose molecules need not be known."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..profiles._features import describe_columns, feature_matrix
from ..tables._columns import find_structure_column
from ..tables._read import read_table
from ._controls import find_controls
from ._labels import Labels
from ._metadata import structure_labels
from ._plan import PlatePlan, as_texts
from ._plates import Wells, finished, labels_of, named_columns, normalized


def profiles_of_table(
    path: Any,
    features: Sequence[str] | None,
    *,
    text: Collection[str] = (),
    normalizer: Any = None,
    plate_columns: Sequence[str] = (),
    control_column: str | None = None,
    control_label: Sequence[str] = (),
    clip: float | None = 100.0,
) -> tuple[Any, list[str], np.ndarray]:
    """Read the profiles of a table of wells, and normalise them unless ``normalizer`` is None.

    Parameters
    ----------
    path : str or Path
    features : sequence of str or None
        The features that are wanted; None: all.
    text : collection of str
        Columns of a text file to read as they are written.
    normalizer : ProfileNormalizer or None
    plate_columns, control_column, control_label, clip
        As in ``build_pairs``. They are used with a normaliser.

    Returns
    -------
    frame : DataFrame
        The whole table.
    names : list of str
        Those of the features that the table has.
    profiles : ndarray of float32, shape (n_wells, n_features)

    Raises
    ------
    ValueError
        When the table cannot be read or normalised.
    """
    where = repr(os.fspath(path))
    plan = _plan(normalizer, plate_columns, control_column, control_label, clip)
    named = named_columns(plan)
    frame = read_table(path, named.union(text))
    described = describe_columns(frame, not_features=named)
    names = described.names if features is None else [name for name in features if name in set(described.names)]
    names = described.select(names, where) if names else []
    profiles = feature_matrix(frame, names)
    if normalizer is None or not names:
        return frame, names, profiles
    wells = _wells(plan, frame, where, Path(path).stem, names, profiles)
    return frame, names, finished(normalized(plan, wells, np.ones(len(frame), dtype=bool)), clip)[0]


def _plan(normalizer: Any, plate_columns: Any, control_column: str | None, label: Any, clip: float | None) -> PlatePlan:
    """Plan of a build that stores all wells as they are normalised."""
    return PlatePlan(
        tables=(),
        smiles=None,
        plate_columns=as_texts(plate_columns),
        control_column=control_column,
        control_label=as_texts(label),
        dose_column=None,
        weight_column=None,
        features=(),
        missing_files="raise",
        keep=(),
        exclude=(),
        controls="keep",
        hold_out=(),
        normalizer=normalizer,
        corrections=(),
        standardize=None,
        dtype="float32",
        clip=clip,
    )


def _wells(plan: PlatePlan, frame: Any, where: str, stem: str, names: list[str], profiles: np.ndarray) -> Wells:
    """Wells whose structures serve to find the controls, if there are structures at all."""
    unknown = Labels.as_met([""] * len(frame))
    try:
        stated = structure_labels(frame[find_structure_column(list(frame.columns), None)])
    except ValueError:
        stated = unknown
    controls, rules, selections = find_controls(frame, stated, plan.control_column, plan.control_label, where)
    labels = labels_of(plan, frame, where, stem)
    return Wells(
        where, frame, names, {}, profiles, stated, {}, unknown, unknown, labels, controls, rules, selections, []
    )
