"""Fits that are killed at random moments and go on from their checkpoints, until they end.

    python -m tests.helpers.kills embedder|classifier N SEED FOLDER

writes FOLDER/report.json: how many kills hit a fit, how many fits ended, and how many of them gave exactly the numbers
of a fit without a break.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles

SIZES = {"n_layers": 2, "hidden_dim": 32, "embedding_dim": 64, "batch_size": 16, "max_epochs": 12, "random_state": 0}


def fit(kind, **options):
    """A short fit, and the numbers that tell its model."""
    data = make_paired_profiles(n_molecules=120, n_features=30, random_state=0)
    if kind == "embedder":
        own = {"projection_dim": 16, "profile_dims": (32, 16), "validation_fraction": 0.2, "side_features": None}
        model = MoCoPEmbedder(**SIZES, **own, **options).fit(data.smiles, profiles=data.profiles)
        return model.transform(data.molecules)
    model = MoCoPClassifier(**SIZES, n_estimators=2, **options).fit(data.molecules, data.task)
    return model.predict_proba(data.molecules)


def start(kind, checkpoints, result):
    """A child that fits, going on where the last one was killed."""
    child = os.fork()
    if child:
        return child
    try:
        np.save(result, fit(kind, checkpoint_dir=checkpoints, resume=True))
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def under_kills(kind, n_kills, seed, folder):
    """Kill until there were ``n_kills``. A fit that ends before is compared and begins anew."""
    torch.set_num_threads(1)
    whole = fit(kind)
    started = time.perf_counter()
    fit(kind)  # the first one also warmed up
    seconds = time.perf_counter() - started
    rng = random.Random(seed)
    counts = {"kills": 0, "ended": 0, "equal": 0}
    checkpoints, result = folder / "checkpoints", folder / "result.npy"
    while counts["kills"] < n_kills or not counts["ended"]:
        child = start(kind, checkpoints, result)
        if counts["kills"] < n_kills:
            time.sleep(rng.uniform(0, 0.5 * seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        counts["kills"] += os.WIFSIGNALED(status)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise SystemExit(f"the fit failed after {counts}")
            counts["ended"] += 1
            counts["equal"] += bool(np.array_equal(np.load(result), whole))
            shutil.rmtree(checkpoints)
    (folder / "report.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    under_kills(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
