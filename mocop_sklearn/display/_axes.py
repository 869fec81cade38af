"""What all displays share: axes, colours with markers, and texts that matplotlib shows as they are."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, told apart by the colour-blind. Each has a marker, so that a picture reads in grey too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#444444")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
GREY = "#999999"
COLOR_MAP = "viridis"  # from dark to light in grey, too


def new_axes(ax: Any, **options: Any) -> Any:
    """Return ``ax``, or the axes of a new figure."""
    return pyplot().subplots(layout="constrained", **options)[1] if ax is None else ax


def pyplot() -> Any:
    """Import matplotlib.

    Raises
    ------
    ImportError
        When it is missing.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Plotting needs matplotlib: pip install 'mocop-sklearn[plot]'.") from error
    return pyplot


def literal(text: Any, limit: int = 40) -> str:
    """Return a text that matplotlib shows as it is: no formula between dollars, and no hidden entry of a legend."""
    text = str(text)
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def tidy(ax: Any) -> None:
    """Leave out the lines of the frame that carry no scale."""
    ax.spines[["top", "right"]].set_visible(False)
