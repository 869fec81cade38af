"""What pairs take from a table of wells in memory: its labels, and which of its wells are kept."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np

from ..utils._sklearn import is_pandas_na
from ._controls import find_controls
from ._labels import WELL_COLUMNS, Labels, metadata_column
from ._metadata import plain_text


def wells_to_keep(molecules: list[Any], frame: Any, path: Any, controls: str) -> np.ndarray:
    """Which wells of a table have a structure and, with ``controls="exclude"``, are not negative controls."""
    texts = [molecule.strip() if isinstance(molecule, str) else "" for molecule in molecules]
    kept = np.array([text != "" for text in texts])
    if not kept.any():
        raise ValueError(f"{str(path)!r} has no row with a structure.")
    if not kept.all():
        _warn_of_wells(~kept, path, "have no structure")
    if controls == "exclude":
        marked = find_controls(frame, Labels.as_met(texts), None, (), repr(str(path)))[0] & kept
        if marked.any():
            _warn_of_wells(marked, path, "are negative controls")
        kept &= ~marked
        if not kept.any():
            raise ValueError(f"{str(path)!r} has no well that is not a negative control.")
    return kept


def _warn_of_wells(wells: np.ndarray, path: Any, what: str) -> None:
    message = f"{wells.sum()} of {len(wells)} wells in {str(path)!r} {what} and are left out."
    warnings.warn(message, UserWarning, stacklevel=4)


def labels_of_frame(profiles: Any) -> dict[str, Labels]:
    """Source, batch, plate and well of the rows of a table."""
    columns = {name: metadata_column(name) for name in WELL_COLUMNS}
    known = Counter(map(str, getattr(profiles, "columns", ())))
    if repeated := [c for c in columns.values() if known[c] > 1]:
        raise ValueError(f"profiles has more than one column of the names {repeated}. Rename or drop them.")
    return {name: Labels.of(_texts(profiles[c])) for name, c in columns.items() if c in known}


def _texts(values: Any) -> list[str]:
    """Texts of labels, as a build has them; empty where a label is missing."""
    items = np.asarray(values, dtype=object).tolist()
    return ["" if item is None or is_pandas_na(item) or item != item else plain_text(item) for item in items]
