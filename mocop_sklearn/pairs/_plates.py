"""One file of plates → normalised profiles of its treated wells, and what became of the others."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from ..profiles._features import FeatureColumns, describe_columns, feature_matrix
from ..profiles._moments import moments
from ..tables._columns import find_structure_column, is_metadata
from ..tables._read import read_table
from ..utils._files import atomic_write
from ._controls import find_controls
from ._labels import WELL_COLUMNS, Labels, metadata_column
from ._matching import Join, Selection
from ._metadata import column_labels, joined, metadata_of, structure_labels
from ._parts import Part
from ._plan import PlatePlan
from ._reader import StructureReader
from ._repeats import columns_that_tell_apart
from ._values import check_weights, metadata_numbers

_NOT_TO_BE_READ = "?"  # stands for a structure that is stated, and that no process may read again
_NOTHING = "", ""  # what stands for the SMILES and the key of a text that is not a molecule
_PLATE_COLUMNS = ("Metadata_Source", "Metadata_Batch", "Metadata_Plate")


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
        The profiles as read, until those of the stored wells take their place; None where they are streamed.
    texts : Labels
        Structures as stated; empty where there is none.
    unreadable : dict of str to str
        Those of them that end the process that reads them, or take too long, and which of the two.
    smiles, keys : Labels
        Canonical SMILES and connectivity key; empty where the structure is not a molecule.
    labels : dict of str to Labels
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
    X: Any
    texts: Labels
    unreadable: dict[str, str]
    smiles: Labels
    keys: Labels
    labels: dict[str, Labels]
    controls: np.ndarray
    rules: dict[str, int]
    selections: list[Selection]
    joins: list[Join]


def _read_wells(plan: PlatePlan, path: Any, where: str, stem: str, reader: StructureReader) -> Wells:
    frame = read_table(path, text=named_columns(plan))
    columns = metadata_columns(plan, frame, list(frame.columns), where)
    described = describe_columns(frame, not_features=columns)
    names = chosen_features(plan, described, where)
    metadata, X = frame[columns], feature_matrix(frame, names)
    del frame  # the profiles of a file may take most of the memory that there is
    return wells_of(plan, metadata, described, names, X, where, stem, reader)


def chosen_features(plan: PlatePlan, described: FeatureColumns, where: str) -> list[str]:
    """Features that are wanted."""
    names = described.select(plan.features, where)
    if not names:
        raise ValueError(
            f"{where} has no feature column; not features: {described.left_out}. Leave the file out, or name its "
            "columns with features=."
        )
    return names


def wells_of(
    plan: PlatePlan,
    metadata: Any,
    described: FeatureColumns,
    names: list[str],
    X: Any,
    where: str,
    stem: str,
    reader: StructureReader,
) -> Wells:
    """What the metadata of wells say of them."""
    metadata, joins = joined(metadata, plan.tables, where)
    texts = structure_labels(metadata[find_structure_column(list(metadata.columns), plan.smiles, where)])
    known, unreadable = reader.read(texts.names.tolist(), plan.standardize)
    smiles = texts.renamed(lambda text: (known.get(text) or _NOTHING)[0])
    keys = texts.renamed(lambda text: (known.get(text) or _NOTHING)[1])
    labels = labels_of(plan, metadata, where, stem)
    stated = texts.renamed(lambda text: _NOT_TO_BE_READ if text in unreadable else text)
    controls, rules, selections = find_controls(metadata, stated, plan.control_column, plan.control_label, where)
    return Wells(where, metadata, names, described.left_out, X, texts, unreadable, smiles, keys, labels, controls,
                 rules, selections, joins)  # fmt: skip


def metadata_columns(plan: PlatePlan, frame: Any, names: list[Any], where: str) -> list[Any]:
    """Those of the columns of a file that are metadata, by their name or because an option names them."""
    if not len(frame):
        raise ValueError(f"{where} has no rows: leave the file out.")
    named = named_columns(plan)
    if not plan.tables:
        named.add(find_structure_column(names, plan.smiles, where))
    return [c for c in names if is_metadata(c) or c in named]


def named_columns(plan: PlatePlan) -> set[Any]:
    """Columns that an option names."""
    named = {plan.smiles, plan.dose_column, plan.weight_column, plan.control_column, *plan.plate_columns}
    return named.union(column for column, _ in plan.keep + plan.exclude).difference([None])


def labels_of(plan: PlatePlan, wells: Any, where: str, stem: str) -> dict[str, Labels]:
    """Source, batch, plate and well of each row, as far as they are known; the plate is the file where it is not."""
    labels = {
        name: column_labels(wells[column])
        for name, column in ((name, metadata_column(name)) for name in WELL_COLUMNS)
        if column in wells.columns
    }
    columns = plan.plate_columns or tuple(c for c in _PLATE_COLUMNS if c in wells.columns)
    parts = [column_labels(metadata_of(wells, c, where)) for c in columns]
    ids = reduce(_joined_texts, parts) if parts else Labels.as_met([stem] * len(wells))
    named = parts[columns.index("Metadata_Plate")] if "Metadata_Plate" in columns else ids
    if plan.normalizer is not None and (unnamed := ~named.which(bool)).any():
        raise ValueError(
            f"{where} has no plate in row {unnamed.argmax()} (columns {list(columns)}): fill it in, or name other "
            "columns with plate_columns."
        )
    return labels | {"plate": ids}


def _joined_texts(one: Labels, other: Labels) -> Labels:
    """Texts of two columns, with a slash between those that are not empty."""
    places = one.codes.astype(np.int64) * len(other.names) + other.codes
    _, first, codes = np.unique(places, return_index=True, return_inverse=True)
    pairs = zip(one[first].text().tolist(), other[first].text().tolist(), strict=True)
    texts = Labels.as_met("/".join(filter(None, pair)) for pair in pairs)
    return Labels(texts.codes[codes], texts.names)


# ---------------------------------------------------------------------------------------------
# What becomes of each well
# ---------------------------------------------------------------------------------------------


class Fates:
    """What becomes of each well: the first reason to leave it out, or ``stored``."""

    def __init__(self, n_wells: int):
        self._names = ["stored"]
        self._of_well = np.zeros(n_wells, dtype=np.int16)  # places in the names

    def mark(self, name: str, wells: np.ndarray) -> None:
        """Set the fate of those of the wells that would be stored until now."""
        self._of_well[self.stored & wells] = len(self._names)
        self._names.append(name)

    @property
    def stored(self) -> np.ndarray:
        """Which wells are stored as far as it is known."""
        return self._of_well == 0

    def counts(self) -> dict[str, int]:
        """How many wells have each fate that some well has."""
        found = Counter(self._names[place] for place in self._of_well.tolist())
        return dict(found)


def part_of_table(plan: PlatePlan, path: Any, where: str, stem: str, target: Path, reader: StructureReader) -> Part:
    """Read a table, choose and normalise its wells, and write their profiles to ``target``.

    Parameters
    ----------
    plan : PlatePlan
    path : str or Path
    where : str
        The file, in messages.
    stem : str
        The plate, where no column names it.
    target : Path
    reader : StructureReader
    """
    wells = _read_wells(plan, path, where, stem, reader)
    fates = fates_before_normalising(plan, wells)
    fates.mark("without_values", ~np.isfinite(wells.X).any(axis=1))
    X = normalized(plan, wells, fates.stored)
    fates.mark("without_controls", ~np.isfinite(X).any(axis=1))
    X = wells.X = X[fates.stored]  # so that the profiles of all wells go
    profiles, statistics, n_clipped = finished(X, plan.clip)
    with atomic_write(target) as temporary:
        profiles.astype(plan.dtype).tofile(temporary)
    counts = {"values_clipped": n_clipped, "values_missing": int(np.isnan(profiles).sum())}
    return part_of_wells(plan, wells, fates, statistics, counts)


def part_of_wells(
    plan: PlatePlan, wells: Wells, fates: Fates, statistics: np.ndarray, counts: Mapping[str, int]
) -> Part:
    stored = fates.stored
    columns = {"dose": plan.dose_column, "weight": plan.weight_column}
    numbers = {name: metadata_numbers(wells.metadata, c, wells.where) for name, c in columns.items() if c is not None}
    if "weight" in numbers:
        check_weights(numbers["weight"], stored, wells.where)
    texts = {"smiles": wells.smiles, "key": wells.keys} | wells.labels
    facts = {
        "features": wells.features,
        "left_out": wells.left_out,
        "fates": fates.counts(),
        "names": [*wells.texts[stored].counts()],
        "unreadable": wells.unreadable,
        "rules": wells.rules,
        "selections": [asdict(selection) for selection in wells.selections],
        "joins": [asdict(join) for join in wells.joins],
        "held_out": sorted(set(wells.keys.names.tolist()).intersection(plan.hold_out)),
        "told_apart_by": columns_that_tell_apart(wells.metadata, wells.labels),
        "counts": {"wells": len(stored), "plates": len(wells.labels["plate"].names), **counts},
    }
    return Part(
        facts,
        {name: labels[stored].compact() for name, labels in texts.items()},
        {name: values[stored] for name, values in numbers.items()},
        statistics,
    )


def fates_before_normalising(plan: PlatePlan, wells: Wells) -> Fates:
    fates = Fates(len(wells.controls))
    for option, fate, wanted in (("keep", "not_kept", plan.keep), ("exclude", "excluded", plan.exclude)):
        for column, values in wanted:
            texts = column_labels(metadata_of(wells.metadata, column, wells.where))
            wells.selections.append(Selection.of(option, column, values, texts))
            found = texts.which(frozenset(values).__contains__)
            fates.mark(fate, ~found if option == "keep" else found)
    if plan.controls == "exclude":
        fates.mark("control", wells.controls)
    fates.mark("without_structure", ~wells.texts.which(bool))
    fates.mark("unparsable", ~wells.smiles.which(bool))
    fates.mark("held_out", wells.keys.which(frozenset(plan.hold_out).__contains__))
    return fates


# ---------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------


def normalized(plan: PlatePlan, wells: Wells, stored: np.ndarray) -> np.ndarray:
    """Scale the plates that have a well to store, one by one; NaN on others, and where a plate is dropped."""
    if plan.normalizer is None or not stored.any():
        return wells.X
    # whatever else becomes of them
    held_out = wells.keys.which(frozenset(plan.hold_out).__contains__) & ~wells.controls
    X = np.where(held_out[:, None], np.nan, wells.X) if held_out.any() else wells.X
    plates = wells.labels["plate"]
    wanted = np.isin(plates.codes, plates.codes[stored])
    # a normaliser without a column of controls goes by all wells
    reference = None if plan.normalizer.control_column is None else wells.controls[wanted]
    batches = wells.labels["batch"][wanted].text() if plan.normalizer.whiten and "batch" in wells.labels else None
    metadata = {"plates": plates[wanted].text(), "controls": reference, "batches": batches}
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
    notices = [
        notice for s in wells.selections if s.option == "control_label" and (notice := s.notice(len(wells.controls)))
    ]
    found = ", ".join(f"{n} by the rule '{rule}'" for rule, n in wells.rules.items()) or "none by any rule"
    already = "Profiles that are normalised already, or of compounds, are stored as they are with normalizer=None."
    return " ".join([f" Controls found in this file: {found}.", *notices, already])


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
