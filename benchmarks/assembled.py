"""An assembled file of profiles, as JUMP publishes them, becomes a corpus: what that costs in time and memory.

python benchmarks/assembled.py [--gb 0.3 2.6] [--kinds columns lists] [--folder assembled_data]

The file is simulated: the wells and structures of JUMP-CP (jump_wells and jump_compounds in the benchmark data folder),
with numbers drawn at random, in one row group as pandas writes it. ``columns`` has one column per number, ``lists``
one column of lists, as deep-learning profiles have it. The corpus is built by the defaults of ``build_pairs``, which
recognises the file by its name. ``reading`` is the time that pyarrow takes to decode the file and do nothing with it,
by the same blocks.

Each phase runs in a process of its own. Memory is the sum over it and its children of memory that is no file's (RssAnon
+ RssShmem, sampled ten times a second); the memory of a process that has only imported what it needs is given beside
it. ``cpu_seconds`` is what the process itself has computed: on a machine that others use, it is the fairer measure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import RESULTS, print_table, require, run_phase, save

N_FEATURES = 880
NAME = "profiles_var_mad_int_featselect_harmony.parquet"
_ROWS = 2**14
PHASES = ("make", "nothing", "reading", "build")


def measured(phase: str, folder: Path, *words: str) -> dict[str, Any]:
    """Result of a phase in a process of its own, with its seconds and its peak of memory in GiB."""
    words_of_phase = [__file__, "--phase", phase, folder, *words]
    found, seconds, peak = run_phase(words_of_phase, folder / "result.json")
    return found | {"whole_seconds": seconds, "peak_gib": peak}


def make(folder: Path, gb: float, kind: str) -> dict[str, Any]:
    """Write the file and the tables of its plates and compounds."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    wells = pd.read_parquet(require("jump_wells.parquet")).dropna(subset=["Metadata_Batch", "Metadata_JCP2022"])
    places = ["Metadata_Source", "Metadata_Plate"]
    wells = wells[wells["Metadata_PlateType"] == "COMPOUND"].drop_duplicates([*places, "Metadata_Well"])
    wells = wells.sample(frac=1, random_state=0)
    wells = pd.concat([wells] * 2).head(round(gb * 1e9 / (4 * N_FEATURES)))
    compounds = pd.read_parquet(require("jump_compounds.parquet"), columns=["Metadata_JCP2022", "Metadata_SMILES"])
    compounds.drop_duplicates("Metadata_JCP2022").to_parquet(folder / "compound.parquet")
    wells[[*places, "Metadata_Batch"]].drop_duplicates(places).to_parquet(folder / "plate.parquet")
    metadata = pa.Table.from_pandas(wells[[*places, "Metadata_Well", "Metadata_JCP2022"]], preserve_index=False)
    rng = np.random.default_rng(0)
    writer = None
    for first in range(0, len(wells), _ROWS):
        rows = metadata.slice(first, _ROWS)
        X = rng.standard_normal((N_FEATURES, rows.num_rows), dtype=np.float32)
        if kind == "columns":
            table = pa.table(
                [*rows.columns, *X], names=[*rows.column_names, *(f"X_{i + 1}" for i in range(N_FEATURES))]
            )
        else:
            numbers = pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(X.T).ravel(), N_FEATURES)
            table = rows.append_column("embedding", numbers)
        writer = writer or pq.ParquetWriter(folder / NAME, table.schema)
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch, row_group_size=len(wells))  # one row group
    writer.close()
    file = pq.ParquetFile(folder / NAME)
    size = (folder / NAME).stat().st_size
    return {"gb": size / 1e9, "rows": file.metadata.num_rows, "row_groups": file.metadata.num_row_groups}


def nothing(folder: Path) -> dict[str, Any]:
    """Import what a build needs."""
    import pyarrow.parquet  # noqa: F401

    import mocop_sklearn.pairs._build
    import mocop_sklearn.tables._streamed  # noqa: F401

    time.sleep(0.5)
    return {}


def reading(folder: Path) -> dict[str, Any]:
    """Decode all numbers."""
    from mocop_sklearn.tables._streamed import StreamedWells

    start, cpu = time.perf_counter(), time.process_time()
    table = StreamedWells(folder / NAME, lambda name: name.startswith("Metadata_"))
    n = sum(values.size for _, _, values in table.blocks(table.numbers))
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "numbers": n}


def build(folder: Path) -> dict[str, Any]:
    """Build the corpus."""
    from mocop_sklearn import build_pairs

    shutil.rmtree(folder / "jump.pairs", ignore_errors=True)
    start, cpu = time.perf_counter(), time.process_time()
    tables = [folder / "plate.parquet", folder / "compound.parquet"]
    pairs = build_pairs(folder / "jump.pairs", [folder / NAME], metadata=tables)
    spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    size = sum(path.stat().st_size for path in (folder / "jump.pairs").iterdir())
    normalization = pairs.provenance["normalization"]
    return {**spent, "store_gb": size / 1e9, "report": pairs.report_, "normalization": normalization}


def run(gb: float, kind: str, folder: Path) -> dict[str, Any]:
    """Figures of all phases; what they have written is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {"make": (str(gb), kind)}
    try:
        figures = {phase: measured(phase, folder, *words.get(phase, ())) for phase in PHASES}
    finally:
        shutil.rmtree(folder)
    for clock in ("seconds", "cpu_seconds"):
        figures[f"mb_per_{clock.removesuffix('s')}"] = 1e3 * figures["make"]["gb"] / figures["build"][clock]
    print(f"{gb:g} GB, {kind}: {figures}", flush=True)
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--phase"]:
        phase, folder, *words = sys.argv[2:]
        functions = {"make": make, "nothing": nothing, "reading": reading, "build": build}
        arguments = [float(words[0]), words[1]] if words else []
        result = functions[phase](Path(folder), *arguments)
        (Path(folder) / "result.json").write_text(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, nargs="+", default=[0.3, 2.6])
    parser.add_argument("--kinds", nargs="+", default=["columns", "lists"], choices=("columns", "lists"))
    parser.add_argument("--folder", type=Path, help="where files are made, and removed (default: temporary)")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    path = RESULTS / "assembled.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    for gb in args.gb:
        for kind in args.kinds:
            runs[f"{gb:g} {kind}"] = run(gb, kind, folder / kind)
            save("assembled", {"runs": runs})  # a break loses one run
    rows = [
        [
            name,
            f"{figures['make']['gb']:.2f} GB",
            f"{figures['build']['report']['molecules']:,} × {figures['build']['report']['fates']['stored']:,}",
            f"{figures['build']['seconds']:.0f} s, {figures['build']['cpu_seconds']:.0f} s of a core",
            f"{figures['mb_per_second']:.0f} MB/s, {figures['mb_per_cpu_second']:.0f} MB per second of a core",
            f"{figures['build']['peak_gib']:.2f} GiB, of which imports {figures['nothing']['peak_gib']:.2f}",
        ]
        for name, figures in runs.items()
    ]
    print_table(["run", "file", "molecules × wells", "time", "rate", "peak memory"], rows)


if __name__ == "__main__":
    main()
