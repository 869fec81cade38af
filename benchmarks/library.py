"""Embedding a large library: rate, and memory beyond the output, by the number of molecules.

    python benchmarks/library.py               up to a million molecules: about five minutes, 4 GB of output
    python benchmarks/library.py --quick

JUMP's structures where they are, else RDKit's NCI structures, repeated in random order. Memory is that of this
process and its workers without pages of files, sampled ten times a second; the memory before an embedding, and the
array that the embedding is returned in, are subtracted. The workers have started and embedded before.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from typing import Any

import numpy as np
from common import memory_of_tree, print_table, save
from throughput import molecules

from mocop_sklearn import MoCoPEmbedder


class PeakMemory(threading.Thread):
    """Samples the memory of this process and its children until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = self.before = memory_of_tree(os.getpid())
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.1):
            self.peak = max(self.peak, memory_of_tree(os.getpid()))

    def stop(self) -> int:
        """Return by how many bytes the peak was above what there was before."""
        self._stopped.set()
        self.join()
        return self.peak - self.before


def measure(embedder: MoCoPEmbedder, structures: list[str], n: int) -> dict[str, Any]:
    """Embed n molecules."""
    order = np.random.default_rng(n).permuted(np.resize(np.arange(len(structures)), n))
    smiles = [structures[i] for i in order.tolist()]
    memory = PeakMemory()
    memory.start()
    start = time.perf_counter()
    Z = embedder.transform(smiles)
    seconds = time.perf_counter() - start
    return {"n": n, "per_second": n / seconds, "output_mib": Z.nbytes / 2**20,
            "beyond_output_mib": (memory.stop() - Z.nbytes) / 2**20}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    sizes = [500, 2000] if arguments.quick else [20_000, 100_000, 300_000, 1_000_000]
    structures, source = molecules(1000 if arguments.quick else 110_000)
    P = np.random.default_rng(0).normal(size=(64, 32))
    embedder = MoCoPEmbedder.paper(max_epochs=1, random_state=0, n_jobs=arguments.n_jobs, invalid="nan")
    embedder.fit(structures[:64], profiles=P).transform(structures[: 2 * sizes[0]])
    rows = [measure(embedder, structures, n) for n in sizes]
    print_table(
        ["molecules", "per second", "output, MiB", "memory beyond it, MiB"],
        [[f"{x:,.0f}" for x in row.values()] for row in rows],
    )
    save(
        "library_quick" if arguments.quick else "library",
        {"source": source, "distinct": len(structures), "n_jobs": arguments.n_jobs, "runs": rows},
    )


if __name__ == "__main__":
    main()
