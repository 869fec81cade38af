import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from joblib.parallel import ThreadingBackend, get_active_backend

from mocop_sklearn.model_file import load_pretrained
from mocop_sklearn.utils._cache import Entry, once
from mocop_sklearn.utils._device import autocast, resolve_device
from mocop_sklearn.utils._files import atomic_write
from mocop_sklearn.utils._random import base_seed, generator, torch_seed

CPU = torch.device("cpu")


def test_resolve_device():
    assert resolve_device("cpu") == CPU
    assert resolve_device(CPU) == CPU
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto").type == best


def test_the_gpu_of_apple(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    with pytest.raises(ValueError, match=r"device='mps' asks for Apple's GPU, but torch sees none.*device=\"auto\""):
        resolve_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("mps") == torch.device("mps")
    with autocast(torch.device("mps"), "auto"):  # float32, as on a CPU
        assert not torch.is_autocast_enabled("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr("mocop_sklearn.utils._device.process_group", lambda: (0, 2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU  # the processes of a group would share it


@pytest.mark.parametrize("device", ["gpu", "xpu", "meta", "cpu:x", "", 1.5, None])
def test_devices_that_do_not_exist(device):
    with pytest.raises(ValueError, match=r'device must be "auto", "cpu", "cuda", "cuda:<index>" or "mps", got'):
        resolve_device(device)


def test_a_gpu_that_is_not_there():
    n = torch.cuda.device_count()
    with pytest.raises(ValueError, match=rf'device=.cuda:{n}. asks for a GPU, but torch sees {n}.*device="auto"'):
        resolve_device(f"cuda:{n}")


def test_autocast():
    a = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    for precision in ("fp32", "auto"):
        with autocast(CPU, precision):
            assert (a @ a).dtype == torch.float32


def test_base_seed():
    assert base_seed(7) == base_seed(np.int64(7)) == 7
    assert type(base_seed(np.int64(7))) is int
    assert base_seed(np.random.RandomState(3)) == base_seed(np.random.RandomState(3))
    state = np.random.RandomState(3)
    assert base_seed(state) != base_seed(state)
    np.random.seed(5)
    one = base_seed(None)
    np.random.seed(5)
    assert base_seed(None) == one
    assert base_seed(None) != one


def test_generators_of_different_purposes_are_independent():
    draws = [generator(*key).random(4).tolist() for key in [(0, 1), (0, 2), (0, 1, 0), (0, 1, 1), (1, 1)]]
    assert len({str(d) for d in draws}) == 5
    assert generator(0, 1).random(4).tolist() == draws[0]


def test_torch_seed_restores_the_state_even_after_an_error():
    before = torch.random.get_rng_state()
    with torch_seed(CPU):
        torch.manual_seed(1)
        torch.rand(3)

    def fail():
        torch.manual_seed(2)
        raise KeyError

    with pytest.raises(KeyError), torch_seed(CPU):
        fail()
    assert torch.equal(torch.random.get_rng_state(), before)


# ---------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes, links and devices of POSIX")
def test_a_file_is_as_readable_as_any_and_neither_links_nor_devices_are_replaced(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    load_pretrained("distilled").save(tmp_path / "model")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "target").read_text() == "content"
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("pipe", "not a regular file"), ("folder", "a folder")):
        with pytest.raises(OSError, match=f"{name}' is {what}"), atomic_write(tmp_path / name):
            pass
    mode = (tmp_path / "plain").stat().st_mode
    assert {(tmp_path / name).stat().st_mode for name in ("model", "folder/target")} == {mode}


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            temporary.write_text(text)
            assert temporary.parent == path.parent
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["file.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(path):
        path.write_text("ne")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"), atomic_write(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_heeded(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text("x")
    finally:
        assert os.umask(before) == umask
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


# ---------------------------------------------------------------------------------------------
# once
# ---------------------------------------------------------------------------------------------


PLAIN = Entry(
    ".json", lambda value, path: path.write_text(json.dumps(value)), lambda path: json.loads(path.read_text())
)
ARRAY = Entry(".npy", lambda a, path: path.write_bytes(npy(a)), lambda path: np.load(path, allow_pickle=False))


def npy(array):
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


def test_a_damaged_entry_is_made_anew(tmp_path, count):
    once(tmp_path, "a", PLAIN, count, 1)
    (entry,) = tmp_path.rglob("a.json")
    entry.write_text("{")
    with pytest.warns(UserWarning, match=r"cache entry .*a\.json' is damaged"):
        assert once(tmp_path, "a", PLAIN, count, 1) == 2
    assert once(tmp_path, "a", PLAIN, count, 1) == 2
    assert count.calls == [1, 1]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), TypeError("it cannot be written")])
