"""What is explained: a network that reads a graph, and a score of its output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._base._finetuned import FineTuned
from ..classifier import MoCoPClassifier
from ..embedder import MoCoPEmbedder
from ..nn._models import SideBySide
from ..training._objectives import BINARY, MULTICLASS
from ..utils._device import resolve_device


@dataclass(frozen=True)
class Explained:
    """A scalar function of the graph of a molecule.

    Attributes
    ----------
    network : SideBySide
    score : callable
        Maps outputs of the network, shape (n, width), and the row of X that each belongs to, shape (n,), to scores,
        shape (n,).
    source : estimator
        It says how molecules are read.
    featurizer : str or Featurizer
    standardize : {"parent", None} or callable
    has_gradient : bool
        Whether ``score`` can be differentiated.
    """

    network: SideBySide
    score: Callable[[Tensor, Tensor], Tensor]
    source: Any
    featurizer: Any
    standardize: Any
    has_gradient: bool

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return resolve_device(self.source.device)


def explained(estimator: Any, n_rows: int, profiles: Any, task: Any) -> Explained:
    """Return the score of an estimator that is explained.

    Raises
    ------
    TypeError
        When it is none of the estimators that can be explained.
    ValueError
        When profiles or the task are missing, superfluous or do not fit.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)  # of a search
    check_is_fitted(estimator)
    unfrozen = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if isinstance(unfrozen, MoCoPEmbedder):
        return _of_embedder(unfrozen, n_rows, profiles, task)
    if profiles is not None:
        raise ValueError(f"profiles belong to the retrieval score of a MoCoPEmbedder, not to a {_name(unfrozen)}.")
    if isinstance(unfrozen, FineTuned):
        return _of_finetuned(unfrozen, task)
    if isinstance(unfrozen, Pipeline) and len(unfrozen) > 1:
        first = unfrozen[0].estimator if isinstance(unfrozen[0], FrozenEstimator) else unfrozen[0]
        if isinstance(first, MoCoPEmbedder):
            return _of_pipeline(first, unfrozen[1:], task)
    raise TypeError(
        f"A {_name(unfrozen)} cannot be explained by atoms: pass a MoCoPEmbedder with profiles, a MoCoPClassifier, a "
        "MoCoPRegressor, or a Pipeline that begins with a MoCoPEmbedder."
    )


def _name(estimator: Any) -> str:
    return type(estimator).__name__


def _of_embedder(embedder: MoCoPEmbedder, n_rows: int, profiles: Any, task: Any) -> Explained:
    """Explain the cosine of a molecule and a profile, as far as the network makes it."""
    if profiles is None or task is not None:
        raise ValueError("The retrieval score of a MoCoPEmbedder needs profiles=, and it has no task.")
    model = embedder.model_
    width = model.n_networks * model.architecture.projection_dim  # beyond it stand side features and local scaling
    targets = F.normalize(torch.as_tensor(embedder.transform_profiles(profiles))[:, :width], dim=1)
    if len(targets) not in (1, n_rows):
        raise ValueError(f"profiles must have one row, or one for each of the {n_rows} of X, got {len(targets)}.")

    def score(z: Tensor, rows: Tensor) -> Tensor:
        own = targets.to(z.device)[rows if len(targets) > 1 else torch.zeros_like(rows)]
        return (z * own).sum(dim=1)

    return _of_tower(embedder, "projection", score, has_gradient=True)


def _of_tower(embedder: MoCoPEmbedder, output: str, score: Any, has_gradient: bool) -> Explained:
    model = embedder.model_
    network = embedder._torch_module().tower(output)
    return Explained(network, score, embedder, model.architecture.featurizer, model.standardize, has_gradient)


