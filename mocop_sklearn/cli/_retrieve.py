"""``mocop retrieve``."""

from __future__ import annotations

import argparse
from typing import Any

from ._embed import embedded, load_embedder
from ._molecules import molecule_arguments
from ._plates import normalisation_arguments, normalizer_of, well_arguments
from ._shared import SEVERAL, count, output, refuse_to_replace, say


def retrieve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``retrieve``."""
    molecule_arguments(parser, keep=("--keep",))
    parser.add_argument(
        "profiles",
        metavar="PROFILES",
        help="a table of profiles (.parquet, .csv, .tsv, .h5ad), or a corpus of mocop build",
    )
    parser.add_argument("-o", "--out", required=True, type=output(".csv", ".parquet"), help="a .csv or .parquet file")
    parser.add_argument("-k", type=count, default=10, help="hits for each query (default: 10)")
    parser.add_argument("--query", choices=("profiles", "molecules"), default="profiles",
                        help="look for molecules near each profile, or for profiles near each molecule "
                        "(default: profiles)")  # fmt: skip
    parser.add_argument("--id", **SEVERAL, metavar="COLUMN",
                        help="columns that name the profiles, to carry to the output")  # fmt: skip
    plates = parser.add_argument_group("profiles of plates that are not normalised yet (see mocop build --help)")
    normalisation_arguments(plates, default=False)
    well_arguments(plates)


def retrieve(args: argparse.Namespace) -> None:
    """Find, for each profile, the molecules that lie nearest to it in the shared space, or the reverse.

    The output has a row for each query and hit. Its columns are `query` (the row of the query, from 0),
    `rank` (from 1), `row` (of the hit, from 0), those of the molecule (`smiles`, for a .smi or .sdf file
    `name`, and --keep), those of the profile (--id), and `similarity` (the cosine; with local
    scaling, what is above 0 is nearer than its neighbours in training). A molecule that is listed more
    than once, in the same words, counts once.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from ..tables._molecules import MoleculeFile
    from ..tables._read import write_table

    refuse_to_replace(args.out, args.molecules, args.model, args.profiles)
    molecules = MoleculeFile(args.molecules, args.smiles, args.keep)
    own = [name for name in molecules.columns[1:] if name not in args.keep]  # of .smi and .sdf files
    names = ["query", "rank", "row", "smiles", "similarity", *own, *args.keep, *args.id]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"The output would have two columns called {twice[0]!r}: leave it out of --keep or --id.")
    embedder = load_embedder(args, "projection")
    embedder.model_.require_profile_network()
    profiles, p = _profiles(args, embedder)
    library, z = _library(args, embedder, molecules)
    (queries, u), (hits, v) = ((library, z), (profiles, p))[:: -1 if args.query == "profiles" else 1]
    k = min(args.k, len(hits))
    neighbors = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=args.n_jobs).fit(v)
    distance, nearest = neighbors.kneighbors(u)  # (n_queries, k)
    asked = queries.iloc[np.repeat(np.arange(len(queries)), k)].reset_index(drop=True)
    found = hits.iloc[nearest.ravel()].reset_index(drop=True)
    table = asked[["row"]].rename(columns={"row": "query"})
    table["rank"] = np.tile(np.arange(1, k + 1), len(queries))
    table["row"] = found["row"]
    for part in (found, asked) if args.query == "profiles" else (asked, found):  # molecules first
        table = table.join(part.drop(columns="row"))
    table["similarity"] = 1 - distance.ravel() ** 2 / 2  # of unit vectors
    write_table(table, args.out)
    if not args.quiet:
        what = ("molecules", "profiles") if args.query == "profiles" else ("profiles", "molecules")
        say(f"the nearest {k} of {len(hits):,} {what[0]} for each of {len(queries):,} {what[1]} are in {args.out}")


def _profiles(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Row and names of the profiles that hold a value, and their unit vectors."""
    import numpy as np
    import pandas as pd

    from ..pairs._store import is_store

    features = embedder.model_.profile_features
    known, names, matrix = _stored_profiles(args) if is_store(args.profiles) else _profiles_of_table(args, features)
    lost = [name for name in args.id if name not in known]
    if lost:
        raise ValueError(f"{args.profiles!r} has no column {lost[0]!r}; it has {[str(name) for name in known][:50]}.")
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
    table = pd.DataFrame({"row": np.arange(len(matrix))} | {name: np.asarray(known[name]) for name in args.id})
    return table[measured], embedder.transform_profiles(matrix[measured])


def _profiles_of_table(args: argparse.Namespace, features: list[str] | None) -> tuple[Any, list[str], Any]:
    """Columns by name, names of the features, and the profiles of a table."""
    from ..pairs._wells import profiles_of_table

    table, names, matrix = profiles_of_table(
        args.profiles,
        features,
        normalizer=normalizer_of(args),
        text=args.id,
        **{name: getattr(args, name) for name in ("plate_columns", "control_column", "control_label", "clip")},
    )
    return table, names, matrix


def _stored_profiles(args: argparse.Namespace) -> tuple[Any, list[str], Any]:
    """Columns by name, names of the features, and the profiles of a stored corpus."""
    import numpy as np

    from ..pairs._pairs import PairedProfiles

    if args.normalize:
        raise ValueError(f"{args.profiles!r} is a stored corpus: --normalize is for tables of plates.")
    pairs = PairedProfiles.open(args.profiles)
    known = {"Metadata_Source": pairs.sources, "Metadata_Batch": pairs.batches, "Metadata_Plate": pairs.plates,
             "Metadata_Well": pairs.wells, "Metadata_SMILES": np.array(pairs.molecules, dtype=object)}  # fmt: skip
    known = {name: labels for name, labels in known.items() if labels is not None}
    return known, pairs.feature_names or [], pairs.profiles


def _library(args: argparse.Namespace, embedder: Any, molecules: Any) -> tuple[Any, Any]:
    """Row, structure and name of each distinct valid molecule, and their unit vectors."""
    import numpy as np
    import pandas as pd

    batches, vectors = zip(*embedded(args, embedder, molecules, range(molecules.n_rows)), strict=True)
    z = np.concatenate(vectors)
    names = ["smiles", *molecules.columns[1:]]
    columns = [[text for batch in batches for text in batch.columns[name]] for name in molecules.columns]
    table = pd.DataFrame({"row": np.arange(len(z)), **dict(zip(names, columns, strict=True))})
    candidates = ~np.isnan(z).all(axis=1) & ~table["smiles"].duplicated().to_numpy()
    if not candidates.any():
        raise ValueError(f"{args.molecules!r} holds no valid molecule.")
    return table[candidates], z[candidates]
