"""Labels of ChEMBL20's size: memory beyond the molecules, and the time of the linear start.

python benchmarks/labels.py [--molecules 365000] [--start-molecules 10000] [--quick]

Labels go the way that they go in ``MoCoPClassifier.fit``, from y to the batches of an epoch; the molecules are copies
of one. Each measurement runs in a process of its own. Memory is that of the process which is not a file's (RssAnon +
RssShmem, sampled twenty times a second), less what it had before it read y.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from common import RESULTS, memory_of_tree, print_table, run_phase, save
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.molecules._featurize import FeaturizedMolecules, featurize
from mocop_sklearn.training._classes import Classes
from mocop_sklearn.training._labels import measured_entries
from mocop_sklearn.training._linear_start import linear_start
from mocop_sklearn.training._merging import merge_rows
from mocop_sklearn.training._objectives import BINARY

N_TASKS = 1310
MEASURED = 0.01  # of ChEMBL20's labels
N_ONE_BY_ONE = 5


def chains(n: int, length: int = 12) -> list[str]:
    """Different molecules that are parsed fast."""
    letters = np.random.default_rng(0).choice(list("CNOS"), size=(2 * n, length))
    return list(dict.fromkeys(map("".join, letters.tolist())))[:n]


def write_labels(path: Path, n: int, share: float) -> None:
    """Write labels of int8, −1 for what was not measured."""
    rng = np.random.default_rng(1)
    labels = np.memmap(path, np.int8, "w+", shape=(n, N_TASKS))
    for start in range(0, n, 10_000):
        block = np.full((min(10_000, n - start), N_TASKS), -1, dtype=np.int8)
        size = round(share * block.size)
        places = rng.integers(block.size, size=size) if share < 1 else np.arange(size)
        block.ravel()[places] = rng.random(size) < 0.2
        labels[start : start + len(block)] = block
    labels.flush()


def read_labels(path: Path, n: int) -> np.ndarray:
    """The labels, mapped from the file."""
    return np.memmap(path, np.int8, "r", shape=(n, N_TASKS))


def as_sparse(labels: np.ndarray) -> sp.csr_array:
    """What was measured, zeros too."""
    parts = [sp.csr_array(np.where(rows < 0, 0, rows + 1)) for rows in np.array_split(labels, 100)]
    y = sp.vstack(parts, format="csr")
    y.data -= 1
    return y


def batches(path: str, n: int, kind: str) -> dict[str, Any]:
    """From y to the batches of an epoch."""
    smiles, y = chains(n), read_labels(Path(path), n)
    if kind == "sparse":
        y = as_sparse(y)
    graphs = featurize(["C"], "paper").graphs.take(torch.zeros(n, dtype=torch.long))
    found = FeaturizedMolecules(graphs, np.arange(n), {}, smiles, smiles)
    before, started, worked = memory_of_tree(os.getpid()), time.perf_counter(), time.process_time()
    entries = measured_entries(y, -1)
    classes = Classes.of(entries, np.ones(n), None)
    merged = merge_rows(smiles, found, classes.targets(entries, np.ones(n)))
    n_measured = len(entries.values)
    del entries
    part = merged.part(np.arange(len(merged.smiles)), *merged.no_scaling())
    for rows in torch.randperm(len(part)).split(128):
        part.labels(rows, torch.device("cpu"))
    times = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    return times | {"before_gib": before / 2**30, "measured": n_measured}


def start(path: str, n: int, n_one_by_one: int) -> dict[str, Any]:
    """The start of all tasks at once, beside one logistic regression after the other for a few of them."""
    smiles, y = chains(n), read_labels(Path(path), n)
    model = MoCoPEmbedder.paper(standardize=None, max_epochs=0, random_state=0)
    model.fit(smiles[:200], profiles=np.random.default_rng(2).normal(size=(200, 8)))
    features = np.tanh(model.transform(smiles))
    panel = as_sparse(y).tocsc()
    targets, weights = panel.astype(np.float32), panel.astype(np.float32)
    weights.data[:] = 1
    started, worked = time.perf_counter(), time.process_time()
    outputs, coefficients, intercepts = linear_start(BINARY.start, features, targets, weights)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    scaled = StandardScaler().fit_transform(features.astype(float))
    worked, apart = time.process_time(), 0.0
    for place in range(n_one_by_one):
        known = np.flatnonzero(y[:, outputs[place]] >= 0)
        alone = LogisticRegression(C=1e-3, tol=1e-6, max_iter=1000).fit(scaled[known], y[known, outputs[place]])
        together = features @ coefficients[place] + intercepts[place]
        apart = max(apart, float(np.abs(alone.decision_function(scaled) - together).max()))
    one_by_one = (time.process_time() - worked) * len(outputs) / n_one_by_one
    return took | {"tasks": len(outputs), "one_by_one_cpu_seconds": one_by_one, "largest_difference": apart}


def measured(phase: str, *words: Any) -> dict[str, Any]:
    """Result of a phase in a process of its own, with its peak of memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        found, _, peak = run_phase([__file__, "--phase", result, phase, *words], result)
    return found | {"peak_gib": peak}


