"""Which of the ways to hand in profiles a call of ``MoCoPEmbedder.fit`` uses."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..molecules._parse import check_molecules, report_invalid, why_too_large
from ..tables._columns import is_metadata
from ..tables._frames import as_frame
from ..tables._molecules import MoleculeFile
from ._pairs import PairedProfiles
from ._reading import open_pairs

_NARROW = 16


def paired_profiles(values: list[Any], y: Any, profiles: Any, pairs: Any, *, has_other: bool) -> PairedProfiles | None:
    """Return the first source of profiles that is given, or None when there is something else to fit.

    Parameters
    ----------
    values : list
        Molecules, one per row.
    y, profiles, pairs
        As ``MoCoPEmbedder`` documents them.
    has_other : bool
        Whether the embedder has a pretrained model, or molecules without profiles.

    Raises
    ------
    ValueError
        When there is nothing to fit.
    """
    if profiles is not None:
        return PairedProfiles(values, profiles)
    if isinstance(pairs, tuple):
        if len(pairs) != 2:
            raise ValueError(f"pairs must be (molecules, profiles), got a tuple of {len(pairs)}.")
        return PairedProfiles(*pairs)
    if pairs is not None:
        return pairs if isinstance(pairs, PairedProfiles) else open_pairs(pairs)
    shape, kind = _shape_and_kind(y)
    if len(shape) == 2 and kind == "f":
        if shape[1] < _NARROW:
            warnings.warn(
                f"y, a float matrix of {shape[1]} columns, is taken for the profiles of X. If it holds targets, give "
                "the profiles by profiles= or pairs=, or freeze a fitted embedder with sklearn.frozen.FrozenEstimator.",
                UserWarning,
                stacklevel=3,
            )
        return PairedProfiles(values, y)
    if has_other:
        return None
    given = "nothing" if y is None else f"y of shape {tuple(shape)}, which looks like labels"
    raise ValueError(
        f"MoCoPEmbedder needs profiles to learn from, or a pretrained model, but got {given}. Do one of: "
        "(1) fit(X, profiles=P) with one profile per row of X; (2) MoCoPEmbedder(pairs=...) with a file or "
        "PairedProfiles; (3) fit(X, P) with a two-dimensional float P; (4) MoCoPEmbedder(pretrained=...). "
        "An already fitted embedder goes into a pipeline as sklearn.frozen.FrozenEstimator(embedder)."
    )


def molecules_of(unlabeled: Any, max_atoms: int, invalid: str) -> list[Any]:
    """Return the molecules of a collection, of a file of molecules, or of paired profiles.

    Raises
    ------
    TypeError, ValueError
        When it is none of these, the file cannot be read, or molecules have more than ``max_atoms`` atoms and
        ``invalid="raise"``.
    """
    if isinstance(unlabeled, (str, os.PathLike)) and Path(unlabeled).is_dir():
        unlabeled = open_pairs(unlabeled)
    if isinstance(unlabeled, PairedProfiles):
        values = unlabeled.distinct_molecules()[0]
    elif isinstance(unlabeled, (str, os.PathLike)):
        values = [text for batch in MoleculeFile(unlabeled).batches(2**16) for text in batch.structures]
    else:
        values = check_molecules(unlabeled)
    reasons = {row: reason for row, value in enumerate(values) if (reason := why_too_large(value, max_atoms))}
    report_invalid(values, reasons, invalid, name="unlabeled")
    return [value for row, value in enumerate(values) if row not in reasons]


def leave_out_large(source: PairedProfiles, max_atoms: int, invalid: str) -> PairedProfiles:
    """Leave out the rows whose molecules have more than ``max_atoms`` atoms.

    Raises
    ------
    ValueError
        When there are such rows and ``invalid="raise"``, or no others.
    """
    texts, text_of_row = source.distinct_molecules()
    found = [why_too_large(text, max_atoms) for text in texts]
    if not any(found):
        return source
    reasons = {row: reason for row, i in enumerate(text_of_row.tolist()) if (reason := found[i])}
    report_invalid(source.molecules, reasons, "raise" if all(found) else invalid)
    return source[[row for row in range(len(source)) if row not in reasons]]


def _shape_and_kind(y: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape and the dtype kind of what may be a matrix of profiles."""
    if y is None:
        return (), ""
    y = as_frame(y)
    if hasattr(y, "columns"):
        y = y[[column for column in y.columns if not is_metadata(column)]]
        kinds = {dtype.kind for dtype in y.dtypes} if hasattr(y, "iloc") else {y.to_numpy().dtype.kind}
        return y.shape, "f" if "f" in kinds and kinds <= set("fiu") else "O"
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    try:
        y = y if isinstance(getattr(y, "dtype", None), np.dtype) else np.asarray(y)
    except ValueError:  # rows of different lengths
        return (len(y),), "O"
    return y.shape, y.dtype.kind
