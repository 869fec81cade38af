"""The command line that both QSAR benchmarks have, and the room that their arms work in."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch
from common import DATA, RESULTS, cached, machine
from rdkit import RDLogger

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.model_file import PretrainedModel
from mocop_sklearn.model_selection import overlap
from qsar import corpora, peers, tasks
from qsar.arms import Arm, Room, arms, recipe
from qsar.features import FIXED, Lookup
from qsar.runner import Unit, in_one_thread, remaining, run, units

SPLITS = 3
SHIPPED = ("distilled", "cells")
GIVEN = ("fine-tuned", "embedding + SVM")  # what is run by default with a model of the user
TOXCAST = ("toxcast", "toxcast other families", "toxcast thinned", *corpora.SHARES)
PRETRAINING_EPOCHS = {
    **{(corpus, "contrastive"): 40 for corpus in TOXCAST},
    **{(corpus, "multitask"): 30 for corpus in TOXCAST},
    ("morphology", "contrastive"): 100,
    ("morphology", "multitask"): 100,
    ("bioassays", "contrastive"): 10,
    ("bioassays", "multitask"): 10,
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of a QSAR benchmark."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="a few sets, fractions and epochs; under ten minutes")
    p.add_argument("--sets", help="task sets, by a part of their name, comma-separated")
    p.add_argument("--arms", help="arms, by name with or without [corpus], comma-separated; or all")
    p.add_argument("--corpora", help="only arms of these pretraining corpora, comma-separated")
    p.add_argument("--pretrained", nargs="+", default=[], metavar="FILE", help="model files, as arms [file name]")
    p.add_argument("--fractions", help="training fractions, comma-separated")
    p.add_argument("--splits", type=_count, default=SPLITS, help="with --quick: 1")
    p.add_argument("--seeds", type=_count, default=3, help="with --quick: 1")
    p.add_argument(
        "--n-jobs", type=_count, default=os.cpu_count(), help="processes, a thread each (default: all cores)"
    )
    p.add_argument("--cache", default=os.environ.get("MOCOP_BENCHMARK_CACHE", "~/.cache/mocop_benchmarks"))
    p.add_argument("--seen", action="store_true", help="leave test molecules in pretraining, to show what that does")
    return p


class Encoders:
    """Pretrained encoders by corpus, objective and seed, each made once and cached."""

    def __init__(
        self,
        removed: Collection[str],
        tasks: Collection[str],
        cache: Path,
        epochs: Mapping[tuple[str, str], int],
        given: Mapping[str, PretrainedModel],
    ):
        self.removed, self.tasks, self.cache, self.epochs = sorted(removed), sorted(tasks), cache, dict(epochs)
        self.given = dict(given)
        self._digest = joblib.hash([self.removed, self.tasks])
        self._models: dict[tuple[str, str, int], PretrainedModel] = {}

    def __call__(self, corpus: str, objective: str, seed: int) -> PretrainedModel:
        """Return the model; an untrained encoder has the default shape and random weights."""
        if objective == "given":
            return self.given[corpus]
        asked = (corpus, objective, seed)
        if asked not in self._models:
            key = joblib.hash([asked, self.recipe(corpus, objective)])
            self._models[asked] = cached(self.cache, f"encoder-{key}", partial(self._make, *asked))
        return self._models[asked]

    def recipe(self, corpus: str, objective: str) -> list[Any]:
        """All that decides an encoder beside its seed."""
        if objective == "given":
            return [self.given[corpus].digest]
        if objective == "untrained":
            return [objective]
        return [self._digest, self.epochs.get((corpus, objective)), corpora.RECIPE.get(objective)]

    def prepare(self, todo: Sequence[Unit], n_jobs: int) -> None:
        """Pretrain what these fits need, in parallel: else processes would wait for each other's encoders."""
        asked = dict.fromkeys(
            (u.arm.corpus, u.arm.objective, u.seed) for u in todo if u.arm.objective not in ("-", "given")
        )
        joblib.Parallel(n_jobs)(joblib.delayed(in_one_thread)(self, *key) for key in asked)

    def _make(self, corpus: str, objective: str, seed: int) -> PretrainedModel:
        if objective == "untrained":
            return corpora.untrained(seed)
        started = time.perf_counter()
        loaded = corpora.without(corpora.CORPORA[corpus](self.tasks), self.removed)
        model = corpora.pretrain(loaded, objective, seed, self.epochs[corpus, objective])
        print(
            f"pretrained: {corpus}, {objective}, seed {seed}: {len(loaded.smiles)} molecules, "
            f"{loaded.profiles.shape[1]} features, "
            f"{(time.perf_counter() - started) / 60:.1f} min, validation {model.best_score:.3f}",
            flush=True,
        )
        return model


