"""Base class of ``MoCoPClassifier`` and ``MoCoPRegressor``: parameters, fitting and predicting."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._version import __version__
from ..model_file._compact import distinct_keys, hashed_key, integers_of, keys_beyond
from ..model_file._format import plain_value
from ..model_file._model import PretrainedModel, as_tensors
from ..model_selection import scaffold_groups
from ..molecules._parse import as_text, check_molecules, report_invalid
from ..nn._models import HEADS, Architecture, PredictionNetwork, SideBySide, head_of
from ..pairs._grouping import split_molecules
from ..training._inference import embed_molecules
from ..training._labels import Entries, measured_entries
from ..training._loop import TrainingState, after_epochs, read_state, state_saver
from ..training._merging import MergedRows, Targets, read_and_merge
from ..training._objectives import Objective
from ..training._supervised import SupervisedRecipe, SupervisedResult, check_freeze, result_of, train_supervised
from ..utils._cache import digest_of_pickle
from ..utils._device import resolve_device
from ..utils._names import described
from ..utils._random import Stream, base_seed, generator
from ..utils._sklearn import Interval, StrOptions, accept_molecules, check_sample_weight
from ._callbacks import HearsCallbacks
from ._finetuned_file import FineTunedFile
from ._html import count_of_weights, epochs_in_words
from ._hub import OnHub
from ._parameters import COMPONENTS, CONSTRAINTS, ENCODER_SHAPE, check_callbacks, load_start, warn_of_networks_left
from ._predictions import NamedPredictions
from ._tasks import names_of_tasks

# Parameters that change where a fit runs and what it prints, but not its result. The start has its own digest.
_NO_EFFECT_ON_FIT = ("n_jobs", "checkpoint_dir", "resume", "verbose", "callbacks", "device", "pretrained")


@dataclass(frozen=True)
class FitPlan:
    """What the networks of a fit have in common; ``groups`` has for each molecule what stays with it in a split."""

    recipe: SupervisedRecipe
    start: PretrainedModel | None
    merged: MergedRows
    given: MergedRows | None  # the validation part
    groups: list[Any]
    seed: int


@dataclass
class Networks:
    """The networks of a fit, as far as they are trained, and what else the fit sets."""

    attributes: dict[str, Any]
    results: list[SupervisedResult] = field(default_factory=list)
    moments: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def with_network(self, result: SupervisedResult, shift: np.ndarray, scale: np.ndarray) -> Networks:
        """Return them with one more."""
        return Networks(self.attributes, [*self.results, result], [*self.moments, (shift, scale)])


class FineTuned(HearsCallbacks, OnHub, NamedPredictions, FineTunedFile, BaseEstimator):
    """Base class of the classifier and the regressor."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "freeze": [StrOptions({"none", "encoder"}), Interval(Integral, 0, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "head": [StrOptions({"auto", *HEADS})],
        "head_init": [StrOptions({"auto", "random", "linear"})],
        "loss": [StrOptions({"auto"}), callable],
        "max_epochs": [*CONSTRAINTS["max_epochs"], StrOptions({"auto"})],
        "learning_rate": [*CONSTRAINTS["learning_rate"], StrOptions({"auto"})],
        "missing": [Real, str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "validation_groups": [StrOptions({"molecule", "scaffold"})],
        "min_epochs": [Interval(Integral, 0, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
    }
    # What "auto" stands for, from random weights and with a pretrained encoder; docs/method.md has the
    # cross-validation that chose it.
    _AUTOMATIC: ClassVar[tuple[dict[str, Any], dict[str, Any]]]
    # What arXiv 2305.09790 fine-tunes with, from random weights and with a pretrained encoder.
    _PAPER: ClassVar[tuple[dict[str, Any], dict[str, Any]]] = (
        {"featurizer": "paper", "encoder": "ggnn", "n_layers": 7, "hidden_dim": 75, "embedding_dim": 1024,
         "learning_rate": 1e-4},
        {"learning_rate": 5e-5},
    )  # fmt: skip
    # Weights are routed by default, so that nobody has to call set_fit_request.
    __metadata_request__fit: ClassVar = {"sample_weight": True, "X_val": True, "y_val": True}
    __metadata_request__score: ClassVar = {"sample_weight": True}

    def __init__(
        self,
        *,
        pretrained: Any = None,
        standardize: Any = "parent",
        invalid: str = "raise",
        max_atoms: int = 2_000,
        featurizer: Any = "rich",
        encoder: Any = "ggnn",
        n_layers: int = 3,
        hidden_dim: int = 75,
        embedding_dim: int = 1024,
        dropout: float = 0.1,
        freeze: str | int = "none",
        layer_decay: float = 1.0,
        head: str = "auto",
        head_init: str = "auto",
        loss: Any = "auto",
        missing: Any = np.nan,
        max_epochs: int | str = "auto",
        min_epochs: int = 0,
        batch_size: int = 32,
        learning_rate: float | str = "auto",
        weight_decay: float = 0.0,
        validation_fraction: float = 0.0,
        validation_groups: str = "molecule",
        patience: int | None = 20,
        n_estimators: int = 1,
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = (),
    ):
        self.pretrained = pretrained
        self.standardize = standardize
        self.invalid = invalid
        self.max_atoms = max_atoms
        self.featurizer = featurizer
        self.encoder = encoder
        self.n_layers = n_layers
        self.hidden_dim = hidden_dim
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.freeze = freeze
        self.layer_decay = layer_decay
        self.head = head
        self.head_init = head_init
        self.loss = loss
        self.missing = missing
        self.max_epochs = max_epochs
        self.min_epochs = min_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.validation_groups = validation_groups
        self.patience = patience
        self.n_estimators = n_estimators
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    _FITTED: ClassVar[tuple[str, ...]] = (
        "weights_",
        "history_",
        "n_iter_",
        "best_score_",
        "molecule_keys_",
        "_structure_hashes",
        "_shift",
        "_scale",
        "_tasks_shape",
        "task_names_",
        "domain_",
        "start_",
    )

    # -- fitting ------------------------------------------------------------------------------

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """Return an estimator with the recipe of the paper (arXiv 2305.09790).

        From random weights: seven gated convolutions of width 75, and a learning rate of 1e-4. With ``pretrained``: the
        encoder of the model, and 5e-5; ``freeze="encoder"`` is the paper's linear probe. Both have tanh and dropout 0.1
        before the last layer, Adam, batches of 128, at least 50 epochs, and stop after 20 epochs without a better
        validation score. Give ``fit`` the validation part as ``X_val`` and ``y_val``; without it, a tenth of the
        molecules is one.

        Parameters
        ----------
        **overrides
            Any parameter of the class, to replace the recipe's value.
        """
        recipe: dict[str, Any] = {
            "dropout": 0.1,
            "head": "tanh",
            "head_init": "random",
            "max_epochs": 1000,
            "min_epochs": 50,
            "patience": 20,
            "batch_size": 128,
            "weight_decay": 0.0,
            "validation_fraction": 0.1,
            "precision": "fp32",
        }
        return cls(**(recipe | cls._PAPER[overrides.get("pretrained") is not None] | overrides))

    def _check_fit(self, X: Any, y: Any, sample_weight: Any) -> tuple[list[Any], Entries, np.ndarray]:
        """Return molecules, the labels that are measured in rows of a weight above 0, and the weights of rows."""
        check_callbacks(self.callbacks)
        resolve_device(self.device)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        values = check_molecules(X)
        labels = measured_entries(y, self.missing)
        if len(values) != labels.shape[0]:
            check_consistent_length(values, range(labels.shape[0]))
        if np.ma.is_masked(sample_weight):
            raise ValueError("sample_weight must not hold masked values. Give the rows without a weight the weight 0.")
        weight = check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
        return values, labels.of_rows(weight > 0), weight

    def _check_validation(self, X_val: Any, y_val: Any, labels: Entries) -> tuple[list[Any], Entries] | None:
        """Return the molecules and labels of a validation part that was given, checked like those of ``fit``."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, lacking = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"{given} is given without {lacking}: pass both, or neither.")
        values = check_molecules(X_val)
        known = measured_entries(y_val, self.missing, "y_val")
        if known.shape[1:] != labels.shape[1:] or len(values) != known.shape[0]:
            raise ValueError(
                f"y_val has the shape {known.shape}, but X_val has {len(values)} rows, and y has the shape "
                f"{labels.shape}. Give one row for each molecule, with the tasks of y."
            )
        return values, known

    def _fit_members(
        self,
        values: list[Any],
        labels: Targets,
        objective: Objective,
        validation: tuple[list[Any], Targets] | None,
        attributes: dict[str, Any],
    ) -> None:
        """Train ``n_estimators`` networks, after rows of one molecule are merged; then set the attributes, too."""
        start = load_start(self, ENCODER_SHAPE, COMPONENTS)
        warn_of_networks_left(start, self.n_estimators)
        architecture = self._start_architecture(start)
        check_freeze(architecture, self.freeze)
        standardize = start.standardize if start else self.standardize
        read = self._reader(architecture, standardize)
        merged = read(values, labels, name="X", n_needed=2)
        given = read(*validation, name="X_val", n_needed=1) if validation else None
        recipe = self._recipe(objective, start)
        content = [[*map(as_text, validation[0]), *given.content()]] if validation and given else []
        key = self._fit_key(values, start, *merged.content(), described(objective.loss), *content)
        keys = distinct_keys(merged.keys, given.keys if given else [], start.molecule_keys if start else [])
        structures = keys_beyond(map(hashed_key, start.structure_keys), keys) if start else []
        attributes = attributes | {
            "_architecture": architecture,
            "_standardize": standardize,
            "start_": start.source if start else "",
            "molecule_keys_": np.array(keys, dtype=str),
        }
        if structures:
            attributes["_structure_hashes"] = integers_of(sorted(structures))
        networks = Networks(attributes)
        seed, states = self._unfinished(key)
        plan = FitPlan(recipe, start, merged, given, self._groups(merged).tolist(), seed)
        for member in range(self.n_estimators):
            path = self._state_path(key, member) if key else None
            self._fit_member(networks, member, plan, states.get(member), path)
        self._adopt(networks)

    def _fit_member(
        self,
        networks: Networks,
        member: int,
        plan: FitPlan,
        unfinished: TrainingState | None,
        path: Path | None,
    ) -> None:
        """Train one network and add it to the others."""
        recipe, merged, given = plan.recipe, plan.merged, plan.given
        member_seed = int(generator(plan.seed, Stream.ENSEMBLE_MEMBER, member).integers(2**62))
        fraction = 0.0 if given else self.validation_fraction
        training, held_out = split_molecules(plan.groups, fraction, member_seed)
        shift, scale = merged.moments(training) if recipe.objective.scales_targets else merged.no_scaling()
        part = merged.part(held_out, shift, scale) if len(held_out) else None

        def attributes(state: TrainingState) -> dict[str, Any]:
            fitted = copy.copy(self)
            fitted._adopt(networks.with_network(result_of(state), shift, scale))
            return fitted.__dict__

        with self._tasks.network(member) as task:
            result = train_supervised(
                networks.attributes["_architecture"],
                recipe,
                merged.part(training, shift, scale),
                given.part(np.arange(len(given.smiles)), shift, scale) if given else part,
                seed=member_seed,
                device=resolve_device(self.device),
                encoder_weights=plan.start.encoder_weights(member) if plan.start else None,
                resume_from=unfinished,
                begin=task.begin,
                save=after_epochs(
                    state_saver(path, plan.seed) if path else None,
                    self.callbacks,
                    {"estimator": member},
                    lambda state: task.end(lambda: attributes(state)),
                ),
                verbose=bool(self.verbose),
            )
        networks.results.append(result)
        networks.moments.append((shift, scale))

    def _groups(self, merged: MergedRows) -> np.ndarray:
        """Return what of the molecules stays on one side when a validation part is split off."""
        if self.validation_groups == "scaffold":
            return scaffold_groups(merged.smiles, standardize=None, n_jobs=self.n_jobs)
        return merged.keys

    def _reader(self, architecture: Architecture, standardize: Any) -> Callable[..., MergedRows]:
        """Return what reads molecules with their labels and merges the rows of one molecule."""
        return partial(
            read_and_merge,
            featurizer=architecture.featurizer,
            standardize=standardize,
            max_atoms=self.max_atoms,
            invalid=self.invalid,
            n_jobs=self.n_jobs,
        )

    def _tasks_of(self, y: Any, y_val: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        """How many tasks y has, and their names, as attributes; y_val has the same."""
        return {"_tasks_shape": list(shape), "task_names_": names_of_tasks(y, math.prod(shape), y_val)}

    def _adopt(self, networks: Networks) -> None:
        """Set all attributes of a fit."""
        for name in ("domain_", "_structure_hashes"):  # they were those of another fit
            self.__dict__.pop(name, None)
        self.__dict__.update(networks.attributes)
        self._shift, self._scale = (np.array(part) for part in zip(*networks.moments, strict=True))
        self.weights_ = [result.weights for result in networks.results]
        rows = enumerate(result.history for result in networks.results)
        self.history_ = [{"estimator": i, **row} for i, history in rows for row in history]
        self.n_iter_ = max(len(result.history) for result in networks.results)
        self.best_score_ = float(np.mean([result.best_score for result in networks.results]))
        self._module = self._build()

    def _start_architecture(self, start: PretrainedModel | None) -> Architecture:
        dropout = float(self.dropout)
        if start is not None:
            return replace(start.architecture, dropout=dropout)
        return Architecture(
            featurizer=self.featurizer,
            encoder=self.encoder,
            n_layers=plain_value(self.n_layers),
            hidden_dim=plain_value(self.hidden_dim),
            embedding_dim=plain_value(self.embedding_dim),
            dropout=dropout,
        ).completed()

    def _recipe(self, objective: Objective, start: PretrainedModel | None) -> SupervisedRecipe:
        auto = self._AUTOMATIC[start is not None]
        chosen = {name: value if getattr(self, name) == "auto" else getattr(self, name) for name, value in auto.items()}
        return SupervisedRecipe(
            objective=replace(objective, loss=self.loss) if callable(self.loss) else objective,
            freeze=self.freeze if isinstance(self.freeze, str) else int(self.freeze),
            layer_decay=float(self.layer_decay),
            head=chosen["head"],
            head_init=chosen["head_init"],
            max_epochs=chosen["max_epochs"],
            batch_size=int(self.batch_size),
            learning_rate=float(chosen["learning_rate"]),
            weight_decay=float(self.weight_decay),
            min_epochs=self.min_epochs,
            patience=self.patience,
            precision=self.precision,
        )

    def _fit_key(self, values: list[Any], start: PretrainedModel | None, *labels: Any) -> str:
        """Return a digest of all that decides a fit; empty unless ``checkpoint_dir`` is set."""
        if self.resume and self.checkpoint_dir is None:
            raise ValueError("resume=True needs checkpoint_dir, the folder that holds the state of the killed run.")
        if self.checkpoint_dir is None:
            return ""
        parameters = {name: v for name, v in self.get_params(deep=False).items() if name not in _NO_EFFECT_ON_FIT}
        content = [__version__, type(self).__name__, start and start.digest, *map(as_text, values), *labels, parameters]
        return digest_of_pickle(content)

    def _state_path(self, key: str, member: int) -> Path:
        return Path(cast(Any, self.checkpoint_dir)) / f"{key}-{member}.safetensors"

    def _unfinished(self, key: str) -> tuple[int, dict[int, TrainingState]]:
        """Seed of the fit, and the states of the networks that a killed run left."""
        paths = {member: self._state_path(key, member) for member in range(self.n_estimators if self.resume else 0)}
        found = {member: read_state(path) for member, path in paths.items() if path.exists()}
        seed = found[0][0] if 0 in found else base_seed(self.random_state)
        # a state with another seed belongs to an earlier run, which a later one has partly replaced
        return seed, {member: state for member, (own_seed, state) in found.items() if own_seed == seed}

    # -- predicting ---------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        """Outputs of the members, shape (n_estimators, n_samples, n_outputs); NaN for rows that are not molecules."""
        check_is_fitted(self)
        values = check_molecules(X)
        outputs, reasons = self._outputs_and_reasons(values, self.invalid)
        report_invalid(values, reasons, self.invalid)
        return outputs

    def _outputs_and_reasons(self, values: list[Any], invalid: str) -> tuple[np.ndarray, dict[int, str]]:
        outputs, reasons = embed_molecules(
            self._torch_module(),
            values,
            featurizer=self._architecture.featurizer,
            standardize=self._standardize,
            max_atoms=self.max_atoms,
            invalid=invalid,
            device=resolve_device(self.device),
            precision=self.precision,
            n_jobs=self.n_jobs,
        )
        members = outputs.reshape(len(values), *self._shift.shape).swapaxes(0, 1)
        return members * self._scale[:, None] + self._shift[:, None], reasons

    def _torch_module(self) -> SideBySide:
        if not hasattr(self, "_module"):
            self._module = self._build()
        return self._module.to(resolve_device(self.device))

    def _build(self) -> SideBySide:
        members = []
        for weights in self.weights_:
            with self._architecture.without_initial_weights():
                network = PredictionNetwork(self._architecture, self._shift.shape[1], head_of(weights))
            network.load_state_dict(as_tensors(weights), assign=True)
            members.append(network)
        return SideBySide(members, self._shift.size)

    def _check_ensemble(self) -> None:
        if len(self._shift) < 2:
            raise ValueError("A spread needs an ensemble: set n_estimators to 2 or more and fit again.")

    # -- the scikit-learn contract ------------------------------------------------------------

    def _summary(self) -> dict[str, str]:
        n_networks = len(self.weights_)
        n_structures = len(getattr(self, "_structure_hashes", ()))
        return {
            "tasks": f"{len(self.task_names_):,}: {some_columns(self.task_names_)}",
            "classes": some_columns(self.classes_) if hasattr(self, "classes_") else "",
            "molecules": f"{len(self.molecule_keys_):,} seen, pretraining included"
            + (f", and {n_structures:,} as structures only" if n_structures else ""),
            "networks": f"{n_networks:,}" if n_networks > 1 else "",
            "start": getattr(self, "start_", ""),
            "epochs": epochs_in_words(self.n_iter_, self.best_score_),
            "parameters": f"{count_of_weights(self.weights_[0]):,}" + (" in each network" if n_networks > 1 else ""),
        }

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        accept_molecules(tags, self.invalid)
        tags.target_tags.multi_output = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Weights travel as the arrays in weights_: the torch module is rebuilt, on whatever device there is.
        return {name: value for name, value in super().__getstate__().items() if name != "_module"}


def some_columns(columns: list[Any] | np.ndarray) -> str:
    """The first ten of column numbers, classes or tasks, for a message."""
    return ", ".join(map(str, columns[:10])) + ", ..." * (len(columns) > 10)
