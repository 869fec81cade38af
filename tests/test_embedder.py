"""What the embedder takes, learns and gives: inputs, sources of profiles, training, retrieval, files, caches."""

import copy
import inspect
import os
import shutil
import signal
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rdkit import Chem
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, RobustScaler

import mocop_sklearn
from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.molecules import _featurize as featurize
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training import _contrastive as training
from mocop_sklearn.training import _inference as inference
from mocop_sklearn.training._loop import TrainingState

# ---------------------------------------------------------------------------------------------
# what molecules may come in
# ---------------------------------------------------------------------------------------------


def object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def inchi(smiles):
    """The InChI, but the SMILES of an amide: InChI names no tautomer, and RDKit reads an imidic acid."""
    return smiles if "C(=O)N" in smiles else Chem.MolToInchi(Chem.MolFromSmiles(smiles))


CONTAINERS = {
    "tuple": tuple,
    "generator": iter,
    "array of str": np.array,
    "array of objects": object_array,
    "column of an array": lambda s: np.array(s)[:, None],
    "rows of one": lambda s: [[value] for value in s],
    "Series of objects": lambda s: pd.Series(s, dtype=object),
    "Series of str": lambda s: pd.Series(s, dtype="str", index=range(40, 0, -1)),
    "Series of string[python]": lambda s: pd.Series(s, dtype="string[python]"),
    "Series of string[pyarrow]": lambda s: pd.Series(s, dtype="string[pyarrow]"),
    "Series of categories": lambda s: pd.Series(s, dtype="category"),
    "Index": pd.Index,
    "DataFrame": lambda s: pd.DataFrame({"smiles": s}),
    "DataFrame of string[pyarrow]": lambda s: pd.DataFrame({"smiles": s}, dtype="string[pyarrow]"),
    "polars Series": pl.Series,
    "polars Series of categories": lambda s: pl.Series(s, dtype=pl.Categorical),
    "polars DataFrame": lambda s: pl.DataFrame({"smiles": s}),
    "Mol": lambda s: [Chem.MolFromSmiles(value) for value in s],
    "Mol and SMILES": lambda s: [Chem.MolFromSmiles(value) if i % 2 else value for i, value in enumerate(s)],
    "array of Mol": lambda s: object_array([Chem.MolFromSmiles(value) for value in s]),
    "Series of Mol": lambda s: pd.Series([Chem.MolFromSmiles(value) for value in s]),
    "CXSMILES": lambda s: [f"{value} |c:0|" if i % 2 else f"{value} |junk" for i, value in enumerate(s)],
    "InChI": lambda s: [inchi(value) for value in s],
    "surrounding blanks": lambda s: [f" {value}\n" for value in s],
    "another order of atoms": lambda s: [Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(v), 1, 7)[0] for v in s],
    "Kekulé": lambda s: [Chem.MolToSmiles(Chem.MolFromSmiles(value), kekuleSmiles=True) for value in s],
    "salts": lambda s: [f"{value}.Cl" if len(value) > 3 else value for value in s],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_embedding(fitted, smiles, container):
    Z = fitted.transform(CONTAINERS[container](smiles))
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z, fitted.transform(smiles), atol=1e-5)


def test_fit_takes_every_container(fitted, smiles, profiles, tiny):
    for X, P in (
        (pd.Series(smiles), pd.DataFrame(profiles)),
        (pl.DataFrame({"smiles": smiles}), pl.DataFrame(profiles)),
        (np.array(smiles)[:, None], profiles.tolist()),
        (iter(smiles), profiles.astype(np.float32)),
        (tuple(smiles), pd.DataFrame(profiles).astype("Float64")),
    ):
        embedder = MoCoPEmbedder(**tiny).fit(X, P)
        np.testing.assert_array_equal(embedder.transform(smiles), fitted.transform(smiles))
    canonical = MoCoPEmbedder(**tiny).fit([Chem.CanonSmiles(s) for s in smiles], profiles)
    assert MoCoPEmbedder(**tiny).fit([Chem.MolFromSmiles(s) for s in smiles], profiles).digest_ == canonical.digest_


def test_a_table_of_wells(smiles, profiles, tiny):
    frame = pd.DataFrame(profiles, columns=[f"Cells_{i}" for i in range(24)])
    frame.insert(0, "Metadata_Plate", "P1")
    embedder = MoCoPEmbedder(**tiny).fit(smiles, frame)
    assert embedder.model_.profile_features == [f"Cells_{i}" for i in range(24)]
    expected = embedder.transform_profiles(profiles)
    np.testing.assert_array_equal(embedder.transform_profiles(frame[frame.columns[::-1]]), expected)
    np.testing.assert_array_equal(embedder.transform_profiles(pl.from_pandas(frame)), expected)


