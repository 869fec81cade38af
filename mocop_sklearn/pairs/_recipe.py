"""Telling builds apart: which parts may be taken up again, and which store is the result of which call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..utils._files import atomic_write
from ..utils._names import describe_callable
from . import _parts
from ._plan import Finish, PlatePlan
from ._provenance import today


def recipe_of_parts(plan: PlatePlan, names: Sequence[str]) -> dict[str, Any]:
    """All that decides the content of the parts; of the files, their names."""
    options = {f.name: getattr(plan, f.name) for f in fields(plan)}
    options["standardize"] = describe_callable(plan.standardize)
    options["normalizer"] = _estimator_text(plan.normalizer)
    options["hold_out"] = _digest("\n".join(plan.hold_out).encode())
    options["tables"] = [_digest(Path(table).read_bytes()) for table in plan.tables]
    files = {"files": _digest(json.dumps(list(names)).encode()), "n_files": len(names)}
    return files | {name: _plain(value) for name, value in options.items()}


def recipe_of_store(parts: Mapping[str, Any], finish: Finish) -> dict[str, Any]:
    """All that decides the content of the store."""
    options = {f.name: getattr(finish, f.name) for f in fields(finish) if f.name != "hold_out"}
    options["feature_filter"] = _estimator_text(finish.feature_filter)
    return dict(parts) | {name: _plain(value) for name, value in options.items()}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the options in which two recipes differ."""
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def take_up_parts(folder: Path, recipe: dict[str, Any], restart: bool) -> str:
    """Make sure that the parts in a folder belong to this build, and return the date on which it was begun.

    Parameters
    ----------
    folder : Path
        Of the parts. What lies there and does not belong to them is kept.
    recipe : dict
        As of :func:`recipe_of_parts`.
    restart : bool
        Remove parts of a build with other options, instead of refusing them.

    Raises
    ------
    ValueError
        When there are parts of a build with other options, and ``restart`` is False.
    """
    path = folder / "recipe.json"
    recipe = recipe | {"format_of_parts": _parts.FORMAT}
    parts = [*folder.glob("*.npz")]
    before = _recorded(path) if path.exists() and parts else dict(recipe)
    date = before.pop("date", today())
    changed = differences(before, recipe)
    if changed and not restart:
        raise ValueError(
            f"{str(folder)!r} holds {len(parts)} finished parts of an unfinished build that differs in {changed}. To "
            "go on with them, give these options as they were; to begin anew with the present ones, set restart=True "
            "(mocop build --restart), which removes the parts."
        )
    if changed:
        date = today()
        for part in parts:
            part.unlink()
            _parts.profiles_path(part).unlink(missing_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(recipe | {"date": date}), encoding="utf-8")
    return str(date)


def _recorded(path: Path) -> dict[str, Any]:
    """Recipe of the parts; empty when it is damaged."""
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return recipe if isinstance(recipe, dict) else {}


def is_newer(file: Any, than: Path) -> bool:
    """Whether a file was written after another."""
    return isinstance(file, Path) and file.exists() and file.stat().st_mtime_ns > than.stat().st_mtime_ns


def changed_files(
    path: Path, recorded: Sequence[Mapping[str, Any]], names: Sequence[str], files: Sequence[Any]
) -> list[str]:
    """Names of the files at hand that are not those that a store was made of.

    They are compared by size, and by content when they were written after the store.
    """
    at_hand = {name: file for name, file in zip(names, files, strict=True) if isinstance(file, Path) and file.exists()}
    changed = []
    for entry in recorded:
        file = at_hand.get(entry["name"])
        if file is None:
            continue
        if file.stat().st_size != entry["bytes"] or (
            is_newer(file, path / "wells.npz") and digest_of_file(file) != entry["sha256"]
        ):
            changed.append(entry["name"])
    return changed


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _estimator_text(estimator: Any) -> str | None:
    """Type and parameters of an estimator; its repr would leave out the middle of long lists."""
    return None if estimator is None else f"{type(estimator).__name__}({estimator.get_params()})"


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, list, type(None))) else repr(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
