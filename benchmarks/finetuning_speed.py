"""Fine-tuning speed beside chemprop: the same molecules, batch size and core, taking turns within one run.

Both train their default networks on one binary task. An epoch is timed after molecules have become graphs, which both
keep; a whole fit of a few epochs, from SMILES, is timed too.

    python benchmarks/finetuning_speed.py            needs chemprop: pip install "mocop-sklearn[peers]"
    python benchmarks/finetuning_speed.py --quick
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from common import print_table, require, save

from mocop_sklearn import MoCoPClassifier

EPOCHS = 5


def ours(smiles: list[str], labels: np.ndarray, batch_size: int) -> tuple[float, float]:
    """Seconds of an epoch, the median, and of the whole fit."""
    start = time.perf_counter()
    tuned = MoCoPClassifier(max_epochs=EPOCHS, batch_size=batch_size, validation_fraction=0, random_state=0)
    tuned.fit(smiles, labels)
    whole = time.perf_counter() - start
    return float(np.median([row["seconds"] for row in tuned.history_])), whole


def chemprop(smiles: list[str], labels: np.ndarray, batch_size: int) -> tuple[float, float]:
    """As ``ours``, for chemprop's message passing on bonds with its defaults; its graphs are kept between epochs."""
    from chemprop import data, models, nn
    from lightning import pytorch as pl

    class Clock(pl.Callback):
        def on_train_epoch_start(self, *_):
            self.started = time.perf_counter()

        def on_train_epoch_end(self, *_):
            seconds.append(time.perf_counter() - self.started)

    seconds: list[float] = []
    start = time.perf_counter()
    points = [data.MoleculeDatapoint.from_smi(s, [float(y)]) for s, y in zip(smiles, labels, strict=True)]
    dataset = data.MoleculeDataset(points)
    dataset.cache = True
    loader = data.build_dataloader(dataset, batch_size=batch_size, num_workers=0)
    model = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), nn.BinaryClassificationFFN())
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Clock()],
    )  # fmt: skip
    trainer.fit(model, loader)
    return float(np.median(seconds)), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    if importlib.util.find_spec("chemprop") is None:
        sys.exit("skipped: chemprop is not installed")
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    table = pd.read_parquet(require("bioactivity/tdc_bbb_martins.parquet")).head(300 if quick else 2000)
    smiles, labels = table["smiles"].tolist(), table["y"].to_numpy()
    figures, rows = [], []
    for batch_size in (32,) if quick else (32, 64, 128):
        rounds: dict[str, list[tuple[float, float]]] = {"mocop_sklearn": [], "chemprop": []}
        for _ in range(1 if quick else 3):
            rounds["mocop_sklearn"].append(ours(smiles, labels, batch_size))
            rounds["chemprop"].append(chemprop(smiles, labels, batch_size))
        epoch = {name: float(np.median([r[0] for r in found])) for name, found in rounds.items()}
        whole = {name: float(np.median([r[1] for r in found])) for name, found in rounds.items()}
        figures.append({
            "batch_size": batch_size,
            "molecules_per_second": {name: len(smiles) / seconds for name, seconds in epoch.items()},
            "fit_seconds": whole,
            "epoch_ratio": epoch["chemprop"] / epoch["mocop_sklearn"],
            "fit_ratio": whole["chemprop"] / whole["mocop_sklearn"],
        })  # fmt: skip
        last = figures[-1]
        rows.append([
            f"{batch_size}", *(f"{rate:.0f}" for rate in last["molecules_per_second"].values()),
            f"{last['epoch_ratio']:.1f}", f"{last['fit_ratio']:.1f}",
        ])  # fmt: skip
    print_table(["batch", "mocop_sklearn, molecules/s", "chemprop, molecules/s", "ratio", "ratio of whole fits"], rows)
    content = {"molecules": len(smiles), "epochs": EPOCHS, "rounds": figures}
    save("finetuning_speed_quick" if quick else "finetuning_speed", content)


if __name__ == "__main__":
    main()
