"""What a Dask cluster does in tests; its workers import it by name."""

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


def grid_search(folder, scheduler):
    """Two candidates and two folds on the cluster, and the same by this process; then the example."""
    import dask_grid_search
    import joblib
    from dask.distributed import Client
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mocop_sklearn.datasets import make_paired_profiles

    data = make_paired_profiles(n_molecules=80, n_features=20, random_state=0)
    results = {}
    with Client(scheduler) as client:
        for where in ("cluster", "here"):
            own = folder / where
            own.mkdir()
            embedder = MoCoPEmbedder(
                pairs=(data.smiles, data.profiles),
                profile_transformer=Logged(str(own / "log")),
                memory=own / "cache",
                max_epochs=2,
                random_state=0,
            )
            search = GridSearchCV(
                make_pipeline(embedder, StandardScaler(), LogisticRegression(max_iter=1000)),
                {"mocopembedder__temperature": [0.05, 0.1]},
                cv=2,
                scoring="roc_auc",
            )
            with joblib.parallel_config(**({"backend": "dask", "client": client} if where == "cluster" else {})):
                search.fit(data.molecules, data.task)
            results[where] = {
                "pretrainings": len((own / "log").read_text().splitlines()),
                "scores": search.cv_results_["mean_test_score"].tolist(),
                "embedding": search.best_estimator_[0].transform(["CCO"]).tolist(),
            }
    dask_grid_search.main(folder, scheduler)
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    from tests.helpers import cluster_jobs  # under the name that the workers know

    cluster_jobs.grid_search(Path(sys.argv[1]), sys.argv[2])
