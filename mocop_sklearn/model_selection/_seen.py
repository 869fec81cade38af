"""What a model has seen, wherever it stands: alone, in a pipeline or a search, in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ..model_file._model import PretrainedModel, load_pretrained
from ..molecules._parse import Standardize
from ..pairs._pairs import PairedProfiles
from ..pairs._store import is_store
from ..tables._molecules import MoleculeFile

_ROWS = 2**16
# Fitted attributes that hold estimators, then parameters that do
_FITTED = (
    "best_estimator_", "estimator_", "estimators_", "regressor_", "calibrated_classifiers_", "transformers_",
    "final_estimator_", "embedder_",
)  # fmt: skip
_GIVEN = ("steps", "transformer_list")


def opened(what: Any, standardize: Standardize) -> Any:
    """Return the model or the molecules that a path or a name stands for; other values as they are."""
    if isinstance(what, PairedProfiles):
        return what.molecules
    if hasattr(what, "fit") and hasattr(what, "molecules_"):  # a baseline or an applicability domain
        return list(what.molecules_)
    if not isinstance(what, (str, os.PathLike)):
        return what
    is_model = os.path.isdir(what) and not is_store(what)
    if is_model or not os.path.exists(what) or os.fspath(what).endswith(".safetensors"):
        return load_pretrained(what, standardize=standardize)
    if is_store(what):
        return PairedProfiles.open(what).molecules
    return [text for batch in MoleculeFile(what).batches(_ROWS) for text in batch.structures]


def models_in(what: Any) -> list[Any]:
    """Return the models of this package in an estimator: what has ``molecule_keys_``, or is a ``PretrainedModel``."""
    return list({id(model): model for model in _walk(what)}.values())


def _walk(what: Any) -> Iterator[Any]:
    if isinstance(what, PretrainedModel) or hasattr(what, "molecule_keys_"):
        yield what
    elif isinstance(what, (list, tuple)):
        for part in what:
            yield from _walk(part)
    elif hasattr(what, "estimator") and not hasattr(what, "fit"):  # one fold of CalibratedClassifierCV
        yield from _walk(what.estimator)
    elif hasattr(what, "fit"):
        held = [name for name in _FITTED if hasattr(what, name)] or [n for n in _GIVEN if hasattr(what, n)]
        for name in held:
            yield from _walk(getattr(what, name))


def keys_of(model: Any, seen: str) -> set[str]:
    """Connectivity keys of the molecules that a model has seen, with a profile or at all."""
    suffix = "" if isinstance(model, PretrainedModel) else "_"
    keys = set(getattr(model, f"molecule_keys{suffix}"))
    return keys | set(getattr(model, f"structure_keys{suffix}", ())) if seen == "structure" else keys
