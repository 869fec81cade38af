"""Pieces of HTML in which every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SUMMARY_STYLE = (
    "border-collapse:collapse;font-family:system-ui,sans-serif;font-size:0.9em;margin:0.5em 0;"
    "border-top:1px solid #8888;border-bottom:1px solid #8888"
)


class Markup(str):
    """HTML that is safe as it is: its parts were escaped when it was made."""

    __slots__ = ()


def escaped(value: Any) -> Markup:
    """Return a value as HTML. Markup stays as it is; of anything else, the text is shown."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element.

    Parameters
    ----------
    tag : str
    *children : Markup, or values whose text is escaped
    **attributes
        Names with an underscore at their end lose it (``class_``). None leaves an attribute out.
    """
    words = [tag] + [
        f'{name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    ]
    start = f"<{' '.join(words)}>"
    if tag in ("img", "meta", "br"):
        return Markup(start)
    return Markup(f"{start}{''.join(map(escaped, children))}</{tag}>")


def join(parts: Iterable[Any], separator: str = "") -> Markup:
    """Join parts, escaped where they are not markup."""
    return Markup(separator.join(map(escaped, parts)))


def definition_table(rows: Mapping[str, Any], **attributes: Any) -> Markup:
    """Return a table of names and values; entries without a value are left out."""
    shown = [(name, value) for name, value in rows.items() if value is not None and value != ""]
    body = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in shown]
    return element("table", *body, **attributes)


def grid_table(header: Sequence[Any], rows: Iterable[Sequence[Any]], **attributes: Any) -> Markup:
    """Return a table with a row of column names."""
    head = element("thead", element("tr", *[element("th", name, scope="col") for name in header]))
    body = element("tbody", *[element("tr", *[element("td", value) for value in row]) for row in rows])
    return element("table", head, body, **attributes)


def summary(title: str, rows: Mapping[str, Any]) -> Markup:
    """Return what a notebook shows of an object: a title and a small table that reads in light and in dark."""
    return element("div", element("strong", title), definition_table(rows, style=_SUMMARY_STYLE))
