"""The paper in one command: JUMP-CP → a store → pretraining → ChEMBL 20 in four arms → a table and a picture.

python benchmarks/paper.py                             download, and run all of it: see --plan for what that takes
python benchmarks/paper.py --plan                      only say what each step takes, here and on one GPU
python benchmarks/paper.py --quick                     a rehearsal of every step on simulated data; minutes
python benchmarks/paper.py --simulated --scale 0.1     a tenth, on simulated plates and labels
python benchmarks/paper.py --profiles my.pairs         another corpus in JUMP's place; a store, or a table of wells
python benchmarks/paper.py --pretrained my.safetensors a model of your own as two further arms

Arms: from scratch; linear probe, fine-tuned (contrastive), fine-tuned (multitask) for each corpus. Each fit stops by
the validation file of its split. A run that was killed goes on where it was when the same command is given again:
downloads at their byte, the store at its plate, pretraining and fits at their epoch.
"""

from __future__ import annotations

import argparse
import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import torch
from common import save
from protocol import downstream, inputs, plan, report, steps
from protocol.settings import Settings
from qsar import results
from rdkit import RDLogger

QUICK_NOTE = "A rehearsal on simulated data with hardly any training: the figures mean nothing."
SIMULATED_NOTE = "Plates and labels are simulated; they share a planted biology."


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", type=Path, help="where everything goes and stays (default: in ~/.cache/mocop_paper)")
    p.add_argument("--scale", type=float, default=1.0, help="share of the plates and, if simulated, of the molecules")
    p.add_argument("--quick", action="store_true", help="a rehearsal on simulated data, with hardly any training")
    p.add_argument("--simulated", action="store_true", help="simulated plates and labels over a local server")
    p.add_argument("--plan", action="store_true", help="say what each step takes, and stop")
    p.add_argument("--profiles", nargs="+", default=[], metavar="CORPUS", help="corpora in JUMP's place")
    p.add_argument("--pretrained", nargs="+", default=[], metavar="FILE", help="model files as further arms")
    p.add_argument("--seeds", type=int, help="default: 3; with --quick, 1")
    p.add_argument("--epochs", type=int, help="of pretraining (default: 1,000)")
    p.add_argument("--splits", type=int, default=3, help="of the labels, the first so many (default: 3, all)")
    p.add_argument("--fit-epochs", type=int, help="at most, of each fit on labels (default: the paper's, early stop)")
    p.add_argument("--n-jobs", type=int, default=os.cpu_count() or 1, help="processes, a thread each")
    arguments = p.parse_args(words)
    if not 0 < arguments.scale <= 1:
        p.error(f"--scale must be above 0 and at most 1, got {arguments.scale:g}")
    if not 1 <= arguments.splits <= 3:
        p.error(f"--splits must be 1, 2 or 3, got {arguments.splits}")
    for given in (*arguments.profiles, *arguments.pretrained):
        if not Path(given).exists():
            p.error(f"{given} does not exist")
    return arguments


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Sizes of the run."""
    found = Settings.quick() if arguments.quick else Settings().scaled(arguments.scale)
    if arguments.seeds:
        found = replace(found, n_seeds=arguments.seeds)
    if arguments.epochs:
        epochs = {"max_epochs": arguments.epochs}
        found = replace(found, pretraining=found.pretraining | epochs, multitask=found.multitask | epochs)
    found = replace(found, splits=found.splits[: arguments.splits])
    if most := arguments.fit_epochs:
        few = {"max_epochs": most, "min_epochs": min(most, found.finetuning.get("min_epochs", most))}
        found = replace(found, finetuning=found.finetuning | few)
    return found


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """All steps; returns what the report needs."""
    name = "quick" if arguments.quick else f"{'simulated-' * arguments.simulated}{arguments.scale:g}"
    folder = arguments.folder or Path("~/.cache/mocop_paper").expanduser() / name
    done = steps.Steps(folder)
    with ExitStack() as stack:
        made = None
        if arguments.simulated or arguments.quick:
            served = folder / "served"
            sizes = (settings.n_plates, settings.n_molecules, settings.n_features, settings.n_tasks)
            made = done.do("simulate", sizes, partial(inputs.simulate, served, settings))
            stack.enter_context(mock.patch.dict(os.environ, stack.enter_context(inputs.served(served))))
        key = [settings.scale, settings.n_plates, made]
        data = done.do("fetch", key, partial(steps.fetch, folder, settings, arguments.n_jobs))
    corpora = {Path(path).stem: path for path in arguments.profiles}
    if not corpora:
        key = [data["plates"], data["metadata"]]
        done.do("store", key, partial(steps.build, folder, *key, arguments.n_jobs))
        corpora = {"JUMP": str(folder / "jump.pairs")}
    given = {Path(path).stem: Path(path) for path in arguments.pretrained}
    retrieval, models = pretrain_all(done, corpora, settings)
    models |= {(n, "given", seed): path for n, path in given.items() for seed in range(settings.n_seeds)}
    todo = downstream.units(downstream.arms(list(corpora), list(given)), settings, models)
    protocols = {u.key: joblib.hash([settings.finetuning, u.arm, data["sha256"], _version(u.model)]) for u in todo}
    lines = folder / "fits.parquet"
    where = {"data_home": folder / "data", "checkpoints": folder / "checkpoints", "settings": settings}
    n_done = downstream.run(todo, lines, arguments.n_jobs, protocols, **where)
    notes = [QUICK_NOTE] if arguments.quick else [SIMULATED_NOTE] if arguments.simulated else []
    print(report.write(folder / "report", lines, retrieval, notes))
    found = {"folder": folder, "retrieval": retrieval, "fits": len(todo), "fits_done_now": n_done}
    fits = results.read(lines)[["seconds", "cpu_seconds"]].sum().to_dict()
    return found | {"steps": done.times(), "fits_took": fits}


def pretrain_all(
    done: steps.Steps, corpora: dict[str, str], settings: Settings
) -> tuple[dict[str, list[dict[str, Any]]], dict[tuple[str, str, int], Path]]:
    """Pretrain on every corpus with every seed; what each retrieves, and the model files."""
    retrieval: dict[str, list[dict[str, Any]]] = {}
    models: dict[tuple[str, str, int], Path] = {}
    for corpus, path in corpora.items():
        for seed in range(settings.n_seeds):
            folder = done.folder / "models"
            own = {kind: folder / f"{corpus}-{kind}-{seed}.safetensors" for kind in ("contrastive", "multitask")}
            models |= {(corpus, kind, seed): file for kind, file in own.items()}
            folder.mkdir(parents=True, exist_ok=True)
            key = [path, settings.n_plates, settings.pretraining]
            work = partial(steps.pretrain, path, own["contrastive"], seed, settings)
            trained = done.do(f"pretrain-{corpus}-{seed}", key, work)
            multitask = partial(steps.pretrain_multitask, path, own["multitask"], seed, settings)
            done.do(f"multitask-{corpus}-{seed}", [path, settings.n_plates, settings.multitask], multitask)
            work = partial(steps.retrieve, path, own["contrastive"], seed, settings.pool)
            retrieval.setdefault(corpus, []).append(done.do(f"retrieve-{corpus}-{seed}", [key, trained], work))
    return retrieval, models


def _version(model: Path | None) -> Any:
    return model and (model.stat().st_size, model.stat().st_mtime_ns)


def main(words: list[str] | None = None) -> None:
    arguments = parse(words)
    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    settings = settings_of(arguments)
    corpora = [Path(path).stem for path in arguments.profiles] or ["JUMP"]
    found = downstream.arms(corpora, [Path(path).stem for path in arguments.pretrained])
    simulated = arguments.simulated or arguments.quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of tasks of one class, among few molecules
        rates = plan.measure(settings)
    expected = plan.costs(settings, found, rates, simulated)
    plan.show(expected, arguments.n_jobs)
    if arguments.plan:
        return
    result = run(arguments, settings)
    folder = result.pop("folder")
    print(f"the table and the pictures are in {folder / 'report'}")
    took = [*result["steps"].values(), result["fits_took"]]
    result["minutes"] = {name: sum(part[name] for part in took) / 60 for name in ("seconds", "cpu_seconds")}
    result["minutes_planned"] = sum(cost.here(arguments.n_jobs) for cost in expected) / 60
    save("paper_quick" if arguments.quick else "paper", result)


if __name__ == "__main__":
    main()
