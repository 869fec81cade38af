"""Sections of a report that show plates, maps and molecules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..display._domain import DomainDisplay
from ..display._hits import sheets_of
from ..display._map import EmbeddingMapDisplay, reduced
from ..display._plates import PlateDisplay, WellFatesDisplay
from ..pairs._html import overview
from ..utils._html import Markup, definition_table, element, grid_table
from ._domain import ApplicabilityDomain
from ._evidence import MODEL
from ._holdout import read_part
from ._material import STRENGTH, Material
from ._page import Section, hit_sheet, note, paragraph, picture, structure

Figures = dict[str, Any]
_PLATES_SHOWN = 6
_PLATES_AVERAGED = 24
_SHEETS = (("best", 0.0), ("better than three quarters", 0.25), ("median", 0.5), ("worst", 1.0))
_REFERENCE = 1000  # training molecules in the picture of a domain
_FAR = 5  # molecules listed


def corpus_section(material: Material) -> tuple[Section, Figures]:
    """What the pairs hold, what became of the wells, and how plates look."""
    pairs = material.pairs
    assert pairs is not None
    fates = pairs.report_.get("fates", {})
    corpus = material.corpus
    rows = overview(pairs) | {
        "not molecules": f"{corpus.n_invalid:,} rows" if corpus.n_invalid else "",
        "seen by the model": f"{int(corpus.seen.sum()):,} of {len(corpus.smiles):,} distinct molecules",
    }
    parts = [definition_table(rows)]
    if fates:
        alt = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in fates.items())
        size = (7.2, 1.0 + 0.3 * sum(map(bool, fates.values())))
        parts.append(picture(WellFatesDisplay(fates).plot, alt, "The fate of every well.", size))
    else:
        parts.append(paragraph("The pairs were not built by mocop build, so that the fate of other wells is unknown."))
    plates, figures = _plates(material)
    return Section("wells", "Wells and plates", [*parts, *plates]), figures | {"fates": fates}


def _plates(material: Material) -> tuple[list[Markup], Figures]:
    pairs = material.pairs
    assert pairs is not None
    if pairs.plates is None or pairs.wells is None or not ((pairs.plates != "") & (pairs.wells != "")).any():
        return [paragraph("Plates and wells are not named in these pairs, so that no plate can be drawn.")], {}
    placed = (pairs.plates != "") & (pairs.wells != "")
    names, counts = np.unique(pairs.plates[placed], return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")[:_PLATES_AVERAGED]]
    rows = np.flatnonzero(placed & np.isin(pairs.plates, largest))
    values, wells, plates = material.strengths(pairs.read(rows)), pairs.wells[rows], pairs.plates[rows]
    try:
        mean = PlateDisplay(wells, values, name=STRENGTH, title=f"mean of {len(largest)} plates")
    except ValueError as error:
        return [note(f"Plates cannot be drawn: {error}")], {}
    shown = [mean] if len(largest) > 1 else []
    for plate in largest[:_PLATES_SHOWN].tolist():
        own = plates == plate
        shown.append(PlateDisplay(wells[own], values[own], name=STRENGTH, title=plate))
    low, high = (float(x) for x in np.nanpercentile(values, [2, 98]))
    pictures = []
    for display in shown:
        draw = partial(display.plot, vmin=low, vmax=high)
        pictures.append(picture(draw, f"Heat map of {display.title}", size=(5.0, 3.4)))
    text = (
        f"The {len(shown) - (len(largest) > 1)} plates with the most wells, of {len(names):,}. The strength is how far "
        "a profile lies from the middle of all. Rows, columns or edges that stand out tell of the place, not of the "
        "molecule. White wells are not among the pairs."
    )
    return [element("h3", "Plates"), paragraph(text), element("div", *pictures, class_="figures")], {
        "n_plates": len(names)
    }


def map_section(material: Material, colors: Sequence[str]) -> Section:
    """The embedding in two dimensions, by each of the columns."""
    smiles, values = _mapped(material, colors)
    if len(smiles) < 3:
        return Section("map", "Map of the embedding", [paragraph("Fewer than three molecules are known: no map.")])
    coordinates, axis_names = reduced(material.embedder.transform(smiles).astype(float))
    pictures = []
    for name, value in values.items():
        places = coordinates if value is None else coordinates[: len(value)]
        display = EmbeddingMapDisplay(places, value, color_name=name, axis_names=axis_names)
        alt = f"Map of {len(places):,} molecules by {name}"
        pictures.append(picture(display.plot, alt, size=(7.2, 4.2)))
    text = (
        f"{len(smiles):,} molecules, by their embedding alone: near ones are similar to the model. Where a colour lies "
        "together, the structure tells of it; where a source lies together, it has other molecules than the rest."
    )
    return Section("map", "Map of the embedding", [paragraph(text), *pictures])


def _mapped(material: Material, colors: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray | None]]:
    """Molecules of a map, those of the pairs first, and for every picture the values of all or of these."""
    asked = material.molecules[: material.max_molecules]
    if material.pairs is None:
        return asked, {"molecules": None}
    corpus = material.corpus
    rng = np.random.default_rng(material.random_state)
    n = min(len(corpus.smiles), material.max_molecules)
    part = read_part(material.pairs, corpus, np.sort(rng.choice(len(corpus.smiles), n, replace=False)))
    values: dict[str, np.ndarray | None] = {}
    for name in colors:
        row_values = material.strengths(part.profiles) if name == STRENGTH else material.column(name)[part.rows]
        values[name] = _of_molecules(row_values, part.molecule)
    if asked:
        values["origin"] = np.repeat(["pairs", "molecules asked about"], [len(part.molecules), len(asked)])
    return corpus.smiles[part.molecules].tolist() + asked, values


def _of_molecules(values: np.ndarray, molecule: np.ndarray) -> np.ndarray:
    """Mean of numbers, or the first text, of the rows of each molecule."""
    if values.dtype.kind not in "iuf":
        _, first = np.unique(molecule, return_index=True)
        return np.array([str(value) for value in values[first].tolist()])
    known = np.isfinite(values)
    n = np.bincount(molecule[known], minlength=molecule.max() + 1)
    total = np.bincount(molecule[known], weights=values[known].astype(float), minlength=len(n))
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def hits_section(material: Material, n_hits: int) -> Section:
    """The molecules nearest to some profiles, drawn."""
    if MODEL not in material.ways:
        return Section("hits", "Hit sheets", [paragraph("The model has no profile network, so it finds no hits.")])
    test = material.test
    own = material.corpus.smiles[test.molecules].tolist()
    molecules, profiles = material.ways[MODEL].vectors(test.molecule)
    similarity = profiles @ molecules.T
    order = np.argsort(np.sum(similarity > np.diag(similarity)[:, None], axis=1), kind="stable")
    chosen = [int(order[round(quantile * (len(order) - 1))]) for _, quantile in _SHEETS]
    ranks = [int(np.sum(similarity[row] > similarity[row, row])) + 1 for row in chosen]
    library, text = own, f"the {len(own):,} molecules that the model is judged on"
    if material.molecules:
        library, text = material.molecules, f"the {len(material.molecules):,} molecules that were asked about"
        similarity = profiles @ material.embedder._embed(library, "projection").T
    names = [
        f"{name.capitalize()} of the profiles: its own molecule has rank {rank:,} of {len(own):,}"
        for (name, _), rank in zip(_SHEETS, ranks, strict=True)
    ]
    sheets = sheets_of(similarity[chosen], library, n_hits, names, [own[row] for row in chosen])
    introduction = (
        f"For four profiles, their own molecule (blue) and the nearest of {text}, with the cosine in the shared space. "
        "The profiles were chosen by the rank of their own molecule, the best and the worst included."
    )
    return Section("hits", "Hit sheets", [paragraph(introduction), *map(hit_sheet, sheets)])


def domain_section(material: Material) -> tuple[Section, Figures]:
    """Which of the molecules that are asked about lie near those of training."""
    title = "Domain"
    training, known, asked, who = _domain_of(material)
    if not asked:
        text = "No molecules were asked about. Give some, to see which of them lie near the molecules of training."
        return Section("domain", title, [paragraph(text)]), {}
    if len(training) < 10:
        text = "The domain needs ten or more molecules of training. A model file holds only their keys: give the pairs."
        return Section("domain", title, [paragraph(text)]), {}
    domain = ApplicabilityDomain(standardize=None, n_jobs=material.n_jobs).fit(training)
    scores = domain.score_samples(asked)
    sample = training[:: max(1, len(training) // _REFERENCE)]
    display = DomainDisplay(scores, domain.offset_, domain.score_samples(sample), f"molecules {known}")
    inside = float(np.mean(domain.predict(asked) == 1))
    draw = picture(
        display.plot,
        f"{inside:.0%} of {len(asked):,} molecules lie inside of the domain",
        f"Mean Tanimoto similarity to the five nearest molecules {known}. None of these is its own neighbour; 5 "
        "percent of them lie outside.",
    )
    far = np.argsort(scores, kind="stable")[:_FAR]
    near, nearest = domain.nearest([asked[i] for i in far.tolist()])
    rows = [
        [structure(asked[i]), element("code", asked[i]), f"{scores[i]:.3f}", structure(other), f"{value:.3f}"]
        for i, value, other in zip(far.tolist(), near.tolist(), nearest.tolist(), strict=True)
    ]
    header = ["molecule", "SMILES", "mean of five", f"nearest {known}", "similarity"]
    parts = [
        paragraph(f"{inside:.0%} of {len(asked):,} {who} lie inside of the domain of {len(training):,} molecules "
                  f"{known}. Predictions for the others should not be trusted as much."),
        draw, element("h3", "The farthest"), element("div", grid_table(header, rows), class_="scroll"),
    ]  # fmt: skip
    n_invalid = material.n_molecules and material.n_molecules - len(asked)
    if material.molecules and n_invalid:
        parts.insert(0, paragraph(f"{n_invalid:,} of {material.n_molecules:,} rows are repeated or not molecules."))
    figures = {"n": len(asked), "inside": inside, "threshold": domain.offset_, "n_training": len(training)}
    return Section("domain", title, parts), figures


def _domain_of(material: Material) -> tuple[list[str], str, list[str], str]:
    """Molecules of a domain and where they are from, those that are compared with them, and who these are."""
    if material.pairs is None:
        return [], "", material.molecules, ""
    corpus, split = material.corpus, material.split
    training, known = corpus.smiles[corpus.seen], "of training"
    if not len(training):
        training, known = corpus.smiles, "of the pairs"
    if material.molecules:
        return training.tolist(), known, material.molecules, "molecules that were asked about"
    if split is None or split.kind != "unseen":
        return [], known, [], ""
    return training.tolist(), known, corpus.smiles[split.test].tolist(), "molecules that the model is judged on"
