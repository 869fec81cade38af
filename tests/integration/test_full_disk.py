"""A disk that is full when a training writes its state, or when its model is saved."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.training._loop import TrainingState

resource = pytest.importorskip("resource", reason="this system has no limits on processes")
pytestmark = [pytest.mark.integration]
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def file_limit(n_bytes):
    """Let no file grow beyond a size, which is how a full disk looks to a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_after(epoch, monkeypatch, limit):
    """Fill the disk when an epoch has ended, before its state is written."""
    finish = TrainingState.finish_epoch

    def finish_epoch(state, model, optimizer, row):
        finish(state, model, optimizer, row)
        if state.epoch == epoch:
            limit.enter_context(file_limit(4096))

    monkeypatch.setattr(TrainingState, "finish_epoch", finish_epoch)


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("kind", ["embedder", "classifier"])
def test_at_a_checkpoint(kind, epoch, smiles, profiles, labels, tiny, tmp_path, monkeypatch):
    """The training goes on, and what was written before the disk was full stays whole."""
    sizes = {name: tiny[name] for name in ("n_layers", "hidden_dim", "embedding_dim", "batch_size")}
    options = {"max_epochs": 3, "random_state": 0}
    if kind == "embedder":
        estimator, data = MoCoPEmbedder(**tiny | options), {"profiles": profiles}
        outputs = MoCoPEmbedder.transform
    else:
        estimator, data = MoCoPClassifier(**sizes, **options), {"y": labels}
        outputs = MoCoPClassifier.predict_proba
    whole = outputs(estimator.fit(smiles, **data), smiles)
    folder = tmp_path / "checkpoints"
    estimator.set_params(checkpoint_dir=folder)
    with (
        monkeypatch.context() as patch,
        contextlib.ExitStack() as limit,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        full_after(epoch, patch, limit)
        estimator.fit(smiles, **data)
    for number, warning in zip(range(epoch, 4), caught, strict=True):
        assert f"without a checkpoint of epoch {number}: " in str(warning.message)
        assert str(folder) in str(warning.message)
    np.testing.assert_array_equal(outputs(estimator, smiles), whole)
    epochs = []
    finish = TrainingState.finish_epoch
    monkeypatch.setattr(
        TrainingState, "finish_epoch", lambda s, m, o, row: epochs.append(row["epoch"]) or finish(s, m, o, row)
    )
    estimator.set_params(resume=True).fit(smiles, **data)
    assert epochs == list(range(epoch, 4))  # on from the last state that was written
    np.testing.assert_array_equal(outputs(estimator, smiles), whole)


def test_at_the_cache(smiles, profiles, tiny, tmp_path):
    """The cache is a help. A result that it cannot keep is not lost."""
    embedder = MoCoPEmbedder(**tiny, memory=tmp_path / "cache")
    with file_limit(4096), pytest.warns(UserWarning, match="could not be kept in the cache"):
        embedder.fit(smiles, profiles=profiles)
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []
    assert embedder.digest_ == MoCoPEmbedder(**tiny).fit(smiles, profiles=profiles).digest_


def test_when_the_model_is_saved_and_no_place_is_left(fitted, tmp_path):
    path = tmp_path / "mocop.safetensors"
    path.write_bytes(b"an older model")
    with file_limit(4096), pytest.raises(OSError, match=re.escape(str(path))):
        fitted.save(path)
    assert path.read_bytes() == b"an older model"
    assert list(tmp_path.iterdir()) == [path]


SAVE = """
import sys, warnings
from mocop_sklearn import MoCoPEmbedder

embedder = MoCoPEmbedder.load(sys.argv[1])
try:
    embedder.save(sys.argv[2] + "/mine.safetensors")
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_when_the_model_is_saved_on_a_small_disk(fitted, model_file, tmp_path):
    """A real file system of 16 KiB. The model goes elsewhere, and the error says where."""
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "elsewhere").mkdir()
    mount = 'mount -t tmpfs -o size=16k tmpfs "$1" && exec "$2" -W ignore -c "$3" "$4" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(small), sys.executable, SAVE, str(model_file)]
    own = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *sys.path))), "TMPDIR": str(tmp_path / "elsewhere")}
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=120, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("this user may not mount a file system")
    assert done.returncode == 0, done.stderr
    (saved,) = (tmp_path / "elsewhere").glob("*.safetensors")
    assert f"{small}/mine.safetensors" in done.stdout
    assert str(saved) in done.stdout
    assert MoCoPEmbedder.load(saved).digest_ == fitted.digest_
