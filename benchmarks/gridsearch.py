"""A grid search with ``memory`` against its pretrainings alone: one per candidate, whatever the folds.

Four temperatures, five folds, a random forest or a logistic regression on the embedding, and the refit. The candidates
take turns, each round with an empty cache, and the median of the rounds counts. The forests alone are timed too: they
are what the search would cost with features that are there already.

    python benchmarks/gridsearch.py            about eight minutes; as many molecules as in the demonstration on COMAS
    python benchmarks/gridsearch.py --quick
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
from common import interleaved, print_table, save
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.datasets import make_paired_profiles

TEMPERATURES = [0.05, 0.1, 0.2, 0.4]
N_FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few molecules, few epochs")
    quick = parser.parse_args().quick
    n_molecules, max_epochs = (60, 3) if quick else (700, 100)
    data = make_paired_profiles(n_molecules=n_molecules, random_state=0)
    wells = ~data.is_control
    pairs = PairedProfiles(data.smiles[wells], data.profiles[wells])
    parameters = {"pairs": pairs, "max_epochs": max_epochs, "random_state": 0}
    forest = RandomForestClassifier(100, random_state=0)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3))

    def pretrainings() -> None:
        for temperature in TEMPERATURES:
            MoCoPEmbedder(temperature=temperature, **parameters).fit(data.molecules)

    def search(head: Any) -> None:
        with tempfile.TemporaryDirectory() as memory:
            pipeline = make_pipeline(MoCoPEmbedder(memory=memory, **parameters), head)
            grid = {"mocopembedder__temperature": TEMPERATURES}
            GridSearchCV(pipeline, grid, cv=N_FOLDS).fit(data.molecules, data.task)

    def forests() -> None:
        Z = np.random.default_rng(0).normal(size=(n_molecules, 1024)).astype(np.float32)
        GridSearchCV(forest, {"max_depth": [None] * len(TEMPERATURES)}, cv=N_FOLDS).fit(Z, data.task)

    start = time.perf_counter()
    seconds = interleaved(
        {
            "pretrainings": pretrainings,
            "search, forest": lambda: search(forest),
            "search, logistic regression": lambda: search(logistic),
            "forests": forests,
        },
        rounds=1 if quick else 2,
    )
    print_table(
        ["", "seconds", "over the pretrainings"],
        [[name, f"{s:.2f}", f"{s / seconds['pretrainings']:.3f}"] for name, s in seconds.items()],
    )
    print(f"{time.perf_counter() - start:.0f} s in all")
    figures = {
        "n_molecules": n_molecules,
        "n_wells": int(wells.sum()),
        "max_epochs": max_epochs,
        "n_candidates": len(TEMPERATURES),
        "n_folds": N_FOLDS,
        "seconds": seconds,
    }
    save("gridsearch_quick" if quick else "gridsearch", figures)


if __name__ == "__main__":
    main()
