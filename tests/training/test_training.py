import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn._models import Architecture, TwoTower
from mocop_sklearn.profiles import ProfileScaler
from mocop_sklearn.training._batches import Corpus
from mocop_sklearn.training._contrastive import Recipe, train

CPU = torch.device("cpu")


def recipe(**changes):
    values = {
        "loss": "infonce",
        "temperature": 0.1,
        "learn_temperature": False,
        "replicates": "sample",
        "max_epochs": 4,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "warmup_fraction": 0.1,
        "selection": "score",
        "patience": None,
        "train_heads": True,
        "precision": "fp32",
        "seed": 0,
    }
    return Recipe(**(values | changes))


@pytest.fixture(scope="module")
def architecture(profiles):
    return Architecture(
        featurizer="rich",
        n_layers=2,
        hidden_dim=16,
        embedding_dim=32,
        projection_dim=8,
        profile_dims=(32, 16),
        n_profile_features=profiles.shape[1],
        dropout=0.1,
    )


@pytest.fixture(scope="module")
def scaled(profiles):
    return ProfileScaler().fit_transform(profiles)


@pytest.fixture(scope="module")
def training(smiles, scaled):
    """Thirty molecules with three noisy replicates each."""
    rng = np.random.default_rng(0)
    replicates = scaled[:30].repeat(3, axis=0) + 0.2 * rng.normal(size=(90, scaled.shape[1])).astype(np.float32)
    return Corpus.from_rows(
        featurize(smiles[:30], "rich").graphs, torch.from_numpy(replicates), np.arange(30).repeat(3)
    )


@pytest.fixture(scope="module")
def validation(smiles, scaled):
    return Corpus.from_rows(
        featurize(smiles[30:], "rich").graphs, torch.from_numpy(scaled[30:]), np.arange(len(smiles) - 30)
    )


def run(architecture, training, validation=None, **changes):
    arguments = {name: changes.pop(name) for name in ("save", "resume_from", "initial_weights") if name in changes}
    return train(architecture, recipe(**changes), training, validation, device=CPU, **arguments)


def initial_weights(architecture, training, **changes):
    """The weights before the first step, as training leaves them when it takes steps of no size."""
    return run(architecture, training, max_epochs=1, learning_rate=1e-30, weight_decay=0.0, **changes).weights


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_times(history):
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in history]


@pytest.mark.parametrize("replicates", ["sample", "mean"])
def test_the_loss_falls_and_retrieval_rises(architecture, training, replicates):
    history = run(architecture, training, training, max_epochs=40, replicates=replicates).history
    assert history[0]["loss"] == pytest.approx(math.log(8), abs=0.8)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["validation_loss"] < 0.6 * history[0]["validation_loss"]
    assert history[-1]["validation_score"] > 0.7 > history[0]["validation_score"]
    assert history[-1]["validation_top1"] > 4 / 30  # chance is 1 / 30
    assert history[-1]["validation_top10"] > history[0]["validation_top10"]


def test_what_was_learned_carries_over_to_other_molecules(architecture, training, validation):
    history = run(architecture, training, validation, max_epochs=30).history
    assert max(row["validation_score"] for row in history) > 0.3


def test_history(architecture, training, validation):
    state = run(architecture, training, validation, max_epochs=3)
    assert [row["epoch"] for row in state.history] == [1, 2, 3]
    assert state.epoch == 3
    for row in state.history:
        assert list(row) == [
            "epoch",
            "loss",
            "learning_rate",
            "temperature",
            "validation_loss",
            "validation_score",
            "validation_top1",
            "validation_top10",
            "seconds",
            "seconds_waiting",
        ]
        assert all(math.isfinite(value) for value in row.values())
    assert not any("validation_score" in row for row in run(architecture, training, max_epochs=2).history)


def test_schedule(architecture, training):
    """A linear warm-up over a tenth of all steps, then a cosine to zero; here an epoch is one step."""
    history = run(architecture, training, batch_size=30, max_epochs=100, learning_rate=0.01).history
    rate = [row["learning_rate"] / 0.01 for row in history]
    np.testing.assert_allclose(rate[:10], np.arange(1, 11) / 11)
    assert rate[10] == 1
    assert rate[55] == pytest.approx(0.5)
    np.testing.assert_allclose(rate[10:], (1 + np.cos(np.pi * np.arange(90) / 90)) / 2)
    assert 0 < rate[99] < 1e-3


def test_schedule_without_warm_up(architecture, training):
    history = run(architecture, training, batch_size=30, max_epochs=4, warmup_fraction=0.0, learning_rate=1.0).history
    np.testing.assert_allclose(
        [row["learning_rate"] for row in history], [1, (1 + 0.5**0.5) / 2, 0.5, 0.5 - 0.125**0.5]
    )


