"""Retrieval between molecules and measured Cell Painting profiles, and three QSAR tasks.

Pretrains on the COMAS profiles (711 structures), holds out 15 % of the molecules by the first block of
the InChIKey, and asks whether an unseen molecule finds its profile among 100, and the reverse. Then the
embedder of all COMAS molecules goes into a Pipeline on three tasks that have nothing to do with it.

    python benchmarks/retrieval.py            five seeds
    python benchmarks/retrieval.py --quick    one seed, few epochs
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import mean_by_group, mean_std, print_table, require, save
from rdkit import Chem, rdBase
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.model_selection import molecule_groups, overlap

POOL = 100
N_POOLS = 50
# data set, kind of task
TASKS = {"tdc_bbb_martins": "classification", "tdc_herg": "classification", "tdc_caco2_wang": "regression"}


def recipes(quick: bool) -> dict[str, dict[str, Any]]:
    """Arms of the comparison: constructor and parameters."""
    epochs = {"max_epochs": 5} if quick else {}
    # The paper's 1,000 epochs are 440,000 steps of its corpus; here an epoch is two steps.
    return {
        "default": epochs,
        "paper": {"paper": True, "max_epochs": 5 if quick else 200},
        "untrained": {"max_epochs": 0},
    }


def make(parameters: dict[str, Any], seed: int) -> MoCoPEmbedder:
    """Build an embedder from the parameters of an arm."""
    parameters = dict(parameters)
    constructor = MoCoPEmbedder.paper if parameters.pop("paper", False) else MoCoPEmbedder
    return constructor(random_state=seed, verbose=0, **parameters)


def held_out(groups: np.ndarray, seed: int, fraction: float = 0.15) -> np.ndarray:
    """Mask of the rows whose molecule is held out."""
    unique = np.unique(groups)
    chosen = np.random.default_rng(seed).permutation(unique)[: round(fraction * len(unique))]
    return np.isin(groups, chosen)


def retrieval(embedder: MoCoPEmbedder, wells: pd.DataFrame, seed: int) -> dict[str, dict[str, float]]:
    """Retrieval among held-out molecules: in pools of 100 of all, and within each sub-library."""
    molecules = embedder.set_params(output="projection").transform(wells["Metadata_SMILES"])
    _, first, group = np.unique(wells["Metadata_SMILES"], return_index=True, return_inverse=True)
    profiles = mean_by_group(embedder.transform_profiles(wells), group)
    molecules = molecules[first]
    library = wells["Metadata_Dataset"].to_numpy()[first]

    rng = np.random.default_rng(seed)
    n = min(POOL, len(first))
    pools = [rng.permutation(len(first))[:n] for _ in range(N_POOLS)]
    reports = [retrieval_report(molecules[pool], profiles[pool]) for pool in pools]
    result = {"all": {name: float(np.mean([r[name] for r in reports])) for name in reports[0]}}
    for name in np.unique(library):
        own = library == name
        result[name] = retrieval_report(molecules[own], profiles[own])
    return result


def ecfp(smiles: Any) -> np.ndarray:
    """Morgan fingerprints, radius 2, 2048 bits."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    with rdBase.BlockLogs():
        return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles])


def downstream(wells: pd.DataFrame, quick: bool) -> dict[str, dict[str, float]]:
    """Scores of a random forest on the embedding, beside ECFP and an untrained encoder, on published splits."""
    arms = recipes(quick)
    scores: dict[str, dict[str, float]] = {}
    for task, kind in TASKS.items():
        table = pd.read_parquet(require(f"bioactivity/{task}.parquet"))
        label = next(c for c in table.columns if c != "smiles" and not c.startswith(("meta_", "split")))
        train, test = table[table["split"] == "train"], table[table["split"] == "test"]
        # the pretraining never sees a test molecule
        unseen = ~overlap(test["smiles"].tolist(), wells["Metadata_SMILES"])
        scores[task] = {"removed_from_pretraining": int((~unseen).sum())}
        fingerprint = FunctionTransformer(ecfp)
        embedders = {
            name: FrozenEstimator(
                make(arms[name], seed=0).fit(wells["Metadata_SMILES"][unseen], profiles=wells[unseen])
            )
            for name in ("default", "untrained")
        }
        features = {
            "ECFP": fingerprint,
            "untrained encoder": embedders["untrained"],
            "MoCoP embedding": embedders["default"],
            "MoCoP embedding + ECFP": FeatureUnion([("mocop", embedders["default"]), ("ecfp", fingerprint)]),
        }
        for name, transformer in features.items():
            scores[task][name] = float(
                np.mean([_forest_score(transformer, kind, train, test, label, seed) for seed in range(3)])
            )
    return scores


