"""Files of plates → their parts of a build."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ..molecules._workers import LOST
from ..tables._formats import PARQUET_FILES, ending
from ._parts import MISSING, Part, profiles_path, save_part
from ._plan import PlatePlan
from ._plates import part_of_table
from ._reader import StructureReader, mark_of
from ._recipe import is_newer
from ._streamed import part_of_stream


def write_parts(
    plan: PlatePlan, files: Sequence[Any], names: Sequence[str], parts: Sequence[Path], n_jobs: int | None, verbose: int
) -> None:
    """Write the parts that are missing, or older than their file.

    When a process ends while it reads structures, now or in an earlier call, the structures of its file are read again
    apart, and those that end a process are not read any more.
    """

    def pending() -> list[int]:
        return [i for i, part in enumerate(parts) if not part.exists() or is_newer(files[i], part)]

    def job(i: int, apart: bool) -> tuple[Any, ...]:
        return plan, files[i], names[i], parts[i], StructureReader(mark_of(parts[i]), unreadable, apart)

    unreadable: dict[str, str] = {}
    with tqdm(desc="plates", total=len(files), disable=not verbose) as progress:
        lost = [i for i in pending() if mark_of(parts[i]).exists()]
        while True:
            for i in lost:
                unreadable |= write_part(*job(i, apart=True))
                mark_of(parts[i]).unlink()
            progress.update(len(files) - len(pending()) - progress.n)
            jobs = (delayed(write_part)(*job(i, apart=False)) for i in pending())
            try:
                for _ in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
                    progress.update()
                return
            except LOST:
                lost = [i for i in pending() if mark_of(parts[i]).exists()]
                if not lost:  # something else has ended the process
                    raise


def write_part(plan: PlatePlan, file: Any, name: str, target: Path, reader: StructureReader) -> dict[str, str]:
    """Normalise the wells of one file and write those that may be stored to ``target``.

    Parameters
    ----------
    plan : PlatePlan
    file : Path, or an object with a context manager ``local()`` that yields a path
    name : str
        Of the file, in messages and in the store.
    target : Path
    reader : StructureReader

    Returns
    -------
    dict of str to str
        Structures of the file that end the process that reads them, or take too long, and which of the two.

    Raises
    ------
    ValueError
        With the name of the file and what is wrong with it.
    """
    try:
        with file.local() if hasattr(file, "local") else nullcontext(file) as path:
            if Path(path).is_dir():
                raise ValueError(f"{name!r} is a folder, not a table of wells: give the files in it.")
            part = _part_of_file(plan, path, name, profiles_path(target), reader)
    except FileNotFoundError:
        if plan.missing_files == "raise":
            raise
        part = MISSING
    save_part(target, part)
    unreadable: dict[str, str] = part.facts["unreadable"]
    return unreadable


def _part_of_file(plan: PlatePlan, path: Any, name: str, target: Path, reader: StructureReader) -> Part:
    where, stem = repr(name), str(Path(name).with_suffix(""))
    if plan.normalizer is None and ending(path) in PARQUET_FILES:
        part = part_of_stream(plan, path, where, stem, target, reader)
    else:
        part = part_of_table(plan, path, where, stem, target, reader)
    with open(path, "rb") as raw:
        sha = hashlib.file_digest(raw, "sha256").hexdigest()
        part.facts["file"] = {"name": name, "bytes": raw.tell(), "sha256": sha}
    return part
