"""Plain values, such as those of a provenance, as texts to read."""

from __future__ import annotations

from typing import Any


def in_words(value: Any, *, inner: bool = False, limit: int = 6) -> str:
    """Return a value in words; nothing for what is unknown, empty or 0.

    A value within another one has brackets around its parts where it has several, and quotation marks where it holds a
    comma.
    """
    if isinstance(value, dict):
        entries = {spaced(name): in_words(item, inner=True) for name, item in value.items()}
        parts = [f"{name} {text}" for name, text in entries.items() if text]
        return f"({', '.join(parts)})" if inner and len(parts) > 1 else ", ".join(parts)
    if isinstance(value, (list, tuple)):
        more = [f"and {len(value) - limit:,} more"] if len(value) > limit else []
        parts = [in_words(item, inner=True) for item in value[:limit]] + more
        return f"[{', '.join(parts)}]" if inner and len(parts) > 1 else ", ".join(parts)
    text = " ".join(str(value).split()) if value else ""
    return repr(text) if inner and "," in text else text


def spaced(name: str) -> str:
    """Name of an entry without underscores; names of columns stay as they are."""
    return name.replace("_", " ") if name.islower() else name
