"""Parts → one store: which features and wells stay, and what became of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..profiles._moments import blocks
from ._gathered import Gathered
from ._labels import WELL_COLUMNS, Labels
from ._parts import map_profiles, read_part
from ._plan import Finish, PlatePlan
from ._provenance import provenance_of_build
from ._repeats import notice_of_repeats, repeated_rows
from ._store import write_store

_MANY_CLIPPED = 0.01
# What becomes of a well, in the order of the checks.
FATES = (
    "not_kept",
    "excluded",
    "control",
    "without_structure",
    "unparsable",
    "held_out",
    "without_values",
    "without_controls",
    "repeated",
    "capped",
    "stored",
)


@dataclass(frozen=True)
class _PresentPart:
    """A part whose file was there."""

    path: Path
    features: list[str]
    n_wells: int
    dtype: str

    def profiles(self) -> np.ndarray:
        """The clipped profiles, mapped, shape (n_wells, n_features)."""
        return map_profiles(self.path, (self.n_wells, len(self.features)), self.dtype)


@dataclass(frozen=True)
class _Rows:
    """What becomes of the wells of all parts, below one another.

    Attributes
    ----------
    repeated, unwanted, empty, capped : ndarray of bool, shape (n_wells,)
        Wells that repeat another; those of them that are left out; wells without a value among the features that stay;
        wells beyond ``max_wells``.
    """

    repeated: np.ndarray
    unwanted: np.ndarray
    empty: np.ndarray
    capped: np.ndarray

    @property
    def stored(self) -> np.ndarray:
        """Wells that are stored."""
        return ~(self.unwanted | self.empty | self.capped)

    def fates(self, gathered: Gathered) -> dict[str, int]:
        """How many wells of all files have each fate."""
        own = {
            "repeated": int(self.unwanted.sum()),
            "without_values": gathered.totals["without_values"] + int(self.empty.sum()),
            "capped": int(self.capped.sum()),
            "stored": int(self.stored.sum()),
        }
        return {name: own.get(name, gathered.totals[name]) for name in FATES}


def assemble(
    folder: Path, paths: list[Path], plan: PlatePlan, finish: Finish, recipe: Mapping[str, Any], date: str
) -> list[str]:
    """Join the parts, in the order of the files, into a store.

    Parameters
    ----------
    folder : Path
        It is made.
    paths : list of Path
        The parts.
    plan : PlatePlan
    finish : Finish
    recipe : dict
        What tells this build from others.
    date : str
        Of the build.

    Returns
    -------
    list of str
        What the user should be warned of.

    Raises
    ------
    ValueError
        When nothing is left, or the parts do not fit together.
    """
    gathered, parts = _gather(paths, plan.dtype)
    if not parts:
        raise ValueError(f"None of the {len(paths)} files of plates exists.")
    notices = gathered.notices(dict(finish.hold_out), plan.standardize)
    if not gathered.totals["stored"]:
        raise ValueError(" ".join([f"No well is left to store: {dict(gathered.totals)}.", *notices]))
    if plan.normalizer is not None and plan.normalizer.whiten:
        gathered.check_batches()
    common = gathered.common_features(finish.columns)
    names, dropped = gathered.filtered(common, finish.feature_filter)
    labels = gathered.labels()
    molecule = labels.pop("smiles")
    rows = _choose_rows(parts, names, labels, molecule, finish)
    if finish.repeated_wells == "keep":
        file = np.repeat(np.arange(len(parts)), gathered.sizes)
        notices.append(notice_of_repeats(rows.repeated, labels, molecule.codes, file, gathered.told_apart_by) or "")
    notices.append(_notice_of_clipping(gathered, len(common), plan.clip))
    notices = [notice for notice in notices if notice]
    stored, molecule = rows.stored, molecule[rows.stored].compact()
    numbers = {name: np.concatenate(v) for name, v in gathered.numbers.items() if len(v) == len(parts)}
    report = _report(gathered, rows, len(paths), len(molecule.names)) | {
        "features_dropped": dropped,
        "features": len(names),
        "notices": notices,
    }
    folder.mkdir()
    write_store(
        folder,
        _blocks(parts, names, stored, plan.dtype),
        dtype=plan.dtype,
        smiles=molecule.names.tolist(),
        keys=[gathered.key_of[text] for text in molecule.names.tolist()],
        molecule=molecule.codes,
        labels={name: labels[name][stored].compact() for name in WELL_COLUMNS if name in labels},
        numbers={name: values[stored] for name, values in numbers.items()},
        header={
            "feature_names": names,
            "clip": plan.clip,
            "report": report,
            "recipe": recipe,
            "files": gathered.files,
            "provenance": provenance_of_build(plan, finish, gathered, report, date),
        },
    )
    return notices


def _gather(paths: list[Path], dtype: str) -> tuple[Gathered, list[_PresentPart]]:
    """Read all parts but their profiles; leave out those whose file was missing."""
    gathered, present = Gathered(), []
    for path in paths:
        part = read_part(path)
        if part.facts["counts"]:
            gathered.add(part)
            present.append(path)
    parts = [_PresentPart(*item, dtype) for item in zip(present, gathered.features, gathered.sizes, strict=True)]
    return gathered, parts


def _choose_rows(
    parts: list[_PresentPart], names: list[str], labels: Mapping[str, Labels], molecule: Labels, finish: Finish
) -> _Rows:
    repeated = repeated_rows(labels)
    if repeated.any() and finish.repeated_wells == "raise":
        plate, well = (str(labels[name].text()[repeated][0]) for name in ("plate", "well"))
        raise ValueError(
            f"{repeated.sum()} rows repeat the plate and the well of another, such as {plate!r}, {well!r}: remove "
            "them, name what tells plates apart with plate_columns, or set repeated_wells."
        )
    unwanted = repeated & (finish.repeated_wells == "first")
    empty = ~unwanted & ~np.concatenate([_has_values(part, names) for part in parts])
    rows = _Rows(repeated, unwanted, empty, _beyond(molecule.codes, ~(unwanted | empty), finish.max_wells))
    if not rows.stored.any():
        raise ValueError("No well has a value among the features that are left.")
    return rows


def _report(gathered: Gathered, rows: _Rows, n_files: int, n_molecules: int) -> dict[str, Any]:
    totals = gathered.totals
    return {
        "files": n_files,
        "missing_files": n_files - len(gathered.files),
        "plates": totals["plates"],
        "wells": totals["wells"],
        "fates": rows.fates(gathered),
        "controls": dict(gathered.rules),
        "joins": [
            {"table": join.table, "on": join.on, "wells": join.wells, "found": join.found}
            for _, join in sorted(gathered.joins.items())
        ],
        "repeated_wells": int(rows.repeated.sum()),
        "molecules": n_molecules,
        "other_names": len(gathered.names) - n_molecules,
        "values_clipped": totals["values_clipped"],
        "values_missing": totals["values_missing"],
        "features_read": len(set().union(*gathered.features)),
        "features_left_out": gathered.left_out,
    }


def _notice_of_clipping(gathered: Gathered, n_features: int, clip: float | None) -> str:
    share = gathered.totals["values_clipped"] / (gathered.totals["stored"] * n_features)
    if share <= _MANY_CLIPPED:
        return ""
    return f"{share:.1%} of the values were clipped at {clip}: normalise them, or raise clip=."


def _shared(names: list[str], others: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Places, in both lists, of the names that are in both."""
    if names == others:
        return np.arange(len(names)), np.arange(len(names))
    place = {name: i for i, name in enumerate(others)}
    pairs = [(i, place[name]) for i, name in enumerate(names) if name in place]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return own, theirs


