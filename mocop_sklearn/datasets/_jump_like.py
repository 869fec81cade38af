"""Simulated plates in the files and folders of JUMP-CP, of any size, with a planted biology."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import scipy.sparse as sp
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ..molecules._parse import InvalidMolecule, parse_molecule
from ._jump_cp import JUMP_NEGCON
from ._jump_layout import (
    _PLATE_KEY,
    _amplitudes,
    _compounds,
    _first_plates,
    _make_layout,
    _read_layout,
    _rows_of,
)
from ._jump_plates import (
    _MAX_USELESS,
    _USEFUL,
    _Key,
    _profiles,
    _random,
    _simulation,
    _Sizes,
    _write_plate,
)
from ._simulated import (
    _DMSO,
    _N_SUBSTRUCTURES,
    _common_environments,
    _environment_counts,
    _latent_dimension,
    _morgan_environments,
    _nearest_report,
    _text,
)

_N_REFERENCE = 10_000  # structures that the biology is standardised over
_CHUNK = 1000
_BIOLOGY, _AMPLITUDE, _LAYOUT, _ORDER = range(10, 14)  # purposes of random numbers, others than of the plates

_Path = str | os.PathLike[str]


@validate_params(
    {
        "path": [str, os.PathLike],
        "n_molecules": [Interval(Integral, 1, None, closed="left"), None],
        "n_plates": [Interval(Integral, 1, None, closed="left"), None],
        "n_features": [Interval(Integral, 1, 4000, closed="both")],
        "n_useless": [Interval(Integral, 0, _MAX_USELESS, closed="both")],
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
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Bunch:
    """Write plates in the layout of JUMP-CP (cpg0016), simulated from a planted biology.

    Under ``path``, which is made when needed, go one parquet file per plate, with one row per well ::

        cpg0016-jump/{Metadata_Source}/workspace/profiles/{Metadata_Batch}/{Metadata_Plate}/{Metadata_Plate}.parquet

    and JUMP's tables ``metadata/plate.csv.gz``, ``well.csv.gz`` and ``compound.csv.gz`` of the plates written.
    The last has ``Metadata_SMILES`` besides the InChI and its key, as JUMP's newer releases. Files that are
    there already are replaced; other plates are left alone.

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
        effect. None takes the 4,600 molecules of :func:`make_paired_profiles`.
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
    The latent biology z is read from Morgan environments as in :func:`make_paired_profiles`, where environments are
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
    the outermost wells, log(scale_pj) normal, and W and L as in :func:`make_paired_profiles`. An outlier takes the
    place of the inner bracket. Values are float32.

    A random tenth of JUMP's plates would hold a compound once. Plates are therefore taken one after the other, each
    time the one on which most compound wells belong to compounds that are already in. On JUMP's 1,457 compound
    plates, with 3.9 wells per compound, 15 of them have about 2.7 and 146 about 3.9.

    Examples
    --------
    >>> import tempfile
    >>> from mocop_sklearn.datasets import jump_like_retrieval, make_jump_like
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = make_jump_like(folder, n_plates=4, n_features=50, n_useless=4, random_state=0)
    ...     print(len(data.plates), data.plates[0].relative_to(folder).parts[0])
    4 cpg0016-jump
    >>> jump_like_retrieval(data, data.active)["top10"] > 0.5
    True
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise NotADirectoryError(f"path={os.fspath(path)!r} is a file: name a directory.")
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'make_jump_like needs pandas and pyarrow. Install them with: pip install "mocop-sklearn[data]"'
        ) from error
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    compounds = _compounds(structures, wells, activity)
    layout = _read_layout(wells) if wells is not None else _make_layout(compounds["id"], _random(seed, _LAYOUT))
    kept = _first_plates(layout, compounds["id"], n_molecules, n_plates, _random(seed, _ORDER))
    feature_names, simulation = _simulation(
        n_features, n_useless, n_latent,
        _Sizes(source_effect, batch_effect, plate_effect, position_effect, noise, outlier_fraction, missing_fraction),
        seed,
    )  # fmt: skip
    rows, kept["molecule"] = _rows_of(kept["Metadata_JCP2022"], compounds["id"])
    amplitude = _amplitudes(compounds["id"], activity, inactive_fraction, _random(seed, _AMPLITUDE))[rows]
    described = _described(compounds["structure"], rows, n_latent, _random(seed, _BIOLOGY), n_jobs)
    amplitude[described.unreadable] = 0.0
    data = Bunch(
        wells=kept,
        feature_names=feature_names,
        useful=simulation.kind == _USEFUL,
        compound_ids=compounds["id"][rows],
        molecules=described.smiles,
        latent=described.latent,
        active=amplitude > 0,
        amplitude=amplitude,
        loadings=simulation.loadings,
        noise_loadings=simulation.noise_loadings,
        location=simulation.location,
        unit=simulation.unit,
        simulation=simulation,
    )
    data.plates = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(_write_plate)(Path(path), feature_names, simulation, *plate) for plate in _plates(data)
    )
    data.metadata = _write_metadata(Path(path) / "metadata", data, described)
    return data