def test_the_schedule_counts_steps_and_not_epochs(architecture, training):
    """Three steps an epoch: the last of epoch k is step 3 k - 1 of 12."""
    history = run(architecture, training, max_epochs=4, warmup_fraction=0.0, learning_rate=1e-3).history
    expected = 1e-3 * (1 + np.cos(np.pi * np.array([2, 5, 8, 11]) / 12)) / 2
    np.testing.assert_allclose([row["learning_rate"] for row in history], expected)


def test_the_best_weights_are_those_of_the_best_epoch(architecture, training):
    """The validation profiles are the opposite of what training shows, so that learning lowers the score."""
    opposite = replace(training, profiles=-training.profiles)
    states = []
    final = run(architecture, training, opposite, max_epochs=10, save=lambda state: states.append(keep(state)))
    scores = [row["validation_score"] for row in final.history]
    best = int(np.argmax(scores))
    assert scores[-1] < scores[best] - 0.05
    assert final.best_epoch == best + 1
    assert final.best_score == max(scores)
    assert same(final.best_weights, states[best].weights)
    assert not same(final.best_weights, final.weights)


def test_without_validation_the_last_weights_are_kept(architecture, training):
    state = run(architecture, training)
    assert state.best_epoch == 4
    assert same(state.best_weights, state.weights)


def keep(state):
    """A copy of a state, as a file would be."""
    return copy.deepcopy(state)


@pytest.mark.parametrize("stop", [1, 3])
def test_resuming_is_bit_equal(architecture, training, validation, stop):
    changes = {"max_epochs": 5, "learn_temperature": True}
    states = []
    whole = run(architecture, training, validation, **changes, save=lambda s: states.append(keep(s)))
    resumed = run(architecture, training, validation, **changes, resume_from=states[stop - 1])
    assert same(resumed.weights, whole.weights)
    assert same(resumed.best_weights, whole.best_weights)
    assert without_times(resumed.history) == without_times(whole.history)
    assert (resumed.best_epoch, resumed.best_score, resumed.epoch) == (whole.best_epoch, whole.best_score, 5)
    for i, moments in whole.optimizer.items():
        assert same(resumed.optimizer[i], moments)


def test_resuming_a_finished_run_changes_nothing(architecture, training):
    state = run(architecture, training)
    weights = keep(state).weights
    assert same(run(architecture, training, resume_from=state).weights, weights)
    assert len(state.history) == 4


def test_the_same_seed_gives_the_same_weights(architecture, training, validation):
    one = run(architecture, training, validation, max_epochs=2)
    torch.manual_seed(99)
    np.random.seed(99)
    assert same(one.weights, run(architecture, training, validation, max_epochs=2).weights)
    other = run(architecture, training, validation, max_epochs=2, seed=1)
    assert not any(torch.equal(one.weights[name], other.weights[name]) for name in one.weights if name != "log_scale")


def test_random_states_of_the_process_stay_as_they_were(architecture, training):
    before = torch.random.get_rng_state(), np.random.get_state()
    run(architecture, training, max_epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1][1])


def test_training_leaves_the_data_alone(architecture, training, validation):
    before = copy.deepcopy((training.profiles, training.graphs.atoms, validation.profiles))
    run(architecture, training, validation, max_epochs=1, replicates="mean")
    assert all(map(torch.equal, before, (training.profiles, training.graphs.atoms, validation.profiles)))


def test_frozen_heads_keep_their_initial_weights(architecture, training, validation):
    start = initial_weights(architecture, training)
    trained = run(architecture, training, validation, train_heads=False, weight_decay=0.1).weights
    for name, w in trained.items():
        frozen = name.startswith(("molecule_head", "profile_head", "log_scale"))
        assert torch.equal(w, start[name]) == frozen, name


def test_all_weights_but_the_scale_are_trained(architecture, training):
    start = initial_weights(architecture, training)
    trained = run(architecture, training, max_epochs=1).weights
    assert [name for name, w in trained.items() if torch.equal(w, start[name])] == ["log_scale"]


def test_the_temperature_is_learned_only_when_asked_for(architecture, training):
    fixed = run(architecture, training, temperature=0.07)
    assert [row["temperature"] for row in fixed.history] == pytest.approx([0.07] * 4)
    assert torch.equal(fixed.weights["log_scale"], TwoTower(architecture, 0.07).log_scale.data)
    learned = run(architecture, training, temperature=0.07, learn_temperature=True)
    temperatures = [row["temperature"] for row in learned.history]
    assert len(set(temperatures)) == 4
    assert math.exp(-learned.weights["log_scale"].item()) == pytest.approx(temperatures[-1], rel=1e-5)


def test_weight_decay_spares_the_scale(architecture, training):
    """In its first step Adam moves each weight by the learning rate, so only the decay can make a difference."""
    changes = {
        "max_epochs": 1,
        "batch_size": 30,
        "learn_temperature": True,
        "learning_rate": 0.01,
        "warmup_fraction": 0,
    }
    without = run(architecture, training, **changes, weight_decay=0.0).weights
    decayed = run(architecture, training, **changes, weight_decay=0.5).weights
    start = initial_weights(architecture, training)
    for name, w in without.items():
        expected = w if name == "log_scale" else w - 0.01 * 0.5 * start[name]
        torch.testing.assert_close(decayed[name], expected, rtol=0, atol=1e-6)


