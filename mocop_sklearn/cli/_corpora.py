"""``mocop build``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ._shared import SEVERAL, count, print_report


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``build``."""
    add = parser.add_argument
    parser.usage = "%(prog)s WELLS [WELLS ...] -o FOLDER [options]"
    add("wells", nargs="+", metavar="WELLS", help="tables with one row per well, of one plate or more: .parquet, .csv")
    add("-o", "--out", required=True, type=Path, metavar="FOLDER", help="the folder to make")
    add("--metadata", **SEVERAL, metavar="TABLE",
        help="tables that are joined to the wells on the Metadata_* columns which they share")  # fmt: skip
    columns = parser.add_argument_group("columns of the wells")
    add = columns.add_argument
    add("--smiles", metavar="COLUMN", help="structures (default: Metadata_SMILES, Metadata_InChI or the like)")
    add("--plate-columns", **SEVERAL, metavar="COLUMN",
        help="what tells plates apart (default: Metadata_Source, _Batch, _Plate, those that there are)")  # fmt: skip
    add("--control-column", metavar="COLUMN",
        help="negative controls (default: Metadata_IsNegcon, or the wells with DMSO)")  # fmt: skip
    add("--control-label", **SEVERAL, metavar="VALUE", help="values that mark a negative control")
    add("--dose-column", metavar="COLUMN", help="doses, to keep")
    add("--weight-column", metavar="COLUMN", help="weights, to keep")
    add("--features", **SEVERAL, metavar="COLUMN",
        help="names or patterns like 'Cells_*' (default: every column but Metadata_*)")  # fmt: skip
    add("--columns", choices=("same", "intersection", "union"), default="same",
        help="files with different features: refuse them, take the common ones, or all (default: same)")  # fmt: skip
    wells = parser.add_argument_group("which wells are stored")
    add = wells.add_argument
    assignment: dict[str, Any] = SEVERAL | {"type": _assignment, "metavar": "COLUMN=VALUE[,VALUE]"}
    add("--keep", **assignment, help="only wells with these values")
    add("--exclude", **assignment, help="no wells with these values")
    add("--controls", choices=("exclude", "keep"), default="exclude", help="negative controls (default: exclude)")
    add("--hold-out", metavar="FILE", help="molecules that are left out: a .smi, .csv or .parquet file")
    add("--repeated-wells", choices=("keep", "first", "raise"), default="keep",
        help="rows with the plate and well of an earlier row (default: keep)")  # fmt: skip
    add("--max-wells", type=count, metavar="N", help="at most N wells of a molecule")
    values = parser.add_argument_group("what is done to their profiles")
    add = values.add_argument
    add("--method", choices=("robust", "mad", "standardize", "none"), default="robust",
        help="how plates are normalised on their controls (default: robust: median and quartiles)")  # fmt: skip
    add("--on-missing", choices=("raise", "plate", "drop"), default="raise",
        help="plates with too few controls: an error, scaled on all wells, or left out (default: raise)")  # fmt: skip
    add("--filter", choices=("paper", "none"), default="none",
        help="drop columns by the rules of the paper, arXiv 2305.09790 (default: none)")  # fmt: skip
    add("--dtype", choices=("float16", "float32"), default="float16", help="(default: float16)")
    add("--clip", type=float, default=100.0, metavar="X", help="limit of the normalised values (default: 100)")
    parser.add_argument("--n-jobs", type=int, metavar="N", help="processes, each with one file in memory")
    parser.add_argument("-q", "--quiet", action="store_true", help="neither progress nor summary")


def _assignment(text: str) -> tuple[str, list[str]]:
    column, sign, values = text.partition("=")
    if not (column and sign and values):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE[,VALUE]")
    return column, values.split(",")


def _merged(assignments: list[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Values by column, those of all the options that name it."""
    values: dict[str, list[str]] = {}
    for column, own in assignments:
        values.setdefault(column, []).extend(own)
    return values


def build(args: argparse.Namespace) -> None:
    """Normalise plates on their controls and store them as a corpus, one file in memory at a time.

    A build that was killed goes on where it was when the same command is given again. The summary
    says what became of every well.
    """
    from ..pairs._build import build_pairs
    from ..pairs._store import read_store
    from ..profiles._filter import ProfileFilter
    from ..profiles._normalizer import ProfileNormalizer
    from ..tables._files import MoleculeFile

    normalizer: Any = (
        "passthrough" if args.method == "none" else ProfileNormalizer(args.method, on_missing=args.on_missing)
    )
    hold_out: list[str] = []
    if args.hold_out is not None:
        library = MoleculeFile(args.hold_out)
        hold_out = [text for frame in library.batches(65536) for text in frame[library.columns[0]]]
    same = ("smiles", "plate_columns", "control_column", "control_label", "dose_column", "weight_column", "features",
            "columns", "controls", "repeated_wells", "max_wells", "dtype", "clip", "n_jobs")  # fmt: skip
    build_pairs(
        args.out,
        args.wells,
        metadata=args.metadata,
        keep=_merged(args.keep),
        exclude=_merged(args.exclude),
        hold_out=hold_out,
        normalizer=normalizer,
        feature_filter=ProfileFilter.paper() if args.filter == "paper" else None,
        verbose=int(not args.quiet and sys.stderr.isatty()),
        **{name: getattr(args, name) for name in same},
    )
    if not args.quiet:
        print_report(args.out, read_store(args.out).header)
