"""Morphological profiles: which columns they are, and how they are scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

_BLOCK = 256  # columns at a time, so that temporaries stay small beside the matrix


class ProfileScaler(TransformerMixin, BaseEstimator):
    """Impute, robust-scale, clip, and drop constant columns.

    Each column is centred on its median and divided by its inter-quartile range over 1.349, which for
    normal data is the standard deviation; a range of 0 counts as 1. Missing and infinite values take
    the median. What lies further out than ``clip`` is clipped: values of 335,200 standard deviations
    occur in public plates.

    Parameters
    ----------
    clip : float, default=5.0
        Limit after scaling, in robust standard deviations.

    Attributes
    ----------
    center_, scale_ : ndarray of float32, shape (n_features_in_,)
        Median and robust standard deviation; 0 and 1 for columns that are dropped.
    kept_ : ndarray of bool, shape (n_features_in_,)
        Columns with at least two different finite values.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when fitted on a DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.profiles import ProfileScaler
    >>> P = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [np.nan, 7.0], [1e6, 7.0]])
    >>> ProfileScaler().fit_transform(P).round(2).ravel().tolist()
    [-0.0, -0.0, 0.0, 0.0, 5.0]
    """

    def __init__(self, clip: float = 5.0):
        self.clip = clip

    def fit(self, X: Any, y: Any = None) -> ProfileScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)
        y : ignored
        """
        if not self.clip > 0:
            raise ValueError(f"clip must be greater than 0, got {self.clip!r}.")
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False)
        n_features = X.shape[1]
        self.center_ = np.zeros(n_features, dtype=np.float32)
        self.scale_ = np.ones(n_features, dtype=np.float32)
        self.kept_ = np.zeros(n_features, dtype=bool)
        for start in range(0, n_features, _BLOCK):
            columns = slice(start, start + _BLOCK)
            block = np.where(np.isfinite(X[:, columns]), X[:, columns], np.nan)
            kept = _n_levels_exceed_one(block)
            low, center, high = np.nanquantile(block[:, kept], [0.25, 0.5, 0.75], axis=0) if kept.any() else ((),) * 3
            spread = (np.asarray(high) - np.asarray(low)) / 1.349
            rows = np.arange(start, start + len(kept))[kept]
            self.kept_[rows] = True
            self.center_[rows] = center
            self.scale_[rows] = np.where(spread > 0, spread, 1.0)
        if not self.kept_.any():
            raise ValueError(f"All {n_features} profile columns are constant or without finite values.")
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale profiles.

        Parameters
        ----------
        X : array-like of float, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_kept)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], ensure_all_finite=False, reset=False)
        X = (X[:, self.kept_] - self.center_[self.kept_]) / self.scale_[self.kept_]
        X[~np.isfinite(X)] = 0.0
        return np.clip(X, -self.clip, self.clip).astype(np.float32, copy=False)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that are kept."""
        check_is_fitted(self)
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return np.asarray(input_features, dtype=object)[self.kept_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _n_levels_exceed_one(block: np.ndarray) -> np.ndarray:
    """Which columns hold at least two different values, NaN aside."""
    low = np.where(np.isnan(block), np.inf, block).min(axis=0)
    high = np.where(np.isnan(block), -np.inf, block).max(axis=0)
    return low < high


def feature_columns(frame: Any) -> list[str]:
    """Names of a table's profile features: every numeric column that does not start with ``Metadata_``.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
    """
    numeric = frame.select_dtypes("number").columns if hasattr(frame, "select_dtypes") else _polars_numeric(frame)
    return [str(name) for name in numeric if not str(name).startswith("Metadata_")]


def _polars_numeric(frame: Any) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]


_SMILES_COLUMNS = ("metadata_smiles", "smiles", "metadata_canonical_smiles", "canonical_smiles", "metadata_inchi", "inchi")


def check_profiles(profiles: Any, n_rows: int | None = None, name: str = "profiles") -> tuple[Any, list[str] | None]:
    """Return profiles as a float32 matrix, and their column names when they have some.

    Parameters
    ----------
    profiles : array-like of float or DataFrame, shape (n_rows, n_features)
        NaN and infinities are allowed. ``Metadata_*`` columns of a DataFrame are left out.
    n_rows : int, optional
        The number of rows they must have.

    Raises
    ------
    ValueError
        When the matrix is not two-dimensional, not numeric, empty, or of another length.
    """
    names = None
    if hasattr(profiles, "columns"):
        names = [str(c) for c in profiles.columns if not str(c).startswith("Metadata_")]
        numeric = set(feature_columns(profiles))
        strange = [c for c in names if c not in numeric]
        if strange:
            raise ValueError(
                f"{name} has columns that are not numeric: {strange[:10]}. Convert or drop them, or prefix metadata "
                'with "Metadata_".'
            )
        profiles = profiles[names].to_numpy()
    if sparse.issparse(profiles):
        raise TypeError(f"{name} is a sparse matrix; a dense one is needed: use {name}.toarray().")
    try:
        matrix = np.asarray(profiles)
        if matrix.dtype.kind == "c":
            raise ValueError("complex numbers are not supported")
        matrix = matrix.astype(np.float32, copy=False) if matrix.dtype.kind in "biuf" else matrix.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a matrix of numbers, one row per molecule: {error}.") from error
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (rows, features), got shape {matrix.shape}.")
    if matrix.shape[1] == 0:
        raise ValueError(f"{name} has 0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
    if n_rows is not None and len(matrix) != n_rows:
        raise ValueError(f"{name} has {len(matrix)} rows but X has {n_rows}: pass one profile per row of X.")
    return matrix, names


def read_wells(path: Any, smiles: str | None = None) -> tuple[list[Any], Any]:
    """Read a table of wells.

    Parameters
    ----------
    path : str or Path
        A ``.parquet``, ``.csv``, ``.csv.gz`` or ``.tsv`` file.
    smiles : str, optional
        The column of structures; by default the first of ``Metadata_SMILES``, ``SMILES``,
        ``Metadata_InChI`` and the like, in any case.

    Returns
    -------
    molecules : list
        One value per well, missing ones included.
    frame : pandas.DataFrame
        The whole table.
    """
    frame = read_table(path)
    column = smiles or next((c for c in frame.columns for s in _SMILES_COLUMNS if str(c).lower() == s), None)
    if column is None or column not in frame.columns:
        raise ValueError(
            f"{str(path)!r} has no column {smiles or 'of structures'!r}; its first columns are "
            f"{list(map(str, frame.columns[:12]))}. Name the column that holds the SMILES."
        )
    return frame[column].tolist(), frame


def read_table(path: Any) -> Any:
    """Read a parquet, CSV or TSV file into a pandas DataFrame.

    Raises
    ------
    ImportError
        Without pandas: the extra ``data`` brings it.
    ValueError
        When the file is broken or its name ends otherwise.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Reading tables needs pandas: pip install 'mocop-sklearn[data]'.") from error
    name = str(path).lower()
    if not Path(path).exists():
        raise FileNotFoundError(f"No table at {str(path)!r}.")
    try:
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
        if name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, low_memory=False)
        if name.endswith((".tsv", ".tsv.gz", ".txt")):
            return pd.read_csv(path, sep="\t", low_memory=False)
    except Exception as error:
        raise ValueError(f"{str(path)!r} cannot be read as a table: {error}") from error
    raise ValueError(f"{str(path)!r} is no .parquet, .csv or .tsv file.")