def test_extreme_profiles(smiles, profiles, tiny):
    P = profiles.copy()
    P[0, :5] = 1e300, -1e300, np.inf, -np.inf, np.nan
    P[1, 5:7] = 3e38, -3e38
    embedder = MoCoPEmbedder(**tiny).fit(smiles, P)
    assert np.isfinite(embedder.transform_profiles(P)).all()
    assert np.isfinite(embedder.score(smiles, P))


# ---------------------------------------------------------------------------------------------
# where the profiles come from
# ---------------------------------------------------------------------------------------------


def test_the_sources_of_profiles_agree(fitted, smiles, profiles, tiny):
    assert MoCoPEmbedder(**tiny).fit(smiles, profiles).digest_ == fitted.digest_
    assert MoCoPEmbedder(**tiny, pairs=(smiles, profiles)).fit(["CCO"]).digest_ == fitted.digest_
    assert MoCoPEmbedder(**tiny, pairs=PairedProfiles(smiles, profiles)).fit(["CCO"], [0]).digest_ == fitted.digest_
    assert MoCoPEmbedder(pretrained=fitted).fit(["CCO"], [0]).digest_ == fitted.digest_


def test_the_first_source_wins(fitted, smiles, profiles, labels, tiny):
    P, other, third = profiles, profiles[::-1], profiles[:, ::-1]
    embedder = MoCoPEmbedder(**tiny, pairs=(smiles, other))
    assert embedder.fit(smiles, third, profiles=P).digest_ == fitted.digest_
    from_pairs = MoCoPEmbedder(**tiny).fit(smiles, other).digest_
    assert embedder.fit(smiles, third).digest_ == embedder.fit(smiles, labels).digest_ == from_pairs
    assert MoCoPEmbedder(**tiny).fit(smiles, labels, profiles=P).digest_ == fitted.digest_


def test_pretrained_takes_files_and_estimators(fitted, model_file, smiles):
    for pretrained in (model_file, str(model_file), fitted, fitted.model_, FrozenEstimator(fitted)):
        embedder = MoCoPEmbedder(pretrained=pretrained).fit(smiles)
        assert embedder.digest_ == fitted.digest_
        assert embedder.history_ == fitted.history_
        np.testing.assert_array_equal(embedder.transform(smiles), fitted.transform(smiles))


def test_training_goes_on_from_pretrained_weights(fitted, model_file, smiles, profiles):
    subset = {"X": smiles[:20], "y": profiles[:20] + 0.5}
    still = MoCoPEmbedder(pretrained=model_file, max_epochs=0, random_state=0)
    still.fit(**subset)
    assert still.score(smiles, profiles) == pytest.approx(fitted.score(smiles, profiles), abs=1e-6)
    np.testing.assert_allclose(still.transform(smiles), fitted.transform(smiles), atol=1e-6)
    # scaled as the model was, although these profiles have another centre
    np.testing.assert_array_equal(still.profile_transformer_.center_, fitted.profile_transformer_.center_)
    moved = clone(still).set_params(max_epochs=1, learning_rate=1e-2).fit(**subset)
    assert not np.allclose(moved.transform(smiles), fitted.transform(smiles))
    fresh = MoCoPEmbedder(**_shape_of(fitted), max_epochs=0, random_state=0).fit(**subset)
    assert not np.allclose(fresh.transform(smiles), fitted.transform(smiles))


def test_training_goes_on_at_its_own_temperature(fitted, smiles, profiles, tiny):
    on = MoCoPEmbedder(pretrained=fitted, **tiny | {"temperature": 0.5}).fit(smiles, profiles=profiles)
    assert on.history_[0]["temperature"] == pytest.approx(0.5)


def _shape_of(embedder):
    shape = embedder.model_.architecture.as_dict()
    del shape["n_profile_features"]
    return shape


def test_molecules_seen_add_up(fitted, smiles, profiles):
    more = MoCoPEmbedder(pretrained=fitted, max_epochs=1, random_state=0).fit(["CCCCCCO", "CCCCCCN"], profiles[:2])
    new = {Chem.MolToInchiKey(Chem.MolFromSmiles(s))[:14] for s in ("CCCCCCO", "CCCCCCN")}
    assert set(more.molecule_keys_) == set(fitted.molecule_keys_) | new
    assert len(fitted.molecule_keys_) == 40
    assert fitted.molecule_keys_.tolist() == sorted(fitted.molecule_keys_)


