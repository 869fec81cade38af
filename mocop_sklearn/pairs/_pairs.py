"""Molecules paired with their profiles, in memory or in a store: what ``MoCoPEmbedder(pairs=...)`` learns from."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from ..molecules._parse import as_text, check_molecules, unique_molecules
from ..profiles._checks import check_profiles
from ..profiles._features import describe_columns, feature_matrix
from ..profiles._moments import blocks, has_values
from ..tables._frames import as_frame
from ..tables._read import read_wells
from ..utils._arrays import as_array
from ._controls import find_controls
from ._labels import WELL_COLUMNS, Labels, metadata_column
from ._store import Store, read_store

_LOG_DOSE = "Log10Dose"


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
        What was read, kept and left out when the corpus was built; for one that was read from a table, the columns
        that are not features.
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
        profiles = as_frame(profiles)
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
        self._left_out: dict[str, str] = {}
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
        pairs._left_out = {}
        pairs._store = store
        pairs._labels = store.labels
        pairs._numbers = {"dose": None, "weight": None} | store.numbers
        pairs.__dict__["digest"] = store.header["digest"]
        return pairs

    @classmethod
    def from_file(
        cls, path: Any, smiles: str | None = None, features: Sequence[str] | None = None, controls: str = "keep"
    ) -> PairedProfiles:
        """Read a parquet or CSV file with one row per well.

        Parameters
        ----------
        path : str or Path
        smiles : str, optional
            The column of structures; by default ``Metadata_SMILES``, ``SMILES`` or the like.
        features : sequence of str, optional
            Names of feature columns, or patterns like ``Cells_*``; by default those of
            :func:`mocop_sklearn.profiles.feature_columns`. ``report_`` says why other columns are left out.

        controls : {"keep", "exclude"}
            Whether the negative controls, by the default rules of ``build_pairs``, are among the rows.

        Raises
        ------
        ValueError
            When a column is missing. Wells without a structure are left out with a warning that
            counts them.
        """
        structures, frame = read_wells(path, smiles)
        molecules = frame[structures].tolist()
        described = describe_columns(frame, not_features=[structures])
        columns = described.select(features or (), repr(str(path)))
        if not columns:
            raise ValueError(f"{str(path)!r} has no features. Its other columns: {described.left_out}.")
        texts = [m.strip() if isinstance(m, str) else "" for m in molecules]
        named = np.array([text != "" for text in texts])
        if not named.any():
            raise ValueError(f"{str(path)!r} has no row with a structure.")
        if not named.all():
            _warn_of_wells(~named, path, "have no structure")
        if controls == "exclude":
            marked = find_controls(frame, texts, None, ())[0] & named
            if marked.any():
                _warn_of_wells(marked, path, "are negative controls")
            named &= ~marked
            if not named.any():
                raise ValueError(f"{str(path)!r} has no well that is not a negative control.")
        pairs = cls(list(compress(molecules, named)), feature_matrix(frame[named], columns), columns)
        pairs._left_out = described.left_out
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
        if self._store is not None:
            return copy.deepcopy(self._store.header["report"])
        return {"features_left_out": dict(self._left_out)} if self._left_out else {}

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


def _warn_of_wells(wells: np.ndarray, path: Any, what: str) -> None:
    message = f"{wells.sum()} of {len(wells)} wells in {str(path)!r} {what} and are left out."
    warnings.warn(message, UserWarning, stacklevel=3)


def _labels_of_frame(profiles: Any) -> dict[str, Labels]:
    """Source, batch, plate and well of the rows of a table."""
    columns = {name: metadata_column(name) for name in WELL_COLUMNS}
    known = Counter(map(str, getattr(profiles, "columns", ())))
    if repeated := [c for c in columns.values() if known[c] > 1]:
        raise ValueError(f"profiles has more than one column of the names {repeated}. Rename or drop them.")
    return {name: Labels.of(np.asarray(profiles[c]).astype(str)) for name, c in columns.items() if c in known}


def _one_per_row(values: Any, n_rows: int, name: str) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(as_array(values), dtype=np.float32)
    if array.shape != (n_rows,):
        raise ValueError(f"{name} has shape {array.shape} but there are {n_rows} rows: pass one value per row.")
    return array
