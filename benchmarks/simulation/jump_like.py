"""Simulated plates in the files and folders of JUMP-CP, of any size, with a planted biology."""

from __future__ import annotations

import gzip
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from rdkit import Chem
from sklearn.utils import Bunch, check_random_state

from mocop_sklearn.datasets import JUMP_NEGCON
from mocop_sklearn.datasets._planting import DMSO
from mocop_sklearn.utils._files import atomic_write
from mocop_sklearn.utils._sklearn import Interval, validate_params

from .biology import Described, describe
from .layout import PLATE_KEY, draw_amplitudes, first_plates, make_layout, read_compounds, read_layout, rows_of
from .plates import MAX_USELESS, USEFUL, Simulation, Sizes, make_simulation, plates_of, random_stream, write_plate

BIOLOGY, _AMPLITUDE, _LAYOUT, _ORDER = range(10, 14)  # purposes of random numbers, others than of the plates

_Path = str | os.PathLike[str]


@validate_params(
    {
        "path": [str, os.PathLike],
        "n_molecules": [Interval(Integral, 1, None, closed="left"), None],
        "n_plates": [Interval(Integral, 1, None, closed="left"), None],
        "n_features": [Interval(Integral, 1, 4000, closed="both")],
        "n_useless": [Interval(Integral, 0, MAX_USELESS, closed="both")],
        "n_latent": [Interval(Integral, 1, None, closed="left")],
        "structures": [str, os.PathLike, None],
        "wells": [str, os.PathLike, None],
        "activity": [str, os.PathLike, None],
        "inactive_fraction": [Interval(Real, 0, 1, closed="both")],
        "source_effect": [Interval(Real, 0, None, closed="left")],
        "batch_effect": [Interval(Real, 0, None, closed="left")],
        "plate_effect": [Interval(Real, 0, None, closed="left")],
        "position_effect": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "outlier_fraction": [Interval(Real, 0, 1, closed="both")],
        "missing_fraction": [Interval(Real, 0, 1, closed="left")],
        "overwrite": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_jump_like(
    path: _Path,
    *,
    n_molecules: int | None = None,
    n_plates: int | None = None,
    n_features: int = 3475,
    n_useless: int = 45,
    n_latent: int = 8,
    structures: _Path | None = None,
    wells: _Path | None = None,
    activity: _Path | None = None,
    inactive_fraction: float = 0.2,
    source_effect: float = 0.5,
    batch_effect: float = 0.3,
    plate_effect: float = 0.3,
    position_effect: float = 0.3,
    noise: float = 1.0,
    outlier_fraction: float = 0.002,
    missing_fraction: float = 0.0,
    overwrite: bool = True,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Bunch:
    """Write plates in the layout of JUMP-CP (cpg0016), simulated from a planted biology.

    Under ``path``, which is made when needed, go one parquet file per plate, with one row per well ::

        cpg0016-jump/{Metadata_Source}/workspace/profiles/{Metadata_Batch}/{Metadata_Plate}/{Metadata_Plate}.parquet

    and JUMP's tables ``metadata/plate.csv.gz``, ``well.csv.gz`` and ``compound.csv.gz`` of the plates written.
    The last has ``Metadata_SMILES`` besides the InChI and its key, as JUMP's newer releases. Files that are
    there already are replaced unless ``overwrite`` is False; other plates are left alone.

    Parameters
    ----------
    path : str or Path
        A directory.
    n_molecules, n_plates : int, default=None
        Write only the first plates of the layout: as many as hold at least so many compounds, or so many plates.
        None takes all, and of the two the one that asks for less counts. Plates are ordered so that the replicates
        of a compound come together: see Notes.
    n_features : int, default=3475
        Columns that show the biology, at most 4,000. As many are left by ``ProfileFilter.paper()`` after
        ``ProfileNormalizer`` unless ``missing_fraction`` is positive, or effects and noise are far from the defaults.
    n_useless : int, default=45
        More columns, which that filter drops, at most 132: a quarter each has one of the blocked names, is
        constant, has wild outliers, and misses values (5 % of the wells, or all of them, on one plate in five).
    n_latent : int, default=8
        Dimensions of the planted biology.
    structures : str or Path, default=None
        Table with Metadata_JCP2022 and one or more of Metadata_SMILES_from_InChI, Metadata_SMILES and
        Metadata_InChI, of which the first that is not missing counts. A structure that RDKit cannot read has no
        effect. None takes the 4,600 molecules of ``make_paired_profiles``.
    wells : str or Path, default=None
        Table with Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_PlateType, Metadata_Well and
        Metadata_JCP2022, one row per well. Plates count whose type is COMPOUND and whose batch is known. Compounds
        that are not in ``structures`` have no effect. None lays every structure out at four sources.
    activity : str or Path, default=None
        Table with Metadata_JCP2022, mean_average_precision and below_corrected_p: see Notes.
    inactive_fraction : float, default=0.2
        Probability that a molecule has no effect, where ``activity`` is None.
    source_effect, batch_effect, plate_effect : float, default=0.5, 0.3, 0.3
        Standard deviation of the offsets of sources, batches and plates, and of their shifts of the latent state.
        A fifth of the last is that of the logarithm of a plate's scales.
    position_effect : float, default=0.3
        Size of the gradients along rows and columns and of the shift at the edge of a plate.
    noise : float, default=1.0
        Standard deviation of a well around its expectation, in each latent dimension and in each feature.
    outlier_fraction : float, default=0.002
        Probability that a well has one outlier, 10 to 100 in size.
    missing_fraction : float, default=0.0
        Probability that a value is NaN.
    overwrite : bool, default=True
        False keeps plates that are there already. They must come from an equal call, such as one that was killed.
    n_jobs : int, default=None
        Processes that write plates and read structures. Each holds one plate.
    random_state : int, RandomState instance or None, default=None
        An int and equal tables give the same bytes for a plate, however many plates are written, by however
        many processes (with the same versions of numpy, its BLAS and pyarrow). ``n_features``, ``n_useless`` and
        ``n_latent`` must be equal too.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - plates : list of Path, in the order of writing.
        - metadata : Bunch of Path: plate, well and compound.
        - wells : DataFrame of all wells, plate by plate: Metadata_Source, Metadata_Batch, Metadata_Plate,
          Metadata_PlateType, Metadata_Well, Metadata_JCP2022, ``position`` (0 to 383), ``plate`` (row of ``plates``)
          and ``molecule`` (row of ``molecules``, -1 for DMSO, empty wells and unknown compounds).
        - feature_names : ndarray of str, shape (n_columns,), with n_columns = n_features + n_useless.
        - useful : ndarray of bool, shape (n_columns,), the columns that show the biology.

        One row per compound on these plates:

        - compound_ids : ndarray of str, shape (n_molecules,), all different.
        - molecules : ndarray of str, shape (n_molecules,), canonical SMILES, or what ``structures`` says where it
          cannot be read. Two compounds may have one structure.
        - latent : ndarray of float, shape (n_molecules, n_latent), the planted biology z.
        - active : ndarray of bool, shape (n_molecules,)
        - amplitude : ndarray of float, shape (n_molecules,), a, 0 for inactive molecules.

        What all plates share:

        - loadings : ndarray of float32, shape (n_latent, n_columns), W, 0 in useless columns.
        - noise_loadings : ndarray of float32, shape (5, n_columns), L.
        - location, unit : ndarray of float32, shape (n_columns,)
        - simulation : what :func:`planted_states` draws the wells from again.

    See Also
    --------
    planted_effects : Profiles of molecules before any noise.
    planted_states : What the wells of each plate show of the biology.
    jump_like_retrieval : Retrieval by one who knows the planted effects.

    Notes
    -----
    The latent biology z is read from Morgan environments as in ``make_paired_profiles``, where environments are
    chosen, and z is standardised, over at most 10,000 structures drawn from the table: z of a molecule does not
    depend on the plates written. Amplitudes a are log-normal with parameters 0 and 0.3. With ``activity``, they are
    instead 1.5 times the mean average precision, 0 where below_corrected_p is not 1; compounds that it
    does not list draw from those that it lists. Positive controls always have 1.5.

    A well w of molecule i on plate p, of batch b and source s, shows the state ::

        state_w = a_i z_i + source_effect h_s + batch_effect h_b + plate_effect h_p + noise h_w

    so that technical shifts and noise move the cells along the same axes as molecules do, and no number of features
    averages that out. Feature j measures ::

        offset_pj = source_effect e_sj + batch_effect e_bj + plate_effect e_pj
        x_j = location_j + unit_j (offset_pj + scale_pj (4 tanh(state_w W_j / 4)
              + position_effect (r u_pj + q v_pj + edge e_j) + noise (f L_j + g_j / sqrt(2))))

    with h, e, u, v, f, g standard normal, r and q the row and the column on a scale from -1 to 1, edge = 1 in
    the outermost wells, log(scale_pj) normal, and W and L as in ``make_paired_profiles``. An outlier takes the
    place of the inner bracket. Values are float32.

    A random tenth of JUMP's plates would hold a compound once. Plates are therefore taken one after the other, each
    time the one on which most compound wells belong to compounds that are already in. On JUMP's 1,457 compound
    plates, with 3.9 wells per compound, 15 of them have about 2.7 and 146 about 3.9.

    Examples
    --------
    >>> import tempfile
    >>> from simulation import jump_like_retrieval, make_jump_like
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = make_jump_like(folder, n_plates=4, n_features=50, n_useless=4, random_state=0)
    ...     print(len(data.plates), data.plates[0].relative_to(folder).parts[0])
    4 cpg0016-jump
    >>> jump_like_retrieval(data, data.active)["top10"] > 0.5
    True
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise NotADirectoryError(f"path={os.fspath(path)!r} is a file: name a directory.")
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    compounds = read_compounds(structures, wells, activity)
    layout = read_layout(wells) if wells is not None else make_layout(compounds["id"], random_stream(seed, _LAYOUT))
    kept = first_plates(layout, compounds["id"], n_molecules, n_plates, random_stream(seed, _ORDER))
    sizes = Sizes(source_effect, batch_effect, plate_effect, position_effect, noise, outlier_fraction, missing_fraction)
    feature_names, simulation = make_simulation(n_features, n_useless, n_latent, sizes, seed)
    rows, kept["molecule"] = rows_of(kept["Metadata_JCP2022"], compounds["id"])
    amplitude = draw_amplitudes(compounds["id"], activity, inactive_fraction, random_stream(seed, _AMPLITUDE))[rows]
    described = describe(compounds["structure"], rows, n_latent, random_stream(seed, BIOLOGY), n_jobs)
    amplitude[described.unreadable] = 0.0
    data = Bunch(
        wells=kept,
        feature_names=feature_names,
        compound_ids=compounds["id"][rows],
        molecules=described.smiles,
        latent=described.latent,
        active=amplitude > 0,
        amplitude=amplitude,
        **_shared_by_plates(simulation),
    )
    data.plates = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(write_plate)(Path(path), feature_names, simulation, *plate, overwrite=overwrite)
        for plate in plates_of(data)
    )
    data.metadata = _write_metadata(Path(path) / "metadata", data, described)
    return data


def _shared_by_plates(simulation: Simulation) -> dict[str, Any]:
    return {
        "useful": simulation.kind == USEFUL,
        "loadings": simulation.loadings,
        "noise_loadings": simulation.noise_loadings,
        "location": simulation.location,
        "unit": simulation.unit,
        "simulation": simulation,
    }


def _write_metadata(folder: Path, data: Bunch, described: Described) -> Bunch:
    compound = pd.DataFrame(
        {
            "Metadata_JCP2022": data.compound_ids,
            "Metadata_InChIKey": described.inchikey,
            "Metadata_InChI": described.inchi,
            "Metadata_SMILES": described.smiles,
        }
    )
    dmso = Chem.MolToInchi(Chem.MolFromSmiles(DMSO))
    compound.loc[len(compound)] = [JUMP_NEGCON, Chem.InchiToInchiKey(dmso), dmso, DMSO]
    tables = {
        "plate": data.wells[[*PLATE_KEY, "Metadata_PlateType"]].drop_duplicates(),
        "well": data.wells[["Metadata_Source", "Metadata_Plate", "Metadata_Well", "Metadata_JCP2022"]],
        "compound": compound.sort_values("Metadata_JCP2022"),
    }
    paths = Bunch()
    for name, table in tables.items():
        paths[name] = folder / f"{name}.csv.gz"
        # without the name and the time, which gzip would put into the file, equal tables give equal bytes
        with (
            atomic_write(paths[name]) as temporary,
            temporary.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as archive,
        ):
            archive.write(table.to_csv(index=False).encode())
    return paths
