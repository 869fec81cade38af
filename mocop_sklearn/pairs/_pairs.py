"""Molecules paired with their profiles, in memory or in a store: what ``MoCoPEmbedder(pairs=...)`` learns from."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ..molecules._parse import as_text, check_molecules, unique_molecules
from ..profiles._checks import check_profiles
from ..profiles._features import describe_columns, feature_matrix
from ..profiles._moments import blocks, has_values
from ..tables._frames import as_frame
from ..tables._read import read_wells
from ..utils._arrays import as_array
from ._frames import labels_of_frame, wells_to_keep
from ._html import repr_html
from ._store import Store, read_store

_LOG_DOSE = "Log10Dose"
# What an object that came out of a pickle does not have before its store is opened.
_CONTENT = ("feature_names", "_matrix", "_values", "_value_of_row", "_rows", "_columns", "_with_dose", "_store",
            "_labels", "_numbers", "_digest", "_origin", "_left_out")  # fmt: skip


class PairedProfiles:
    """Molecules and their profiles, row by row: an external corpus for ``MoCoPEmbedder(pairs=...)``.

    The object is immutable: ``copy.deepcopy`` and scikit-learn's ``clone`` return the object itself, so that a
    grid search does not copy the profiles. A corpus that :func:`mocop_sklearn.build_pairs` has stored
    (``PairedProfiles.open``) stays on the disk. Its pickle is a path, which is opened at the first use: a pickled
    pipeline loads where its corpus is not.

    ``pairs[rows]``, with a mask, numbers or a slice, is a view of some rows without a copy. Hold-outs are made
    by scikit-learn's splitters: ``GroupShuffleSplit().split(pairs.molecules, groups=pairs.plates)``, or with the
    groups of :mod:`mocop_sklearn.model_selection`.

    Parameters
    ----------
    molecules : list, array or Series of str or Mol, shape (n_rows,)
    profiles : array-like of float or DataFrame, shape (n_rows, n_features)
        Rows of one molecule are its replicates. NaN and infinities are allowed, and masked values are missing.
        A float32 array is not copied and must not be changed afterwards. Of a DataFrame, ``Metadata_Source``,
        ``Metadata_Batch``, ``Metadata_Plate`` and ``Metadata_Well`` are kept.
    feature_names : sequence of str, default=None
        Names of the columns when ``profiles`` is not a DataFrame. No name may occur twice.
    sample_weight : array-like of float, shape (n_rows,), default=None
        Weights, not negative. A row of weight 0 is left out. The share of a molecule in the loss is the mean weight
        of its other rows.
    doses : array-like of float, shape (n_rows,), default=None
        Dose of each row, in any unit, NaN where it is unknown.

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
    provenance : dict
        Where the profiles come from, as far as it is known.
    digest : str
        SHA-256 of the content.

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
        self._digest: str | None = None
        self._origin: dict[str, Any] = {}
        self._labels = labels_of_frame(profiles)
        self._numbers = {
            "dose": _one_per_row(doses, n, "doses"),
            "weight": _one_per_row(sample_weight, n, "sample_weight"),
        }
        weight = self._numbers["weight"]
        if weight is not None and not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError("sample_weight must be finite, not negative, and not all 0.")

    @classmethod
    def open(cls, path: Any, verify: bool = False) -> PairedProfiles:
        """Open a corpus that ``build_pairs`` or ``mocop build`` has stored.

        Sizes, names and numbers are checked each time. The content is compared with its digest when a file seems to
        have been written since it was last compared, as after copying the store.

        Parameters
        ----------
        path : str or Path
        verify : bool, default=False
            Compare the content in any case. This reads all of it.

        Raises
        ------
        FileNotFoundError
            When there is no store.
        ValueError
            When the store is damaged, or of a newer format.
        """
        return cls._of_store(read_store(path, verify))

    @classmethod
    def _of_store(cls, store: Store) -> PairedProfiles:
        pairs = cls.__new__(cls)
        pairs.feature_names = list(store.header["feature_names"])
        pairs._matrix = store.profiles
        pairs._values, pairs._value_of_row = store.smiles, store.molecule
        pairs._rows = pairs._columns = pairs._digest = None
        pairs._with_dose = False
        pairs._left_out = {}
        pairs._store = store
        pairs._origin = {}
        pairs._labels = store.labels
        pairs._numbers = {"dose": None, "weight": None} | store.numbers
        return pairs

    @classmethod
    def from_file(
        cls, path: Any, smiles: str | None = None, features: Sequence[str] | None = None, controls: str = "keep"
    ) -> PairedProfiles:
        """Read a parquet, CSV or AnnData file (``.h5ad``) with one row per well.

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
        kept = wells_to_keep(molecules, frame, path, controls)
        pairs = cls(list(compress(molecules, kept)), feature_matrix(frame[kept], columns), columns)
        pairs._left_out = described.left_out
        pairs._labels = labels_of_frame(frame[kept])
        pairs._origin = {"files": {"count": 1, "bytes": Path(path).stat().st_size, "names": [Path(path).name]}}
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
        """Which rows hold a finite value; the dose is not one."""
        if self._store is not None and self._columns is None:
            return np.ones(len(self), dtype=bool)  # others were left out when it was built
        n_measured = self.n_features - self._with_dose
        parts = [has_values(self.read(rows)[:, :n_measured]) for rows in blocks(len(self), self.n_features)]
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

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the profiles come from, in plain values that JSON can hold.

        ``digest``, ``n_wells``, ``n_molecules`` and ``n_features`` are those of this object. A corpus that was built
        also has ``files``, ``normalization`` with its method and the rule of its controls, ``features``, ``wells``,
        ``date``, ``licence`` and ``notes``; otherwise ``normalization`` is None, which means that it is unknown.
        """
        if "_absent" in self.__dict__:
            return copy.deepcopy(self.__dict__["_absent"]["provenance"])
        # a store that was written in the meantime does not matter to what was read of it
        stored_digest = None if self._store is None else str(self._store.header["digest"])
        own = {
            "digest": self._digest or self._digest_of_content(stored_digest),
            "n_wells": len(self),
            "n_molecules": len(self.distinct_molecules()[0]),
            "n_features": self.n_features,
        }
        unknown = {"files": None, "normalization": None}
        stored = {} if self._store is None else copy.deepcopy(self._store.header["provenance"])
        return own | unknown | copy.deepcopy(self._origin) | stored

    @property
    def digest(self) -> str:
        """Digest of the molecules as given, the profiles and their names, and what else a fit may read.

        Raises
        ------
        ValueError
            When the files of a store were written since it was opened.
        """
        if "_absent" in self.__dict__:
            return str(self.__dict__["_absent"]["provenance"]["digest"])
        stored = None if self._store is None else self._store.digest
        if self._digest is None:
            self._digest = self._digest_of_content(stored)
        return self._digest

    def _digest_of_content(self, stored: str | None) -> str:
        is_view = self._rows is not None or self._columns is not None or self._with_dose
        if stored is not None and not is_view:
            return stored
        sha = hashlib.sha256(repr((len(self), self.n_features, self.feature_names)).encode())
        if stored is not None:  # what it is a view of, and which
            sha.update(stored.encode())
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
        if "_absent" in self.__dict__:
            return f"PairedProfiles({self.__dict__['_absent']['size']}, without its rows)"
        if "_pickled" in self.__dict__:
            return f"PairedProfiles(at {str(self.__dict__['_pickled']['path'])!r}, not opened)"
        return f"PairedProfiles({len(self)} rows, {self.n_features} features)"

    def _repr_html_(self) -> str:
        return repr_html(self)

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

    def select_features(self, columns: Any) -> PairedProfiles:
        """Return a view of some features, by their numbers, in that order, or by a mask."""
        if self._with_dose:
            raise ValueError("Choose features before the dose is added to them.")
        places = np.asarray(columns)
        if places.ndim != 1 or places.dtype.kind not in "biu":
            raise ValueError("Choose at least one feature, by a mask or an array of numbers.")
        chosen = np.arange(self.n_features)[places]
        if len(np.unique(chosen)) < max(1, len(chosen)):
            raise ValueError("Choose at least one feature, and none of them twice.")
        view = self._view()
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
        view.__dict__.update({name: value for name, value in self.__dict__.items() if name != "_digest"})
        view._digest = None
        return view

    def __copy__(self) -> PairedProfiles:
        return self

    def __deepcopy__(self, memo: Any) -> PairedProfiles:
        return self

    # -- pickles ------------------------------------------------------------------------------

    def without_rows(self) -> PairedProfiles:
        """Return what a fitted estimator needs of its corpus: digest and provenance, but no rows.

        A stored corpus is returned as it is, because its pickle is a path. Rows of the other kind cannot be read any
        more; whoever tries is told to give the pairs again.
        """
        if self._is_closed or self._store is not None:
            return self
        pairs = object.__new__(type(self))
        size = f"{len(self)} rows, {self.n_features} features"
        pairs.__dict__["_absent"] = {"provenance": self.provenance, "size": size}
        return pairs

    @property
    def _is_closed(self) -> bool:
        """Whether the rows are not at hand, or not yet."""
        return "_absent" in self.__dict__ or "_pickled" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        if self._is_closed or self._store is None:
            return self.__dict__
        state = {name: self.__dict__[name] for name in ("_rows", "_columns", "_with_dose")}
        state |= {"path": self._store.path.resolve(), "content": self._store.digest}
        return {"_pickled": state}

    def __getattr__(self, name: str) -> Any:
        """Open the store, when something of it is first asked for after unpickling."""
        if name not in _CONTENT:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if "_absent" in self.__dict__:
            raise ValueError(
                f"{self!r}: a fitted estimator was pickled without the rows of its pairs. To fit it again, set its "
                "parameter pairs to them, or to a stored corpus."
            )
        state = self.__dict__["_pickled"]
        pairs = PairedProfiles.open(state["path"])
        if pairs.digest != state["content"]:
            raise ValueError(f"{str(state['path'])!r} holds other pairs than when this object was made.")
        pairs = pairs if state["_rows"] is None else pairs[state["_rows"]]
        pairs = pairs if state["_columns"] is None else pairs.select_features(state["_columns"])
        self.__dict__.update((pairs.with_dose() if state["_with_dose"] else pairs).__dict__)
        del self.__dict__["_pickled"]
        return self.__dict__[name]


def _one_per_row(values: Any, n_rows: int, name: str) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(as_array(values), dtype=np.float32)
    if array.shape != (n_rows,):
        raise ValueError(f"{name} has shape {array.shape} but there are {n_rows} rows: pass one value per row.")
    return array
