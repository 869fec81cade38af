"""What the baselines share: molecules and replicates in, profiles out, and the score of the embedder."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..metrics import retrieval_score
from ..model_file._local_scaling import LocalScaling
from ..model_file._side import landmarks
from ..model_selection._keys import canonical, describe_rows
from ..molecules._parse import check_molecules, report_invalid
from ..pairs._grouping import average_by_group
from ..profiles._checks import check_profiles
from ..profiles._scaler import default_scaler
from ..utils._arrays import unit_rows
from ..utils._sklearn import Hidden, StrOptions, accept_molecules

_CHUNK = 4096  # molecules whose profiles are predicted together


class ProfileRegressor(RegressorMixin, BaseEstimator):
    """Base of estimators that predict a profile from a structure.

    A subclass fits and predicts distinct molecules, given as canonical SMILES.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "profile_transformer": [BaseEstimator, None],
        "local_scaling": ["boolean"],
        "standardize": [StrOptions({"parent"}), callable, None],
        "invalid": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, Hidden(object), None],
    }

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from molecules and their profiles.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
            Rows of one molecule are replicates; their transformed profiles are averaged.
        y : array-like of float or DataFrame, shape (n_samples, n_features)
            One profile per row of X. NaN and infinities are allowed. ``Metadata_*`` columns of a DataFrame are left
            out.

        Returns
        -------
        estimator

        Raises
        ------
        ValueError
            When rows are invalid, lengths differ, or fewer distinct molecules remain than are needed.
        """
        self._validate_params()
        values = check_molecules(X)
        profiles, names = check_profiles(y, len(values), "y")
        smiles = self._identities(values)
        usable = _is_molecule(smiles) & self._has_values(profiles)
        if not usable.any():
            raise ValueError("No row of X is a valid molecule with a profile.")
        molecules, group = np.unique(smiles[usable], return_inverse=True)
        transformer = default_scaler() if self.profile_transformer is None else self.profile_transformer
        self.profile_transformer_ = clone(transformer).fit(profiles[usable])
        self.n_profile_features_in_ = profiles.shape[1]
        self.profile_names_in_ = names
        targets = average_by_group(np.asarray(self.profile_transformer_.transform(profiles[usable])), group)
        shown = landmarks(len(molecules) if self.local_scaling else 0, seed=0)
        fitted = self._fit_molecules(molecules.tolist(), targets, shown)
        self.local_scaling_ = (
            LocalScaling().fit(unit_rows(fitted), unit_rows(targets[shown])) if self.local_scaling else None
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the transformed profiles of molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float, shape (n_samples, n_outputs)
            In the space of ``transform_profiles``. With ``invalid="nan"``, rows that are not molecules are NaN.
        """
        check_is_fitted(self)
        return self._predict(self._identities(check_molecules(X)))

    def transform_profiles(self, P: Any) -> np.ndarray:
        """Transform profiles as those of ``fit``.

        Parameters
        ----------
        P : array-like of float or DataFrame, shape (n_profiles, n_features)
            Columns of a DataFrame are matched by name if ``fit`` had names.

        Returns
        -------
        ndarray of float, shape (n_profiles, n_outputs)

        Raises
        ------
        ValueError
            When P has another width than was fitted, or lacks columns.
        """
        check_is_fitted(self)
        return self._transform_profiles(P, "P", None)

    def score(self, X: Any, y: Any) -> float:
        """Retrieval between molecules and profiles, as of the embedder: 1 is perfect, 0 is chance.

        It is one minus twice the normalised rank, by the cosine of predicted and transformed profiles, averaged over
        both directions. With ``local_scaling``, cosines are corrected for hubs. The candidates are the distinct
        molecules of X, each with the mean of its profiles.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like of float or DataFrame, shape (n_samples, n_features)

        Returns
        -------
        float
        """
        return retrieval_score(*self._paired_vectors(X, y))

    def _paired_vectors(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors of the distinct molecules of X as predicted, and of the mean profile of each."""
        check_is_fitted(self)
        values = check_molecules(X)
        profiles = self._transform_profiles(y, "y", len(values))
        smiles = self._identities(values)
        valid = _is_molecule(smiles)
        if not valid.any():
            raise ValueError("No row of X is a valid molecule.")
        molecules, group = np.unique(smiles[valid], return_inverse=True)
        measured = average_by_group(profiles[valid], group)
        return self._vectors_of_molecules(self._predict(molecules)), self._vectors_of_profiles(measured)

    def _vectors_of_molecules(self, predicted: np.ndarray) -> np.ndarray:
        """Unit vectors to compare, from predicted profiles."""
        vectors = unit_rows(predicted)
        return vectors if self.local_scaling_ is None else self.local_scaling_.scale_molecules(vectors)

    def _vectors_of_profiles(self, transformed: np.ndarray) -> np.ndarray:
        """Unit vectors to compare, from transformed profiles."""
        vectors = unit_rows(transformed)
        return vectors if self.local_scaling_ is None else self.local_scaling_.scale_profiles(vectors)

    @abstractmethod
    def _fit_molecules(self, smiles: list[str], targets: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Fit distinct molecules, sorted, and return what is predicted for some of these, given by number."""

    @abstractmethod
    def _predict_molecules(self, smiles: list[str]) -> np.ndarray:
        """Predict the profiles of distinct molecules."""

    def _identities(self, values: list[Any]) -> np.ndarray:
        """Canonical SMILES of each row, None for a row that is not a molecule."""
        found, reasons = describe_rows(values, canonical, self.standardize, self.invalid, self.n_jobs)
        report_invalid(values, reasons, self.invalid)
        return np.array(found, dtype=object)

    def _predict(self, smiles: np.ndarray) -> np.ndarray:
        valid = _is_molecule(smiles)
        predicted = np.full((len(smiles), self.n_outputs_), np.nan)
        if valid.any():
            molecules, place = np.unique(smiles[valid], return_inverse=True)
            chunks = [molecules[start : start + _CHUNK].tolist() for start in range(0, len(molecules), _CHUNK)]
            predicted[valid] = np.concatenate([self._predict_molecules(chunk) for chunk in chunks])[place]
        return predicted

    def _has_values(self, profiles: np.ndarray) -> np.ndarray:
        """Whether each profile has a finite value; a profile without is treated as ``invalid`` says."""
        measured: np.ndarray = np.isfinite(profiles).any(axis=1)
        if not measured.all():
            empty = np.flatnonzero(~measured)
            message = f"{len(empty)} of {len(profiles)} profiles hold no finite value: rows {empty[:10].tolist()}"
            if self.invalid == "raise":
                raise ValueError(f'{message}. Remove these rows, or set invalid="nan" to leave them out.')
            warnings.warn(f"{message}. They are left out.", UserWarning, stacklevel=3)
        return measured

    def _transform_profiles(self, P: Any, name: str, n_rows: int | None) -> np.ndarray:
        profiles, names = check_profiles(P, n_rows, name)
        if names is not None and self.profile_names_in_ is not None:
            place = {column: i for i, column in enumerate(names)}
            missing = [column for column in self.profile_names_in_ if column not in place]
            if missing:
                raise ValueError(f"{name} lacks {len(missing)} of the columns of fit: {missing[:10]}.")
            profiles = profiles[:, [place[column] for column in self.profile_names_in_]]
        elif profiles.shape[1] != self.n_profile_features_in_:
            raise ValueError(
                f"{name} has {profiles.shape[1]} features, but fit had {self.n_profile_features_in_}: pass profiles "
                "with the same features."
            )
        return np.asarray(self.profile_transformer_.transform(profiles))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        accept_molecules(tags, self.invalid)
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


def _is_molecule(smiles: np.ndarray) -> np.ndarray:
    return np.array([text is not None for text in smiles])
