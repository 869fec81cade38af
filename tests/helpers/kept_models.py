"""Writes the model files that later versions must load: `python tests/helpers/kept_models.py FOLDER`.

One small file of each kind, and `expected.json` with what they answered when they were written. Run it when the format
of model files has changed, into a folder of its own beside those that are there.
"""

import json
import sys
from pathlib import Path

import numpy as np

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.molecules import MorganCounts

TRAINING = "CCO CCN CC(=O)O CC(C)=O c1ccccc1 Oc1ccccc1 Nc1ccccc1 CCCl C1CCNCC1 CC#N OCC(O)CO C[C@H](N)C(=O)O".split()
QUERIES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C[C@@H](N)C(=O)O", "[Na+].CC(=O)[O-]"]
NETWORK = {"n_layers": 2, "hidden_dim": 16, "embedding_dim": 16, "batch_size": 8, "max_epochs": 3, "random_state": 0}


def profiles_of(n: int) -> np.ndarray:
    """Numbers in the manner of profiles, the same on every machine."""
    return np.sin(np.outer(np.arange(1, n + 1), np.arange(1, 13)))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contrastive = {"projection_dim": 8, "profile_dims": (16, 8), "structure_targets": MorganCounts(fp_size=32)}
    embedder = MoCoPEmbedder(side_features=[MorganCounts(fp_size=32)], **contrastive, **NETWORK)
    embedder.fit(TRAINING, profiles=profiles_of(len(TRAINING)))
    classes = np.array(["no", "yes"])[[int("N" in smiles) for smiles in TRAINING]]
    classifier = MoCoPClassifier(**NETWORK).fit(TRAINING, classes)
    numbers = np.column_stack([[len(smiles) for smiles in TRAINING], profiles_of(len(TRAINING))[:, 0]])
    numbers[::3, 1] = np.nan
    regressor = MoCoPRegressor(n_estimators=2, **NETWORK).fit(TRAINING, numbers)
    for name, model in {"embedder": embedder, "classifier": classifier, "regressor": regressor}.items():
        model.save(folder / f"{name}.safetensors")
    expected = {
        "embedding": embedder.transform(QUERIES),
        "projection": embedder.set_params(output="projection").transform(QUERIES),
        "profiles": embedder.transform_profiles(profiles_of(3)),
        "probabilities": classifier.predict_proba(QUERIES),
        "numbers": regressor.predict(QUERIES),
    }
    text = json.dumps({name: values.astype(float).round(6).tolist() for name, values in expected.items()}, indent=1)
    (folder / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
