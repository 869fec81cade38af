"""``mocop retrieve``."""

from __future__ import annotations

import argparse
from typing import Any

from ._molecules import embedded, load_embedder, molecule_arguments
from ._plates import normalisation_arguments, normalizer_of, well_arguments
from ._shared import count, output, refuse_to_replace, say


def retrieve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``retrieve``."""
    molecule_arguments(parser)
    parser.add_argument("profiles", metavar="PROFILES",
                        help="a table of profiles (.parquet, .csv, .tsv), or a corpus of mocop build")  # fmt: skip
    parser.add_argument("-o", "--out", required=True, type=output(".csv", ".parquet"), help="a .csv or .parquet file")
    parser.add_argument("-k", type=count, default=10, help="molecules for each profile (default: 10)")
    parser.add_argument("--id", metavar="COLUMN", help="column that names the profiles (default: their row number)")
    plates = parser.add_argument_group("profiles of plates that are not normalised yet (see mocop build --help)")
    normalisation_arguments(plates, default=False)
    well_arguments(plates)


def retrieve(args: argparse.Namespace) -> None:
    """Find, for each profile, the molecules that lie nearest to it in the shared space.

    The output has the columns `query` (--id, or the number of the row), `rank` (from 1), `row` (of the
    molecule, from 0), `smiles`, for a .smi file `name`, and `similarity` (cosine). A molecule that is
    listed more than once, in the same words, is one candidate.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from ..tables._read import write_table

    refuse_to_replace(args.out, args.molecules, args.model, args.profiles)
    embedder = load_embedder(args, "projection")
    query, queries = _queries(args, embedder)
    library, z = _library(args, embedder)
    k = min(args.k, len(library))
    neighbors = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=args.n_jobs).fit(z)
    distance, nearest = neighbors.kneighbors(queries)  # (n_queries, k)
    table = library.iloc[nearest.ravel()].reset_index(drop=True)
    table.insert(0, "query", np.repeat(query, k))
    table.insert(1, "rank", np.tile(np.arange(1, k + 1), len(query)))
    table["similarity"] = 1 - distance.ravel() ** 2 / 2  # of unit vectors
    write_table(table, args.out)
    if not args.quiet:
        say(f"the nearest {k} of {len(library):,} molecules for each of {len(query):,} profiles are in {args.out}")


def _queries(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Names of the profiles that hold a value, and their unit vectors."""
    import numpy as np

    from ..pairs._store import is_store

    features = embedder.model_.profile_features
    query, names, matrix = _stored_profiles(args) if is_store(args.profiles) else _profiles_of_table(args, features)
    wanted = features or names
    place = {name: i for i, name in enumerate(names)}
    lacking = [name for name in wanted if name not in place]
    if lacking:
        raise ValueError(
            f"{args.profiles!r} lacks {len(lacking)} of the model's {len(wanted)} features: {lacking[:10]}."
        )
    matrix = matrix[:, [place[name] for name in wanted]]
    measured = np.isfinite(matrix).any(axis=1)
    if not measured.all():
        say(f"{(~measured).sum():,} of {len(measured):,} profiles hold no finite value and are left out")
    if not measured.any():
        raise ValueError(f"{args.profiles!r} holds no profiles.")
    return query[measured], embedder.transform_profiles(matrix[measured])


def _profiles_of_table(args: argparse.Namespace, features: list[str] | None) -> tuple[Any, list[str], Any]:
    """Names of the rows, names of the features, and the profiles of a table."""
    import numpy as np

    from ..pairs._wells import profiles_of_table

    table, names, matrix = profiles_of_table(
        args.profiles,
        features,
        normalizer=normalizer_of(args),
        text=() if args.id is None else (args.id,),
        **{name: getattr(args, name) for name in ("plate_columns", "control_column", "control_label", "clip")},
    )
    if args.id is not None and args.id not in table.columns:
        raise ValueError(f"{args.profiles!r} has no column {args.id!r}.")
    return np.arange(len(table)) if args.id is None else table[args.id].to_numpy(), names, matrix


def _stored_profiles(args: argparse.Namespace) -> tuple[Any, list[str], Any]:
    """Names of the rows, names of the features, and the profiles of a stored corpus."""
    import numpy as np

    from ..pairs._pairs import PairedProfiles

    if args.normalize:
        raise ValueError(f"{args.profiles!r} is a stored corpus: --normalize is for tables of plates.")
    pairs = PairedProfiles.open(args.profiles)
    known = {"Metadata_Source": pairs.sources, "Metadata_Batch": pairs.batches, "Metadata_Plate": pairs.plates,
             "Metadata_Well": pairs.wells, "Metadata_SMILES": np.array(pairs.molecules, dtype=object)}  # fmt: skip
    known = {name: labels for name, labels in known.items() if labels is not None}
    if args.id is not None and args.id not in known:
        raise ValueError(f"{args.profiles!r} has no column {args.id!r}; a corpus has {list(known)}.")
    return np.arange(len(pairs)) if args.id is None else known[args.id], pairs.feature_names or [], pairs.profiles


def _library(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Row, structure and name of each distinct valid molecule, and their unit vectors."""
    import numpy as np
    import pandas as pd

    from ..tables._molecules import MoleculeFile

    molecules = MoleculeFile(args.molecules, args.smiles)
    batches, vectors = zip(*embedded(args, embedder, molecules, range(molecules.n_rows)), strict=True)
    z = np.concatenate(vectors)
    names = ["smiles", *molecules.columns[1:]]
    columns = [[text for batch in batches for text in batch.columns[name]] for name in molecules.columns]
    table = pd.DataFrame({"row": np.arange(len(z)), **dict(zip(names, columns, strict=True))})
    candidates = ~np.isnan(z).all(axis=1) & ~table["smiles"].duplicated().to_numpy()
    if not candidates.any():
        raise ValueError(f"{args.molecules!r} holds no valid molecule.")
    return table[candidates], z[candidates]
