"""Retrieval and transfer against the size of the corpus, on simulated plates of JUMP-CP, for two recipes.

python benchmarks/scaling_laws.py                             up to a tenth of JUMP
python benchmarks/scaling_laws.py --shares 0.01 0.1 1         the largest share is what is simulated
python benchmarks/scaling_laws.py --folder jump_simulated     the store stays there for the next run

The smaller corpora are parts of the largest one. A tenth of its molecules is held out of all and retrieved by their
profiles: those that are active, whole and within plates. Each training sees the same number of pairs, so that a larger
corpus is not longer training. Transfer: the planted biology of held-out molecules, predicted by a support vector
machine on the frozen representation of half of them, at most 300. Each row is written when it is measured; a run that
was cut short goes on. Rows of another largest share were measured on other molecules, and are measured again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, mean_std, print_table, save
from qsar.arms import head_model
from scale import make_plates
from simulated import SCALINGS, retrieval, stores
from sklearn.metrics import r2_score

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import canonical_smiles

PAIRS_SEEN, MOST_EPOCHS = 150_000, 100
N_FEATURES = 512
SCALING = "plates normalised"
N_LABELLED = 300  # at most
RECIPES: dict[str, Callable[..., MoCoPEmbedder]] = {
    # what all sizes were measured with; today's default has three more blocks of counts, and corrects for hubs
    "default": partial(MoCoPEmbedder, side_features=("descriptors", "ecfp"), local_scaling=False),
    "paper": MoCoPEmbedder.paper,
}
COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "top-1": lambda row: row["all"]["top1"],
    "normalised rank": lambda row: row["all"]["normalized_rank"],
    "within plates: top-1": lambda row: row["plate"]["top1"],
    "normalised rank ": lambda row: row["plate"]["normalized_rank"],
    "planted biology, R²": lambda row: row["planted_r2"],
}


def corpus(folder: Path, share: float) -> tuple[PairedProfiles, dict[str, np.ndarray]]:
    """The store of the largest share, and the planted biology of its active molecules by canonical SMILES."""
    folder.mkdir(parents=True, exist_ok=True)
    store, planted = folder / SCALINGS[SCALING][0], folder / "planted.npz"
    if not (store.exists() and planted.exists()):
        data = make_plates(folder, share, n_jobs=1, n_features=N_FEATURES)
        stores(folder, data, (SCALING,), n_jobs=1)
        smiles = canonical_smiles(data.molecules)
        known = np.flatnonzero(data.active & [text is not None for text in smiles])
        np.savez(planted, smiles=np.array([str(smiles[row]) for row in known]), latent=data.latent[known])
        shutil.rmtree(folder / "plates")
    with np.load(planted) as found:
        return PairedProfiles.open(store), dict(zip(found["smiles"].tolist(), found["latent"], strict=True))


def parts(pairs: PairedProfiles, share: float, largest: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which wells are held out, and which are in the corpus of this share; whole connectivities."""
    molecules, place = np.unique(pairs.molecules, return_inverse=True)
    group = np.asarray(molecule_groups(molecules, standardize=None))
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    n_test = len(order) // 10
    chosen = order[n_test:][: round((len(order) - n_test) * share / largest)]
    return np.isin(group, order[:n_test])[place], np.isin(group, chosen)[place]


def measured(
    make: Callable[..., MoCoPEmbedder], pairs: PairedProfiles, planted: dict[str, np.ndarray], rows: Any, seed: int
) -> dict[str, Any]:
    """Pretrain one recipe on one corpus, and measure it on the held-out molecules."""
    held_out, training = rows
    active = np.array([text in planted for text in pairs.molecules])
    test, own = pairs[held_out & active], pairs[training]
    n_molecules = len(np.unique(own.molecules))
    epochs = int(np.clip(round(PAIRS_SEEN / n_molecules), 1, MOST_EPOCHS))
    started = time.perf_counter()
    embedder = make(pairs=own, max_epochs=epochs, patience=None, random_state=seed).fit(["C"])
    row: dict[str, Any] = {"seed": seed, "n_molecules": n_molecules, "n_wells": len(own), "epochs": epochs}
    row["fit_seconds"] = time.perf_counter() - started
    row |= {kind: retrieval(embedder, test, kind) for kind in ("all", "plate")}
    return row | {"planted_r2": transfer(embedder.set_params(output="encoder"), test, planted, seed)}


def transfer(embedder: MoCoPEmbedder, test: PairedProfiles, planted: dict[str, np.ndarray], seed: int) -> float:
    """Mean R² over the dimensions of the planted biology."""
    smiles = np.random.default_rng(seed).permutation(np.unique(test.molecules))
    features, latent = embedder.transform(smiles), np.array([planted[text] for text in smiles])
    n = min(N_LABELLED, len(smiles) // 2)
    scores = []
    for y in latent.T:
        model = head_model("svm", "regression", seed, [features.shape[1]]).fit(features[:n], y[:n])
        scores.append(r2_score(y[n:], model.predict(features[n:])))
    return float(np.mean(scores))


def shown(results: dict[str, dict[str, list[dict[str, Any]]]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table."""
    rows = [
        [recipe, share, f"{own[0]['n_molecules']:,}", str(len(own)), *(mean_std(map(c, own)) for c in COLUMNS.values())]
        for recipe, sizes in results.items()
        for share, own in sizes.items()
    ]
    return ["recipe", "share of JUMP", "molecules", "seeds", *COLUMNS], rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the store is made, and stays (default: temporary)")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    path = RESULTS / "scaling_laws.json"
    folder = arguments.folder or Path(tempfile.mkdtemp())
    largest = max(arguments.shares)
    protocol = {"largest": largest, "pairs_seen": PAIRS_SEEN}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    results: dict[str, Any] = earlier["recipes"] if protocol.items() <= earlier.items() else {}
    try:
        pairs, planted = corpus(folder / f"{largest:g}", largest)
        for seed in range(arguments.seeds):
            for share in sorted(arguments.shares):
                rows = parts(pairs, share, largest, seed)
                for recipe, make in RECIPES.items():
                    own = results.setdefault(recipe, {}).setdefault(f"{share:.0%}", [])
                    if any(row["seed"] == seed for row in own):
                        continue
                    own.append(measured(make, pairs, planted, rows, seed))
                    print(f"seed {seed}, {recipe}, {share:.0%}: {own[-1]}", flush=True)
                    save("scaling_laws", {**protocol, "recipes": results})
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)
    print_table(*shown(results))


if __name__ == "__main__":
    main()
