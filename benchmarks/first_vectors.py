"""From an installation to the first vectors: the size of the wheel, and seconds until 1,000 molecules have vectors.

    python benchmarks/first_vectors.py

The wheel is built from this checkout. Every round is a new process, in which imports and vectors are timed apart.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from common import ROOT, save
from throughput import molecules

from mocop_sklearn import list_models

N_MOLECULES, N_ROUNDS = 1000, 5
CHILD = """
import json, sys, time
smiles = json.load(sys.stdin)
start = time.perf_counter()
from mocop_sklearn import MoCoPEmbedder
import rdkit.Chem, scipy.sparse, sklearn.base, torch
imported = time.perf_counter()
vectors = MoCoPEmbedder(pretrained=sys.argv[1]).fit(smiles).transform(smiles)
assert len(vectors) == len(smiles)
json.dump([imported - start, time.perf_counter() - imported], sys.stdout)
"""


def main() -> None:
    smiles, source = molecules(N_MOLECULES)
    figures: dict[str, Any] = {"molecules": source, "n_molecules": len(smiles), **wheel(), "seconds": {}}
    for model in (model.name for model in list_models()):
        rounds = [seconds(model, smiles) for _ in range(N_ROUNDS)]
        imports, vectors = (statistics.median(own) for own in zip(*rounds, strict=True))
        figures["seconds"][model] = {"imports": imports, "vectors": vectors}
        print(f"{model}: imports {imports:.1f} s, then {len(smiles)} vectors {vectors:.2f} s")
    save("first_vectors", figures)


def wheel() -> dict[str, float]:
    """Size of the wheel, and of the models and the data in it, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(command, check=True)
        path = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.compress_size for info in archive.infolist()}
        return {
            "wheel": path.stat().st_size,
            "models": sum(size for name, size in sizes.items() if "/shipped/" in name),
            "data": sum(size for name, size in sizes.items() if "/datasets/data/" in name),
        }


def seconds(model: str, smiles: list[str]) -> list[float]:
    """Seconds of the imports, and of reading the model and embedding, in a new process."""
    command = [sys.executable, "-c", CHILD, model]
    output = subprocess.run(command, input=json.dumps(smiles), capture_output=True, text=True, check=True).stdout
    return [float(value) for value in json.loads(output)]


if __name__ == "__main__":
    main()
