"""Small plates by hand, what numpy makes of them, and builds that are killed."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from mocop_sklearn import build_pairs
from tests.helpers.processes import start

DMSO = "CS(C)=O"
MOLECULES = ("CCO", "CCN", "CCC", "CC(=O)O", "c1ccccc1", "CCCl")


def make_plate(plate="P1", molecules=MOLECULES, *, n_controls=4, n_features=5, seed=0, **metadata):
    """A plate whose first wells are controls, every feature in a unit of its own."""
    rng = np.random.default_rng([seed, *str(plate).encode()])
    n = n_controls + len(molecules)
    location, scale = rng.uniform(-50, 50, n_features), rng.uniform(0.5, 20, n_features)
    profiles = rng.normal(location, scale, size=(n, n_features)).astype(np.float32)
    frame = pd.DataFrame(profiles, columns=[f"Cells_f{i}" for i in range(n_features)])
    return frame.assign(
        **{
            "Metadata_Source": "s1",
            "Metadata_Batch": "b1",
            "Metadata_Plate": plate,
            "Metadata_Well": [f"{'ABCDEFGH'[i // 12]}{i % 12 + 1:02d}" for i in range(n)],
            "Metadata_SMILES": [DMSO] * n_controls + list(molecules),
            "Metadata_IsNegcon": np.arange(n) < n_controls,
            **metadata,
        }
    )


def features(frame):
    return frame.filter(like="Cells_").to_numpy(np.float64)


def normalized(frame):
    """The profiles of one plate less the median of its controls, over their inter-quartile range."""
    X = features(frame)
    low, middle, high = np.nanquantile(X[frame["Metadata_IsNegcon"].to_numpy()], [0.25, 0.5, 0.75], axis=0)
    return (X - middle) / np.where(high > low, high - low, 1.0)


def write(frame, path):
    """Write a table in the format that the name says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


def build_store(folder, frame=None, **options):
    """Store one plate, with doses and weights, in ``folder/store``."""
    folder.mkdir(exist_ok=True)
    frame = make_plate("P1", Metadata_Dose=2.0, Metadata_Share=1.0) if frame is None else frame
    columns = {"dose_column": "Metadata_Dose", "weight_column": "Metadata_Share"}
    return build_pairs(folder / "store", [write(frame, folder / "P1.parquet")], **columns | options)


def other_value(column, new, row=5):
    """A function that changes one value of a table."""

    def change(frame):
        frame.loc[row, column] = new
        return frame

    return change


def contents(path):
    """The bytes of all files of a store, but for the date, which a test at midnight would see change."""
    files = {file.name: file.read_bytes() for file in sorted(Path(path).iterdir())}
    header = json.loads(files["header.json"])
    header["provenance"].pop("date")
    header.pop("checksum")
    return files | {"header.json": json.dumps(header).encode()}


class Plate:
    """A file that notes when it is read, and may be the end of the process that reads it."""

    def __init__(self, path, log=None, fatal=False):
        self.path, self.name, self.log, self.fatal = path, path.name, log, fatal

    @contextmanager
    def local(self):
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{self.name}\n")
        if self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        yield self.path


def start_build(path, plates, **options):
    """Start a build in a process of its own."""
    return start(build_pairs, path, plates, **options)


def build_under_kills(n, seed, folder):
    """Kill builds at n random times, let each go on afterwards, and compare what comes out with an undisturbed build.

    Returns
    -------
    list of int or str
        For each kill, how many parts lay there, or "store" where they were being joined.
    """
    plates = [write(make_plate(f"P{i}", MOLECULES * 15, n_features=300), folder / f"P{i}.parquet") for i in range(10)]
    calm, path, partial = (folder / name for name in ("calm", "wild", "wild.partial"))
    start_build(calm, plates).join()
    shutil.rmtree(calm)
    started = time.perf_counter()  # now that the server of processes is there
    start_build(calm, plates).join()
    duration = time.perf_counter() - started
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < n:
        process = start_build(path, plates)
        process.join(rng.uniform(0, duration))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            found.append("store" if (partial / "store").exists() else len([*partial.glob("[0-9]*.npz")]))
        if process.exitcode == 0 or len(found) == n:
            build_pairs(path, plates)
            assert contents(path) == contents(calm)
            assert not partial.exists()
            shutil.rmtree(path)
    return found
