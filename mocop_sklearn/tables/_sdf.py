"""SD files: records of a structure, a title and values by tag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from ._formats import TablePath
from ._text import open_text

_END_OF_STRUCTURE, _END_OF_RECORD = "M  END", "$$$$"
_TAG = re.compile(r">.*?<([^>]*)>")


def sdf_records(path: TablePath) -> Iterator[list[str]]:
    """Yield the lines of each record; what follows the last end of a record is one more if it holds any text."""
    record: list[str] = []
    with open_text(path, "replace") as lines:
        for line in lines:
            line = line.rstrip("\r\n")
            if line.startswith(_END_OF_RECORD):
                yield record
                record = []
            else:
                record.append(line)
    if any(line.strip() for line in record):
        yield record


def sdf_values(record: list[str]) -> dict[str, str]:
    """Return the values of a record by their tags; several lines of a value are joined by blanks."""
    values: dict[str, str] = {}
    lines = iter(record[_end(record) :])
    for line in lines:
        tag = _TAG.match(line)
        if tag:
            values[tag[1]] = " ".join(takewhile(str.strip, lines)).strip()
    return values


def sdf_structure(record: list[str]) -> str | None:
    """Return the structure of a record as SMILES; None where RDKit cannot read it.

    A structure that can be read but is not valid, as with carbon of five bonds, is written as it stands, so that
    whoever reads the SMILES tells the reason.
    """
    from rdkit import Chem, rdBase

    block = "\n".join(record[: _end(record)]) + "\n"
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block)
        if mol is None:
            mol = Chem.MolFromMolBlock(block, sanitize=False)
        return None if mol is None else str(Chem.MolToSmiles(mol))


def _end(record: list[str]) -> int:
    """Number of the lines that describe the structure: to its end, or to the first tag where the end is missing."""
    for i, line in enumerate(record):
        if line.startswith(_END_OF_STRUCTURE):
            return i + 1
        if _TAG.match(line):
            return i
    return len(record)
