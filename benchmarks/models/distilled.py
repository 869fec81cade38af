"""Make the model ``distilled``: a student of MiniMol and of RDKit's descriptors on bare structures.

    python benchmarks/models/distilled.py --structures comas.parquet nci60.parquet toxcast.parquet jump.parquet \
        --exclude tdc_*.parquet ace_*.parquet ... --out mocop_sklearn/model_file/shipped

The tables hold structures in a column Metadata_SMILES or smiles. Those of the last one come in random order. Molecules
of the tables of ``--exclude`` are left out, by the first block of the InChIKey: the model can be tested on them.
The teacher embeds about 100 molecules a second, once; training takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rdkit import rdBase
from sklearn.pipeline import FeatureUnion

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import MiniMol, MoleculeDescriptors, canonical_smiles

RECIPE = {
    "encoder": "gine",
    "n_layers": 4,
    "hidden_dim": 128,
    "embedding_dim": 512,
    "dropout": 0.0,
    "max_epochs": 12,
    "batch_size": 128,
    "learning_rate": 1.5e-3,
    "validation_fraction": 0.02,
    "precision": "bf16",
    "random_state": 0,
}


def structures(path: Path) -> np.ndarray:
    """Distinct structures of a table, as they are written."""
    column = "Metadata_SMILES" if "Metadata_SMILES" in pq.read_schema(path).names else "smiles"
    return pd.read_parquet(path, columns=[column])[column].dropna().unique()


def excluded(paths: list[Path], smiles: list[str]) -> np.ndarray:
    """Whether each molecule, which must be valid, has the connectivity of one in some tables."""
    texts = [text for path in paths for text in structures(path)]
    if not texts:
        return np.zeros(len(smiles), dtype=bool)
    with warnings.catch_warnings(), rdBase.BlockLogs():
        warnings.simplefilter("ignore", UserWarning)  # of texts that are not molecules
        return overlap(texts, smiles, invalid="nan")


def pool(paths: list[Path], exclude: list[Path], first: int, limit: int) -> list[str]:
    """Canonical parents: ``limit`` at random of the first so many of all tables that are not excluded."""
    texts: dict[str, None] = {}
    for path in paths:
        found = structures(path)
        if path == paths[-1]:
            found = np.random.default_rng(0).permutation(found)
        texts |= dict.fromkeys(s for s in canonical_smiles(found.tolist()) if s is not None)
    smiles = np.array(list(texts), dtype=object)
    kept = smiles[~excluded(exclude, smiles.tolist())][:first]
    return kept[np.random.default_rng(0).permutation(len(kept))[:limit]].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", nargs="+", type=Path, required=True)
    parser.add_argument("--exclude", nargs="*", type=Path, default=[])
    parser.add_argument("--first", type=int, default=107_057, help="molecules to draw from (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=60_000, help="molecules to train on (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--n-jobs", type=int, default=None)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    smiles = pool(args.structures, args.exclude, args.first, args.limit)
    print(f"{len(smiles):,} structures")
    teacher = MiniMol(standardize=None, invalid="nan", memory=args.cache, n_jobs=args.n_jobs)
    descriptors = MoleculeDescriptors(standardize=None, memory=args.cache, n_jobs=args.n_jobs)
    targets = FeatureUnion([("minimol", teacher), ("descriptors", descriptors)])
    student = MoCoPEmbedder(unlabeled=smiles, structure_targets=targets, memory=args.cache, verbose=1, **RECIPE)
    model = student.fit(smiles[:1]).model_.compact()
    model.save(args.out / "distilled.safetensors")
    print(f"digest {model.digest}, explained variance {model.best_score:.3f}")


if __name__ == "__main__":
    main()
