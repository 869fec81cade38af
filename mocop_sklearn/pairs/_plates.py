"""One file of plates → normalised profiles of its treated wells, and what became of the others."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from sklearn.base import clone

from ..molecules._parse import InvalidMolecule, Standardize, connectivity_key, parse_molecule
from ..profiles._normalizer import ProfileNormalizer
from ..profiles._scaler import matching_columns, moments
from ..tables._files import find_structure_column, read_table
from ..utils._files import atomic_write
from ._store import WELL_COLUMNS

CONTROL_COLUMN = "Metadata_IsNegcon"
_DMSO = "CS(C)=O"
_MISSING: tuple[dict[str, np.ndarray], dict[str, Any]] = (
    {"moments": np.empty((4, 0))},
    {"features": [], "fates": {}, "names": [], "counts": {}},
)
_PLATE_COLUMNS = ("Metadata_Source", "Metadata_Batch", "Metadata_Plate")


@dataclass(frozen=True)
class PlatePlan:
    """What is done to every file; the fields are documented at ``build_pairs``."""

    tables: tuple[str, ...]
    smiles: str | None
    plate_columns: tuple[str, ...]
    control_column: str | None
    control_label: tuple[str, ...]
    dose_column: str | None
    weight_column: str | None
    features: tuple[str, ...]
    missing_files: str
    keep: tuple[tuple[str, tuple[str, ...]], ...]
    exclude: tuple[tuple[str, tuple[str, ...]], ...]
    controls: str
    hold_out: tuple[str, ...]
    normalizer: ProfileNormalizer | None
    standardize: Standardize
    dtype: str
    clip: float | None


# ---------------------------------------------------------------------------------------------
# Metadata
# ---------------------------------------------------------------------------------------------


class MetadataTable:
    """A table that is joined to wells on the ``Metadata_*`` columns which it shares with them."""

    def __init__(self, path: str):
        self.path = path
        # a column of a large table repeats few texts
        self._frame = read_table(path).astype("category")
        self._indices: dict[tuple[str, ...], Any] = {}

    def join(self, wells: Any) -> Any:
        """Return the wells with the table's other columns, or None when they share no column."""
        import pandas as pd

        keys = tuple(c for c in self._frame.columns if str(c).startswith("Metadata_") and c in wells.columns)
        if not keys:
            return None
        texts = pd.MultiIndex.from_arrays([_text(wells[key]) for key in keys], names=keys)
        rows = self._index(keys).get_indexer(texts)
        others = [c for c in self._frame.columns if c not in keys]
        added = {c: np.asarray(self._frame[c].array.take(rows, allow_fill=True), dtype=object) for c in others}
        return wells.assign(**added)

    def _index(self, keys: tuple[str, ...]) -> Any:
        import pandas as pd

        if keys not in self._indices:
            columns = [self._frame[key].cat for key in keys]
            parts = [column.rename_categories(_text(column.categories.to_series())) for column in columns]
            index = pd.MultiIndex.from_arrays(parts, names=keys)
            if index.has_duplicates:
                example = dict(zip(keys, index[index.duplicated()][0], strict=True))
                raise ValueError(f"finds more than one row for {example} in {self.path!r}: remove the others there")
            self._indices[keys] = index
        return self._indices[keys]


