"""Results → the figures that are reported."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from qsar.arms import label
from qsar.results import read
from qsar.scores import paired_interval

UNIT = ["set", "fraction", "split", "seed"]  # what two arms must share to be compared
ROUND = ["split_number", "seed"]
DIFFERENCE = ("mean", "low", "high", "n", "n_sets", "relative", "relative_low", "relative_high")


def frame(path: Path) -> pd.DataFrame:
    """One row per unit, with a column for each figure. ``label`` names an arm with its corpus."""
    table = read(path)
    return table.assign(label=[label(arm, corpus) for arm, corpus in zip(table["arm"], table["corpus"], strict=True)])


def main_metric(table: pd.DataFrame) -> pd.Series:
    """AUROC of a classification set, Spearman's correlation of a regression set; NaN of an arm that failed."""
    both = table.reindex(columns=["auroc", "spearman"])
    return both["auroc"].fillna(both["spearman"])


def shared_cells(table: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Rows of these arms in the cells (set, fraction, split, seed) that all of them have figures for."""
    rows = table[table["label"].isin(labels) & main_metric(table).notna()]
    counts = rows.groupby(UNIT)["label"].transform("nunique")
    return rows[counts == len(labels)]


def macro_means(table: pd.DataFrame, labels: list[str], metric: str = "main") -> pd.DataFrame:
    """Mean over sets, splits and seeds, one row per arm and one column per fraction."""
    rows = shared_cells(table, labels)
    rows = rows.assign(value=main_metric(rows) if metric == "main" else rows[metric]).dropna(subset="value")
    means = rows.groupby(["label", "fraction", "set"])["value"].mean().groupby(["label", "fraction"]).mean()
    return means.unstack().reindex(labels)


def differences(table: pd.DataFrame, arm: str, reference: str, metric: str = "main") -> pd.DataFrame:
    """Paired differences of the mean over sets, by fraction.

    One difference for each (split, seed) that has all the sets; Student's interval over them.

    Returns
    -------
    DataFrame with the index fraction and the columns ``DIFFERENCE``
        ``relative`` is the change in percent of the reference.
    """
    rows = shared_cells(table, [arm, reference])
    rows = rows.assign(value=main_metric(rows) if metric == "main" else rows[metric]).dropna(subset="value")
    wide = rows.pivot_table(index=["fraction", *ROUND, "set"], columns="label", values="value").dropna()
    found = {}
    for fraction, cells in wide.groupby("fraction"):
        n_sets = cells.groupby(ROUND).size()
        whole = cells.groupby(ROUND).mean()[n_sets == n_sets.max()]
        mean, low, high = paired_interval(whole[arm] - whole[reference])
        change = paired_interval(100 * (whole[arm] / whole[reference] - 1))
        figures = (mean, low, high, len(whole), int(n_sets.max()), *change)
        found[fraction] = dict(zip(DIFFERENCE, figures, strict=True))
    return pd.DataFrame.from_dict(found, orient="index", columns=list(DIFFERENCE)).sort_index()


def published_split(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds at all training molecules of the published splits, by set and arm."""
    rows = table[(table["fraction"] == 1) & ~table["split"].str.startswith("scaffold") & table.get(metric).notna()]
    by_seed = rows.groupby(["set", "label", "seed"])[metric].mean()  # of folds, where there are several
    return by_seed.groupby(["set", "label"]).agg(["mean", "std", "count"])


def show(value: float, digits: int = 3) -> str:
    """A number, or a dash."""
    return "–" if value is None or (isinstance(value, float) and math.isnan(value)) else f"{value:.{digits}f}"


def interval(mean: float, low: float, high: float, digits: int) -> str:
    """Mean and interval, with signs; the mean alone where there was one pair."""
    if not np.isfinite(low):
        return f"{mean:+.{digits}f}"
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
