"""Downloads by several processes, interrupted ones and killed ones."""

import random
import signal
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mocop_sklearn.datasets import fetch_jump_cp, jump_cp_plates
from tests.helpers.jump_bucket import COMPOUND, QUICK, check, names_of, path_of, start_fetch

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_two_processes(server, bodies, tmp_path):
    server.seconds_per_chunk = 0.02
    children = [start_fetch(tmp_path, server.url) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    plates = sorted(tmp_path.rglob("*.parquet"))
    assert len(plates) == 6
    check(plates, bodies)
    assert {server.n_gets()[path_of(name)] for name in COMPOUND} == {1}


@pytest.mark.parametrize("kind", ["slow", "stalled"])
def test_interrupt(server, bodies, tmp_path, kind):
    server.seconds_per_chunk = 0.1
    if kind == "stalled":
        for name in COMPOUND:
            server.faults[path_of(name)] = [("stall", 70_000)]
    child = start_fetch(tmp_path, server.url, stderr=subprocess.PIPE)
    wait_for(lambda: server.n_served > 150_000)
    child.send_signal(signal.SIGINT)
    stderr = child.communicate(timeout=25)[1]  # a thread that waited on a silent server would take 30 s
    assert child.returncode != 0
    assert stderr.strip().splitlines()[-1] == b"KeyboardInterrupt"
    server.clear()
    check(fetch_jump_cp(tmp_path, **QUICK).plates, bodies)


def test_in_a_worker_process(server, bodies, tmp_path):
    plates, _ = jump_cp_plates(tmp_path, **QUICK)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(read_plate, plates)) == [bodies[name] for name in COMPOUND]


def read_plate(plate):
    with plate.local() as path:
        return path.read_bytes()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def fetch_under_kills(n, seed, server, bodies, folder):
    """Kill a fetch n times at random moments of its transfer, then let it end; return how many bytes were sent.

    After every kill, what has a final name must be whole; in the end, no such file may have been asked for again.
    """
    rng = random.Random(seed)
    server.clear()
    server.seconds_per_chunk = 0.01
    gets_when_finished = {}
    total = sum(len(bodies[name]) for name in COMPOUND)
    for _ in range(n):
        child = start_fetch(folder, server.url)
        # a kill lets through some part of all, so that n of them fall into every phase of the work
        allowed = server.n_served + rng.uniform(0, 1.5 * total / n)
        wait_for(lambda child=child, allowed=allowed: server.n_served > allowed or child.poll() is not None)
        time.sleep(rng.uniform(0, 0.02))
        child.kill()
        child.wait()
        finished = sorted(folder.rglob("*.parquet"))
        check(finished, bodies)
        for name in names_of(finished):
            gets_when_finished.setdefault(name, server.n_gets()[path_of(name)])
    server.seconds_per_chunk = 0.0
    assert start_fetch(folder, server.url).wait(60) == 0
    plates = sorted(folder.rglob("*.parquet"))
    assert sorted(names_of(plates)) == sorted(COMPOUND)
    check(plates, bodies)
    assert list(folder.rglob("*.part")) == []
    assert gets_when_finished == {name: server.n_gets()[path_of(name)] for name in gets_when_finished}
    return server.n_served


def test_killed(server, bodies, tmp_path):
    n_served = fetch_under_kills(3, 0, server, bodies, tmp_path)
    total = sum(len(bodies[name]) for name in COMPOUND)
    assert n_served < 3 * total
