"""Parts → one store: which features and wells stay, and what became of the others."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from .plates import Part, PlatePlan
from .selection import ProfileFilter
from .store import WELL_COLUMNS, Labels, write_store

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
class Finish:
    """How the parts become one; the fields are documented at ``build_pairs``."""

    columns: str
    repeated_wells: str
    max_wells: int | None
    feature_filter: ProfileFilter | None


def assemble(folder: Path, parts: list[Part], finish: Finish, plan: PlatePlan, recipe: dict[str, Any]) -> None:
    """Join the parts, in the order of the files, into a store.

    Parameters
    ----------
    folder : Path
        Is made.
    recipe : dict
        What tells this build from others.

    Raises
    ------
    ValueError
        When nothing is left, or the parts do not fit together.
    """
    n_files = len(parts)
    parts = [part for part in parts if part.facts["counts"]]
    totals: Counter[str] = Counter()
    for part in parts:
        totals.update(part.facts["counts"] | part.facts["fates"])
    if not totals["stored"]:
        raise ValueError(f"No well is left to store: {dict(totals)}.")
    if plan.normalizer is not None and plan.normalizer.whiten:
        _check_batches(parts)
    names = _common_features(parts, finish.columns)
    support, dropped = _filtered(parts, names, finish.feature_filter)
    names = [name for name, kept in zip(names, support, strict=True) if kept]
    _warn_of_clipping(totals["values_clipped"] / (totals["stored"] * len(support)), plan.clip)

    known = [name for name in (*WELL_COLUMNS, "dose", "weight") if all(part.get(name) is not None for part in parts)]
    wells = {name: np.concatenate([part.get(name) for part in parts]) for name in known}
    all_smiles, all_keys = (np.concatenate([getattr(part, name) for part in parts]) for name in ("smiles", "keys"))
    smiles, first, molecule = np.unique(all_smiles, return_index=True, return_inverse=True)
    repeated = _repeated(wells)
    if repeated.any() and finish.repeated_wells == "raise":
        plate, well = (str(wells[name][repeated][0]) for name in ("plate", "well"))
        raise ValueError(
            f"{repeated.sum()} rows repeat the plate and the well of another, such as {plate!r}, {well!r}: remove "
            "them, say with plate_columns what tells plates apart, or set repeated_wells."
        )
    unwanted = repeated & (finish.repeated_wells == "first")
    empty = ~unwanted & ~np.concatenate([_has_values(part, names) for part in parts])
    capped = _beyond(molecule, ~(unwanted | empty), finish.max_wells)
    stored = ~(unwanted | empty | capped)
    if not stored.any():
        raise ValueError("No well has a value among the features that are left.")
    used, molecule = np.unique(molecule[stored], return_inverse=True)
    smiles, first = smiles[used], first[used]
    fates = {
        "repeated": int(unwanted.sum()),
        "without_values": totals["without_values"] + int(empty.sum()),
        "capped": int(capped.sum()),
        "stored": int(stored.sum()),
    }
    report = {
        "files": n_files,
        "missing_files": n_files - len(parts),
        "plates": totals["plates"],
        "wells": totals["wells"],
        "fates": {name: fates.get(name, totals[name]) for name in FATES},
        "repeated_wells": int(repeated.sum()),
        "molecules": len(smiles),
        "other_names": len(set().union(*(part.facts["names"] for part in parts))) - len(smiles),
        "values_clipped": totals["values_clipped"],
        "values_missing": totals["values_missing"],
        "features_read": len(set().union(*(part.facts["features"] for part in parts))),
        "features_dropped": dropped,
        "features": len(names),
    }
    folder.mkdir()
    write_store(
        folder,
        _blocks(parts, names, stored, plan.dtype),
        dtype=plan.dtype,
        smiles=smiles.tolist(),
        keys=all_keys[first].tolist(),
        molecule=molecule,
        labels={name: Labels.of(wells[name][stored]) for name in WELL_COLUMNS if name in wells},
        numbers={name: wells[name][stored] for name in ("dose", "weight") if name in wells},
        header={
            "feature_names": names,
            "clip": plan.clip,
            "report": report,
            "recipe": recipe,
            "files": [part.facts["file"] for part in parts],
        },
    )


def _warn_of_clipping(share: float, clip: float | None) -> None:
    if share > _MANY_CLIPPED:
        warnings.warn(
            f"{share:.1%} of the values were clipped at {clip}: normalise them, or raise clip.",
            UserWarning,
            stacklevel=4,
        )


def _check_batches(parts: list[Part]) -> None:
    """A batch is whitened on its own controls, and only those of one file are known together."""
    file_of: dict[str, str] = {}
    for part in parts:
        batches = part.get("batch")
        name = part.facts["file"]["name"]
        for batch in set(() if batches is None else batches.tolist()):
            other = file_of.setdefault(batch, name)
            if other != name:
                raise ValueError(
                    f"The batch {batch!r} is spread over {other!r} and {name!r}, and a normalizer with whiten needs it "
                    "in one file: join the plates of a batch, or leave out whiten."
                )


def _common_features(parts: list[Part], columns: str) -> list[str]:
    """Features of the store, in the order of the first file."""
    names = list(dict.fromkeys(name for part in parts for name in part.facts["features"]))
    if columns == "union":
        return names
    for part in parts:
        lacking = sorted(set(names).difference(part.facts["features"]))
        if lacking and columns == "same":
            raise ValueError(
                f"{part.facts['file']['name']!r} lacks {len(lacking)} feature columns that another file has: "
                f'{lacking[:10]}. Choose columns with features, or set columns to "intersection" or "union".'
            )
        names = [name for name in names if name not in set(lacking)]
    if not names:
        raise ValueError("The files have no feature column in common.")
    return names


def _filtered(
    parts: list[Part], names: list[str], feature_filter: ProfileFilter | None
) -> tuple[np.ndarray, dict[str, int]]:
    """Which features stay, and how many each rule dropped."""
    if feature_filter is None:
        return np.ones(len(names), dtype=bool), {}
    n, mean, scatter, peak = np.zeros((4, len(names)))
    for part in parts:  # Chan, Golub and LeVeque's update of mean and sum of squares
        own, theirs = _shared(names, part.facts["features"])
        count, part_mean, variance, part_peak = part.moments[:, theirs]
        total = np.maximum(n[own] + count, 1)
        delta = part_mean - mean[own]
        scatter[own] += count * variance + delta**2 * n[own] * count / total
        mean[own] += delta * count / total
        n[own] += count
        peak[own] = np.maximum(peak[own], part_peak)
    n_rows = sum(part.n_stored for part in parts)
    chosen = clone(feature_filter).fit_statistics(names, 1 - n / n_rows, mean, scatter / np.maximum(n, 1), peak)
    if not chosen.support_.any():
        raise ValueError("The feature_filter leaves no column.")
    return chosen.support_, {rule: len(columns) for rule, columns in chosen.report_.items()}


def _shared(names: list[str], others: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Places, in both lists, of the names that are in both."""
    if names == others:
        return np.arange(len(names)), np.arange(len(names))
    place = {name: i for i, name in enumerate(others)}
    pairs = [(i, place[name]) for i, name in enumerate(names) if name in place]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return own, theirs


