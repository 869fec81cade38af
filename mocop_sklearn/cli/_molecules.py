"""``mocop embed``, and what it has in common with ``mocop retrieve``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

from ._shared import count, output, refuse_to_replace, say, shard


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``embed``."""
    molecule_arguments(parser)
    parser.add_argument("-o", "--out", required=True, type=output(".parquet", ".npy", ".csv"),
                        help="a .parquet, .npy or .csv file")  # fmt: skip
    parser.add_argument("--output", choices=("encoder", "projection"), default="encoder",
                        help="the representation, or the unit vector in the shared space")  # fmt: skip
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts, from 1")


def molecule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about molecules and the model."""
    add = parser.add_argument
    add("molecules", metavar="MOLECULES", help="a .smi, .csv, .tsv or .parquet file")
    add("-m", "--model", required=True, help="a file of mocop pretrain or MoCoPEmbedder.save")
    add("--smiles", metavar="COLUMN", help="column of structures (default: Metadata_SMILES or the like)")
    add("--batch-rows", type=count, default=16384, metavar="N", help="rows in memory at a time (default: 16384)")
    add("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, the GPU when there is one)")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--n-jobs", type=int, metavar="N", help="processes that parse molecules and, on a CPU, embed them")
    add("-q", "--quiet", action="store_true", help="print only errors and counts of bad rows")


def embed(args: argparse.Namespace) -> None:
    """Turn the molecules of a file into embeddings, in bounded memory.

    The output has one row per row of the input, in its order; rows that are not molecules are NaN and
    are counted. Every line of a .smi file is a row. In .parquet and .csv files the columns are `row`
    (from 0), the structure, for a .smi file the name, and one float32 column per dimension. An .npy
    file holds the matrix alone.

    Shard I of N has the rows from R (I - 1) / N up to R I / N of all R, rounded down: the shards,
    concatenated in order, are the whole.
    """
    from ..tables._embeddings import embedding_writer
    from ..tables._molecules import MoleculeFile

    refuse_to_replace(args.out, args.molecules, args.model)
    embedder = load_embedder(args, args.output)
    library = MoleculeFile(args.molecules, args.smiles)
    shard, n_shards = args.shard
    rows = range(library.n_rows * (shard - 1) // n_shards, library.n_rows * shard // n_shards)
    names = embedder.get_feature_names_out().tolist()
    with embedding_writer(args.out, library.columns, names, len(rows)) as write:
        for batch, z in embedded(args, embedder, library, rows):
            write(batch, z)
    if not args.quiet:
        say(f"{len(rows):,} rows embedded in {args.out}")


def load_embedder(args: argparse.Namespace, output: str) -> Any:
    """Load the model of ``embed`` and ``retrieve``; rows that are not molecules become NaN."""
    from ..embedder import MoCoPEmbedder

    return MoCoPEmbedder.load(
        args.model, invalid="nan", output=output, device=args.device, precision=args.precision, n_jobs=args.n_jobs
    )


def embedded(args: argparse.Namespace, embedder: Any, library: Any, rows: range) -> Iterator[tuple[Any, Any]]:
    """Yield batches of the molecule file and their embeddings; report the bad rows in the end."""
    import numpy as np
    from tqdm import tqdm

    n_bad = 0
    examples: list[str] = []
    # disable=None: a bar only where stderr is a terminal
    with tqdm(total=len(rows), unit=" molecules", disable=True if args.quiet else None) as progress:
        for batch in library.batches(args.batch_rows, rows):
            values = batch.structures
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # one for each batch
                z = embedder.transform(values)
            yield batch, z
            bad = np.flatnonzero(np.isnan(z).all(axis=1))
            examples += [f"row {batch.rows[i]} {values[i]!r:.60}" for i in bad[: 5 - len(examples)].tolist()]
            n_bad += len(bad)
            progress.update(len(z))
    if n_bad:
        more = ", ..." if n_bad > len(examples) else ""
        say(f"{n_bad:,} of {len(rows):,} rows are not valid molecules: {', '.join(examples)}{more}")
