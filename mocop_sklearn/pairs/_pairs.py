"""Molecules paired with their profiles, in memory or in a store: what ``MoCoPEmbedder(pairs=...)`` learns from."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, compress
from typing import Any

import numpy as np

from ..molecules._parse import as_text, check_molecules, unique_molecules
from ..profiles._scaler import (
    blocks,
    check_profiles,
    feature_columns,
    frame_to_numpy,
    has_values,
    matching_columns,
)
from ..tables._files import read_wells
from ..utils._random import Stream, generator
from ._store import WELL_COLUMNS, Labels, Store, is_store, read_store

_LOG_DOSE = "Log10Dose"


def split_molecules(keys: Sequence[str], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split molecules into training and validation so that no key is on both sides.

    Parameters
    ----------
    keys : sequence of str
        Connectivity key of each molecule: stereoisomers and salts of one compound stay together.

    Returns
    -------
    training, validation : ndarray of int
        ``validation`` is empty when either part would hold fewer than two keys.
    """
    unique, group = np.unique(np.asarray(keys), return_inverse=True)
    n_validation = round(validation_fraction * len(unique))
    if n_validation < 2 or len(unique) - n_validation < 2:
        return np.arange(len(keys)), np.arange(0)
    chosen = generator(seed, Stream.SPLIT).permutation(len(unique))[:n_validation]
    held_out = np.isin(group, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


class PairedProfiles:
    """Molecules and their profiles, row by row: an external corpus for ``MoCoPEmbedder(pairs=...)``.

    Immutable: ``copy.deepcopy`` and scikit-learn's ``clone`` return the object itself, so that a grid
    search does not copy the profiles. A corpus that :func:`mocop_sklearn.build_pairs` has stored
    (``PairedProfiles.open``) stays on disk, and is sent to other processes as the path that it has.

    ``pairs[rows]``, with a mask, numbers or a slice, is a view of some rows without a copy. So hold-outs are
    scikit-learn's own: ``GroupShuffleSplit().split(pairs.molecules, groups=pairs.plates)``, or with the groups
    of :mod:`mocop_sklearn.model_selection`.

    Parameters
    ----------
    molecules : list, array or Series of str or Mol, shape (n_rows,)
    profiles : array-like of float or DataFrame, shape (n_rows, n_features)
        Rows of one molecule are its replicates. NaN and infinities are allowed. A float32 array is not
        copied: leave it as it is afterwards. Of a DataFrame, ``Metadata_Source``, ``Metadata_Batch``,
        ``Metadata_Plate`` and ``Metadata_Well`` are kept.
    feature_names : sequence of str, default=None
        Names of the columns, each its own, when ``profiles`` is no DataFrame.
    sample_weight : array-like of float, shape (n_rows,), default=None
        Not negative. A row of weight 0 is left out; a molecule's share in the loss is the mean weight of its other
        rows.
    doses : array-like of float, shape (n_rows,), default=None
        Of each row, in any unit, NaN where it is unknown.

    Attributes
    ----------
    molecules : list, shape (n_rows,)
    feature_names : list of str or None
    n_features : int
    sources, batches, plates, wells : ndarray of str, shape (n_rows,), or None
    doses, sample_weight : ndarray of float32, shape (n_rows,), or None
    report_ : dict
        What was read, kept and left out when the corpus was built; empty for one that was not.
    digest : str
        SHA-256 of all the content.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn import PairedProfiles
    >>> pairs = PairedProfiles(["CCO", "CCN"], np.eye(2), doses=[1.0, 10.0])
    >>> pairs
    PairedProfiles(2 rows, 2 features)
    >>> pairs[pairs.doses < 5].molecules
    ['CCO']
    """

    def __init__(
        self,
        molecules: Any,
        profiles: Any,
        feature_names: Sequence[str] | None = None,
        *,
        sample_weight: Any = None,
        doses: Any = None,
    ):
        values = check_molecules(molecules)
        n = len(values)
        matrix, names = check_profiles(profiles, n)
        self.feature_names = names if feature_names is None else [str(name) for name in feature_names]
        if self.feature_names is not None and len(self.feature_names) != matrix.shape[1]:
            raise ValueError(f"There are {len(self.feature_names)} feature_names for {matrix.shape[1]} features.")
        if repeated := [name for name, n_times in Counter(self.feature_names).items() if n_times > 1]:
            raise ValueError(f"feature_names holds {repeated[:10]} more than once.")
        matrix = matrix.view()
        matrix.flags.writeable = False
        self._matrix = matrix
        self._values, self._value_of_row = values, np.arange(n)
        self._rows: np.ndarray | None = None  # of the matrix; None: all
        self._columns: np.ndarray | None = None
        self._with_dose = False
        self._store: Store | None = None
        self._labels = _labels_of_frame(profiles)
        self._numbers = {
            "dose": _one_per_row(doses, n, "doses"),
            "weight": _one_per_row(sample_weight, n, "sample_weight"),
        }
        weight = self._numbers["weight"]
        if weight is not None and not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError("sample_weight must be finite, not negative, and not all 0.")

    @classmethod
    def open(cls, path: Any) -> PairedProfiles:
        """Open a corpus that ``build_pairs`` or ``mocop build`` has stored.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        FileNotFoundError, ValueError
            When there is none, or it is damaged or of a newer format.
        """
        store = read_store(path)
        pairs = cls.__new__(cls)
        pairs.feature_names = list(store.header["feature_names"])
        pairs._matrix = store.profiles
        pairs._values, pairs._value_of_row = store.smiles, store.molecule
        pairs._rows = pairs._columns = None
        pairs._with_dose = False
        pairs._store = store
        pairs._labels = store.labels
        pairs._numbers = {"dose": None, "weight": None} | store.numbers
        pairs.__dict__["digest"] = store.header["digest"]
        return pairs

    @classmethod
    def from_file(cls, path: Any, smiles: str | None = None, features: Sequence[str] | None = None) -> PairedProfiles:
        """Read a parquet or CSV file with one row per well.

        Parameters
        ----------
        path : str or Path
        smiles : str, optional
            The column of structures; by default ``Metadata_SMILES``, ``SMILES`` or the like.
        features : sequence of str, optional
            The feature columns; by default every numeric one that does not start with ``Metadata_``.

        Raises
        ------
        ValueError
            When a column is missing. Wells without a structure are left out with a warning that
            counts them.
        """
        molecules, frame = read_wells(path, smiles)
        columns = list(features) if features is not None else feature_columns(frame)
        numeric = set(frame.select_dtypes(["number", "bool"]))
        missing = [c for c in columns if c not in numeric]
        if missing or not columns:
            which = f"{missing[:10]}, or they are not numeric" if missing else "(it has no numeric ones)"
            raise ValueError(f"{str(path)!r} lacks the feature columns {which}.")
        named = np.array([isinstance(m, str) and bool(m.strip()) for m in molecules])
        if not named.all():
            if not named.any():
                raise ValueError(f"{str(path)!r} has no row with a structure.")
            warnings.warn(
                f"{(~named).sum()} of {len(named)} wells in {str(path)!r} have no structure and are left out.",
                UserWarning,
                stacklevel=2,
            )
        pairs = cls(list(compress(molecules, named)), frame_to_numpy(frame.loc[named, columns]), columns)
        pairs._labels = _labels_of_frame(frame[named])
        return pairs

    # -- content ------------------------------------------------------------------------------

    @property
    def molecules(self) -> list[Any]:
        """Molecule of each row, as it was given; canonical SMILES in a store."""
        return [self._values[i] for i in self._value_of_row.tolist()]

    def distinct_molecules(self) -> tuple[list[Any], np.ndarray]:
        """Distinct texts of molecules, and for each row its place among them."""
        used, place = np.unique(self._value_of_row, return_inverse=True)
        unique, inverse = unique_molecules([self._values[i] for i in used.tolist()])
        return unique, inverse[place]

    @property
    def n_features(self) -> int:
        """Columns of ``read``."""
        return (self._matrix.shape[1] if self._columns is None else len(self._columns)) + self._with_dose

    def read(self, rows: Any = slice(None)) -> np.ndarray:
        """Return profiles of some rows.

        Parameters
        ----------
        rows : slice, ndarray of int or of bool, default: all

        Returns
        -------
        ndarray of float32, shape (n, n_features)
            Read-only where it is the matrix that the corpus was made of.
        """
        places = rows if self._rows is None else self._rows[rows]
        profiles = self._matrix[places]
        if self._columns is not None:
            profiles = profiles[:, self._columns]
        profiles = profiles.astype(np.float32, copy=False)
        if self._with_dose:
            profiles = np.column_stack([profiles, np.log10(self.doses[rows])])  # type: ignore[index]
        return profiles

    @property
    def profiles(self) -> np.ndarray:
        """All profiles, in memory, shape (n_rows, n_features)."""
        return self.read()

    def has_values(self) -> np.ndarray:
        """Which rows hold a finite value."""
        if self._store is not None and self._columns is None:
            return np.ones(len(self), dtype=bool)  # others were left out when it was built
        parts = [has_values(self.read(rows)) for rows in blocks(len(self), self.n_features)]
        return np.concatenate(parts)

    def _label(self, name: str) -> np.ndarray | None:
        label = self._labels.get(name)
        return None if label is None else label.text()

    @property
    def sources(self) -> np.ndarray | None:
        """Source of each row."""
        return self._label("source")

    @property
    def batches(self) -> np.ndarray | None:
        """Batch of each row."""
        return self._label("batch")

    @property
    def plates(self) -> np.ndarray | None:
        """Plate of each row; in a store with its source and batch, as far as they are known."""
        return self._label("plate")

    @property
    def wells(self) -> np.ndarray | None:
        """Well of each row."""
        return self._label("well")

    @property
    def doses(self) -> np.ndarray | None:
        """Dose of each row."""
        return self._numbers["dose"]

    @property
    def sample_weight(self) -> np.ndarray | None:
        """Weight of each row."""
        return self._numbers["weight"]

    @property
    def source_codes(self) -> np.ndarray | None:
        """Number of each row's source."""
        label = self._labels.get("source")
        return None if label is None else label.codes

    @property
    def recipe_(self) -> dict[str, Any]:
        """Options of the build, and digests of what went into it; empty for a corpus that was not built."""
        return {} if self._store is None else copy.deepcopy(self._store.header["recipe"])

    @property
    def files_(self) -> list[dict[str, Any]]:
        """Name, size and SHA-256 of each file of plates; empty for a corpus that was not built."""
        return [] if self._store is None else copy.deepcopy(self._store.header["files"])

    @property
    def report_(self) -> dict[str, Any]:
        """What was read, kept and left out when the corpus was built."""
        return {} if self._store is None else copy.deepcopy(self._store.header["report"])

    @cached_property
    def digest(self) -> str:
        """Digest of the molecules as given, the profiles and their names, and what else a fit may read."""
        sha = hashlib.sha256(repr((len(self), self.n_features, self.feature_names)).encode())
        if self._store is not None:  # a view: what it is a view of, and which
            sha.update(self._store.header["digest"].encode())
            for array in (self._rows, self._columns):
                sha.update(b"" if array is None else np.ascontiguousarray(array, dtype=np.int64).data)
            return sha.hexdigest()
        for molecule in self.molecules:
            sha.update(repr(as_text(molecule)).encode() + b"\n")
        sha.update(np.ascontiguousarray(self.profiles).data)
        for extra in (self.source_codes, self.sample_weight):
            sha.update(b"none" if extra is None else extra.tobytes())
        return sha.hexdigest()

    def __len__(self) -> int:
        return len(self._value_of_row)

    def __repr__(self) -> str:
        return f"PairedProfiles({len(self)} rows, {self.n_features} features)"

    # -- views and copies ---------------------------------------------------------------------

    def __getitem__(self, rows: Any) -> PairedProfiles:
        """Return a view of some rows: a mask, numbers or a slice."""
        rows = np.arange(len(self))[rows]
        if rows.ndim != 1 or not len(rows):
            raise ValueError("Choose at least one row, by a mask, an array of numbers or a slice.")
        view = self._view()
        view._rows = rows if self._rows is None else self._rows[rows]
        view._value_of_row = self._value_of_row[rows]
        view._labels = {name: label[rows] for name, label in self._labels.items()}
        view._numbers = {name: None if x is None else x[rows] for name, x in self._numbers.items()}
        return view

    def select_features(self, columns: Sequence[int]) -> PairedProfiles:
        """Return a view of some features, by their numbers, in that order."""
        if self._with_dose:
            raise ValueError("Choose features before the dose is added to them.")
        view = self._view()
        chosen = np.asarray(columns, dtype=np.int64)
        view._columns = chosen if self._columns is None else self._columns[chosen]
        if self.feature_names is not None:
            view.feature_names = [self.feature_names[i] for i in chosen.tolist()]
        return view

    def with_dose(self) -> PairedProfiles:
        """Return a view with one more feature, the last: the logarithm (base 10) of the dose.

        Where features are turned into components, keep it apart from them: ``ColumnTransformer([("profile",
        ProfileScaler(n_components=64), slice(0, -1)), ("dose", ProfileScaler(), [-1])])`` as
        ``profile_transformer``.

        Raises
        ------
        ValueError
            When the doses are unknown, or one is 0 or less.
        """
        if self._with_dose:
            return self
        if self.doses is None:
            raise ValueError("These pairs have no doses: give doses=, or name the column of doses when you build them.")
        if (self.doses <= 0).any():
            row = int(np.flatnonzero(self.doses <= 0)[0])
            raise ValueError(
                f"Row {row} has the dose {self.doses[row]}; a logarithm needs doses above 0: leave it out."
            )
        view = self._view()
        view._with_dose = True
        if self.feature_names is not None:
            view.feature_names = [*self.feature_names, _LOG_DOSE]
        return view

    def _view(self) -> PairedProfiles:
        view = object.__new__(type(self))
        view.__dict__.update({name: value for name, value in self.__dict__.items() if name != "digest"})
        return view

    def __copy__(self) -> PairedProfiles:
        return self

    def __deepcopy__(self, memo: Any) -> PairedProfiles:
        return self

    def __getstate__(self) -> dict[str, Any]:
        if self._store is None:
            return self.__dict__
        state = {name: self.__dict__[name] for name in ("_rows", "_columns", "_with_dose")}
        return state | {"path": self._store.path.resolve(), "content": self._store.header["digest"]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "path" in state:
            pairs = PairedProfiles.open(state["path"])
            if pairs.digest != state["content"]:
                raise ValueError(f"{str(state['path'])!r} holds other pairs than when this object was made.")
            pairs = pairs if state["_rows"] is None else pairs[state["_rows"]]
            pairs = pairs if state["_columns"] is None else pairs.select_features(state["_columns"])
            state = (pairs.with_dose() if state["_with_dose"] else pairs).__dict__
        self.__dict__.update(state)


def _labels_of_frame(profiles: Any) -> dict[str, Labels]:
    """Source, batch, plate and well of the rows of a table."""
    columns = {name: f"Metadata_{name.title()}" for name in WELL_COLUMNS}
    known = Counter(map(str, getattr(profiles, "columns", ())))
    if repeated := [c for c in columns.values() if known[c] > 1]:
        raise ValueError(f"profiles has more than one column of the names {repeated}. Rename or drop them.")
    return {name: Labels.of(np.asarray(profiles[c]).astype(str)) for name, c in columns.items() if c in known}


def _one_per_row(values: Any, n_rows: int, name: str) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float32)
    if array.shape != (n_rows,):
        raise ValueError(f"{name} has shape {array.shape} but there are {n_rows} rows: pass one value per row.")
    return array


def open_pairs(path: Any) -> PairedProfiles:
    """Open a store, or read a table of wells, whichever is at ``path``."""
    return PairedProfiles.open(path) if is_store(path) else PairedProfiles.from_file(path)


def read_pairs(
    paths: Sequence[Any], smiles: str | None = None, features: Sequence[str] = (), columns: str = "same"
) -> PairedProfiles:
    """Read tables of wells, one below the other, or open one store.

    Parameters
    ----------
    paths : sequence of str or Path
    smiles : str, optional
        As in :meth:`PairedProfiles.from_file`.
    features : sequence of str
        Names of feature columns, or patterns like ``Cells_*``; by default every numeric column that does
        not start with ``Metadata_``.
    columns : {"same", "intersection"}
        Whether files with different features are refused, or the features that all have are taken.

    Returns
    -------
    PairedProfiles
        The features are in the order of the first file.

    Raises
    ------
    ValueError
        When a file cannot be read, or when features are missing.
    """
    import pandas as pd

    stores = [path for path in paths if is_store(path)]
    if stores and len(paths) > 1:
        raise ValueError(f"{str(stores[0])!r} is a folder: pass one stored corpus alone, or only tables.")
    if stores:
        pairs = PairedProfiles.open(stores[0])
        names = pairs.feature_names or []
        chosen_names = matching_columns(names, features, repr(str(stores[0])))
        return pairs.select_features([names.index(name) for name in chosen_names]) if features else pairs
    tables = [PairedProfiles.from_file(path, smiles) for path in paths]
    if len(tables) == 1 and not features:
        return tables[0]
    chosen = [
        matching_columns(table.feature_names or [], features, repr(str(path)))
        for path, table in zip(paths, tables, strict=True)
    ]
    for path, names in zip(paths, chosen, strict=True):
        lacking = sorted(set(chain(*chosen)).difference(names))
        if lacking and columns == "same":
            raise ValueError(
                f"{str(path)!r} lacks {len(lacking)} feature columns that another file has: {lacking[:10]}. Choose "
                "columns with features, or take those that all files have with columns intersection."
            )
    shared = set(chosen[0]).intersection(*chosen)
    if not shared:
        raise ValueError("The files have no feature column in common.")
    names = [name for name in chosen[0] if name in shared]
    molecules = list(chain(*(table.molecules for table in tables)))
    profiles = np.empty((len(molecules), len(names)), dtype=np.float32)
    for table, part in zip(tables, np.split(profiles, np.cumsum([len(table) for table in tables[:-1]])), strict=True):
        part[:] = table.profiles[:, pd.Index(table.feature_names).get_indexer(names)]
    pairs = PairedProfiles(molecules, profiles, names)
    for name in WELL_COLUMNS:
        labels = [table._labels.get(name) for table in tables]
        if all(label is not None for label in labels):
            pairs._labels[name] = Labels.of(np.concatenate([label.text() for label in labels if label is not None]))
    return pairs


def average_by_group(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean of the rows of each group, shape (n_groups, n_features); groups are numbered from 0 without gaps."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    counts = np.bincount(group)[:, None].astype(rows.dtype)
    return np.add.reduceat(rows[order], starts, axis=0) / counts
