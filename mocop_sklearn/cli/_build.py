"""``mocop build``."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from ._plates import normalisation_arguments, normalizer_of, well_arguments
from ._shared import SEVERAL, count, print_report


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``build``."""
    add = parser.add_argument
    parser.usage = "%(prog)s WELLS [WELLS ...] -o FOLDER [options]"
    add("wells", nargs="+", metavar="WELLS",
        help="tables with one row per well, of one or several plates: .parquet, .csv, .tsv, .h5ad")  # fmt: skip
    add("-o", "--out", required=True, type=Path, metavar="FOLDER", help="the folder to make")
    add("--metadata", **SEVERAL, metavar="TABLE",
        help="tables that are joined to the wells on the Metadata_* columns that both have")  # fmt: skip
    columns = parser.add_argument_group("columns of the wells")
    add = columns.add_argument
    add("--smiles", metavar="COLUMN", help="structures (default: Metadata_SMILES, Metadata_InChI or the like)")
    well_arguments(columns)
    add("--dose-column", metavar="COLUMN", help="doses, to keep")
    add("--weight-column", metavar="COLUMN", help="weights, to keep")
    add("--features", **SEVERAL, metavar="COLUMN",
        help="names or patterns like 'Cells_*' (default: every numeric column except metadata, identifiers and object "
        "numbers)")  # fmt: skip
    add("--columns", choices=("same", "intersection", "union"), default="same",
        help="what to do with files that have different features: stop with an error, take the features that all have, "
        "or take all features (default: same)")  # fmt: skip
    _choice_arguments(parser.add_argument_group("which wells are stored"))
    values = parser.add_argument_group("what is done to their profiles")
    normalisation_arguments(values, default=None)
    values.add_argument("--filter", choices=("paper", "none"), default="none",
        help="drop columns by the rules of the paper, arXiv 2305.09790 (default: none)")  # fmt: skip
    values.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="(default: float16)")
    add = parser.add_argument
    add("--licence", metavar="TEXT", help="licence of the data, to keep with them")
    add("--notes", metavar="TEXT", help="anything else to keep with the data")
    add("--restart", action="store_true", help="begin anew where an unfinished build had other options")
    add("--n-jobs", type=int, metavar="N", help="processes, each with one file in memory")
    add("-q", "--quiet", action="store_true", help="print neither progress nor summary")


def _choice_arguments(group: Any) -> None:
    add = group.add_argument
    assignment: dict[str, Any] = SEVERAL | {"type": _assignment, "metavar": "COLUMN=VALUE[,VALUE]"}
    add("--keep", **assignment,
        help="store only wells with these values; put a value with a comma in double quotation marks: "
        "'Metadata_Name=\"2,4-DNP\"'")  # fmt: skip
    add("--exclude", **assignment, help="do not store wells with these values; a comma in a value as for --keep")
    add("--controls", choices=("exclude", "keep"), default="exclude",
        help="whether negative controls are stored (default: exclude)")  # fmt: skip
    add("--hold-out", metavar="FILE", help="molecules to leave out: a .smi, .sdf, .csv, .tsv, .parquet or .h5ad file")
    add("--repeated-wells", choices=("keep", "first", "raise"), default="keep",
        help="what to do with rows that have the plate and well of an earlier row (default: keep)")  # fmt: skip
    add("--max-wells", type=count, metavar="N", help="store at most N wells of a molecule")


def _assignment(text: str) -> tuple[str, list[str]]:
    """Type of an argument: a column and values, separated by commas; quotation marks keep a comma in a value."""
    column, sign, values = text.partition("=")
    if not (column and sign and values):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE[,VALUE]")
    try:
        return column, next(csv.reader([values], strict=True))
    except csv.Error:
        raise argparse.ArgumentTypeError(f"the quotation marks in {text!r} are not balanced") from None


def _merged(assignments: list[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Values by column, those of all the options that name it."""
    values: dict[str, list[str]] = {}
    for column, own in assignments:
        values.setdefault(column, []).extend(own)
    return values


def build(args: argparse.Namespace) -> None:
    """Normalise plates on their controls and store them as a corpus, one file in memory at a time.

    A build that was killed goes on where it was when the same command is given again. The summary
    says what became of every well and which columns are not features. Profiles of compounds, without
    plates and controls, are stored with --no-normalize. JUMP's assembled files and pycytominer's
    PLATE_normalized... are recognised by their names, and not normalised again unless --normalize,
    --method or --on-missing asks for it. A parquet file that is not normalised is read a block at a time.
    """
    from ..pairs._build import build_pairs
    from ..pairs._store import read_store
    from ..profiles._filter import ProfileFilter
    from ..tables._molecules import MoleculeFile

    hold_out: list[str | None] = []
    if args.hold_out is not None:
        hold_out = [text for batch in MoleculeFile(args.hold_out).batches(65536) for text in batch.structures]
    same = ("smiles", "plate_columns", "control_column", "control_label", "dose_column", "weight_column", "features",
            "columns", "controls", "repeated_wells", "max_wells", "dtype", "clip", "licence", "notes", "restart",
            "n_jobs")  # fmt: skip
    build_pairs(
        args.out,
        args.wells,
        metadata=args.metadata,
        keep=_merged(args.keep),
        exclude=_merged(args.exclude),
        hold_out=[text or "" for text in hold_out],
        normalizer=normalizer_of(args),
        feature_filter=ProfileFilter.paper() if args.filter == "paper" else None,
        verbose=int(not args.quiet and sys.stderr.isatty()),
        **{name: getattr(args, name) for name in same},
    )
    if not args.quiet:
        print_report(args.out, read_store(args.out).header)