def _table(path: str) -> MetadataTable:
    status = os.stat(path)
    return _table_as_of(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _table_as_of(path: str, *version: int) -> MetadataTable:
    return MetadataTable(path)


def _joined(wells: Any, tables: Sequence[str]) -> Any:
    """The wells with the columns of all tables, each joined as soon as there is a column to join it on."""
    left = list(tables)
    while left:
        for path in left:
            joined = _table(path).join(wells)
            if joined is not None:
                wells = joined
                left.remove(path)
                break
        else:
            raise ValueError(
                f"shares no Metadata_ column with the table {left[0]!r}; it has {[str(c) for c in wells.columns][:12]}"
            )
    return wells


def _text(column: Any) -> np.ndarray:
    """A column as text, empty where it is missing."""
    missing = column.isna().to_numpy()
    return np.array(["" if gap else plain_text(value) for value, gap in zip(column, missing, strict=True)], dtype=str)


def plain_text(value: Any) -> str:
    """A label as text; whole numbers are without a point, for beside missing ones they are read as floats."""
    is_whole = isinstance(value, (float, np.floating)) and value.is_integer() and abs(float(value)) < 2**53
    return str(int(value) if is_whole else value)


# ---------------------------------------------------------------------------------------------
# Features and structures
# ---------------------------------------------------------------------------------------------


def _features(frame: Any, names: Sequence[str]) -> np.ndarray:
    """Feature matrix in float32."""
    if not names:
        raise ValueError("has no feature column")
    repeated = sorted(name for name, n in Counter(names).items() if n > 1)
    if repeated:
        raise ValueError(f"has more than one column of the names {repeated[:10]}")
    features = frame[names]
    for name in features.columns[[dtype.kind not in "biuf" for dtype in features.dtypes]]:
        features = features.assign(**{name: _as_numbers(features[name])})
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        return features.to_numpy(dtype=np.float32, na_value=np.nan)


def _as_numbers(column: Any) -> Any:
    """A column of nullable numbers, or of nothing, as floats."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    text = column.astype(object).map(lambda value: isinstance(value, str)).astype(bool)
    if text.any():  # rather one that makes no number, which made all of them text in a CSV file
        unreadable = (text & numbers.isna()).to_numpy()
        row = int(np.argmax(unreadable if unreadable.any() else text.to_numpy()))
        raise ValueError(
            f"holds {column.iloc[row]!r} in row {row} of the column {column.name!r}, which is no number: "
            "convert it, start the column's name with Metadata_, or choose the columns with features"
        )
    return numbers.astype(float)


@cache
def identify(text: str, standardize: Standardize) -> tuple[str, str] | None:
    """Canonical SMILES and connectivity key of a molecule; None where the text is no molecule."""
    with rdBase.BlockLogs():
        try:
            mol = parse_molecule(text, standardize)
        except InvalidMolecule:
            return None
        return Chem.MolToSmiles(mol), connectivity_key(mol)


# ---------------------------------------------------------------------------------------------
# A part of a store
# ---------------------------------------------------------------------------------------------


def write_part(plan: PlatePlan, file: Any, name: str, target: Path) -> None:
    """Normalise the wells of one file and write those to be stored to ``target``.

    Parameters
    ----------
    file : Path, or an object with a context manager ``local()`` that yields a path
    name : str
        Of the file, in messages and in the store.

    Raises
    ------
    ValueError
        With the name of the file and what is wrong with it.
    """
    try:
        with file.local() if hasattr(file, "local") else nullcontext(file) as path:
            if Path(path).is_dir():
                raise ValueError(f"{name!r} is a folder, not a table of wells.")
            frame = read_table(path)
            try:
                arrays, facts = _part(plan, frame, str(Path(name).with_suffix("")))
            except ValueError as error:
                raise ValueError(f"{name!r} {str(error).rstrip('.')}.") from error
            with open(path, "rb") as raw:
                sha = hashlib.file_digest(raw, "sha256").hexdigest()
                facts["file"] = {"name": name, "bytes": raw.tell(), "sha256": sha}
    except FileNotFoundError:
        if plan.missing_files == "raise":
            raise
        arrays, facts = _MISSING
    with atomic_write(target) as temporary, open(temporary, "wb") as out:
        np.savez(out, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]


def _part(plan: PlatePlan, frame: Any, stem: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of one file, as :class:`Part` reads them."""
    n = len(frame)
    if not n:
        raise ValueError("has no rows")
    named = {plan.smiles, plan.dose_column, plan.weight_column, plan.control_column, *plan.plate_columns}
    named.update(column for column, _ in plan.keep + plan.exclude)
    if not plan.tables:
        named.add(find_structure_column(list(frame.columns), plan.smiles))
    metadata = [c for c in frame.columns if str(c).startswith("Metadata_") or c in named]
    names = matching_columns([str(c) for c in frame.columns if c not in metadata], plan.features, "")
    X = _features(frame, names)
    wells = _joined(frame[metadata], plan.tables)
    structures = find_structure_column(list(wells.columns), plan.smiles)
    del frame

    fate = np.full(n, "stored", dtype="<U20")

    def mark(name: str, which: np.ndarray) -> None:
        fate[(fate == "stored") & which] = name

    for column, values in plan.keep:
        mark("not_kept", ~_is_one_of(wells, column, values))
    for column, values in plan.exclude:
        mark("excluded", _is_one_of(wells, column, values))
    texts = [value.strip() if isinstance(value, str) else "" for value in wells[structures]]
    found = [identify(text, plan.standardize) if text else None for text in texts]
    smiles, keys = (np.array(["" if item is None else item[i] for item in found], dtype=str) for i in (0, 1))
    controls = _controls(plan, wells, smiles)
    if plan.controls == "exclude":
        mark("control", controls)
    mark("without_structure", np.array([not text for text in texts]))
    mark("unparsable", smiles == "")
    mark("held_out", np.isin(keys, plan.hold_out))
    labels = _labels(plan, wells, stem)
    mark("without_values", ~np.isfinite(X).any(axis=1))
    if (fate == "stored").any():
        held_out = np.isin(keys, plan.hold_out) & ~controls  # whatever else becomes of them
        X = np.where(held_out[:, None], np.nan, X) if held_out.any() else X
        X = _normalized(plan, X, labels, controls, labels["plate"][fate == "stored"])
        mark("without_controls", ~np.isfinite(X).any(axis=1))
    stored = fate == "stored"
    X = X[stored]
    count, mean, variance = moments(X.astype(np.float64))
    peak = np.max(np.abs(X), axis=0, initial=0.0, where=np.isfinite(X))
    X[~np.isfinite(X)] = np.nan
    n_clipped = 0
    if plan.clip is not None:
        n_clipped = int((np.abs(X) > plan.clip).sum())
        np.clip(X, -plan.clip, plan.clip, out=X)
    numbers = {name: _numbers(wells, column) for name, column in
               (("dose", plan.dose_column), ("weight", plan.weight_column)) if column is not None}  # fmt: skip
    weight = numbers.get("weight", np.ones(n))
    if (unfit := stored & ~(np.isfinite(weight) & (weight >= 0))).any():
        row = int(np.flatnonzero(unfit)[0])
        raise ValueError(
            f"holds the weight {weight[row]} in row {row}, and a weight must be finite and not negative: correct it, "
            "or leave the well out with keep or exclude"
        )
    arrays = {
        "profiles": X.astype(plan.dtype),
        "smiles": smiles[stored],
        "key": keys[stored],
        "moments": np.stack([count, mean, variance, peak]),
        **{name: values[stored] for name, values in (labels | numbers).items()},
    }
    facts = {
        "features": names,
        "fates": dict(Counter(fate.tolist())),
        "names": sorted({text for text, own in zip(texts, stored, strict=True) if own}),
        "counts": {
            "wells": n,
            "plates": len(set(labels["plate"].tolist())),
            "values_clipped": n_clipped,
            "values_missing": int(np.isnan(X).sum()),
        },
    }
    return arrays, facts


def _column(wells: Any, column: str) -> Any:
    if column not in wells.columns:
        raise ValueError(f"has no column {column!r}; its metadata are {[str(c) for c in wells.columns][:20]}")
    return wells[column]


def _is_one_of(wells: Any, column: str, values: Sequence[str]) -> np.ndarray:
    return np.isin(_text(_column(wells, column)), values)


def _numbers(wells: Any, column: str) -> np.ndarray:
    return np.asarray(_as_numbers(_column(wells, column)), dtype=np.float32)


def _controls(plan: PlatePlan, wells: Any, smiles: np.ndarray) -> np.ndarray:
    """Which wells are negative controls."""
    if plan.control_column is None and CONTROL_COLUMN not in wells.columns:
        return smiles == _DMSO
    column = plan.control_column or CONTROL_COLUMN
    if plan.control_label:
        return _is_one_of(wells, column, plan.control_label)
    marked = _column(wells, column)
    strange = [value for value in marked.tolist() if not isinstance(value, (bool, np.bool_))]
    if strange:
        raise ValueError(
            f"holds {strange[0]!r} in the column of controls {column!r}, which must be true or false: name the values "
            "that mark a control with control_label"
        )
    return np.asarray(marked, dtype=bool)


def _labels(plan: PlatePlan, wells: Any, stem: str) -> dict[str, np.ndarray]:
    """Source, batch, plate and well of each row, as far as they are known; the plate is the file where it is not."""
    labels = {
        name: _text(wells[column])
        for name, column in ((name, f"Metadata_{name.title()}") for name in WELL_COLUMNS)
        if column in wells.columns
    }
    columns = plan.plate_columns or tuple(c for c in _PLATE_COLUMNS if c in wells.columns)
    parts = [_text(_column(wells, c)).tolist() for c in columns]
    ids = ["/".join(filter(None, row)) for row in zip(*parts, strict=True)] if parts else [stem] * len(wells)
    named = parts[columns.index("Metadata_Plate")] if "Metadata_Plate" in columns else ids
    if plan.normalizer is not None and "" in named:
        raise ValueError(f"has no plate in row {named.index('')} (columns {list(columns)})")
    return labels | {"plate": np.array(ids, dtype=str)}


def _normalized(
    plan: PlatePlan, X: np.ndarray, labels: Mapping[str, np.ndarray], controls: np.ndarray, plates: np.ndarray
) -> np.ndarray:
    """Profiles of some plates, scaled plate by plate; NaN on others, and where the normaliser drops a plate."""
    if plan.normalizer is None:
        return X
    wanted = np.isin(labels["plate"], plates)
    # what float32 cannot hold becomes infinite
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # of rows that become NaN: they are counted
        batches = labels["batch"][wanted] if plan.normalizer.whiten and "batch" in labels else None
        # a normaliser without a column of controls is one that goes by all wells
        reference = None if plan.normalizer.control_column is None else controls[wanted]
        metadata = {"plates": labels["plate"][wanted], "controls": reference, "batches": batches}
        Z = np.full_like(X, np.nan)
        try:
            Z[wanted] = clone(plan.normalizer).fit_transform(X[wanted], **metadata)
        except ValueError as error:
            raise ValueError(f"cannot be normalised: {error}") from error
    return Z


@dataclass(frozen=True)
class Part:
    """What :func:`write_part` wrote about the wells of one file; their profiles stay on the disk.

    Attributes
    ----------
    facts : dict
        ``features``, ``fates``, ``counts``, ``file`` and ``names``.
    wells : dict of str to ndarray, each of shape (n_stored,)
        ``smiles`` and ``key``, and of source, batch, plate, well, dose and weight those that are known.
    moments : ndarray, shape (4, n_features)
        Count, mean, variance and largest size of the finite values of each feature, before clipping.
    """

    facts: dict[str, Any]
    wells: dict[str, np.ndarray]
    moments: np.ndarray


def read_part(path: Path) -> Part:
    """Read all of a part but its profiles."""
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays.files if name != "profiles"}
    return Part(json.loads(bytes(content.pop("facts"))), moments=content.pop("moments"), wells=content)


def read_profiles(path: Path) -> np.ndarray:
    """Read the clipped profiles of a part, shape (n_stored, n_features)."""
    with np.load(path) as arrays:
        return arrays["profiles"]
