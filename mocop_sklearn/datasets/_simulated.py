"""Simulated Cell Painting profiles of real molecules, with a planted biology, so that the best result is known."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Bunch, check_random_state

from ..utils._sklearn import Interval, validate_params
from ._planting import (
    DMSO,
    N_COLUMNS,
    N_WELLS,
    SATURATION,
    SHARED_NOISE,
    collection,
    draw_loadings,
    draw_noise_loadings,
    feature_names_of,
    latent_dimension,
    measure_modules,
    plant_outliers,
    position_effects,
    spread_evenly,
    text_array,
)


@validate_params(
    {
        "n_molecules": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_latent": [Interval(Integral, 1, None, closed="left")],
        "n_replicates": [Interval(Integral, 1, None, closed="left")],
        "n_controls_per_plate": [Interval(Integral, 0, N_WELLS - 1, closed="both")],
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
        Probability that a well has one outlier, 100 to 300,000 in size.
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
    >>> from mocop_sklearn.datasets import make_paired_profiles
    >>> data = make_paired_profiles(n_molecules=300, n_features=50, random_state=0)
    >>> data.profiles.shape, len(set(data.metadata["Metadata_Plate"]))
    ((1264, 50), 4)
    """
    feature_names = spread_evenly(feature_names_of(measure_modules()), n_features)
    biology_rng, plate_rng, well_rng = _generators(random_state, 3)
    biology = _planted_biology(n_molecules, n_features, n_latent, inactive_fraction, biology_rng)
    layout = _plate_layout(n_molecules, n_replicates, n_controls_per_plate, plate_rng)
    effects = _plate_effects(len(layout), n_features, plate_effect, position_effect, plate_rng)
    noise_loadings = draw_noise_loadings(n_features, well_rng)
    disturbance = _Disturbance(noise, noise_loadings, outlier_fraction, missing_fraction)
    profiles = _measured(layout, biology.clean_profiles, effects, disturbance, well_rng)
    molecule, well = np.concatenate(layout, axis=1)
    plate = np.repeat(np.arange(len(layout)), [len(well) for _, well in layout])
    metadata = _metadata(biology.molecules, molecule, well, plate)
    data = Bunch(
        smiles=metadata["Metadata_SMILES"],
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
    return _with_frames(data) if as_frame else data


def _with_frames(data: Bunch) -> Bunch:
    """Give the metadata as a DataFrame, and all columns as another."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError('as_frame=True needs pandas. Install it with: pip install "mocop-sklearn[data]"') from error
    data.metadata = pandas.DataFrame(data.metadata)
    data.frame = data.metadata.join(pandas.DataFrame(data.profiles, columns=data.feature_names))
    return data


class _Disturbance(NamedTuple):
    noise: float
    noise_loadings: np.ndarray  # (n_factors, n_features)
    outlier_fraction: float
    missing_fraction: float


def _measured(
    layout: list[tuple[np.ndarray, np.ndarray]],
    clean_profiles: np.ndarray,
    effects: _PlateEffects,
    disturbance: _Disturbance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Measured values of all wells (n_wells, n_features), plate by plate."""
    effect_of_molecule = np.vstack([clean_profiles, np.zeros(clean_profiles.shape[1])])  # row -1 is DMSO
    parts = []
    for i, (molecule, well) in enumerate(layout):
        effect = effect_of_molecule[molecule] + position_effects(effects.slopes[i], effects.edge, well)
        effect += disturbance.noise * _correlated_noise(disturbance.noise_loadings, len(well), rng)
        plant_outliers(effect, disturbance.outlier_fraction, rng)
        effect[rng.random(effect.shape) < disturbance.missing_fraction] = np.nan
        parts.append((effects.offset[i] + effects.scale[i] * effect).astype(np.float32))
    return np.concatenate(parts)


def _metadata(molecules: np.ndarray, molecule: np.ndarray, well: np.ndarray, plate: np.ndarray) -> dict[str, Any]:
    """Columns that say what is in each well, and where it is."""
    plates = text_array(f"plate_{i + 1:03d}" for i in range(plate.max() + 1))
    wells = text_array(f"{chr(65 + i // N_COLUMNS)}{i % N_COLUMNS + 1:02d}" for i in range(N_WELLS))
    compounds = text_array([*(f"compound_{i + 1:04d}" for i in range(len(molecules))), "DMSO"])
    return {
        "Metadata_Plate": plates[plate],
        "Metadata_Well": wells[well],
        "Metadata_Compound": compounds[molecule],
        "Metadata_SMILES": np.append(molecules, DMSO)[molecule],
        "Metadata_IsNegcon": molecule < 0,
    }


def _generators(random_state: Any, n: int) -> list[np.random.Generator]:
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n)
    return [np.random.default_rng(seed) for seed in seeds]


def _planted_biology(
    n_molecules: int, n_features: int, n_latent: int, inactive_fraction: float, rng: np.random.Generator
) -> Bunch:
    """Draw molecules; give each its latent biology, its activity, its effect and its task."""
    molecules, counts = collection()
    if n_molecules > len(molecules):
        raise ValueError(f"n_molecules={n_molecules}, but the collection holds {len(molecules)}.")
    rows = rng.permutation(len(molecules))[:n_molecules]
    latent = np.stack([latent_dimension(counts, rng) for _ in range(n_latent)], axis=1)
    active = rng.random(len(molecules)) >= inactive_fraction
    amplitude = np.where(active, rng.lognormal(0.0, 0.3, len(molecules)), 0.0)
    z1, z2, z3 = latent[:, np.arange(3) % n_latent].T
    assay = z1 + z2 * z3 + 0.5 * rng.normal(size=len(molecules))
    task = (assay > np.quantile(assay, 0.7)).astype(np.int64)
    loadings = draw_loadings(n_latent, n_features, rng)
    clean = SATURATION * np.tanh(amplitude[rows, None] * (latent[rows] @ loadings) / SATURATION)
    return Bunch(
        molecules=molecules[rows],
        latent=latent[rows],
        active=active[rows],
        amplitude=amplitude[rows],
        clean_profiles=clean,
        task=task[rows],
    )


def _plate_layout(
    n_molecules: int, n_replicates: int, n_controls: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each plate the molecule (-1 for DMSO) and the position of its wells, in the order of positions."""
    n_parts = -(-n_molecules // (N_WELLS - n_controls))
    plates = []
    for _ in range(n_replicates):
        for part in np.array_split(rng.permutation(n_molecules), n_parts):
            molecule = rng.permutation(np.concatenate([part, np.full(n_controls, -1)]))
            plates.append((molecule, np.sort(rng.permutation(N_WELLS)[: len(molecule)])))
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


def _correlated_noise(loadings: np.ndarray, n_wells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance, part of it shared between features."""
    shared = rng.normal(size=(n_wells, len(loadings))) @ loadings
    return shared + np.sqrt(1 - SHARED_NOISE) * rng.normal(size=shared.shape)
