"""ChEMBL 20: six training fractions × three splits × arms × seeds, each fit with its own validation file."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from qsar import results
from qsar.arms import Arm
from qsar.runner import in_one_thread
from qsar.scores import score_task

from mocop_sklearn import MoCoPClassifier
from mocop_sklearn.datasets import fetch_chembl20
from protocol.settings import Settings

SET = "chembl20"
ROWS_PER_BLOCK = 4096


@dataclass(frozen=True)
class Unit:
    """One fit. ``model`` is the file that it starts from, None for random weights."""

    arm: Arm
    model: Path | None
    fraction: int
    split: int
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells units apart, as in the lines of results."""
        arm = self.arm
        return SET, arm.name, arm.corpus, arm.objective, self.fraction / 100, f"split {self.split}", self.seed


def arms(corpora: Sequence[str], given: Sequence[str]) -> list[Arm]:
    """The arms of the paper, those with a pretrained encoder once for each corpus or given model."""
    found = [Arm("scratch")]
    for corpus in corpora:
        found += [
            Arm("linear probe", corpus, "contrastive", frozen=True),
            Arm("fine-tuned", corpus, "contrastive"),
            Arm("fine-tuned (multitask)", corpus, "multitask"),
        ]
    for name in given:
        found += [Arm("linear probe", name, "given", frozen=True), Arm("fine-tuned", name, "given")]
    return found


def units(found: Sequence[Arm], settings: Settings, models: dict[tuple[str, str, int], Path]) -> list[Unit]:
    """All fits, the small fractions first; ``models`` are files by corpus, objective and seed."""
    return [
        Unit(arm, models.get((arm.corpus, arm.objective, seed)), fraction, split, seed)
        for seed, fraction, split, arm in product(range(settings.n_seeds), settings.fractions, settings.splits, found)
    ]


def run_unit(unit: Unit, data_home: Path, checkpoints: Path, settings: Settings, protocol: str) -> dict[str, Any]:
    """Fit, predict and score. A killed fit goes on at its last epoch."""
    started, worked = time.perf_counter(), time.process_time()
    chembl = fetch_chembl20(data_home, dtype="int8", download_if_missing=False)
    rows = {part: chembl.splits[unit.fraction, unit.split, part] for part in ("train", "val", "test")}
    folder = checkpoints / "-".join(str(part).replace("/", "_") for part in unit.key)
    given = {"pretrained": unit.model, "freeze": "encoder" if unit.arm.frozen else "none", "random_state": unit.seed}
    classifier = MoCoPClassifier.paper(
        **given, missing=-1, invalid="nan", checkpoint_dir=folder, resume=True, **settings.finetuning
    )
    smiles, labels = chembl.smiles, chembl.y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows that are not molecules, and tasks of one class
        classifier.fit(
            smiles[rows["train"]], labels[rows["train"]], X_val=smiles[rows["val"]], y_val=labels[rows["val"]]
        )
        blocks = np.split(rows["test"], range(ROWS_PER_BLOCK, len(rows["test"]), ROWS_PER_BLOCK))
        predicted = np.concatenate([classifier.decision_function(smiles[b]).astype(np.float32) for b in blocks])
    predicted[:, classifier.unscorable_tasks_] = np.nan
    shutil.rmtree(folder, ignore_errors=True)
    line = dict(zip(results.KEY, unit.key, strict=True)) | {"protocol": protocol, "split_number": unit.split - 1}
    line |= {f"n_{part}": len(own) for part, own in rows.items()} | {"n_epochs": classifier.n_iter_}
    line |= score_panel(labels[rows["test"]], predicted)
    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    return line | {name: round(value, 3) for name, value in seconds.items()}


def score_panel(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Macro means over the tasks that can be scored, and how many cannot.

    Parameters
    ----------
    truth : ndarray of int8, shape (n, n_tasks)
        −1 where not measured.
    predicted : ndarray of float, shape (n, n_tasks)
        NaN for rows that are not molecules, which are left out, and for tasks that could not be trained.
    """
    is_molecule = ~np.isnan(predicted).all(axis=1)
    scored = []
    for labels, scores in zip(truth.T, predicted.T, strict=True):
        known = is_molecule & (labels >= 0)
        found = score_task("classification", labels[known].astype(float), scores[known])
        scored += [] if isinstance(found, str) else [found]
    means = (
        {name: float(np.mean([found[name] for found in scored])) for name in ("auroc", "auprc", "prevalence")}
        if scored
        else {}
    )
    n_left_out = truth.shape[1] - len(scored)
    return {"mean": means, "n_scored": len(scored), "skipped": {"": f"{n_left_out} tasks"}}


def run(todo: Sequence[Unit], path: Path, n_jobs: int, protocols: dict[tuple[Any, ...], str], **where: Any) -> int:
    """Do the fits that have no line of this protocol yet, and return how many these were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    finished = results.read(path).set_index(results.KEY)["protocol"].to_dict()
    todo = [unit for unit in todo if finished.get(unit.key) != protocols[unit.key]]
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    jobs = (joblib.delayed(in_one_thread)(run_unit, u, protocol=protocols[u.key], **where) for u in todo)
    for number, line in enumerate(parallel(jobs), 1):
        results.append(path, line)
        print(f"fit {number} of {len(todo)}: {', '.join(map(str, list(line.values())[1:7]))}", flush=True)
    results.compact(path)
    return len(todo)
