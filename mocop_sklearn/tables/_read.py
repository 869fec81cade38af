"""Whole tables: wells, profiles and metadata."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from ..utils._files import atomic_write
from ._anndata import read_h5ad
from ._formats import ANNDATA_FILES, PARQUET_FILES, TablePath, ending, needing_libraries_to_write, reading
from ._guess import N_SAMPLED, structure_column
from ._parquet import read_parquet
from ._streamed import holds_columns_of_lists, read_lists_as_columns
from ._text import read_text_table


def read_table(path: TablePath, text: Collection[str] = ()) -> Any:
    """Read a parquet, CSV, TSV or AnnData file into a pandas DataFrame.

    Parameters
    ----------
    path : str or Path
        A ``.parquet``, ``.csv``, ``.csv.gz``, ``.tsv`` or ``.h5ad`` file.
    text : collection of str
        Columns of a text file that are read as they are written, as ``Metadata_*`` columns and structures always are.

    Returns
    -------
    pandas.DataFrame
        With the named levels of an index that pandas has stored as its first columns. A column of a parquet file whose
        cells are lists of numbers becomes numbered columns, ``name_0``, ``name_1`` and so on.

    Raises
    ------
    ImportError
        Without pandas, or without pyarrow for parquet: the extra ``data`` brings them. For ``.h5ad``, ``anndata``.
    FileNotFoundError
    TableError
        When the file is broken or its name ends otherwise.
    """
    with reading(path):
        if ending(path) in ANNDATA_FILES:
            return read_h5ad(path)
        if ending(path) not in PARQUET_FILES:
            return read_text_table(path, text)
        if os.path.isfile(path) and holds_columns_of_lists(path):
            return read_lists_as_columns(path)
        return read_parquet(path)


def read_wells(path: TablePath, smiles: str | None = None) -> tuple[Any, Any]:
    """Read a table of wells.

    Parameters
    ----------
    path : str or Path
        As in :func:`read_table`.
    smiles : str, optional
        The column of structures; by default the first of ``Metadata_SMILES``, ``SMILES``,
        ``Metadata_InChI`` and the like, in any case, or else the one column whose values are molecules.

    Returns
    -------
    structures : str
        The column of structures.
    frame : pandas.DataFrame
        The whole table.

    Raises
    ------
    ValueError
        When the file cannot be read, or has no column of structures.
    """
    frame = read_table(path, () if smiles is None else (smiles,))

    def head() -> dict[Any, list[Any]]:
        texts = frame.select_dtypes(["object", "category", "string"])
        return {name: texts[name].head(N_SAMPLED).tolist() for name in texts.columns}

    return structure_column(list(frame.columns), smiles, repr(os.fspath(path)), head), frame


def write_table(frame: Any, path: TablePath) -> None:
    """Write a table without its index; the file is replaced when all is written.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : str or Path
        A ``.parquet`` file, or else CSV is written.
    """
    with needing_libraries_to_write(path), atomic_write(path) as temporary:
        write = frame.to_parquet if ending(path) in PARQUET_FILES else frame.to_csv
        write(temporary, index=False)
