"""Wells that occur more than once under one name of plate and well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._labels import Labels
from ._metadata import column_labels

_OWN_COLUMNS = ("Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_Well")
_PARTS_OF_WELLS = re.compile(r"site|field|fov|object|cell|image_?number|count", re.IGNORECASE)
_WELLS_OF_A_PLATE = 8  # a column that tells plates apart has one value for at least so many wells, on average


def repeated_rows(labels: Mapping[str, Labels]) -> np.ndarray:
    """Which rows have the plate and the well of an earlier row; none where wells are unknown."""
    plate, well = labels["plate"], labels.get("well")
    repeated = np.zeros(len(plate.codes), dtype=bool)
    if well is not None:
        repeated[:] = well.which(bool)
        repeated[np.unique(_places(labels), return_index=True)[1]] = False
    return repeated


def notice_of_repeats(
    repeated: np.ndarray,
    labels: Mapping[str, Labels],
    molecule: np.ndarray,
    file: np.ndarray,
    told_apart_by: Sequence[str],
) -> str | None:
    """What to say when one name of a plate seems to stand for several plates; None when it does not.

    Parameters
    ----------
    repeated : ndarray of bool, shape (n_rows,)
        As of :func:`repeated_rows`.
    labels : dict of str to Labels
    molecule : ndarray of int, shape (n_rows,)
        Number of each row's molecule.
    file : ndarray of int, shape (n_rows,)
        Number of each row's file.
    told_apart_by : sequence of str
        Columns that differ between rows of one name, see :func:`columns_that_tell_apart`.
    """
    if not repeated.any():
        return None
    _, first, place = np.unique(_places(labels), return_index=True, return_inverse=True)
    other = repeated & (molecule != molecule[first[place]])
    elsewhere = repeated & (file != file[first[place]])
    if not (other.any() or elsewhere.any() or told_apart_by):
        return None
    plates = np.unique(labels["plate"].text()[repeated])
    name = f"{' or '.join(told_apart_by)} tells them apart: name" if told_apart_by else "Name"
    return (
        f"{repeated.sum()} rows repeat the plate and the well of another row, {other.sum()} of them with another "
        f"molecule and {elsewhere.sum()} in another file, on {len(plates)} plates such as {str(plates[0])!r}: one name "
        f"seems to stand for several plates or imagings. {name} what tells plates apart with plate_columns, or "
        "set repeated_wells."
    )


def columns_that_tell_apart(wells: Any, labels: Mapping[str, Labels]) -> list[str]:
    """Columns that differ between all wells of one file that share their plate and well.

    Such a column holds the folder of images, the file or the microscope. Columns of sites, fields and objects, which
    are parts of a well, do not count.
    """
    if "well" not in labels:
        return []
    named = labels["well"].which(bool)
    places = np.unique(_places(labels)[named], return_inverse=True)[1]
    shared = np.bincount(places)[places] > 1
    if not shared.any():
        return []
    places = places[shared]
    rows = np.flatnonzero(named)[shared]
    found = []
    for column in map(str, wells.columns):
        if column in _OWN_COLUMNS or _PARTS_OF_WELLS.search(column) or not column.startswith("Metadata_"):
            continue
        texts = column_labels(wells[column].iloc[rows])
        if len(texts.names) * _WELLS_OF_A_PLATE > len(rows):
            continue
        if len(np.unique(places * len(texts.names) + texts.codes)) == len(rows):
            found.append(column)
    return found


def _places(labels: Mapping[str, Labels]) -> np.ndarray:
    """A number for each combination of plate and well."""
    plate, well = labels["plate"], labels["well"]
    return plate.codes.astype(np.int64) * len(well.names) + well.codes
