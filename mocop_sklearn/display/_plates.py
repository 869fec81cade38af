"""Plates: a value of each well where the well is, and what became of all wells."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..utils._arrays import floats_of
from ._axes import COLOR_MAP, COLORS, GREY, literal, new_axes, tidy

_SIZES = ((2, 3), (4, 6), (8, 12), (16, 24), (32, 48))
_WELL = re.compile(r"([A-Za-z]{1,2})0*(\d{1,2})")


class PlateDisplay:
    """A heat map of one plate.

    Parameters
    ----------
    wells : sequence of str, shape (n_wells,)
        Places such as ``A01``, ``P24`` or ``AF48``. Values of one well are averaged.
    values : array-like of float, shape (n_wells,)
    name : str, default="value"
        What the values are.
    title : str, default=""

    Attributes
    ----------
    matrix_ : ndarray of float, shape (n_rows, n_columns)
        The smallest plate that holds all wells, of 6, 24, 96, 384 or 1,536 wells; NaN where there is no value.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage

    Raises
    ------
    ValueError
        When a well is not named by letters and a number, or lies beyond a plate of 1,536 wells.

    Examples
    --------
    >>> from mocop_sklearn.display import PlateDisplay
    >>> PlateDisplay(["A01", "A01", "H12"], [1.0, 3.0, 5.0]).matrix_[[0, 7], [0, 11]]
    array([2., 5.])
    """

    def __init__(self, wells: Any, values: Any, *, name: str = "value", title: str = ""):
        self.wells = [str(well) for well in wells]
        self.values = floats_of(values)
        self.name = name
        self.title = title
        if self.values.shape != (len(self.wells),):
            raise ValueError(
                f"values has shape {self.values.shape} but there are {len(self.wells)} wells: give one value per well."
            )
        self.matrix_ = self._matrix()

    @classmethod
    def from_predictions(
        cls, wells: Any, values: Any, *, name: str = "value", title: str = "", ax: Any = None, **limits: float
    ) -> Self:
        """Plot values of wells.

        Parameters
        ----------
        wells, values, name, title
            As in :class:`PlateDisplay`.
        ax : matplotlib Axes, default=None
        **limits
            ``vmin`` and ``vmax`` of the colours.
        """
        return cls(wells, values, name=name, title=title).plot(ax=ax, **limits)

    @classmethod
    def from_pairs(cls, pairs: Any, plate: str, values: Any = None, *, name: str = "strength", ax: Any = None) -> Self:
        """Plot one plate of pairs.

        Parameters
        ----------
        pairs : PairedProfiles
            With plates and wells.
        plate : str
            One of ``pairs.plates``.
        values : array-like of float, shape (n_rows,), default=None
            One value per row of pairs. None is the strength of a profile: the root of the mean square of its features.
        name : str, default="strength"
        ax : matplotlib Axes, default=None
        """
        if pairs.plates is None or pairs.wells is None:
            raise ValueError("These pairs do not name plates and wells: Metadata_Plate and Metadata_Well do.")
        rows = np.flatnonzero((pairs.plates == plate) & (pairs.wells != ""))
        if not len(rows):
            raise ValueError(
                f"No well of pairs is on plate {plate!r}: these are {np.unique(pairs.plates)[:10].tolist()}."
            )
        if values is None:
            shown = strength(pairs.read(rows))
        elif np.shape(values) == (len(pairs),):
            shown = floats_of(values)[rows]
        else:
            raise ValueError(
                f"values has shape {np.shape(values)}, but pairs have {len(pairs)} rows: give one per row."
            )
        return cls(pairs.wells[rows], shown, name=name, title=plate).plot(ax=ax)

    def _matrix(self) -> np.ndarray:
        places = np.array([_place(well, row) for row, well in enumerate(self.wells)], dtype=int).reshape(-1, 2)
        needed = places.max(axis=0, initial=0) + 1
        shape = next((size for size in _SIZES if (needed <= size).all()), None)
        if shape is None:
            far = int(np.argmax((places >= _SIZES[-1]).any(axis=1)))
            raise ValueError(f"Well {self.wells[far]!r} in row {far} lies beyond a plate of 32 rows and 48 columns.")
        known = np.isfinite(self.values)
        place = tuple(places[known].T)
        total, n = np.zeros(shape), np.zeros(shape)
        np.add.at(total, place, self.values[known])
        np.add.at(n, place, 1)
        return np.divide(total, n, out=np.full(shape, np.nan), where=n > 0)

    def plot(self, *, ax: Any = None, vmin: float | None = None, vmax: float | None = None) -> Self:
        """Draw into ``ax``, or into a new figure; wells without a value are white."""
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        n_rows, n_columns = self.matrix_.shape
        self.ax_.set_facecolor("white")
        self.image_ = self.ax_.imshow(self.matrix_, cmap=COLOR_MAP, vmin=vmin, vmax=vmax, interpolation="nearest")
        self.figure_.colorbar(self.image_, ax=self.ax_, label=literal(self.name), shrink=0.8)
        step = max(1, n_columns // 12)
        self.ax_.set_xticks(range(0, n_columns, step), range(1, n_columns + 1, step), fontsize="x-small")
        self.ax_.set_yticks(range(0, n_rows, step), [_letters(i) for i in range(0, n_rows, step)], fontsize="x-small")
        self.ax_.set_title(literal(self.title), fontsize="small")
        return self


class WellFatesDisplay:
    """How many wells a build kept, and why others were left out.

    Parameters
    ----------
    fates : dict of str to int
        ``report_["fates"]`` of pairs that were built.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
    """

    def __init__(self, fates: Mapping[str, int]):
        self.fates = dict(fates)

    @classmethod
    def from_pairs(cls, pairs: Any, *, ax: Any = None) -> Self:
        """Plot the wells of a corpus that :func:`mocop_sklearn.build_pairs` has made.

        Parameters
        ----------
        pairs : PairedProfiles
        ax : matplotlib Axes, default=None
        """
        fates = pairs.report_.get("fates")
        if not fates:
            raise ValueError(
                "The fate of wells is unknown, because these pairs were not built: build_pairs records it."
            )
        return cls(fates).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        shown = {name.replace("_", " "): n for name, n in self.fates.items() if n}
        colors = [COLORS[0] if name == "stored" else GREY for name in shown]
        self.bars_ = self.ax_.barh(range(len(shown)), list(shown.values()), color=colors)
        self.ax_.bar_label(self.bars_, [f"{n:,}" for n in shown.values()], padding=3)
        self.ax_.set_yticks(range(len(shown)), [literal(name) for name in shown])
        self.ax_.invert_yaxis()
        self.ax_.margins(x=0.15)
        self.ax_.set_xlabel("wells")
        tidy(self.ax_)
        return self


def strength(profiles: np.ndarray) -> np.ndarray:
    """Return how far profiles are from zero: the root of the mean square of their finite features."""
    known = np.isfinite(profiles)
    square = np.where(known, profiles, 0.0).astype(np.float64) ** 2
    n = known.sum(axis=1)
    return np.sqrt(np.divide(square.sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0))


def _place(well: str, row: int) -> tuple[int, int]:
    found = _WELL.fullmatch(well.strip())
    if not found or int(found[2]) < 1:
        raise ValueError(f"Row {row} has the well {well!r}, which is not a letter and a number, as in 'A01' or 'AF48'.")
    number = 0
    for letter in found[1].upper():
        number = 26 * number + string.ascii_uppercase.index(letter) + 1
    return number - 1, int(found[2]) - 1


def _letters(row: int) -> str:
    return string.ascii_uppercase[row] if row < 26 else "A" + string.ascii_uppercase[row - 26]
