"""Arrays from what users hand in."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """An array; of a list with strings, objects, for NumPy makes strings of the numbers and the NaN among them."""
    array: np.ndarray = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=object)
    return array
