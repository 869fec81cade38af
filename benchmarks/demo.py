"""The package on the measured data that come with it: pretrain on cells, then predict a property from few labels.

1. COMAS, Cell Painting profiles of 711 structures. A part of the molecules is held out. Which profile belongs to an
   unseen molecule, and which molecule to its profile? MoCoPEmbedder() beside what needs no network: a kernel ridge from
   structure to profile, and the five nearest neighbours by ECFP.
2. Clearance in human liver microsomes, of 3,087 molecules, by their scaffold split. The first model of list_models()
   stands before a support vector machine, beside fingerprints and descriptors, with 20 labels and more.

It prints tables, and writes a picture and a model file into demo_output/.

    python benchmarks/demo.py            under five minutes on two cores
    python benchmarks/demo.py --quick    under one minute: fewer epochs, molecules, sizes and draws
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pictures
from common import mean_std, print_table
from frozen import predict, quality
from retrieval import Corpus, comas, held_out, vectors
from sklearn.preprocessing import normalize

from mocop_sklearn import MoCoPEmbedder, list_models
from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.metrics import retrieval_ranks, retrieval_report
from mocop_sklearn.model_selection import molecule_groups, overlap
from mocop_sklearn.molecules import MoleculeDescriptors, MorganCounts

OUTPUT = Path("demo_output")
MODEL = OUTPUT / "mocop.safetensors"
PICTURE = OUTPUT / "demo.svg"

ENDPOINT = "HLM"
SHIPPED = list_models()[0].name
# head and blocks of columns, as in frozen.py
ARMS = {
    f"{SHIPPED} ⧺ descriptors ⧺ ECFP + SVM": ("svm", (SHIPPED, "descriptors", "ECFP")),
    f"{SHIPPED} + SVM": ("svm", (SHIPPED,)),
    "descriptors ⧺ ECFP + SVM": ("svm", ("descriptors", "ECFP")),
    "descriptors + forest": ("forest", ("descriptors",)),
    "ECFP + forest": ("forest", ("ECFP",)),
}
FIRST = 50  # candidates that the picture shows

Views = tuple[np.ndarray, np.ndarray]  # unit vectors of molecules and of their profiles, row by row


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    parameters: dict[str, Any]  # of the embedder; none are the defaults
    n_splits: int  # of the molecules of COMAS, each with a pretraining
    n_labels: tuple[int, ...]  # sizes of training parts; the whole part comes on top
    n_draws: int  # random parts of each size
    n_molecules: int | None  # of the ADME set; None is all
    n_jobs: int | None


FULL = Size({}, 3, (20, 50, 100, 200, 500), 5, None, 2)
QUICK = Size({"max_epochs": 5}, 1, (20, 100), 2, 500, None)


# ---------------------------------------------------------------------------------------------
# Cells
# ---------------------------------------------------------------------------------------------


def save_and_check(embedder: MoCoPEmbedder, smiles: Sequence[str]) -> None:
    """Write the model file, and read it again: it must give the same vectors."""
    embedder.save(MODEL)
    loaded = MoCoPEmbedder.load(MODEL)
    if not np.array_equal(loaded.transform(smiles), embedder.transform(smiles)):
        sys.exit(f"{MODEL} was written and loaded again, but its vectors are not those of the model that was saved.")


def views_of_unseen(corpus: Corpus, test: np.ndarray, parameters: dict[str, Any], seed: int) -> dict[str, Views]:
    """Fit each arm on the training molecules; vectors of the unseen ones and of their profiles."""
    smiles, group = np.unique(corpus.smiles[test], return_inverse=True)
    embedder = MoCoPEmbedder(random_state=seed, verbose=1, **parameters)
    models = {
        "MoCoPEmbedder(): network and ridge": embedder,
        "kernel ridge, descriptors ⧺ fingerprints": ProfileKernelRidge(),
        "5 nearest neighbours by ECFP": ProfileNeighbors(5),
    }
    for model in models.values():
        model.fit(corpus.smiles[~test], corpus.profiles[~test])
    if seed == 0:
        save_and_check(embedder, smiles)
    found = {name: vectors(model, smiles, corpus.profiles[test], group) for name, model in models.items()}
    # in the shared space, the columns of the network come before those of the ridge beside it
    molecules, profiles = (normalize(view[:, : embedder.projection_dim]) for view in next(iter(found.values())))
    return {**found, "MoCoPEmbedder(): network alone": (molecules, profiles)}


def share_found(views: Sequence[Views]) -> np.ndarray:
    """Share of the queries that find their own among the first k = 1, 2, …; mean of splits and directions."""
    ranks = [
        retrieval_ranks(*pair)
        for molecules, profiles in views
        for pair in ((molecules, profiles), (profiles, molecules))
    ]
    return np.mean([(own[:, None] < np.arange(1, FIRST + 1)).mean(axis=0) for own in ranks], axis=0)


def cells(size: Size) -> dict[str, np.ndarray]:
    """Pretrain on COMAS, print the table of retrieval, and return the curves of the picture."""
    corpus = comas()
    groups = molecule_groups(corpus.smiles, standardize=None)
    splits = [
        views_of_unseen(corpus, held_out(groups, seed, corpus.fraction), size.parameters, seed)
        for seed in range(size.n_splits)
    ]
    by_arm = {name: [split[name] for split in splits] for name in splits[0]}
    reports = {name: [retrieval_report(*views) for views in own] for name, own in by_arm.items()}
    columns = {"top-1": "top1", "top-10": "top10", "normalised rank": "normalized_rank"}
    rows = [[name, *(mean_std(r[key] for r in own) for key in columns.values())] for name, own in reports.items()]
    first = next(iter(reports.values()))
    chance = [np.mean([report[key] for report in first]) for key in ("chance_top1", "chance_top10")]
    rows.append(["chance", *(f"{value:.3f}" for value in chance), "0.500"])
    n_unseen = " / ".join(str(report["n_candidates"]) for report in first)
    print(
        f"\nCell Painting (COMAS): {len(set(corpus.smiles))} molecules, of which {n_unseen} are held out by their "
        f"connectivity.\nRetrieval among the unseen ones; mean of both directions, over {size.n_splits} split(s). "
        "Of a normalised rank, less is better.\n"
    )
    print_table(["", *columns], rows)
    curves = {name: share_found(own) for name, own in by_arm.items()}
    return curves | {"chance": np.arange(1, FIRST + 1) * chance[0]}


# ---------------------------------------------------------------------------------------------
# Few labels
# ---------------------------------------------------------------------------------------------


def scores_by_labels(size: Size) -> tuple[pd.DataFrame, int]:
    """Rank correlation of each arm on the test scaffolds, a row per size and draw; and the number of test molecules."""
    data = load_biogen_adme(endpoint=ENDPOINT)
    kept = np.random.default_rng(0).permutation(len(data.smiles))[: size.n_molecules]
    smiles, y, is_test = data.smiles[kept].tolist(), data.target[kept].astype(float), data.split[kept] == "test"
    shipped = MoCoPEmbedder(pretrained=SHIPPED)
    tables = {SHIPPED: shipped, "descriptors": MoleculeDescriptors(n_jobs=size.n_jobs), "ECFP": MorganCounts()}
    features = {name: table.fit(smiles).transform(smiles) for name, table in tables.items()}
    seen = overlap(shipped, smiles, seen="structure").sum()
    print(
        f"\nClearance in human liver microsomes: {(~is_test).sum()} training and {is_test.sum()} test molecules, of "
        f"other scaffolds.\nOf all {len(smiles)}, pretraining of {SHIPPED!r} has seen {seen}, as structures or with "
        "a profile.",
        flush=True,
    )
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    rows = []
    for n_labels in (*size.n_labels, len(train)):
        for draw in range(1 if n_labels == len(train) else size.n_draws):
            part = np.random.default_rng(draw).permutation(train)[:n_labels]
            used = np.concatenate([part, test])
            places = np.arange(n_labels), np.arange(n_labels, len(used))
            for arm, (head, blocks) in ARMS.items():
                predicted = predict(
                    head, [features[block][used] for block in blocks], *places, y[used], "regression", draw
                )
                rows.append({"arm": arm, "labels": n_labels, "draw": draw, "score": quality(y[test], predicted, False)})
    return pd.DataFrame(rows), len(test)


def labels(size: Size) -> pd.DataFrame:
    """Print the table of the learning curve, and return its rows."""
    rows, n_test = scores_by_labels(size)
    by_arm = rows.groupby(["arm", "labels"])["score"]
    sizes = sorted(rows["labels"].unique())
    print(
        f"Spearman's correlation on the {n_test} test molecules: mean ± standard deviation of {size.n_draws} random "
        "parts of each size, and once with all labels.\n"
    )
    print_table(
        ["labels", *map(str, sizes)],
        [[arm, *(mean_std(by_arm.get_group((arm, n))) for n in sizes)] for arm in ARMS],
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer epochs, molecules, sizes and draws")
    size = QUICK if parser.parse_args().quick else FULL
    start = time.perf_counter()
    OUTPUT.mkdir(exist_ok=True)
    curves = cells(size)
    rows = labels(size)
    spread = rows.groupby(["arm", "labels"])["score"].agg(["mean", "std"]).unstack("labels").loc[list(ARMS)]
    pictures.demonstration(curves, spread["mean"], spread["std"].fillna(0.0), PICTURE)
    print(f"\n{PICTURE} and {MODEL} written, {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
