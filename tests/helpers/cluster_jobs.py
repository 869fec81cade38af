"""What a Dask cluster of two processes does in tests. Its workers import this file by its name."""

import functools
import json
import os
import sys
from pathlib import Path

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.profiles import ProfileScaler


class Logged(ProfileScaler):
    """A profile transformer that leaves a line in a file for every pretraining, in whatever process."""

    def __init__(self, log=None):
        super().__init__()
        self.log = log

    def fit(self, X, y=None):
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")
        return super().fit(X, y)


def run_examples(folder):
    """Run both examples on the cluster, and the grid search once more in this process."""
    import dask_embed
    import dask_grid_search
    from dask.distributed import LocalCluster
    from sklearn.base import clone

    from mocop_sklearn.datasets import make_paired_profiles

    logged = Logged(str(folder / "log"))
    dask_grid_search.MoCoPEmbedder = functools.partial(MoCoPEmbedder, profile_transformer=logged)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        dask_embed.main(folder / "model.safetensors", folder / "library", folder / "out", 12, address)
        on_cluster = dask_grid_search.main(folder, address)
    log = Path(logged.log).read_text().splitlines()
    data = make_paired_profiles(n_molecules=80, n_features=40, random_state=0)  # those of the example
    here = (
        clone(on_cluster)
        .set_params(estimator__mocopembedder__memory=folder / "cache-here")
        .fit(data.molecules, data.task)
    )
    results = {
        where: {
            "scores": search.cv_results_["mean_test_score"].tolist(),
            "embedding": search.best_estimator_[0].transform(["CCO"]).tolist(),
        }
        for where, search in (("cluster", on_cluster), ("here", here))
    }
    (folder / "results.json").write_text(json.dumps(results | {"pretrainings": log}))


if __name__ == "__main__":
    from tests.helpers import cluster_jobs  # under the name that the workers know

    cluster_jobs.run_examples(Path(sys.argv[1]))