def planted_effects(data: Bunch, molecules: Any = None) -> np.ndarray:
    """Effects of molecules, before any noise: what a well would show without disturbance.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    molecules : array-like of int or bool, default=None
        Rows of ``data.molecules``, or a mask over them. None takes all: at JUMP's full size 1.6 GB.

    Returns
    -------
    ndarray of float32, shape (n, n_columns)
        c = 4 tanh(a z W / 4), in the units of the noise; 0 in useless columns.
    """
    rows = _chosen(data, molecules)
    return _profiles(data.amplitude[rows, None] * data.latent[rows], data.loadings)


def planted_states(data: Bunch, *, normalized: bool = True) -> np.ndarray:
    """Latent state that each well shows, drawn again plate by plate.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    normalized : bool, default=True
        Without the shifts of source, batch and plate: a z + noise h, what a perfect normalisation of each plate leaves.

    Returns
    -------
    ndarray of float32, shape (n_wells, n_latent)
        In the order of ``data.wells``.
    """
    states = []
    for plate, _, effect in _plates(data):
        state, _ = data.simulation.states(plate, effect)
        states.append(state - data.simulation.technical(plate)[0] if normalized else state)
    return np.concatenate(states)


@validate_params(
    {
        "data": [Bunch],
        "molecules": ["array-like", None],
        "within": [StrOptions({"plate", "batch", "source"}), None],
        "normalized": ["boolean"],
        "structure_only": ["boolean"],
        "ks": [tuple],
    },
    prefer_skip_nested_validation=True,
)
def jump_like_retrieval(
    data: Bunch,
    molecules: Any = None,
    *,
    within: str | None = None,
    normalized: bool = True,
    structure_only: bool = False,
    ks: tuple[int, ...] = (1, 10),
) -> dict[str, float]:
    """Retrieval by an oracle: about the best that any model can reach on these molecules.

    The oracle sees the latent state of every well without error, which hundreds of features come close to: with 500
    on eight plates, centred on their controls, a linear estimate found 45 % of the molecules, the oracle 47 %. It
    compares the mean over a molecule's wells with the planted a z by Euclidean distance.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    molecules : array-like of int or bool, default=None
        The pool: rows of ``data.molecules``, or a mask over them. None takes all.
    within : {"plate", "batch", "source"}, default=None
        Retrieve among the molecules of one plate, batch or source, from its wells alone: no technical effect that
        they share tells them apart. None: one pool, and the mean over all wells.
    normalized : bool, default=True
        Whether the shifts of source, batch and plate are known and removed. If not, the oracle takes them for noise.
    structure_only : bool, default=False
        Whether the oracle ignores amplitudes, as a model must that sees structures: each a is the pool's mean.
    ks : tuple of int, default=(1, 10)

    Returns
    -------
    dict
        As :func:`~mocop_sklearn.metrics.retrieval_report`. With ``within``, means over the molecules of all pools of
        two or more (a molecule counts once in each), chance levels too, and ``n_pools``.

    Examples
    --------
    >>> import tempfile
    >>> from mocop_sklearn.datasets import jump_like_retrieval, make_jump_like
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = make_jump_like(folder, n_plates=8, n_features=10, n_useless=0, random_state=0)
    >>> across = jump_like_retrieval(data, data.active)
    >>> within = jump_like_retrieval(data, data.active, within="plate")
    >>> within["n_candidates"] < across["n_candidates"]
    True
    """
    rows = _chosen(data, molecules)
    amplitude = np.full(len(rows), data.amplitude[rows].mean()) if structure_only else data.amplitude[rows]
    planted = amplitude[:, None] * data.latent[rows]
    row_of = np.full(len(data.molecules) + 1, -1)  # the last is of wells without a molecule
    row_of[rows] = np.arange(len(rows))
    row = row_of[data.wells["molecule"].to_numpy()]
    keys = {None: [], "source": _PLATE_KEY[:1], "batch": _PLATE_KEY[:2], "plate": _PLATE_KEY}[within]
    group = data.wells.groupby(keys, sort=False).ngroup().to_numpy() if keys else np.zeros(len(row), dtype=int)
    states = planted_states(data, normalized=normalized)
    reports = []
    for wells in _split(group, row >= 0):
        pool, place, n_wells = np.unique(row[wells], return_inverse=True, return_counts=True)
        if len(pool) > 1 or within is None:
            mean = (
                sp.csr_array((np.ones(len(place)), (place, np.arange(len(place))))) @ states[wells] / n_wells[:, None]
            )
            reports.append(_nearest_report(planted[pool], mean, ks))
    if within is None:
        return reports[0]
    if not reports:
        raise ValueError(f"No {within} holds two or more of these {len(rows)} molecules.")
    size = np.array([report["n_candidates"] for report in reports])
    mean_report = {name: float(np.average([r[name] for r in reports], weights=size)) for name in reports[0]}
    return mean_report | {"n_pools": len(reports)}


