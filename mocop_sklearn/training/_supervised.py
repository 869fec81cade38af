"""Supervised training: labelled molecules → a network that predicts their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ..molecules._graphs import MoleculeGraphs
from ..nn._encoders import parts_of
from ..nn._models import Architecture, PredictionNetwork, SideBySide
from ..utils._device import autocast
from ..utils._random import Stream, generator, torch_integer, torch_seed
from ._inference import embed_graphs
from ._linear_start import linear_start
from ._loop import TrainingState, run_epochs
from ._objectives import Objective, mean_loss, mean_score

_MOLECULES_PER_BLOCK = 4096
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class SupervisedRecipe:
    """Settings of a training on labels, documented at ``MoCoPClassifier``."""

    objective: Objective
    freeze: str | int
    layer_decay: float
    head: str
    head_init: str
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    min_epochs: int
    patience: int | None
    precision: str


# A Tensor or, where most labels are missing as in large assay panels, a csr_array until a batch is made of it.
Labels: TypeAlias = Any


@dataclass(frozen=True)
class LabelledMolecules:
    """Distinct molecules with their labels.

    Attributes
    ----------
    graphs : MoleculeGraphs
    targets : Labels of float32, shape (n_molecules, n_outputs)
        Labels, finite everywhere; probabilities where replicates disagree.
    weights : Labels of float32, shape (n_molecules, n_outputs), or (n_molecules, 1) for one softmax
        0 where nothing was measured.
    mass : Labels of float32, of the shape of ``weights``
        The weights without the class weights.
    """

    graphs: MoleculeGraphs
    targets: Labels
    weights: Labels
    mass: Labels

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def to(self, device: torch.device) -> LabelledMolecules:
        """Return these molecules on ``device``; sparse labels stay where they are."""
        labels = (a if sp.issparse(a) else a.to(device) for a in (self.targets, self.weights, self.mass))
        return LabelledMolecules(self.graphs.to(device), *labels)

    def labels(self, molecules: Tensor, device: torch.device) -> list[Tensor]:
        """Return targets, weights and mass of some molecules."""
        return [_rows(a, molecules).to(device) for a in (self.targets, self.weights, self.mass)]


def compact(labels: sp.csr_array) -> Labels:
    """Return labels in single precision, in the form that takes less memory: sparse, or dense."""
    labels = labels.astype(np.float32)
    n_bytes = labels.data.nbytes + labels.indices.nbytes
    return labels if n_bytes < 4 * labels.shape[0] * labels.shape[1] else dense(labels)


def dense(labels: sp.csr_array) -> Tensor:
    """Return labels in single precision."""
    return torch.from_numpy(labels.toarray().astype(np.float32))


def _rows(labels: Labels, rows: Tensor) -> Tensor:
    return torch.from_numpy(labels[rows.numpy()].toarray()) if sp.issparse(labels) else labels[rows]


@dataclass(frozen=True)
class SupervisedResult:
    """The kept weights of a training and how it went."""

    weights: dict[str, np.ndarray]
    history: list[dict[str, float]]
    best_score: float


def train_supervised(
    architecture: Architecture,
    recipe: SupervisedRecipe,
    training: LabelledMolecules,
    validation: LabelledMolecules | None,
    *,
    seed: int,
    device: torch.device,
    encoder_weights: dict[str, Tensor] | None = None,
    resume_from: TrainingState | None = None,
    begin: Callable[[], object] | None = None,
    save: Callable[[TrainingState], object] | None = None,
    verbose: bool = False,
) -> SupervisedResult:
    """Train a network on labels and keep the weights of the best epoch.

    The best epoch has the highest validation score. The lower validation loss decides between equal or undefined
    scores. Without ``validation``, the last epoch is kept.

    Parameters
    ----------
    encoder_weights : dict of Tensor, optional
        Start the encoder from these instead of random weights.
    resume_from : TrainingState, optional
        Continue this run; the result is bit-equal to the run without a break, on a CPU.
    begin, save : callable, optional
        Called before every epoch, and with the state after it; ``save`` returns whether to stop.

    Raises
    ------
    ValueError
        When the loss or a weight is not finite.
    """
    with torch_seed(device):
        torch.manual_seed(torch_integer(generator(seed, Stream.INITIAL_WEIGHTS)))
        network = PredictionNetwork(architecture, training.targets.shape[1], recipe.head)
        if encoder_weights is not None:
            network.molecule_encoder.load_state_dict(encoder_weights)
            network.keeps_statistics = True
        network.to(device)
        optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), weight_decay=recipe.weight_decay, fused=True)
        run = _Run(network, recipe, training.to(device), validation, device)
        if resume_from is None:
            run.start_head()
        state = TrainingState.of(network) if resume_from is None else resume_from
        run_epochs(
            network,
            optimizer,
            state,
            seed=seed,
            max_epochs=recipe.max_epochs,
            min_epochs=recipe.min_epochs,
            batches=run.batches,
            step=run.step,
            validate=None if validation is None else run.validate,
            patience=recipe.patience,
            begin=begin,
            save=save,
            label="fine-tuning",
            verbose=verbose,
        )
    return result_of(state)


def result_of(state: TrainingState) -> SupervisedResult:
    """Return what a network has learned until now."""
    kept = {name: w.numpy() for name, w in state.best_weights.items()}
    return SupervisedResult(kept, state.history, state.best_score)


class _Run:
    """One network and its molecules; the output of a frozen encoder is computed once for all epochs."""

    def __init__(
        self,
        network: PredictionNetwork,
        recipe: SupervisedRecipe,
        training: LabelledMolecules,
        validation: LabelledMolecules | None,
        device: torch.device,
    ):
        self.network, self.recipe, self.device = network, recipe, device
        self.training, self.validation = training, validation
        frozen = recipe.freeze == "encoder"
        self.z = self._representations(training.graphs) if frozen else None
        self.z_validation = self._representations(validation.graphs) if frozen and validation is not None else None

    def batches(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Return the molecules of each batch of an epoch."""
        return torch.from_numpy(rng.permutation(len(self.training))).split(self.recipe.batch_size)

    def step(self, molecules: Tensor) -> Tensor:
        """Compute the loss of some molecules and leave its gradients in the parameters."""
        with autocast(self.device, self.recipe.precision):
            if self.z is None:
                outputs = self.network(self.training.graphs.take(molecules).collate())
            else:
                outputs = self.network.predict(self.z[molecules])
        loss = mean_loss(self.recipe.objective, outputs, *self.training.labels(molecules, outputs.device))
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the loss and the score on the validation molecules."""
        assert self.validation is not None
        self.network.eval()
        if self.z_validation is None:
            model = SideBySide([self.network], self.network.head.out_features)
            outputs = torch.from_numpy(embed_graphs(model, self.validation.graphs, self.device, self.recipe.precision))
        else:
            outputs = self.network.predict(self.z_validation).cpu()
        objective = self.recipe.objective
        return {
            "validation_loss": self._validation_loss(outputs),
            "validation_score": mean_score(
                objective, outputs.numpy(), *map(_as_columns, (self.validation.targets, self.validation.weights))
            ),
        }

    def _validation_loss(self, outputs: Tensor) -> float:
        """Return the mean loss over the validation labels, a block of molecules at a time."""
        assert self.validation is not None
        loss = mass = 0.0
        for rows in torch.arange(len(outputs)).split(_MOLECULES_PER_BLOCK):
            labels = self.validation.labels(rows, outputs.device)
            n = float(labels[-1].sum())
            loss += n * float(mean_loss(self.recipe.objective, outputs[rows], *labels))
            mass += n
        return loss / mass if mass else 0.0

    @torch.no_grad()
    def start_head(self) -> None:
        """Standardise the representations, and set the last layer to a regularised linear model of its inputs."""
        network, head, starts = self.network, self.network.head, self.recipe.head_init == "linear"
        if not network.standardizes and not starts:
            return
        z = self._representations(self.training.graphs) if self.z is None else self.z
        if network.standardizes:
            network.center.copy_(z.mean(dim=0))
            network.spread.copy_(z.std(dim=0, correction=0).clamp(min=_LEAST_SPREAD))
        if not starts:
            return
        targets, weights = map(_as_columns, (self.training.targets, self.training.weights))
        features = network.eval().features(z).cpu().numpy()
        outputs, coefficients, intercepts = linear_start(self.recipe.objective.start, features, targets, weights)
        head.weight[outputs] = torch.from_numpy(coefficients).to(head.weight)
        head.bias[outputs] = torch.from_numpy(intercepts).to(head.bias)

    def _representations(self, graphs: MoleculeGraphs) -> Tensor:
        """Return the representations of molecules, shape (n_molecules, embedding_dim)."""
        encoder = SideBySide([self.network.molecule_encoder], self.network.molecule_encoder.out_features)
        return torch.from_numpy(embed_graphs(encoder, graphs, self.device, self.recipe.precision)).to(self.device)


def _as_columns(labels: Labels) -> np.ndarray | sp.csc_array:
    """Return labels in a form whose columns are read fast."""
    return labels.tocsc() if sp.issparse(labels) else labels.cpu().numpy()


def check_freeze(architecture: Architecture, freeze: str | int) -> None:
    """Raise ``ValueError`` when an encoder has fewer parts than are to be frozen."""
    if isinstance(freeze, str) or freeze == 0:
        return
    with architecture.without_initial_weights():
        n_parts = len(parts_of(architecture.build_encoder()))
    if n_parts == 1:
        raise ValueError(f'freeze={freeze}, but the encoder has no parts: use freeze="encoder" for all of it.')
    if freeze > n_parts - 2:
        raise ValueError(f"freeze={freeze}, but the encoder has {n_parts - 2} convolutions.")


def _parameter_groups(network: PredictionNetwork, recipe: SupervisedRecipe) -> list[dict[str, Any]]:
    """Return the trained parameters; the rate of each part is ``layer_decay`` times that of the part above it."""
    encoder = network.molecule_encoder
    above = nn.ModuleList(part for part in network.children() if part is not encoder)  # whatever the head consists of
    parts: list[nn.Module] = [*parts_of(encoder), above]
    if recipe.freeze == "encoder":
        encoder.requires_grad_(False)
    elif isinstance(recipe.freeze, int) and recipe.freeze:
        for part in parts[: 1 + recipe.freeze]:
            part.requires_grad_(False)
    groups = []
    for depth, part in enumerate(reversed(parts)):
        trained = [p for p in part.parameters() if p.requires_grad]
        if trained:
            groups.append({"params": trained, "lr": recipe.learning_rate * recipe.layer_decay**depth})
    return groups