def main() -> None:
    if sys.argv[1:2] == ["--phase"]:
        warnings.simplefilter("ignore", UserWarning)
        result, phase, path, n, last = sys.argv[2:]
        figures = batches(path, int(n), last) if phase == "batches" else start(path, int(n), int(last))
        Path(result).write_text(json.dumps(figures))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=365_000)
    parser.add_argument("--start-molecules", type=int, default=10_000)
    parser.add_argument("--parts", nargs="+", choices=("labels", "starts"), default=["labels", "starts"],
                        help="measure only these again; other figures stay")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a tenth of both, and no result is written")
    args = parser.parse_args()
    part, path = 10 if args.quick else 1, RESULTS / "labels.json"
    n, n_start = args.molecules // part, args.start_molecules // part
    figures = json.loads(path.read_text()) if path.exists() and not args.quick else {}
    figures = {name: figures[name] for name in ("labels", "starts") if name in figures}
    with tempfile.TemporaryDirectory() as folder:
        if "labels" in args.parts:
            figures["labels"] = measure_labels(Path(folder) / "labels.int8", n)
        if "starts" in args.parts:
            figures["starts"] = measure_starts(Path(folder) / "labels.int8", n_start)
    if not args.quick:
        save("labels", figures | {"tasks": N_TASKS})


def measure_labels(path: Path, n: int) -> dict[str, Any]:
    """Memory of labels of which one in a hundred was measured."""
    write_labels(path, n, MEASURED)
    found = {kind: measured("batches", path, n, kind) for kind in ("int8", "sparse")}
    for figures in found.values():
        figures["gib_beyond_molecules"] = figures["peak_gib"] - figures["before_gib"]
    print_table(
        [f"{n:,} molecules, {N_TASKS:,} tasks, y as", "GiB beyond the molecules", "seconds of a core"],
        [[kind, f"{f['gib_beyond_molecules']:.2f}", f"{f['cpu_seconds']:.0f}"] for kind, f in found.items()],
    )
    return found | {"molecules": n, "share": MEASURED}


def measure_starts(path: Path, n: int) -> dict[str, Any]:
    """Time of the linear start, where one label in a hundred was measured and where all were."""
    found = {}
    for share in (MEASURED, 1.0):
        write_labels(path, n, share)
        found[f"{share:.0%}"] = measured("start", path, n, N_ONE_BY_ONE)
    print_table(
        [f"start, {n:,} molecules, measured", "tasks", "seconds of a core", "one by one", "largest difference"],
        [
            [
                share,
                str(f["tasks"]),
                f"{f['cpu_seconds']:.0f}",
                f"{f['one_by_one_cpu_seconds']:.0f}",
                f"{f['largest_difference']:.1e}",
            ]
            for share, f in found.items()
        ],
    )
    return found | {"molecules": n}


if __name__ == "__main__":
    main()
