"""What the names of columns say: metadata, and structures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_METADATA = re.compile(r"(^|[_.])metadata([_.]|$)", re.IGNORECASE)
# in the order of preference
_STRUCTURES = (
    "metadata_smiles",
    "smiles",
    "metadata_canonical_smiles",
    "canonical_smiles",
    "metadata_inchi",
    "inchi",
)


def is_metadata(name: Any) -> bool:
    """Return whether the name of a column marks it as metadata: ``Metadata_*``, ``Image_Metadata_*`` and the like."""
    return _METADATA.search(str(name)) is not None


def is_text(name: Any) -> bool:
    """Return whether a column of a text file is read as it is written: metadata and structures."""
    return is_metadata(name) or str(name).lower() in _STRUCTURES


def find_structure_column(columns: Sequence[Any], smiles: str | None, where: str = "The table") -> Any:
    """Return the column of structures.

    Parameters
    ----------
    columns : sequence
        Names of all columns.
    smiles : str or None
        The name of the column; None: the first of the usual names, in any case.
    where : str
        The table, in messages.

    Raises
    ------
    ValueError
        When there is no such column.
    """
    column = usual_structure_column(columns) if smiles is None else smiles
    if column is None or column not in columns:
        what = "column of structures" if smiles is None else f"column {smiles!r}"
        raise ValueError(
            f"{where} has no {what}; its first columns are {list(map(str, columns[:12]))}. Name the column that holds "
            "the SMILES: smiles='...'."
        )
    return column


def usual_structure_column(columns: Sequence[Any]) -> Any:
    """Return the first column with a usual name for structures, in any case; None without one."""
    known = {str(column).lower(): column for column in reversed(columns)}
    return next((known[name] for name in _STRUCTURES if name in known), None)