def _of_finetuned(estimator: FineTuned, task: Any) -> Explained:
    """Explain the log-odds of a class, the logarithm of its probability, or a predicted number."""
    objective = estimator._objective if isinstance(estimator, MoCoPClassifier) else None
    classes = getattr(estimator, "classes_", None) if objective is MULTICLASS else None
    names = estimator.task_names_ if classes is None else classes.tolist()
    column = _column(task, names, "task" if classes is None else "class")
    if column in getattr(estimator, "unscorable_tasks_", ()) or np.isnan(estimator._shift[0, column]):
        raise ValueError(f"Task {column} had fewer than two different labels in fit: there is nothing to explain.")
    join = _JOINED.get(objective, lambda outputs: outputs.mean(dim=0))
    device = resolve_device(estimator.device)
    shift, scale = (torch.as_tensor(a, device=device)[:, None].float() for a in (estimator._shift, estimator._scale))

    def score(z: Tensor, rows: Tensor) -> Tensor:
        members = z.reshape(len(z), len(shift), -1).swapaxes(0, 1)  # (n_estimators, n, n_outputs)
        return join(members * scale + shift)[:, column]

    network = estimator._torch_module()
    return Explained(network, score, estimator, estimator._architecture.featurizer, estimator._standardize, True)


# As in ``Objective.join``
_JOINED: dict[Any, Callable[[Tensor], Tensor]] = {
    BINARY: lambda outputs: F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0),
    MULTICLASS: lambda outputs: outputs.log_softmax(dim=2).logsumexp(dim=0) - np.log(len(outputs)),
}


def _of_pipeline(embedder: MoCoPEmbedder, rest: Pipeline, task: Any) -> Explained:
    """Explain what the steps after an embedder predict."""
    model = embedder.model_
    if embedder.output == "projection" and not (model.side is None and model.local_scaling is None):
        raise ValueError(
            'A Pipeline whose embedder has output="projection" reads columns beside those of the network '
            '(side_features, local_scaling), which atoms of the graph do not explain: take output="encoder".'
        )

    def score(z: Tensor, rows: Tensor) -> Tensor:
        return torch.as_tensor(_predicted(rest, z.cpu().numpy(), task), dtype=torch.float64)

    return _of_tower(embedder, embedder.output, score, has_gradient=False)


def _predicted(rest: Pipeline, z: np.ndarray, task: Any) -> np.ndarray:
    """Decision or probability of a class, or a predicted number, of each row of an embedding."""
    rows: Any = z
    if hasattr(rest, "feature_names_in_"):
        import pandas as pd

        rows = pd.DataFrame(z, columns=rest.feature_names_in_)
    if not is_classifier(rest):
        columns = np.asarray(rest.predict(rows), dtype=np.float64).reshape(len(z), -1)
        return columns[:, _column(task, range(columns.shape[1]), "target")]
    answer = (rest.decision_function if hasattr(rest, "decision_function") else rest.predict_proba)(rows)
    if np.ndim(rest.predict(rows[:1])) == 2:  # several tasks; forests return a list of them
        columns = np.stack([p[:, -1] for p in answer], axis=1) if isinstance(answer, list) else answer
        return columns[:, _column(task, range(columns.shape[1]), "task")]
    classes = np.asarray(rest.classes_).tolist()
    columns = np.reshape(answer, (len(z), -1))
    if len(classes) > 2:
        pairs = "ovo" in (v for n, v in rest.get_params().items() if n.endswith("decision_function_shape"))
        if pairs or columns.shape[1] != len(classes):
            raise ValueError(
                f"The decision function has {columns.shape[1]} columns, which are not the {len(classes)} classes but "
                'pairs of them: set decision_function_shape="ovr", and fit again.'
            )
        return columns[:, _column(task, classes, "class")]
    return columns[:, -1 + _column(task, [0], "task")]


def _column(task: Any, names: Sequence[Any], what: str) -> int:
    """Return the place of the task that was asked for by its name, or by its number where names are texts.

    Raises
    ------
    ValueError
        When there is no such task, or several and none was asked for.
    """
    if task is None and len(names) == 1:
        return 0
    if task in list(names):
        return list(names).index(task)
    if isinstance(task, (int, np.integer)) and all(isinstance(name, str) for name in names) and 0 <= task < len(names):
        return int(task)
    asked = "" if task is None else f", got {task!r}"
    raise ValueError(f"task must be one of the {len(names)} {what} names {list(names)[:20]}{asked}.")
