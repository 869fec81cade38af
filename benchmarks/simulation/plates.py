"""JUMP-like plates: which columns they have, what their wells measure, and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from mocop_sklearn.datasets._planting import (
    CHANNELS,
    SATURATION,
    SHARED_NOISE,
    draw_loadings,
    draw_noise_loadings,
    feature_names_of,
    measure_modules,
    plant_outliers,
    position_effects,
    spread_evenly,
)
from mocop_sklearn.profiles import ProfileFilter
from mocop_sklearn.utils._files import atomic_write

from .layout import PLATE_KEY, WELL_NAMES

_DECADES = 1.0, 2.0  # of outliers: the paper's limit on the standard deviation must bear them
USEFUL, BLOCKED, _CONSTANT, _WILD, _MISSING = range(5)
MAX_USELESS = 132  # blocked names and centres are not more
_COLUMNS, _TECHNICAL, _WELLS = range(3)  # purposes of random numbers

PlateKey = tuple[str, str, str]  # source, batch, plate


def random_stream(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of one purpose, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Sizes(NamedTuple):
    """Sizes of what disturbs the wells."""

    source_effect: float
    batch_effect: float
    plate_effect: float
    position_effect: float
    noise: float
    outlier_fraction: float
    missing_fraction: float


class Simulation(NamedTuple):
    """What all plates share. Every plate has random numbers of its own, which depend on its name alone."""

    seed: int
    sizes: Sizes
    kind: np.ndarray  # (n_columns,)
    location: np.ndarray  # (n_columns,)
    unit: np.ndarray  # (n_columns,)
    edge: np.ndarray  # (n_columns,)
    loadings: np.ndarray  # (n_latent, n_columns)
    noise_loadings: np.ndarray  # (n_factors, n_columns)

    def _generator(self, purpose: int, names: tuple[str, ...]) -> np.random.Generator:
        digest = hashlib.sha256("\0".join(names).encode()).digest()
        return random_stream(self.seed, purpose, int.from_bytes(digest[:8], "little"))

    def technical(self, plate: PlateKey) -> tuple[np.ndarray, np.ndarray]:
        """Shift of the latent state (n_latent,) and offset of the columns (n_columns,) on a plate."""
        shift, offset = np.zeros(len(self.loadings)), np.zeros(len(self.kind))
        for depth, size in enumerate(self.sizes[:3], start=1):
            rng = self._generator(_TECHNICAL, plate[:depth])
            shift += size * rng.normal(size=shift.shape)
            offset += size * rng.normal(size=offset.shape)
        return shift.astype(np.float32), offset.astype(np.float32)

    def states(self, plate: PlateKey, effect: np.ndarray) -> tuple[np.ndarray, np.random.Generator]:
        """Latent state of the wells (n_wells, n_latent), and the plate's random numbers that come after it."""
        rng = self._generator(_WELLS, plate)
        noise = self.sizes.noise * rng.standard_normal(effect.shape, dtype=np.float32)
        return effect + self.technical(plate)[0] + noise, rng

    def wells(self, plate: PlateKey, position: np.ndarray, effect: np.ndarray) -> np.ndarray:
        """Measured values of the wells of a plate (n_wells, n_columns)."""
        state, rng = self.states(plate, effect)
        sizes, n_columns = self.sizes, len(self.kind)
        slopes = sizes.position_effect * rng.standard_normal((2, n_columns), dtype=np.float32)
        scale = np.exp(0.2 * sizes.plate_effect * rng.standard_normal(n_columns, dtype=np.float32))
        shared = rng.standard_normal((len(position), len(self.noise_loadings)), dtype=np.float32)
        x = rng.standard_normal((len(position), n_columns), dtype=np.float32)
        wild = x[:, self.kind == _WILD].copy()
        x *= np.float32(sizes.noise * np.sqrt(1 - SHARED_NOISE))
        x += np.float32(sizes.noise) * (shared @ self.noise_loadings)
        x += profiles_of(state, self.loadings)
        x += position_effects(slopes, self.edge, position)
        plant_outliers(x, sizes.outlier_fraction, rng, _DECADES)
        x *= scale
        x += self.technical(plate)[1]
        x[:, self.kind == _CONSTANT] = 0.0
        x[:, self.kind == _WILD] = np.exp(3 * wild)  # standard deviation about 60 inter-quartile ranges
        x *= self.unit
        x += self.location
        self._lose_values(x, rng)
        return x

    def _lose_values(self, x: np.ndarray, rng: np.random.Generator) -> None:
        missing = np.flatnonzero(self.kind == _MISSING)
        share = np.where(rng.random(len(missing)) < 0.2, 1.0, 0.05)
        lost = rng.random((len(x), len(missing))) < share
        lost[rng.integers(len(x))] = True  # a plate of few wells misses one as well
        x[:, missing] = np.where(lost, np.nan, x[:, missing])
        if self.sizes.missing_fraction:
            x[rng.random(x.shape, dtype=np.float32) < self.sizes.missing_fraction] = np.nan


