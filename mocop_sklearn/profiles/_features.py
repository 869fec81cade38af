"""What a feature is: the one definition for files, tables in memory, builds and models."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any

import numpy as np

from ..tables._columns import is_metadata
from ..tables._frames import as_frame
from ..utils._sklearn import is_pandas_na, is_scalar_nan

# What the name of a numeric column says against it. CellProfiler numbers images, objects, their parents and neighbours.
_NAMES = {
    "index": re.compile(r"(?i)^(unnamed: ?\d+|index|level_\d+|__index_level_\d+__|)$"),
    "object number": re.compile(r"(Image|Object|Table)_?Number|(^|_)Parent_|(^|_)Group_(Index|Number)$"),
    "identifier": re.compile(r"(?i:^(.*[_. ])?([csu]?id|uuid|barcode)$)|[a-z](Id|ID)$"),
    "position": re.compile(r"(?i)^(source|batch|plate|well|row|col|column|site|fov)$"),
}
# also with a decimal comma, thousands separators or a percent sign: a text that stands for a number
_LIKE_A_NUMBER = re.compile(r"\s*[+-]?(\d[\d.,']*|[.,]\d+)([eE][+-]?\d+)?\s*%?\s*")
# what a spreadsheet writes where a formula gives no number
_SHEET_ERROR = re.compile(r"#(DIV/0!|NUM!|VALUE!|REF!|NULL!|NAME\?|N/A)")


@dataclass
class FeatureColumns:
    """The columns of a table, sorted into features and others.

    Attributes
    ----------
    names : list of str
        The numeric features and those that should be numeric, in the order of the table.
    left_out : dict of str to str
        Why each other column, metadata aside, is not a feature.
    unreadable : dict of str to (int, object)
        For each feature in ``names`` with a cell that is not a number: the row and the cell.
    """

    names: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def select(self, patterns: Sequence[str] = (), where: str = "The table") -> list[str]:
        """Return the features that one of the patterns describes, all of them without patterns.

        Parameters
        ----------
        patterns : sequence of str
            Names, or patterns like ``Cells_*``.
        where : str
            The table, in messages.

        Raises
        ------
        ValueError
            When a pattern describes no feature, or a feature that is wanted has a cell that is not a number.
        """
        chosen = matching_columns(self.names, patterns, where, self.left_out)
        repeated = [name for name, n in Counter(chosen).items() if n > 1]
        if repeated:
            raise ValueError(f"{where} has more than one column of the names {repeated[:10]}. Rename or drop them.")
        for name in chosen:
            if name in self.unreadable:
                row, cell = self.unreadable[name]
                raise ValueError(
                    f"{where} holds {_short(cell)} in row {row} of the column {name!r}, which is not a number"
                    f'{_hint(cell)}: convert it, start the name of the column with "Metadata_", or choose other '
                    "features."
                )
        return chosen


def describe_columns(frame: Any, not_features: Iterable[Any] = ()) -> FeatureColumns:
    """Sort the columns of a table into features and others.

    A feature is a column of numbers (of decimal or nullable numbers, too) that is not metadata, an index, an
    identifier, a position on a plate or an object number by its name. A column most of whose cells look like numbers
    should be a feature, and its first other cell is recorded. Dates, durations, booleans, categories and texts are
    not features.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
    not_features : iterable
        Columns that are something else, such as the structures.
    """
    found = FeatureColumns()
    others = set(not_features)
    for i, (column, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        name = str(column)
        if is_metadata(name) or column in others:
            continue
        kind, bad = _kind_of_type(dtype), None
        if kind is None:
            kind, bad = _kind_of_cells((frame.iloc[:, i] if hasattr(frame, "iloc") else frame[column]).to_list())
        if kind == "number":
            kind = next((reason for reason, pattern in _NAMES.items() if pattern.search(name)), kind)
        if kind != "number":
            found.left_out[name] = kind
            continue
        found.names.append(name)
        if bad is not None:
            found.unreadable[name] = bad
    return found


def feature_columns(frame: Any) -> list[str]:
    """Return the names of the features of a table of profiles, in the order of its columns.

    Features are the numeric columns, except for metadata (``Metadata_*``, ``Image_Metadata_*``), indices
    (``Unnamed: 0``), identifiers (``id``, ``barcode``), positions (``plate``, ``well``) and numbers of images and
    objects (``ImageNumber``, ``Cells_Number_Object_Number``). Dates, durations and booleans are not numeric.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame or pyarrow.Table

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        When a column holds mostly numbers and a cell that is not a number, such as ``#DIV/0!``, or numbers as text.

    Examples
    --------
    >>> import pandas as pd
    >>> from mocop_sklearn.profiles import feature_columns
    >>> feature_columns(pd.DataFrame({"Metadata_Plate": [1], "ImageNumber": [7], "Cells_AreaShape_Area": [310.5]}))
    ['Cells_AreaShape_Area']
    """
    return describe_columns(as_frame(frame)).select()


def feature_matrix(frame: Any, names: Sequence[str], dtype: Any = np.float32) -> np.ndarray:
    """Return some features of a table as a matrix, shape (n_rows, n_features).

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
    names : sequence of str
        As :func:`describe_columns` finds them.
    dtype : dtype, default=float32

    Returns
    -------
    ndarray
        NaN where a value is missing, infinite where the type cannot hold it.
    """
    place = {str(column): column for column in frame.columns}
    features = frame[[place[name] for name in names]]
    if hasattr(features, "iloc"):
        for column in [c for c, kind in features.dtypes.items() if kind.kind not in "iuf"]:
            features = features.assign(**{column: numbers(features[column])})
        with np.errstate(over="ignore"):
            return features.to_numpy(dtype=dtype, na_value=np.nan)
    matrix = features.to_numpy()
    if matrix.dtype.kind == "O":
        matrix = np.column_stack([numbers(features[name]) for name in names])
    with np.errstate(over="ignore"):
        return matrix.astype(dtype, copy=False)


def numbers(column: Any, where: str = "The table") -> np.ndarray:
    """Return a column of numbers, of which some may be missing, as float64, shape (n_rows,).

    Texts that are numbers are read: a text file has nothing else in a column of metadata.

    Raises
    ------
    ValueError
        When a value is not a number.
    """
    cells = column.to_list() if hasattr(column, "to_list") else list(column)
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if _is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
            continue
        try:
            values[row] = float(cell)
        except (TypeError, ValueError, OverflowError):
            name = getattr(column, "name", None)
            message = f"{where} holds {_short(cell)} in row {row} of the column {name!r}, which is not a number"
            raise ValueError(f"{message}{_hint(cell)}: convert it.") from None
    return values


def refuse_cells(matrix: np.ndarray, where: str = "it") -> None:
    """Refuse texts, and integers that no float holds, in an array of objects.

    Raises
    ------
    ValueError
        Naming the row, the column and the value.
    """
    first = None
    for place, cell in np.ndenumerate(matrix):
        if isinstance(cell, str) or (isinstance(cell, int) and not _fits_a_float(cell)):
            first = first or (place, cell)
            if not (isinstance(cell, str) and _reads_as_a_float(cell)):
                first = place, cell
                break
    if first is not None:
        place, cell = first
        at = ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column", "axis 2"), place, strict=False))
        raise ValueError(f"{where} holds {_short(cell)} in {at}, which is not a number{_hint(cell)}: convert it")


def matching_columns(
    names: Sequence[str], patterns: Sequence[str], where: str, left_out: dict[str, str] | None = None
) -> list[str]:
    """Return the names that one of the patterns describes, in their order; all of them without patterns.

    Parameters
    ----------
    names : sequence of str
    patterns : sequence of str
        Names, or patterns like ``Cells_*``.
    where : str
        The table, in messages.
    left_out : dict of str to str, optional
        Why other columns are not features.

    Raises
    ------
    ValueError
        Naming the patterns that describe no feature.
    """
    matches = {p: [name for name in names if name == p or fnmatchcase(name, p)] for p in patterns}
    lacking = [pattern for pattern, found in matches.items() if not found]
    if lacking:
        reasons = {name: reason for name, reason in (left_out or {}).items() if name in lacking}
        why = f" Not features: {reasons}." if reasons else ""
        raise ValueError(
            f"{where} has no feature {lacking}: features are numeric columns that are not metadata, identifiers or "
            f"object numbers.{why}"
        )
    wanted = {name for found in matches.values() for name in found} if patterns else set(names)
    return [name for name in names if name in wanted]


# ---------------------------------------------------------------------------------------------
# Kinds of columns and cells
# ---------------------------------------------------------------------------------------------


def _kind_of_type(dtype: Any) -> str | None:
    """Return what a column of a type holds; None when its cells have to be looked at."""
    if hasattr(dtype, "is_numeric"):  # polars
        if dtype.is_numeric() or str(dtype) == "Null":
            return "number"
        kind = {"Boolean": "bool", "Duration": "duration"}.get(str(dtype).partition("(")[0])
        return kind or ("date" if dtype.is_temporal() else None)
    if hasattr(dtype, "categories"):
        return "category"
    kinds = {"i": "number", "u": "number", "f": "number", "b": "bool", "M": "date", "m": "duration", "c": "complex"}
    return kinds.get(dtype.kind)


def _kind_of_cells(cells: list[Any]) -> tuple[str, tuple[int, Any] | None]:
    kinds = [(row, cell, _kind_of_cell(cell)) for row, cell in enumerate(cells) if not _is_missing(cell)]
    if not kinds:
        return "number", None  # all are missing
    counts = Counter(kind for _, _, kind in kinds)
    if len(counts) == 1 and "like a number" not in counts:
        kind = next(iter(counts))
        return ("number", kinds[0][:2]) if kind == "too large" else (kind, None)
    likely = counts["number"] + counts["like a number"] + counts["too large"]
    if 2 * likely < len(kinds):
        return "text", None
    # a text that no float is read from made texts of the numbers beside it
    bad = [(row, cell) for row, cell, kind in kinds if kind != "number"]
    return "number", min(bad, key=lambda place: isinstance(place[1], str) and _reads_as_a_float(place[1]))


def _kind_of_cell(cell: Any) -> str:
    if isinstance(cell, str):
        return "like a number" if _LIKE_A_NUMBER.fullmatch(cell) or _SHEET_ERROR.fullmatch(cell) else "text"
    if isinstance(cell, (bool, np.bool_)):
        return "bool"
    if isinstance(cell, (Real, Decimal)):
        return "number" if _fits_a_float(cell) else "too large"
    if isinstance(cell, (datetime.timedelta, np.timedelta64)):
        return "duration"
    if isinstance(cell, (datetime.date, datetime.time, np.datetime64)):
        return "date"
    return "object"


def _fits_a_float(number: Any) -> bool:
    try:
        float(number)
    except OverflowError:
        return False
    return True


def _reads_as_a_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_missing(cell: Any) -> bool:
    if cell is None or is_scalar_nan(cell) or is_pandas_na(cell):
        return True
    # NaT is a date, and decimals have a NaN of their own
    return isinstance(cell, (Decimal, datetime.date, np.datetime64, np.timedelta64)) and bool(cell != cell)


def _hint(cell: Any) -> str:
    if not isinstance(cell, str):
        return " that fits into 64 bits" if isinstance(cell, int) else ""
    if not _LIKE_A_NUMBER.fullmatch(cell):
        return ""
    return " (a decimal comma?)" if "," in cell else " but a text"


def _short(cell: Any) -> str:
    if isinstance(cell, int) and cell.bit_length() > 200:
        return f"an integer of {cell.bit_length()} bits"
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
