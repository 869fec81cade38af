"""A grid search over a Dask cluster that pretrains once per candidate, not once per fold.

    python docs/examples/dask_grid_search.py                        two worker processes on this machine
    python docs/examples/dask_grid_search.py tcp://scheduler:8786   the workers of a running cluster

`pairs` and `memory` are paths, so that no profiles travel: on a cluster, in a folder that all workers see. Of the
workers that need one fit, one trains and the others wait. A grid search hands out the folds of a candidate one after
the other; so that candidates are trained side by side, they are pretrained first, one task for each. Workers have one
thread: the random numbers of two trainings in one process would mix.
"""

import sys
import tempfile
from pathlib import Path

import joblib
from dask.distributed import Client
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPEmbedder, build_pairs
from mocop_sklearn.datasets import make_paired_profiles


def pretrain(embedder, smiles):
    embedder.fit(smiles)  # stays in the cache; nothing is sent back


def search(smiles, labels, embedder, temperatures, client):
    """Fit a GridSearchCV on the cluster."""
    pipeline = make_pipeline(embedder, StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"mocopembedder__temperature": temperatures, "logisticregression__C": [0.01, 1.0]}
    candidates = [clone(embedder).set_params(temperature=temperature) for temperature in temperatures]
    with joblib.parallel_config("dask", client=client):
        joblib.Parallel()(joblib.delayed(pretrain)(candidate, smiles) for candidate in candidates)
        return GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc").fit(smiles, labels)


def main(folder, address=None):
    """Search two temperatures on simulated plates; files are left in the folder."""
    folder = Path(folder).resolve()
    data = make_paired_profiles(n_molecules=80, n_features=40, as_frame=True, random_state=0)
    data.frame.to_parquet(folder / "wells.parquet")
    build_pairs(folder / "wells.pairs", [folder / "wells.parquet"])
    embedder = MoCoPEmbedder(pairs=folder / "wells.pairs", memory=folder / "cache", max_epochs=2, random_state=0)
    workers = {"address": address} if address else {"n_workers": 2, "threads_per_worker": 1}
    with Client(**workers) as client:
        fitted = search(data.molecules, data.task, embedder, [0.05, 0.1], client)
    n_fits = len(fitted.cv_results_["params"]) * 2 + 1
    n_files = len(list((folder / "cache").rglob("fit-*.safetensors")))
    print(f"{n_fits} fits of the pipeline, {n_files} pretrainings; best: {fitted.best_params_}")
    return fitted


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=".") as folder:
        main(folder, *sys.argv[1:])