def _forest_score(transformer: Any, kind: str, train: pd.DataFrame, test: pd.DataFrame, label: str, seed: int) -> float:
    classify = kind == "classification"
    forest = (RandomForestClassifier if classify else RandomForestRegressor)(200, random_state=seed, n_jobs=-1)
    pipeline = make_pipeline(transformer, forest).fit(train["smiles"].tolist(), train[label])
    if classify:
        return float(roc_auc_score(test[label], pipeline.predict_proba(test["smiles"].tolist())[:, 1]))
    return float(spearmanr(test[label], pipeline.predict(test["smiles"].tolist())).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    seeds = range(1 if arguments.quick else arguments.seeds)

    wells = pd.read_parquet(require("comas_profiles.parquet"))
    groups = molecule_groups(wells["Metadata_SMILES"])
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        test = held_out(groups, seed)
        for name, parameters in recipes(arguments.quick).items():
            start = time.perf_counter()
            embedder = make(parameters, seed).fit(wells["Metadata_SMILES"][~test], profiles=wells[~test])
            row = {
                "seed": seed,
                "fit_seconds": time.perf_counter() - start,
                "n_iter": embedder.n_iter_,
                "validation_score": embedder.best_score_,
                **retrieval(embedder, wells[test], seed),
            }
            results.setdefault(name, []).append(row)
            print(
                f"seed {seed} {name:10s} top-10 {row['all']['top10']:.3f}  normalised rank "
                f"{row['all']['normalized_rank']:.3f}  ({row['fit_seconds']:.0f} s)",
                flush=True,
            )

    subsets = ["all", *sorted(wells["Metadata_Dataset"].unique())]
    for subset in subsets:
        sizes = [int(row[subset]["n_candidates"]) for row in next(iter(results.values()))]
        print(f"\n{subset}: pools of {min(sizes)}-{max(sizes)} held-out molecules, {len(seeds)} seed(s)\n")
        _print_retrieval(results, subset)

    tasks = downstream(wells, arguments.quick)
    print("\nRandom forest on published splits (AUROC; Spearman for caco2), mean of 3 forests\n")
    print_table(["task", *list(next(iter(tasks.values())))[1:]], [
        [task, *(f"{value:.3f}" for value in list(row.values())[1:])] for task, row in tasks.items()
    ])  # fmt: skip
    save("retrieval_quick" if arguments.quick else "retrieval", {"retrieval": results, "tasks": tasks})


def _print_retrieval(results: dict[str, list[dict[str, Any]]], subset: str) -> None:
    columns = ("top1", "top10", "normalized_rank")
    rows = []
    for name, runs in results.items():
        for direction in ("", "_molecule_to_profile", "_profile_to_molecule"):
            label = name if not direction else "  " + direction.replace("_", " ").strip()
            rows.append([label, *(mean_std(run[subset][column + direction] for run in runs) for column in columns)])
    reports = [run[subset] for run in next(iter(results.values()))]
    chance = [f"{np.mean([r[f'chance_{column}'] for r in reports]):.3f}" for column in columns[:2]]
    rows.append(["chance", *chance, "0.500"])
    print_table(["arm", "top-1", "top-10", "normalised rank"], rows)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    main()
