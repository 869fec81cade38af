import json
import math
import os
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, SparsePCA, TruncatedSVD
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection

from mocop_sklearn.model_file import _format
from mocop_sklearn.model_file._codec import Encoder, decode
from mocop_sklearn.model_file._format import content_digest, read_file, write_file
from mocop_sklearn.model_file._model import PretrainedModel
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.profiles import ProfileScaler


@pytest.fixture(scope="module")
def matrix():
    return np.random.default_rng(0).normal(size=(40, 6)) * [1, 10, 0.1, 5, 1, 100]


@pytest.fixture
def model(matrix):
    """A model with random weights, as training would leave it."""
    architecture = Architecture(
        featurizer="rich",
        n_layers=1,
        hidden_dim=4,
        embedding_dim=8,
        projection_dim=4,
        profile_dims=(6, 5),
        n_profile_features=6,
        dropout=0.1,
    )
    torch.manual_seed(0)
    return PretrainedModel(
        architecture=architecture,
        weights={name: w.numpy() for name, w in TwoTower(architecture).state_dict().items()},
        standardize="parent",
        profile_transformer=ProfileScaler().fit(matrix),
        profile_features=["Zellfläche", "b", "c", "d", "e", "f"],
        n_profile_columns=6,
        molecule_keys=["LFQSCWFLJHTTHZ", "UHOVQNZJYSORNB"],
        history=[{"epoch": 1, "loss": 2.5}],
        n_iter=1,
        parameters={"dropout": 0.1, "profile_dims": [6, 5]},
    )


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    return path


# ---------------------------------------------------------------------------------------------
# Transformers as plain data
# ---------------------------------------------------------------------------------------------

TRANSFORMERS = [
    ProfileScaler(),
    ProfileScaler(n_components=3),
    StandardScaler(),
    RobustScaler(unit_variance=True),
    MinMaxScaler(),
    MaxAbsScaler(),
    SimpleImputer(strategy="median"),
    SimpleImputer(strategy="mean", add_indicator=True),
    SimpleImputer(strategy="constant", fill_value=0),
    PCA(3),
    PCA(0.9, whiten=True),
    TruncatedSVD(2, random_state=0),
    FastICA(2, random_state=0),
    FactorAnalysis(2),
    SparsePCA(2, max_iter=5, random_state=0),
    GaussianRandomProjection(2, random_state=0),
    Normalizer(),
    ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", PCA(1), slice(2, 4))], remainder="passthrough"),
    make_union(PCA(2), StandardScaler()),
    QuantileTransformer(n_quantiles=10, output_distribution="normal"),
    PowerTransformer(),
    VarianceThreshold(0.1),
    FunctionTransformer(feature_names_out="one-to-one"),
    make_pipeline(SimpleImputer(), VarianceThreshold(), StandardScaler(), PCA(2)),
    make_pipeline(ProfileScaler(), "passthrough", make_pipeline(PCA(2), RobustScaler())),
]


def through_a_file(transformer, path):
    encoder = Encoder(strict=True)
    data = encoder.encode(transformer, "transformer")
    write_file(path, "test", {"data": data}, encoder.arrays)
    header, arrays = read_file(path, "test")
    return decode(header["data"], arrays)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
@pytest.mark.parametrize("names", [False, True], ids=["array", "frame"])
def test_transformers_survive_a_file(transformer, names, matrix, tmp_path):
    pd = pytest.importorskip("pandas")
    X = matrix.copy()
    if "Imputer" in str(transformer) or isinstance(transformer, ProfileScaler):
        X[3, 2] = np.nan
    if names:
        X = pd.DataFrame(X, columns=list("abcdef"))
    transformer.fit(X)
    back = through_a_file(transformer, tmp_path / "t")
    assert type(back) is type(transformer)
    assert str(back) == str(transformer)
    assert vars(back).keys() == vars(transformer).keys()
    np.testing.assert_array_equal(back.transform(X), transformer.transform(X))
    if names:
        assert back.get_feature_names_out().tolist() == transformer.get_feature_names_out().tolist()
        if hasattr(transformer, "feature_names_in_"):
            assert back.feature_names_in_.tolist() == list("abcdef")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -0.5,
        "text",
        [1, "two", None],
        (1, (2.0, [3])),
        {"a": {"b": (1,)}},
        {},
        [],
        math.inf,
        np.float64(0.1),
        np.int64(7),
        np.bool_(True),
        np.dtype("float32"),
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.zeros((0, 3)),
        np.array(3.5),
        np.array([True, False]),
        np.array(["a", "ü"]),
        np.array([["a", "b"]], dtype=object),
        np.array([0.5, None, "a"], dtype=object),
        slice(1, None, 2),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10.0)[::3],
    ],
    ids=repr,
)
def test_plain_values_survive_a_file(value, tmp_path):
    back = through_a_file(value, tmp_path / "v")
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype
        assert back.flags.f_contiguous == value.flags.f_contiguous or not value.flags.f_contiguous
        np.testing.assert_array_equal(back, value)
    else:
        assert back == value


