"""Numbers of a table: the matrix of features, doses and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._metadata import metadata_of


def feature_matrix(frame: Any, names: Sequence[str]) -> np.ndarray:
    """Return some columns as a float32 matrix, shape (n_rows, n_features).

    Raises
    ------
    ValueError
        When there are no columns, a name occurs twice, or a value is not a number.
    """
    if not names:
        raise ValueError("has no feature column")
    repeated = sorted(name for name, n in Counter(names).items() if n > 1)
    if repeated:
        raise ValueError(f"has more than one column of the names {repeated[:10]}")
    features = frame[names]
    for name in features.columns[[dtype.kind not in "biuf" for dtype in features.dtypes]]:
        features = features.assign(**{name: _as_numbers(features[name])})
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        return features.to_numpy(dtype=np.float32, na_value=np.nan)


def metadata_numbers(wells: Any, column: str) -> np.ndarray:
    """Return a column of metadata as float32, shape (n_wells,)."""
    return np.asarray(_as_numbers(metadata_of(wells, column)), dtype=np.float32)


def check_weights(weight: np.ndarray, stored: np.ndarray) -> None:
    """Refuse stored wells whose weight is negative, infinite or missing."""
    unfit = stored & ~(np.isfinite(weight) & (weight >= 0))
    if unfit.any():
        row = int(np.flatnonzero(unfit)[0])
        raise ValueError(
            f"holds the weight {weight[row]} in row {row}, and a weight must be finite and not negative: correct it, "
            "or leave the well out with keep or exclude"
        )


def _as_numbers(column: Any) -> Any:
    """Return a column of nullable numbers, or of missing values alone, as floats."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    text = column.astype(object).map(lambda value: isinstance(value, str)).astype(bool)
    if text.any():  # name a text that is not a number: in a CSV file, it made texts of the numbers beside it
        unreadable = (text & numbers.isna()).to_numpy()
        row = int(np.argmax(unreadable if unreadable.any() else text.to_numpy()))
        raise ValueError(
            f"holds {column.iloc[row]!r} in row {row} of the column {column.name!r}, which is not a number: "
            "convert it, start the column's name with Metadata_, or choose the columns with features"
        )
    return numbers.astype(float)
