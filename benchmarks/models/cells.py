"""Make the model ``cells``: learned from Cell Painting and cellular response profiles, after descriptors of structures.

    python benchmarks/models/cells.py --nci60 nci60_selectivity_union.parquet \
        --structures comas.parquet nci60.parquet toxcast.parquet jump.parquet \
        --exclude tdc_*.parquet ace_*.parquet ... --out mocop_sklearn/model_file/shipped

First the encoder regresses descriptors of bare structures. Then it contrasts molecules with the profiles of COMAS (Cell
Painting, bundled) and of NCI-60 (growth of tumour cell lines), while it goes on with the descriptors. No label of an
assay takes part. Structures and exclusions are those of ``distilled.py``.

With ``--controls``, what the profiles are worth can be measured: ``benchmarks/frozen.py --models`` takes from the cache
the encoder before it saw them (structures.safetensors, which is always written), after it (cells_paired.safetensors),
and those of ``CONTROLS``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

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
    "local_scaling": False,
    "dropout": 0.0,
    "precision": "bf16",
    "random_state": 0,
}
CONTROLS: dict[str, dict[str, Any]] = {
    "cells_shuffled": {},  # profiles of other molecules of the same corpus
    "cells_less_structure": {"structure_weight": 0.3},
    # contrastive alone, from random weights
    "cells_alone": {
        "pretrained": None,
        "unlabeled": None,
        "structure_weight": 0.0,
        "max_epochs": 60,
        "learning_rate": 1e-3,
    },
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
    parser.add_argument("--controls", action="store_true", help="make the models of CONTROLS, too, in the cache")
    args = parser.parse_args()
    bare = pool(args.structures, args.exclude, args.first, args.limit)
    smiles, matrix = profiles(args.nci60)
    valid = np.flatnonzero([s is not None for s in canonical_smiles(smiles)])
    keep = valid[~excluded(args.exclude, [smiles[i] for i in valid])]
    settings = {"unlabeled": bare, "memory": args.cache, "n_jobs": args.n_jobs, "verbose": 1}
    first = MoCoPEmbedder(**settings, **RECIPE).fit(bare[:1]).model_
    first.compact().save(args.cache / "structures.safetensors")
    smiles, matrix = [smiles[i] for i in keep], matrix[keep]
    given = {"pretrained": first, "profile_transformer": FunctionTransformer(), **settings, **PROFILES}
    model = MoCoPEmbedder(**given).fit(smiles, profiles=matrix).model_.compact()
    model.save(args.out / "cells.safetensors")
    print(f"digest {model.digest}, validation score {model.best_score:.3f}, {len(keep):,} profiles")
    if not args.controls:
        return
    model.save(args.cache / "cells_paired.safetensors")
    for name, own in CONTROLS.items():
        table = matrix[shuffled(matrix)] if name == "cells_shuffled" else matrix
        control = MoCoPEmbedder(**given | own).fit(smiles, profiles=table).model_.compact()
        control.save(args.cache / f"{name}.safetensors")
        print(f"{name}: validation score {control.best_score:.3f}")


def shuffled(matrix: np.ndarray) -> np.ndarray:
    """A random order of the rows in which each stays among those of its corpus."""
    order, rng = np.arange(len(matrix)), np.random.default_rng(0)
    of_comas = matrix[:, :64].any(axis=1)
    for rows in (np.flatnonzero(of_comas), np.flatnonzero(~of_comas)):
        order[rows] = rng.permutation(rows)
    return order


if __name__ == "__main__":
    main()
