"""Pretraining on a GPU at JUMP-CP's size, beside a bound that is measured in the same run.

python benchmarks/gpu.py [--molecules 112000] [--features 3475] [--batch-sizes 256 4096 32768] [--rounds 5]

The real loop draws molecules and replicates of a corpus that lies on the device, makes graphs of them there, and takes
a step. The bound takes the same steps on batches that were made before. Their ratio is the share of the time that is
not spent on drawing and assembling. Structures are those of the simulated data sets, repeated; profiles are random, as
what is learned does not matter. On a machine without a GPU the script says so and ends; the same shares on a CPU:

python benchmarks/gpu.py --device cpu --molecules 4000 --batch-sizes 128 256 --precision fp32
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from common import print_table, save

from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn import infonce
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.training._batches import Batch, Corpus
from mocop_sklearn.training._contrastive import accumulate_gradients

N_STRUCTURES = 4000
REPLICATES = 5
RECIPES = {
    "default": {"featurizer": "rich", "n_layers": 3, "profile_dims": (256, 128), "n_profile_features": 64},
    "paper": {"featurizer": "paper", "n_layers": 6, "profile_dims": (512, 256, 128)},
}


def corpus_on(device: torch.device, featurizer: str, n_molecules: int, n_features: int) -> Corpus:
    """Molecules with random replicates, on the device."""
    structures = make_paired_profiles(n_molecules=N_STRUCTURES, n_features=1, n_replicates=1, random_state=0).molecules
    graphs = featurize(structures.tolist(), featurizer).graphs
    graphs = graphs.take(torch.arange(n_molecules) % len(graphs))
    profiles = torch.randn(n_molecules * REPLICATES, n_features, device=device)
    return Corpus.from_rows(graphs, profiles, np.repeat(np.arange(n_molecules), REPLICATES)).to(device)


def seconds_per_step(batches: Iterator[Batch], n: int, model: TwoTower, device: torch.device, precision: str) -> float:
    """Mean time of a step over n batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    _synchronize(device)
    start = time.perf_counter()
    for batch in itertools.islice(batches, n):
        optimizer.zero_grad(set_to_none=True)
        accumulate_gradients(model, batch, None, device, precision, infonce)
        optimizer.step()
    _synchronize(device)
    return (time.perf_counter() - start) / n


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run(device: torch.device, recipe: str, batch_size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Rates of the loop and of the bound, interleaved."""
    shape: dict[str, Any] = {"n_profile_features": args.features} | RECIPES[recipe]
    fixed = {"hidden_dim": 75, "embedding_dim": 1024, "projection_dim": 128, "dropout": 0.1}
    corpus = corpus_on(device, shape["featurizer"], args.molecules, shape["n_profile_features"])
    model = TwoTower(Architecture(**shape, **fixed)).to(device)
    model.log_scale.requires_grad_(False)
    n = max(2, min(50, len(corpus) // batch_size))
    rng = np.random.default_rng(0)
    ready = list(itertools.islice(corpus.batches(rng, batch_size), 4))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    loop, bound = [], []
    for _ in range(args.rounds + 1):  # the first warms up
        loop.append(seconds_per_step(corpus.batches(rng, batch_size), n, model, device, args.precision))
        bound.append(seconds_per_step(itertools.cycle(ready), n, model, device, args.precision))
    step, least = statistics.median(loop[1:]), statistics.median(bound[1:])
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
    return {
        "recipe": recipe,
        "batch_size": batch_size,
        "pairs_per_second": batch_size / step,
        "share_of_bound": least / step,
        "seconds_per_epoch": args.molecules / batch_size * step,
        "peak_gib": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu, to try the script")
    parser.add_argument("--molecules", type=int, default=112_000)
    parser.add_argument("--features", type=int, default=3475)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 4096, 32768])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("skipped: torch sees no GPU here; --device cpu tries the script without one")
    device = torch.device(args.device)
    runs = [run(device, recipe, size, args) for recipe in RECIPES for size in args.batch_sizes]
    figures = {"molecules": args.molecules, "features": args.features, "precision": args.precision, "runs": runs}
    save("gpu" if device.type == "cuda" else "loop", figures)
    header = ["recipe", "batch", "pairs/s", "share of the bound", "s an epoch", "GiB"]
    print_table(header, [[r["recipe"], f"{r['batch_size']:,}", f"{r['pairs_per_second']:,.0f}",
                          f"{r['share_of_bound']:.2f}", f"{r['seconds_per_epoch']:.1f}", f"{r['peak_gib']:.2f}"]
                         for r in runs])  # fmt: skip


if __name__ == "__main__":
    main()
