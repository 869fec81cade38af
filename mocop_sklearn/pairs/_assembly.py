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

from ..profiles._filter import ProfileFilter
from ._plates import Part, PlatePlan, read_part, read_profiles
from ._store import WELL_COLUMNS, Labels, write_store

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


class _Gathered:
    """What all parts say of features and wells, gathered part by part, so that none of them stays in memory.

    Attributes
    ----------
    files : list of dict
    totals : Counter
        Sums of counts and fates.
    features : list of list of str
        Of each part; equal ones are one list.
    sizes : list of int
        Stored wells of each part.
    names : set of str
        What molecules are called.
    texts : dict of str to list of ndarray of int
        Codes of the wells of each part, for each column of text.
    numbers : dict of str to list of ndarray of float32
    """

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()
        self.features: list[list[str]] = []
        self.sizes: list[int] = []
        self.names: set[str] = set()
        self.texts: dict[str, list[np.ndarray]] = {}
        self.numbers: dict[str, list[np.ndarray]] = {}
        self.key_of: dict[str, str] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._place: dict[str, int] = {}
        self._moments = np.zeros((4, 0))  # count, mean, sum of squares, largest size, over the union of features

    def add(self, part: Part) -> None:
        """Take a part in."""
        facts, wells = part.facts, part.wells
        self.files.append(facts["file"])
        self.totals.update(facts["counts"] | facts["fates"])
        self.names.update(facts["names"])
        same = next((own for own in self.features if own == facts["features"]), facts["features"])
        self.features.append(same)
        self.sizes.append(len(wells["smiles"]))
        self.key_of.update(zip(wells["smiles"].tolist(), wells["key"].tolist(), strict=True))
        for name, values in wells.items():
            if name in ("dose", "weight"):
                self.numbers.setdefault(name, []).append(values)
            elif name != "key":
                codes = self._codes.setdefault(name, {})
                own = [codes.setdefault(text, len(codes)) for text in values.tolist()]
                self.texts.setdefault(name, []).append(np.array(own, dtype=np.int32))
        self._add_moments(same, part.moments)

    def _add_moments(self, features: list[str], moments: np.ndarray) -> None:
        """Chan, Golub and LeVeque's update of means and sums of squares."""
        for name in features:
            self._place.setdefault(name, len(self._place))
        self._moments = np.pad(self._moments, ((0, 0), (0, len(self._place) - self._moments.shape[1])))
        own = [self._place[name] for name in features]
        n, mean, scatter, peak = self._moments[:, own]
        count, part_mean, variance, part_peak = moments
        total = np.maximum(n + count, 1)
        delta = part_mean - mean
        scatter = scatter + count * variance + delta**2 * n * count / total
        self._moments[:, own] = n + count, mean + delta * count / total, scatter, np.maximum(peak, part_peak)

    def labels(self) -> dict[str, Labels]:
        """Every column of text that all parts have, its names in order."""
        labels = {}
        for name, parts in self.texts.items():
            if len(parts) == len(self.files):
                names, place = np.unique(list(self._codes[name]), return_inverse=True)
                labels[name] = Labels(place[np.concatenate(parts)].astype(np.int32), names)
        return labels

    def common_features(self, columns: str) -> list[str]:
        """Features of the store, in the order of the first file."""
        names = list(self._place)
        if columns == "union":
            return names
        for file, features in zip(self.files, self.features, strict=True):
            lacking = set(names).difference(features)
            if lacking and columns == "same":
                raise ValueError(
                    f"{file['name']!r} lacks {len(lacking)} feature columns that another file has: "
                    f"{sorted(lacking)[:10]}. Choose columns with features, or set columns to "
                    '"intersection" or "union".'
                )
            names = [name for name in names if name not in lacking]
        if not names:
            raise ValueError("The files have no feature column in common.")
        return names

    def filtered(self, names: list[str], feature_filter: ProfileFilter | None) -> tuple[list[str], dict[str, int]]:
        """Which features stay, and how many each rule dropped."""
        if feature_filter is None:
            return names, {}
        n, mean, scatter, peak = self._moments[:, [self._place[name] for name in names]]
        n_rows = sum(self.sizes)
        missing = (n_rows - n) / n_rows  # 1 - n / n_rows is above a limit that it should be equal to
        chosen = clone(feature_filter).fit_statistics(names, missing, mean, scatter / np.maximum(n, 1), peak)
        if not chosen.support_.any():
            raise ValueError("The feature_filter leaves no column.")
        kept = [name for name, support in zip(names, chosen.support_, strict=True) if support]
        return kept, {rule: len(columns) for rule, columns in chosen.report_.items()}

    def check_batches(self) -> None:
        """A batch is whitened on its own controls, and only those of one file are known together."""
        batches = list(self._codes.get("batch", ()))
        file_of: dict[int, str] = {}
        for file, codes in zip(self.files, self.texts.get("batch", ()), strict=False):
            for batch in set(codes.tolist()):
                other = file_of.setdefault(batch, file["name"])
                if other != file["name"]:
                    raise ValueError(
                        f"The batch {batches[batch]!r} is spread over {other!r} and {file['name']!r}, and a normalizer "
                        "with whiten needs it in one file: join the plates of a batch, or leave out whiten."
                    )


