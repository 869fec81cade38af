"""One file of plates → its part of a build."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..tables._formats import PARQUET_FILES, ending
from ._parts import MISSING, Part, profiles_path, save_part
from ._plan import PlatePlan
from ._plates import part_of_table
from ._streamed import part_of_stream


def write_part(plan: PlatePlan, file: Any, name: str, target: Path) -> None:
    """Normalise the wells of one file and write those that may be stored to ``target``.

    Parameters
    ----------
    plan : PlatePlan
    file : Path, or an object with a context manager ``local()`` that yields a path
    name : str
        Of the file, in messages and in the store.
    target : Path

    Raises
    ------
    ValueError
        With the name of the file and what is wrong with it.
    """
    try:
        with file.local() if hasattr(file, "local") else nullcontext(file) as path:
            if Path(path).is_dir():
                raise ValueError(f"{name!r} is a folder, not a table of wells: give the files in it.")
            part = _part_of_file(plan, path, name, profiles_path(target))
    except FileNotFoundError:
        if plan.missing_files == "raise":
            raise
        part = MISSING
    save_part(target, part)


def _part_of_file(plan: PlatePlan, path: Any, name: str, target: Path) -> Part:
    where, stem = repr(name), str(Path(name).with_suffix(""))
    if plan.normalizer is None and ending(path) in PARQUET_FILES:
        part = part_of_stream(plan, path, where, stem, target)
    else:
        part = part_of_table(plan, path, where, stem, target)
    with open(path, "rb") as raw:
        sha = hashlib.file_digest(raw, "sha256").hexdigest()
        part.facts["file"] = {"name": name, "bytes": raw.tell(), "sha256": sha}
    return part