@pytest.mark.parametrize("value", [np.log1p, FunctionTransformer(np.log1p), {1: 2}, {"a", "b"}, slice("a"), b"bytes"])
def test_what_cannot_be_written(value):
    with pytest.raises(TypeError, match=r"transformer.* is a .*, which cannot be written .* without pickle"):
        Encoder(strict=True).encode(value, "transformer")
    json.dumps(Encoder(strict=False).encode(value, "transformer"))  # but a digest can be taken of it


class Foreign(StandardScaler):
    """A transformer of nobody's package."""


def test_transformers_of_other_packages_are_refused(matrix):
    with pytest.raises(TypeError, match=r"is a tests\.model_file\.test_model_file\.Foreign, which cannot be written"):
        Encoder(strict=True).encode(Foreign().fit(matrix), "transformer")


# ---------------------------------------------------------------------------------------------
# The model file
# ---------------------------------------------------------------------------------------------


def test_a_model_survives_its_file(model, path, matrix):
    back = PretrainedModel.load(path)
    assert back.digest == model.digest
    for name in (
        "architecture",
        "standardize",
        "profile_features",
        "n_profile_columns",
        "molecule_keys",
        "history",
        "n_iter",
        "parameters",
    ):
        assert getattr(back, name) == getattr(model, name)
    assert back.weights.keys() == model.weights.keys()
    for name, w in model.weights.items():
        np.testing.assert_array_equal(back.weights[name], w)
        assert back.weights[name].dtype == w.dtype
    scaled = model.profile_transformer.transform(matrix)
    np.testing.assert_array_equal(back.profile_transformer.transform(matrix), scaled)
    for (name, p), (_, q) in zip(model.module().state_dict().items(), back.module().state_dict().items(), strict=True):
        assert torch.equal(p, q), name
        assert np.array_equal(p.numpy(), model.weights[name])


def test_a_score_of_nan_survives(model, path):
    assert math.isnan(PretrainedModel.load(path).best_score)
    model.best_score = 0.25
    model.save(path)
    assert PretrainedModel.load(path).best_score == 0.25


def test_saving_twice_gives_the_same_bytes(model, path, tmp_path):
    model.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    PretrainedModel.load(path).save(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_the_digest_hangs_on_all_that_decides_an_embedding(model, matrix):
    fields = {
        "weights": {**model.weights, "log_scale": model.weights["log_scale"] + np.float32(1e-3)},
        "architecture": Architecture.from_dict(model.architecture.as_dict() | {"dropout": 0.2}),
        "standardize": None,
        "profile_transformer": ProfileScaler(clip=3).fit(matrix),
        "profile_features": list("abcdef"),
        "n_profile_columns": 7,
    }
    digests = [model.digest] + [PretrainedModel(**own(model) | {name: value}).digest for name, value in fields.items()]
    assert len(set(digests)) == 1 + len(fields)
    of_record = {"molecule_keys": [], "history": [], "n_iter": 9, "best_score": 1.0, "parameters": {}}
    assert PretrainedModel(**own(model) | of_record).digest == model.digest


def own(model):
    return {name: value for name, value in vars(model).items() if name != "digest"}


def upper_case(mol):
    return mol


def test_a_function_for_standardize_is_asked_for_again(model, path):
    named = PretrainedModel(**own(model) | {"standardize": upper_case})
    named.save(path)
    with pytest.raises(
        ValueError, match=r"standardize=tests\.model_file\.test_model_file\.upper_case: pass that again"
    ):
        PretrainedModel.load(path)
    assert PretrainedModel.load(path, upper_case).standardize is upper_case
    assert PretrainedModel.load(path, upper_case).digest == named.digest


def test_the_file_is_plain_safetensors_without_pickle(path):
    arrays = load_file(path)
    assert arrays["weights.molecule_encoder.readout.weight"].shape == (8, 4)
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["mocop_sklearn"])
    assert header["format_version"] == 1
    assert header["kind"] == "model"
    assert header["record"]["versions"].keys() >= {"mocop_sklearn", "torch", "rdkit", "scikit-learn", "numpy"}
    # every byte is the length of the header, JSON text, or a number of an array: there is no room for a pickle
    content = path.read_bytes()
    n = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + n].decode("ascii")).keys() == {"__metadata__", *arrays}
    assert len(content) == 8 + n + sum(a.nbytes for a in arrays.values())
    assert {a.dtype.kind for a in arrays.values()} <= set("biuf")


def header_of(path):
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["mocop_sklearn"])


def forge(path, change):
    """Rewrite a model file with a header of one's own and a digest that fits it."""
    header, arrays = header_of(path), load_file(path)
    change(header)
    header.pop("digest", None)
    header["digest"] = content_digest(header, arrays)
    save_file(arrays, path, metadata={"mocop_sklearn": json.dumps(header)})


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "sklearn_evil.Scaler",
        "numpy.ndarray",
        "tests.model_file.test_model_file.Foreign",
        "sklearn",
        "",
        "mocop_sklearn_evil.Scaler",
        "sklearn.utils.os.system",
        "sklearn.no_such_module.Scaler",
        "sklearn.preprocessing.NoSuchScaler",
        "sklearn.base.clone",
        "sklearn.utils.Bunch",
        "sklearn.externals.joblib.load",
    ],
)
def test_a_forged_file_cannot_name_code_to_run(path, name):
    forge(path, lambda header: header["model"]["profile_transformer"].update(estimator=name))
    with pytest.raises(ValueError, match=f"The model file names .*{re.escape(name)}.*scikit-learn"):
        PretrainedModel.load(path)


