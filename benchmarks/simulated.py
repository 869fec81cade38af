"""Retrieval on a simulated corpus of a tenth of JUMP-CP's size, against the planted optimum.

python benchmarks/simulated.py [--folder simulated_data] [--seeds 3] [--epochs 20]

What is asked: how near training comes to what an oracle can reach; what normalising plates on their controls is worth;
and how much of a retrieval across plates is recognising the plate, since on real plate maps like compounds lie on the
same plates of one source. Pools of unseen, active molecules are: all (the mean of all wells of a molecule), those of
one source, those of one plate (its wells alone), and pools of that last size whose wells come from plates of all kinds,
so that a plate alone gives the molecule away if structures tell the plate.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import mean_std, print_table, save
from scale import make_plates
from simulation import jump_like_retrieval

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_POSITIVE_CONTROLS
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.molecules import canonical_smiles
from mocop_sklearn.profiles import ProfileNormalizer

PLAIN = {"local_scaling": False}  # as all of its rows were measured
POOLS = ("all", "source", "plate", "mixed plates")
# How wells are scaled before they go into a store: its name, and the arguments of build_pairs
SCALINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "plates normalised": ("n.pairs", {"normalizer": ProfileNormalizer(on_missing="drop")}),
    "raw": ("raw.pairs", {"normalizer": "passthrough", "dtype": "float32", "clip": None}),
}


def stores(folder: Path, data: Any, names: Iterable[str] = SCALINGS, n_jobs: int = 2) -> dict[str, PairedProfiles]:
    """The corpus with each plate scaled on its controls, and with raw values."""
    common: dict[str, Any] = {
        "plates": data.plates,
        "metadata": list(data.metadata.values()),
        "exclude": {"Metadata_JCP2022": [JUMP_EMPTY, *JUMP_POSITIVE_CONTROLS]},
        "n_jobs": n_jobs,
    }
    return {name: build_pairs(folder / SCALINGS[name][0], **SCALINGS[name][1], **common) for name in names}


def pools(pairs: PairedProfiles, kind: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each pool."""
    assert pairs.plates is not None
    assert pairs.sources is not None
    if kind == "all":
        yield np.arange(len(pairs))
        return
    if kind == "mixed plates":
        _, first = np.unique(np.array(pairs.molecules)[(order := rng.permutation(len(pairs)))], return_index=True)
        size = round(len(pairs) / len(np.unique(pairs.plates)))
        yield from np.array_split(rng.permutation(order[first]), max(1, len(first) // size))
        return
    label = pairs.plates if kind == "plate" else pairs.sources
    for value in np.unique(label):
        yield np.flatnonzero(label == value)


def retrieval(embedder: MoCoPEmbedder, pairs: PairedProfiles, kind: str) -> dict[str, float]:
    """Mean report over the pools, weighted by their size."""
    projector = MoCoPEmbedder(pretrained=embedder, output="projection").fit(["C"])
    reports = []
    for rows in pools(pairs, kind, np.random.default_rng(0)):
        own = pairs[rows]
        smiles, place = np.unique(own.molecules, return_inverse=True)
        if len(smiles) < 2:
            continue
        means = np.zeros((len(smiles), own.n_features))
        np.add.at(means, place, own.read())
        means /= np.bincount(place)[:, None]
        reports.append(retrieval_report(projector.transform(smiles), projector.transform_profiles(means), ks=(1,)))
    size = np.array([report["n_candidates"] for report in reports])
    names = ("top1", "normalized_rank", "chance_top1", "n_candidates")
    return {name: float(np.average([r[name] for r in reports], weights=size)) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where plates and stores are made, and stay (default: temporary)")
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        figures = study(folder, args)
    finally:
        if args.folder is None:
            shutil.rmtree(folder)
    save("simulated", figures)
    rows = [[arm, kind, f"{r[0]['n_candidates']:.0f}", mean_std(x["top1"] for x in r),
             f"{r[0]['chance_top1']:.3f}", mean_std(x["normalized_rank"] for x in r)]
            for arm, kinds in figures["retrieval"].items() for kind, r in kinds.items()]  # fmt: skip
    print_table(["arm", "pool", "candidates", "top-1", "chance", "normalised rank"], rows)


def study(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Train on each corpus with each seed; report the arms on the same unseen molecules, and the oracles."""
    data = make_plates(folder, args.scale, n_jobs=2)
    smiles = np.array(canonical_smiles(data.molecules), dtype=object)
    active = set(smiles[data.active].tolist())
    corpora = stores(folder, data)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    sizes: dict[str, int] = {}
    for seed in range(args.seeds):
        held_out = set()
        for arm, pairs in corpora.items():
            if not held_out:
                distinct = np.unique(pairs.molecules)
                keys = molecule_groups(distinct)
                chosen = np.random.default_rng(seed).permutation(keys.max() + 1)[: keys.max() // 10]
                held_out = set(distinct[np.isin(keys, chosen)].tolist())
            is_test = np.array([m in held_out for m in pairs.molecules])
            is_active = np.array([m in active for m in pairs.molecules])
            test = pairs[is_test & is_active]
            training = pairs[~is_test]
            embedder = MoCoPEmbedder(pairs=training, max_epochs=args.epochs, random_state=seed, **PLAIN).fit(["C"])
            sizes = {"training_wells": len(training), "training_molecules": len(embedder.molecule_keys_)}
            untrained = MoCoPEmbedder(pairs=training[:2000], max_epochs=0, random_state=seed, **PLAIN)
            for name, model in ((arm, embedder), (f"{arm}, untrained", untrained.fit(["C"]))):
                for kind in POOLS:
                    report = retrieval(model, test, kind)
                    figures.setdefault(name, {}).setdefault(kind, []).append(report)
                    print(f"seed {seed}, {name}, {kind}: {report}", flush=True)
        rows = np.flatnonzero([m in held_out and m in active for m in smiles])
        for kind, within in (("all", None), ("source", "source"), ("plate", "plate")):
            for structure_only in (False, True):
                for normalized in (True, False):
                    name = "oracle" + ", structure alone" * structure_only + ", raw" * (not normalized)
                    own = jump_like_retrieval(data, rows, within=within, normalized=normalized,
                                              structure_only=structure_only, ks=(1,))  # fmt: skip
                    figures.setdefault(name, {}).setdefault(kind, []).append(own)
    return {"epochs": args.epochs, **sizes, "retrieval": figures}


if __name__ == "__main__":
    main()
