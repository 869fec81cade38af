"""The steps of the protocol. Each leaves a file that says it is done; a run that was killed goes on at its step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_POSITIVE_CONTROLS, fetch_chembl20, fetch_jump_cp
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from mocop_sklearn.utils._files import atomic_write
from protocol.settings import MULTITASK, Settings

HELD_OUT = 0.1  # share of the molecules of a corpus that no pretraining sees
PAPER_TOP1 = (0.167, 0.170, 0.170)


@dataclass(frozen=True)
class Steps:
    """What is done already, in a folder."""

    folder: Path

    def do(self, name: str, key: Any, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of a step; it is taken again when ``key``, which decides the result, has changed."""
        path, digest = self.folder / "steps" / f"{name}.json", joblib.hash(key)
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            if found["digest"] == digest:
                print(f"{name}: done before, in {found['seconds']:.0f} s", flush=True)
                return found["result"]
        started, worked = time.perf_counter(), time.process_time()
        result = make()
        seconds = time.perf_counter() - started
        content = {"digest": digest, "seconds": seconds, "cpu_seconds": time.process_time() - worked, "result": result}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, default=float))
        print(f"{name}: {seconds:.0f} s {_short(result)}", flush=True)
        return result

    def times(self) -> dict[str, dict[str, float]]:
        """What each step took when it was done: seconds, and seconds of this process on a core."""
        found = {path.stem: json.loads(path.read_text()) for path in sorted((self.folder / "steps").glob("*.json"))}
        return {name: {k: step[k] for k in ("seconds", "cpu_seconds")} for name, step in found.items()}


def _short(result: dict[str, Any]) -> str:
    numbers = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    return ", ".join(f"{name} {value:,.4g}" for name, value in numbers.items())


def fetch(folder: Path, settings: Settings, n_jobs: int) -> dict[str, Any]:
    """Download plates and ChEMBL 20; both resume."""
    plates = None if settings.scale == 1 else settings.n_plates
    data = fetch_jump_cp(folder / "data", n_plates=plates, n_jobs=2 * n_jobs, on_missing="skip")
    chembl = fetch_chembl20(folder / "data", dtype="int8")
    return {
        "plates": list(map(str, data.plates)),
        "metadata": [str(path) for path in data.metadata.values()],
        "gb": sum(path.stat().st_size for path in data.plates) / 1e9,
        "molecules": len(chembl.smiles),
        "tasks": len(chembl.task_names),
        "sha256": chembl.sha256,
    }


def build(folder: Path, plates: list[str], metadata: list[str], n_jobs: int) -> dict[str, Any]:
    """Build the store, normalised and filtered as in the paper; a killed build resumes."""
    path = folder / "jump.pairs"
    pairs = build_pairs(
        path,
        plates,
        metadata=metadata,
        keep={"Metadata_PlateType": ["COMPOUND"]},
        exclude={"Metadata_JCP2022": [JUMP_EMPTY, *JUMP_POSITIVE_CONTROLS]},
        normalizer=ProfileNormalizer(on_missing="drop"),
        feature_filter=ProfileFilter.paper(),
        n_jobs=n_jobs,
    )
    size = sum(file.stat().st_size for file in path.iterdir())
    return {"rows": len(pairs), "features": pairs.n_features, "gb": size / 1e9}


def open_corpus(path: str) -> tuple[PairedProfiles, PairedProfiles]:
    """Open a store, or read a table of wells: the part to pretrain on, and whole molecules that are held out."""
    pairs = PairedProfiles.open(path) if Path(path).is_dir() else PairedProfiles.from_file(path)
    values, molecule = pairs.distinct_molecules()
    group = np.asarray(molecule_groups(values))[molecule]
    unique = np.unique(group)
    held_out = np.random.default_rng(0).permutation(unique)[: max(2, round(HELD_OUT * len(unique)))]
    mask = np.isin(group, held_out)
    return pairs[~mask], pairs[mask]


def pretrain(path: str, model: Path, seed: int, settings: Settings) -> dict[str, Any]:
    """Contrastive pretraining; a killed one goes on at its last epoch."""
    pairs, _ = open_corpus(path)
    embedder = MoCoPEmbedder.paper(
        pairs=pairs, checkpoint_dir=model.parent / "checkpoints", resume=True, random_state=seed, **settings.pretraining
    )
    embedder.fit(["C"]).save(model)
    return {"epochs": embedder.n_iter_, "validation_score": float(embedder.best_score_)}


def pretrain_multitask(path: str, model: Path, seed: int, settings: Settings) -> dict[str, Any]:
    """Pretraining that predicts a well of each molecule, drawn anew in each epoch; otherwise as the contrastive one."""
    pairs, _ = open_corpus(path)
    embedder = MoCoPEmbedder.paper(
        **MULTITASK,
        pairs=pairs,
        checkpoint_dir=model.parent / "checkpoints",
        resume=True,
        random_state=seed,
        **settings.multitask,
    )
    embedder.fit(["C"]).save(model)
    return {"epochs": embedder.n_iter_, "validation_r2": float(embedder.best_score_)}


def retrieve(path: str, model: Path, seed: int, pool: int) -> dict[str, Any]:
    """Top-1 among the molecules that were held out, in pools, one well of each molecule."""
    _, pairs = open_corpus(path)
    values, molecule = pairs.distinct_molecules()
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(pairs))
    rows = np.sort(shuffled[np.unique(molecule[shuffled], return_index=True)[1]])
    embedder = MoCoPEmbedder(pretrained=model, output="projection").fit(values[:1])
    z, p = embedder.transform([values[i] for i in molecule[rows]]), embedder.transform_profiles(pairs.read(rows))
    size = min(pool, len(rows))
    pools = rng.permutation(len(rows))[: len(rows) // size * size].reshape(-1, size)
    reports = [retrieval_report(z[own], p[own]) for own in pools]
    means = {name: float(np.mean([r[name] for r in reports])) for name in ("top1", "top10", "normalized_rank")}
    return means | {"pool": size, "pools": len(pools), "chance": 1 / size}
