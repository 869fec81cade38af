"""Results of units: appended as JSON lines while a benchmark runs, a parquet file when it has ended.

Of a unit that was done twice, as by another protocol, the last result counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mocop_sklearn.utils._files import atomic_write

KEY = ["set", "arm", "corpus", "objective", "fraction", "split", "seed"]  # tells units apart
DETAILS = ("tasks", "skipped")  # kept as JSON text


def read(path: Path) -> pd.DataFrame:
    """All results, one row per unit, with a column for each mean figure; those of an unfinished run too."""
    fresh = pd.DataFrame(map(_row, _lines(journal(path))))
    stored = [pd.read_parquet(path)] if path.exists() else []
    parts = [part for part in (*stored, fresh) if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KEY, "protocol"])
    return table.drop_duplicates(KEY, keep="last").reset_index(drop=True)


def journal(path: Path) -> Path:
    """The JSON lines of a run that has not ended."""
    return path.with_suffix(".jsonl")


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a result to the journal. What a kill cut short gets its end first, so that a line starts where it should."""
    with journal(path).open("ab+") as file:
        if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":
            file.write(b"\n")
        file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def compact(path: Path) -> None:
    """Move the journal into the parquet file. A kill in between leaves both, and the same results."""
    if journal(path).exists():
        table = read(path)
        with atomic_write(path) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
        journal(path).unlink()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a journal, without those that a kill cut short."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def _row(line: dict[str, Any]) -> dict[str, Any]:
    details = {name: json.dumps(line.get(name, {}), ensure_ascii=False) for name in DETAILS}
    return line.get("mean", {}) | {name: value for name, value in line.items() if name != "mean"} | details
