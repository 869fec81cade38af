"""Names of tasks: where labels have them, and the containers of pandas and polars that carry them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..utils._rows import index_of

CONTAINERS = ("default", "pandas", "polars")


def names_of_tasks(y: Any, n_tasks: int, y_val: Any) -> list[str]:
    """Return the names of the columns of y, or of a Series; ``task0`` and so on where they are not all texts.

    Raises
    ------
    ValueError
        When two columns have one name, or y_val has them in another order.
    """
    names = _given_names(y, n_tasks)
    repeated = [name for name, n_times in Counter(names).items() if n_times > 1]
    if repeated:
        raise ValueError(f"y has more than one column of the names {repeated[:10]}. Rename or drop them.")
    check_order_of_tasks(y_val, names, "y_val")
    return names or [f"task{i}" for i in range(n_tasks)]


def check_order_of_tasks(y: Any, names: Sequence[str], what: str) -> None:
    """Raise ``ValueError`` when y has some of the tasks by name, but in other columns."""
    own = _given_names(y, len(names))
    if own != list(names) and len(names) > 1 and not set(own).isdisjoint(names):
        raise ValueError(
            f"{what} has the columns {own[:10]}, but fit had the tasks {list(names[:10])}. Give the same columns in "
            "the same order."
        )


def _given_names(y: Any, n_tasks: int) -> list[str]:
    columns = getattr(y, "column_names", getattr(y, "columns", None))  # of pyarrow, or of pandas and polars
    if columns is None or callable(columns):
        columns = [getattr(y, "name", None)]
    names = list(columns)
    if len(names) != n_tasks or not all(isinstance(name, str) and name for name in names):
        return []
    return [str(name) for name in names]


def check_container(name: str | None) -> None:
    """Raise ``ValueError`` unless the name is that of a container, or None."""
    if name is not None and name not in CONTAINERS:
        raise ValueError(f"transform must be one of {', '.join(CONTAINERS)} or None, got {name!r}.")


def in_container(values: np.ndarray, names: Sequence[str], X: Any, container: str) -> Any:
    """Return values of shape (n,) or (n, n_names) as they are, as a Series, or as a DataFrame with named columns."""
    if container == "default":
        return values
    if container == "pandas":
        import pandas as pd

        index = index_of(X)
        if values.ndim == 1:
            return pd.Series(values, name=names[0], index=index)
        return pd.DataFrame(values, columns=list(names), index=index)
    import polars as pl

    if values.ndim == 1:
        return pl.Series(names[0], values)
    return pl.DataFrame(values, schema=list(names))
