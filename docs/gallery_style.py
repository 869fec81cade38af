"""The look of the pictures in the gallery."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl

# Colours that colour-blind eyes tell apart, each with a line of its own, so that a picture can be read in grey.
CYCLE = mpl.cycler(color=["#0072b2", "#d55e00", "#009e73", "#555555"], linestyle=["-", "--", "-.", ":"])
STYLE = {
    "axes.prop_cycle": CYCLE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "lines.markersize": 4,
}


def set_style(gallery_conf: dict[str, Any], fname: str) -> None:
    """Give the pictures of an example the style of the site."""
    mpl.rcParams.update(STYLE)
