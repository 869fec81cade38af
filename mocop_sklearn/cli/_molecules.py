"""``mocop embed`` and ``mocop retrieve``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

from ._shared import count, output, say, shard


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``embed``."""
    _molecule_arguments(parser)
    parser.add_argument("-o", "--out", required=True, type=output(".parquet", ".npy", ".csv"),
                        help="a .parquet, .npy or .csv file")  # fmt: skip
    parser.add_argument("--output", choices=("encoder", "projection"), default="encoder",
                        help="the representation, or the unit vector in the shared space")  # fmt: skip
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts, from 1")


def retrieve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``retrieve``."""
    _molecule_arguments(parser)
    parser.add_argument("profiles", metavar="PROFILES", help="a table of profiles: .parquet, .csv, .tsv")
    parser.add_argument("-o", "--out", required=True, type=output(".csv", ".parquet"), help="a .csv or .parquet file")
    parser.add_argument("-k", type=count, default=10, help="molecules for each profile (default: 10)")
    parser.add_argument("--id", metavar="COLUMN", help="column that names the profiles (default: their row number)")


def _molecule_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("molecules", metavar="MOLECULES", help="a .smi, .csv, .tsv or .parquet file")
    add("-m", "--model", required=True, help="a file of mocop pretrain or MoCoPEmbedder.save")
    add("--smiles", metavar="COLUMN", help="column of structures (default: Metadata_SMILES or the like)")
    add("--batch-rows", type=count, default=16384, metavar="N", help="rows in memory at a time (default: 16384)")
    add("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, the GPU when there is one)")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--n-jobs", type=int, metavar="N", help="processes that parse molecules and, on a CPU, embed them")
    add("-q", "--quiet", action="store_true", help="only errors and counts of bad rows")


def embed(args: argparse.Namespace) -> None:
    """Turn the molecules of a file into embeddings, in bounded memory.

    The output has one row per row of the input, in its order; rows that are no molecules are NaN and
    are counted. Every line of a .smi file is a row. In .parquet and .csv files the columns are `row`
    (from 0), the structure, for a .smi file the name, and one float32 column per dimension. An .npy
    file holds the matrix alone.

    Shard I of N has the rows from R (I - 1) / N up to R I / N of all R, rounded down: the shards,
    concatenated in order, are the whole.
    """
    from ..tables._files import MoleculeFile, embedding_writer

    embedder = _load(args, args.output)
    library = MoleculeFile(args.molecules, args.smiles)
    shard, n_shards = args.shard
    rows = range(library.n_rows * (shard - 1) // n_shards, library.n_rows * shard // n_shards)
    names = embedder.get_feature_names_out().tolist()
    with embedding_writer(args.out, library.columns, names, len(rows)) as write:
        for frame, z in _embedded(args, embedder, library, rows):
            write(frame, z)
    if not args.quiet:
        say(f"{len(rows):,} rows embedded in {args.out}")


def _load(args: argparse.Namespace, output: str) -> Any:
    from ..embedder import MoCoPEmbedder

    return MoCoPEmbedder.load(
        args.model, invalid="nan", output=output, device=args.device, precision=args.precision, n_jobs=args.n_jobs
    )


def _embedded(args: argparse.Namespace, embedder: Any, library: Any, rows: range) -> Iterator[tuple[Any, Any]]:
    """Yield rows of the molecule file and their embeddings; in the end, report the bad rows."""
    import numpy as np
    from tqdm import tqdm

    n_bad = 0
    examples: list[str] = []
    # disable=None: a bar only where stderr is a terminal
    with tqdm(total=len(rows), unit=" molecules", disable=True if args.quiet else None) as progress:
        for frame in library.batches(args.batch_rows, rows):
            values = frame[library.columns[0]].tolist()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # one for each batch
                z = embedder.transform(values)
            yield frame, z
            bad = np.flatnonzero(np.isnan(z).all(axis=1))
            examples += [f"row {frame.index[i]} {values[i]!r:.60}" for i in bad[: 5 - len(examples)]]
            n_bad += len(bad)
            progress.update(len(z))
    if n_bad:
        more = ", ..." if n_bad > len(examples) else ""
        say(f"{n_bad:,} of {len(rows):,} rows are not valid molecules: {', '.join(examples)}{more}")


def retrieve(args: argparse.Namespace) -> None:
    """Find, for each profile, the molecules that lie nearest to it in the shared space.

    The output has the columns `query` (--id, or the number of the row), `rank` (from 1), `row` (of the
    molecule, from 0), `smiles`, for a .smi file `name`, and `similarity` (cosine). A molecule that is
    listed more than once, in the same words, is one candidate.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from ..tables._files import write_table

    embedder = _load(args, "projection")
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

    from ..profiles._scaler import check_profiles, feature_columns
    from ..tables._files import read_table

    profiles = read_table(args.profiles)
    if args.id is not None and args.id not in profiles.columns:
        raise ValueError(f"{args.profiles!r} has no column {args.id!r}.")
    numeric = feature_columns(profiles)
    names = embedder.model_.profile_features or numeric
    lacking = [name for name in names if name not in set(numeric)]
    if lacking:
        raise ValueError(
            f"{args.profiles!r} lacks {len(lacking)} of the model's {len(names)} features: {lacking[:10]}."
        )
    matrix, _ = check_profiles(profiles[names], name=repr(args.profiles))
    measured = np.isfinite(matrix).any(axis=1)
    if not measured.all():
        say(f"{(~measured).sum():,} of {len(profiles):,} profiles hold no finite value and are left out")
    if not measured.any():
        raise ValueError(f"{args.profiles!r} holds no profiles.")
    query = np.arange(len(profiles)) if args.id is None else profiles[args.id].to_numpy()
    return query[measured], embedder.transform_profiles(matrix[measured])


def _library(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Row, structure and name of each distinct valid molecule, and their unit vectors."""
    import numpy as np
    import pandas as pd

    from ..tables._files import MoleculeFile

    molecules = MoleculeFile(args.molecules, args.smiles)
    frames, vectors = zip(*_embedded(args, embedder, molecules, range(molecules.n_rows)), strict=True)
    table, z = pd.concat(frames), np.concatenate(vectors)
    table = table.rename(columns={molecules.columns[0]: "smiles"}).rename_axis("row").reset_index()
    candidates = ~np.isnan(z).all(axis=1) & ~table["smiles"].duplicated().to_numpy()
    if not candidates.any():
        raise ValueError(f"{args.molecules!r} holds no valid molecule.")
    return table[candidates], z[candidates]
