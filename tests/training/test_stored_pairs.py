"""Training on a store: profiles that are read and transformed as they are drawn."""

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.molecules._parse import connectivity_key
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training import _pretraining
from mocop_sklearn.training import _profiled as profiled
from mocop_sklearn.training._loop import TrainingState
from tests.helpers.platemaker import make_plate, write


@pytest.fixture(scope="module")
def store(smiles, profiles, tmp_path_factory):
    """Four plates of forty molecules, of two sources, in float32, with doses."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    files = []
    for i in range(4):
        frame = make_plate(f"P{i}", smiles, n_features=profiles.shape[1], Metadata_Source=f"s{i // 3}")
        effects = 20 * (profiles + 0.1 * rng.normal(size=profiles.shape))
        frame.loc[4:, frame.filter(like="Cells_").columns] += effects.astype(np.float32)
        frame["Metadata_Dose"] = 10.0 ** (i % 3)
        files.append(write(frame, folder / f"P{i}.parquet"))
    build_pairs(folder / "store", files, dtype="float32", dose_column="Metadata_Dose")
    return folder / "store"


@pytest.fixture(scope="module")
def pairs(store):
    return PairedProfiles.open(store)


def in_memory(pairs, **more):
    frame = pd.DataFrame(np.array(pairs.profiles), columns=pairs.feature_names)
    return PairedProfiles(pairs.molecules, frame.assign(Metadata_Source=pairs.sources), **more)


def same_weights(one, other):
    assert one.model_.weights.keys() == other.model_.weights.keys()
    for name, weights in one.model_.weights.items():
        np.testing.assert_array_equal(weights, other.model_.weights[name])
    return one.digest_ == other.digest_


@pytest.mark.parametrize("replicates", ["sample", "source", "mean", "mix", 2])
def test_a_store_trains_as_its_rows_in_memory(store, pairs, tiny, smiles, replicates):
    parameters = tiny | {"replicates": replicates}
    expected = MoCoPEmbedder(**parameters, pairs=in_memory(pairs)).fit(smiles)
    assert same_weights(MoCoPEmbedder(**parameters, pairs=store).fit(smiles), expected)
    assert set(expected.molecule_keys_) == {connectivity_key(Chem.MolFromSmiles(s)) for s in pairs.molecules}


@pytest.mark.parametrize("replicates", ["sample", "source", "mean", "mix", 2])
def test_streamed_training_is_that_in_memory(store, tiny, smiles, replicates, monkeypatch):
    parameters = tiny | {"replicates": replicates, "pairs": store}
    scaled = MoCoPEmbedder(**parameters, profile_transformer=ProfileScaler())
    whitened = MoCoPEmbedder(**parameters)
    expected = clone(scaled).fit(smiles), clone(whitened).fit(smiles)
    monkeypatch.setattr(profiled, "_RESIDENT_BYTES", 0)
    assert same_weights(scaled.fit(smiles), expected[0])
    scores = [[row["validation_score"] for row in embedder.history_] for embedder in (scaled, expected[0])]
    assert scores[0] == scores[1]
    # how products are rounded in whitening hangs on the number of rows at a time
    for name, weights in whitened.fit(smiles).model_.weights.items():
        np.testing.assert_allclose(weights, expected[1].model_.weights[name], atol=1e-5)


def test_float16_trains_too(pairs, tiny, smiles, tmp_path):
    frame = make_plate("P0", smiles, n_features=8)
    half = build_pairs(tmp_path / "half", [write(frame, tmp_path / "P0.parquet")])
    one = MoCoPEmbedder(**tiny, pairs=half).fit(smiles)
    assert same_weights(MoCoPEmbedder(**tiny, pairs=in_memory(half)).fit(smiles), one)


@pytest.mark.parametrize("transformer", [None, ProfileScaler()])
def test_a_streamed_run_resumes(store, tiny, smiles, tmp_path, monkeypatch, transformer):
    parameters = tiny | {"max_epochs": 4, "pairs": store, "profile_transformer": transformer}
    monkeypatch.setattr(profiled, "_RESIDENT_BYTES", 0)
    whole = MoCoPEmbedder(**parameters).fit(smiles)
    finish = TrainingState.finish_epoch

    def interrupt(state, *args):
        if state.epoch == 2:
            raise KeyboardInterrupt
        finish(state, *args)

    embedder = MoCoPEmbedder(**parameters, checkpoint_dir=tmp_path, resume=True)
    monkeypatch.setattr(TrainingState, "finish_epoch", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3 of 4"):
        embedder.fit(smiles)
    monkeypatch.setattr(TrainingState, "finish_epoch", finish)
    assert same_weights(embedder.fit(smiles), whole)


def test_equal_weights_are_no_weights(pairs, tiny, smiles):
    without = MoCoPEmbedder(**tiny, pairs=in_memory(pairs)).fit(smiles)
    alike = MoCoPEmbedder(**tiny, pairs=in_memory(pairs, sample_weight=np.full(len(pairs), 0.5))).fit(smiles)
    for name, weights in without.model_.weights.items():
        np.testing.assert_allclose(alike.model_.weights[name], weights, atol=1e-4)
    weight = np.random.default_rng(0).uniform(0.1, 10, len(pairs))
    other = MoCoPEmbedder(**tiny, pairs=in_memory(pairs, sample_weight=weight)).fit(smiles)
    assert other.history_[0]["loss"] != pytest.approx(without.history_[0]["loss"], rel=1e-4)


def test_molecules_without_weight_are_left_out(store, pairs, tiny, smiles, tmp_path):
    molecules = np.array(pairs.molecules)
    out = np.isin(molecules, sorted(set(molecules))[:7])
    weighted = MoCoPEmbedder(**tiny, pairs=in_memory(pairs, sample_weight=np.where(out, 0, 2))).fit(smiles)
    assert set(weighted.molecule_keys_) == {connectivity_key(Chem.MolFromSmiles(s)) for s in molecules[~out]}
    rest = MoCoPEmbedder(**tiny, pairs=in_memory(pairs[~out])).fit(smiles)
    for name, weights in rest.model_.weights.items():
        np.testing.assert_allclose(weighted.model_.weights[name], weights, atol=1e-4)


def test_weights_in_a_store_are_used(tiny, smiles, tmp_path):
    share = np.where(np.arange(44) % 4 == 0, 0.0, 1 + np.arange(44) % 3)
    frame = make_plate("P0", smiles, n_features=8, Metadata_Share=share)
    file = write(frame, tmp_path / "P0.parquet")
    stored = build_pairs(tmp_path / "store", [file], weight_column="Metadata_Share", dtype="float32")
    memory = in_memory(stored, sample_weight=stored.sample_weight)
    assert same_weights(
        MoCoPEmbedder(**tiny, pairs=stored).fit(smiles), MoCoPEmbedder(**tiny, pairs=memory).fit(smiles)
    )
    assert len(MoCoPEmbedder(**tiny, pairs=stored).fit(smiles).molecule_keys_) == 30


def test_going_on_with_other_columns(pairs, tiny, smiles):
    chosen = pairs.select_features([5, 3, 8, 1, 0, 12, 20])
    start = MoCoPEmbedder(**tiny, pairs=chosen).fit(smiles).model_
    parameters = {"pretrained": start, "max_epochs": 1, "random_state": 1, "batch_size": 16}
    expected = MoCoPEmbedder(**parameters, pairs=chosen).fit(smiles)
    assert same_weights(MoCoPEmbedder(**parameters, pairs=pairs).fit(smiles), expected)
    order = np.random.default_rng(0).permutation(pairs.n_features)
    assert same_weights(MoCoPEmbedder(**parameters, pairs=pairs.select_features(order)).fit(smiles), expected)
    with pytest.raises(ValueError, match=r"lacks 1 of the 7 columns the model was fitted on: \['Cells_f5'\]"):
        MoCoPEmbedder(**parameters, pairs=pairs.select_features([3, 8, 1, 0, 12, 20])).fit(smiles)


def test_with_dose_trains(pairs, tiny, smiles):
    embedder = MoCoPEmbedder(**tiny, pairs=pairs.with_dose()).fit(smiles)
    assert embedder.model_.n_profile_columns == pairs.n_features + 1
    assert embedder.model_.profile_features[-1] == "Log10Dose"
    view = pairs.with_dose()
    table = pd.DataFrame(view.profiles, columns=view.feature_names)
    np.testing.assert_array_equal(
        embedder.transform_profiles(table[view.feature_names[::-1]]), embedder.transform_profiles(view.profiles)
    )
    on = MoCoPEmbedder(pretrained=embedder, pairs=view, max_epochs=1, side_features=None).fit(smiles)
    assert on.model_.profile_features == view.feature_names


def test_a_dose_does_not_make_a_profile(tiny, smiles, profiles):
    empty = profiles.copy()
    empty[7] = np.nan
    for pairs in (view := PairedProfiles(smiles, empty, doses=np.arange(1, 41)), view.with_dose()):
        with pytest.raises(ValueError, match=r"1 of 40 profiles hold no finite value: rows \[7\]"):
            MoCoPEmbedder(**tiny, pairs=pairs).fit(smiles)


class Noted(TransformerMixin, BaseEstimator):
    """A scaler that notes what it was fitted on."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        self.seen.append(np.array(X))
        self.scaler_ = ProfileScaler().fit(X)
        return self

    def transform(self, X):
        return self.scaler_.transform(X)


