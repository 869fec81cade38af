"""Units of work, and going on where a killed run ended.

A unit is one fit: (task set, arm, corpus, objective, fraction, split, seed). Each gives one line, with the figures of
every task and their macro mean. What is there already, from the same protocol, is not done again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from tqdm import tqdm

from mocop_sklearn.model_selection import training_fractions
from qsar import results
from qsar.arms import Arm, Room, predict
from qsar.scores import score
from qsar.tasks import FRACTIONS, PAIRS, TaskSet

# Of a set with more tasks than this, a line has the macro means only: the files are to stay readable.
MAX_TASKS_PER_LINE = 10


@dataclass(frozen=True)
class Unit:
    """One fit."""

    tasks: TaskSet
    arm: Arm
    fraction: float
    split: int
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells units apart, as in the lines."""
        arm, split = self.arm, self.tasks.splits[self.split][0]
        return self.tasks.name, arm.name, arm.corpus, arm.objective, self.fraction, split, self.seed


def units(sets: Sequence[TaskSet], arms: Mapping[Arm, str], seeds: Sequence[int], n_splits: int) -> list[Unit]:
    """All units in rounds of one split and one seed each, so that a run cut short has something of everything.

    An arm comes with the pairs of split and seed that it is run on, a key of ``PAIRS``; a set has pairs of its own.
    The first rounds take a new split and a new seed each: (0, 0), (1, 1), (2, 2), then (0, 1) and so on.
    """
    n_splits = min(n_splits, max((len(tasks.splits) for tasks in sets), default=0))
    rounds = [((i + shift) % n_splits, seed) for shift in range(n_splits) for i, seed in enumerate(seeds)]
    rounds = list(dict.fromkeys(rounds + [(split, seed) for split in range(n_splits) for seed in seeds]))
    return [
        Unit(tasks, arm, fraction, split, seed)
        for split, seed in rounds
        for tasks in sets
        if split < len(tasks.splits) and PAIRS[tasks.spec.pairs](split, seed)
        for arm, pairs in arms.items()
        if PAIRS[pairs](split, seed) and (not tasks.spec.arms or arm.label in tasks.spec.arms)
        for fraction in tasks.spec.fractions
    ]


def run_unit(unit: Unit, room: Room, protocol: str) -> dict[str, Any]:
    """Fit, predict and score; an arm that cannot work with what there is leaves its reason."""
    started = time.perf_counter()
    _, train, test = unit.tasks.splits[unit.split]
    labels = unit.tasks.labels
    test = test[~np.isnan(labels[test]).all(axis=1)]
    train = train[~np.isnan(labels[train]).all(axis=1)]
    subset = training_fractions(labels[train], FRACTIONS, random_state=unit.seed)[unit.fraction]
    rows = train[subset]
    line: dict[str, Any] = dict(zip(results.KEY, unit.key, strict=True))
    line |= {"protocol": protocol, "split_number": unit.split, "n_train": len(rows), "n_test": len(test)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = predict(unit.arm, room, unit.tasks, rows, test, unit.seed)
    except ValueError as error:
        return line | {"error": str(error)[:200], "seconds": round(time.perf_counter() - started, 3)}
    figures = score(unit.tasks.spec.kind, labels[test], predicted, unit.tasks.tasks)
    if "cliff" in unit.tasks.extra:
        cliff = unit.tasks.extra["cliff"][test]
        on_cliffs = score(unit.tasks.spec.kind, labels[test][cliff], predicted[cliff], unit.tasks.tasks)["mean"]
        figures["mean"] |= {f"{name}_cliff": value for name, value in on_cliffs.items()}
    if len(unit.tasks.tasks) > MAX_TASKS_PER_LINE:
        figures = figures | {"tasks": {}, "skipped": {"": f"{len(figures['skipped'])} tasks"}}
    return line | _rounded(figures) | {"seconds": round(time.perf_counter() - started, 3)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def remaining(units: Sequence[Unit], path: Path, protocol: Callable[[Unit], str]) -> list[Unit]:
    """Units that have no result yet.

    ``protocol`` is a digest of all that decides a result, beside the unit and this code.
    """
    table = results.read(path)
    finished = table.set_index(results.KEY)["protocol"].to_dict()
    todo = [unit for unit in units if finished.get(unit.key) != protocol(unit)]
    print(f"{path.stem}: {len(finished)} units there, {len(todo)} of {len(units)} to do", flush=True)
    return todo


def run(todo: Sequence[Unit], room: Room, path: Path, protocol: Callable[[Unit], str], n_jobs: int = 1) -> None:
    """Do these units. Each is appended to the journal when it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    lines = parallel(joblib.delayed(in_one_thread)(run_unit, unit, room, protocol(unit)) for unit in todo)
    reasons: set[str] = set()
    for line in tqdm(lines, total=len(todo), unit=" units", mininterval=30):
        results.append(path, line)
        reason = line.get("error")
        if reason is not None and reason not in reasons:
            reasons.add(reason)
            print(f"{line['arm']} on {line['set']}, not done: {reason}", flush=True)
    results.compact(path)


def in_one_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function in a process that is one of several."""
    torch.set_num_threads(1)
    return function(*args, **options)
