"""Model files that lie, although their digest is right: each is an error that names the file, or means what it says."""

import copy
import json
import random

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.model_file._format import content_digest

VALUES = [
    None, True, 0, -1, 3, 2**31, 10**30, 1.5, float("nan"), float("inf"), "", "x", "ggnn", [], {}, [1], ["a"], {"a": 1},
    {"callable": "os.system"}, {"callable": 3}, {"array": "nope"}, {"estimator": "os.system", "state": {}},
    {"estimator": "sklearn.conftest.x", "state": {}}, {"strings": ["a"], "shape": [5], "object": False},
    {"dtype": "O"}, {"dtype": "zz"}, [[[]]],
]  # fmt: skip


@pytest.fixture(scope="module")
def files(fitted, smiles, labels, tmp_path_factory):
    """The class, the header and the arrays of a file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    quick = {"pretrained": fitted, "max_epochs": 1, "random_state": 0}
    tasks = np.stack([labels, np.where(np.arange(40) % 3, 1.0 - labels, np.nan)], axis=1)
    models = {
        "embedder": fitted,
        "binary": MoCoPClassifier(**quick, n_estimators=2).fit(smiles, labels),
        "tasks": MoCoPClassifier(**quick).fit(smiles, tasks),
        "multiclass": MoCoPClassifier(**quick).fit(smiles, np.array(list("abcd") * 10)),
        "numbers": MoCoPRegressor(**quick).fit(smiles, labels),
    }
    found = {}
    for name, model in models.items():
        model.save(folder / name)
        with safe_open(folder / name, framework="np") as file:
            header = json.loads(file.metadata()["mocop_sklearn"])
            found[name] = type(model), header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return found


def write(path, header, arrays):
    header.pop("digest", None)
    header["digest"] = content_digest(header, arrays)
    arrays = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in arrays.items()}
    save_file(arrays, path, metadata={"mocop_sklearn": json.dumps(header)})


def places(data, at=()):
    """Paths to all entries of nested lists and mappings."""
    if at:
        yield at
    items = data.items() if isinstance(data, dict) else enumerate(data[:5]) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*at, key))


def alter(header, arrays, rng):
    """Change one entry of the header, or one array, and say what."""
    if rng.random() < 0.65:
        at = rng.choice([p for p in places(header) if p[0] != "digest"])
        parent = header
        for key in at[:-1]:
            parent = parent[key]
        if rng.random() < 0.2 and isinstance(parent, dict):
            del parent[at[-1]]
        elif rng.random() < 0.1 and isinstance(parent, dict):
            parent[rng.choice(["transform", "__class__", "fit", "n_jobs", "y_"])] = rng.choice(VALUES)
        else:
            parent[at[-1]] = rng.choice(VALUES)
        return
    name = rng.choice(sorted(arrays))
    a = arrays.pop(name)
    broken = a.astype(float)
    broken.ravel()[: a.size // 2 + 1] = rng.choice([np.nan, np.inf, 1e300])
    changed = [
        a.astype(np.float64),
        a.astype(np.float16),
        a.ravel()[:-1],
        broken.astype(a.dtype),
        a[None],
        a.ravel()[:0],
    ]
    if rng.random() < 0.9:
        arrays[name] = rng.choice(changed)


def loaded(cls, path):
    """Load a model, or return None where the file is refused as documented."""
    try:
        return cls.load(path)
    except ValueError as refused:
        if not any(text in str(refused) for text in (path.name, "model file", "parameter")):
            raise
        return None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["embedder", "binary", "tasks", "multiclass", "numbers"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*lie far outside:UserWarning")
def test_a_forged_file_is_an_error_or_gives_numbers(files, kind, seed, smiles, profiles, tmp_path):
    cls, *content = files[kind]
    rng = random.Random(f"{kind} {seed}")
    for _ in range(12):
        header, arrays = copy.deepcopy(content[0]), dict(content[1])
        alter(header, arrays, rng)
        write(tmp_path / "forged", header, arrays)
        model = loaded(cls, tmp_path / "forged")
        if model is None:
            continue
        if cls is MoCoPEmbedder:
            assert np.isfinite(model.transform(smiles[:2])).all()
            assert np.isfinite(model.transform_profiles(profiles[:2])).all()
        else:
            predicted = model.predict(smiles[:2])
            assert len(predicted) == 2
            # the file may say that nothing was measured
            no_task = getattr(model, "unscorable_tasks_", []) or np.isnan(model._shift).any()
            texts = all(isinstance(value, str) for value in predicted.ravel())  # classes may be objects
            assert texts or no_task or np.isfinite(predicted.astype(float)).all()


@pytest.mark.parametrize("kind", ["binary", "numbers"])
def test_how_a_model_runs_is_not_taken_from_its_file(files, kind, tmp_path):
    cls, header, arrays = files[kind]
    header = copy.deepcopy(header)
    header["parameters"] |= {"n_jobs": 64, "checkpoint_dir": "/", "resume": True, "verbose": 9, "device": "cuda:7"}
    write(tmp_path / "forged", header, dict(arrays))
    model = cls.load(tmp_path / "forged")
    assert (model.n_jobs, model.checkpoint_dir, model.resume, model.verbose, model.device) == (
        None, None, False, 0, "auto",
    )  # fmt: skip


def test_a_huge_network_is_not_built(files, tmp_path):
    cls, header, arrays = files["embedder"]
    header = copy.deepcopy(header)
    header["model"]["architecture"] |= {"hidden_dim": 900_000, "embedding_dim": 900_000}
    write(tmp_path / "forged", header, dict(arrays))
    with pytest.raises(ValueError, match="forged' describes a larger network than it has weights for"):
        cls.load(tmp_path / "forged")


def test_a_disk_that_is_full_loses_no_model(fitted, smiles, tmp_path, monkeypatch):
    from mocop_sklearn.model_file import _format

    monkeypatch.setattr(_format.tempfile, "gettempdir", lambda: str(tmp_path / "elsewhere"))
    save = _format.save_file

    def full(arrays, path, metadata):
        if "elsewhere" not in str(path):
            path.write_bytes(b"half")
            raise _format.SafetensorError("I/O error: No space left on device (os error 28)")
        save(arrays, path, metadata=metadata)

    monkeypatch.setattr(_format, "save_file", full)
    with pytest.raises(
        OSError, match=r"mine\.safetensors' could not be written: .*No space left.*Nothing is lost"
    ) as e:
        fitted.save(tmp_path / "full" / "mine.safetensors")
    (kept,) = (tmp_path / "elsewhere").iterdir()
    assert str(kept) in str(e.value)
    monkeypatch.undo()
    np.testing.assert_array_equal(MoCoPEmbedder.load(kept).transform(smiles), fitted.transform(smiles))
    assert list((tmp_path / "full").iterdir()) == []


def test_profiles_of_another_kind_are_warned_of(smiles, profiles, tiny, tmp_path, recwarn):
    """Normalised profiles are around 0; raw ones are areas and intensities in their own units."""
    embedder = MoCoPEmbedder(**tiny).fit(smiles, profiles)
    embedder.save(tmp_path / "model")
    loaded = MoCoPEmbedder.load(tmp_path / "model")
    raw = 3000 + 500 * profiles
    for model in (embedder, loaded):
        model.transform_profiles(profiles)
        model.transform_profiles(profiles[:1])
        model.score(smiles[:5], profiles[:5])
        model.transform_profiles(np.full((1, profiles.shape[1]), np.nan))
    assert [str(w.message) for w in recwarn] == []
    for ask in (lambda: loaded.transform_profiles(raw), lambda: loaded.score(smiles, raw)):
        with pytest.warns(UserWarning, match="100% of the features of these profiles lie far outside"):
            ask()
    with pytest.warns(UserWarning, match="lie far outside"):
        MoCoPEmbedder(**tiny).fit(smiles, raw).transform_profiles(profiles)
