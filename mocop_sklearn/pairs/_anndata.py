"""Pairs from AnnData, and AnnData from pairs."""

from __future__ import annotations

from itertools import compress
from typing import Any

import numpy as np

from ..molecules._parse import as_text
from ..tables._anndata import anndata_frame
from ..tables._formats import refuse_repeated
from ..tables._guess import N_SAMPLED, structure_column
from ._frames import labels_of_frame, wells_to_keep
from ._labels import WELL_COLUMNS, metadata_column
from ._pairs import PairedProfiles

_WHERE = "AnnData"
_STRUCTURES = "Metadata_SMILES"


def pairs_from_anndata(
    data: Any, smiles: str | None = None, *, layer: str | None = None, controls: str = "keep"
) -> PairedProfiles:
    """Return the molecules and profiles of an AnnData with one row per well.

    Every variable is a feature. ``Metadata_Source``, ``Metadata_Batch``, ``Metadata_Plate`` and ``Metadata_Well`` of
    ``obs`` are kept. The extra ``anndata`` of this package installs what is needed.

    Parameters
    ----------
    data : AnnData
        For a file, ``PairedProfiles.from_file("wells.h5ad")`` does the same.
    smiles : str, optional
        The column of ``obs`` with structures; by default ``Metadata_SMILES``, ``SMILES`` or the like.
    layer : str, optional
        A matrix of ``layers``; by default ``X``.
    controls : {"keep", "exclude"}
        Whether the negative controls, by the default rules of :func:`build_pairs`, are among the rows.

    Returns
    -------
    PairedProfiles

    Raises
    ------
    TypeError
        When ``data`` is not an AnnData.
    ValueError
        When there is no such column or layer, a name occurs twice, or no row has a structure. Wells without a structure
        are left out with a warning that counts them.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> from mocop_sklearn.pairs import pairs_from_anndata
    >>> wells = pd.DataFrame({"Metadata_Plate": ["p", "p"], "smiles": ["CCO", "CCN"]}, index=["a", "b"])
    >>> pairs_from_anndata(anndata.AnnData(np.array([[0.5, 1.0, 0.0], [1.5, 0.0, 2.0]]), obs=wells))
    PairedProfiles(2 rows, 3 features)
    """
    if controls not in ("keep", "exclude"):
        raise ValueError(f'controls must be "keep" or "exclude", got {controls!r}.')
    if not hasattr(data, "var_names"):
        raise TypeError(f"data must be an AnnData, got a {type(data).__name__}.")
    frame = anndata_frame(data, layer)
    refuse_repeated(_WHERE, list(frame.columns))
    features = [str(name) for name in data.var_names]
    labels = frame[[name for name in frame.columns if name not in set(features)]]
    texts = labels.select_dtypes(["object", "category", "string"])
    column = structure_column(
        list(labels.columns), smiles, _WHERE, lambda: {name: texts[name].head(N_SAMPLED).tolist() for name in texts}
    )
    molecules = labels[column].tolist()
    kept = wells_to_keep(molecules, labels, _WHERE, controls)
    profiles = frame.loc[kept, features].to_numpy(np.float32)
    pairs = PairedProfiles(list(compress(molecules, kept)), profiles, features)
    pairs._labels = labels_of_frame(labels[kept])
    return pairs


def pairs_to_anndata(pairs: PairedProfiles) -> Any:
    """Return pairs as an AnnData, with one row per well.

    Parameters
    ----------
    pairs : PairedProfiles
        Its profiles are read into memory.

    Returns
    -------
    AnnData
        ``X`` holds the profiles; ``obs`` the structures as ``Metadata_SMILES``, and the source, batch, plate, well,
        dose and weight of each row, as far as they are known. :func:`pairs_from_anndata` reads all but the last two.

    Raises
    ------
    ImportError
        When anndata is not installed.
    """
    try:
        import anndata
    except ImportError as error:
        raise ImportError(
            "pairs_to_anndata needs anndata: pip install 'mocop-sklearn[anndata]'.", name=error.name
        ) from error
    import pandas as pd

    columns: dict[str, Any] = {_STRUCTURES: [as_text(molecule) for molecule in pairs.molecules]}
    labels = zip(WELL_COLUMNS, (pairs.sources, pairs.batches, pairs.plates, pairs.wells), strict=True)
    columns |= {metadata_column(name): list(values) for name, values in labels if values is not None}
    numbers = {"Metadata_Dose": pairs.doses, "Metadata_Weight": pairs.sample_weight}
    columns |= {name: values for name, values in numbers.items() if values is not None}
    names = pairs.feature_names or [f"feature{i}" for i in range(pairs.n_features)]
    # texts as objects: anndata does not write the strings of pandas 3
    index = pd.Index([str(i) for i in range(len(pairs))], dtype=object)
    obs = pd.DataFrame(
        {name: np.array(values, dtype=None if name in numbers else object) for name, values in columns.items()}, index
    )
    obs = obs.astype({name: object for name in columns if name not in numbers})
    # AnnData writes no array that is mapped from a file, as those of a stored corpus are
    return anndata.AnnData(np.array(pairs.profiles), obs=obs, var=pd.DataFrame(index=pd.Index(names, dtype=object)))