def test_patience(architecture, training, validation):
    """With steps of no size the first epoch stays the best."""
    state = run(architecture, training, validation, learning_rate=1e-30, weight_decay=0.0, max_epochs=50, patience=3)
    assert state.best_epoch == 1
    assert state.epoch == 4
    assert len({row["validation_score"] for row in state.history}) == 1


def test_patience_waits_while_the_score_improves(architecture, training):
    state = run(architecture, training, training, max_epochs=30, patience=5)
    assert 6 < state.epoch <= 30
    assert state.epoch == 30 or state.epoch == state.best_epoch + 5


def test_patience_without_validation_has_no_effect(architecture, training):
    assert run(architecture, training, max_epochs=6, patience=1).epoch == 6


def test_one_replicate_is_its_own_mean(architecture, training):
    single = training.averaged()
    sample, mean = (run(architecture, single, max_epochs=2, replicates=r) for r in ("sample", "mean"))
    assert same(sample.weights, mean.weights)
    assert without_times(sample.history) == without_times(mean.history)


def test_mean_replicates_are_averaged_and_sampled_ones_are_not(architecture, training):
    mean = run(architecture, training, max_epochs=2, replicates="mean").weights
    assert same(mean, run(architecture, training.averaged(), max_epochs=2).weights)
    assert not same(mean, run(architecture, training, max_epochs=2).weights)


def test_validation_does_not_change_training(architecture, training, validation):
    assert same(run(architecture, training).weights, run(architecture, training, validation).weights)


@pytest.fixture
def batches(monkeypatch):
    """The molecules of each batch that is drawn."""
    drawn = []
    draw = Corpus.draw

    def record(self, molecules, *args):
        drawn.append(molecules.tolist())
        return draw(self, molecules, *args)

    monkeypatch.setattr(Corpus, "draw", record)
    return drawn


def test_the_last_partial_batch_is_dropped(architecture, training, batches):
    run(architecture, training, batch_size=8, max_epochs=3)
    assert [len(batch) for batch in batches] == [8] * 9
    for epoch in range(3):
        molecules = [i for batch in batches[3 * epoch : 3 * epoch + 3] for i in batch]
        assert len(set(molecules)) == 24
        assert set(molecules) < set(range(30))
    assert batches[0] != batches[3]


def test_fewer_molecules_than_a_batch_make_one_batch(architecture, training, batches):
    run(architecture, training, batch_size=64, max_epochs=2)
    assert [sorted(batch) for batch in batches] == [list(range(30))] * 2


def test_starting_from_given_weights(architecture, training):
    start = run(architecture, training, seed=5).weights
    still = initial_weights(architecture, training, initial_weights=start)
    assert same(still, start)


def test_validation_loss_is_that_of_training(architecture, training):
    """Measured on the training molecules without dropout and with steps of no size, both losses agree."""
    quiet = Architecture.from_dict(architecture.as_dict() | {"dropout": 0.0})
    single = training.averaged()
    changes = {"learning_rate": 1e-30, "weight_decay": 0.0, "max_epochs": 1}
    whole = run(quiet, single, single, batch_size=30, **changes).history[0]
    assert whole["validation_loss"] == pytest.approx(whole["loss"], rel=1e-5)
    in_batches = run(quiet, single, single, batch_size=10, **changes).history[0]
    assert in_batches["validation_loss"] == pytest.approx(in_batches["loss"], abs=0.3)
    assert in_batches["validation_loss"] < whole["validation_loss"] - 0.5  # about log 10 against log 30


def test_save_is_called_after_every_epoch(architecture, training):
    epochs = []
    run(architecture, training, save=lambda state: epochs.append((state.epoch, len(state.history))))
    assert epochs == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_an_interrupt_keeps_what_was_learned(architecture, training):
    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match=r"interrupted in epoch 3 of 4; the weights of epoch 2 are kept"):
        state = run(architecture, training, save=interrupt)
    assert state.epoch == 2
    assert same(state.best_weights, state.weights)


def test_a_loss_that_is_no_number_is_an_error(architecture, training):
    with pytest.raises(ValueError, match=r"loss became nan in epoch \d+.*Lower learning_rate"):
        run(architecture, training, learning_rate=1e30, warmup_fraction=0.0)


def test_a_progress_bar_only_when_asked_for(architecture, training, capsys):
    run(architecture, training, max_epochs=1)
    assert capsys.readouterr().err == ""
    train(architecture, recipe(max_epochs=2), training, None, device=CPU, verbose=True)
    assert "MoCoP: 100%" in capsys.readouterr().err


def test_bfloat16_learns_too(architecture, training):
    history = run(architecture, training, max_epochs=15, precision="bf16").history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
