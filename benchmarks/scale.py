"""A corpus of JUMP-CP's size: build it, open it, pretrain on it, and what that costs in time, disk and memory.

python benchmarks/scale.py [--scale 1 0.1 0.01] [--folder scale_data]

The plates are simulated in JUMP's layout (simulation.make_jump_like); with the tables jump_compounds, jump_wells and
jump_activity_map in the benchmark data folder, on the real structures and the real plate maps, of which some are copied
for sources that are not in the table. Plates stay in the folder and are not made again. Each phase runs in a process of
its own. Memory is the sum over it and its children of memory that is no file's (RssAnon + RssShmem in /proc/PID/status,
sampled ten times a second): pages of the store in the page cache are not counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import DATA, RESULTS, print_table, run_phase, save

STEPS = 400
PHASES = ["make", "build", "open", "default", "paper"]
N_WELLS = 620_000  # treated wells with a known structure
ABSENT_SOURCES = ("source_1", "source_7", "source_9", "source_13", "source_15")  # of JUMP, from the table of wells


def measured(phase: str, folder: Path, *words: str) -> dict[str, Any]:
    """Result of a phase in a process of its own, with its seconds and its peak of memory in GiB."""
    words_of_phase = [__file__, "--phase", phase, folder, *words]
    found, seconds, peak = run_phase(words_of_phase, folder / "result.json")
    return found | {"seconds": seconds, "peak_gib": peak}


def tables() -> dict[str, Path]:
    """Real structures, plate maps and activities, where they are at hand."""
    names = {"structures": "jump_compounds", "wells": "jump_wells", "activity": "jump_activity_map"}
    return {key: DATA / f"{name}.parquet" for key, name in names.items() if (DATA / f"{name}.parquet").exists()}


def full_layout(path: Path) -> int:
    """Write plate maps of at least N_WELLS treated wells: the real ones, then copies of them at the absent sources.

    Returns the number of plates.
    """
    import numpy as np
    import pandas as pd

    from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_NEGCON, JUMP_POSITIVE_CONTROLS

    wells = pd.read_parquet(tables()["wells"])
    wells = wells[(wells["Metadata_PlateType"] == "COMPOUND") & wells["Metadata_Batch"].notna()]
    known = set(pd.read_parquet(tables()["structures"], columns=["Metadata_JCP2022"])["Metadata_JCP2022"])
    known -= {JUMP_NEGCON, JUMP_EMPTY, *JUMP_POSITIVE_CONTROLS}
    treated = wells["Metadata_JCP2022"].isin(known).groupby(wells["Metadata_Plate"]).sum()
    chosen = np.flatnonzero(treated.sum() + treated.cumsum() >= N_WELLS)
    copied = treated.index[: chosen[0] + 1 if len(chosen) else len(treated)]
    copies = wells[wells["Metadata_Plate"].isin(copied)].copy()
    place = pd.Index(copied).get_indexer(copies["Metadata_Plate"]) * len(ABSENT_SOURCES) // len(copied)
    copies["Metadata_Source"] = np.array(ABSENT_SOURCES)[place]
    copies["Metadata_Plate"] = copies["Metadata_Plate"].astype(str) + "_copy"
    pd.concat([wells, copies]).to_parquet(path)
    return len(treated) + len(copied)


def make_plates(folder: Path, scale: float, n_jobs: int, n_features: int = 3475) -> Any:
    """Write a share of the plates of JUMP; see ``make_jump_like`` for what is returned."""
    from simulation import make_jump_like

    layout, n_plates = {}, round(2000 * scale)
    if "wells" in tables():
        n_plates = round(scale * full_layout(folder / "layout.parquet"))
        layout = tables() | {"wells": folder / "layout.parquet"}
    return make_jump_like(
        folder / "plates", n_plates=n_plates, n_features=n_features, **layout, n_jobs=n_jobs, random_state=0
    )


def make(folder: Path, scale: float, n_jobs: int) -> dict[str, Any]:
    """Write the plates."""
    data = make_plates(folder, scale, n_jobs)
    (folder / "plates.json").write_text(
        json.dumps({"plates": list(map(str, data.plates)), "metadata": [str(path) for path in data.metadata.values()]})
    )
    return {"plates": len(data.plates), "gb": sum(Path(path).stat().st_size for path in data.plates) / 1e9}


def build(folder: Path, n_jobs: int) -> dict[str, Any]:
    """Build the store."""
    from mocop_sklearn import build_pairs
    from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_POSITIVE_CONTROLS
    from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer

    files = json.loads((folder / "plates.json").read_text())
    shutil.rmtree(folder / "jump.pairs", ignore_errors=True)
    pairs = build_pairs(
        folder / "jump.pairs",
        files["plates"],
        metadata=files["metadata"],
        keep={"Metadata_PlateType": ["COMPOUND"]},
        exclude={"Metadata_JCP2022": [JUMP_EMPTY, *JUMP_POSITIVE_CONTROLS]},
        normalizer=ProfileNormalizer(on_missing="drop"),
        feature_filter=ProfileFilter.paper(),
        n_jobs=n_jobs,
    )
    size = sum(path.stat().st_size for path in (folder / "jump.pairs").iterdir())
    return {"gb": size / 1e9, "report": pairs.report_}


def open_store(folder: Path) -> dict[str, Any]:
    """Open the store some times."""
    from mocop_sklearn import PairedProfiles

    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        pairs = PairedProfiles.open(folder / "jump.pairs")
        seconds.append(time.perf_counter() - start)
    return {"open_seconds": statistics.median(seconds), "rows": len(pairs), "features": pairs.n_features}


def pretrain(folder: Path, recipe: str) -> dict[str, Any]:
    """Take some hundred steps, without a validation part, and say what a pair costs."""
    from mocop_sklearn import MoCoPEmbedder, PairedProfiles

    pairs = PairedProfiles.open(folder / "jump.pairs")
    make_embedder: Any = MoCoPEmbedder if recipe == "default" else MoCoPEmbedder.paper
    embedder = make_embedder(pairs=pairs, validation_fraction=0, random_state=0)
    n_molecules = pairs.report_["molecules"]
    steps = max(1, n_molecules // embedder.batch_size)
    embedder.set_params(max_epochs=-(-STEPS // steps))
    start = time.perf_counter()
    embedder.fit(["C"])
    whole = time.perf_counter() - start
    training = sum(row["seconds"] for row in embedder.history_)
    n_pairs = len(embedder.history_) * steps * embedder.batch_size
    return {
        "steps": len(embedder.history_) * steps,
        "pairs_per_second": n_pairs / training,
        "microseconds_per_pair": 1e6 * training / n_pairs,
        "waiting_share": sum(row["seconds_waiting"] for row in embedder.history_) / training,
        "seconds_before_training": whole - training,
    }


def run(scale: float, folder: Path, n_jobs: int, wanted: list[str]) -> dict[str, Any]:
    """Figures of the phases that are wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    phases = {
        "make": ("make", str(scale), str(n_jobs)),
        "build": ("build", str(n_jobs)),
        "open": ("open_store",),
        "default": ("pretrain", "default"),
        "paper": ("pretrain", "paper"),
    }
    figures: dict[str, Any] = {}
    for name, (phase, *words) in phases.items():
        if name not in wanted or (name == "make" and (folder / "plates.json").exists()):
            continue
        figures[name] = measured(phase, folder, *words)
        print(f"scale {scale:g}, {name}: {figures[name]}", flush=True)
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--phase"]:
        phase, folder = sys.argv[2], Path(sys.argv[3])
        words = [int(w) if w.isdecimal() else float(w) if w[0].isdecimal() else w for w in sys.argv[4:]]
        result = {"make": make, "build": build, "open_store": open_store, "pretrain": pretrain}[phase](folder, *words)
        (folder / "result.json").write_text(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, nargs="+", default=[1.0, 0.1, 0.01])
    parser.add_argument("--folder", type=Path, help="where plates and stores are made, and stay (default: temporary)")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--phases", nargs="+", default=PHASES, choices=PHASES,
                        help="measure only these again, in the folder of a run before; other figures stay")  # fmt: skip
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    before = json.loads((RESULTS / "scale.json").read_text())["runs"] if (RESULTS / "scale.json").exists() else {}
    try:
        runs = {
            f"{scale:g}": before.get(f"{scale:g}", {}) | run(scale, folder / f"{scale:g}", args.n_jobs, args.phases)
            for scale in args.scale
        }
    finally:
        if args.folder is None:
            shutil.rmtree(folder)
    save("scale", {"tables": sorted(tables()), "runs": before | runs})
    rows = []
    for scale, phases in runs.items():
        report = phases["build"]["report"]
        rows.append(
            [
                scale,
                f"{report['molecules']:,} × {report['fates']['stored']:,} × {report['features']:,}",
                f"{phases['build']['seconds']:.0f} s, {phases['build']['peak_gib']:.2f} GiB",
                f"{phases['build']['gb']:.2f} GB",
                f"{phases['open']['open_seconds']:.3f} s",
                *(
                    f"{p['pairs_per_second']:,.0f}/s, waits {p['waiting_share']:.1%}, {p['peak_gib']:.2f} GiB"
                    for p in (phases["default"], phases["paper"])
                ),
            ]
        )
    print_table(["scale", "molecules × wells × features", "build", "disk", "open", "default", "paper"], rows)


if __name__ == "__main__":
    main()
