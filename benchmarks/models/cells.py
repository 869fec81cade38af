"""Make the model ``cells``: learned from Cell Painting and cellular response profiles, after descriptors of structures.

    python benchmarks/models/cells.py --nci60 nci60_selectivity_union.parquet \
        --structures comas.parquet nci60.parquet toxcast.parquet jump.parquet \
        --exclude tdc_*.parquet ace_*.parquet ... --out mocop_sklearn/model_file/shipped

First the encoder regresses descriptors of bare structures. Then it contrasts molecules with the profiles of COMAS (Cell
Painting, bundled) and of NCI-60 (growth of tumour cell lines), while it goes on with the descriptors. No label of an
assay takes part. Structures and exclusions are those of ``distilled.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from distilled import RECIPE, excluded, pool
from scipy.linalg import block_diag
from sklearn.preprocessing import FunctionTransformer

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.molecules import canonical_smiles
from mocop_sklearn.profiles import ProfileScaler, feature_columns

PROFILES = {
    "batch_size": 128,
    "learning_rate": 5e-4,
    "max_epochs": 15,
    "validation_fraction": 0.1,
    "structure_weight": 3.0,
    "side_features": None,
    "dropout": 0.0,
    "precision": "bf16",
    "random_state": 0,
}


def profiles(nci60: Path) -> tuple[list[str], np.ndarray]:
    """Molecules and whitened profiles of both corpora: each has columns of its own, 0 for the other."""
    comas, table = load_comas(), pd.read_parquet(nci60)
    table = table[table["Metadata_SMILES"].notna()]
    parts = [
        (list(comas.smiles), ProfileScaler(n_components=64).fit_transform(comas.profiles)),
        (
            table["Metadata_SMILES"].tolist(),
            ProfileScaler(n_components=32).fit_transform(table[feature_columns(table)].to_numpy(np.float32)),
        ),
    ]
    return [s for molecules, _ in parts for s in molecules], block_diag(*(block for _, block in parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nci60", type=Path, required=True)
    parser.add_argument("--structures", nargs="+", type=Path, required=True)
    parser.add_argument("--exclude", nargs="*", type=Path, default=[])
    parser.add_argument("--first", type=int, default=107_057, help="molecules to draw from (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=60_000, help="bare structures (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--n-jobs", type=int, default=None)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bare = pool(args.structures, args.exclude, args.first, args.limit)
    smiles, matrix = profiles(args.nci60)
    valid = np.flatnonzero([s is not None for s in canonical_smiles(smiles)])
    keep = valid[~excluded(args.exclude, [smiles[i] for i in valid])]
    settings = {"unlabeled": bare, "memory": args.cache, "n_jobs": args.n_jobs, "verbose": 1}
    first = MoCoPEmbedder(**settings, **RECIPE).fit(bare[:1])
    cells = MoCoPEmbedder(pretrained=first.model_, profile_transformer=FunctionTransformer(), **settings, **PROFILES)
    model = cells.fit([smiles[i] for i in keep], profiles=matrix[keep]).model_.compact()
    model.save(args.out / "cells.safetensors")
    first.model_.compact().save(args.cache / "structures.safetensors")  # the arm without cells
    print(f"digest {model.digest}, validation score {model.best_score:.3f}, {len(keep):,} profiles")


if __name__ == "__main__":
    main()
