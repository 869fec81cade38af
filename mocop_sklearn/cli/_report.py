"""``mocop report``."""

from __future__ import annotations

import argparse
from typing import Any

from ._shared import SEVERAL, count, output, refuse_to_replace, say


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``report``."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file of mocop pretrain or mocop finetune, or a name of mocop models")
    add(
        "pairs",
        metavar="PAIRS",
        nargs="?",
        help="a table of wells (.parquet, .csv, .tsv, .h5ad), or a corpus of mocop build",
    )
    add("-o", "--out", required=True, type=output(".html"), help="an .html file")
    add("--molecules", metavar="FILE", help="molecules that are asked about: their domain, hits and place on the map")
    add("--smiles", metavar="COLUMN", help="column of structures of PAIRS (default: Metadata_SMILES or the like)")
    add("--color", metavar="COLUMN", **SEVERAL, help="columns of PAIRS that colour a map each")
    add("--within", metavar="COLUMN", **SEVERAL,
        help="columns within which molecules are compared, besides source, batch and plate")  # fmt: skip
    add("--cell-count", metavar="COLUMN", help="column that counts cells (default: found by its name)")
    add("--title", help="title of the page")
    add("--n-hits", type=count, default=5, metavar="N", help="molecules in a hit sheet (default: 5)")
    add("--max-molecules", type=count, default=2000, metavar="N",
        help="molecules that the model is judged on (default: 2000)")  # fmt: skip
    add("--n-jobs", type=int, metavar="N", help="processes that read molecules")
    add("-q", "--quiet", action="store_true", help="print only errors and warnings")


def report(args: argparse.Namespace) -> None:
    """Write a page about a model, to be looked at in a browser.

    The page says what the model is and how its training went. With PAIRS, it compares retrieval with chance,
    a kernel ridge and nearest neighbours, on molecules that the model has not seen, and asks how far plates,
    sources, the cell count and physico-chemical properties go alone; it shows plates and hit sheets. With
    --molecules, it tells which of them lie in the domain of the molecules of PAIRS. The page needs no network.
    """
    from ..inspection import report as write

    refuse_to_replace(args.out, args.pairs, args.molecules, args.model)
    pairs, columns = (None, None) if args.pairs is None else _pairs(args)
    found = write(
        args.model,
        pairs,
        _molecules(args),
        path=args.out,
        columns=columns,
        color=args.color or None,
        within=args.within,
        cell_count=args.cell_count,
        title=args.title,
        n_hits=args.n_hits,
        max_molecules=args.max_molecules,
        n_jobs=args.n_jobs,
    )
    if args.quiet:
        return
    say(f"the report is in {args.out}")
    for name, row in found.figures.get("retrieval", {}).items():
        if "top1" in row:
            print(f"{name:<34}{row['score']:7.3f}  ({row['low']:.3f} to {row['high']:.3f})")


def _pairs(args: argparse.Namespace) -> tuple[Any, Any]:
    """Pairs of a corpus or of a table, and the columns of the table that are not features."""
    from itertools import compress

    from ..pairs._frames import wells_to_keep
    from ..pairs._labels import WELL_COLUMNS, metadata_column
    from ..pairs._pairs import PairedProfiles
    from ..pairs._store import is_store
    from ..profiles._features import describe_columns
    from ..tables._read import read_wells

    if is_store(args.pairs):
        return PairedProfiles.open(args.pairs), None
    structures, frame = read_wells(args.pairs, args.smiles)
    features = describe_columns(frame, not_features=[structures]).select((), repr(args.pairs))
    molecules = frame[structures].tolist()
    kept = wells_to_keep(molecules, frame, args.pairs, "keep")
    frame = frame[kept]
    labels = [name for name in map(metadata_column, WELL_COLUMNS) if name in frame]
    pairs = PairedProfiles(list(compress(molecules, kept)), frame[features + labels])
    return pairs, frame.drop(columns=features)


def _molecules(args: argparse.Namespace) -> list[Any] | None:
    from ..tables._molecules import MoleculeFile

    if args.molecules is None:
        return None
    library = MoleculeFile(args.molecules)
    return [structure for batch in library.batches(65536) for structure in batch.structures]
