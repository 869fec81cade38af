"""Stand-ins for what is on the internet: JUMP's bucket with simulated plates, and an archive of ChEMBL 20's shape."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import DATA, ROOT
from simulation import make_jump_like
from simulation.biology import describe
from simulation.jump_like import BIOLOGY
from simulation.layout import read_compounds
from simulation.plates import random_stream
from sklearn.utils import check_random_state

from mocop_sklearn.utils._files import atomic_write
from protocol.settings import Settings

BUCKET = "cellpainting-gallery"
ARCHIVE = "chembl20.tar.gz"
SPLITS, FRACTIONS = (1, 2, 3), (1, 5, 10, 25, 50, 100)
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def simulate(folder: Path, settings: Settings) -> dict[str, Any]:
    """Write plates and the archive into a folder that has the layout of the two servers.

    What a killed call with the same settings wrote is kept; of other settings, nothing is.
    """
    made_with = folder / "settings.txt"
    if not made_with.exists() or made_with.read_text() != repr(settings):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made_with.write_text(repr(settings))
    tables = {"structures": "jump_compounds", "wells": "jump_wells", "activity": "jump_activity_map"}
    found = {key: DATA / f"{name}.parquet" for key, name in tables.items() if settings.scale}
    known = {key: path for key, path in found.items() if path.exists()}
    data = make_jump_like(
        folder / BUCKET,
        n_plates=settings.n_plates,
        n_features=settings.n_features,
        overwrite=False,
        random_state=0,
        **known,
    )
    metadata = folder / BUCKET / "cpg0016-jump" / "metadata"
    metadata.mkdir(exist_ok=True)
    for path in data.metadata.values():
        os.replace(path, metadata / path.name)
    compounds = read_compounds(known.get("structures"), known.get("wells"), known.get("activity"))
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(compounds["structure"]))[: settings.n_molecules]
    seed = int(check_random_state(0).randint(np.iinfo(np.int32).max))  # that of the plates: the same biology
    described = describe(compounds["structure"], rows, 8, random_stream(seed, BIOLOGY), None)
    readable = ~described.unreadable
    write_archive(folder / ARCHIVE, described.smiles[readable], described.latent[readable], settings, rng)
    n_bytes = sum(path.stat().st_size for path in data.plates)
    return {"plates": len(data.plates), "molecules": int(readable.sum()), "gb": n_bytes / 1e9}


def write_archive(
    path: Path, smiles: np.ndarray, latent: np.ndarray, settings: Settings, rng: np.random.Generator
) -> None:
    """Write an archive in the form of ChEMBL 20's: tasks read the latent biology, and most labels are −1."""
    n, n_tasks = len(smiles), settings.n_tasks
    weights = rng.normal(size=(latent.shape[1], n_tasks)).astype(np.float32)
    with atomic_write(path) as temporary, tarfile.open(temporary, "w:gz", compresslevel=1) as tar:
        table = path.with_name("chembl20.csv")
        with table.open("w") as lines:
            lines.write(",".join(["", "smiles", *(f"task{i}" for i in range(n_tasks))]) + "\n")
            for start in range(0, n, 1000):
                rows = slice(start, start + 1000)
                score = latent[rows] @ weights + rng.normal(size=(len(latent[rows]), n_tasks))
                labels = np.where(rng.random(score.shape) < settings.share_measured, score > 2.5, -1)
                for i, (text, row) in enumerate(zip(smiles[rows], labels.astype(int).tolist(), strict=True), start):
                    lines.write(f"{i},{text},{','.join(map(str, row))}\n")
        tar.add(table, "chembl20/chembl20.csv")
        table.unlink()
        for split in SPLITS:
            order = rng.permutation(n)
            ends = np.cumsum([round(share * n) for share in SHARES.values()])
            parts = dict(zip(SHARES, np.split(order, ends[:-1]), strict=True))
            for part in ("val", "test"):
                _add(tar, f"chembl20-split{split}-{part}.csv", _index(parts[part]))
            for fraction in FRACTIONS:
                n_rows = max(2, round(fraction / 100 * len(parts["train"])))
                _add(tar, f"chembl20-frac{fraction}-split{split}-train.csv", _index(parts["train"][:n_rows]))


def _index(rows: np.ndarray) -> bytes:
    return (",index\n" + "".join(f"{i},{row}\n" for i, row in enumerate(rows.tolist()))).encode()


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(f"chembl20/{name}")
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))


@contextmanager
def served(folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve a folder as S3 and as a web server, and yield the environment variables that name it."""
    sys.path.insert(0, str(ROOT))
    from tests.helpers.s3_server import Memory, faulty_server

    class Files(Memory):
        """Files of a folder, in memory only while they are sent."""

        def answer(self, method: str, path: str, headers: Any) -> Any:
            file = folder / path.lstrip("/")
            if file.is_file() and folder in file.resolve().parents:
                self.put(path, file.read_bytes())
            try:
                return super().answer(method, path, headers)
            finally:
                self.files.pop(path, None)

    with faulty_server(Files()) as server:
        yield {"AWS_ENDPOINT_URL_S3": server.url, "MOCOP_CHEMBL20_URL": f"{server.url}/{ARCHIVE}"}
