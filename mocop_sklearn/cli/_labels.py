"""Columns of measurements as labels: which are classes, which are numbers, and which cells are missing."""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ._molecules import structure_argument
from ._shared import SEVERAL

_MISSING = frozenset(["", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#na", "#n/a"])
_TRUTH = {"true": 1.0, "false": 0.0}
# with a decimal comma, thousands separators, a percent sign or a qualifier
_LIKE_A_NUMBER = re.compile(r"[<>=~≤≥]*\s*[+-]?\d[\d.,']*([eE][+-]?\d+)?\s*%?")


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about a table of molecules and their measurements."""
    add = parser.add_argument
    add("table", metavar="TABLE",
        help="one molecule and its measurements per row: a .csv, .tsv, .parquet, .sdf or .h5ad file")  # fmt: skip
    add("--target", **SEVERAL | {"default": None}, required=True, metavar="COLUMN", help="columns of measurements")
    add("--task", choices=("auto", "classification", "regression"), default="auto",
        help="what the targets hold: classes or numbers (default: auto; words, 0 and 1, true and false, and for one "
        "target any two numbers, are classes)")  # fmt: skip
    add("--missing", **SEVERAL, metavar="VALUE",
        help="values that mean not measured, beside empty cells, NA, NaN, null and None")  # fmt: skip
    add("-m", "--model", metavar="MODEL",
        help="where the encoder starts: a file of mocop pretrain or mocop finetune, the name of a model that comes "
        "with the package, or hf://owner/name on the Hugging Face Hub (default: random weights)")  # fmt: skip
    structure_argument(parser)


@dataclass(frozen=True)
class Labels:
    """A table of labels.

    Attributes
    ----------
    structures : list of str or None
    names : list of str
        Targets.
    columns : list of list
        The labels of each target: numbers, or words; None where nothing was measured.
    task : {"classification", "regression"}
    others : dict of str to list of str
        Further columns, as they are written.
    """

    structures: list[str | None]
    names: list[str]
    columns: list[list[Any]]
    task: str
    others: dict[str, list[str | None]]

    def y(self, rows: Sequence[int] | None = None) -> Any:
        """Labels as an estimator takes them: one column as a vector, several as a matrix; NaN or None is missing."""
        import numpy as np

        kind: Any = float if self.task == "regression" else object
        matrix = np.array(self.columns, dtype=kind).T  # None among numbers becomes NaN
        matrix = matrix if rows is None else matrix[rows]
        return matrix if len(self.names) > 1 else matrix[:, 0]

    def kind(self) -> str:
        """Return what the labels are, in words."""
        if self.task == "regression":
            return "numbers"
        counts = Counter(value for column in self.columns for value in column if value is not None)
        return f"classes {', '.join(map(str, sorted(counts)[:10]))}{', ...' * (len(counts) > 10)}"

    def summaries(self) -> dict[str, str]:
        """Return a line about each target."""
        return {name: self._summary(column) for name, column in zip(self.names, self.columns, strict=True)}

    def _summary(self, column: list[Any]) -> str:
        known = [value for value in column if value is not None]
        if not known:
            return "not measured"
        missing = f", {len(column) - len(known):,} not measured" if len(known) < len(column) else ""
        if self.task == "classification":
            counts = sorted(Counter(known).items())
            return ", ".join(f"{n:,} of {value}" for value, n in counts[:10]) + missing
        return f"{len(known):,} from {min(known):.4g} to {max(known):.4g}, mean {sum(known) / len(known):.4g}{missing}"


def read_labels(args: argparse.Namespace, others: Sequence[str] = ()) -> Labels:
    """Read the structures and labels of a table, and further columns.

    Raises
    ------
    ValueError
        When the file cannot be read, a column is missing, or labels are neither classes nor numbers.
    """
    from ..tables._molecules import MoleculeFile

    names = list(dict.fromkeys(args.target))
    file = MoleculeFile(args.table, args.smiles, [*names, *others])
    if file.columns[0] in names:
        raise ValueError(
            f"{file.columns[0]!r} is the column of structures of {str(args.table)!r}, not of measurements: name "
            "another column as the target."
        )
    texts: dict[str, list[str | None]] = {name: [] for name in file.columns}
    for batch in file.batches(2**16):
        for name, values in batch.columns.items():
            texts[name] += values
    missing = frozenset(args.missing)
    cells = {name: [_cell(text, missing) for text in texts[name]] for name in names}
    task, columns = _decided(args.task, cells)
    return Labels(texts[file.columns[0]], names, columns, task, {name: texts[name] for name in others})


def _cell(text: str | None, markers: Collection[str]) -> str | None:
    """Return what a cell holds, None where nothing was measured."""
    if text is None or text.strip().lower() in _MISSING or text.strip() in markers:
        return None
    number = _number(text)
    return None if number is not None and number in [_number(marker) for marker in markers] else text.strip()


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)  # Python reads 1_000 as a number
    except ValueError:
        return _TRUTH.get(text.strip().lower())


def _decided(task: str, cells: dict[str, list[str | None]]) -> tuple[str, list[list[Any]]]:
    """Tell classes from numbers, and return the values of each column."""
    measured = {name: column for name, column in cells.items() if any(text is not None for text in column)}
    if not measured:
        raise ValueError(f"Nothing was measured: {', '.join(map(repr, cells))} hold no values.")
    tasks = {n: _task_of(n, column, len(cells)) if task == "auto" else task for n, column in measured.items()}
    if len(set(tasks.values())) > 1:
        raise ValueError(
            f"The targets hold classes and numbers: {', '.join(f'{name!r} {t}' for name, t in tasks.items())}. "
            "Fine-tune them one after the other, or say which they are: task=regression."
        )
    task = next(iter(tasks.values()))
    if task == "regression":
        return task, [_numbers(name, column) for name, column in cells.items()]
    return task, [_classes(name, column, len(cells)) for name, column in cells.items()]


def _task_of(name: str, column: list[str | None], n_targets: int) -> str:
    known = [text for text in column if text is not None]
    numbers = [number for text in known if (number := _number(text)) is not None]
    if not numbers:
        alike = [text for text in known if _LIKE_A_NUMBER.fullmatch(text)]
        if 2 * len(alike) > len(known):
            raise ValueError(
                f"The target {name!r} holds {alike[0]!r}, which looks like a number and cannot be read as one. Write "
                "numbers with a point, without other signs, or take all values as words with task=classification."
            )
        if len(set(known)) == len(known) > 2:
            raise ValueError(
                f"The target {name!r} holds {len(known)} different words, as {known[0]!r}: these are no classes. "
                "Name a column of measurements."
            )
        return "classification"
    if len(numbers) < len(known):
        row = next(i for i, text in enumerate(column) if text is not None and _number(text) is None)
        raise ValueError(
            f"The target {name!r} holds numbers, but in row {row} {column[row]!r}. Mend that cell, say that such a "
            "value was not measured with missing=VALUE, or take all values as words with task=classification."
        )
    are_classes = set(numbers) <= {0, 1} or (n_targets == 1 and len(set(numbers)) <= 2)
    return "classification" if are_classes else "regression"


def _numbers(name: str, column: list[str | None]) -> list[float | None]:
    values = [None if text is None else _number(text) for text in column]
    for row, (text, value) in enumerate(zip(column, values, strict=True)):
        if text is not None and (value is None or not math.isfinite(value)):
            raise ValueError(f"The target {name!r} holds {text!r} in row {row}, which is not a finite number.")
    return values


def _classes(name: str, column: list[str | None], n_targets: int) -> list[Any]:
    numbers = [None if text is None else _number(text) for text in column]
    are_numbers = all((text is None) == (number is None) for text, number in zip(column, numbers, strict=True))
    values: list[Any] = list(numbers) if are_numbers else list(column)
    different = sorted({value for value in values if value is not None})
    if n_targets > 1 and not set(different) <= {0, 1}:
        raise ValueError(
            f"The target {name!r} holds {', '.join(map(str, different[:10]))}. Of several targets, each "
            "must hold 0, 1 and missing values: recode it, or fine-tune it alone."
        )
    if are_numbers and any(value != int(value) for value in different):
        words: dict[Any, str] = {}  # 1.5 and 1.50 are one class
        for number, text in zip(numbers, column, strict=True):
            if text is not None:
                words[number] = min(text, words.get(number, text), key=lambda word: (len(word), word))
        return [None if text is None else words[number] for number, text in zip(numbers, column, strict=True)]
    return [int(value) if isinstance(value, float) else value for value in values]
