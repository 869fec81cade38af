"""Models that come with the package: a file and a card each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._hub import downloaded, is_address, pinned

_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class ShippedModel:
    """What the card of a model says.

    Attributes
    ----------
    name : str
        What ``pretrained`` of the estimators takes.
    digest : str
        SHA-256 of everything that determines an embedding.
    summary : str
        What it is, in a sentence.
    corpus : str
        What it was trained on.
    license : str
        Of the model, and the notices of what went into it.
    n_molecules, n_structures : int
        Molecules seen with a profile, and as structures only.
    figures : dict
        Measured results by name, each a sentence with its baseline.
    size : int
        Bytes of the file.
    path : Path
    """

    name: str
    digest: str
    summary: str
    corpus: str
    license: str
    n_molecules: int
    n_structures: int
    figures: dict[str, Any]
    size: int
    path: Path

    @property
    def card(self) -> str:
        """The whole model card, Markdown."""
        return self.path.with_suffix(".md").read_text(encoding="utf-8")


def list_models() -> list[ShippedModel]:
    """Return the models that come with the package, the most general one first.

    They are loaded offline, by name: ``MoCoPEmbedder(pretrained=list_models()[0].name)``.

    Returns
    -------
    list of ShippedModel

    Examples
    --------
    >>> from mocop_sklearn import MoCoPEmbedder, list_models
    >>> embedder = MoCoPEmbedder(pretrained=list_models()[0].name).fit(["CCO"])
    >>> embedder.transform(["CCO", "c1ccccc1"]).shape
    (2, 512)
    """
    entries = json.loads((_FOLDER / "models.json").read_text(encoding="utf-8"))
    models = []
    for entry in entries:
        path = _FOLDER / f"{entry['name']}.safetensors"
        models.append(ShippedModel(**entry, size=path.stat().st_size, path=path))
    return models


def path_of(what: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the file of a model that comes with the package or is on the hub; any other text is a path already.

    A file of that name in the working directory takes precedence; a folder does not.

    Raises
    ------
    FileNotFoundError
        When the text is neither a file nor the name of a model, or the hub does not have it.
    """
    if is_address(what):
        return downloaded(str(what))
    text = os.fspath(what)
    if os.path.isfile(text) or not isinstance(what, str):
        return what
    known = {model.name: model.path for model in list_models()}
    if os.path.exists(text) and text not in known:
        return what  # whoever reads it says what it is
    if text not in known and os.path.basename(text) == text and "." not in text:
        raise FileNotFoundError(
            f"No model file at {text!r}, and no model of that name comes with the package: these are {sorted(known)}."
        )
    return known.get(text, what)


def source_of(what: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """Return what is recorded of a start: the address of a commit on the hub, or a name without its folders."""
    return pinned(str(what), Path(path)) if is_address(what) else os.path.basename(os.fspath(what))
