"""One file of plates → normalised profiles of its treated wells, and what became of the others."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from sklearn.base import clone

from .molecules import InvalidMolecule, Standardize, connectivity_key, parse_molecule
from .normalization import ProfileNormalizer
from .profiles import matching_columns, moments
from .runtime import atomic_write
from .store import WELL_COLUMNS
from .tables import find_structure_column, read_table

CONTROL_COLUMN = "Metadata_IsNegcon"
_DMSO = "CS(C)=O"
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
        rows = self._index(keys).get_indexer(pd.MultiIndex.from_frame(wells[list(keys)].astype(str)))
        others = [c for c in self._frame.columns if c not in keys]
        added = {c: np.asarray(self._frame[c].array.take(rows, allow_fill=True), dtype=object) for c in others}
        return wells.assign(**added)

    def _index(self, keys: tuple[str, ...]) -> Any:
        import pandas as pd

        if keys not in self._indices:
            parts = [self._frame[key].cat.rename_categories(lambda value: str(value)) for key in keys]
            index = pd.MultiIndex.from_arrays(parts, names=keys)
            if index.has_duplicates:
                example = dict(zip(keys, index[index.duplicated()][0], strict=True))
                raise ValueError(f"finds more than one row for {example} in {self.path!r}: remove the others there")
            self._indices[keys] = index
        return self._indices[keys]


@lru_cache(maxsize=8)
def _table(path: str) -> MetadataTable:
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
    text = np.flatnonzero(column.notna() & (numbers.isna() | column.map(lambda value: isinstance(value, str))))
    if len(text):
        raise ValueError(
            f"holds {column.iloc[text[0]]!r} in row {text[0]} of the column {column.name!r}, which is no number: "
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


def write_part(plan: PlatePlan, file: Any, target: Path) -> None:
    """Normalise the wells of one file and write those to be stored to ``target``.

    Parameters
    ----------
    file : Path, or an object with a ``name`` and a context manager ``local()`` that yields a path

    Raises
    ------
    ValueError
        With the name of the file and what is wrong with it.
    """
    local: AbstractContextManager[Path] = file.local() if hasattr(file, "local") else nullcontext(file)
    with local as path:
        frame = read_table(path)
        try:
            arrays, facts = _part(plan, frame, Path(file.name).stem)
        except ValueError as error:
            raise ValueError(f"{file.name!r} {str(error).rstrip('.')}.") from error
        with open(path, "rb") as raw:
            facts["file"] = {"name": file.name, "sha256": hashlib.file_digest(raw, "sha256").hexdigest()}
    with atomic_write(target) as temporary, open(temporary, "wb") as out:
        np.savez(out, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]


def _part(plan: PlatePlan, frame: Any, stem: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of one file, as :class:`Part` reads them."""
    n = len(frame)
    if not n:
        raise ValueError("has no rows")
    named = {plan.smiles, plan.dose_column, plan.weight_column, plan.control_column, *plan.plate_columns}
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
        X = _normalized(plan, X, labels, controls)
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
    arrays = {
        "profiles": X.astype(plan.dtype),
        "smiles": smiles[stored],
        "keys": keys[stored],
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
    return np.asarray(_column(wells, column).astype(str).isin(values))


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
        name: np.asarray(wells[column].fillna("").astype(str), dtype=str)
        for name, column in ((name, f"Metadata_{name.title()}") for name in WELL_COLUMNS)
        if column in wells.columns
    }
    columns = plan.plate_columns or tuple(c for c in _PLATE_COLUMNS if c in wells.columns)
    parts = [np.asarray(_column(wells, c).fillna("").astype(str), dtype=str).tolist() for c in columns]
    ids = ["/".join(filter(None, row)) for row in zip(*parts, strict=True)] if parts else [stem] * len(wells)
    if plan.normalizer is not None and "" in ids:
        raise ValueError(f"has no plate in row {ids.index('')} (columns {list(columns)})")
    return labels | {"plate": np.array(ids, dtype=str)}


def _normalized(plan: PlatePlan, X: np.ndarray, labels: Mapping[str, np.ndarray], controls: np.ndarray) -> np.ndarray:
    """Profiles scaled plate by plate; plates without enough controls become NaN where the normaliser drops them."""
    if plan.normalizer is None:
        return X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows that become NaN: they are counted
        batches = labels.get("batch") if plan.normalizer.whiten else None
        # a normaliser without a column of controls is one that goes by all wells
        reference = None if plan.normalizer.control_column is None else controls
        try:
            Z = clone(plan.normalizer).fit_transform(X, plates=labels["plate"], controls=reference, batches=batches)
        except ValueError as error:
            raise ValueError(f"cannot be normalised: {error}") from error
    return np.asarray(Z, dtype=np.float32)


class Part:
    """What :func:`write_part` wrote; the profiles are read when they are asked for.

    Attributes
    ----------
    facts : dict
        Features, counts and the file.
    smiles, keys : ndarray of str, shape (n_stored,)
    moments : ndarray, shape (4, n_features)
        Count, mean, variance and largest size of the finite values of each feature, before clipping.
    """

    def __init__(self, path: Path):
        self._path = path
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files if name != "profiles"}
        self.facts: dict[str, Any] = json.loads(bytes(self._arrays.pop("facts")))
        self.smiles, self.keys, self.moments = (self._arrays.pop(name) for name in ("smiles", "keys", "moments"))

    @cached_property
    def n_stored(self) -> int:
        """Number of wells."""
        return len(self.smiles)

    def get(self, name: str) -> np.ndarray | None:
        """One of source, batch, plate, well, dose and weight, of each well."""
        return self._arrays.get(name)

    def profiles(self) -> np.ndarray:
        """Clipped profiles, shape (n_stored, n_features)."""
        with np.load(self._path) as arrays:
            return arrays["profiles"]
