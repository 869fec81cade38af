"""The supervised loop: labelled molecules → a network that predicts their labels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, r2_score
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..molecules._graphs import MoleculeGraphs
from ..nn._encoders import Architecture, PredictionNetwork, SideBySide
from ..utils._device import autocast
from ..utils._random import Stream, generator, torch_seed
from ._contrastive import TrainingState, check_weights, out_of_patience
from ._inference import embed_graphs
from ._linear_start import linear_head


@dataclass(frozen=True)
class SupervisedRecipe:
    """How a network is trained on labels; the meaning of each is documented at ``MoCoPClassifier``."""

    objective: str  # "binary", "multiclass" or "regression"
    freeze: str | int
    layer_decay: float
    head_init: str
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int | None
    precision: str


@dataclass(frozen=True)
class LabelledMolecules:
    """Distinct molecules and what is known of them.

    Attributes
    ----------
    graphs : MoleculeGraphs
    targets : Tensor of float32, shape (n_molecules, n_outputs)
        Labels, finite everywhere; probabilities where replicates disagree.
    weights : Tensor of float32, shape (n_molecules, n_outputs), or (n_molecules, 1) for one softmax
        0 where nothing was measured.
    mass : Tensor of float32, of the shape of ``weights``
        The weights without those of the classes.
    """

    graphs: MoleculeGraphs
    targets: Tensor
    weights: Tensor
    mass: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> LabelledMolecules:
        """Return these molecules on ``device``."""
        tensors = (tensor.to(device) for tensor in (self.targets, self.weights, self.mass))
        return LabelledMolecules(self.graphs.to(device), *tensors)


@dataclass(frozen=True)
class SupervisedResult:
    """The kept weights of a training and how it went."""

    weights: dict[str, np.ndarray]
    history: list[dict[str, float]]
    best_score: float


def supervised_loss(objective: str, outputs: Tensor, targets: Tensor, weights: Tensor, mass: Tensor) -> Tensor:
    """Mean over the measured labels of the cross-entropy or the squared error, with class weights as factors.

    Divided by the weights with those of the classes, a batch without the rare class would count as much as any other,
    and the class weights would act within batches only.

    Parameters
    ----------
    objective : {"binary", "multiclass", "regression"}
    outputs, targets : Tensor, shape (n, n_outputs)
    weights, mass : Tensor, shape (n, n_outputs), or (n, 1) for "multiclass"
        As in ``LabelledMolecules``.

    Returns
    -------
    Tensor, shape ()
        0 when no label was measured.
    """
    if objective == "binary":
        losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    elif objective == "multiclass":
        losses = -(targets * outputs.log_softmax(dim=1)).sum(dim=1, keepdim=True)
    else:
        losses = (outputs - targets).square()
    return (weights * losses).sum() / mass.sum().clamp(min=torch.finfo(mass.dtype).tiny)


def supervised_score(objective: str, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """Mean over columns of the average precision, or of R² for "regression".

    Columns without two classes, or without two different values, are left out; NaN when none remains.
    """
    metric = r2_score if objective == "regression" else average_precision_score
    labels = targets if objective == "regression" else targets >= 0.5
    scores = []
    for column, label in enumerate(labels.T):
        weight = weights[:, min(column, weights.shape[1] - 1)]
        known = weight > 0
        if known.any() and np.ptp(label[known].astype(float)) > 0:
            scores.append(metric(label[known], outputs[known, column], sample_weight=weight[known]))
    return float(np.mean(scores)) if scores else math.nan


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
    save: Callable[[TrainingState], None] | None = None,
    verbose: bool = False,
) -> SupervisedResult:
    """Train a network on labels and keep the weights of the best epoch.

    The best epoch has the highest validation score; the lower validation loss decides between equal or
    undefined scores. Without ``validation``, the last epoch is kept.

    Parameters
    ----------
    encoder_weights : dict of Tensor, optional
        Start the encoder from these instead of random weights.
    resume_from : TrainingState, optional
        Continue this run; the result is bit-equal to the run without a break, on a CPU.
    save : callable, optional
        Called with the state after every epoch.

    Raises
    ------
    ValueError
        When the loss or a weight is no longer finite.
    """
    with torch_seed(device):
        torch.manual_seed(int(generator(seed, Stream.INITIAL_WEIGHTS).integers(2**62)))
        network = PredictionNetwork(architecture, training.targets.shape[1])
        if encoder_weights is not None:
            network.molecule_encoder.load_state_dict(encoder_weights)
        network.to(device)
        optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), weight_decay=recipe.weight_decay, fused=True)
        training = training.to(device)
        frozen, start_head = recipe.freeze == "encoder", recipe.head_init == "linear" and resume_from is None
        # what a frozen encoder makes of all molecules, once for all epochs
        z = _representations(network, training.graphs, device, recipe) if frozen or start_head else None
        z_validation = None
        if frozen and validation is not None:
            z_validation = _representations(network, validation.graphs, device, recipe)
        if start_head:
            assert z is not None
            _start_head(network, z, training, recipe.objective)
            z = z if frozen else None

        state = resume_from or TrainingState(network.state_dict(), {}, _copy(network))
        if resume_from is not None:
            network.load_state_dict(state.weights)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
        progress = tqdm(range(state.epoch, recipe.max_epochs), initial=state.epoch, total=recipe.max_epochs,
                        desc="fine-tuning", unit="epoch", disable=not verbose)  # fmt: skip
        for epoch in progress:
            if validation is not None and out_of_patience(state, recipe.patience):
                break
            started = time.perf_counter()
            rng = generator(seed, Stream.EPOCH, epoch)
            torch.manual_seed(int(rng.integers(2**62)))
            network.train()
            losses = []
            for batch in torch.from_numpy(rng.permutation(len(training))).to(device).split(recipe.batch_size):
                with autocast(device, recipe.precision):
                    outputs = network(training.graphs.take(batch).collate()) if z is None else network.predict(z[batch])
                known = (t[batch] for t in (training.targets, training.weights, training.mass))
                loss = supervised_loss(recipe.objective, outputs, *known)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            row = {"epoch": epoch + 1, "loss": float(torch.stack(losses).mean())}
            if not math.isfinite(row["loss"]):
                raise ValueError(f"The loss became {row['loss']} in epoch {epoch + 1}. Lower learning_rate.")
            check_weights(network, epoch + 1)
            if validation is not None:
                row |= _validate(network, validation, z_validation, device, recipe)
            best = state.history[state.best_epoch - 1] if state.best_epoch else None
            if best is None or validation is None or _rank(row) > _rank(best):
                state.best_epoch, state.best_weights = epoch + 1, _copy(network)
                state.best_score = row.get("validation_score", math.nan)
            state.epoch, state.weights = epoch + 1, network.state_dict()
            state.optimizer = optimizer.state_dict()["state"]
            state.history.append(row | {"seconds": time.perf_counter() - started})
            if save is not None:
                save(state)
        progress.close()
    kept = {name: w.numpy() for name, w in state.best_weights.items()}
    return SupervisedResult(kept, state.history, state.best_score)


@torch.no_grad()
def _start_head(network: PredictionNetwork, z: Tensor, training: LabelledMolecules, objective: str) -> None:
    """Set the last layer to a regularised linear model of what enters it."""
    features, targets, weights = (a.cpu().numpy() for a in (z, training.targets, training.weights))
    outputs, coefficients, intercepts = linear_head(objective, np.tanh(features), targets, weights)
    network.head.weight[outputs] = torch.from_numpy(coefficients).to(network.head.weight)
    network.head.bias[outputs] = torch.from_numpy(intercepts).to(network.head.bias)


def _rank(row: dict[str, float]) -> tuple[float, float]:
    """What makes an epoch the best: its validation score, then its loss; an undefined score is the lowest."""
    score = row["validation_score"]
    return -math.inf if math.isnan(score) else score, -row["validation_loss"]


def _parameter_groups(network: PredictionNetwork, recipe: SupervisedRecipe) -> list[dict[str, Any]]:
    """Trained parameters, the rate of each part ``layer_decay`` times that of the part above it."""
    encoder = network.molecule_encoder
    parts: list[nn.Module] = [encoder.embed, *encoder.layers, encoder.readout, network.head]
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


def _representations(
    network: PredictionNetwork, graphs: MoleculeGraphs, device: torch.device, recipe: SupervisedRecipe
) -> Tensor:
    """What the encoder makes of molecules, shape (n_molecules, embedding_dim)."""
    encoder = SideBySide([network.molecule_encoder], network.head.in_features)
    return torch.from_numpy(embed_graphs(encoder, graphs, device, recipe.precision)).to(device)


@torch.no_grad()
def _validate(
    network: PredictionNetwork,
    validation: LabelledMolecules,
    z: Tensor | None,
    device: torch.device,
    recipe: SupervisedRecipe,
) -> dict[str, float]:
    network.eval()
    if z is None:
        model = SideBySide([network], network.head.out_features)
        outputs = torch.from_numpy(embed_graphs(model, validation.graphs, device, recipe.precision))
    else:
        outputs = network.predict(z).cpu()
    targets, weights = validation.targets, validation.weights
    return {
        "validation_loss": float(supervised_loss(recipe.objective, outputs, targets, weights, validation.mass)),
        "validation_score": supervised_score(recipe.objective, outputs.numpy(), targets.numpy(), weights.numpy()),
    }


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: w.detach().cpu().clone() for name, w in network.state_dict().items()}
