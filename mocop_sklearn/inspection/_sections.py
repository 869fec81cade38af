"""Sections of a report on the model, and on how it finds the profiles of molecules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .._base._html import count_of_weights
from ..display._history import TrainingHistoryDisplay
from ..display._retrieval import RetrievalComparisonDisplay, RetrievalDisplay
from ..metrics import retrieval_ranks
from ..model_file._format import recorded
from ..utils._html import Markup, definition_table, element, grid_table
from ..utils._words import in_words, spaced
from ._evidence import (
    CELL_COUNT,
    MODEL,
    NEIGHBORS,
    PROPERTIES,
    RIDGE,
    Way,
    figures_within,
    scores_with_intervals,
)
from ._material import Material
from ._page import Section, note, paragraph, picture

Figures = dict[str, Any]
_MAIN = (MODEL, RIDGE, NEIGHBORS)
_ALONE = (MODEL, RIDGE, PROPERTIES, CELL_COUNT)
_STYLES = {name: number for number, name in enumerate((MODEL, RIDGE, NEIGHBORS, PROPERTIES, CELL_COUNT))}


def model_section(material: Material) -> Section:
    """What the model is, and where it comes from."""
    model, card = material.embedder.model_, material.card
    shape = model.architecture
    has_profiles = shape.has_profile_network
    classes, tasks = (getattr(material.estimator, name, None) for name in ("classes_", "task_names_"))
    rows: dict[str, Any] = {
        "model": material.name,
        "kind": type(material.estimator).__name__,
        "summary": card and card.summary,
        "corpus": card and card.corpus,
        "licence": card.license if card else in_words(model.provenance.get("licence")),
        "targets": None if tasks is None else in_words(tasks),
        "classes": None if classes is None else in_words([str(name) for name in classes]),
        "molecules seen": f"{len(model.molecule_keys):,} with a profile or label, {len(model.structure_keys):,} as "
        "structures only",
        "training": _training(model.n_iter, model.best_score),
        "network": f"{in_words(shape.as_dict()['encoder'])}, {count_of_weights(model.weights):,} parameters",
        "embedding": f"{model.n_networks * shape.embedding_dim:,} columns",
        "profiles": f"{model.n_profile_columns:,} features, {shape.n_profile_features:,} after the transformer"
        if has_profiles
        else "none: the model has no shared space with profiles",
        "digest": element("code", model.digest),
    }
    figures = [] if card is None else [definition_table(card.figures)]
    origin = {spaced(name): in_words(value) for name, value in model.provenance.items()}
    settings = model.parameters or {n: recorded(v) for n, v in material.estimator.get_params(deep=False).items()}
    parameters = {name: in_words(value) or repr(value) for name, value in settings.items() if value is not None}
    details = {
        "Where the profiles of its training come from": definition_table(origin) if origin else None,
        "Parameters of its training": definition_table(parameters) if parameters else None,
        "The whole card": card and element("pre", card.card),
    }
    folded = [element("details", element("summary", name), part) for name, part in details.items() if part]
    return Section("model", "The model", [definition_table(rows), *figures, *folded])


def history_section(material: Material) -> Section:
    """How the training went."""
    history = material.estimator.history_
    if not history:
        return Section("training", "Training", [paragraph("The model was not trained, or its file has no history.")])
    text = "It should fall and level out. A validation loss that rises while the training loss falls tells of "
    shown = picture(
        TrainingHistoryDisplay(history).plot,
        f"Training loss over {len(history)} rows of the history",
        f"The loss of each epoch. {text}overfitting; the best epoch is kept.",
    )
    return Section("training", "Training", [shown])


def retrieval_section(material: Material) -> tuple[Section, Figures]:
    """How molecules that were held out find their profiles, beside simple ways to predict these."""
    figures, ranks = dict(material.retrieval[0]), material.retrieval[1]
    n = len(material.test.molecules)
    parts: list[Markup] = [_who_is_judged(material)]
    if MODEL in ranks:
        parts.append(_curve(material.ways[MODEL], material.test.molecule))
        figures["difference"] = _difference(ranks)
        if material.split is not None and material.split.kind != "seen":
            parts.append(paragraph(_verdict(figures["difference"])))
    else:
        parts.append(note("The model has no profile network, so that only the baselines below can find profiles."))
    main = {name: ranks[name] for name in _MAIN if name in ranks}
    caption = (
        "Retrieval scores of the model and of simple baselines, with intervals of 95 percent. The score is 1 - 2 × the "
        "mean normalised rank, in both directions."
    )
    text = (
        "The kernel ridge predicts profiles from descriptors and counts of substructures; nearest neighbours average "
        "the profiles of the five most similar molecules. Both were fitted here, in seconds, without a network."
    )
    parts += [_comparison(main, caption), _table(figures, main, n), paragraph(text)]
    return Section("retrieval", "Retrieval", parts), figures


def confounder_section(material: Material, within: Iterable[str]) -> tuple[Section, Figures]:
    """How much of the retrieval needs no more than plates, sources, cell counts or the size of a molecule."""
    test = material.test
    ranks = material.retrieval[1]
    alone = {name: ranks[name] for name in _ALONE if name in ranks}
    parts = [
        paragraph("A good score may have dull reasons. This section asks how far each of them goes alone."),
        _comparison(alone, "Retrieval scores beside those of dull reasons, on the same molecules."),
        _about_cell_count(material),
    ]
    judges = {name: way for name, way in material.ways.items() if name in (MODEL, RIDGE)}
    found: Figures = {}
    shown: dict[str, np.ndarray] = {}
    for label in within:
        texts = np.array([_label(value) for value in material.column(label)[test.rows].tolist()])
        found[label], ranks_of_label = figures_within(judges, test.molecule, texts)
        shown |= {f"{name}, within {label}": ranks for name, ranks in ranks_of_label.items()}
    rows = [
        [name, label, f"{row['n_groups']:,}", f"{row['n_queries']:,}", *_interval_cells(row)]
        for label, of_label in found.items()
        for name, row in of_label.items()
    ]
    parts.append(element("h3", "Within plates and sources"))
    if rows:
        caption = (
            "Molecules are compared only with those of the same plate or source. A score that falls much below the "
            "overall one suggests that plates or sources were told apart."
        )
        parts.append(_comparison(shown, caption))
        header = ["way", "within", "groups", "queries", "score", "95 % interval"]
        parts.append(element("div", grid_table(header, rows), class_="scroll"))
    else:
        parts.append(paragraph(
            "No plate, source or batch with two or more of these molecules is known, so this was not looked at. "
            "Metadata_Plate and Metadata_Source of the pairs, or further columns, make it possible."
        ))  # fmt: skip
    return Section("confounders", "Confounders", parts), {"alone": scores_with_intervals(alone), "within": found}


def _training(n_iter: int, best_score: float) -> str:
    best = "" if math.isnan(best_score) else f", best validation score {best_score:.3f}"
    return f"{n_iter:,} epochs{best}" if n_iter else "none"


def _who_is_judged(material: Material) -> Markup:
    assert material.split is not None
    n, m = len(material.test.molecules), len(material.fit.molecules)
    if material.split.kind == "seen":
        return note(
            f"The model has seen all of the {n:,} molecules below in its training. Its score tells how well it "
            f"remembers them, not how it does on new molecules. The baselines learned from {m:,} others of these "
            "pairs, so that the comparison favours the model. Give pairs with molecules that the model has not seen."
        )
    if material.split.kind == "unseen":
        return paragraph(
            f"The model is judged on {n:,} molecules of the pairs whose profiles it has not seen in training. The "
            f"baselines learned from {m:,} molecules of the pairs that it has seen."
        )
    return paragraph(
        f"The model has not seen these pairs. It is judged on {n:,} of their molecules, drawn at random; the baselines "
        f"learned from {m:,} others, so that they know this assay and the model may not."
    )


def _curve(way: Way, molecule: np.ndarray) -> Markup:
    molecules, profiles = way.vectors(molecule)
    directions = {
        "molecule → profile": retrieval_ranks(molecules, profiles),
        "profile → molecule": retrieval_ranks(profiles, molecules),
    }
    return picture(
        RetrievalDisplay(directions, len(molecules)).plot,
        "Share of queries that find their own candidate among the first k",
        "Share of the molecules that find their own profile among the first k, and of the profiles that find their "
        "molecule. The dashed line is chance.",
    )


def _difference(ranks: Mapping[str, np.ndarray]) -> Figures:
    """Score of the model minus that of the kernel ridge, on the same molecules, with its interval."""
    half = (1 - (ranks[RIDGE] - ranks[MODEL]) * 2) / 2  # its score, 1 - 2 × the mean, is the difference
    return scores_with_intervals({"difference": half})["difference"]


def _verdict(difference: Figures) -> str:
    low, high = difference["low"], difference["high"]
    numbers = f"the difference is {difference['score']:+.3f}, from {low:+.3f} to {high:+.3f} with 95 percent confidence"
    if low > 0:
        return f"The model is ahead of the kernel ridge on structures: {numbers}."
    if high < 0:
        return f"The model is behind the kernel ridge on structures, which costs seconds: {numbers}."
    return f"The model and the kernel ridge on structures cannot be told apart here: {numbers}."


def _comparison(ranks: Mapping[str, np.ndarray], caption: str) -> Markup:
    display = RetrievalComparisonDisplay(ranks)
    alt = "; ".join(f"{name} {score:.3f}" for name, score in display.scores_.items())
    height = 1.0 + 0.45 * len(ranks)
    styles = {name: _STYLES[name.partition(", within ")[0]] for name in ranks}
    return picture(partial(display.plot, styles=styles), alt, caption, (7.2, height))


def _table(figures: Figures, shown: Iterable[str], n: int) -> Markup:
    header = ["way", "score", "95 % interval", "normalised rank", "own is first", "own in first 10"]
    rows = [
        [name, *_interval_cells(figures[name]), *_numbers(figures[name], "normalized_rank"),
         *(_percent(figures[name][key]) for key in ("top1", "top10"))]
        for name in shown
    ]  # fmt: skip
    rows.append(["chance", "0.000", "", "0.500", _percent(1 / n), _percent(min(1, 10 / n))])
    return element("div", grid_table(header, rows), class_="scroll")


def _about_cell_count(material: Material) -> Markup:
    properties = (
        f"{PROPERTIES.capitalize()}: a kernel ridge that sees only weight, lipophilicity, polar surface and seven "
        "other counts. "
    )
    if CELL_COUNT in material.ways:
        column = element("code", material.cell_count)
        text = " from the structure, and molecules and profiles are matched by this one number."
        return paragraph(f"{properties}{CELL_COUNT.capitalize()}: a kernel ridge predicts ", column, text)
    return paragraph(f"{properties}No usable column that counts cells was found: name one as cell_count.")


def _interval_cells(row: Figures) -> list[str]:
    return [f"{row['score']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]


def _numbers(row: Figures, *keys: str) -> list[str]:
    return [f"{row[key]:.3f}" for key in keys]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _label(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def headline(material: Material, figures: Figures) -> list[Markup]:
    """The sentences at the top of the page."""
    found = figures.get("retrieval", {})
    if material.pairs is None:
        return [paragraph("No pairs were given, so that retrieval was not measured.")]
    if MODEL not in found:
        return [paragraph("Retrieval of this model was not measured; the section on retrieval says why.")]
    score = found[MODEL]
    text = f"Retrieval: {score['score']:.3f} ({score['low']:.3f} to {score['high']:.3f}; 1 is perfect, 0 is chance). "
    if figures["held_out"] == "seen":
        remembered = "All of these molecules were seen in training: the score says nothing of new ones."
        return [note(element("strong", text), remembered)]
    return [paragraph(element("strong", text), _verdict(found["difference"]))]