def test_a_result_that_cannot_be_kept_is_not_lost(tmp_path, count, error):
    def write(value, path):
        raise error

    with pytest.warns(UserWarning, match="could not be kept in the cache"):
        assert once(tmp_path, "a", Entry(".json", write, json.loads), count, 1) == 2
    assert list(tmp_path.rglob("*a.json*")) == []


@pytest.fixture
def count():
    """A function that notes its arguments."""
    calls = []

    def double(x):
        calls.append(x)
        return 2 * x

    double.calls = calls
    return double


@pytest.mark.parametrize("kind", [str, Path, lambda path: joblib.Memory(str(path), verbose=0)])
def test_once_per_key(tmp_path, count, kind):
    memory = kind(tmp_path / "cache")
    assert once(memory, "a", PLAIN, count, 1) == 2
    assert once(memory, "a", PLAIN, count, 1) == 2
    assert once(memory, "b", PLAIN, count, 5) == 10
    assert count.calls == [1, 5]
    # all ways to name a cache mean the same one
    assert once(str(tmp_path / "cache"), "a", PLAIN, count, 1) == 2
    assert count.calls == [1, 5]


@pytest.mark.parametrize("memory", [None, joblib.Memory(None)])
def test_without_memory_each_call_counts(count, memory):
    once(memory, "a", PLAIN, count, 1)
    once(memory, "a", PLAIN, count, 1)
    assert count.calls == [1, 1]


def test_an_error_is_not_kept(tmp_path, count):
    def fail(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        once(tmp_path, "a", PLAIN, fail, 1)
    assert once(tmp_path, "a", PLAIN, count, 1) == 2


class OfACluster(ThreadingBackend):
    """A joblib backend that is not joblib's own, as Dask's is."""


@pytest.mark.parametrize("backend", [OfACluster, ThreadingBackend])
def test_work_that_others_wait_for_is_not_handed_to_them(tmp_path, backend):
    with joblib.parallel_config(backend(nesting_level=0)):
        name = once(tmp_path, "a", PLAIN, lambda: type(get_active_backend()[0]).__name__)
        assert isinstance(get_active_backend()[0], backend)
    assert name == ("LokyBackend" if backend is OfACluster else "ThreadingBackend")


def test_arrays_come_back_as_they_were(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for _ in range(2):
        back = once(tmp_path, "array", ARRAY, np.negative, array)
        np.testing.assert_array_equal(back, -array)
        assert back.dtype == np.float32


def test_what_is_not_a_memory(count):
    with pytest.raises(ValueError, match="memory"):
        once(3, "a", PLAIN, count, 1)


def test_clear_empties_the_cache(tmp_path, count):
    memory = joblib.Memory(tmp_path, verbose=0)
    once(memory, "a", PLAIN, count, 1)
    memory.clear(warn=False)
    once(memory, "a", PLAIN, count, 1)
    assert count.calls == [1, 1]


@pytest.mark.slow
def test_two_processes_share_one_call(tmp_path):
    """Both want the same at the same time: one works, the other waits and reads."""
    script = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from mocop_sklearn.utils._cache import Entry, once

        entry = Entry(".txt", lambda pid, path: path.write_text(str(pid)), lambda path: int(path.read_text()))

        def work(folder):
            Path(folder, f"worked-{os.getpid()}").touch()
            time.sleep(1)
            return os.getpid()

        folder = Path(sys.argv[1])
        Path(folder, f"ready-{os.getpid()}").touch()
        while len(list(folder.glob("ready-*"))) < 2:
            time.sleep(0.01)
        print(once(folder / "cache", "key", entry, work, folder))
        """
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(list(tmp_path.glob("worked-*"))) == 1
    assert answers[0] == answers[1]
