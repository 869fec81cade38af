"""The command ``fetch``: public data sets."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._shared import count, print_report, print_table


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data sets, each a command of its own."""
    data = parser.add_subparsers(metavar="DATA", required=True)

    def data_set(name: str, run: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        style = argparse.RawDescriptionHelpFormatter
        text = inspect.getdoc(run)
        added = data.add_parser(name, help=summary, description=text, formatter_class=style, allow_abbrev=False)
        added.set_defaults(run=run, parser=added)
        added.add_argument("-o", "--out", type=Path, metavar="DIR",
                           help="folder of data sets (default: $SCIKIT_LEARN_DATA or ~/scikit_learn_data)")  # fmt: skip
        added.add_argument("-q", "--quiet", action="store_true", help="neither progress nor summary")
        return added

    add = data_set("jump", fetch_jump, "plates of JUMP-CP (cpg0016) and their tables").add_argument
    add("--profiles", metavar="NAME", help="instead of plates, one file of the consortium's index of assembled and "
        "corrected profiles: compound, compound_no_source7, compound_interpretable, orf, crispr, all ...")  # fmt: skip
    add("--sources", nargs="+", metavar="SOURCE", help="only plates of these, as in source_4")
    add("--plate-types", nargs="+", default=["COMPOUND"], metavar="TYPE", help="types, or all (default: COMPOUND)")
    add("--plates", nargs="+", metavar="PLATE", help="only plates with these names")
    add("--n-plates", type=count, metavar="N", help="at most so many plates, taken in turn from each source")
    add("--n-jobs", type=count, default=4, metavar="N", help="threads that download (default: 4)")
    add("--endpoint-url", metavar="URL", help="S3 store with a copy of the bucket (default: $AWS_ENDPOINT_URL_S3, "
        "$AWS_ENDPOINT_URL or Amazon)")  # fmt: skip
    add("--metadata-url", metavar="URL", help="folder of the tables, https:// or s3:// (default: the consortium's on "
        "GitHub, or, with another endpoint, cpg0016-jump/metadata/ in its bucket)")  # fmt: skip
    add("--index-url", metavar="URL", help="the index of assembled profiles, JSON or CSV (default: the consortium's on "
        "GitHub, or, with another endpoint, profile_index.json beside the tables)")  # fmt: skip
    add("--skip-missing", action="store_true", help="leave out plates that the bucket does not have")
    add("--store", type=Path, metavar="FOLDER",
        help="make a corpus of the plates as they come, in so many processes, and keep no plate; of an assembled file, "
        "which stays")  # fmt: skip
    add = data_set("chembl20", fetch_chembl20, "the benchmark of the MoCoP paper, with its splits").add_argument
    add("--url", metavar="URL", help="the archive (default: $MOCOP_CHEMBL20_URL, or the authors' on GitHub)")
    add("--sha256", metavar="HEX", help="the digest that the archive must have")


def fetch(args: argparse.Namespace) -> None:
    """Download a public data set; what is there already stays, and what was interrupted goes on."""


def fetch_jump(args: argparse.Namespace) -> None:
    """Download plates of JUMP-CP (cpg0016) from the Cell Painting Gallery, and the tables that describe them.

    The files go to DIR/jump_cp: SOURCE/BATCH/PLATE.parquet and metadata/*.csv.gz. All 1,730 compound
    plates take tens of gigabytes. After Ctrl-C or an error, the same command goes on where this one ended.

    With --store, each plate is normalised on its negative controls and stored, and not kept; wells
    that are empty or hold one of JUMP's eight positive controls are left out, and features are
    filtered by the rules of the paper. For another corpus, fetch the plates and use mocop build.

    With --profiles, one file goes to DIR/jump_cp/assembled, and is compared with the ETag of the index.
    With --store, too, its profiles are stored as they are, without the same wells.
    """
    from ..datasets import fetch_jump_cp

    selection = {
        "sources": args.sources,
        "plate_types": None if args.plate_types == ["all"] else args.plate_types,
        "plates": args.plates,
        "n_plates": args.n_plates,
        "endpoint_url": args.endpoint_url,
        "metadata_url": args.metadata_url,
    }
    verbose = int(not args.quiet and sys.stderr.isatty())
    on_missing = "skip" if args.skip_missing else "raise"
    if args.store is not None and args.profiles is None:
        _store_jump(args, selection, on_missing, verbose)
        return
    assembled = {"profiles": args.profiles, "index_url": args.index_url}
    options = {"n_jobs": args.n_jobs, "on_missing": on_missing, "verbose": verbose}
    jump = fetch_jump_cp(args.out, **selection, **assembled, **options)
    if args.store is not None:
        _build_jump(args, jump.plates, jump.metadata, verbose)
    elif not args.quiet:
        report = jump.report
        fates = ", ".join(f"{report[f'n_{fate}']:,} {fate}" for fate in ("downloaded", "kept", "missing"))
        print_table(
            plates=f"{len(jump.plates):,} ({fates})",
            received=f"{report['n_bytes'] / 1e6:,.1f} MB",
            folder=str(jump.metadata.plate.parents[1]),
        )


def _store_jump(args: argparse.Namespace, selection: dict[str, Any], on_missing: str, verbose: int) -> None:
    from ..datasets import jump_cp_plates
    from ..profiles._filter import ProfileFilter
    from ..profiles._normalizer import ProfileNormalizer

    plates, metadata = jump_cp_plates(args.out, **selection)
    raw = {"normalizer": ProfileNormalizer(on_missing="drop"), "feature_filter": ProfileFilter.paper()}
    _build_jump(args, plates, metadata, verbose, missing_files=on_missing, n_jobs=args.n_jobs, **raw)


def _build_jump(args: argparse.Namespace, plates: Any, metadata: Any, verbose: int, **options: Any) -> None:
    from ..datasets import JUMP_EMPTY, JUMP_POSITIVE_CONTROLS
    from ..pairs._build import build_pairs
    from ..pairs._store import read_store

    tables = [metadata.plate, metadata.well, metadata.compound]
    exclude = {"Metadata_JCP2022": [JUMP_EMPTY, *JUMP_POSITIVE_CONTROLS]}
    build_pairs(args.store, plates, metadata=tables, exclude=exclude, verbose=verbose, **options)
    if not args.quiet:
        print_report(args.store, read_store(args.store).header)


def fetch_chembl20(args: argparse.Namespace) -> None:
    """Download the ChEMBL 20 benchmark, with the splits of the MoCoP paper, and convert it into arrays.

    The files go to DIR/chembl20.
    """
    from .. import datasets

    data = datasets.fetch_chembl20(args.out, url=args.url, sha256=args.sha256, dtype="int8")
    if not args.quiet:
        print_table(
            molecules=f"{len(data.smiles):,}",
            tasks=f"{len(data.task_names):,}",
            splits=f"{len(data.splits):,}",
            folder=str(data.paths["chembl20.csv"].parents[1]),
        )
