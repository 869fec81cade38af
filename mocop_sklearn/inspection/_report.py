"""``report``: one page about a model, to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn import config_context

from .._version import __version__
from ..display._axes import pyplot
from ..pairs._provenance import today
from ..utils._files import atomic_write
from ._evidence import MODEL
from ._holdout import FEWEST
from ._looks import corpus_section, domain_section, hits_section, map_section
from ._material import STRENGTH, Material, gather
from ._page import Section, page, paragraph
from ._sections import confounder_section, headline, history_section, model_section, retrieval_section


@dataclass(frozen=True)
class Report:
    """A page about a model.

    Attributes
    ----------
    html : str
        The whole page. It holds its pictures, runs no script and fetches nothing.
    figures : dict
        The numbers of the page, in plain values: ``held_out`` ("unseen", "split" or "seen"), ``retrieval``,
        ``confounders``, ``wells``, ``domain``.
    held_out : list of str
        Canonical SMILES of the molecules that the model is judged on.
    path : Path or None
        Where the page was written.
    """

    html: str = field(repr=False)
    figures: dict[str, Any]
    held_out: list[str] = field(repr=False)
    path: Path | None = None


def report(
    model: Any,
    pairs: Any = None,
    molecules: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    columns: Any = None,
    color: str | Sequence[str] | None = None,
    within: str | Sequence[str] = (),
    cell_count: str | None = None,
    title: str | None = None,
    n_hits: int = 5,
    max_molecules: int = 2000,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> Report:
    """Write a page about a model: what it is, and how far it can be trusted on pairs and on molecules.

    The page has the card of the model and the history of its training. On molecules that the model has not seen, it
    compares retrieval with chance, a kernel ridge and nearest neighbours, and with confounders: within plates and
    sources, the cell count alone, and physico-chemical properties alone. It shows the fate of all wells, heat maps of
    plates, a map of the embedding, hit sheets with drawn structures, and the domain of the molecules that are asked
    about. Where the model has seen all molecules, the page says so.

    Parameters
    ----------
    model : str, Path or fitted MoCoPEmbedder, MoCoPClassifier or MoCoPRegressor
        A model file, or the name of a model that comes with the package.
    pairs : PairedProfiles, (molecules, profiles), str or Path, default=None
        What the model is judged on. A path names a table of wells, or a folder that ``mocop build`` made.
    molecules : list, array, Series or one column of str or Mol, default=None
        Molecules that are asked about, such as a library. Rows that are not molecules are counted.
    path : str or Path, default=None
        Where the page is written.
    columns : DataFrame or dict of str to array-like, default=None
        Further columns of the rows of pairs, by which the map may be coloured. Source, batch, plate and dose are
        columns already, as far as the pairs name them.
    color : str or sequence of str, default=None
        Columns that colour a map each. None is the source, if there are several, and the strength of the profile.
    within : str or sequence of str, default=()
        Columns within which molecules are compared, besides source, batch and plate.
    cell_count : str, default=None
        The column or the feature that counts cells. None looks for one by its name.
    title : str, default=None
    n_hits : int, default=5
        Molecules in a hit sheet.
    max_molecules : int, default=2000
        Molecules that the model is judged on, and that a map shows; more are drawn at random. The baselines learn from
        at most 4,000.
    random_state : int, default=0
    n_jobs : int, default=None
        Processes that read molecules.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        When matplotlib, of the extra ``plot``, is missing.
    ValueError
        When the profiles lack features of the model, or a column does not exist or does not fit the pairs.

    Examples
    --------
    >>> from mocop_sklearn.inspection import report
    >>> found = report("distilled", molecules=["CCO", "CCN", "c1ccccc1"])
    >>> "<h2>The model</h2>" in found.html
    True
    """
    pyplot()
    if max_molecules < 20 or n_hits < 1:
        raise ValueError(f"max_molecules={max_molecules} must be at least 20, and n_hits={n_hits} at least 1.")
    sections: list[Section] = []
    figures: dict[str, Any] = {}
    with config_context(transform_output="default"):
        material = gather(model, pairs, molecules, columns, cell_count, max_molecules=max_molecules,
                          random_state=random_state, n_jobs=n_jobs)  # fmt: skip
        colors = _colors(material, color)
        groups = _within(material, within)
        sections += [model_section(material), history_section(material)]
        if material.pairs is not None:
            _judge(material, groups, n_hits, sections, figures)
        sections.append(map_section(material, colors))
        domain, figures["domain"] = domain_section(material)
        sections.append(domain)
    subtitle = f"mocop-sklearn {__version__}, {today()}"
    html = page(title or f"Report on {material.name}", subtitle, headline(material, figures), sections)
    if path is not None:
        with atomic_write(path) as temporary:
            temporary.write_text(html, encoding="utf-8")
    judged = material.pairs is not None and material.split is not None
    held_out = material.corpus.smiles[material.test.molecules].tolist() if judged else []
    return Report(html, figures, held_out, None if path is None else Path(path))


def _judge(
    material: Material, within: Sequence[str], n_hits: int, sections: list[Section], figures: dict[str, Any]
) -> None:
    """Add what pairs tell about the model."""
    wells, figures["wells"] = corpus_section(material)
    if material.split is None:
        text = (
            f"The pairs hold {len(material.corpus.smiles):,} distinct molecules, too few to judge a model on: "
            f"{2 * FEWEST} are needed."
        )
        sections += [Section("retrieval", "Retrieval", [paragraph(text)]), wells]
        return
    figures["held_out"] = material.split.kind
    retrieval, figures["retrieval"] = retrieval_section(material)
    confounders, figures["confounders"] = confounder_section(material, within)
    sections += [retrieval, confounders, wells]
    if MODEL in material.ways:
        sections.append(hits_section(material, n_hits))


def _colors(material: Material, color: str | Sequence[str] | None) -> list[str]:
    known = [*material.columns, STRENGTH, *((material.pairs and material.pairs.feature_names) or ())]
    if color is None:
        source = material.columns.get("source")
        return (["source"] if source is not None and len(set(source.tolist())) > 1 else []) + [STRENGTH]
    chosen = [color] if isinstance(color, str) else list(color)
    return _known("color", chosen, known)


def _within(material: Material, within: str | Sequence[str]) -> list[str]:
    chosen = [within] if isinstance(within, str) else list(within)
    usual = [name for name in ("source", "batch", "plate") if name in material.columns]
    return list(dict.fromkeys([*usual, *_known("within", chosen, list(material.columns))]))


def _known(parameter: str, names: list[str], known: Sequence[str]) -> list[str]:
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{parameter}={missing[0]!r} is not a column. There are {list(known)[:12]}.")
    return names