def _beyond(molecule: np.ndarray, stored: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows to leave out so that no molecule has more than ``limit``; those that stay are spread evenly."""
    beyond = np.zeros(len(molecule), dtype=bool)
    if limit is None:
        return beyond
    rows = np.flatnonzero(stored)
    rows = rows[np.argsort(molecule[rows], kind="stable")]
    counts = np.bincount(molecule[rows])
    place = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    n = np.repeat(counts, counts)
    beyond[rows[(n > limit) & ((place + 1) * limit // n == place * limit // n)]] = True
    return beyond


def _has_values(part: _PresentPart, names: list[str]) -> np.ndarray:
    """Which wells of a part have a value among some features; all had one among the features of the part."""
    theirs = _shared(names, part.features)[1]
    if len(theirs) == len(part.features) or not part.n_wells:
        return np.ones(part.n_wells, dtype=bool)
    profiles = part.profiles()
    found = [np.isfinite(profiles[rows][:, theirs]).any(axis=1) for rows in blocks(*profiles.shape)]
    return np.concatenate(found)


def _blocks(parts: list[_PresentPart], names: list[str], stored: np.ndarray, dtype: str) -> Iterator[np.ndarray]:
    """Profiles of the rows that are stored, file by file and some rows at a time, with the features in their order."""
    first = 0
    for part in parts:
        own, theirs = _shared(names, part.features)
        profiles = part.profiles()
        for rows in blocks(*profiles.shape):
            chosen = profiles[rows][stored[first + rows.start : first + rows.stop]]
            block = np.full((len(chosen), len(names)), np.nan, dtype=dtype)
            block[:, own] = chosen[:, theirs]
            yield block
        first += part.n_wells
