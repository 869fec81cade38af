"""A page of HTML that needs nothing beside itself: no script, no network, and no file."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..display._axes import pyplot
from ..display._hits import Sheet, structure_svg
from ..utils._html import Markup, element, join

# No script runs and nothing is fetched, whatever a file put into the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d0d7de; --note: #fff4d6;
  --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #12161b; --soft: #9aa5b1; --line: #38414b;
  --note: #3d3212; --link: #79b8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p, ul { margin: 0.5rem 0; max-width: 48rem; }
a { color: var(--link); }
nav { margin: 1rem 0; } nav a { margin-right: 1rem; white-space: nowrap; }
.soft { color: var(--soft); font-size: 0.9rem; }
.note { background: var(--note); border-radius: 6px; padding: 0.5rem 0.75rem; max-width: 48rem; }
table { border-collapse: collapse; margin: 0.75rem 0; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 1rem 0.3rem 0; border-bottom: 1px solid var(--line); }
th { overflow-wrap: normal; } th[scope=row] { white-space: nowrap; font-weight: 600; }
.scroll { overflow-x: auto; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: 0.9rem; max-width: 48rem; }
figure > img, td img { background: #ffffff; border-radius: 6px; border: 1px solid var(--line); max-width: 100%;
  height: auto; display: block; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
.figures figure { margin: 0; }
.hits { display: flex; gap: 0.75rem; overflow-x: auto; padding: 0.5rem 0 1rem; }
.structure { flex: 0 0 8.6rem; font-size: 0.8rem; margin: 0; } .structure.own img { border: 2px solid #0072b2; }
.structure code { display: block; color: var(--soft); font-size: 0.7rem; max-height: 4.5em; overflow: auto; }
details { margin: 0.75rem 0; } summary { cursor: pointer; }
pre { white-space: pre-wrap; font-size: 0.8rem; border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem; }
@media print { nav { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    key : str
        Its anchor.
    title : str
    parts : sequence of Markup
    """

    key: str
    title: str
    parts: Sequence[Markup]


def page(title: str, subtitle: str, summary: Sequence[Markup], sections: Sequence[Section]) -> str:
    """Return the whole page."""
    links = [element("a", section.title, href=f"#{section.key}") for section in sections]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    body = element(
        "body",
        element("header", element("h1", title), element("p", subtitle, class_="soft"), *summary),
        element("nav", join(links, " "), aria_label="Sections"),
        element("main", *[_section(section) for section in sections]),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    return element("section", element("h2", section.title), *section.parts, id=section.key)


def paragraph(*parts: Any) -> Markup:
    """Return a paragraph of texts and markup."""
    return element("p", *parts)


def note(*parts: Any) -> Markup:
    """Return a paragraph that a reader must not miss."""
    return element("p", *parts, class_="note")


def picture(draw: Callable[..., Any], alt: str, caption: str = "", size: tuple[float, float] = (7.2, 3.6)) -> Markup:
    """Draw into axes, and return the figure as an image inside of the page.

    Parameters
    ----------
    draw : callable
        Takes matplotlib's axes as ``ax``: the ``plot`` of a display.
    alt : str
        What the picture shows, for those who do not see it.
    caption : str
    size : tuple of float
        Width and height in inches.
    """
    context = pyplot().rc_context
    from matplotlib.figure import Figure

    file = io.BytesIO()
    style = {"svg.hashsalt": "mocop", "svg.fonttype": "path", "font.size": 9}
    with context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a text in a script that the font lacks
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        draw(ax=figure.subplots())
        figure.savefig(file, format="svg", metadata={"Date": None})
    shown = element("img", src=_data(file.getvalue()), alt=alt, width=f"{96 * size[0]:.0f}")
    return element("figure", shown, element("figcaption", caption) if caption else "")


def hit_sheet(sheet: Sheet) -> Markup:
    """Return the drawings of one hit sheet, beside each other."""
    own = [] if sheet.own is None else [_structure(sheet.own, "its own molecule", "structure own")]
    hits = []
    for rank, (smiles, similarity) in enumerate(sheet.hits, 1):
        is_own = smiles == sheet.own
        label = f"{rank}. {similarity:.3f}" + (", its own" if is_own else "")
        hits.append(_structure(smiles, label, "structure own" if is_own else "structure"))
    return join([element("h3", sheet.name), element("div", *own, *hits, class_="hits")])


def structure(smiles: str) -> Markup:
    """Return the drawing of a molecule."""
    svg = structure_svg(smiles, 220, 165)
    return element("img", src=_data(svg.encode()), alt=smiles, width="138") if svg else element("span", "not drawn")


def _structure(smiles: str, label: str, kind: str) -> Markup:
    return element("figure", structure(smiles), label, element("code", smiles), class_=kind)


def _data(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
