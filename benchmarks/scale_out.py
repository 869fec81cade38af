"""Ray and Dask embed a library with two workers, one of which is killed halfway: time, memory, and what comes out.

python benchmarks/scale_out.py [--molecules 100000 1000000] [--frameworks ray dask] [--folder scale_out_data]

The commands are those of docs/examples, with the shipped model ``distilled``. The library is JUMP's structures (else
RDKit's NCI structures) that begin with a carbon, behind alkyl chains of 0, 1, 2 and more carbons, so that all texts
differ. One row in 10,000 is not a molecule. When half of the parts are written, the worker that has computed most gets
SIGKILL. Afterwards the rows must be those of the library in their order, the rows that are not molecules and no others
must be NaN, and 2,000 rows must have the values that one process gives.

Memory is the sum of the proportional set sizes (PSS) of the command and its descendants, sampled every second.
``before`` is the peak until the first part is written: what the framework and its workers take in any case.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from common import RESULTS, ROOT, print_table, pss, save, ticks, tree
from rdkit import Chem, rdBase
from throughput import molecules

from mocop_sklearn import MoCoPEmbedder, list_models

EXAMPLES = ROOT / "docs" / "examples"
NEEDS = {"ray": ["ray"], "dask": ["dask", "distributed"]}
MODEL = "distilled"
ROWS, LEAST_PARTS = 20_000, 20  # of a part; of a library
NOT_A_MOLECULE_EVERY = 10_000
N_COMPARED = 2000
TOLERANCE = 1e-4


def write_library(path: Path, structures: list[str], n: int) -> int:
    """Write distinct structures, a row group for each part, and return the number of parts."""
    with rdBase.BlockLogs():
        known = [s for s in structures if s[0] in "Cc" and Chem.MolFromSmiles(f"C{s}") is not None]
    smiles = np.array([*islice((f"{'C' * length}{s}" for length in count() for s in known), n)], dtype=object)
    smiles[::NOT_A_MOLECULE_EVERY] = "not a molecule"
    rows = min(ROWS, -(-n // LEAST_PARTS))
    pq.write_table(pa.table({"id": np.arange(n), "smiles": smiles}), path, row_group_size=rows)
    return -(-n // rows)


def worker_of(pid: int) -> int:
    """The descendant that has computed most."""
    return max(tree(pid) - {pid}, key=ticks)


def run(framework: str, folder: Path, n_parts: int) -> dict[str, Any]:
    """Run an example and kill one of its workers halfway; what that took, and what came out."""
    library, out, log = folder / "library.parquet", folder / framework, folder / f"{framework}.log"
    model = next(model.path for model in list_models() if model.name == MODEL)
    words = [EXAMPLES / f"{framework}_embed.py", model, library, out, *([n_parts] if framework == "dask" else [])]
    quiet = {"RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    found: dict[str, Any] = {"before_gib": 0.0, "peak_gib": 0.0, "killed_after": None}
    start = time.perf_counter()
    with log.open("w") as lines:
        command = [sys.executable, *map(str, words)]
        process = subprocess.Popen(command, env=os.environ | quiet, cwd=folder, stdout=lines, stderr=lines)
        while process.poll() is None:
            n_written = len(list(out.glob("part-*.parquet")))
            for name in ["peak_gib"] if n_written else ["peak_gib", "before_gib"]:
                found[name] = max(found[name], sum(map(pss, tree(process.pid))) / 2**30)
            if found["killed_after"] is None and 2 * n_written >= n_parts:
                os.kill(worker_of(process.pid), signal.SIGKILL)
                found["killed_after"] = n_written
            time.sleep(1)  # to ask all processes takes a tenth of that
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{framework} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return {"parts": n_parts, "seconds": seconds, **found, **check(library, out)}


def check(library: Path, out: Path) -> dict[str, Any]:
    """Compare what came out with the library; a difference ends the benchmark."""
    rows = pd.read_parquet(library)
    not_molecules = rows.index[::NOT_A_MOLECULE_EVERY]
    chosen = np.random.default_rng(0).permutation(len(rows))[:N_COMPARED]
    chosen = pd.Index(np.union1d(chosen, not_molecules))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows that are not molecules
        Z = MoCoPEmbedder.load(MODEL, invalid="nan").transform(rows["smiles"][chosen])
    expected, n_read, empty, largest = pd.DataFrame(Z, index=chosen), 0, [], 0.0
    for path in sorted(out.glob("part-*.parquet")):
        part = pd.read_parquet(path).reset_index(drop=True)
        part.index += n_read
        wanted = rows.iloc[n_read : n_read + len(part)]
        if any(part[name].tolist() != wanted[name].tolist() for name in rows.columns):
            sys.exit(f"{path} does not hold the rows of the library from {n_read} on")
        n_read += len(part)
        values = part.drop(columns=["id", "smiles"])
        empty += values.index[values.isna().any(axis=1)].tolist()
        own = chosen.intersection(values.index).difference(not_molecules)
        difference = np.abs(values.loc[own].to_numpy() - expected.loc[own].to_numpy())
        largest = max(largest, float(difference.max(initial=0.0)))
    if n_read != len(rows) or empty != not_molecules.tolist() or largest > TOLERANCE:
        sys.exit(f"{out} holds {n_read} of {len(rows)} rows, {len(empty)} of them empty, and differs by {largest:g}")
    return {"molecules": n_read, "not_molecules": len(empty), "compared": len(chosen), "largest_difference": largest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--frameworks", nargs="+", default=list(NEEDS), choices=NEEDS)
    parser.add_argument("--folder", type=Path, help="where files are made, and removed (default: temporary)")
    arguments = parser.parse_args()
    frameworks = [name for name in arguments.frameworks if all(map(importlib.util.find_spec, NEEDS[name]))]
    for name in set(arguments.frameworks).difference(frameworks):
        print(f"skipped: {name} is not installed; pip install 'mocop-sklearn[{name}]'")
    structures, source = molecules(110_000)
    path = RESULTS / "scale_out.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    for n in arguments.molecules:
        for framework in frameworks:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
                folder = Path(made).resolve()
                figures = run(framework, folder, write_library(folder / "library.parquet", structures, n))
            runs[f"{framework} {n}"] = figures
            save("scale_out", {"source": source, "model": MODEL, "runs": runs})  # a break loses one run
    rows = [
        [name, f"{r['seconds']:,.0f}", f"{r['molecules'] / r['seconds']:,.0f}", f"{r['peak_gib']:.2f}"]
        for name, r in runs.items()
    ]
    print_table(["run", "seconds", "per second", "peak, GiB"], rows)


if __name__ == "__main__":
    main()
