"""What the benchmarks share: where data and results are, which machine this is, timing, tables."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch

from mocop_sklearn.model_file._format import library_versions
from mocop_sklearn.utils._files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DATA = Path(os.environ.get("MOCOP_BENCHMARK_DATA", ROOT.parent / "shared" / "data"))


def require(name: str) -> Path:
    """Path of a data file, or the end of the benchmark with the reason."""
    path = DATA / name
    if not path.exists():
        sys.exit(f"skipped: {name} is not in {DATA}; set MOCOP_BENCHMARK_DATA to the folder that holds it")
    return path


def machine() -> dict[str, Any]:
    """The machine and the libraries that a figure belongs to."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": gpu,
        "versions": library_versions(),
    }


def _processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def save(name: str, figures: dict[str, Any]) -> Path:
    """Write figures, the command and the machine to ``results/{name}.json``."""
    path = RESULTS / f"{name}.json"
    words = [os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]
    if "--folder" in words:  # where, on this machine, says nothing about the figures
        del words[(at := words.index("--folder")) : at + 2]
    command = shlex.join(["python", *(Path(word).name if os.path.isabs(word) else word for word in words)])
    with atomic_write(path) as temporary:
        content = {"command": command, "machine": machine(), **figures}
        temporary.write_text(json.dumps(content, indent=1, default=float) + "\n")
    print(f"\nwritten: {path.relative_to(ROOT)}")
    return path


def provenance(figures: dict[str, Any]) -> str:
    """The command and the machine, as a sentence."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{machine['cores']} cores, {machine['processor']}, " + (machine["gpu"] or "no GPU")
    return f"`{figures['command']}`; {where}; {versions}."


def cached(cache: Path | None, key: str, make: Callable[[], Any]) -> Any:
    """Result of ``make()``, kept in a folder under ``key``, which tells all that decides the result."""
    return joblib.Memory(cache, verbose=0).cache(_made, ignore=["make"])(key, make)


def _made(key: str, make: Callable[[], Any]) -> Any:
    return make()


def interleaved(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each function over interleaved rounds, so that a noisy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def memory_of_tree(pid: int) -> int:
    """Anonymous and shared memory of a process and its descendants, in bytes; pages of files do not count."""
    processes = _processes()
    own = [processes[member] for member in _with_descendants(pid, processes) if member in processes]
    return 1024 * sum(int(fields.get(name, "0 kB").split()[0]) for fields in own for name in ("RssAnon", "RssShmem"))


def tree(pid: int) -> set[int]:
    """A process and its descendants."""
    return _with_descendants(pid, _processes())


def pss(pid: int) -> int:
    """Proportional set size of a process, in bytes: what several processes share counts once among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def ticks(pid: int) -> int:
    """How long a process has computed, in ticks of the system's clock."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _processes() -> dict[int, dict[str, str]]:
    """What the system says of all processes, by their number."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:  # it ended meanwhile
            continue
        found[int(fields["Pid"])] = fields
    return found


def _with_descendants(pid: int, processes: dict[int, dict[str, str]]) -> set[int]:
    found = {pid}
    while more := {own for own, fields in processes.items() if int(fields["PPid"]) in found} - found:
        found |= more
    return found


def run_phase(words: Iterable[Any], result: Path) -> tuple[dict[str, Any], float, float]:
    """Run a script in a process of its own; return what it wrote to ``result``, its seconds, and its peak in GiB."""
    result.unlink(missing_ok=True)
    start, peak = time.perf_counter(), 0
    command = [sys.executable, *map(str, words)]
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, memory_of_tree(process.pid))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command[1:])} failed")
    return json.loads(result.read_text()), time.perf_counter() - start, peak / 2**30


def selected(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Return the names that are wanted, each in full or by a part of it; all of them where nothing is wanted."""
    names = list(names)
    parts = [text for text in wanted if text not in names]
    return [name for name in names if not wanted or name in wanted or any(part in name for part in parts)]


def mean_by_group(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means of the rows of each group, 0 to n_groups - 1."""
    return pd.DataFrame(rows).groupby(group).mean().to_numpy()


def mean_std(values: Iterable[float]) -> str:
    """Mean ± sample standard deviation."""
    a = np.array(list(values), dtype=float)
    spread = f" ± {a.std(ddof=1):.3f}" if len(a) > 1 else ""
    return f"{a.mean():.3f}{spread}"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of an aligned Markdown table."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(header), line(["-" * width for width in widths]), *map(line, rows)]


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print rows as an aligned Markdown table."""
    print("\n".join(table(header, rows)), flush=True)
