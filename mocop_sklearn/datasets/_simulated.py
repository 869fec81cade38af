"""Simulated Cell Painting profiles of real molecules, with a planted biology: the best result is known."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from itertools import combinations, product
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem, RDConfig
from rdkit.Chem import rdFingerprintGenerator
from rdkit.rdBase import BlockLogs
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from ..metrics import retrieval_report
from ..molecules._parse import InvalidMolecule, parse_molecule

_DMSO = "CS(C)=O"
_N_ROWS, _N_COLUMNS = 16, 24
_N_WELLS = _N_ROWS * _N_COLUMNS
_ORGANIC = frozenset(("B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"))
_N_SUBSTRUCTURES = 6  # of each latent dimension
_LOADED = 0.3  # share of the features that a latent dimension moves
_SATURATION = 4.0
_CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
_N_NOISE_FACTORS, _SHARED_NOISE = 5, 0.5
_OUTLIER_DECADES = 2.0, 5.5


@validate_params(
    {
        "n_molecules": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_latent": [Interval(Integral, 1, None, closed="left")],
        "n_replicates": [Interval(Integral, 1, None, closed="left")],
        "n_controls_per_plate": [Interval(Integral, 0, _N_WELLS - 1, closed="both")],
        "inactive_fraction": [Interval(Real, 0, 1, closed="both")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "plate_effect": [Interval(Real, 0, None, closed="left")],
        "position_effect": [Interval(Real, 0, None, closed="left")],
        "outlier_fraction": [Interval(Real, 0, 1, closed="both")],
        "missing_fraction": [Interval(Real, 0, 1, closed="left")],
        "as_frame": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_paired_profiles(
    *,
    n_molecules: int = 1000,
    n_features: int = 200,
    n_latent: int = 8,
    n_replicates: int = 4,
    n_controls_per_plate: int = 16,
    inactive_fraction: float = 0.2,
    noise: float = 1.0,
    plate_effect: float = 0.5,
    position_effect: float = 0.3,
    outlier_fraction: float = 0.002,
    missing_fraction: float = 0.0,
    as_frame: bool = False,
    random_state: Any = None,
) -> Bunch:
    """Generate molecules and their morphological profiles from a planted biology.

    The molecules are real: about 4,600 organic structures of the NCI collection that RDKit carries.
    Their profiles are simulated, well by well on plates of 384.

    Parameters
    ----------
    n_molecules : int, default=1000
        At most as many as the collection holds.
    n_features : int, default=200
        Columns of the profiles, at most 3,756.
    n_latent : int, default=8
        Dimensions of the planted biology.
    n_replicates : int, default=4
        Wells of each molecule, each on another plate.
    n_controls_per_plate : int, default=16
        Wells with DMSO alone, out of 384.
    inactive_fraction : float, default=0.2
        Probability that a molecule has no effect.
    noise : float, default=1.0
        Standard deviation of a well around its expectation. An active molecule moves a feature by
        about 1.3 (root mean square).
    plate_effect : float, default=0.5
        Standard deviation of the plates' offsets; a fifth of it is that of the logarithm of their scales.
    position_effect : float, default=0.3
        Size of the gradients along rows and columns and of the shift at the edge of a plate.
    outlier_fraction : float, default=0.002
        Probability that a well has one absurd value, 100 to 300,000 in size.
    missing_fraction : float, default=0.0
        Probability that a value is NaN.
    as_frame : bool, default=False
        Return ``metadata`` as a pandas DataFrame, and ``frame`` besides.
    random_state : int, RandomState instance or None, default=None
        An int gives the same data on every call. Molecules are drawn in the same order and have the same
        effects whatever ``n_molecules`` is.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One row per well, plate by plate:

        - smiles : ndarray of str, shape (n_wells,); DMSO in the control wells.
        - profiles : ndarray of float32, shape (n_wells, n_features), raw: each feature has its own unit.
        - feature_names : ndarray of str, shape (n_features,), in CellProfiler's manner.
        - metadata : dict of ndarray, or DataFrame: Metadata_Plate, Metadata_Well (A01 to P24),
          Metadata_Compound, Metadata_SMILES and Metadata_IsNegcon.
        - is_control : ndarray of bool, shape (n_wells,)
        - molecule_of_well : ndarray of int, shape (n_wells,), row of ``molecules``; -1 for DMSO.
        - plate_of_well : ndarray of int, shape (n_wells,), row of ``plate_offset``.
        - frame : DataFrame of the metadata and the features, only with ``as_frame=True``.

        One row per molecule:

        - molecules : ndarray of str, shape (n_molecules,), canonical SMILES, all different.
        - latent : ndarray of float, shape (n_molecules, n_latent), the planted biology z.
        - active : ndarray of bool, shape (n_molecules,)
        - amplitude : ndarray of float, shape (n_molecules,), 0 for inactive molecules.
        - clean_profiles : ndarray of float, shape (n_molecules, n_features), the effect c, before any noise.
        - task : ndarray of int, shape (n_molecules,), 0 or 1: a noisy assay of two or three latent dimensions.

        What disturbs the wells:

        - plate_offset, plate_scale : ndarray of float, shape (n_plates, n_features)
        - noise_loadings : ndarray of float, shape (5, n_features), the noise that features share.

    See Also
    --------
    planted_retrieval : Retrieval by one who knows the planted effects.

    Notes
    -----
    Each latent dimension k reads six Morgan environments (radius 0 to 2), each found in 3 to 50 % of the
    collection. With n_e the count of environment e, h_e = n_e / (1 + n_e), random signs s, and S(x) = x
    standardised over the whole collection::

        z_k = S(tanh(S(sum over six e of s_e S(h_e) + s S(h_1 h_2) + s' S(h_3 h_4))))

    Molecules that agree in all these environments have the same z. A molecule of amplitude a (log-normal
    with parameters 0 and 0.3, or 0 when inactive) has the effect ::

        c = 4 tanh(a z W / 4)

    where 30 % of the loadings W differ from 0. Whether a molecule is active cannot be read off its structure.
    Feature j of a well on plate p measures ::

        x_j = offset_pj + scale_pj (c_j + position_effect (r u_pj + q v_pj + edge e_j) + noise (f L_j + g_j / sqrt(2)))

    with r and q the row and the column on a scale from -1 to 1, edge = 1 in the outermost wells, u, v, e, f
    standard normal, L the ``noise_loadings`` (f L_j has variance 1/2) and g independent standard normal:
    half of the noise is shared between features. An outlier takes the place of the bracket. Wells are
    assigned at random, anew for each replicate.

    The task is 1 for the upper 30 % of the collection by z_1 + z_2 z_3 + 0.5 times standard normal noise
    (dimensions count modulo ``n_latent``), so that no model is perfect; inactive molecules have it too.

    Examples
    --------
    >>> from mocop_sklearn.datasets import make_paired_profiles, planted_retrieval
    >>> data = make_paired_profiles(n_molecules=300, n_features=50, random_state=0)
    >>> data.profiles.shape, len(set(data.metadata["Metadata_Plate"]))
    ((1264, 50), 4)
    >>> planted_retrieval(data, data.active)["top10"] > 0.8
    True
    """
    if as_frame:
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                'as_frame=True needs pandas. Install it with: pip install "mocop-sklearn[data]"'
            ) from error
    feature_names = _feature_names(n_features)
    biology_rng, plate_rng, well_rng = _generators(random_state, 3)
    biology = _planted_biology(n_molecules, n_features, n_latent, inactive_fraction, biology_rng)
    layout = _plate_layout(n_molecules, n_replicates, n_controls_per_plate, plate_rng)
    effects = _plate_effects(len(layout), n_features, plate_effect, position_effect, plate_rng)
    noise_loadings = _noise_loadings(n_features, well_rng)

    effect_of_molecule = np.vstack([biology.clean_profiles, np.zeros(n_features)])  # row -1 is DMSO
    parts = []
    for i, (molecule, well) in enumerate(layout):
        effect = effect_of_molecule[molecule] + _position_effect(effects.slopes[i], effects.edge, well)
        effect += noise * _correlated_noise(noise_loadings, len(well), well_rng)
        _plant_outliers(effect, outlier_fraction, well_rng)
        effect[well_rng.random(effect.shape) < missing_fraction] = np.nan
        parts.append((effects.offset[i] + effects.scale[i] * effect).astype(np.float32))
    profiles = np.concatenate(parts)
    molecule, well = np.concatenate(layout, axis=1)
    plate = np.repeat(np.arange(len(layout)), [len(well) for _, well in layout])

    smiles = np.append(biology.molecules, _DMSO)[molecule]
    metadata = {
        "Metadata_Plate": _text(f"plate_{i + 1:03d}" for i in range(len(layout)))[plate],
        "Metadata_Well": _text(f"{chr(65 + i // _N_COLUMNS)}{i % _N_COLUMNS + 1:02d}" for i in range(_N_WELLS))[well],
        "Metadata_Compound": _text([*(f"compound_{i + 1:04d}" for i in range(n_molecules)), "DMSO"])[molecule],
        "Metadata_SMILES": smiles,
        "Metadata_IsNegcon": molecule < 0,
    }
    data = Bunch(
        smiles=smiles,
        profiles=profiles,
        feature_names=feature_names,
        metadata=metadata,
        is_control=molecule < 0,
        molecule_of_well=molecule,
        plate_of_well=plate,
        **biology,
        plate_offset=effects.offset,
        plate_scale=effects.scale,
        noise_loadings=noise_loadings,
    )
    if as_frame:
        data.metadata = pandas.DataFrame(metadata)
        data.frame = data.metadata.join(pandas.DataFrame(profiles, columns=feature_names))
    return data


def planted_retrieval(data: Bunch, molecules: Any = None, *, ks: tuple[int, ...] = (1, 10)) -> dict[str, float]:
    """Retrieval by an oracle: about the best that any model can reach on these molecules.

    The oracle knows each molecule's effect, activity included, the plates' offsets and scales, and the
    covariance of the noise. It compares the planted effect with the mean of the replicates by their
    Mahalanobis distance. Position effects stay unknown to it.

    Parameters
    ----------
    data : Bunch
        From :func:`make_paired_profiles`.
    molecules : array-like of int or bool, default=None
        The pool: rows of ``data.molecules``, or a mask over them. None takes all.
    ks : tuple of int, default=(1, 10)

    Returns
    -------
    dict
        As :func:`~mocop_sklearn.metrics.retrieval_report`. Ties, as among inactive molecules, are broken at
        random. A model that sees structures alone cannot know who is active: compare it with the oracle on
        a pool of actives, for instance ``molecules=data.active``.

    Examples
    --------
    >>> from mocop_sklearn.datasets import make_paired_profiles, planted_retrieval
    >>> data = make_paired_profiles(n_molecules=100, inactive_fraction=0.5, random_state=0)
    >>> planted_retrieval(data)["top1"] < planted_retrieval(data, data.active)["top1"]
    True
    """
    rows = np.arange(len(data.molecules))
    rows = rows if molecules is None else rows[np.asarray(molecules)]
    loadings = data.noise_loadings
    covariance = loadings.T @ loadings + (1 - _SHARED_NOISE) * np.eye(loadings.shape[1])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    planted, observed = data.clean_profiles[rows] @ whiten, _observed_effects(data, rows) @ whiten
    return _nearest_report(planted, observed, ks)


def _nearest_report(planted: np.ndarray, observed: np.ndarray, ks: tuple[int, ...]) -> dict[str, float]:
    """Retrieval by Euclidean distance."""
    planted = planted + 1e-4 * np.random.default_rng(0).normal(size=planted.shape)  # ties fall at random
    # minus half the squared distance, written as an inner product
    one = np.ones((len(planted), 1))
    planted = np.hstack([planted, -0.5 * (planted**2).sum(axis=1, keepdims=True), one])
    observed = np.hstack([observed, one, -0.5 * (observed**2).sum(axis=1, keepdims=True)])
    return retrieval_report(planted, observed, ks)


def _observed_effects(data: Bunch, molecules: np.ndarray) -> np.ndarray:
    """Mean over the replicates, free of plate effects, outliers and missing values."""
    n_controls = int(data.is_control.sum())
    wells = np.argsort(data.molecule_of_well, kind="stable")[n_controls:].reshape(len(data.molecules), -1)[molecules]
    plate = data.plate_of_well[wells]
    effect = (data.profiles[wells] - data.plate_offset[plate]) / data.plate_scale[plate]  # (n, replicates, n_features)
    usable = np.abs(effect) < 0.9 * 10 ** _OUTLIER_DECADES[0]
    return np.where(usable, effect, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)


def _generators(random_state: Any, n: int) -> list[np.random.Generator]:
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n)
    return [np.random.default_rng(seed) for seed in seeds]


@cache
def _collection() -> tuple[np.ndarray, np.ndarray]:
    """All molecules, and the counts of their Morgan environments of moderate frequency."""
    molecules: dict[str, Chem.Mol] = {}
    with open(os.path.join(RDConfig.RDDataDir, "NCI", "first_5K.smi"), encoding="utf-8") as lines, BlockLogs():
        for line in lines:
            try:
                mol = parse_molecule(line.split("\t")[0])
            except InvalidMolecule:
                continue
            symbols = {atom.GetSymbol() for atom in mol.GetAtoms()}
            if 6 <= mol.GetNumHeavyAtoms() <= 60 and "C" in symbols and symbols <= _ORGANIC:
                molecules.setdefault(Chem.MolToSmiles(mol), mol)
    found = _morgan_environments(molecules.values())
    return _text(molecules), _environment_counts(found, _common_environments(found))


def _morgan_environments(molecules: Iterable[Chem.Mol]) -> list[dict[int, int]]:
    """For each molecule how often each environment of radius 0 to 2 occurs."""
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    return [morgan.GetSparseCountFingerprint(mol).GetNonzeroElements() for mol in molecules]


def _common_environments(found: list[dict[int, int]]) -> np.ndarray:
    """Environments that are in 3 to 50 % of the molecules."""
    environments, n_molecules = np.unique([e for f in found for e in f], return_counts=True)
    share = n_molecules / len(found)
    return environments[(share > 0.03) & (share < 0.5)]


def _environment_counts(found: list[dict[int, int]], environments: np.ndarray) -> np.ndarray:
    """Counts of some environments, shape (n_molecules, n_environments)."""
    column_of = {int(environment): i for i, environment in enumerate(environments)}
    counts = np.zeros((len(found), len(environments)))
    for row, molecule in enumerate(found):
        for environment in molecule.keys() & column_of.keys():
            counts[row, column_of[environment]] = molecule[environment]
    return counts


def _planted_biology(
    n_molecules: int, n_features: int, n_latent: int, inactive_fraction: float, rng: np.random.Generator
) -> Bunch:
    """Draw molecules; give each its latent biology, its activity, its effect and its task."""
    molecules, counts = _collection()
    if n_molecules > len(molecules):
        raise ValueError(f"n_molecules={n_molecules}, but the collection holds {len(molecules)}.")
    rows = rng.permutation(len(molecules))[:n_molecules]
    latent = np.stack([_latent_dimension(counts, rng) for _ in range(n_latent)], axis=1)
    active = rng.random(len(molecules)) >= inactive_fraction
    amplitude = np.where(active, rng.lognormal(0.0, 0.3, len(molecules)), 0.0)
    z1, z2, z3 = latent[:, np.arange(3) % n_latent].T
    assay = z1 + z2 * z3 + 0.5 * rng.normal(size=len(molecules))
    task = (assay > np.quantile(assay, 0.7)).astype(np.int64)
    loadings = _loadings(n_latent, n_features, rng)
    clean = _SATURATION * np.tanh(amplitude[rows, None] * (latent[rows] @ loadings) / _SATURATION)
    return Bunch(
        molecules=molecules[rows],
        latent=latent[rows],
        active=active[rows],
        amplitude=amplitude[rows],
        clean_profiles=clean,
        task=task[rows],
    )


def _latent_dimension(counts: np.ndarray, rng: np.random.Generator, reference: slice = slice(None)) -> np.ndarray:
    """A saturating function of a few environments, two products among them, standardised over the reference rows."""
    present = counts[:, rng.choice(counts.shape[1], _N_SUBSTRUCTURES, replace=False)]
    present = present / (1 + present)
    products = present[:, [0, 2]] * present[:, [1, 3]]
    terms = _standardized(np.hstack([present, products]), reference)
    return _standardized(np.tanh(_standardized(terms @ rng.choice([-1.0, 1.0], terms.shape[1]), reference)), reference)


def _standardized(x: np.ndarray, reference: slice) -> np.ndarray:
    return (x - x[reference].mean(axis=0)) / np.maximum(x[reference].std(axis=0), 1e-12)


def _loadings(n_latent: int, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """W: how the latent dimensions move the features; an active molecule's have about one variance for any n_latent."""
    loadings = rng.normal(scale=1.5 / np.sqrt(_LOADED * n_latent), size=(n_latent, n_features))
    return loadings * (rng.random(loadings.shape) < _LOADED)


def _plate_layout(
    n_molecules: int, n_replicates: int, n_controls: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each plate the molecule (-1 for DMSO) and the position of its wells, in the order of positions."""
    n_parts = -(-n_molecules // (_N_WELLS - n_controls))
    plates = []
    for _ in range(n_replicates):
        for part in np.array_split(rng.permutation(n_molecules), n_parts):
            molecule = rng.permutation(np.concatenate([part, np.full(n_controls, -1)]))
            plates.append((molecule, np.sort(rng.permutation(_N_WELLS)[: len(molecule)])))
    return plates


class _PlateEffects(NamedTuple):
    offset: np.ndarray  # (n_plates, n_features)
    scale: np.ndarray  # (n_plates, n_features)
    slopes: np.ndarray  # (n_plates, 2, n_features), along rows and columns
    edge: np.ndarray  # (n_features,)


def _plate_effects(
    n_plates: int, n_features: int, plate_effect: float, position_effect: float, rng: np.random.Generator
) -> _PlateEffects:
    """Units of the features, and what each plate does to them."""
    unit = 10 ** rng.uniform(-2, 2, n_features)
    location = unit * rng.uniform(2, 20, n_features)
    shape = n_plates, n_features
    return _PlateEffects(
        offset=location + unit * plate_effect * rng.normal(size=shape),
        scale=unit * np.exp(0.2 * plate_effect * rng.normal(size=shape)),
        slopes=position_effect * rng.normal(size=(n_plates, 2, n_features)),
        edge=position_effect * rng.normal(size=n_features),
    )


def _position_effect(slopes: np.ndarray, edge: np.ndarray, well: np.ndarray) -> np.ndarray:
    position = np.stack([well // _N_COLUMNS, well % _N_COLUMNS], axis=1) / [_N_ROWS - 1, _N_COLUMNS - 1] * 2 - 1
    at_edge = (np.abs(position) == 1).any(axis=1)
    return position.astype(slopes.dtype) @ slopes + np.outer(at_edge, edge)


def _noise_loadings(n_features: int, rng: np.random.Generator) -> np.ndarray:
    loadings = rng.normal(size=(_N_NOISE_FACTORS, n_features))
    return np.sqrt(_SHARED_NOISE) * loadings / np.linalg.norm(loadings, axis=0)


def _correlated_noise(loadings: np.ndarray, n_wells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance, part of it shared between features."""
    shared = rng.normal(size=(n_wells, len(loadings))) @ loadings
    return shared + np.sqrt(1 - _SHARED_NOISE) * rng.normal(size=shared.shape)


def _plant_outliers(
    effect: np.ndarray, fraction: float, rng: np.random.Generator, decades: tuple[float, float] = _OUTLIER_DECADES
) -> None:
    wells = np.flatnonzero(rng.random(len(effect)) < fraction)
    features = rng.integers(effect.shape[1], size=len(wells))
    effect[wells, features] = rng.choice([-1, 1], len(wells)) * 10 ** rng.uniform(*decades, len(wells))


def _feature_names(n_features: int) -> np.ndarray:
    """Names of CellProfiler features, spread evenly over compartments and modules."""
    return _evenly(_feature_names_of(_modules()), n_features)


def _modules() -> dict[str, list[Iterable[Any]]]:
    """Parts of the names of CellProfiler's measures, module by module."""
    zernike = [f"{n}_{m}" for n in range(10) for m in range(n % 2, n + 1, 2)]
    intensity = [f"{statistic}Intensity" for statistic in ("Integrated", "MAD", "Max", "Mean", "Median", "Min", "Std")]
    # Haralick's thirteen
    texture = (
        "AngularSecondMoment Contrast Correlation DifferenceEntropy DifferenceVariance Entropy InfoMeas1 InfoMeas2"
    )
    texture += " InverseDifferenceMoment SumAverage SumEntropy SumVariance Variance"
    return {
        "AreaShape": [["Area", "Compactness", "Eccentricity", "Extent", "FormFactor", "Perimeter", "Solidity"]],
        "AreaShape_Zernike": [zernike],
        "Correlation": [["Correlation", "Overlap"], map("_".join, combinations(_CHANNELS, 2))],
        "Granularity": [range(1, 17), _CHANNELS],
        "Intensity": [intensity, _CHANNELS],
        "RadialDistribution": [["ZernikeMagnitude", "ZernikePhase"], _CHANNELS, zernike],
        "Texture": [texture.split(), _CHANNELS, [3, 5, 10], ["00", "01", "02", "03"], [256]],
    }


def _feature_names_of(modules: dict[str, list[Iterable[Any]]]) -> np.ndarray:
    """Every measure of every compartment."""
    measures = ["_".join(map(str, (module, *parts))) for module, axes in modules.items() for parts in product(*axes)]
    return _text("_".join(pair) for pair in product(["Cells", "Cytoplasm", "Nuclei"], measures))


def _evenly(names: np.ndarray, n_features: int) -> np.ndarray:
    if n_features > len(names):
        raise ValueError(f"n_features={n_features}, but there are names for {len(names)} features.")
    return names[np.arange(n_features) * len(names) // n_features]


def _text(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=object)