# ---------------------------------------------------------------------------------------------
# embedding
# ---------------------------------------------------------------------------------------------


def test_fit_transform(fitted, smiles, profiles, tiny):
    np.testing.assert_array_equal(MoCoPEmbedder(**tiny).fit_transform(smiles, profiles), fitted.transform(smiles))


def test_one_molecule_at_a_time(fitted, smiles):
    together = fitted.transform(smiles)
    alone = np.vstack([fitted.transform([s]) for s in smiles])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_batches_and_chunks_do_not_show(fitted, smiles, monkeypatch):
    together = fitted.transform(smiles)
    monkeypatch.setattr(inference, "_ATOMS_PER_BATCH", 20)
    monkeypatch.setattr(inference, "_ROWS_PER_CHUNK", 7)
    np.testing.assert_allclose(fitted.transform(smiles), together, atol=1e-5)


@pytest.mark.slow
def test_parallel_is_serial(smiles, profiles, fitted, tiny, monkeypatch):
    monkeypatch.setattr(featurize, "_CHUNK", 16)  # three tasks for two processes
    parallel = MoCoPEmbedder(**tiny, n_jobs=2).fit(smiles, profiles)
    assert parallel.digest_ == fitted.digest_
    np.testing.assert_array_equal(parallel.transform(smiles), fitted.transform(smiles))


def test_stereoisomers_differ_unless_featurized_as_in_the_paper(fitted, smiles, profiles, tiny):
    pair = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    left, right = fitted.transform(pair)
    assert not np.allclose(left, right)
    left, right = MoCoPEmbedder(**tiny, featurizer="paper").fit(smiles, profiles).transform(pair)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_standardisation(fitted, smiles, profiles, tiny):
    def without_charge(mol):
        return Chem.MolFromSmiles(Chem.MolToSmiles(mol).replace("[O-]", "O"))

    acid, base = ["CC(=O)O"], ["CC(=O)[O-]"]
    np.testing.assert_allclose(fitted.transform(base), fitted.transform(acid), atol=1e-6)
    as_given = MoCoPEmbedder(**tiny, standardize=None).fit(smiles, profiles)
    assert not np.allclose(as_given.transform(base), as_given.transform(acid))
    own = MoCoPEmbedder(**tiny, standardize=without_charge).fit(smiles, profiles)
    np.testing.assert_allclose(own.transform(base), own.transform(acid), atol=1e-6)


# ---------------------------------------------------------------------------------------------
# retrieval
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(smiles, profiles, tiny):
    """An embedder that has learned its molecules, with nothing held out."""
    parameters = tiny | {"max_epochs": 90, "learning_rate": 1e-2, "validation_fraction": 0.0, "output": "projection"}
    return MoCoPEmbedder(**parameters).fit(smiles, profiles)


