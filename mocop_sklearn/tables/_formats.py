"""Formats of files by the ends of their names, and errors that name the file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TablePath = str | os.PathLike[str]

SMILES_FILES = (".smi", ".smiles")
SD_FILES = (".sdf", ".sd")
PARQUET_FILES = (".parquet", ".pq")
ANNDATA_FILES = (".h5ad",)
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


class TableError(ValueError):
    """A file that cannot be read as a table.

    Attributes
    ----------
    path : str
    problem : str
        What is wrong, as a clause.
    line : int or None
        The line of a text file, from 1.
    """

    def __init__(self, path: TablePath, problem: str, line: int | None = None):
        self.path, self.problem, self.line = os.fspath(path), problem, line
        where = "" if line is None else f"line {line}: "
        super().__init__(f"{self.path!r} cannot be read as a table: {where}{problem}.")

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:
        return type(self), (self.path, self.problem, self.line)


def ending(path: TablePath) -> str:
    """Return the end of a file's name that tells the format; ``.gz`` does not."""
    return Path(os.fspath(path).lower().removesuffix(".gz")).suffix


def separator_of(path: TablePath) -> str:
    """Return the separator of a text file by its name.

    Raises
    ------
    TableError
        When the name is not that of a table.
    """
    separator = SEPARATORS.get(ending(path))
    if separator is None:
        raise TableError(
            path,
            "its name does not end in .parquet, .csv, .tsv or .h5ad (or .smi or .sdf, for molecules)",
        )
    return separator


def refuse_repeated(path: TablePath, names: Sequence[str], line: int | None = None) -> None:
    """Refuse a table that calls two columns alike.

    Raises
    ------
    TableError
    """
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise TableError(path, f"it has more than one column of the names {repeated[:10]}", line)


@contextmanager
def reading(path: TablePath) -> Iterator[None]:
    """Turn what goes wrong within the block into an error that names the file, or what has to be installed."""
    try:
        yield
    except TableError:
        raise
    except ImportError as error:
        raise _what_to_install("Reading", path, error) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"No table at {os.fspath(path)!r}.") from error
    except Exception as error:
        raise TableError(path, str(error).rstrip(".")) from error


@contextmanager
def needing_libraries_to_write(path: TablePath) -> Iterator[None]:
    """Say what has to be installed when an import within the block fails."""
    try:
        yield
    except ImportError as error:
        raise _what_to_install("Writing", path, error) from error


def _what_to_install(doing: str, path: TablePath, error: ImportError) -> ImportError:
    if error.name == "anndata":
        message = f"{doing} {os.fspath(path)!r} needs anndata: pip install 'mocop-sklearn[anndata]'."
        return ImportError(message, name=error.name)
    library = "pyarrow" if ending(path) in PARQUET_FILES and error.name != "pandas" else "pandas"
    message = f"{doing} {os.fspath(path)!r} needs {library}: pip install 'mocop-sklearn[data]'."
    return ImportError(message, name=error.name)
