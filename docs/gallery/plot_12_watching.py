"""
Watching a training
===================

Two ways to hear of every epoch. ``callbacks=`` takes functions of the row of ``history_``: for a log, or a tracker such
as MLflow. ``set_callbacks`` takes callbacks of scikit-learn (1.9 and later), which may look at the model so far, and
stop.

To be quick, it takes 200 molecules and trains the head alone.
"""

import csv
import importlib.util
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mocop_sklearn import MoCoPRegressor
from mocop_sklearn.datasets import load_biogen_adme

data = load_biogen_adme()
solubility = data.target[:, data.target_names.index("Sol")]
rows = np.flatnonzero((data.split == "train") & np.isfinite(solubility))[:200]
smiles, y = [data.smiles[i] for i in rows], solubility[rows]
head = {"freeze": "encoder", "head_init": "random", "learning_rate": 1e-3}
recipe = {"pretrained": "distilled", "max_epochs": 15, "validation_fraction": 0.2, "random_state": 0, **head}

# %%
# A file, and MLflow
# ------------------
# A logger is any callable. It gets a copy of the row, and what it returns does not matter.


class CSVLogger:
    """Appends the row of every epoch to a file."""

    def __init__(self, path):
        self.path = Path(path)

    def __call__(self, row):
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)


path = Path(tempfile.mkdtemp()) / "history.csv"
loggers = [CSVLogger(path)]
if importlib.util.find_spec("mlflow"):
    import mlflow

    mlflow.set_tracking_uri((path.parent / "runs").as_uri())
    loggers.append(lambda row: mlflow.log_metrics(row, step=row["epoch"]))

model = MoCoPRegressor(**recipe, callbacks=loggers).fit(smiles, y)
print("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:3]))

# %%
# Callbacks of scikit-learn
# -------------------------
# ``ScoringMonitor`` scores the model so far on the molecules of ``fit``. A callback whose ``on_fit_task_end`` returns
# True ends training; this one does when these molecules are explained well enough.

monitor = None
if importlib.util.find_spec("sklearn.callback"):
    from sklearn.callback import ScoringMonitor

    class GoodEnough:
        """Ends training when R² on the molecules of ``fit`` is high."""

        def __init__(self, score):
            self.score = score

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            return fitted_estimator.score(X, y) >= self.score

        def teardown(self, estimator, context):
            pass

    monitor = ScoringMonitor(scoring="r2")
    model = MoCoPRegressor(**recipe).set_callbacks(monitor, GoodEnough(0.35)).fit(smiles, y)
    print(f"ended after {model.n_iter_} of {recipe['max_epochs']} epochs")

# %%
# What both have heard
# --------------------

_, ax = plt.subplots()
ax.plot([row["epoch"] for row in model.history_], [row["validation_score"] for row in model.history_], "o-",
        label="validation molecules")  # fmt: skip
if monitor is not None:
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    ax.plot([row["task_id"] + 1 for row in epochs], [row["r2"] for row in epochs], "s--", label="all molecules of fit")
ax.set(title="Solubility, fine-tuned", xlabel="epoch", ylabel="R²")
ax.legend()
plt.show()
