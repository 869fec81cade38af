"""Which files hold profiles that are normalised already."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets._jump_profiles import corrections_of, corrections_of_columns
from ..tables._formats import PARQUET_FILES, ending
from ..tables._parquet import parquet_names

# Stages of pycytominer, as Broad's profiling recipe names its files: BR00117035_normalized_feature_select_negcon_batch
_STAGES = re.compile(
    r"(?!.*(?:^|_)not_normalized).+_(normalized)(_(?:negcon|dmso))?(_feature_select)?(_(?:negcon|dmso))?"
    r"(_(?:plate|batch|all))?"
)


def corrections_of_files(files: Sequence[Any]) -> tuple[str, ...]:
    """What was done to the profiles of files before; empty where it is not known that they are normalised.

    The names of JUMP's assembled files tell it, or, for a file of another name, its columns; and the names that Broad's
    profiling recipe gives to the stages of pycytominer.

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
    steps = corrections_of(_name(file)) or _stages(_name(file))
    is_local = isinstance(file, (str, Path)) and ending(file) in PARQUET_FILES and Path(file).is_file()
    if steps or not is_local:
        return steps
    try:
        return corrections_of_columns(parquet_names(file))
    except Exception:  # whoever reads the file will say what is wrong with it
        return ()


def _stages(name: str) -> tuple[str, ...]:
    """Stages of pycytominer that the name of a file tells.

    >>> _stages("BR00117035_normalized_feature_select_negcon_batch.csv.gz")
    ('normalized', 'feature_select', 'negcon', 'batch')
    >>> _stages("BR00117035_augmented.csv.gz"), _stages("BR1_normalized_by_hand.csv"), _stages("BR1_not_normalized.csv")
    ((), (), ())
    """
    stem = os.path.splitext(name.removesuffix(".gz"))[0]
    found = _STAGES.fullmatch(stem)
    return tuple(stage.strip("_") for stage in found.groups() if stage) if found else ()


def _name(file: Any) -> str:
    return Path(file).name if isinstance(file, (str, Path)) else str(file.name)
