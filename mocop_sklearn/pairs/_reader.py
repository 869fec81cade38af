"""How a build reads structures, so that one that ends the process that reads it does not end the build."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..molecules._parse import Standardize
from ..molecules._workers import ended_after, in_another_process, seconds_for
from ._structures import identify

_CHUNK = 256
Identity = tuple[str, str]  # canonical SMILES and connectivity key
Found = list[Identity | str | None]  # a text is the reason why a structure cannot be read


def mark_of(part: Path) -> Path:
    """The file that lies beside a part while the structures of its wells are read.

    It stays when the process ends meanwhile.
    """
    return part.with_suffix(".reading")


@dataclass(frozen=True)
class StructureReader:
    """Reads the structures of one file.

    Attributes
    ----------
    mark : Path
        The file that exists while structures are read.
    unreadable : dict of str to str
        Structures that are known to end the process that reads them, or to take too long, and which of the two.
    apart : bool
        Whether to read in a process beside this one, so that such structures are found one by one. It takes seconds
        to start.
    seconds : float
        Time for a chunk of structures, after which a process of joblib's ends itself.
    """

    mark: Path
    unreadable: Mapping[str, str]
    apart: bool
    seconds: float = field(default_factory=lambda: seconds_for(_CHUNK))

    def read(self, texts: Sequence[str], standardize: Standardize) -> tuple[dict[str, Identity | None], dict[str, str]]:
        """Read structures, each text once.

        Returns
        -------
        known : dict of str to (str, str) or None
            Canonical SMILES and connectivity key; None where the text is not a molecule.
        unreadable : dict of str to str
            The other texts, and the reason.
        """
        distinct = list(dict.fromkeys(filter(None, texts)))
        unreadable = {text: self.unreadable[text] for text in distinct if text in self.unreadable}
        distinct = [text for text in distinct if text not in unreadable]
        chunks = [distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK)]
        work = partial(_identified, standardize=standardize)
        if self.apart:
            parts = [part for found in in_another_process(work, chunks, _failed) for part in found]
        else:
            parts = self._read_here(work, chunks)
        known: dict[str, Identity | None] = {}
        for text, found in zip(distinct, (item for part in parts for item in part), strict=True):
            if isinstance(found, str):
                unreadable[text] = found
            else:
                known[text] = found
        return known, unreadable

    def _read_here(self, work: partial[Found], chunks: Sequence[Sequence[str]]) -> list[Found]:
        self.mark.touch()
        try:
            parts = []
            for chunk in chunks:
                with ended_after(self.seconds):
                    parts.append(work(chunk))
            return parts
        finally:
            os.unlink(self.mark)


def _identified(texts: Sequence[str], standardize: Standardize) -> Found:
    return [identify(text, standardize) for text in texts]


def _failed(reason: str) -> Found:
    return [reason]
