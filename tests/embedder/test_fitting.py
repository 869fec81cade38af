"""What a fit learns, keeps and records."""

import inspect

import numpy as np
import pytest
from rdkit import Chem
from sklearn.base import clone
from sklearn.preprocessing import RobustScaler

import mocop_sklearn
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training import _contrastive as training


@pytest.fixture(scope="module")
def validated(smiles, profiles, tiny):
    """An embedder that was trained for some epochs, with a fifth of its molecules held out."""
    parameters = tiny | {"max_epochs": 8, "learning_rate": 3e-2, "validation_fraction": 0.2, "local_scaling": False}
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
    split = mocop_sklearn.training._profiled.split_molecules
    with monkeypatch.context() as patched:
        patched.setattr(
            mocop_sklearn.training._profiled,
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


def test_the_best_epoch_may_be_that_of_the_best_top1(smiles, profiles, tiny, monkeypatch):
    parameters = tiny | {"max_epochs": 6, "learning_rate": 1e-2, "selection": "top1", "validation_fraction": 0.5}
    embedder = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    # fewer than two pools of 256: all validation molecules are one
    assert all(row["validation_criterion"] == row["validation_top1"] for row in embedder.history_)
    best = max(embedder.history_, key=lambda row: (row["validation_top1"], -row["validation_loss"], -row["epoch"]))
    assert embedder.best_score_ == best["validation_score"]
    molecules, cells = np.eye(6), np.eye(6)[[1, 0, 2, 3, 4, 5]]
    monkeypatch.setattr(training, "_POOL", 3)
    # pools of rows 0, 2, 4 and 1, 3, 5: the swapped rows 0 and 1 never meet
    assert training._top1_in_pools(molecules, cells) == pytest.approx(2 / 3, abs=1e-9)


def test_without_validation_the_last_epoch_is_kept(smiles, profiles, tiny):
    for parameters, n in (({"validation_fraction": 0.0}, 40), ({}, 5)):
        embedder = MoCoPEmbedder(**tiny | parameters).fit(smiles[:n], profiles[:n])
        assert np.isnan(embedder.best_score_)
        assert "validation_score" not in embedder.history_[0]
        assert embedder.n_iter_ == 2


def test_patience_stops_early(smiles, profiles, tiny):
    parameters = tiny | {"max_epochs": 50, "learning_rate": 1e-12, "weight_decay": 0.0, "encoder": "ggnn"}
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
    pretrained pairs unlabeled structure_targets structure_weight profile_weight side_features local_scaling
    profile_transformer standardize invalid max_atoms featurizer encoder n_layers hidden_dim
    embedding_dim projection_dim profile_encoder profile_dims dropout train_heads loss temperature replicates
    max_epochs batch_size learning_rate weight_decay warmup_fraction validation_fraction selection patience n_estimators
    output device precision n_jobs memory checkpoint_dir resume random_state verbose callbacks
    """.split()
    parameters = inspect.signature(MoCoPEmbedder).parameters
    assert list(parameters) == names
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_numpy_scalars_are_numbers(smiles, profiles, tiny, fitted, tmp_path):
    # as RandomizedSearchCV draws them
    drawn = {name: np.int64(tiny[name]) for name in ("n_layers", "hidden_dim", "embedding_dim", "projection_dim")}
    drawn |= {"profile_dims": (np.int64(16), np.int32(8)), "learning_rate": np.float64(1e-3), "max_epochs": np.int64(2)}
    embedder = MoCoPEmbedder(**tiny | drawn | {"batch_size": np.int32(16), "random_state": np.int64(0)})
    embedder.set_params(train_heads=np.True_)
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


def test_the_encoder_of_a_model_of_other_profiles_is_a_start(fitted, smiles, profiles, tiny, tmp_path):
    other = np.hstack([profiles, profiles])
    with pytest.raises(ValueError, match=r"48 features, but .* pass pretrained=embedder\.model_\.without_profiles\(\)"):
        MoCoPEmbedder(**tiny, pretrained=fitted.model_).fit(smiles, other)
    start = fitted.model_.without_profiles()
    start.save(tmp_path / "start.safetensors")
    alone = MoCoPEmbedder(pretrained=tmp_path / "start.safetensors").fit(smiles)
    np.testing.assert_array_equal(alone.transform(smiles), fitted.transform(smiles))
    assert alone.molecule_keys_.tolist() == fitted.molecule_keys_.tolist()
    with pytest.raises(ValueError, match="no profile network"):
        alone.set_params(output="projection").transform(smiles)
    untouched = MoCoPEmbedder(**tiny | {"max_epochs": 0}, pretrained=start, profile_transformer=ProfileScaler())
    untouched.fit(smiles, other)
    np.testing.assert_array_equal(untouched.transform(smiles), fitted.transform(smiles))
    assert untouched.transform_profiles(other).shape == (len(smiles), untouched.model_.n_shared)
