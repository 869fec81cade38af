"""Displays draw the figures that the metrics give."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from mocop_sklearn import MoCoPClassifier, PairedProfiles
from mocop_sklearn.baselines import ProfileNeighbors
from mocop_sklearn.display import (
    DomainDisplay,
    EmbeddingMapDisplay,
    HitSheetDisplay,
    PlateDisplay,
    RetrievalComparisonDisplay,
    RetrievalDisplay,
    TrainingHistoryDisplay,
    WellFatesDisplay,
)

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def drawn(display):
    """Texts of a figure, once it is drawn."""
    display.figure_.canvas.draw()
    return [text.get_text() for text in display.figure_.findobj(pyplot.Text)]


def test_retrieval_curve_counts_the_queries_found_within_k():
    molecules = np.eye(4)
    profiles = np.eye(4)[[0, 1, 3, 2]]
    display = RetrievalDisplay.from_predictions(molecules, profiles, name="demo")

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


def test_retrieval_of_an_estimator_is_its_score(fitted, smiles, profiles):
    display = RetrievalDisplay.from_estimator(fitted, [*smiles, smiles[0]], np.vstack([profiles, profiles[:1]]))
    normalised = np.mean([np.mean(ranks) for ranks in display.ranks.values()]) / (display.n_candidates - 1)
    assert display.n_candidates == len(smiles)
    assert 1 - 2 * normalised == pytest.approx(fitted.score(smiles, profiles), abs=1e-12)


def test_comparison_has_the_scores_of_the_estimators(fitted, smiles, profiles):
    neighbors = ProfileNeighbors(n_neighbors=2).fit(smiles[::2], profiles[::2])
    models = {"a_model": fitted, "_hidden $x$": neighbors}
    display = RetrievalComparisonDisplay.from_estimator(models, smiles[1::2], profiles[1::2])
    for name, model in models.items():
        score = model.score(smiles[1::2], profiles[1::2])
        low, high = display.intervals_[name]
        assert display.scores_[name] == pytest.approx(score, abs=1e-12)
        assert low <= score <= high
        assert f"{score:.3f}" in drawn(display)


def test_comparison_of_perfect_and_constant_vectors():
    constant = np.ones((5, 3))
    display = RetrievalComparisonDisplay.from_predictions({"same": (np.eye(5),) * 2, "none": (constant, constant)})
    assert display.scores_ == {"same": 1.0, "none": 0.0}
    assert display.intervals_["none"] == (0.0, 0.0)


@pytest.mark.parametrize(("far", "shape"), [("B03", (2, 3)), ("H12", (8, 12)), ("P24", (16, 24)), ("af48", (32, 48))])
def test_plate_has_each_well_in_its_place(far, shape):
    display = PlateDisplay.from_predictions(["A1", "A01", "A2", far], [1.0, 2.0, np.nan, 7.0], title="$broken")
    assert display.matrix_.shape == shape
    assert display.matrix_[0, 0] == 1.5
    assert display.matrix_[-1, -1] == 7.0
    assert np.isfinite(display.matrix_).sum() == 2
    drawn(display)


def test_plate_errors_name_the_row():
    with pytest.raises(ValueError, match="Row 1 has the well '7B'"):
        PlateDisplay(["A01", "7B"], [1, 2])
    with pytest.raises(ValueError, match="'AG01' in row 0 lies beyond"):
        PlateDisplay(["AG01"], [1])
    with pytest.raises(ValueError, match="one value per well"):
        PlateDisplay(["A01"], [1, 2])


def test_plate_of_pairs_shows_the_strength_of_profiles():
    frame = pd.DataFrame({"Metadata_Plate": ["P1", "P1", "P2"], "Metadata_Well": ["A01", "B02", "A01"]})
    pairs = PairedProfiles(["C", "CC", "CCC"], frame.assign(x=[3.0, np.nan, 1.0], y=[4.0, 2.0, 1.0]))
    matrix = PlateDisplay.from_pairs(pairs, "P1").matrix_
    assert matrix[0, 0] == pytest.approx(np.sqrt(12.5))
    assert matrix[1, 1] == 2.0
    assert PlateDisplay.from_pairs(pairs, "P2", [1.0, 2.0, 3.0]).matrix_[0, 0] == 3.0
    with pytest.raises(ValueError, match=r"values has shape \(4,\), but pairs have 3 rows: give one per row"):
        PlateDisplay.from_pairs(pairs, "P2", [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="No well of pairs is on plate 'P3'"):
        PlateDisplay.from_pairs(pairs, "P3")
    with pytest.raises(ValueError, match="do not name plates"):
        PlateDisplay.from_pairs(PairedProfiles(["C"], [[1.0]]), "P1")


def test_what_is_masked_is_not_drawn():
    values = np.ma.masked_array([1.0, 3.0, 5.0], mask=[False, True, False])
    np.testing.assert_array_equal(PlateDisplay(["A01", "A02", "A03"], values).matrix_[0], [1, np.nan, 5])
    assert DomainDisplay(values, 4.0).inside_ == 0.5
    similarity = np.ma.masked_array([[0.9, 0.8]], mask=[[True, False]])
    assert HitSheetDisplay.from_predictions(similarity, ["C", "CC"]).sheets[0].hits == [("CC", 0.8)]


def test_ranks_that_are_missing_are_refused_and_equal_vectors_are_mapped():
    for ranks in ([], [0.5, np.nan]):
        with pytest.raises(ValueError, match="ranks of 'mine' must be finite numbers, of one query or more"):
            RetrievalComparisonDisplay({"mine": ranks})
    display = EmbeddingMapDisplay.from_predictions(np.ones((4, 3)), method="pca")
    np.testing.assert_array_equal(display.coordinates, np.zeros((4, 2)))


def test_fates_leave_out_what_did_not_happen():
    display = WellFatesDisplay({"stored": 1200, "without_structure": 0, "negative_controls": 64}).plot()
    assert [bar.get_width() for bar in display.bars_] == [1200, 64]
    assert {"stored", "negative controls", "1,200"} <= set(drawn(display))
    with pytest.raises(ValueError, match="is unknown, because"):
        WellFatesDisplay.from_pairs(PairedProfiles(["C"], [[1.0]]))


def test_map_is_the_principal_components(fitted, smiles):
    display = EmbeddingMapDisplay.from_estimator(fitted, smiles, method="pca", color=np.arange(len(smiles)))
    z = fitted.transform(smiles)
    expected = np.linalg.svd(z - z.mean(axis=0))[1][:2] ** 2
    np.testing.assert_allclose((display.coordinates**2).sum(axis=0), expected, rtol=1e-3)


def test_map_groups_rare_categories_and_shows_texts_as_they_are():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4))
    vectors[0] = np.nan
    color = [f"${i % 9}_" for i in range(59)] + [""]
    display = EmbeddingMapDisplay.from_predictions(vectors, color=color, color_name="_a $b", method="pca")
    texts = drawn(display)
    assert len(display.coordinates) == 59
    assert r"\$1_ (7)" in texts
    assert any(text.startswith("3 others") for text in texts)
    with pytest.raises(ValueError, match="one value per molecule"):
        EmbeddingMapDisplay(vectors[:, :2], color=[1])
    with pytest.raises(ValueError, match='"auto", "pca" or "umap"'):
        EmbeddingMapDisplay.from_predictions(vectors, method="tsne")


def test_hit_sheets_have_the_nearest_molecules(fitted, smiles, profiles):
    display = HitSheetDisplay.from_estimator(fitted, profiles[:2], smiles, n_hits=3, names=["$p", "q"], own=smiles[:2])
    molecules = clone(fitted).set_params(pretrained=fitted.model_, output="projection").fit(smiles).transform(smiles)
    similarity = fitted.transform_profiles(profiles[:2]) @ molecules.T
    for sheet, row in zip(display.sheets, similarity, strict=True):
        assert [hit for hit, _ in sheet.hits] == [smiles[i] for i in np.argsort(-row)[:3]]
        np.testing.assert_allclose([value for _, value in sheet.hits], np.sort(row)[:-4:-1], rtol=1e-6)
    assert display.ax_.shape == (2, 4)
    assert len(display.ax_[0, 1].images) == 1
    drawn(display)


def test_numbers_in_any_container_have_a_scale_and_missing_texts_are_unknown():
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    numbers = [Decimal("1.5"), None, *map(Decimal, range(4))]
    for color in (numbers, pd.Series([1, pd.NA, 2, 3, 4, 5], dtype="Int64", index=range(6, 0, -1))):
        display = EmbeddingMapDisplay.from_predictions(vectors, color=color, method="pca")
        assert display.ax_.get_legend() is None
        assert len(display.figure_.axes) == 2  # the scale of colours
    for color in ([True, None] * 3, pd.Series(["a", pd.NA] * 3, dtype="string")):
        display = EmbeddingMapDisplay.from_predictions(vectors, color=color, method="pca")
        assert "(unknown) (3)" in drawn(display)


def test_hit_sheets_take_names_by_position_and_know_a_molecule_in_other_words():
    similarity, library = np.array([[0.9, 0.1], [0.2, 0.3]]), ["OCC", "C"]
    names, own = pd.Series(["first", "second"], index=[1, 0]), pd.Series(["CCO", None], index=[8, 9])
    display = HitSheetDisplay.from_predictions(similarity, library, names=names, own=own)
    assert [(sheet.name, sheet.own) for sheet in display.sheets] == [("first", "OCC"), ("second", None)]
    assert "0.900 (its own)" in drawn(display)
    for options, message in (
        ({"names": ["one"]}, "names has 1 values but there are 2 profiles"),
        ({"own": ["C", "C", "C"]}, "own has 3 values"),
        ({"n_hits": -1}, "n_hits=-1 must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            HitSheetDisplay.from_predictions(similarity, library, **options)


def test_domain_counts_the_molecules_inside():
    display = DomainDisplay.from_predictions([0.1, 0.5, np.nan, 0.9], 0.5, reference=[0.6, 0.7])
    assert display.inside_ == 2 / 3
    assert "threshold 0.5: 67% of these molecules lie inside" in drawn(display)


def test_displays_draw_into_given_axes():
    _, axes = pyplot.subplots(1, 4)
    assert PlateDisplay(["A01"], [1.0]).plot(ax=axes[0]).ax_ is axes[0]
    assert WellFatesDisplay({"stored": 1}).plot(ax=axes[1]).figure_ is axes[1].figure
    assert DomainDisplay([0.5], 0.4).plot(ax=axes[2]).ax_ is axes[2]
    assert RetrievalComparisonDisplay({"a": [0.2, 0.3]}).plot(ax=axes[3]).ax_ is axes[3]