def assemble(folder: Path, paths: list[Path], finish: Finish, plan: PlatePlan, recipe: dict[str, Any]) -> None:
    """Join the parts, in the order of the files, into a store.

    Parameters
    ----------
    folder : Path
        Is made.
    paths : list of Path
        The parts.
    recipe : dict
        What tells this build from others.

    Raises
    ------
    ValueError
        When nothing is left, or the parts do not fit together.
    """
    gathered, present = _Gathered(), []
    for path in paths:
        part = read_part(path)
        if part.facts["counts"]:  # the file was there
            gathered.add(part)
            present.append(path)
    totals = gathered.totals
    if not totals["stored"]:
        raise ValueError(f"No well is left to store: {dict(totals)}.")
    if plan.normalizer is not None and plan.normalizer.whiten:
        gathered.check_batches()
    common = gathered.common_features(finish.columns)
    _warn_of_clipping(totals["values_clipped"] / (totals["stored"] * len(common)), plan.clip)
    names, dropped = gathered.filtered(common, finish.feature_filter)
    parts = list(zip(present, gathered.features, gathered.sizes, strict=True))

    labels = gathered.labels()
    molecule = labels.pop("smiles")
    repeated = _repeated(labels)
    if repeated.any() and finish.repeated_wells == "raise":
        plate, well = (str(labels[name].text()[repeated][0]) for name in ("plate", "well"))
        raise ValueError(
            f"{repeated.sum()} rows repeat the plate and the well of another, such as {plate!r}, {well!r}: remove "
            "them, say with plate_columns what tells plates apart, or set repeated_wells."
        )
    unwanted = repeated & (finish.repeated_wells == "first")
    empty = ~unwanted & ~np.concatenate([_has_values(*part, names) for part in parts])
    capped = _beyond(molecule.codes, ~(unwanted | empty), finish.max_wells)
    stored = ~(unwanted | empty | capped)
    if not stored.any():
        raise ValueError("No well has a value among the features that are left.")
    used, molecule_of_row = np.unique(molecule.codes[stored], return_inverse=True)
    smiles = molecule.names[used].tolist()
    fates = {
        "repeated": int(unwanted.sum()),
        "without_values": totals["without_values"] + int(empty.sum()),
        "capped": int(capped.sum()),
        "stored": int(stored.sum()),
    }
    report = {
        "files": len(paths),
        "missing_files": len(paths) - len(parts),
        "plates": totals["plates"],
        "wells": totals["wells"],
        "fates": {name: fates.get(name, totals[name]) for name in FATES},
        "repeated_wells": int(repeated.sum()),
        "molecules": len(smiles),
        "other_names": len(gathered.names) - len(smiles),
        "values_clipped": totals["values_clipped"],
        "values_missing": totals["values_missing"],
        "features_read": len(set().union(*gathered.features)),
        "features_dropped": dropped,
        "features": len(names),
    }
    numbers = {name: np.concatenate(values) for name, values in gathered.numbers.items() if len(values) == len(parts)}
    folder.mkdir()
    write_store(
        folder,
        _blocks(parts, names, stored, plan.dtype),
        dtype=plan.dtype,
        smiles=smiles,
        keys=[gathered.key_of[text] for text in smiles],
        molecule=molecule_of_row,
        labels={name: labels[name][stored].compact() for name in WELL_COLUMNS if name in labels},
        numbers={name: values[stored] for name, values in numbers.items()},
        header={
            "feature_names": names,
            "clip": plan.clip,
            "report": report,
            "recipe": recipe,
            "files": gathered.files,
        },
    )


def _warn_of_clipping(share: float, clip: float | None) -> None:
    if share > _MANY_CLIPPED:
        warnings.warn(
            f"{share:.1%} of the values were clipped at {clip}: normalise them, or raise clip.",
            UserWarning,
            stacklevel=4,
        )


def _shared(names: list[str], others: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Places, in both lists, of the names that are in both."""
    if names == others:
        return np.arange(len(names)), np.arange(len(names))
    place = {name: i for i, name in enumerate(others)}
    pairs = [(i, place[name]) for i, name in enumerate(names) if name in place]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return own, theirs


def _repeated(labels: Mapping[str, Labels]) -> np.ndarray:
    """Rows with the plate and the well of an earlier row; none where wells are unknown."""
    plate, well = labels["plate"], labels.get("well")
    repeated = np.zeros(len(plate.codes), dtype=bool)
    if well is not None:
        place = plate.codes.astype(np.int64) * len(well.names) + well.codes
        repeated[:] = well.text() != ""
        repeated[np.unique(place, return_index=True)[1]] = False
    return repeated


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


def _has_values(path: Path, features: list[str], n_wells: int, names: list[str]) -> np.ndarray:
    """Which wells of a part have a value among some features; all had one among the part's."""
    theirs = _shared(names, features)[1]
    if len(theirs) == len(features):
        return np.ones(n_wells, dtype=bool)
    return np.isfinite(read_profiles(path)[:, theirs]).any(axis=1)


def _blocks(
    parts: list[tuple[Path, list[str], int]], names: list[str], stored: np.ndarray, dtype: str
) -> Iterator[np.ndarray]:
    """Profiles of the rows that are stored, file by file, with the features in their order."""
    first = 0
    for path, features, n_wells in parts:
        rows = stored[first : first + n_wells]
        first += n_wells
        own, theirs = _shared(names, features)
        block = np.full((int(rows.sum()), len(names)), np.nan, dtype=dtype)
        block[:, own] = read_profiles(path)[rows][:, theirs]
        yield block
