"""Numbers among the metadata: doses and weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..profiles._features import numbers
from ._metadata import metadata_of


def metadata_numbers(wells: Any, column: str, where: str) -> np.ndarray:
    """Return a column of metadata as float32, shape (n_wells,)."""
    return numbers(metadata_of(wells, column, where), where).astype(np.float32)


def check_weights(weight: np.ndarray, stored: np.ndarray, where: str) -> None:
    """Refuse stored wells whose weight is negative, infinite or missing."""
    unfit = stored & ~(np.isfinite(weight) & (weight >= 0))
    if unfit.any():
        row = int(np.flatnonzero(unfit)[0])
        raise ValueError(
            f"{where} holds the weight {weight[row]} in row {row}, and a weight must be finite and not negative: "
            "correct it, or leave the well out with keep= or exclude=."
        )