def test_a_forged_file_of_a_trusted_class_runs_no_code(path):
    """What a file can do is set attributes to plain data: no constructor runs, and a text is not a function."""
    data = {"estimator": "sklearn.preprocessing.FunctionTransformer", "state": {"func": "os.system"}}
    forge(path, lambda header: header["model"].update(profile_transformer=data))
    with pytest.raises(ValueError, match="profile transformer that cannot be used"):
        PretrainedModel.load(path)


@pytest.mark.parametrize("attribute", ["transform", "__class__", "fit_transform", "get_params", "__init__", "a b"])
def test_a_forged_file_cannot_replace_methods(path, attribute):
    forge(path, lambda header: header["model"]["profile_transformer"]["state"].update({attribute: 1}))
    with pytest.raises(ValueError, match="which is not an attribute of its state"):
        PretrainedModel.load(path)


def test_parameters_that_are_newer_than_the_file_have_their_defaults(path, matrix):
    forge(path, lambda header: header["model"]["profile_transformer"]["state"].pop("clip"))
    transformer = PretrainedModel.load(path).profile_transformer
    assert transformer.clip == ProfileScaler().clip
    np.testing.assert_array_equal(transformer.transform(matrix), ProfileScaler().fit_transform(matrix))
    assert not any(callable(value) for value in vars(transformer).values())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_flipped_bytes_are_noticed(path, share):
    content = bytearray(path.read_bytes())
    place = min(int(share * len(content)), len(content) - 1)
    for value in (0x01, 0x80, 0xFF):
        path.write_bytes(content[:place] + bytes([content[place] ^ value]) + content[place + 1 :])
        with pytest.raises(ValueError, match=str(path.name)):
            PretrainedModel.load(path)
    path.write_bytes(content)
    PretrainedModel.load(path)


@pytest.mark.parametrize("n", [0, 4, 8, 100, -100, -1])
def test_truncated_files_are_noticed(path, n):
    content = path.read_bytes()
    path.write_bytes(content[:n])
    with pytest.raises(ValueError, match=r"not a readable safetensors file .* truncated or of another kind"):
        PretrainedModel.load(path)


def test_bytes_at_the_end_are_noticed(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        PretrainedModel.load(path)


def test_a_changed_header_is_noticed(path):
    header, arrays = header_of(path), load_file(path)
    header["record"]["best_score"] = 1.0
    save_file(arrays, path, metadata={"mocop_sklearn": json.dumps(header)})
    with pytest.raises(ValueError, match="was altered after it was written"):
        PretrainedModel.load(path)


@pytest.mark.parametrize("name", ["format_version", "kind", "digest"])
def test_a_header_that_lacks_a_key(path, name):
    header, arrays = header_of(path), load_file(path)
    del header[name]
    save_file(arrays, path, metadata={"mocop_sklearn": json.dumps(header)})
    with pytest.raises(ValueError, match="was altered after it was written"):
        PretrainedModel.load(path)


def test_a_newer_format(path):
    forge(path, lambda header: header.update(format_version=2))
    with pytest.raises(ValueError, match=r"format version 2, but this mocop_sklearn reads versions up to 1. Upgrade"):
        PretrainedModel.load(path)


def test_another_kind(path):
    with pytest.raises(ValueError, match="holds a model, but a training checkpoint is needed"):
        read_file(path, "training checkpoint")


def test_another_vocabulary(path):
    forge(path, lambda header: header["model"]["vocabulary"]["atom_fields"].reverse())
    with pytest.raises(ValueError, match="written with another atom vocabulary"):
        PretrainedModel.load(path)


def test_files_of_others(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not one written by mocop_sklearn"):
        PretrainedModel.load(path)
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        PretrainedModel.load(path)
    with pytest.raises(FileNotFoundError, match="No model file at"):
        PretrainedModel.load(tmp_path / "none")
    with pytest.raises(ValueError, match="is a directory"):
        PretrainedModel.load(tmp_path)


def test_an_error_in_the_middle_leaves_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    def disk_full(arrays, filename, metadata):
        filename.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(_format, "save_file", disk_full)
    model.n_iter = 99
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_transformer_that_cannot_be_written_leaves_the_old_file(model, path):
    before = path.read_bytes()
    foreign = PretrainedModel(**own(model) | {"profile_transformer": FunctionTransformer(np.arcsinh)})
    with pytest.raises(TypeError, match=r"profile_transformer\.func is a numpy\.ufunc"):
        foreign.save(path)
    assert path.read_bytes() == before


def test_building_the_module_takes_no_random_numbers(model):
    before = torch.random.get_rng_state()
    model.module()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_module_does_not_share_memory_with_the_model(model):
    module = model.module()
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    assert any(w.any() for w in model.weights.values())