def profiles_of(state: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Effects in the features, float32."""
    x = state.astype(np.float32) @ (loadings / np.float32(SATURATION))
    np.tanh(x, out=x)
    x *= np.float32(SATURATION)
    return x


def make_simulation(
    n_features: int, n_useless: int, n_latent: int, sizes: Sizes, seed: int
) -> tuple[np.ndarray, Simulation]:
    """Names of the columns, and what all plates share."""
    rng = random_stream(seed, _COLUMNS)
    names, kind = make_columns(n_features, n_useless)
    n_columns = len(names)
    unit = 10 ** rng.uniform(-2, 2, n_columns)
    arrays = {
        "location": unit * rng.uniform(2, 20, n_columns),
        "unit": unit,
        "edge": sizes.position_effect * rng.normal(size=n_columns),
        "loadings": draw_loadings(n_latent, n_columns, rng) * (kind == USEFUL),
        "noise_loadings": draw_noise_loadings(n_columns, rng),
    }
    return names, Simulation(seed, sizes, kind, **{name: a.astype(np.float32) for name, a in arrays.items()})


def make_columns(n_features: int, n_useless: int) -> tuple[np.ndarray, np.ndarray]:
    """Names of the columns in alphabetical order, and of what kind each is."""
    pairs = list(map("_".join, permutations(CHANNELS, 2)))
    shapes = "BoundingBoxArea ConvexArea EquivalentDiameter EulerNumber MajorAxisLength MaxFeretDiameter MaximumRadius"
    shapes += " MeanRadius MedianRadius MinFeretDiameter MinorAxisLength Orientation"
    more: dict[str, list[Iterable[Any]]] = {
        "AreaShape": [shapes.split()],
        "AreaShape_HuMoment": [range(7)],
        "Correlation": [["Costes", "K", "Manders", "RWC"], pairs],
        "RadialDistribution": [["FracAtD", "MeanFrac", "RadialCV"], CHANNELS, ["1of4", "2of4", "3of4", "4of4"]],
    }
    centres = feature_names_of(
        {
            "Location_Center": ["XYZ"],
            "Location_CenterMassIntensity": ["XYZ", CHANNELS],
            "Location_MaxIntensity": ["XYZ", CHANNELS],
        }
    )
    names = np.concatenate([feature_names_of(measure_modules()), feature_names_of(more)])
    is_blocked = np.array([any(part in name for part in ProfileFilter.paper().blocklist) for name in names])
    useless = np.arange(n_useless) % 4 + BLOCKED
    n_blocked = int((useless == BLOCKED).sum())
    names = np.concatenate(
        [
            spread_evenly(names[~is_blocked], n_features),
            spread_evenly(names[is_blocked], n_blocked),
            spread_evenly(centres, n_useless - n_blocked),
        ]
    )
    kind = np.concatenate([np.full(n_features, USEFUL), np.sort(useless)])
    order = np.argsort(names.astype(str))
    return names[order], kind[order]


def write_plate(
    root: Path,
    feature_names: np.ndarray,
    simulation: Simulation,
    plate: PlateKey,
    position: np.ndarray,
    effect: np.ndarray,
    overwrite: bool,
) -> Path:
    source, batch, name = plate
    path = root / "cpg0016-jump" / source / "workspace" / "profiles" / batch / name / f"{name}.parquet"
    if path.exists() and not overwrite:
        return path
    with threadpool_limits(1, "blas"):  # the last bits of a product may depend on the number of threads
        x = simulation.wells(plate, position, effect)
    columns = {
        "Metadata_Source": pa.array([source] * len(x)),
        "Metadata_Plate": pa.array([name] * len(x)),
        "Metadata_Well": pa.array([WELL_NAMES[i] for i in position]),
    }
    columns.update(zip(feature_names, map(pa.array, np.ascontiguousarray(x.T)), strict=True))
    with atomic_write(path) as temporary:
        # noise does not compress
        parquet.write_table(
            pa.table(columns), temporary, use_dictionary=False, write_statistics=False, compression="none"
        )
    return path


def plates_of(data: Bunch) -> Iterable[tuple[PlateKey, np.ndarray, np.ndarray]]:
    """Key of each plate, positions of its wells, and what their molecules do to the latent state."""
    effects = np.vstack([data.amplitude[:, None] * data.latent, np.zeros(data.latent.shape[1])]).astype(np.float32)
    keys, plate = data.wells[PLATE_KEY].to_numpy(), data.wells["plate"].to_numpy()
    position, molecule = data.wells["position"].to_numpy(), data.wells["molecule"].to_numpy()
    for wells in split_by_group(plate, np.ones(len(plate), dtype=bool)):
        source, batch, name = keys[wells[0]]
        yield (source, batch, name), position[wells], effects[molecule[wells]]


def split_by_group(group: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    """Rows to keep, group by group."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(group[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
