"""``mocop embed``, and what it has in common with ``mocop retrieve``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

from .._version import __version__
from ._molecules import inference_parameters, molecule_arguments, rows_of_shard, shard_argument, worked_on
from ._shared import output, refuse_to_replace, say


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``embed``."""
    molecule_arguments(parser)
    parser.add_argument("-o", "--out", required=True, type=output(".parquet", ".npy", ".csv"),
                        help="a .parquet, .npy or .csv file")  # fmt: skip
    parser.add_argument("--output", choices=("encoder", "projection"), default="encoder",
                        help="the representation, or the unit vector in the shared space")  # fmt: skip
    shard_argument(parser)


def embed(args: argparse.Namespace) -> None:
    """Turn the molecules of a file into embeddings, in bounded memory.

    The output has one row per row of the input, in its order; rows that are not molecules are NaN and
    are counted. Every line of a .smi file is a row, and every record of an .sdf file. In .parquet and
    .csv files the columns are `row` (from 0), the structure, for a .smi or .sdf file the name, those of
    --keep, and one float32 column per dimension. An .npy file holds the matrix alone. The metadata of a
    .parquet file say which model made it, and where the profiles of its pretraining come from.

    A fine-tuned model gives the representation that the encoder of its first network has learned.

    Shard I of N has the rows from R (I - 1) / N up to R I / N of all R, rounded down: the shards,
    concatenated in order, are the whole.
    """
    from ..tables._embeddings import embedding_writer
    from ..tables._molecules import MoleculeFile

    refuse_to_replace(args.out, args.molecules, args.model)
    embedder = load_embedder(args, args.output)
    library = MoleculeFile(args.molecules, args.smiles, args.keep)
    rows = rows_of_shard(args, library.n_rows)
    names = embedder.get_feature_names_out().tolist()
    record = {"version": __version__, "model": embedder.digest_, "output": args.output,
              "provenance": embedder.model_.provenance}  # fmt: skip
    with embedding_writer(args.out, library.columns, names, len(rows), record) as write:
        for batch, z in embedded(args, embedder, library, rows):
            write(batch, z)
    if not args.quiet:
        say(f"{len(rows):,} rows embedded in {args.out}")


def load_embedder(args: argparse.Namespace, output: str) -> Any:
    """Load the model of ``embed`` and ``retrieve``; rows that are not molecules become NaN."""
    from ..embedder import MoCoPEmbedder

    return MoCoPEmbedder.load(args.model, invalid="nan", output=output, **inference_parameters(args))


def embedded(args: argparse.Namespace, embedder: Any, library: Any, rows: range) -> Iterator[tuple[Any, Any]]:
    """Yield batches of the molecule file and their embeddings; report the bad rows in the end."""
    import numpy as np

    def work(values: list[Any]) -> tuple[Any, dict[int, str]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one for each batch
            z = embedder.transform(values)
        return z, dict.fromkeys(np.flatnonzero(np.isnan(z).all(axis=1)).tolist(), "")

    yield from worked_on(args, library, rows, work)