def test_molecules_and_profiles_share_a_space_of_unit_vectors(trained, smiles, profiles):
    molecules, cells = trained.transform(smiles), trained.transform_profiles(profiles)
    assert molecules.shape == cells.shape == (40, 8)
    np.testing.assert_allclose(np.linalg.norm(molecules, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(cells, axis=1), 1, atol=1e-5)


def test_score_is_one_minus_twice_the_normalised_rank(trained, smiles, profiles):
    similarity = trained.transform(smiles).astype(float) @ trained.transform_profiles(profiles).T
    there = np.diag(rankdata(-similarity, axis=1)) - 1
    back = np.diag(rankdata(-similarity, axis=0)) - 1
    expected = 1 - 2 * (there.mean() + back.mean()) / 2 / 39
    # one pair that is a tie within rounding counts half a rank there: 3.2e-4
    assert trained.score(smiles, profiles) == pytest.approx(expected, abs=4e-4)
    assert trained.score(smiles, profiles=profiles) == trained.score(smiles, profiles)
    assert expected > 0.8


def test_nearest_neighbours_agree_with_score(trained, smiles, profiles):
    neighbours = {
        "there": NearestNeighbors(n_neighbors=40).fit(trained.transform_profiles(profiles)),
        "back": NearestNeighbors(n_neighbors=40).fit(trained.transform(smiles)),
    }
    queries = {"there": trained.transform(smiles), "back": trained.transform_profiles(profiles)}
    ranks = [
        np.argmax(neighbours[way].kneighbors(queries[way], return_distance=False) == np.arange(40)[:, None], axis=1)
        for way in neighbours
    ]
    assert trained.score(smiles, profiles) == pytest.approx(1 - 2 * np.mean(ranks) / 39, abs=0.01)


def test_chance_scores_zero(trained, smiles):
    rng = np.random.default_rng(0)
    scores = [trained.score(smiles, rng.normal(size=(40, 24))) for _ in range(20)]
    assert abs(np.mean(scores)) < 0.05
    assert trained.score(smiles, np.ones((40, 24))) == pytest.approx(0, abs=0.01)  # ties count half


def test_replicates_are_one_molecule_for_score(trained, smiles, profiles):
    twice = [*smiles, *(f"{s}.Cl" for s in smiles)]
    noise = np.random.default_rng(0).normal(scale=0.01, size=profiles.shape)
    assert trained.score(twice, np.vstack([profiles + noise, profiles - noise])) == pytest.approx(
        trained.score(smiles, profiles), abs=0.02
    )


# ---------------------------------------------------------------------------------------------
# training
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validated(smiles, profiles, tiny):
    """An embedder that was trained for some epochs, with a fifth of its molecules held out."""
    parameters = tiny | {"max_epochs": 8, "learning_rate": 3e-2, "validation_fraction": 0.2}
    return MoCoPEmbedder(**parameters).fit(smiles, profiles)


def test_history(validated):
    assert validated.n_iter_ == len(validated.history_) == 8
    assert [row["epoch"] for row in validated.history_] == list(range(1, 9))
    documented = "epoch loss learning_rate temperature validation_loss validation_score validation_top1 "
    documented += "validation_top10 seconds seconds_waiting"
    for row in validated.history_:
        assert list(row) == documented.split()
        assert all(isinstance(value, (int, float)) and np.isfinite(value) for value in row.values())


@pytest.fixture
def held_out(validated, smiles, profiles, monkeypatch):
    """Rows of the molecules that ``validated`` held out."""
    splits = []
    split = mocop_sklearn.training._pretraining.split_molecules
    with monkeypatch.context() as patched:
        patched.setattr(
            mocop_sklearn.training._pretraining,
            "split_molecules",
            lambda *args: splits.append(split(*args)) or splits[0],
        )
        clone(validated).set_params(max_epochs=1).fit(smiles, profiles)
    # molecules are numbered by their canonical SMILES
    rows = np.argsort([Chem.CanonSmiles(s) for s in smiles])[splits[0][1]]
    assert len(rows) == 8
    return rows


def test_the_best_score_is_that_of_the_kept_weights(validated, held_out, smiles, profiles):
    scores = [row["validation_score"] for row in validated.history_]
    assert validated.best_score_ == max(scores)
    assert len(set(scores)) > 1
    score = validated.score(np.array(smiles)[held_out], profiles[held_out])
    assert score == pytest.approx(validated.best_score_, abs=1e-6)


def test_nothing_is_learned_from_molecules_that_are_held_out(validated, held_out, smiles, profiles):
    other = profiles.copy()
    other[held_out] = other[held_out][::-1] + 100
    again = clone(validated).fit(smiles, other)
    np.testing.assert_array_equal(again.profile_transformer_.center_, validated.profile_transformer_.center_)
    np.testing.assert_array_equal(again.profile_transformer_.scale_, validated.profile_transformer_.scale_)
    assert [row["loss"] for row in again.history_] == [row["loss"] for row in validated.history_]


def test_the_weights_of_the_best_epoch_are_kept(smiles, profiles, tiny, monkeypatch):
    validate = training._validate
    weights = []

    def best_in_epoch_two(model, *args):
        weights.append({name: w.numpy().copy() for name, w in model.state_dict().items()})
        score = [0.1, 0.7, 0.7, 0.3][len(weights) - 1]
        return validate(model, *args) | {"validation_score": score, "validation_loss": 1.0}

    monkeypatch.setattr(training, "_validate", best_in_epoch_two)
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 4}).fit(smiles, profiles)
    assert embedder.best_score_ == 0.7
    assert embedder.n_iter_ == 4
    for name, kept in embedder.model_.weights.items():
        np.testing.assert_array_equal(kept, weights[1][name])
    assert not np.array_equal(weights[1]["molecule_head.linear.weight"], weights[3]["molecule_head.linear.weight"])


def test_without_validation_the_last_epoch_is_kept(smiles, profiles, tiny):
    for parameters, n in (({"validation_fraction": 0.0}, 40), ({}, 5)):
        embedder = MoCoPEmbedder(**tiny | parameters).fit(smiles[:n], profiles[:n])
        assert np.isnan(embedder.best_score_)
        assert "validation_score" not in embedder.history_[0]
        assert embedder.n_iter_ == 2


