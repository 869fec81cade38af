"""What the tests of fine-tuning share."""

import numpy as np

NAN = float("nan")


SHAPE = {"n_layers": 2, "hidden_dim": 16, "embedding_dim": 32}


QUICK = SHAPE | {"max_epochs": 3, "batch_size": 16, "learning_rate": 0.01, "random_state": 0}


LEARN = QUICK | {"max_epochs": 60, "validation_fraction": 0}


ONE_CLASS = "fewer than two classes among the measured labels"


def same_weights(a, b):
    return all(np.array_equal(w, v[name]) for u, v in zip(a.weights_, b.weights_, strict=True) for name, w in u.items())
