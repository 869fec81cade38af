"""Results of the protocol → the table and the picture of the paper's claim."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pictures
from common import table
from qsar import summary

from protocol.steps import PAPER_TOP1

METRICS = {"auprc": "AUPRC", "auroc": "AUROC"}


def write(folder: Path, lines: Path, retrieval: Mapping[str, list[dict[str, Any]]], notes: list[str]) -> str:
    """Write ``paper.md`` and its picture, and return the text."""
    frame = summary.frame(lines)
    labels = list(dict.fromkeys(frame["label"]))
    labels.sort(key=lambda label: label != "scratch")
    parts = ["# The protocol of the paper", *notes, *_retrieval(retrieval)]
    for metric, name in METRICS.items():
        parts += [
            f"## ChEMBL 20, {name}",
            *_curves(frame, labels, metric),
            *_differences(frame, labels, metric),
        ]
    folder.mkdir(parents=True, exist_ok=True)
    means = summary.macro_means(frame, labels, "auprc")
    found = {label: summary.differences(frame, label, "scratch", "auprc") for label in labels if label != "scratch"}
    if len(means.columns):
        pictures.learning_curves(means, "ChEMBL 20", "AUPRC, mean over tasks", folder / "paper_curves.svg")
        pictures.paired_differences(found, "ChEMBL 20, against scratch", "AUPRC", folder / "paper_differences.svg")
        parts += ["![learning curves](paper_curves.svg)", "![differences](paper_differences.svg)"]
    text = "\n\n".join(parts) + "\n"
    (folder / "paper.md").write_text(text)
    return text


def _retrieval(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    rows = []
    for corpus, seeds in found.items():
        for seed, r in enumerate(seeds):
            pool = f"{r['pools']} × {r['pool']}"
            rows.append([corpus, str(seed), pool, f"{r['top1']:.3f}", f"{r['top10']:.3f}", f"{r['chance']:.4f}"])
    header = ["corpus", "seed", "pools", "top-1", "top-10", "chance of top-1"]
    told = f"In pools of 256, the paper has a top-1 of {', '.join(f'{t:.3f}' for t in PAPER_TOP1)} on JUMP-CP."
    text = "One well of each molecule that pretraining has not seen; mean of both directions. " + told
    return ["## Retrieval", text, "\n".join(table(header, rows))] if rows else []


def _curves(frame: pd.DataFrame, labels: list[str], metric: str) -> list[str]:
    means = summary.macro_means(frame, labels, metric)
    header = ["arm", *(f"{100 * fraction:g} %" for fraction in means.columns)]
    rows = [
        [label, *(summary.show(value) for value in row)] for label, row in zip(labels, means.to_numpy(), strict=True)
    ]
    text = "Mean over the tasks that can be scored, splits and seeds, by share of the training molecules."
    return [text, "\n".join(table(header, rows))]


def _differences(frame: pd.DataFrame, labels: list[str], metric: str) -> list[str]:
    found = {label: summary.differences(frame, label, "scratch", metric) for label in labels if label != "scratch"}
    fractions = sorted({fraction for rows in found.values() for fraction in rows.index})
    header = ["against scratch", *(f"{100 * fraction:g} %" for fraction in fractions)]
    if not found:
        return []

    def cell(own: pd.DataFrame, fraction: float) -> str:
        there = fraction in own.index
        return summary.interval(*own.loc[fraction, ["mean", "low", "high"]], 3) if there else "–"

    rows = [[label, *(cell(own, fraction) for fraction in fractions)] for label, own in found.items()]
    text = "Paired differences, with 95 % intervals over pairs of split and seed, corrected for overlapping splits "
    return [text + "(Student; Nadeau and Bengio).", "\n".join(table(header, rows))]