def test_patience_stops_early(smiles, profiles, tiny):
    parameters = tiny | {"max_epochs": 50, "learning_rate": 1e-12, "weight_decay": 0.0}
    embedder = MoCoPEmbedder(**parameters, patience=3).fit(smiles, profiles)
    # nothing moves, so that the first epoch stays the best
    assert embedder.n_iter_ == 4


def test_interruption_keeps_the_best_weights(smiles, profiles, tiny, tmp_path, monkeypatch):
    validate = training._validate
    epochs = []

    def interrupt(*args):
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return validate(*args)

    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 6}, memory=tmp_path)
    monkeypatch.setattr(training, "_validate", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3 of 6; the weights of epoch [12] are kept"):
        embedder.fit(smiles, profiles)
    assert embedder.n_iter_ == len(embedder.history_) == 2
    assert embedder.best_score_ == max(row["validation_score"] for row in embedder.history_)
    assert embedder.transform(smiles).shape == (40, 32)
    # the next fit finds no half of a training in the cache
    assert embedder.fit(smiles, profiles).n_iter_ == 6


def test_replicates(smiles, profiles, tiny):
    twice = [*smiles, *smiles]
    parameters = tiny | {"replicates": "mean", "profile_transformer": RobustScaler()}
    mean = MoCoPEmbedder(**parameters).fit(twice, np.vstack([profiles - 0.25, profiles + 0.25]))
    assert len(mean.molecule_keys_) == 40
    sample = clone(mean).set_params(replicates="sample").fit(twice, np.vstack([profiles - 0.25, profiles + 0.25]))
    assert sample.digest_ != mean.digest_


def test_heads_can_stay_untrained(smiles, profiles, tiny):
    def head(**parameters):
        weights = MoCoPEmbedder(**tiny | {"validation_fraction": 0.0} | parameters).fit(smiles, profiles).model_.weights
        return weights["molecule_head.linear.weight"]

    initial = head(train_heads=False, max_epochs=1)
    np.testing.assert_array_equal(head(train_heads=False, max_epochs=3), initial)
    assert not np.array_equal(head(train_heads=True, max_epochs=1), initial)


def test_paper():
    embedder = MoCoPEmbedder.paper()
    expected = {
        "featurizer": "paper",
        "n_layers": 6,
        "hidden_dim": 75,
        "embedding_dim": 1024,
        "projection_dim": 128,
        "profile_dims": (512, 256, 128),
        "dropout": 0.1,
        "train_heads": True,
        "loss": "infonce",
        "temperature": 0.1,
        "replicates": "sample",
        "max_epochs": 1000,
        "batch_size": 256,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_fraction": 0.05,
        "patience": None,
        "precision": "fp32",
    }
    assert {name: embedder.get_params()[name] for name in expected} == expected
    release = MoCoPEmbedder.paper(train_heads=False, max_epochs=3)
    assert (release.train_heads, release.max_epochs, release.n_layers) == (False, 3, 6)


def test_parameters_are_keywords_in_the_order_of_the_design():
    names = """
    pretrained pairs profile_transformer standardize invalid featurizer encoder n_layers hidden_dim embedding_dim
    projection_dim profile_encoder profile_dims dropout train_heads loss temperature replicates max_epochs batch_size
    learning_rate weight_decay warmup_fraction validation_fraction patience output device precision n_jobs memory
    checkpoint_dir resume random_state verbose
    """.split()
    parameters = inspect.signature(MoCoPEmbedder).parameters
    assert list(parameters) == names
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_numpy_scalars_are_numbers(smiles, profiles, tiny, fitted, tmp_path):
    # as RandomizedSearchCV draws them
    drawn = {name: np.int64(tiny[name]) for name in ("n_layers", "hidden_dim", "embedding_dim", "projection_dim")}
    drawn |= {"profile_dims": (np.int64(16), np.int32(8)), "learning_rate": np.float64(1e-3), "max_epochs": np.int64(2)}
    embedder = MoCoPEmbedder(**tiny | drawn | {"batch_size": np.int32(16), "random_state": np.int64(0)})
    assert embedder.fit(smiles, profiles).digest_ == fitted.digest_
    single = {"dropout": np.float32(0.25), "learning_rate": np.float32(1e-3), "weight_decay": np.float32(0)}
    embedder.set_params(**single, temperature=np.float32(0.5)).fit(smiles, profiles).save(tmp_path / "model")
    assert MoCoPEmbedder.load(tmp_path / "model").history_ == embedder.history_
    assert (
        MoCoPEmbedder(pretrained=tmp_path / "model", **drawn | {"dropout": 0.25}).fit(smiles).digest_
        == embedder.digest_
    )


def test_progress_is_silent_by_default(smiles, profiles, tiny, capfd):
    MoCoPEmbedder(**tiny).fit(smiles, profiles)
    assert capfd.readouterr() == ("", "")
    MoCoPEmbedder(**tiny, verbose=1).fit(smiles, profiles)
    assert "MoCoP" in capfd.readouterr().err


# ---------------------------------------------------------------------------------------------
# files and digests
# ---------------------------------------------------------------------------------------------

TRANSFORMERS = {
    "default": None,
    "ProfileScaler": ProfileScaler(clip=2.0),
    "robust": make_pipeline(SimpleImputer(), RobustScaler(quantile_range=(10.0, 90.0)), PCA(5, random_state=0)),
    "quantile": make_pipeline(SimpleImputer(strategy="median", add_indicator=True), QuantileTransformer(n_quantiles=9)),
}


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_files_bring_everything_back(smiles, profiles, tiny, tmp_path, transformer):
    P = profiles.copy()
    P[::7, 3] = np.nan
    embedder = MoCoPEmbedder(**tiny, profile_transformer=TRANSFORMERS[transformer])
    embedder.fit(smiles, pd.DataFrame(P).add_prefix("Cells_"))
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors", output="projection")
    np.testing.assert_array_equal(loaded.transform_profiles(P), embedder.transform_profiles(P))
    assert loaded.score(smiles, P) == embedder.score(smiles, P)
    np.testing.assert_array_equal(loaded.set_params(output="encoder").transform(smiles), embedder.transform(smiles))
    assert type(loaded.profile_transformer_) is type(embedder.profile_transformer_)
    for name in ("digest_", "history_", "n_iter_", "best_score_"):
        assert getattr(loaded, name) == getattr(embedder, name)
    np.testing.assert_array_equal(loaded.molecule_keys_, embedder.molecule_keys_)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    again = clone(embedder).set_params(pretrained=tmp_path / "again.safetensors").fit(smiles)
    assert again.digest_ == embedder.digest_


def test_a_file_without_validation(smiles, profiles, tiny, tmp_path):
    MoCoPEmbedder(**tiny | {"validation_fraction": 0.0}).fit(smiles, profiles).save(tmp_path / "model")
    assert np.isnan(MoCoPEmbedder.load(tmp_path / "model").best_score_)


def test_a_file_with_a_function(smiles, profiles, tiny, tmp_path):
    embedder = MoCoPEmbedder(**tiny, standardize=Chem.RemoveHs).fit(smiles, profiles)
    embedder.save(tmp_path / "model")
    loaded = MoCoPEmbedder.load(tmp_path / "model", standardize=Chem.RemoveHs)
    assert loaded.digest_ == embedder.digest_
    assert loaded.model_.standardize is Chem.RemoveHs


def test_the_digest_tells_embeddings_apart(fitted, smiles, profiles, tiny):
    assert len(fitted.digest_) == 64
    same = MoCoPEmbedder(**tiny, n_jobs=1, output="projection", invalid="nan").fit(smiles, profiles)
    assert same.digest_ == fitted.digest_
    for parameters in (
        {"learning_rate": 2e-3},
        {"standardize": None},
        {"profile_transformer": ProfileScaler(clip=4.0)},
    ):
        assert MoCoPEmbedder(**tiny | parameters).fit(smiles, profiles).digest_ != fitted.digest_


# ---------------------------------------------------------------------------------------------
# caches and checkpoints
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_memory", [str, lambda path: path, lambda path: joblib.Memory(path, verbose=0)])
def test_embeddings_are_cached(fitted, smiles, tmp_path, monkeypatch, as_memory):
    runs = []
    embed = inference.embed_graphs
    monkeypatch.setattr(inference, "embed_graphs", lambda *args: runs.append(1) or embed(*args))
    embedder = copy.deepcopy(fitted).set_params(memory=as_memory(tmp_path))
    expected = fitted.transform(smiles)
    runs.clear()
    for _ in range(2):
        np.testing.assert_array_equal(embedder.transform(smiles), expected)
    np.testing.assert_array_equal(embedder.transform([smiles[0], *smiles]), expected[[0, *range(40)]])
    embedder.transform([Chem.MolFromSmiles(s) for s in smiles])
    embedder.transform([Chem.CanonSmiles(s) for s in smiles])
    assert len(runs) == 2
    embedder.set_params(output="projection").transform(smiles)
    embedder.transform(smiles[:2])
    assert len(runs) == 4


def test_a_cleared_cache_is_empty(smiles, profiles, tiny, tmp_path, monkeypatch):
    memory = joblib.Memory(tmp_path, verbose=0)
    embedder = MoCoPEmbedder(**tiny, memory=memory).fit(smiles, profiles)
    monkeypatch.setattr(training, "_validate", lambda *args: pytest.fail("trained again"))
    assert clone(embedder).fit(smiles, profiles).digest_ == embedder.digest_
    memory.clear(warn=False)
    with pytest.raises(pytest.fail.Exception):
        embedder.fit(smiles, profiles)


class AddFluorine:
    """A standardisation with a state."""

    def __init__(self, n):
        self.n = n

    def __call__(self, mol):
        grown = Chem.RWMol(mol)
        for _ in range(self.n):
            grown.AddAtom(Chem.Atom(9))
        return grown.GetMol()


def test_embeddings_are_cached_by_the_state_of_a_standardisation(smiles, profiles, tiny, tmp_path):
    MoCoPEmbedder(**tiny, standardize=AddFluorine(0)).fit(smiles, profiles).save(tmp_path / "model")
    for n in (0, 3):
        again = {"path": tmp_path / "model", "standardize": AddFluorine(n)}
        expected = MoCoPEmbedder.load(**again).transform(smiles)
        cached = MoCoPEmbedder.load(**again, memory=tmp_path / "cache").transform(smiles)
        np.testing.assert_array_equal(cached, expected)
    with pytest.raises(ValueError, match="cannot be pickled"):
        MoCoPEmbedder.load(tmp_path / "model", standardize=lambda mol: mol, memory=tmp_path / "cache").transform(smiles)


def test_a_row_that_cannot_be_pickled_is_no_molecule_with_a_cache_either(fitted, tmp_path):
    embedder = copy.deepcopy(fitted).set_params(memory=tmp_path, invalid="nan")
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        Z = embedder.transform(["CC", lambda: 1])
    assert np.isnan(Z).any(axis=1).tolist() == [False, True]


def test_tensors_are_profiles(smiles, profiles, tiny):
    tensor = torch.from_numpy(np.asarray(profiles, dtype=np.float32))
    assert MoCoPEmbedder(**tiny).fit(smiles, tensor).digest_ == MoCoPEmbedder(**tiny).fit(smiles, profiles).digest_


def test_weights_that_are_no_longer_finite_are_an_error(smiles, profiles, tiny):
    wild = tiny | {"learning_rate": 1e38, "max_epochs": 1, "validation_fraction": 0, "batch_size": len(smiles)}
    with pytest.raises(ValueError, match=r"Weights became infinite or NaN in epoch 1\. Lower learning_rate"):
        MoCoPEmbedder(**wild).fit(smiles, profiles)


def test_a_numpy_number_in_the_transformer_is_a_number(fitted, smiles):
    transformer = clone(fitted.profile_transformer_)
    transformer.set_params(n_components=np.int64(transformer.n_components))
    same = MoCoPEmbedder(pretrained=fitted, profile_transformer=transformer).fit(smiles)
    np.testing.assert_array_equal(same.transform(smiles), fitted.transform(smiles))


def test_fits_are_cached_by_what_decides_them(smiles, profiles, tiny, tmp_path, monkeypatch):
    runs = []
    train = mocop_sklearn.training._pretraining.train
    monkeypatch.setattr(mocop_sklearn.training._pretraining, "train", lambda *a, **k: runs.append(1) or train(*a, **k))
    embedder = MoCoPEmbedder(**tiny, memory=tmp_path)
    first = embedder.fit(smiles, profiles).digest_
    for parameters in ({"verbose": 0}, {"output": "projection"}, {"n_jobs": 1}):
        assert clone(embedder).set_params(**parameters).fit(smiles, profiles).digest_ == first
    assert len(runs) == 1
    for parameters in ({"temperature": 0.2}, {"random_state": 1}, {"profile_transformer": ProfileScaler(clip=1.0)}):
        assert clone(embedder).set_params(**parameters).fit(smiles, profiles).digest_ != first
    clone(embedder).fit(smiles, profiles + 1)
    clone(embedder).fit(smiles[::-1], profiles)
    assert len(runs) == 6


CRASH = """
import os, signal, sys
import numpy as np
from mocop_sklearn import MoCoPEmbedder

replace, written = os.replace, []

def replace_until_killed(source, target):
    written.append(target)
    if len(written) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = replace_until_killed
data = np.load(sys.argv[1])
parameters = {parameters!r}
MoCoPEmbedder(**parameters, checkpoint_dir=sys.argv[2]).fit(data["smiles"], data["profiles"])
"""


@pytest.fixture(scope="module")
def killed(smiles, profiles, tiny, tmp_path_factory):
    """Parameters of a run, and the folder that it left when it was killed in epoch 4, writing its state."""
    folder = tmp_path_factory.mktemp("killed")
    parameters = tiny | {"max_epochs": 6, "learning_rate": 1e-2, "temperature": 0.2}
    np.savez(folder / "data.npz", smiles=np.array(smiles), profiles=profiles)
    command = [sys.executable, "-c", CRASH.format(parameters=parameters), folder / "data.npz", folder / "checkpoints"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    return parameters, folder / "checkpoints"


@pytest.fixture
def checkpoints(killed, tmp_path):
    """A copy of the folder of the killed run."""
    return shutil.copytree(killed[1], tmp_path / "checkpoints")


def epochs_trained(monkeypatch):
    """The list that gets the number of each epoch that is trained from now on."""
    epochs = []
    finish = TrainingState.finish_epoch
    monkeypatch.setattr(
        TrainingState, "finish_epoch", lambda s, m, o, row: epochs.append(row["epoch"]) or finish(s, m, o, row)
    )
    return epochs


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_resumes_to_the_same_weights(killed, checkpoints, smiles, profiles, monkeypatch):
    parameters, _ = killed
    whole = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    epochs = epochs_trained(monkeypatch)
    resumed = MoCoPEmbedder(**parameters, checkpoint_dir=checkpoints, resume=True).fit(smiles, profiles)
    assert epochs == [4, 5, 6]
    assert resumed.digest_ == whole.digest_
    assert resumed.model_.weights.keys() == whole.model_.weights.keys()
    for name, weights in whole.model_.weights.items():
        np.testing.assert_array_equal(resumed.model_.weights[name], weights)
    assert resumed.n_iter_ == 6
    assert resumed.best_score_ == whole.best_score_
    without_time = [
        [{**row, "seconds": 0, "seconds_waiting": 0} for row in embedder.history_] for embedder in (resumed, whole)
    ]
    assert without_time[0] == without_time[1]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_foreign_checkpoints_are_left_alone(killed, checkpoints, smiles, profiles, monkeypatch):
    parameters, _ = killed
    epochs = epochs_trained(monkeypatch)
    for change in ({"learning_rate": 2e-2}, {"random_state": 1}, {"resume": False}):
        MoCoPEmbedder(**{"checkpoint_dir": checkpoints, "resume": True} | parameters | change).fit(smiles, profiles)
        assert epochs == [1, 2, 3, 4, 5, 6]
        epochs.clear()
    MoCoPEmbedder(**parameters, checkpoint_dir=checkpoints, resume=True).fit(smiles, profiles + 1)
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_resuming_without_a_seed_goes_on_with_the_old_one(smiles, profiles, tiny, tmp_path, monkeypatch):
    split = mocop_sklearn.training._pretraining.split_molecules
    held_out = []
    monkeypatch.setattr(
        mocop_sklearn.training._pretraining,
        "split_molecules",
        lambda *args: held_out.append(split(*args)[1]) or split(*args),
    )
    embedder = MoCoPEmbedder(**tiny | {"random_state": None}, checkpoint_dir=tmp_path, resume=True)
    first = embedder.fit(smiles, profiles)
    digest = first.digest_
    assert embedder.fit(smiles, profiles).digest_ == digest
    np.testing.assert_array_equal(held_out[0], held_out[1])


def test_an_interrupted_run_resumes(smiles, profiles, tiny, tmp_path, monkeypatch):
    parameters = tiny | {"max_epochs": 5, "patience": 5}
    whole = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    embedder = MoCoPEmbedder(**parameters, checkpoint_dir=tmp_path, resume=True)
    finish = TrainingState.finish_epoch

    def interrupt(state, *args):
        if state.epoch == 2:
            raise KeyboardInterrupt
        finish(state, *args)

    monkeypatch.setattr(TrainingState, "finish_epoch", interrupt)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3 of 5"):
        embedder.fit(smiles, profiles)
    assert embedder.n_iter_ == 2
    monkeypatch.setattr(TrainingState, "finish_epoch", finish)
    assert embedder.fit(smiles, profiles).digest_ == whole.digest_
