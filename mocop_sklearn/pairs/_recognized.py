"""Which files hold profiles that are normalised already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets._jump_profiles import corrections_of, corrections_of_columns
from ..tables._formats import PARQUET_FILES, ending
from ..tables._parquet import parquet_names


def corrections_of_files(files: Sequence[Any]) -> tuple[str, ...]:
    """What was done to the profiles of files before; empty where it is not known that they are normalised.

    The names of JUMP's assembled files tell it, or, for a file of another name, its columns.

    Parameters
    ----------
    files : sequence of str or Path, or of objects with a ``name``

    Raises
    ------
    ValueError
        When it is known of some of the files, but not of all.
    """
    found = [_corrections(file) for file in files]
    if len(set(found)) > 1:
        one, other = files[0], files[next(i for i, steps in enumerate(found) if steps != found[0])]
        raise ValueError(
            f"{_name(one)!r} and {_name(other)!r} differ in what was done to their profiles before "
            f"({', '.join(found[0]) or 'nothing'}; {', '.join(found[files.index(other)]) or 'nothing'}): build a "
            "corpus of each, or give normalizer= for all of them."
        )
    return found[0]


def _corrections(file: Any) -> tuple[str, ...]:
    steps = corrections_of(_name(file))
    is_local = isinstance(file, (str, Path)) and ending(file) in PARQUET_FILES and Path(file).is_file()
    if steps or not is_local:
        return steps
    try:
        return corrections_of_columns(parquet_names(file))
    except Exception:  # whoever reads the file will say what is wrong with it
        return ()


def _name(file: Any) -> str:
    return Path(file).name if isinstance(file, (str, Path)) else str(file.name)
