"""The tables of README.md and docs/evidence.md, which report.py fills with figures of benchmarks/results.

Each stands between two comments, of which the first names it. A row says in words what an arm is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, ROOT
from qsar import published
from qsar.section import LOWER_IS_BETTER, on_published_split, with_curves
from qsar.summary import frame, macro_means

DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "evidence.md")
PLACE = re.compile(r"(<!-- figures: ([^\n]+) -->\n\n).*?(\n<!-- end of figures -->)", re.DOTALL)
Rows = dict[str, str]  # what a row says, and the arm that it shows

COMAS: Rows = {
    "chance": "chance",
    "profiles of the 5 nearest neighbours by ECFP": "5 nearest neighbours",
    "kernel ridge on descriptors and fingerprints": "ridge: descriptors ⧺ fingerprints",
    "kernel ridge on MiniMol, a foundation model trained on labelled assays": "ridge: MiniMol",
    "the network alone (`side_features=None`)": "default, network alone",
    "`MoCoPEmbedder(local_scaling=False)`: plain cosines": "default without local scaling",
    "`MoCoPEmbedder()`: network and ridge side by side": "default",
    "`MoCoPEmbedder(n_estimators=3)`": "default, 3 networks",
    '`MoCoPEmbedder(pretrained="distilled", learning_rate=3e-4)`': "from distilled",
    "the same, and MiniMol beside it, too": "from distilled, MiniMol and all beside",
    "the same, three networks": "from distilled, 3 networks, MiniMol and all beside",
}
NCI60: Rows = {
    "chance": "chance",
    "kernel ridge on descriptors and fingerprints": "ridge: descriptors ⧺ fingerprints",
    "kernel ridge on MiniMol, descriptors and ECFP": "ridge: MiniMol ⧺ descriptors ⧺ ECFP",
    "the network alone": "default, network alone",
    "`MoCoPEmbedder(local_scaling=False)`: plain cosines": "default without local scaling",
    "`MoCoPEmbedder()`": "default",
    "`MoCoPEmbedder(n_estimators=3)`": "default, 3 networks",
    "MiniMol, descriptors and ECFP beside the network": "default, MiniMol, descriptors and ECFP beside",
    "the same, three networks": "default, 3 networks, MiniMol, descriptors and ECFP beside",
}
FROZEN: Rows = {
    "ECFP counts + forest": "ECFP counts + forest",
    "descriptors + forest": "descriptors + forest",
    "descriptors ⧺ ECFP + SVM": "descriptors ⧺ ECFP + SVM",
    "`cells` + SVM": "cells + SVM",
    "`distilled` + SVM": "distilled + SVM",
    "MiniMol + SVM": "MiniMol + SVM",
    "`distilled` ⧺ descriptors ⧺ ECFP + SVM": "distilled ⧺ descriptors ⧺ ECFP + SVM",
    "MiniMol ⧺ descriptors ⧺ ECFP + SVM": "MiniMol ⧺ descriptors ⧺ ECFP + SVM",
}
FROM_CELLS: Rows = {
    "after the profiles": "cells_paired + SVM less structures + SVM",
    "after profiles of other molecules": "cells_shuffled + SVM less structures + SVM",
    "the former less the latter": "cells_paired + SVM less cells_shuffled + SVM",
    "after the profiles, with a tenth of the weight on structures": "cells_less_structure + SVM less structures + SVM",
}
FINE_TUNED: Rows = {
    "network from scratch (gated, the default)": "scratch",
    "the network of `distilled` from random weights": "fine-tuned [untrained]",
    "ECFP + forest": "ECFP + forest",
    "descriptors + forest": "descriptors + forest",
    "descriptors ⧺ ECFP + SVM": "descriptors ⧺ ECFP + SVM",
    "fine-tuned": "fine-tuned [distilled]",
    "MiniMol + SVM": "MiniMol + SVM",
    "frozen + SVM": "embedding + SVM [distilled]",
    "frozen ⧺ descriptors ⧺ ECFP + SVM": "embedding ⧺ descriptors ⧺ ECFP + SVM [distilled]",
}
MANY_TASKS = FINE_TUNED | {"frozen + a small network": "embedding + MLP [distilled]"}
BEYOND = {"chemprop, from scratch": "chemprop"}  # run on fewer pairs
LARGE_SETS = {
    "adme_biogen6": "Biogen, six tasks",
    "adme_fang_HLM": "microsomal clearance",
    "adme_fang_Sol": "solubility",
    "tdc_lipophilicity_astrazeneca": "lipophilicity",
    "tdc_ppbr_az": "protein binding",
    "pk_human5_lombardo": "human PK, five tasks",
}
PUBLISHED_SETS = {
    ("chembl", "bio_chembl2k"): ("ChEMBL2K", "auroc"),
    ("chembl", "bio_broad6k"): ("Broad6K", "auroc"),
    ("chembl", "bio_toxcast617"): ("ToxCast", "auroc"),
    ("pk", "adme_biogen6"): ("Biogen", "mae"),
    ("chembl", "ace_moleculeace25"): ("MoleculeACE", "rmse"),
}
Measure = Callable[[dict[str, Any]], float]
COMAS_COLUMNS: dict[str, Measure] = {
    "own profile among the first ten": lambda run: run["all"]["top10"],
    "normalised rank": lambda run: run["all"]["normalized_rank"],
    "within dark chemical matter": lambda run: run["dcm_2024"]["normalized_rank"],
    "within pseudo-natural products": lambda run: run["pnp_2021"]["normalized_rank"],
}
NCI60_COLUMNS: dict[str, Measure] = {
    "score": lambda run: run["score"],
    "far molecules": lambda run: run["score_far"],
}
SHARES = {0.05: "5 % of the labels", 0.1: "10 %", 0.25: "25 %", 1.0: "all"}
FEWER_SHARES = {0.01: "1 % of the labels", 0.1: "10 %", 1.0: "all"}
CHANCE = {"top10": 0.1, "normalized_rank": 0.5}


def retrieval(corpus: str, rows: Rows, columns: dict[str, Measure], digits: Any, best: Any) -> list[str]:
    """Means over the seeds of one corpus."""
    runs = _json("retrieval")["retrieval"][corpus]
    runs = runs | {"chance": [{"all": CHANCE, "dcm_2024": CHANCE, "pnp_2021": CHANCE, "score": 0.0, "score_far": 0.0}]}
    values = [[np.mean([of(run) for run in runs[arm]]) for of in columns.values()] for arm in rows.values()]
    return _table(["", *columns], list(rows), np.array(values), digits, best)


def frozen() -> list[str]:
    """Means over twelve sets, of heads on frozen features."""
    means = _json("frozen")["means"]
    values = np.array([[means[arm][f"{share:.0%}"] for share in SHARES] for arm in FROZEN.values()])
    return _table(["", *SHARES.values()], list(FROZEN), values, 3, max)


def from_cells() -> list[str]:
    """What profiles did to the features of an encoder."""
    sets = {"RMSE of potencies": _json("frozen_moleculeace"), "score of ADME and toxicity sets": _json("frozen")}
    shares = {"10%": "10 % of the labels", "100%": "all"}
    before = [own["means"]["structures + SVM"][share] for own in sets.values() for share in shares]
    rows = [["before the profiles", *(f"{value:.3f}" for value in before)]]
    for words, difference in FROM_CELLS.items():
        changes = [own["differences"][difference][share] for own in sets.values() for share in shares]
        rows.append([words, *map(_change, changes)])
    return _lines(["", *(f"{what}, {share}" for what in sets for share in shares.values())], rows)


def by_share(name: str, rows: Rows, shares: dict[float, str]) -> list[str]:
    """Means over the sets with learning curves, over the cells that all these arms have."""
    means = macro_means(with_curves(_frame(name)), list(rows.values()))[list(shares)]
    return _table(["", *shares.values()], list(rows), means.to_numpy(), 3, max)


def large_sets(metric: str, best: Any) -> list[str]:
    """Means of the seeds on sets of which all training molecules are taken."""
    rows = FINE_TUNED | BEYOND
    values = _of_published_splits(rows, [("pk", name, metric) for name in LARGE_SETS])
    return _table(["", *LARGE_SETS.values()], list(rows), values, 3, best)


def published_sets() -> list[str]:
    """All training molecules of sets whose splits are published, beside the best published figure."""
    rows = MANY_TASKS | BEYOND
    values = _of_published_splits(rows, [(*key, metric) for key, (_, metric) in PUBLISHED_SETS.items()])
    bars = [published.BARS[name] for _, name in PUBLISHED_SETS]
    values = np.vstack([values, [bar.best / bar.scale for bar in bars]])
    best = tuple(min if metric in LOWER_IS_BETTER else max for _, metric in PUBLISHED_SETS.values())
    header = ["", *(f"{words}, {metric.upper()}" for words, metric in PUBLISHED_SETS.values())]
    return _table(header, [*rows, "best published"], values, 3, best)


TABLES: dict[str, Callable[[], list[str]]] = {
    "retrieval, COMAS": partial(retrieval, "COMAS", COMAS, COMAS_COLUMNS, (2, 3, 3, 3), (max, min, min, min)),
    "retrieval, NCI-60": partial(retrieval, "NCI-60", NCI60, NCI60_COLUMNS, 3, max),
    "frozen": frozen,
    "from cells": from_cells,
    "fine-tuned": partial(by_share, "pk", FINE_TUNED, SHARES),
    "many tasks": partial(by_share, "chembl", MANY_TASKS, FEWER_SHARES),
    "large sets, errors": partial(large_sets, "mae", min),
    "large sets, ranks": partial(large_sets, "spearman", max),
    "published sets": published_sets,
}


def filled(text: str) -> str:
    """The text of a page with its tables made anew."""
    return PLACE.sub(lambda place: place[1] + "\n".join(TABLES[place[2]]()) + "\n" + place[3], text)


def fill() -> None:
    """Make the tables of the pages anew."""
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text()))


@cache
def _json(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


@cache
def _frame(name: str) -> pd.DataFrame:
    return frame(RESULTS / f"{name}.parquet")


def _of_published_splits(rows: Rows, columns: Sequence[tuple[str, str, str]]) -> np.ndarray:
    """Means of the seeds of arms, a column for each benchmark, set and metric; NaN where an arm was not run."""
    means = [on_published_split(_frame(benchmark), name, metric)["mean"] for benchmark, name, metric in columns]
    return np.array([[column.get(arm, np.nan) for column in means] for arm in rows.values()])


def _change(difference: dict[str, float]) -> str:
    mean, low, high = (f"{difference[name]:+.3f}" for name in ("mean", "low", "high"))
    return re.sub(r"[+-](0\.000)", r"\1", f"{mean} ({low} to {high})").replace("-", "−")


def _table(header: list[str], names: list[str], values: np.ndarray, digits: Any, best: Any) -> list[str]:
    """Numbers with the best of each column in bold; ``digits`` and ``best``, max or min, are for all or one each."""
    n_columns = values.shape[1]
    digits, best = (list(given) if isinstance(given, tuple) else [given] * n_columns for given in (digits, best))
    texts = [[f"{value:.{n}f}" for value, n in zip(row, digits, strict=True)] for row in values]
    for column, choose in enumerate(best):
        top = choose((row[column] for row in texts if row[column] != "nan"), key=float)
        for row in texts:
            row[column] = {top: f"**{top}**", "nan": "–"}.get(row[column], row[column])
    return _lines(header, [[name, *row] for name, row in zip(names, texts, strict=True)])


def _lines(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table whose columns are not aligned, so that a new figure changes one line."""
    return ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