def _repeated(wells: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows with the plate and the well of an earlier row; none where wells are unknown."""
    plate = wells["plate"]
    if "well" not in wells:
        return np.zeros(len(plate), dtype=bool)
    codes = [np.unique(wells[name], return_inverse=True)[1].astype(np.int64) for name in ("plate", "well")]
    place = codes[0] * (codes[1].max() + 1) + codes[1]
    repeated = np.ones(len(place), dtype=bool)
    repeated[np.unique(place, return_index=True)[1]] = False
    return repeated & (wells["well"] != "")


def _beyond(molecule: np.ndarray, stored: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows to leave out so that no molecule has more than ``limit``, those that stay being spread evenly."""
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


def _has_values(part: Part, names: list[str]) -> np.ndarray:
    """Which wells of a part have a value among some features; all had one among the part's."""
    theirs = _shared(names, part.facts["features"])[1]
    if len(theirs) == len(part.facts["features"]):
        return np.ones(part.n_stored, dtype=bool)
    return np.isfinite(part.profiles()[:, theirs]).any(axis=1)


def _blocks(parts: list[Part], names: list[str], stored: np.ndarray, dtype: str) -> Iterator[np.ndarray]:
    """Profiles of the rows that are stored, file by file, with the features in their order."""
    first = 0
    for part in parts:
        rows = stored[first : first + part.n_stored]
        first += part.n_stored
        own, theirs = _shared(names, part.facts["features"])
        block = np.full((int(rows.sum()), len(names)), np.nan, dtype=dtype)
        block[:, own] = part.profiles()[rows][:, theirs]
        yield block
