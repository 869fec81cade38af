"""One file of plates → normalised profiles of its treated wells, and what became of the others."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from ..profiles._features import describe_columns, feature_matrix
from ..profiles._moments import moments
from ..tables._columns import find_structure_column, is_metadata
from ..tables._read import read_table
from ._controls import find_controls
from ._labels import WELL_COLUMNS, metadata_column
from ._matching import Join, Selection
from ._metadata import column_text, joined, metadata_of
from ._parts import MISSING, Part, save_part
from ._plan import PlatePlan
from ._repeats import columns_that_tell_apart
from ._structures import identify
from ._values import check_weights, metadata_numbers

_PLATE_COLUMNS = ("Metadata_Source", "Metadata_Batch", "Metadata_Plate")


def write_part(plan: PlatePlan, file: Any, name: str, target: Path) -> None:
    """Normalise the wells of one file and write those that may be stored to ``target``.

    Parameters
    ----------
    plan : PlatePlan
    file : Path, or an object with a context manager ``local()`` that yields a path
    name : str
        Of the file, in messages and in the store.
    target : Path

    Raises
    ------
    ValueError
        With the name of the file and what is wrong with it.
    """
    try:
        with file.local() if hasattr(file, "local") else nullcontext(file) as path:
            if Path(path).is_dir():
                raise ValueError(f"{name!r} is a folder, not a table of wells: give the files in it.")
            part, profiles = _part_of_file(plan, path, name)
    except FileNotFoundError:
        if plan.missing_files == "raise":
            raise
        part, profiles = MISSING, None
    save_part(target, part, profiles)


def _part_of_file(plan: PlatePlan, path: Any, name: str) -> tuple[Part, np.ndarray]:
    frame = read_table(path, text=named_columns(plan))
    wells = _read_wells(plan, frame, repr(name), str(Path(name).with_suffix("")))
    del frame  # the profiles of a file may take most of the memory that there is
    part, profiles = _part(plan, wells)
    with open(path, "rb") as raw:
        sha = hashlib.file_digest(raw, "sha256").hexdigest()
        part.facts["file"] = {"name": name, "bytes": raw.tell(), "sha256": sha}
    return part, profiles


# ---------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------


@dataclass
class Wells:
    """The wells of one file, in the order of its rows.

    Attributes
    ----------
    where : str
        The file, in messages.
    metadata : DataFrame
        With the columns of all tables that are joined.
    features : list of str
    left_out : dict of str to str
        Why other columns are not features.
    X : ndarray of float32, shape (n_wells, n_features)
        The profiles as read, until those of the stored wells take their place.
    texts : list of str
        Structures as stated; empty where there is none.
    smiles, keys : ndarray of str
        Canonical SMILES and connectivity key; empty where the structure is not a molecule.
    labels : dict of str to ndarray of str
        Source, batch, plate and well, as far as they are known.
    controls : ndarray of bool
    rules : dict of str to int
        How many controls each rule found.
    selections : list of Selection
    joins : list of Join
    """

    where: str
    metadata: Any
    features: list[str]
    left_out: dict[str, str]
    X: np.ndarray
    texts: list[str]
    smiles: np.ndarray
    keys: np.ndarray
    labels: dict[str, np.ndarray]
    controls: np.ndarray
    rules: dict[str, int]
    selections: list[Selection]
    joins: list[Join]


def _read_wells(plan: PlatePlan, frame: Any, where: str, stem: str) -> Wells:
    if not len(frame):
        raise ValueError(f"{where} has no rows: leave the file out.")
    columns = _metadata_columns(plan, frame, where)
    described = describe_columns(frame, not_features=columns)
    names = described.select(plan.features, where)
    if not names:
        raise ValueError(
            f"{where} has no feature column; not features: {described.left_out}. Leave the file out, or name its "
            "columns with features=."
        )
    X = feature_matrix(frame, names)
    metadata, joins = joined(frame[columns], plan.tables, where)
    structures = metadata[find_structure_column(list(metadata.columns), plan.smiles, where)]
    texts = [value.strip() if isinstance(value, str) else "" for value in structures]
    found = [identify(text, plan.standardize) if text else None for text in texts]
    smiles, keys = (np.array(["" if item is None else item[i] for item in found], dtype=str) for i in (0, 1))
    labels = labels_of(plan, metadata, where, stem)
    controls, rules, selections = find_controls(metadata, texts, plan.control_column, plan.control_label, where)
    return Wells(
        where, metadata, names, described.left_out, X, texts, smiles, keys, labels, controls, rules, selections, joins
    )


def _metadata_columns(plan: PlatePlan, frame: Any, where: str) -> list[Any]:
    """Columns that are metadata, by their name or because an option names them."""
    named = named_columns(plan)
    if not plan.tables:
        named.add(find_structure_column(list(frame.columns), plan.smiles, where))
    return [c for c in frame.columns if is_metadata(c) or c in named]


def named_columns(plan: PlatePlan) -> set[Any]:
    """Columns that an option names."""
    named = {plan.smiles, plan.dose_column, plan.weight_column, plan.control_column, *plan.plate_columns}
    return named.union(column for column, _ in plan.keep + plan.exclude).difference([None])


def labels_of(plan: PlatePlan, wells: Any, where: str, stem: str) -> dict[str, np.ndarray]:
    """Source, batch, plate and well of each row, as far as they are known; the plate is the file where it is not."""
    labels = {
        name: column_text(wells[column])
        for name, column in ((name, metadata_column(name)) for name in WELL_COLUMNS)
        if column in wells.columns
    }
    columns = plan.plate_columns or tuple(c for c in _PLATE_COLUMNS if c in wells.columns)
    parts = [column_text(metadata_of(wells, c, where)).tolist() for c in columns]
    ids = ["/".join(filter(None, row)) for row in zip(*parts, strict=True)] if parts else [stem] * len(wells)
    named = parts[columns.index("Metadata_Plate")] if "Metadata_Plate" in columns else ids
    if plan.normalizer is not None and "" in named:
        raise ValueError(
            f"{where} has no plate in row {named.index('')} (columns {list(columns)}): fill it in, or name other "
            "columns with plate_columns."
        )
    return labels | {"plate": np.array(ids, dtype=str)}


# ---------------------------------------------------------------------------------------------
# What becomes of each well
# ---------------------------------------------------------------------------------------------


class _Fates:
    """What becomes of each well: the first reason to leave it out, or ``stored``."""

    def __init__(self, n_wells: int):
        self.of_well = np.full(n_wells, "stored", dtype="<U20")

    def mark(self, name: str, wells: np.ndarray) -> None:
        """Set the fate of those of the wells that would be stored until now."""
        self.of_well[self.stored & wells] = name

    @property
    def stored(self) -> np.ndarray:
        """Which wells are stored as far as it is known."""
        return self.of_well == "stored"


def _part(plan: PlatePlan, wells: Wells) -> tuple[Part, np.ndarray]:
    """Choose and normalise the wells of one file."""
    fates = _fates_before_normalising(plan, wells)
    X = normalized(plan, wells, fates.stored)
    fates.mark("without_controls", ~np.isfinite(X).any(axis=1))
    stored = fates.stored
    X = wells.X = X[stored]  # so that the profiles of all wells go
    profiles, statistics, n_clipped = finished(X, plan.clip)
    columns = {"dose": plan.dose_column, "weight": plan.weight_column}
    numbers = {name: metadata_numbers(wells.metadata, c, wells.where) for name, c in columns.items() if c is not None}
    if "weight" in numbers:
        check_weights(numbers["weight"], stored, wells.where)
    kept = {"smiles": wells.smiles, "key": wells.keys} | wells.labels | numbers
    facts = {
        "features": wells.features,
        "left_out": wells.left_out,
        "fates": dict(Counter(fates.of_well.tolist())),
        "names": sorted({text for text, own in zip(wells.texts, stored, strict=True) if own}),
        "rules": wells.rules,
        "selections": [asdict(selection) for selection in wells.selections],
        "joins": [asdict(join) for join in wells.joins],
        "held_out": sorted(set(wells.keys.tolist()).intersection(plan.hold_out)),
        "told_apart_by": columns_that_tell_apart(wells.metadata, wells.labels),
        "counts": {
            "wells": len(wells.texts),
            "plates": len(set(wells.labels["plate"].tolist())),
            "values_clipped": n_clipped,
            "values_missing": int(np.isnan(profiles).sum()),
        },
    }
    part = Part(facts, {name: values[stored] for name, values in kept.items()}, statistics)
    return part, profiles.astype(plan.dtype)


def _fates_before_normalising(plan: PlatePlan, wells: Wells) -> _Fates:
    fates = _Fates(len(wells.texts))
    for option, fate, wanted in (("keep", "not_kept", plan.keep), ("exclude", "excluded", plan.exclude)):
        for column, values in wanted:
            texts = column_text(metadata_of(wells.metadata, column, wells.where))
            wells.selections.append(Selection.of(option, column, values, texts))
            fates.mark(fate, np.isin(texts, values, invert=option == "keep"))
    if plan.controls == "exclude":
        fates.mark("control", wells.controls)
    fates.mark("without_structure", np.array([not text for text in wells.texts]))
    fates.mark("unparsable", wells.smiles == "")
    fates.mark("held_out", np.isin(wells.keys, plan.hold_out))
    fates.mark("without_values", ~np.isfinite(wells.X).any(axis=1))
    return fates


# ---------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------


def normalized(plan: PlatePlan, wells: Wells, stored: np.ndarray) -> np.ndarray:
    """Scale the plates that have a well to store, one by one; NaN on others, and where a plate is dropped."""
    if plan.normalizer is None or not stored.any():
        return wells.X
    held_out = np.isin(wells.keys, plan.hold_out) & ~wells.controls  # whatever else becomes of them
    X = np.where(held_out[:, None], np.nan, wells.X) if held_out.any() else wells.X
    plates = wells.labels["plate"]
    wanted = np.isin(plates, plates[stored])
    # a normaliser without a column of controls goes by all wells
    reference = None if plan.normalizer.control_column is None else wells.controls[wanted]
    batches = wells.labels["batch"][wanted] if plan.normalizer.whiten and "batch" in wells.labels else None
    metadata = {"plates": plates[wanted], "controls": reference, "batches": batches}
    Z = np.full_like(X, np.nan)
    # rows that become NaN are counted; what float32 cannot hold becomes infinite
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        try:
            Z[wanted] = clone(plan.normalizer).fit_transform(X[wanted], **metadata)
        except ValueError as error:
            raise ValueError(f"{wells.where} cannot be normalised: {error}{_about_controls(wells)}") from error
    return Z


def _about_controls(wells: Wells) -> str:
    """What the search for controls found, for the message about plates that lack them."""
    notices = [notice for s in wells.selections if s.option == "control_label" and (notice := s.notice(len(wells.X)))]
    found = ", ".join(f"{n} by the rule '{rule}'" for rule, n in wells.rules.items()) or "none by any rule"
    return f" Controls found in this file: {found}. {' '.join(notices)}"


def finished(X: np.ndarray, clip: float | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Clip profiles in place, with NaN for what is not finite.

    Returns
    -------
    profiles : ndarray of float32
    statistics : ndarray, shape (4, n_features)
        As :class:`Part` has them.
    n_clipped : int
    """
    count, mean, variance = moments(X.astype(np.float64))
    peak = np.max(np.abs(X), axis=0, initial=0.0, where=np.isfinite(X))
    X[~np.isfinite(X)] = np.nan
    n_clipped = 0
    if clip is not None:
        n_clipped = int((np.abs(X) > clip).sum())
        np.clip(X, -clip, clip, out=X)
    return X, np.stack([count, mean, variance, peak]), n_clipped
