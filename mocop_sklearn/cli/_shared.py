"""What commands share: messages, types of arguments, tables."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..utils._words import in_words, spaced

# Options that take several values, and more when they are given again
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
# What the report on a corpus says before its provenance
_REPORTED = ("digest", "n_wells", "n_molecules", "n_features", "features", "wells", "plates", "dtype", "clip")


def say(message: str) -> None:
    """Print a message on stderr."""
    print(f"mocop: {message}", file=sys.stderr)


def count(text: str) -> int:
    """Type of an argument: a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Type of an argument: ``I/N``."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, as in 3/8")
    return int(found[1]), int(found[2])


def output(*suffixes: str) -> Callable[[str], Path]:
    """Type of an argument: a file to write, with one of the suffixes."""

    def check(text: str) -> Path:
        if suffixes and Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(suffixes)}")
        if Path(text).is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a directory")
        return Path(text)

    return check


def megabytes(path: Any) -> str:
    """Size of a file."""
    return f"{os.path.getsize(path) / 1e6:.1f} MB"


def refuse_to_replace(out: Any, *inputs: Any) -> None:
    """Stop before an output takes the place of a file that the command reads.

    Raises
    ------
    ValueError
        When ``out`` is the same file as one of ``inputs``, by whatever name.
    """
    for path in filter(None, inputs):
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"{os.fspath(out)!r} is an input of this command: choose another file for --out.")


def in_words_of_the_shell(message: str, args: argparse.Namespace) -> str:
    """Return a message of the library with the options as the command line calls them: ``--on-missing``.

    Names in quotation marks, which may be those of files and columns, stay as they are.
    """
    for action in args.parser._actions:
        flag = next((word for word in action.option_strings if word.startswith("--")), None)
        if flag is None:
            continue
        name = rf"(?<![\w/'\"-]){re.escape(action.dest)}"
        message = re.sub(rf"{name}=(?=[^\s.,;:)])", f"{flag} ", message)
        message = re.sub(rf"{name}=", flag, message)
        message = re.sub(rf"(^|\. ){re.escape(action.dest)}(?=: )", rf"\g<1>{flag}", message)
        if "_" in action.dest:
            message = re.sub(rf"{name}(?![\w/'\"]|\.\w)", flag, message)
    if hasattr(args, "normalize"):
        message = message.replace("normalizer=None", "--no-normalize")
    return _of_the_table(message, args) if hasattr(args, "target") else message


def _of_the_table(message: str, args: argparse.Namespace) -> str:
    """Return a message about X and y in words of a table and its targets."""
    targets = list(dict.fromkeys(args.target))

    def named(found: re.Match[str]) -> str:
        return ", ".join(repr(targets[int(place)]) for place in found[1].split(", "))

    message = re.sub(r"columns (\d+(?:, \d+)*)(?=(?:, \.\.\.)? of y)", named, message)
    return message.replace(" of y)", ")").replace("rows of X ", f"rows of {args.table!r} ")


def print_report(path: Any, header: dict[str, Any]) -> None:
    """Print what became of the wells of a stored corpus."""
    report = header["report"]
    size = sum(file.stat().st_size for file in Path(path).iterdir())
    fates = [f"{n:,} {name.replace('_', ' ')}" for name, n in report["fates"].items() if n]
    dropped = [f"{n:,} by {rule}" for rule, n in report["features_dropped"].items() if n]
    rules = [f"{n:,} where {rule}" for rule, n in report.get("controls", {}).items()]
    print_table(
        file=f"{path} ({size / 1e9:.2f} GB, {header['dtype']})",
        digest=header["digest"],
        plates=f"{report['plates']:,} in {report['files']:,} files, of which {report['missing_files']:,} are missing",
        wells=f"{report['wells']:,}: {', '.join(fates)}; {report['repeated_wells']:,} repeat a well",
        controls=", ".join(rules) or "none found",
        molecules=f"{report['molecules']:,}; {report['other_names']:,} more structures are other names of them",
        features=f"{report['features']:,} of {report['features_read']:,}" + "".join(f", {text}" for text in dropped),
        **left_out_text(report.get("features_left_out", {})),
        values=f"{report['values_clipped']:,} clipped at {header['clip']}, {report['values_missing']:,} missing",
        **provenance_text(header.get("provenance", {}), _REPORTED),
    )


def left_out_text(reasons: dict[str, str], limit: int = 12) -> dict[str, str]:
    """Return a row of a table about columns that are not features; nothing when there are none."""
    columns = [f"{name} ({reason})" for name, reason in reasons.items()]
    more = [f"and {len(columns) - limit:,} more"] if len(columns) > limit else []
    return {"left out": ", ".join(columns[:limit] + more)} if columns else {}


def provenance_text(provenance: dict[str, Any], without: Sequence[str] = ()) -> dict[str, str]:
    """Return a row of a table about where profiles come from; nothing when that is not known.

    Parameters
    ----------
    provenance : dict
        As ``PairedProfiles.provenance``. All of it is in ``mocop info --json``.
    without : sequence of str
        Entries that the table has elsewhere.
    """
    known = {name: in_words(value) for name, value in provenance.items() if name not in without}
    entries = [f"{spaced(name)}: {text}" for name, text in known.items() if text]
    return {"provenance": "\n".join(entries)} if entries else {}


def epochs_text(n_iter: int, best_score: float) -> str:
    """Return how long a training took and what it reached."""
    validation = "no validation" if math.isnan(best_score) else f"best validation score {best_score:.3f}, chance 0"
    return f"{n_iter} ({validation})"


def fine_tuning_text(n_iter: int, best_score: float, are_numbers: bool) -> str:
    """Return how long a training on labels took and what it reached."""
    what = "R²" if are_numbers else "average precision"
    return f"{n_iter} ({'no validation' if math.isnan(best_score) else f'best validation {what} {best_score:.3f}'})"


def print_table(**rows: str) -> None:
    """Print names and texts, wrapped; each line of a text begins a new one."""
    for name, text in rows.items():
        for i, line in enumerate(text.split("\n")):
            start, more = (f"{name:<13}", " " * 13) if "\n" not in text else (f"{'' if i else name:<13}", " " * 15)
            print(textwrap.fill(line, 116, initial_indent=start, subsequent_indent=more,
                                break_long_words=False, break_on_hyphens=False))  # fmt: skip
