"""The file of a fine-tuned classifier or regressor."""

from __future__ import annotations

import math
import os
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..model_file._codec import Encoder, decode
from ..model_file._compact import keys_of_integers
from ..model_file._format import FINE_TUNED, library_versions, plain_value, read_file, write_or_save_elsewhere
from ..model_file._model import PretrainedModel, encoder_alone, restore_architecture, restore_callable
from ..model_file._schema import Section, check_architecture, check_arrays, check_seen, check_vocabulary
from ..model_file._shipped import path_of
from ..nn._models import Architecture, PredictionNetwork, head_of
from ..utils._names import describe_callable
from ._parameters import COMPONENTS
from ._predictions import check_domain, check_domain_to_write

# Parameters that depend on the machine are not stored: whoever loads the model sets them.
_NOT_IN_FILES = ("pretrained", "n_jobs", "checkpoint_dir", "resume", "verbose", "device")


class FineTunedFile(BaseEstimator):
    """Load and save, and be the start of another training."""

    _FITTED: ClassVar[tuple[str, ...]]  # attributes that are written
    _architecture: Architecture
    _standardize: Any

    @property
    def structure_keys_(self) -> np.ndarray:
        """Sorted, hashed connectivity keys of the molecules that the start saw as structures only."""
        check_is_fitted(self)
        return np.array(keys_of_integers(getattr(self, "_structure_hashes", np.empty(0))), dtype=str)

    @property
    def model_(self) -> PretrainedModel:
        """The encoder of the first network, for ``pretrained=`` of an embedder or of another fine-tuning."""
        check_is_fitted(self)
        fitted = {name: getattr(self, name) for name in self._FITTED if hasattr(self, name)}
        return encoder_alone(self._architecture, self._standardize, fitted)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a safetensors file, without pickle.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            When ``domain_`` is set to something that a file cannot hold.
        """
        check_is_fitted(self)
        if hasattr(self, "domain_"):
            check_domain_to_write(self.domain_)
        encoder = Encoder(strict=True)
        fitted = {name: getattr(self, name) for name in self._FITTED if hasattr(self, name)}
        parameters = {name: plain_value(value) for name, value in self.get_params(deep=False).items()}
        plain = (bool, int, float, str, type(None))
        header = {
            "estimator": type(self).__name__,
            "versions": library_versions(),
            "architecture": self._architecture.as_dict(),
            "vocabulary": self._architecture.resolved_featurizer.vocabulary(),
            "standardize": describe_callable(self._standardize),
            "parameters": {n: v for n, v in parameters.items() if isinstance(v, plain) and n not in _NOT_IN_FILES},
            "fitted": encoder.encode(fitted, "fitted"),
        }
        write_or_save_elsewhere(path, FINE_TUNED, header, encoder.arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Return the fitted estimator of a file.

        Parameters
        ----------
        path : str or Path
            Written by ``save``; or the address on the Hugging Face Hub that ``push_to_hub`` returned.
        **parameters
            Parameters of the class that replace those of the file, such as ``device``; ``standardize``,
            ``encoder`` and ``featurizer`` must be given again if they were not names. Other values that are not plain,
            such as ``pretrained`` or a ``loss``, have their defaults.

        Raises
        ------
        FileNotFoundError, ValueError
            When the file is missing, truncated, altered, of a newer format or of another kind.
        """
        path = path_of(path)
        header, arrays = read_file(path, FINE_TUNED)
        section = Section(path, header)
        if section.entry("estimator", str) != cls.__name__:
            raise ValueError(f"{str(path)!r} holds a {header['estimator']}, not a {cls.__name__}.")
        check_architecture(section.section("architecture"))
        section.component("standardize", ("parent", None))
        stored = section.section("parameters").data
        known = cls().get_params(deep=False)
        estimator = cls(**({n: v for n, v in stored.items() if n in known and n not in _NOT_IN_FILES} | parameters))
        estimator._validate_params()
        components = {name: getattr(estimator, name) for name in COMPONENTS}
        estimator._architecture = restore_architecture(path, header["architecture"], components)
        versions = section.section("versions").data
        check_vocabulary(path, estimator._architecture, section.section("vocabulary").data, versions)
        estimator._standardize = restore_callable(path, "standardize", header["standardize"], estimator.standardize)
        fitted = decode(section.section("fitted").data, arrays)
        estimator._set_fitted(Section(path, fitted))
        return estimator

    def _set_fitted(self, fitted: Section) -> None:
        """Take over the attributes of a file, after a check of each."""
        shift, scale = (fitted.entry(name, np.ndarray) for name in ("_shift", "_scale"))
        weights = fitted.items("weights_", dict)
        if not weights or shift.shape != scale.shape or shift.ndim != 2 or len(shift) != len(weights):
            raise fitted.error("the number of networks is not that of their scales")
        if not np.isfinite(scale).all() or np.isinf(shift).any():
            raise fitted.error("the scales of the targets are not finite")
        n_outputs = shift.shape[1]
        for member in weights:
            with self._architecture.without_initial_weights():
                network = PredictionNetwork(self._architecture, n_outputs, head_of(member))
            check_arrays(fitted.path, member, network)
            if (member.get("spread", np.ones(1)) <= 0).any():
                raise fitted.error("the spread of a representation is not positive")
        fitted.items("history_", dict)
        fitted.number("n_iter_", 0, 2**31)
        fitted.entry("best_score_", int, float)
        check_seen(fitted)
        shape = fitted.items("_tasks_shape", int)
        self._check_fitted(fitted, n_outputs)
        if len(fitted.items("task_names_", str)) != math.prod(shape):
            raise fitted.error(f"task_names_ does not hold {math.prod(shape)} names")
        if "start_" in fitted.data:
            fitted.entry("start_", str)
        if "domain_" in fitted.data:
            check_domain(fitted, fitted.data["domain_"])
        for name in self._FITTED:
            if name in fitted.data:
                setattr(self, name, fitted.data[name])

    def _check_fitted(self, fitted: Section, n_outputs: int) -> None:
        """Check the attributes that only one of the two estimators has."""
