"""Measured data that come with the package: Cell Painting profiles, and properties of drug-like molecules."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ..utils._sklearn import StrOptions, validate_params

BIOGEN_ENDPOINTS = ("HLM", "RLM", "MDR1_ER", "Sol", "hPPB", "rPPB")


@validate_params({"return_X_y": ["boolean"], "as_frame": ["boolean"]}, prefer_skip_nested_validation=True)
def load_comas(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load Cell Painting profiles of dark chemical matter and pseudo-natural products [1]_, [2]_.

    1,759 measurements of 711 structures in U-2 OS cells, 579 features. Rows of one structure are replicates and doses.
    The data come with the package, under the MIT licence.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(smiles, profiles)`` instead of a Bunch.
    as_frame : bool, default=False
        Return pandas objects, and ``frame`` besides. It needs pandas, of the extra ``[data]``.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One row per measurement:

        - smiles : ndarray of str, shape (1759,), or Series
        - profiles : ndarray of float32, shape (1759, 579), or DataFrame. They are the authors' Z-scores, not clipped:
          the largest is 4,590. None is missing. The file holds half precision, so a value differs from the source by at
          most 0.05 percent.
        - feature_names : list of str, names of CellProfiler with the statistic before them.
        - metadata : dict of ndarray, or DataFrame: Metadata_Dataset (the library, "dcm_2024" or "pnp_2021"),
          Metadata_Plate, Metadata_Well (both empty for dcm_2024), Metadata_Run (1 or 2; NaN for pnp_2021),
          Metadata_Well_Id, Metadata_Compound_Id, Metadata_Conc_uM (dose in µM), Metadata_Induction (percent of changed
          features), Metadata_Rel_Cell_Count (percent of the controls'), Metadata_Toxic, Metadata_SMILES.
        - frame : DataFrame of the metadata and the features, only with ``as_frame=True``.
        - DESCR : str, the description, with sources and licence.
    (smiles, profiles) : tuple, only with ``return_X_y=True``

    References
    ----------
    .. [1] Pahl, Liu, Patil, et al. Illuminating Dark Chemical Matter using the Cell Painting Assay. 2024.
    .. [2] Grigalunas, Burhop, Zinken, et al. Natural product fragment combination to performance-diverse
       pseudo-natural products. Nature Communications, 2021.

    Examples
    --------
    >>> from mocop_sklearn.datasets import load_comas
    >>> data = load_comas()
    >>> data.profiles.shape, len(set(data.smiles))
    ((1759, 579), 711)
    """
    arrays = _arrays("comas")
    names = arrays["feature_names"].tolist()
    profiles: Any = np.ascontiguousarray(arrays["profiles"], dtype=np.float32)
    metadata: Any = {name: values for name, values in arrays.items() if name.startswith("Metadata_")}
    smiles = metadata["Metadata_SMILES"]
    if as_frame:
        pd = _pandas()
        profiles, metadata = pd.DataFrame(profiles, columns=names), pd.DataFrame(metadata)
        smiles = metadata["Metadata_SMILES"].rename("smiles")
    if return_X_y:
        return smiles, profiles
    data = Bunch(smiles=smiles, profiles=profiles, feature_names=names, metadata=metadata, DESCR=_description("comas"))
    if as_frame:
        data.frame = pd.concat([metadata, profiles], axis=1)
    return data


@validate_params(
    {"endpoint": [StrOptions(set(BIOGEN_ENDPOINTS)), None], "return_X_y": ["boolean"], "as_frame": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_biogen_adme(*, endpoint: str | None = None, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load absorption, distribution and metabolism of 3,521 drug-like molecules, measured at Biogen [1]_.

    The data come with the package, under the MIT licence.

    Parameters
    ----------
    endpoint : {"HLM", "RLM", "MDR1_ER", "Sol", "hPPB", "rPPB"}, default=None
        Return this one, and only the molecules for which it was measured. HLM and RLM: clearance in human and rat liver
        microsomes (mL/min/kg); MDR1_ER: efflux ratio; Sol: solubility at pH 6.8 (µg/mL); hPPB and rPPB: unbound share
        in human and rat plasma (percent). None returns all, with NaN for what was not measured.
    return_X_y : bool, default=False
        Return ``(smiles, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return pandas objects, and ``frame`` besides. It needs pandas, of the extra ``[data]``.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One row per molecule:

        - smiles : ndarray of str, shape (n_molecules,), or Series
        - target : ndarray of float32, shape (n_molecules,) or (n_molecules, 6), or Series or DataFrame. They are
          decimal logarithms.
        - target_names : list of str
        - split : ndarray of str, shape (n_molecules,), or Series: "train", "valid" or "test", by scaffold.
        - frame : DataFrame of the SMILES, the targets and the split, only with ``as_frame=True``.
        - DESCR : str, the description, with source and licence.
    (smiles, target) : tuple, only with ``return_X_y=True``

    References
    ----------
    .. [1] Fang, Wang, Grater, et al. Prospective validation of machine learning algorithms for absorption,
       distribution, metabolism, and excretion prediction: an industrial perspective. J. Chem. Inf. Model. 63, 3263,
       2023.

    Examples
    --------
    >>> from mocop_sklearn.datasets import load_biogen_adme
    >>> smiles, log_solubility = load_biogen_adme(endpoint="Sol", return_X_y=True)
    >>> smiles.shape, log_solubility.shape
    ((2173,), (2173,))
    """
    arrays = _arrays("biogen_adme")
    smiles, target, split = arrays["smiles"], arrays["target"], arrays["split"]
    names = list(BIOGEN_ENDPOINTS)
    if endpoint is not None:
        target = target[:, names.index(endpoint)]
        measured = ~np.isnan(target)
        smiles, target, split, names = smiles[measured], target[measured], split[measured], [endpoint]
    if as_frame:
        pd = _pandas()
        frame = pd.DataFrame({"smiles": smiles, **dict(zip(names, target.reshape(-1, len(names)).T, strict=True))})
        frame["split"] = split
        smiles, target, split = frame["smiles"], frame[names if endpoint is None else endpoint], frame["split"]
    if return_X_y:
        return smiles, target
    data = Bunch(smiles=smiles, target=target, target_names=names, split=split, DESCR=_description("biogen_adme"))
    if as_frame:
        data.frame = frame
    return data


def _arrays(name: str) -> dict[str, np.ndarray]:
    with (files(__package__) / "data" / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _description(name: str) -> str:
    return (files(__package__) / "data" / f"{name}.md").read_text(encoding="utf-8")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError('as_frame=True needs pandas: pip install "mocop-sklearn[data]"') from error
    return pandas
