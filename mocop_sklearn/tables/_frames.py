"""Tables in memory as DataFrames that have all their columns as columns."""

from __future__ import annotations

from typing import Any

from ..utils._arrays import is_arrow


def as_frame(table: Any) -> Any:
    """Return a table of pyarrow as a DataFrame, with the named levels of its index as columns; others as they are."""
    if not is_arrow(table) or not hasattr(table, "columns"):
        return table
    return index_as_columns(table.to_pandas())


def index_as_columns(frame: Any) -> Any:
    """Return a DataFrame with the named levels of its index as its first columns, and rows numbered from 0.

    Raises
    ------
    ValueError
        When a level has the name of a column.
    """
    named = [name for name in frame.index.names if name is not None]
    twice = [name for name in named if name in frame.columns]
    if twice:
        raise ValueError(f"The index and a column are both named {twice[0]!r}. Rename one of them.")
    return (frame.reset_index(level=named) if named else frame).reset_index(drop=True)
