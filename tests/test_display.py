"""Displays draw the figures that the metrics give."""

import numpy as np
import pytest

from mocop_sklearn import MoCoPClassifier
from mocop_sklearn.display import RetrievalDisplay, TrainingHistoryDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def test_retrieval_curve_counts_the_queries_found_within_k():
    molecules = np.eye(4)
    profiles = np.eye(4)[[0, 1, 3, 2]]
    display = RetrievalDisplay.from_embeddings(molecules, profiles, name="demo")

    # two queries rank 0; for the others one candidate lies above and two tie: rank 2
    forward, backward, chance = display.lines_
    np.testing.assert_allclose(forward.get_ydata(), [0.5, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(backward.get_ydata(), forward.get_ydata())
    np.testing.assert_allclose(chance.get_ydata(), [0.25, 0.5, 0.75, 1.0])
    assert "demo: molecule → profile (normalised rank 0.333)" in forward.get_label()


def test_history_with_and_without_validation():
    rows = [{"epoch": 1, "loss": 5.0}, {"epoch": 2, "loss": 4.0}]
    assert [line.get_label() for line in TrainingHistoryDisplay(rows).plot().lines_] == ["training loss"]

    rows = [row | {"validation_loss": 4.5, "validation_score": 0.1 * row["epoch"]} for row in rows]
    _, axes = pyplot.subplots()
    display = TrainingHistoryDisplay(rows).plot(ax=axes)
    assert display.ax_ is axes
    np.testing.assert_allclose(display.lines_[2].get_ydata(), [0.1, 0.2])


def test_history_of_an_ensemble_has_a_line_for_each_network(smiles, labels):
    recipe = {"n_estimators": 2, "max_epochs": 3, "n_layers": 1, "validation_fraction": 0.25, "random_state": 0}
    fitted = MoCoPClassifier(**recipe).fit(smiles, labels)
    display = TrainingHistoryDisplay.from_estimator(fitted)
    assert display.ax_.get_ylabel() == "loss"
    losses = [line.get_ydata().tolist() for line in display.lines_ if line.get_label() == "training loss"]
    assert losses == [[row["loss"] for row in fitted.history_ if row["estimator"] == i] for i in (0, 1)]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "training loss", "validation loss", "validation score (right)",
    ]  # fmt: skip
