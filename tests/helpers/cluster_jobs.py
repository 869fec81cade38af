"""What a Dask cluster of two processes does in tests. Its workers import this file by its name."""

import functools
import json
import os
import sys
from pathlib import Path

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.nn import GatedGraphEncoder


class LoggedEncoder(GatedGraphEncoder):
    """An encoder that leaves a line in a file with every step of training, in whatever process."""

    def __init__(self, log, *widths):
        super().__init__(*widths, n_layers=1, hidden_dim=8, embedding_dim=16, dropout=0.0)
        self.log = log

    def forward(self, graph):
        if self.training:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()}\n")
        return super().forward(graph)


def run_examples(folder):
    """Run both examples on the cluster, and the grid search once more in this process."""
    import dask_embed
    import dask_grid_search
    from dask.distributed import LocalCluster
    from sklearn.base import clone

    from mocop_sklearn.datasets import make_paired_profiles

    logs = {where: str(folder / f"{where}.log") for where in ("cluster", "here")}
    encoders = {where: functools.partial(LoggedEncoder, log) for where, log in logs.items()}
    dask_grid_search.MoCoPEmbedder = functools.partial(MoCoPEmbedder, encoder=encoders["cluster"])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        dask_embed.main(folder / "model.safetensors", folder / "library", folder / "out", 12, address)
        on_cluster = dask_grid_search.main(folder, address)
    data = make_paired_profiles(n_molecules=80, n_features=40, random_state=0)  # those of the example
    own = {"memory": folder / "cache-here", "encoder": encoders["here"]}
    here = clone(on_cluster).set_params(**{f"estimator__mocopembedder__{name}": value for name, value in own.items()})
    here.fit(data.molecules, data.task)
    results = {
        where: {
            "scores": search.cv_results_["mean_test_score"].tolist(),
            "steps": len(Path(logs[where]).read_text().splitlines()),
            "embedding": search.best_estimator_[0].transform(["CCO"]).tolist(),
        }
        for where, search in (("cluster", on_cluster), ("here", here))
    }
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    from tests.helpers import cluster_jobs  # under the name that the workers know

    cluster_jobs.run_examples(Path(sys.argv[1]))
