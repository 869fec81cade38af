"""What a model regresses from structures: names of the columns and their scale."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._schema import Section

_CLIP = 6.0
# In the text of a transformer: where it computes, addresses, which differ in the next process, and line breaks.
_WITHOUT_EFFECT = re.compile(r"\b(n_jobs|memory)=('[^']*'|\w+\([^()]*\)|\w+)| at 0x[0-9a-f]+|[\s,]+")


@dataclass(frozen=True)
class StructureTargets:
    """What is regressed: names of columns and their scale, which are a part of the model.

    Attributes
    ----------
    transformer : str
        The transformer of molecules, as it prints.
    names : list of str
    mean, scale : ndarray of float64, shape (n_targets,)
    """

    transformer: str
    names: list[str]
    mean: np.ndarray
    scale: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as model files hold it."""
        return {
            "transformer": self.transformer,
            "names": self.names,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_section(cls, record: Section) -> StructureTargets | None:
        """Undo ``as_dict``, after a check; None for a model without a structure objective."""
        if record.entry("structure_targets", dict, type(None)) is None:
            return None
        section = record.section("structure_targets")
        names = section.items("names", str)
        mean, scale = (np.array(section.items(name, int, float), dtype=np.float64) for name in ("mean", "scale"))
        if not len(names) == len(mean) == len(scale) or not (np.isfinite(mean).all() and (scale > 0).all()):
            raise section.error("the structure targets do not have a finite mean and a positive scale each")
        return cls(section.entry("transformer", str), names, mean, scale)

    def are_columns_of(self, transformer: str, names: list[str]) -> bool:
        """Return whether a transformer, as it prints, computes these columns; names alone may be made up, as "x0"."""
        mine, theirs = (_WITHOUT_EFFECT.sub("", text) for text in (self.transformer, transformer))
        return self.names == names and mine == theirs

    def scaled(self, table: np.ndarray) -> np.ndarray:
        """Return standardised numbers, cut at ±6; NaN where there is none."""
        values = np.clip((table - self.mean) / self.scale, -_CLIP, _CLIP).astype(np.float32)
        values[~np.isfinite(table)] = np.nan
        return values
