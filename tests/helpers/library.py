"""Molecules for groups, and what groups are compared by."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "bioactivity"
RINGS = "c1ccccc1 c1ccncc1 C1CCCCC1 c1ccc2ccccc2c1 C1CCNCC1 c1ccsc1".split()
CHAINS = "C CC CCO C(=O)N C(=O)O OC NC(=O)C S(=O)(=O)N CCCCN FC(F)(F)".split()
LIBRARY = [chain + ring for ring, chain in product(RINGS, CHAINS)] + [
    chain + ring[:2] + "(O)" + ring[2:] for ring, chain in product(("C1CCCCC1", "C1CCNCC1"), CHAINS)
]


def same_partition(a, b) -> bool:
    """Whether two labellings put the same rows together."""
    return len(np.unique(np.c_[a, b], axis=0)) == len(np.unique(a)) == len(np.unique(b))


def real(name: str) -> pd.DataFrame:
    """A table of real data, or a skipped test."""
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{name} is not among the data of this checkout")
    return pd.read_parquet(path)
