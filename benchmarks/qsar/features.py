"""Features that need no training, computed once for each molecule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
from common import DATA, cached
from rdkit import Chem, rdBase
from rdkit.Chem.Descriptors import CalcMolDescriptors
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from mocop_sklearn.molecules import MiniMol, MorganCounts
from mocop_sklearn.molecules._parse import connectivity_key

# 6,000 molecules a second, beside 250 for the descriptors: the floats of both are what costs memory
Table = Callable[[Sequence[str]], np.ndarray]


def ecfp(smiles: Sequence[str]) -> np.ndarray:
    """Morgan fingerprints, radius 2, 2048 bits."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    with rdBase.BlockLogs():
        return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles], dtype=np.uint8)


def descriptors(smiles: Sequence[str]) -> np.ndarray:
    """All of RDKit's descriptors; what is not finite is 0, what is huge is cut."""
    with rdBase.BlockLogs():
        rows = [list(CalcMolDescriptors(Chem.MolFromSmiles(s)).values()) for s in smiles]
    values = np.nan_to_num(np.array(rows, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(values, -1e6, 1e6).astype(np.float32)


def cell_counts(smiles: Sequence[str]) -> np.ndarray:
    """Cells left in the wells of a Cell Painting screen (CDRP), mean over doses, by connectivity; NaN where unknown."""
    path = DATA / "cdrp_mito_screen.parquet"
    if not path.exists():
        return np.full((len(smiles), 1), np.nan)
    wells = pd.read_parquet(path, columns=["Metadata_ParentInChIKey14", "Count_Cells_avg"])
    counts = wells.groupby("Metadata_ParentInChIKey14")["Count_Cells_avg"].mean()
    with rdBase.BlockLogs():
        keys = [connectivity_key(Chem.MolFromSmiles(s)) for s in smiles]
    return counts.reindex(keys).to_numpy(dtype=float)[:, None]


def counts(smiles: Sequence[str]) -> np.ndarray:
    """Logarithms of the counts of Morgan fingerprints."""
    return np.asarray(MorganCounts(standardize=None).fit_transform(list(smiles)))


def minimol(smiles: Sequence[str]) -> np.ndarray:
    """MiniMol's fingerprint; NaN for a molecule that it refuses."""
    return np.asarray(MiniMol(standardize=None, invalid="nan").fit_transform(list(smiles)))


FIXED: dict[str, Table] = {
    "ecfp": ecfp,
    "counts": counts,
    "descriptors": descriptors,
    "minimol": minimol,
    "cell count": cell_counts,
}


class Lookup:
    """Rows of a feature matrix by SMILES, made for all molecules at once and kept in the cache.

    Parameters
    ----------
    smiles : list of str
        Every molecule that will be asked for.
    cache : str, Path or None
    """

    def __init__(self, smiles: Sequence[str], cache: Any):
        self.smiles = sorted(set(smiles))
        self.cache = cache
        self._row = pd.Index(self.smiles)
        self._digest = joblib.hash(self.smiles)
        self._tables: dict[str, np.ndarray] = {}

    def prepare(self, name: str, make: Table, n_jobs: int) -> None:
        """Make features in several processes, which would otherwise wait for the first that needs them."""
        parts = np.array_split(np.array(self.smiles, dtype=object), 8 * n_jobs)

        def in_parallel() -> np.ndarray:
            made = joblib.Parallel(n_jobs)(joblib.delayed(make)(part.tolist()) for part in parts if len(part))
            return np.concatenate(made)

        cached(self.cache, self._key(name), in_parallel)

    def rows(self, name: str, make: Table, smiles: Sequence[str]) -> np.ndarray:
        """Features ``name`` of ``smiles``, made by ``make`` on first use; ``name`` must tell all that decides them."""
        if name not in self._tables:
            self._tables[name] = cached(self.cache, self._key(name), partial(make, self.smiles))
        return self._tables[name][self._row.get_indexer(smiles)]

    def _key(self, name: str) -> str:
        return f"features-{joblib.hash([name, self._digest])}"