def main(
    name: str,
    specs: Mapping[str, tasks.Spec],
    own_arms: Mapping[str, str],
    quick_sets: Sequence[str],
    arguments: argparse.Namespace,
) -> None:
    """Run a benchmark: load, pretrain without the test molecules, fit and score all that is not done yet.

    ``own_arms`` are the default arms by label, each with the pairs of split and seed that it is run on.
    """
    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    cache = Path(arguments.cache).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    # networks are MoCoPClassifier and MoCoPRegressor with their default parameters
    network: dict[str, Any] = {"max_epochs": 5} if arguments.quick else {}
    epochs = dict.fromkeys(PRETRAINING_EPOCHS, 2) if arguments.quick else PRETRAINING_EPOCHS
    n_splits, n_loaded = (1, 1) if arguments.quick else (arguments.splits, max(arguments.splits, SPLITS))
    seeds = range(1 if arguments.quick else arguments.seeds)

    # every test molecule of the whole benchmark stays out of pretraining, also when only some sets or splits are run
    specs = _asked_specs(specs, quick_sets, arguments)
    every = [t for set_name, spec in specs.items() for t in tasks.load(set_name, spec, n_loaded, cache)]
    if not every:
        print(f"skipped: no task set of {name} is in {DATA}")
        return
    removed = set() if arguments.seen else set().union(*(t.held_out for t in every))
    sets = _chosen_sets(every, _names(arguments.sets))
    test = set().union(*(t.held_out for t in every))
    shipped, own = given_models(SHIPPED, test), given_models(arguments.pretrained, test)
    chosen = _chosen_arms(own_arms, _names(arguments.arms), _names(arguments.corpora), list(own), list(shipped))
    encoders = Encoders(removed, {task for t in every for task in t.tasks}, cache, epochs, shipped | own)

    def protocol(unit: Unit) -> str:
        arm = unit.arm
        trained = recipe(arm, unit.tasks.spec.kind) | network if arm.model == "network" else None
        pretrained = encoders.recipe(arm.corpus, arm.objective) if arm.corpus != "-" else None
        return str(joblib.hash([trained, pretrained])[:12])

    room = Room(Lookup([s for t in sets for s in t.smiles], cache), encoders, network)
    path = RESULTS / f"{name}{'_seen' if arguments.seen else ''}{'_quick' if arguments.quick else ''}.parquet"
    todo = remaining(units(sets, chosen, list(seeds), n_splits), path, protocol)
    encoders.prepare(todo, arguments.n_jobs)
    for feature in dict.fromkeys(name for unit in todo for name in unit.arm.features if name in FIXED):
        room.lookup.prepare(feature, FIXED[feature], arguments.n_jobs)
    run(todo, room, path, protocol, arguments.n_jobs)
    print(f"{machine()['processor']}; results in {path}")


def _asked_specs(
    specs: Mapping[str, tasks.Spec], quick_sets: Sequence[str], arguments: argparse.Namespace
) -> dict[str, tasks.Spec]:
    """Task sets with the arms and fractions that the command line names."""
    fractions = _fractions(arguments.fractions) or ((0.1, 1.0) if arguments.quick else tasks.FRACTIONS)
    found = {}
    for name, spec in specs.items():
        if not arguments.quick or name in quick_sets:
            own = spec if not arguments.arms else replace(spec, arms=())
            found[name] = replace(own, fractions=tuple(f for f in own.fractions if f in fractions))
    return found


def _chosen_sets(every: list[tasks.TaskSet], wanted: Sequence[str]) -> list[tasks.TaskSet]:
    sets = [t for t in every if not wanted or any(part in t.name for part in wanted)]
    if not sets:
        raise SystemExit(f"no task set has one of {wanted} in its name; there are {[t.name for t in every]}")
    for t in sets:
        parts = ", ".join(f"{split} {len(train)}/{len(test)}" for split, train, test in t.splits)
        print(f"{t.name}: {len(t.smiles)} molecules ({t.n_dropped} dropped), {len(t.tasks)} tasks; {parts}")
    return sets


def given_models(files: Sequence[str], test: Collection[str]) -> dict[str, PretrainedModel]:
    """Models of the user by the name of their file; says how many of the test molecules each has seen."""
    models = {}
    for file in files:
        embedder = MoCoPEmbedder(pretrained=file).fit(["C"])
        models[Path(file).stem] = embedder.model_
        seen = int(overlap(embedder, sorted(test), seen="structure").sum())
        print(f"[{Path(file).stem}] has seen {seen} of {len(test)} test molecules in pretraining")
    return models


def _chosen_arms(
    own: Mapping[str, str],
    names: Sequence[str],
    only: Sequence[str],
    given: Sequence[str] = (),
    shipped: Sequence[str] = (),
) -> dict[Arm, str]:
    """Arms by label, in the order given, and their pairs; ``names`` may leave out the corpus, or be "all"."""
    known = [*corpora.CORPORA, *shipped]
    if strange := sorted(set(only) - set(known)):
        raise SystemExit(f"unknown corpora {strange}; there are {known}")
    every = arms(list(corpora.CORPORA), [*shipped, *given])
    defaults = [*own, *(f"{name} [{model}]" for model in given for name in GIVEN)]
    names = [arm.label for arm in every] if list(names) == ["all"] else names or defaults
    found = [arm for name in names for arm in every if name in (arm.label, arm.name)]
    unknown = [name for name in names if not any(name in (arm.label, arm.name) for arm in every)]
    if unknown:
        raise SystemExit(f"unknown arms {unknown}; there are {[arm.label for arm in every]}")
    for reason in peers.lacking(dict.fromkeys(part for arm in found for part in (arm.model, *arm.features))):
        print(f"skipped: {reason}")
    found = [arm for arm in found if not peers.lacking((arm.model, *arm.features))]
    return {arm: own.get(arm.label, "all") for arm in found if not only or arm.corpus in (*only, *given, "-")}


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def _fractions(text: str | None) -> tuple[float, ...]:
    known = {f"{fraction:g}": fraction for fraction in tasks.FRACTIONS}
    names = [name.removesuffix(".0") for name in _names(text)]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown fractions {unknown}; there are {list(known)}")
    return tuple(known[name] for name in names)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number
