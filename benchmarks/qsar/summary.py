"""Results → the figures that are reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from qsar.arms import label
from qsar.results import read
from qsar.scores import holm, paired_interval, paired_p_value

UNIT = ["set", "fraction", "split", "seed"]  # what two arms must share to be compared
ROUND = ["split_number", "seed"]
DIFFERENCE = (
    "mean", "low", "high", "n", "n_sets", "relative", "relative_low", "relative_high", "won", "up", "down"
)  # fmt: skip


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

    The sets are the units: one difference for each, the mean over its pairs of split and seed, and Student's interval
    over them. Of a single set, the pairs are the units, and the interval is corrected for the overlap of their splits.

    Returns
    -------
    DataFrame with the index fraction and the columns ``DIFFERENCE``
        ``relative`` is the change in percent of the reference; ``won`` counts the sets with a difference above 0,
        ``up`` and ``down`` those whose difference is sure: corrected for overlapping splits, and for the number of
        sets and fractions by Holm's procedure.
    """
    cells = _paired(table, arm, reference, metric)
    tested = _by_set(cells, arm, reference)
    found = {}
    for fraction, own in cells.groupby("fraction"):
        of_set = own.groupby("set")[[arm, reference]].mean()
        sole = len(of_set) == 1
        units, overlap = (own, float(own["overlap"].mean())) if sole else (of_set, 0.0)
        mean, low, high = paired_interval(units[arm] - units[reference], overlap)
        ratio = units[arm].mean() / units[reference].mean()
        _, down, up = paired_interval((units[arm] - ratio * units[reference]) / units[reference].mean(), overlap)
        change = (100 * (ratio - 1 + part) for part in (0, down, up))
        sure = tested.loc[[fraction]]
        sure = sure.loc[sure["p"] < 0.05, "mean"]
        won = int((of_set[arm] > of_set[reference]).sum())
        n_pairs = int(own.groupby("set").size().max())
        counts = (won, int((sure > 0).sum()), int((sure < 0).sum()))
        found[fraction] = dict(zip(DIFFERENCE, (mean, low, high, n_pairs, len(of_set), *change, *counts), strict=True))
    return pd.DataFrame.from_dict(found, orient="index", columns=list(DIFFERENCE)).sort_index()


def _paired(table: pd.DataFrame, arm: str, reference: str, metric: str) -> pd.DataFrame:
    """Return the cells that both arms have, with a column for each arm, and the overlap of the splits.

    The overlap is the number of test molecules for each molecule of the whole training part, of which the smaller
    fractions are drawn: they overlap less.
    """
    whole = table.groupby(["set", "split_number"])["n_train"].transform("max")
    table = table.assign(overlap=table["n_test"] / whole)
    rows = shared_cells(table, [arm, reference])
    rows = rows.assign(value=main_metric(rows) if metric == "main" else rows[metric]).dropna(subset="value")
    index = ["fraction", *ROUND, "set"]
    wide = rows.pivot_table(index=index, columns="label", values="value").dropna()
    return wide.join(rows.groupby(index)["overlap"].first()).reset_index()


def _by_set(cells: pd.DataFrame, arm: str, reference: str) -> pd.DataFrame:
    """Return the mean difference of each set and fraction, and its adjusted p-value."""
    groups = cells.groupby(["fraction", "set"])
    rows = {}
    for key, own in groups:
        difference = own[arm] - own[reference]
        rows[key] = difference.mean(), paired_p_value(difference, float(own["overlap"].mean()))
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "p"])
    found.index = pd.MultiIndex.from_tuples(list(rows), names=["fraction", "set"])
    return found.assign(p=holm(found["p"]))


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


def compared(row: Mapping[str, float]) -> str:
    """A difference with its interval, and the number of sets that were won."""
    return f"{interval(row['mean'], row['low'], row['high'], 3)}, {row['won']:.0f} of {row['n_sets']:.0f}"
