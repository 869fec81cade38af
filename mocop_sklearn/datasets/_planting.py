"""Parts of simulated data sets: real molecules, a biology read from their structure, noise, names of columns."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
from rdkit import Chem, RDConfig
from rdkit.Chem import rdFingerprintGenerator
from rdkit.rdBase import BlockLogs

from ..molecules._parse import InvalidMolecule, parse_molecule

DMSO = "CS(C)=O"
N_ROWS, N_COLUMNS = 16, 24
N_WELLS = N_ROWS * N_COLUMNS
_ORGANIC = frozenset(("B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"))
N_SUBSTRUCTURES = 6  # of each latent dimension
_LOADED = 0.3  # share of the features that a latent dimension moves
SATURATION = 4.0
CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
_N_NOISE_FACTORS, SHARED_NOISE = 5, 0.5
OUTLIER_DECADES = 2.0, 5.5


@cache
def collection() -> tuple[np.ndarray, np.ndarray]:
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
    found = morgan_environments(molecules.values())
    return text_array(molecules), environment_counts(found, common_environments(found))


def morgan_environments(molecules: Iterable[Chem.Mol]) -> list[dict[int, int]]:
    """For each molecule how often each environment of radius 0 to 2 occurs."""
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    return [morgan.GetSparseCountFingerprint(mol).GetNonzeroElements() for mol in molecules]


def common_environments(found: list[dict[int, int]]) -> np.ndarray:
    """Environments that are in 3 to 50 % of the molecules."""
    environments, n_molecules = np.unique([e for f in found for e in f], return_counts=True)
    share = n_molecules / len(found)
    return environments[(share > 0.03) & (share < 0.5)]


def environment_counts(found: list[dict[int, int]], environments: np.ndarray) -> np.ndarray:
    """Counts of some environments, shape (n_molecules, n_environments)."""
    column_of = {int(environment): i for i, environment in enumerate(environments)}
    counts = np.zeros((len(found), len(environments)))
    for row, molecule in enumerate(found):
        for environment in molecule.keys() & column_of.keys():
            counts[row, column_of[environment]] = molecule[environment]
    return counts


def latent_dimension(counts: np.ndarray, rng: np.random.Generator, reference: slice = slice(None)) -> np.ndarray:
    """A saturating function of a few environments, two products among them, standardised over the reference rows."""
    present = counts[:, rng.choice(counts.shape[1], N_SUBSTRUCTURES, replace=False)]
    present = present / (1 + present)
    products = present[:, [0, 2]] * present[:, [1, 3]]
    terms = _standardized(np.hstack([present, products]), reference)
    return _standardized(np.tanh(_standardized(terms @ rng.choice([-1.0, 1.0], terms.shape[1]), reference)), reference)


def _standardized(x: np.ndarray, reference: slice) -> np.ndarray:
    return (x - x[reference].mean(axis=0)) / np.maximum(x[reference].std(axis=0), 1e-12)


def draw_loadings(n_latent: int, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """W: how the latent dimensions move the features; an active molecule's have about one variance for any n_latent."""
    loadings = rng.normal(scale=1.5 / np.sqrt(_LOADED * n_latent), size=(n_latent, n_features))
    return loadings * (rng.random(loadings.shape) < _LOADED)


def position_effects(slopes: np.ndarray, edge: np.ndarray, well: np.ndarray) -> np.ndarray:
    position = np.stack([well // N_COLUMNS, well % N_COLUMNS], axis=1) / [N_ROWS - 1, N_COLUMNS - 1] * 2 - 1
    at_edge = (np.abs(position) == 1).any(axis=1)
    return position.astype(slopes.dtype) @ slopes + np.outer(at_edge, edge)


def draw_noise_loadings(n_features: int, rng: np.random.Generator) -> np.ndarray:
    loadings = rng.normal(size=(_N_NOISE_FACTORS, n_features))
    return np.sqrt(SHARED_NOISE) * loadings / np.linalg.norm(loadings, axis=0)


def plant_outliers(
    effect: np.ndarray, fraction: float, rng: np.random.Generator, decades: tuple[float, float] = OUTLIER_DECADES
) -> None:
    wells = np.flatnonzero(rng.random(len(effect)) < fraction)
    features = rng.integers(effect.shape[1], size=len(wells))
    effect[wells, features] = rng.choice([-1, 1], len(wells)) * 10 ** rng.uniform(*decades, len(wells))


def measure_modules() -> dict[str, list[Iterable[Any]]]:
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
        "Correlation": [["Correlation", "Overlap"], map("_".join, combinations(CHANNELS, 2))],
        "Granularity": [range(1, 17), CHANNELS],
        "Intensity": [intensity, CHANNELS],
        "RadialDistribution": [["ZernikeMagnitude", "ZernikePhase"], CHANNELS, zernike],
        "Texture": [texture.split(), CHANNELS, [3, 5, 10], ["00", "01", "02", "03"], [256]],
    }


def feature_names_of(modules: dict[str, list[Iterable[Any]]]) -> np.ndarray:
    """Every measure of every compartment."""
    measures = ["_".join(map(str, (module, *parts))) for module, axes in modules.items() for parts in product(*axes)]
    return text_array("_".join(pair) for pair in product(["Cells", "Cytoplasm", "Nuclei"], measures))


def spread_evenly(names: np.ndarray, n_features: int) -> np.ndarray:
    if n_features > len(names):
        raise ValueError(f"n_features={n_features}, but there are names for {len(names)} features.")
    return names[np.arange(n_features) * len(names) // n_features]


def text_array(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=object)
