"""The options of a build, checked: what is done to every file, and how the parts become one store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Number
from typing import Any

import numpy as np

from ..molecules._parse import Standardize
from ..profiles._filter import ProfileFilter
from ..profiles._normalizer import ProfileNormalizer
from ._metadata import plain_text
from ._recognized import corrections_of_files

METHODS = ("robust", "mad", "standardize")
_CHOICES = {
    "columns": ("same", "intersection", "union"),
    "controls": ("exclude", "keep"),
    "repeated_wells": ("keep", "first", "raise"),
    "missing_files": ("raise", "skip"),
    "dtype": ("float16", "float32"),
}
_NORMALIZER_COLUMNS = {
    "plate_column": "set plate_columns of build_pairs",
    "control_column": "set control_column of build_pairs",
    "control_label": "set control_label of build_pairs",
    "batch_column": "batches are those of Metadata_Batch",
}


@dataclass(frozen=True)
class PlatePlan:
    """What is done to every file; most fields are documented at ``build_pairs``.

    Attributes
    ----------
    corrections : tuple of str
        What is known to have been done to the profiles before, if they are stored as they are.
    """

    tables: tuple[str, ...]
    smiles: str | None
    plate_columns: tuple[str, ...]
    control_column: str | None
    control_label: tuple[str, ...]
    dose_column: str | None
    weight_column: str | None
    features: tuple[str, ...]
    missing_files: str
    keep: tuple[tuple[str, tuple[str, ...]], ...]
    exclude: tuple[tuple[str, tuple[str, ...]], ...]
    controls: str
    hold_out: tuple[str, ...]
    normalizer: ProfileNormalizer | None
    corrections: tuple[str, ...]
    standardize: Standardize
    dtype: str
    clip: float | None


@dataclass(frozen=True)
class Finish:
    """How the parts become one store; most fields are documented at ``build_pairs``.

    Attributes
    ----------
    hold_out : tuple of (str, str)
        Texts of the molecules that are held out, and their keys.
    """

    columns: str
    repeated_wells: str
    max_wells: int | None
    feature_filter: ProfileFilter | None
    licence: str | None
    notes: str | None
    hold_out: tuple[tuple[str, str], ...]


def check_choices(**options: Any) -> None:
    """Refuse options that are not one of their choices, and limits that the type of the values cannot hold."""
    for name, allowed in _CHOICES.items():
        if options[name] not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {options[name]!r}.")
    dtype, clip, max_wells = options["dtype"], options["clip"], options["max_wells"]
    largest = float(np.finfo(np.float16).max) if dtype == "float16" else np.inf
    if (clip is None and dtype == "float16") or (clip is not None and not 0 < clip <= largest):
        raise ValueError(f"clip must be above 0, and at most {largest:.0f} for {dtype}; got {clip!r}.")
    if max_wells is not None and not (isinstance(max_wells, Integral) and int(max_wells) >= 1):
        raise ValueError(f"max_wells must be an integer of at least 1, got {max_wells!r}.")


def list_of_files(name: str, values: Any) -> list[Any]:
    """Return several files or tables as a list.

    Raises
    ------
    TypeError
        When there is a single one where a list is wanted.
    """
    if isinstance(values, (str, os.PathLike)) or hasattr(values, "columns"):
        raise TypeError(f"{name} must be a list of files, got one {type(values).__name__}: put it into a list.")
    return list(values)


def list_of_plates(plates: Any) -> list[Any]:
    """Return the files of plates as a list of at least one.

    Raises
    ------
    TypeError, ValueError
        When there is none, or when one of them is not a file.
    """
    files = list_of_files("plates", plates)
    if not files:
        raise ValueError("There are no plates: give at least one file.")
    for i, file in enumerate(files):
        if not isinstance(file, (str, os.PathLike)) and not hasattr(file, "local"):
            raise TypeError(f"plates[{i}] is a {type(file).__name__}: give the path of a file.")
    return files


def chosen_normalizer(normalizer: Any, files: Sequence[Any]) -> tuple[ProfileNormalizer | None, tuple[str, ...]]:
    """Return what is applied to each file, and what is known to have been done before to those that stay as they are.

    Raises
    ------
    ValueError
        As :func:`check_normalizer`, and when files differ in what was done to them, and ``normalizer`` is "auto".
    """
    if not (isinstance(normalizer, str) and normalizer == "auto"):
        return check_normalizer(normalizer), ()
    corrections = corrections_of_files(files)
    return (None if corrections else ProfileNormalizer("robust")), corrections


def check_normalizer(normalizer: Any) -> ProfileNormalizer | None:
    """Return what is applied to each file; None stores the values as they are.

    Raises
    ------
    ValueError
        When it is something else, or has columns of its own.
    """
    if normalizer is None or (isinstance(normalizer, str) and normalizer == "passthrough"):
        return None
    if isinstance(normalizer, str) and normalizer in METHODS:
        return ProfileNormalizer(normalizer)
    if not isinstance(normalizer, ProfileNormalizer):
        raise ValueError(
            f"normalizer must be a ProfileNormalizer, one of {('auto', *METHODS)}, or None for values that stay as "
            f"they are; got {normalizer!r}."
        )
    defaults = ProfileNormalizer()
    for name, instead in _NORMALIZER_COLUMNS.items():
        given = getattr(normalizer, name)
        if given != getattr(defaults, name) and (name, given) != ("control_column", None):
            raise ValueError(f"The normalizer has {name}={given!r}, which a build does not use: {instead}.")
    return normalizer


def as_texts(values: Any) -> tuple[str, ...]:
    """Return one value or several as texts; those of a set, which has no order, are sorted."""
    if isinstance(values, (str, Number, np.generic)):
        return (plain_text(values),)
    texts = map(plain_text, values)
    return tuple(sorted(texts) if isinstance(values, (set, frozenset)) else texts)
