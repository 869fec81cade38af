"""Methods of a fitted ``MoCoPEmbedder``: embed, compare with profiles, load and save."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._version import __version__
from ..metrics import retrieval_score
from ..model_file._hub import is_address
from ..model_file._model import PretrainedModel
from ..molecules._canonical import canonical_smiles
from ..molecules._parse import as_text, check_molecules, report_invalid, unique_molecules
from ..nn._models import TwoTower, TwoTowers
from ..pairs._grouping import average_by_group
from ..pairs._pairs import PairedProfiles
from ..profiles._checks import check_profiles
from ..training._inference import embed_molecules, embed_profiles
from ..training._profiled import apply_transformer
from ..utils._cache import ROWS_WITH_REASONS, digest_of_pickle, once
from ..utils._device import resolve_device
from ..utils._sklearn import accept_molecules, with_index
from ._callbacks import HearsCallbacks
from ._html import count_of_weights, epochs_in_words
from ._hub import OnHub

_SKIP_INVALID = (
    "Wrap the next estimator of a Pipeline in mocop_sklearn.SkipInvalid so that these rows get no prediction."
)


class FittedEmbedding(HearsCallbacks, OnHub, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An estimator around a trained two-tower model."""

    def _adopt(self, model: PretrainedModel) -> None:
        self.model_ = model
        self.profile_transformer_ = model.profile_transformer
        self.history_ = model.history
        self.n_iter_ = model.n_iter
        self.best_score_ = model.best_score
        self.digest_ = model.digest
        self._module = model.module()

    def _attributes_of(self, model: PretrainedModel) -> dict[str, Any]:
        """Return the attributes of this embedder as if it had been fitted to a model."""
        fitted = copy.copy(self)
        fitted._adopt(model)
        return fitted.__dict__

    @property
    def molecule_keys_(self) -> np.ndarray:
        """Sorted connectivity keys of the molecules that were seen with a profile."""
        return np.array(self.model_.molecule_keys, dtype=str)

    @property
    def structure_keys_(self) -> np.ndarray:
        """Sorted connectivity keys of the molecules that were seen as structures only."""
        return np.array(self.model_.structure_keys, dtype=str)

    # -- embedding ----------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Embed molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features_out)
            Row i belongs to row i of X: the representations of the networks side by side, ``embedding_dim`` columns
            each, or unit vectors of the shared space. With ``invalid="nan"``, rows that are not molecules are NaN.

        Raises
        ------
        ValueError
            With ``invalid="raise"``, when rows are not molecules. The message names the first ten.
        """
        check_is_fitted(self)
        return with_index(self, self._embed(check_molecules(X), self.output), X)

    def transform_profiles(self, P: Any) -> np.ndarray:
        """Map profiles into the shared space, where ``output="projection"`` puts molecules.

        Parameters
        ----------
        P : array-like of float or DataFrame, shape (n_profiles, n_features)
            As in ``fit``. Columns of a DataFrame are matched by name when the model has names.

        Returns
        -------
        ndarray of float32, shape (n_profiles, n_features_out of the output "projection")
            Unit vectors.

        Raises
        ------
        ValueError
            When P has another width than was fitted, or lacks columns.
        """
        check_is_fitted(self)
        return self._project(self._scale_profiles(P, "P"))

    def score(self, X: Any, y: Any = None, *, profiles: Any = None) -> float:
        """Retrieval between molecules and profiles: 1 is perfect, 0 is chance.

        It is one minus twice the normalised rank, averaged over both directions. The candidates are the distinct
        molecules of X, each with the mean of its profiles. Scores of folds of different size are comparable.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like of float, shape (n_samples, n_features), default=None
            The profiles, unless ``profiles`` is given.
        profiles : array-like of float or DataFrame, shape (n_samples, n_features), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        profiles = y if profiles is None else profiles
        if profiles is None:
            raise ValueError("score needs the profiles of X: score(X, profiles=P) or score(X, P).")
        return retrieval_score(*self._paired_vectors(X, profiles))

    def _paired_vectors(self, X: Any, profiles: Any) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the distinct molecules of X, and of the mean profile of each."""
        check_is_fitted(self)
        values = check_molecules(X)
        check_consistent_length(values, profiles)
        scaled = self._scale_profiles(profiles, "profiles")
        identity = canonical_smiles(values, self.model_.standardize, self.max_atoms, self.n_jobs)
        valid = np.array([smiles is not None for smiles in identity])
        molecules = self._embed(values, "projection")
        if not valid.any():
            raise ValueError("No row of X is a valid molecule.")
        _, first, group = np.unique(np.array(identity, dtype=object)[valid], return_index=True, return_inverse=True)
        return molecules[valid][first], self._project(average_by_group(scaled[valid], group))

    def _scale_profiles(self, P: Any, name: str) -> np.ndarray:
        self.model_.require_profile_network()
        matrix, columns = check_profiles(P, name=name)
        order = self.model_.profile_columns(matrix.shape[1], columns, name)
        matrix = matrix if order is None else matrix[:, order]
        self.model_.check_kind_of_profiles(matrix)
        return apply_transformer(self.profile_transformer_, matrix)

    def _project(self, scaled: np.ndarray) -> np.ndarray:
        vectors = embed_profiles(self._torch_module(), scaled, resolve_device(self.device), self.precision)
        side, scaling = self.model_.side, self.model_.local_scaling
        if side is not None:
            vectors = side.beside(vectors, side.project_profiles(scaled))
        return vectors if scaling is None else scaling.scale_profiles(vectors)

    def _embed(self, values: list[Any], output: str) -> np.ndarray:
        if output == "projection":
            self.model_.require_profile_network()
        embed = partial(
            embed_molecules,
            self._torch_module().tower(output),
            featurizer=self.model_.architecture.featurizer,
            standardize=self.model_.standardize,
            max_atoms=self.max_atoms,
            invalid=self.invalid,
            device=resolve_device(self.device),
            precision=self.precision,
            n_jobs=self.n_jobs,
        )
        if output == "projection":
            embed = partial(self._in_shared_space, embed)
        if self.memory is None:
            embedding, reasons = embed(values)
        else:
            unique, inverse = unique_molecules(values)
            standardize = self.model_.standardize
            settings = [
                output,
                self.precision,
                self.invalid,
                self.max_atoms,
                standardize if callable(standardize) else None,
            ]
            key = digest_of_pickle([__version__, self.digest_, *settings, *map(_text_or_repr, unique)])
            embedding, reasons = once(self.memory, f"embed-{key}", ROWS_WITH_REASONS, embed, unique)
            embedding = embedding[inverse]
            reasons = {row: reasons[i] for row, i in enumerate(inverse.tolist()) if i in reasons}
        report_invalid(values, reasons, self.invalid, _SKIP_INVALID)
        return embedding

    def _in_shared_space(
        self, embed: Callable[[list[Any]], tuple[np.ndarray, dict[int, str]]], values: list[Any]
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Put what else belongs to the shared space beside the vectors of the network."""
        vectors, reasons = embed(values)
        side, scaling = self.model_.side, self.model_.local_scaling
        if side is None and scaling is None:
            return vectors, reasons
        full = np.full((len(values), self.model_.n_shared), np.nan, dtype=np.float32)
        valid = [row for row in range(len(values)) if row not in reasons]
        if valid and not (reasons and self.invalid == "raise"):
            own = vectors[valid]
            if side is not None:
                given = [values[row] for row in valid]
                smiles = [str(s) for s in canonical_smiles(given, self.model_.standardize, self.max_atoms, self.n_jobs)]
                own = side.beside(own, side.project_molecules(smiles, self.n_jobs))
            full[valid] = own if scaling is None else scaling.scale_molecules(own)
        return full, reasons

    def _torch_module(self) -> TwoTower | TwoTowers:
        if not hasattr(self, "_module"):
            self._module = self.model_.module()
        return self._module.to(resolve_device(self.device))

    # -- files --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a safetensors file, which holds no pickle.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        TypeError
            When the profile transformer cannot be written without pickle.
        """
        check_is_fitted(self)
        self.model_.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Return the fitted embedder of a model file.

        Parameters
        ----------
        path : str or Path
            Written by ``save``, also that of a ``MoCoPClassifier`` or ``MoCoPRegressor``, whose encoder is then loaded;
            the name of a model that comes with the package; or ``"hf://owner/name"`` on the Hugging Face Hub.
        **parameters
            Further parameters of the class, such as ``output`` or ``device``. ``standardize``, ``encoder``,
            ``profile_encoder`` and ``featurizer`` must be given again if they were not names.

        Raises
        ------
        FileNotFoundError, ValueError
            When the file is missing, truncated, altered, of a newer format or of another kind.
        """
        embedder = cls(pretrained=os.fspath(path), **parameters)
        embedder._validate_params()
        model = embedder._load_start()
        assert model is not None
        embedder._adopt(model)
        return embedder

    # -- the scikit-learn contract ------------------------------------------------------------

    def _summary(self) -> dict[str, str]:
        model = self.model_
        has_profiles = model.architecture.has_profile_network
        n_profiles = f"{model.n_profile_columns:,}, {model.architecture.n_profile_features:,} after the transformer"
        return {
            "molecules": f"{len(model.molecule_keys):,} seen with a profile, "
            f"{len(model.structure_keys):,} as structures only",
            "start": model.parameters.get("pretrained", "") if is_address(model.parameters.get("pretrained")) else "",
            "epochs": epochs_in_words(model.n_iter, model.best_score, " (chance 0)" if has_profiles else ""),
            "output": f"{self._n_features_out:,} columns ({self.output})",
            "profile features": n_profiles if has_profiles else "none: no shared space with profiles",
            "parameters": f"{count_of_weights(model.weights):,}",
            "digest": model.digest[:12],
        }

    @property
    def _n_features_out(self) -> int:
        """Number of columns of ``transform``, for ``get_feature_names_out``."""
        model = self.model_
        return model.n_networks * model.architecture.embedding_dim if self.output == "encoder" else model.n_shared

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        accept_molecules(tags, self.invalid)
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Weights travel as the arrays in model_: the torch module is rebuilt, on whatever device there is. A fitted
        # estimator no longer needs its corpus, so that the rows stay where they are.
        state = {name: value for name, value in super().__getstate__().items() if name != "_module"}
        pairs = state.get("pairs")
        if "model_" in state and pairs is not None and not isinstance(pairs, (str, os.PathLike)):
            pairs = PairedProfiles(*pairs) if isinstance(pairs, tuple) else pairs
            state["pairs"] = pairs.without_rows()
        return state


def _text_or_repr(value: Any) -> str:
    text = as_text(value)
    return text if isinstance(text, str) else f"{type(text).__name__}: {text!r}"
