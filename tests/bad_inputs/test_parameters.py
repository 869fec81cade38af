"""Parameters that cannot be used."""

import pytest
import torch
from rdkit import Chem

from mocop_sklearn import MoCoPEmbedder
from tests.helpers.bad_inputs import check

CASES = {
    "device: unknown": (
        ValueError,
        r'device must be "auto", "cpu", "cuda", "cuda:<index>" or "mps", got \'gpu\'',
        lambda c: c.fit_pairs(device="gpu"),
    ),
    "device: of another kind": (ValueError, r"got 'xpu'", lambda c: c.fit_pairs(device="xpu")),
    "device: lacking": (
        ValueError,
        r'device=\'cuda:99\' asks for a GPU, but torch sees \d+ here\. Use device="auto"',
        lambda c: c.fit_pairs(device="cuda:99"),
    ),
    "memory: a number": (
        ValueError,
        r"'memory' should be None, a string or have the same interface",
        lambda c: c.fit_pairs(memory=5),
    ),
    "memory: a lambda": (
        ValueError,
        r"one of them cannot be pickled: .*lambda.*Use functions .* top level of a module",
        lambda c: c.fit_pairs(memory=c.folder, standardize=lambda mol: mol),
    ),
    "memory: a function of RDKit": (
        ValueError,
        r"one of them cannot be pickled",
        lambda c: c.fit_pairs(memory=c.folder, standardize=Chem.RemoveHs),
    ),
    "load: unknown parameter": (
        TypeError,
        r"unexpected keyword argument 'layers'",
        lambda c: MoCoPEmbedder.load(c.model_file, layers=3),
    ),
    "load: bad parameter": (
        ValueError,
        r"'output' parameter .* Got 'graph'",
        lambda c: MoCoPEmbedder.load(c.model_file, output="graph"),
    ),
    "profile_dims: bool": (
        ValueError,
        r"profile_dims must be a tuple of positive integers, got \(True,\)",
        lambda c: c.fit(profile_dims=(True,)),
    ),
    "profile_dims: empty": (
        ValueError,
        r"profile_dims must be a tuple of positive integers, got \(\)",
        lambda c: c.fit_pairs(profile_dims=()),
    ),
    "profile_dims: zero": (ValueError, r"got \(16, 0\)", lambda c: c.fit_pairs(profile_dims=(16, 0))),
    "profile_dims: text": (ValueError, r"got \('16',\)", lambda c: c.fit_pairs(profile_dims=("16",))),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_parameters(case, context):
    check(*CASES[case], context)


OUT_OF_RANGE = {
    "pretrained": 3,
    "pairs": [1],
    "unlabeled": 3,
    "structure_targets": "fingerprints",
    "structure_weight": -1,
    "profile_weight": -1,
    "side_features": 3,
    "local_scaling": "yes",
    "profile_transformer": "robust",
    "standardize": "tautomer",
    "invalid": "ignore",
    "max_atoms": 40_000,
    "featurizer": "ecfp",
    "n_layers": 0,
    "hidden_dim": 0,
    "embedding_dim": -1,
    "projection_dim": 1.5,
    "profile_dims": 512,
    "dropout": 1.0,
    "train_heads": "no",
    "loss": "clip",
    "temperature": 0,
    "replicates": "first",
    "max_epochs": -1,
    "encoder": "transformer",
    "profile_encoder": "cnn",
    "batch_size": 1,
    "learning_rate": 0,
    "weight_decay": -0.1,
    "warmup_fraction": 1.0,
    "validation_fraction": 1.0,
    "patience": 0,
    "selection": "loss",
    "n_estimators": 0,
    "output": "both",
    "device": 0,
    "precision": "fp16",
    "n_jobs": 1.5,
    "checkpoint_dir": 1,
    "resume": "yes",
    "random_state": -1,
    "verbose": "loud",
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_parameters_out_of_range(name, smiles, profiles):
    value = OUT_OF_RANGE[name]
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of MoCoPEmbedder must be .*Got .*{value}"):
        MoCoPEmbedder(**{name: value}).fit(smiles, profiles)


def test_every_parameter_has_a_range():
    # whatever has joblib.Memory's interface; callables, each of which is checked
    free = {"memory", "callbacks"}
    assert set(OUT_OF_RANGE) | free == set(MoCoPEmbedder().get_params())


def test_the_gpu_is_not_asked_for_by_default(fitted, smiles):
    assert fitted.device == "auto"
    assert torch.from_numpy(fitted.transform(smiles)).device.type == "cpu"
