"""A fitted embedder is complete without the corpus that it learned from."""

import pickle
import shutil

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.datasets import make_paired_profiles


@pytest.fixture(params=["stored", "in memory", "tuple", "path"])
def corpus(request, smiles, profiles, tmp_path):
    if request.param == "in memory":
        return PairedProfiles(smiles, profiles)
    if request.param == "tuple":
        return smiles, profiles
    frame = make_paired_profiles(n_molecules=40, n_features=20, as_frame=True, random_state=0).frame
    frame.to_parquet(tmp_path / "wells.parquet")
    pairs = build_pairs(tmp_path / "wells.pairs", [tmp_path / "wells.parquet"])
    return pairs if request.param == "stored" else str(tmp_path / "wells.pairs")


def test_a_pickled_pipeline_needs_no_corpus(corpus, smiles, labels, tiny, tmp_path):
    pipeline = make_pipeline(MoCoPEmbedder(**tiny, pairs=corpus), LogisticRegression()).fit(smiles, labels)
    before, pickled = pipeline.predict_proba(smiles), pickle.dumps(pipeline)
    if (tmp_path / "wells.pairs").exists():
        shutil.move(tmp_path / "wells.pairs", tmp_path / "elsewhere")
    twin = pickle.loads(pickled)
    np.testing.assert_array_equal(twin.predict_proba(smiles), before)
    assert twin[0].digest_ == pipeline[0].digest_
    assert pickle.loads(pickle.dumps(twin))[0].digest_ == pipeline[0].digest_
    repr(twin)
    with pytest.raises((ValueError, FileNotFoundError), match="pairs"):
        clone(twin[0]).fit(smiles)


def test_rows_in_memory_do_not_travel(smiles, profiles, tiny):
    embedder = MoCoPEmbedder(**tiny, pairs=PairedProfiles(smiles, profiles))
    row = profiles[3].astype(np.float32).tobytes()
    assert row in pickle.dumps(embedder)  # a search hands its rows to other processes
    assert row not in pickle.dumps(embedder.fit(smiles))
    assert pickle.loads(pickle.dumps(embedder)).pairs.provenance == embedder.pairs.provenance


def test_provenance_stays_with_the_model(smiles, tiny, tmp_path):
    frame = make_paired_profiles(n_molecules=40, n_features=20, as_frame=True, random_state=0).frame
    frame.to_parquet(tmp_path / "wells.parquet")
    pairs = build_pairs(tmp_path / "wells.pairs", [tmp_path / "wells.parquet"], licence="CC0", notes="made up")
    embedder = MoCoPEmbedder(**tiny, pairs=pairs).fit(smiles)
    embedder.save(tmp_path / "model")
    loaded = MoCoPEmbedder.load(tmp_path / "model")
    assert loaded.model_.provenance == pairs.provenance
    assert loaded.model_.provenance["licence"] == "CC0"
    assert loaded.model_.provenance["normalization"]["method"] == "robust"
    assert loaded.digest_ == embedder.digest_
