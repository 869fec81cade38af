"""A model that the command line has trained, and what it answers."""

import pytest

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import make_paired_profiles
from tests.helpers.command_line import MOLECULES, TINY, flags


@pytest.fixture(scope="module")
def wells():
    data = make_paired_profiles(n_molecules=40, n_features=20, n_replicates=2, as_frame=True, random_state=0)
    return data.frame


@pytest.fixture(scope="module")
def model(wells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    wells.to_parquet(folder / "wells.parquet")
    path = folder / "model.safetensors"
    assert main(["pretrain", str(folder / "wells.parquet"), "-o", str(path), "--quiet", *flags(**TINY)]) == 0
    return str(path)


@pytest.fixture(scope="module")
def expected(model):
    embedder = MoCoPEmbedder.load(model, invalid="nan")
    with pytest.warns(UserWarning, match="3 of 11"):
        return embedder.transform(MOLECULES)
