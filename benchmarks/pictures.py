"""Pictures of the benchmarks, from the same figures as the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

# the same picture for the same figures, byte for byte
STYLE = {"svg.hashsalt": "mocop", "svg.fonttype": "none", "font.size": 9}
COLOURS = ["#444444", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#999999"]
MARKERS = "osD^v"  # and lines of several kinds, so that a picture can be read in grey
LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]


@contextmanager
def _picture(path: Path, **options: Any) -> Iterator[Any]:
    """Yield axes, as ``pyplot.subplots`` makes them, and write the picture when they are drawn."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(layout="constrained", **options)
        yield axes
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _fractions(axes: plt.Axes, fractions: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(fractions), [f"{100 * f:g} %" for f in fractions])
    axes.minorticks_off()
    axes.set_xlabel("share of the training molecules")
    axes.spines[["top", "right"]].set_visible(False)


def learning_curves(means: pd.DataFrame, title: str, ylabel: str, path: Path) -> None:
    """One line per arm, of its mean over the sets at each training fraction."""
    with _picture(path, figsize=(7.2, 4.2)) as axes:
        for i, (label, row) in enumerate(means.iterrows()):
            style = "--" if "forest" in str(label) else "-"
            axes.plot(row.index, row, style, marker="o", ms=3, color=COLOURS[i % len(COLOURS)], label=str(label))
        _fractions(axes, means.columns.tolist())
        axes.set_ylabel(ylabel)
        axes.set_title(title)
        axes.legend(fontsize=7, frameon=False)


def paired_differences(found: Mapping[str, pd.DataFrame], title: str, ylabel: str, path: Path) -> None:
    """Differences to one reference at each training fraction, with their intervals."""
    with _picture(path, figsize=(7.2, 3.8)) as axes:
        for i, (label, rows) in enumerate(found.items()):
            x = rows.index.to_numpy(float) * 1.06 ** (i - (len(found) - 1) / 2)
            error = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
            axes.errorbar(
                x, rows["mean"], error, fmt="o", ms=4, capsize=2, color=COLOURS[(i + 1) % len(COLOURS)], label=label
            )
        axes.axhline(0, color="#444444", lw=0.8)
        _fractions(axes, sorted({f for rows in found.values() for f in rows.index}))
        axes.set_ylabel(ylabel)
        axes.set_title(title)
        axes.legend(fontsize=7, frameon=False)


def rates(panels: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Bars of items per second, a panel for each kind of work; ours are coloured."""
    size = (7.2, 0.9 + 0.28 * sum(map(len, panels.values())))
    heights = [len(rows) + 1 for rows in panels.values()]
    with _picture(path, nrows=len(panels), figsize=size, height_ratios=heights) as axes:
        for ax, (title, rows) in zip(axes, panels.items(), strict=True):
            names = list(rows)[::-1]
            colours = [COLOURS[1] if name.startswith("mocop") else "#bbbbbb" for name in names]
            ax.bar_label(ax.barh(names, [rows[name] for name in names], color=colours), fmt="{:,.0f}", padding=3)
            ax.set_title(title, loc="left")
            ax.set_xticks([])
            ax.spines[["top", "right", "bottom"]].set_visible(False)


def demonstration(found: Mapping[str, np.ndarray], means: pd.DataFrame, spreads: pd.DataFrame, path: Path) -> None:
    """Two panels: the share of queries that find their own among the first k, and scores by the number of labels.

    ``found`` has an array for k = 1, 2, … by arm; ``means`` and ``spreads`` have a row per arm, a column per number.
    """
    with _picture(path, ncols=2, figsize=(10.5, 4.4)) as (left, right):
        for i, (label, shares) in enumerate(found.items()):
            grey = {"color": "#999999", "ls": ":"} if label == "chance" else _line(i + 1)
            marks = {"marker": None} if label == "chance" else {"markevery": [0, 4, 9, 19, 29, 39, 49]}
            left.plot(np.arange(1, len(shares) + 1), shares, label=label, lw=1.3, **grey | marks)
        left.set(xlabel="first k candidates", ylabel="share of unseen molecules that are found", ylim=(0, 1))
        left.set_title("Cell Painting: which profile is whose?")
        for i, label in enumerate(means.index):
            x = means.columns.to_numpy(float) * 1.02 ** (i - (len(means) - 1) / 2)
            right.errorbar(x, means.loc[label], spreads.loc[label], capsize=2, lw=1.3, label=label, **_line(i + 1))
        right.set_xscale("log")
        right.set_xticks(means.columns.tolist(), [f"{n:,}" for n in means.columns])
        right.minorticks_off()
        right.set(xlabel="labels", ylabel="Spearman's correlation, other scaffolds")
        right.set_title("Clearance in human liver microsomes")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(fontsize=7, frameon=False, loc="lower right")


def _line(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i], "marker": MARKERS[(i - 1) % len(MARKERS)], "ls": LINES[(i - 1) % len(LINES)], "ms": 4}