def _chosen(data: Bunch, molecules: Any) -> np.ndarray:
    rows = np.arange(len(data.molecules))
    return rows if molecules is None else rows[np.asarray(molecules)]


def _split(group: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    """Rows to keep, group by group."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(group[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)


# ---------------------------------------------------------------------------------------------
# The biology
# ---------------------------------------------------------------------------------------------


class _Described(NamedTuple):
    """Molecules in the order of the compounds that were kept."""

    smiles: np.ndarray  # (n,), as given where unreadable
    inchi: np.ndarray  # (n,), None where unreadable
    inchikey: np.ndarray  # (n,), None where unreadable
    unreadable: np.ndarray  # (n,)
    latent: np.ndarray  # (n, n_latent), 0 where unreadable


def _described(
    structures: np.ndarray, rows: np.ndarray, n_latent: int, rng: np.random.Generator, n_jobs: int | None
) -> _Described:
    """Read the structures of some rows, and their latent biology."""
    parallel = joblib.Parallel(n_jobs=n_jobs)
    reference = structures[rng.permutation(len(structures))[:_N_REFERENCE]]
    found = [f for part in parallel(joblib.delayed(_environments)(c) for c in _chunks(reference)) for f in part]
    environments = _common_environments(found)
    if len(environments) < _N_SUBSTRUCTURES:
        raise ValueError(
            f"The structures share {len(environments)} environments that are in 3 to 50 % of them, and a latent "
            f"dimension needs {_N_SUBSTRUCTURES}: give more structures."
        )
    parts = parallel(joblib.delayed(_describe)(chunk, environments) for chunk in _chunks(structures[rows]))
    smiles, inchi, inchikey, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    counts = np.concatenate([_environment_counts(found, environments).astype(np.float32), counts])
    standard = slice(0, len(found))
    latent = np.stack([_latent_dimension(counts, rng, standard)[len(found) :] for _ in range(n_latent)], axis=1)
    unreadable = np.array([text is None for text in inchi])
    latent[unreadable] = 0.0
    return _Described(smiles, inchi, inchikey, unreadable, latent)


def _chunks(values: np.ndarray) -> Iterable[np.ndarray]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _parsed(structure: Any) -> Chem.Mol | None:
    try:
        return parse_molecule(structure)
    except InvalidMolecule:
        return None


def _environments(structures: np.ndarray) -> list[dict[int, int]]:
    """Environments of the structures that can be read."""
    with BlockLogs():
        return _morgan_environments(mol for mol in map(_parsed, structures) if mol is not None)


def _describe(
    structures: np.ndarray, environments: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """SMILES, InChI, its key and counts of environments."""
    with BlockLogs():
        molecules = [_parsed(structure) for structure in structures]
        readable = [mol for mol in molecules if mol is not None]
        inchi = [None if mol is None else Chem.MolToInchi(mol) or None for mol in molecules]
        counts = np.zeros((len(molecules), len(environments)), dtype=np.float32)
        is_readable = [mol is not None for mol in molecules]
        counts[is_readable] = _environment_counts(_morgan_environments(readable), environments)
    smiles = [given if mol is None else Chem.MolToSmiles(mol) for mol, given in zip(molecules, structures, strict=True)]
    keys = [None if text is None else Chem.InchiToInchiKey(text) for text in inchi]
    return _text(smiles), _text(inchi), _text(keys), counts


# ---------------------------------------------------------------------------------------------
# Plates and tables
# ---------------------------------------------------------------------------------------------


def _plates(data: Bunch) -> Iterable[tuple[_Key, np.ndarray, np.ndarray]]:
    """Key of each plate, positions of its wells, and what their molecules do to the latent state."""
    effects = np.vstack([data.amplitude[:, None] * data.latent, np.zeros(data.latent.shape[1])]).astype(np.float32)
    keys, plate = data.wells[_PLATE_KEY].to_numpy(), data.wells["plate"].to_numpy()
    position, molecule = data.wells["position"].to_numpy(), data.wells["molecule"].to_numpy()
    for wells in _split(plate, np.ones(len(plate), dtype=bool)):
        source, batch, name = keys[wells[0]]
        yield (source, batch, name), position[wells], effects[molecule[wells]]


def _write_metadata(folder: Path, data: Bunch, described: _Described) -> Bunch:
    import pandas as pd

    from ..utils._files import atomic_write

    compound = pd.DataFrame(
        {
            "Metadata_JCP2022": data.compound_ids,
            "Metadata_InChIKey": described.inchikey,
            "Metadata_InChI": described.inchi,
            "Metadata_SMILES": described.smiles,
        }
    )
    dmso = Chem.MolToInchi(Chem.MolFromSmiles(_DMSO))
    compound.loc[len(compound)] = [JUMP_NEGCON, Chem.InchiToInchiKey(dmso), dmso, _DMSO]
    tables = {
        "plate": data.wells[[*_PLATE_KEY, "Metadata_PlateType"]].drop_duplicates(),
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
