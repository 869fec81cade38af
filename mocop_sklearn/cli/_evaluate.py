"""``mocop evaluate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from ._finetune import GroupsAndFraction, fine_tuning_arguments
from ._labels import read_labels, table_arguments
from ._shared import print_table, say


def evaluate_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    """Add the arguments of ``evaluate``."""
    parser.usage = (
        "%(prog)s TABLE --target COLUMN [COLUMN ...] [-m MODEL] [--split COLUMN | --test GROUPS SHARE] [options]"
    )
    table_arguments(parser)
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--split", metavar="COLUMN",
                       help="column that says which rows are for train, valid (trained on, too) and test")  # fmt: skip
    parts.add_argument("--test", nargs=2, action=GroupsAndFraction, default=("scaffold", 0.2),
                       metavar=("GROUPS", "SHARE"),
                       help="test on this share of the rows, whole scaffolds or molecules, chosen at random by "
                       "--random-state (default: scaffold 0.2)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with the scores of each target")
    fine_tuning_arguments(parser, with_parameters)


def evaluate(args: argparse.Namespace) -> None:
    """Train a model on one part of a table of measurements and test it on the rest, beside two simple models.

    The simple models are random forests on Morgan counts (ECFP) and on RDKit's descriptors, trained and
    tested on the same rows. Scores come with 95 % intervals from 1,000 resamples of the tested rows; with
    several targets they are means over those that can be scored. Differences are measured on the same
    resamples: a difference whose interval excludes 0 is not the luck of these molecules.

    Targets, start and parameters are those of mocop finetune; nothing is written.
    """
    from ._comparison import Comparison, split_rows

    labels = read_labels(args, [] if args.split is None else [args.split])
    split = split_rows(args, labels)
    comparison = Comparison(args, labels, split)
    if not args.quiet:
        parts = f"{len(split.train):,} rows to train on, {len(split.test):,} to test"
        say(f"{', '.join(labels.names)}: {labels.kind()}; {parts}")
    predicted = {}
    for name, predictions in comparison.arms.items():
        if not args.quiet:
            say(f"training: {name}")
        predicted[name] = predictions()
    scores = comparison.scores(predicted)
    summary = {
        "table": str(args.table),
        "targets": labels.names,
        "task": comparison.kind,
        "split": split.how,
        "n_train": len(split.train),
        "n_test": len(split.test),
        "n_invalid": split.n_invalid,
        "n_test_seen_in_pretraining": comparison.n_seen() if args.model else 0,
        "models": {arm: {name: _described(v, labels.names) for name, v in own.items()} for arm, own in scores.items()},
        "differences": _differences(scores),
    }
    if args.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary)


def _described(values: Any, names: list[str]) -> dict[str, Any]:
    """Mean over the targets with its interval, and the value of each target."""
    targets = {name: _interval(own) for name, own in zip(names, values, strict=True)}
    return _interval(_mean(values)) | ({"targets": targets} if len(names) > 1 else {})


def _mean(values: Any) -> Any:
    """Mean over the targets that can be scored at all, of each resample."""
    import numpy as np

    defined = values[~np.isnan(values[:, 0])]
    n = np.isfinite(defined).sum(axis=0)
    return np.nansum(defined, axis=0) / np.where(n > 0, n, np.nan)


def _interval(values: Any) -> dict[str, float | None]:
    """Value of all rows, and the middle 95 % of the resamples; None for NaN, which JSON lacks."""
    import numpy as np

    resamples = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(resamples, [0.025, 0.975]) if len(resamples) else (np.nan, np.nan)
    found = {"value": float(values[0]), "low": float(low), "high": float(high)}
    return {name: None if np.isnan(number) else number for name, number in found.items()}


def _differences(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the first model has more than each other one, by the first score."""
    first, *others = scores
    main = next(iter(scores[first]))
    own = _mean(scores[first][main])
    return {f"{first} - {arm}": {main: _interval(own - _mean(scores[arm][main]))} for arm in others}


def _print(summary: dict[str, Any]) -> None:
    left_out = f"; {summary['n_invalid']:,} rows are not molecules" if summary["n_invalid"] else ""
    n_seen = summary["n_test_seen_in_pretraining"]
    seen = f"; the start has seen {n_seen:,} of the tested molecules with a profile or label" if n_seen else ""
    print_table(
        targets=f"{', '.join(summary['targets'])} ({summary['task']})",
        split=summary["split"],
        rows=f"{summary['n_train']:,} to train on, {summary['n_test']:,} to test{left_out}{seen}",
    )
    rows = [(arm, {name: _text(value) for name, value in own.items()}) for arm, own in summary["models"].items()]
    rows += [
        (arm, {name: _text(value, "+") for name, value in own.items()}) for arm, own in summary["differences"].items()
    ]
    names = list(rows[0][1])
    grid = [["", *names]] + [[arm, *(texts.get(name, "") for name in names)] for arm, texts in rows]
    widths = [max(map(len, column)) + 2 for column in zip(*grid, strict=True)]
    print()
    for cells in grid:
        print("".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())


def _text(value: Mapping[str, Any], sign: str = "") -> str:
    if value["value"] is None:
        return "cannot be scored"
    text = f"{value['value']:{sign}.3f}"
    return text if value["low"] is None else f"{text} ({value['low']:{sign}.3f} to {value['high']:{sign}.3f})"
