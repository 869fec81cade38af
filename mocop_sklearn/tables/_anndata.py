"""AnnData: a matrix with a table of its rows, in memory or as a file (``.h5ad``)."""

from __future__ import annotations

from typing import Any

from ._formats import TablePath, refuse_repeated


def read_h5ad(path: TablePath) -> Any:
    """Read a file into a DataFrame, as :func:`anndata_frame` makes it.

    Raises
    ------
    TableError
        When two columns have one name.
    """
    import anndata

    frame = anndata_frame(anndata.read_h5ad(path))
    refuse_repeated(path, list(frame.columns))
    return frame


def h5ad_texts(path: TablePath) -> dict[str, list[str | None]]:
    """Return the columns of ``obs`` as texts, None where a value is missing, and then ``obs_names``.

    The matrix is not read.

    Raises
    ------
    TableError
        When two columns have one name.
    """
    import anndata
    import pandas as pd

    data = anndata.read_h5ad(path, backed="r")
    try:
        obs = data.obs
    finally:
        data.file.close()
    refuse_repeated(path, list(obs.columns))
    columns = {str(name): column for name, column in obs.items()}
    columns.setdefault("obs_names", obs.index.to_series())
    return {
        name: [None if missing else str(value) for value, missing in zip(column, pd.isna(column), strict=True)]
        for name, column in columns.items()
    }


def anndata_frame(data: Any, layer: str | None = None) -> Any:
    """Return the columns of ``obs`` and then those of the matrix, one row per well.

    Numbers of ``obs`` are not features, so the names of their columns get ``Metadata_`` in front.

    Parameters
    ----------
    data : AnnData
    layer : str, optional
        A matrix of ``layers``; by default ``X``.

    Raises
    ------
    ValueError
        When there is no such matrix.
    """
    import pandas as pd

    matrix = data.X if layer is None else data.layers.get(layer)
    if matrix is None:
        raise ValueError(
            f"This AnnData has no matrix {'X' if layer is None else layer!r}; its layers are {sorted(data.layers)}."
        )
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    obs = data.obs.reset_index(drop=True)
    numbers = obs.select_dtypes(["number", "bool"]).columns
    obs = obs.rename(columns={c: f"Metadata_{c}" for c in numbers if not str(c).startswith("Metadata_")})
    return pd.concat([obs, pd.DataFrame(dense, columns=list(data.var_names))], axis=1)
