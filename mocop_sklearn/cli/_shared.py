"""What commands share: messages, types of arguments, tables."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Options that take several values, and more when they are given again
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}


def say(message: str) -> None:
    """Print a message on stderr."""
    print(f"mocop: {message}", file=sys.stderr)


def count(text: str) -> int:
    """Type of an argument: a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
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
            raise argparse.ArgumentTypeError(f"{text!r} is no {' or '.join(suffixes)} file")
        if Path(text).is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a directory")
        return Path(text)

    return check


def megabytes(path: Any) -> str:
    """Size of a file."""
    return f"{os.path.getsize(path) / 1e6:.1f} MB"


def print_report(path: Any, header: dict[str, Any]) -> None:
    """Print what became of the wells of a stored corpus."""
    report = header["report"]
    size = sum(file.stat().st_size for file in Path(path).iterdir())
    fates = [f"{n:,} {name.replace('_', ' ')}" for name, n in report["fates"].items() if n]
    dropped = [f"{n:,} by {rule}" for rule, n in report["features_dropped"].items() if n]
    print_table(
        file=f"{path} ({size / 1e9:.2f} GB, {header['dtype']})",
        digest=header["digest"],
        plates=f"{report['plates']:,} in {report['files']:,} files, of which {report['missing_files']:,} are missing",
        wells=f"{report['wells']:,}: {', '.join(fates)}; {report['repeated_wells']:,} repeat a well",
        molecules=f"{report['molecules']:,}; {report['other_names']:,} more structures are other names of them",
        features=f"{report['features']:,} of {report['features_read']:,}" + "".join(f", {text}" for text in dropped),
        values=f"{report['values_clipped']:,} clipped at {header['clip']}, {report['values_missing']:,} missing",
    )


def print_table(**rows: str) -> None:
    """Print names and texts, wrapped."""
    for name, text in rows.items():
        print(textwrap.fill(text, 116, initial_indent=f"{name:<13}", subsequent_indent=" " * 13,
                            break_long_words=False, break_on_hyphens=False))  # fmt: skip