@pytest.mark.parametrize("most", [None, 50])
def test_the_transformer_sees_training_rows_alone(pairs, tiny, smiles, monkeypatch, most):
    monkeypatch.setattr(Noted, "seen", [])
    if most is not None:
        monkeypatch.setattr(profiled, "_FIT_BYTES", 4 * pairs.n_features * most + 3)
    parameters = tiny | {"profile_transformer": Noted(), "validation_fraction": 0.3, "max_epochs": 1}
    one = MoCoPEmbedder(**parameters, pairs=pairs).fit(smiles)
    two = MoCoPEmbedder(**parameters, pairs=pairs).fit(smiles)
    np.testing.assert_array_equal(*Noted.seen)
    assert same_weights(one, two)
    profiles = {row.tobytes(): molecule for row, molecule in zip(pairs.profiles, pairs.molecules, strict=True)}
    assert len(profiles) == len(pairs)
    fitted_on = [profiles[row.tobytes()] for row in Noted.seen[0].astype(np.float32)]
    assert len(fitted_on) == (112 if most is None else 50)
    assert len(np.unique(Noted.seen[0], axis=0)) == len(fitted_on)
    if most is None:
        assert len(set(fitted_on)) == 28
    else:
        everything = MoCoPEmbedder(**parameters, pairs=pairs)
        monkeypatch.setattr(profiled, "_FIT_BYTES", 2**29)
        everything.fit(smiles)
        assert set(fitted_on) <= {profiles[row.tobytes()] for row in Noted.seen[-1].astype(np.float32)}


def test_a_grid_search_pretrains_once_for_each_candidate(store, tiny, smiles, labels, tmp_path, monkeypatch):
    runs = []
    pretrain = _pretraining.train

    def counted(*args, **kwargs):
        runs.append(1)
        return pretrain(*args, **kwargs)

    monkeypatch.setattr(_pretraining, "train", counted)
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 1}, pairs=store, memory=tmp_path / "cache")
    pipeline = make_pipeline(embedder, LogisticRegression(max_iter=10_000))
    grid = {"mocopembedder__temperature": [0.05, 0.2]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(smiles, labels)
    assert len(runs) == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # the same content at another path is known, too
    other = store.with_name("moved")
    other.symlink_to(store)
    embedder.set_params(pairs=other, temperature=0.05).fit(smiles)
    assert len(runs) == 2
    embedder.set_params(pairs=PairedProfiles.open(store)[1:]).fit(smiles)
    assert len(runs) == 3
