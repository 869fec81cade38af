"""``mocop pretrain`` and ``mocop info``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import nullcontext
from typing import Any

from ._parameters import parameter_arguments
from ._shared import SEVERAL, megabytes, output, print_report, print_table


def pretrain_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    """Add the arguments of ``pretrain``."""
    add = parser.add_argument
    parser.usage = "%(prog)s WELLS [WELLS ...] -o MODEL [options]"
    add(
        "wells",
        nargs="+",
        metavar="WELLS",
        help="tables with one row per well (.parquet, .csv, .tsv), or one corpus of mocop build",
    )
    add("-o", "--out", required=True, type=output(), metavar="MODEL", help="the model file to write")
    add("--smiles", metavar="COLUMN", help="column of structures (default: Metadata_SMILES or the like)")
    add("--features", **SEVERAL, metavar="COLUMN",
        help="names or patterns like 'Cells_*' (default: every numeric column but Metadata_*)")  # fmt: skip
    add("--columns", choices=("same", "intersection"), default="same",
        help="files with different features: refuse them (same), or take the features that all have")  # fmt: skip
    add("--paper", action="store_true", help="start from the recipe of the paper, arXiv 2305.09790")
    add("-q", "--quiet", action="store_true", help="neither progress nor summary")
    if with_parameters:
        parameter_arguments(parser.add_argument_group("parameters of the model and of its training"))


def pretrain(args: argparse.Namespace) -> None:
    """Train a model on one or several tables of wells, or on a corpus of mocop build.

    Wells of one molecule are its replicates. Wells without a structure are left out and counted.
    Ctrl-C ends the training; the best weights so far are written then, with exit status 130.

    On several GPUs: torchrun --nproc-per-node=N -m mocop_sklearn pretrain ... The batch size is that of
    all processes together.
    """
    from ..embedder import MoCoPEmbedder
    from ..pairs._reading import read_pairs
    from ..utils._distributed import joined_process_group
    from ..utils._files import atomic_write

    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(args).items()}
    given: dict[str, Any] = {name: flags[name] for name in MoCoPEmbedder().get_params(deep=False) if name in flags}
    make: Any = MoCoPEmbedder.paper if args.paper else MoCoPEmbedder
    with joined_process_group() as rank:
        source = read_pairs(args.wells, args.smiles, args.features, args.columns)
        embedder = make(**given, pairs=source, verbose=int(not args.quiet and sys.stderr.isatty()))
        with atomic_write(args.out) if rank == 0 else nullcontext() as temporary:
            embedder.fit(source.molecules)
            if not embedder.n_iter_:
                raise KeyboardInterrupt
            if temporary is not None:
                embedder.save(temporary)
    if not args.quiet and rank == 0:
        print_table(
            molecules=f"{len(embedder.molecule_keys_):,} ({len(source):,} wells)",
            features=f"{source.n_features:,}",
            epochs=_epochs(embedder.n_iter_, embedder.best_score_),
            digest=embedder.digest_,
            file=f"{args.out} ({megabytes(args.out)})",
        )


def info_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``info``."""
    parser.add_argument("file", metavar="FILE", help="of mocop pretrain, or a folder of mocop build")
    parser.add_argument("--json", action="store_true", help="print JSON, with all feature names and the history")


def info(args: argparse.Namespace) -> None:
    """Describe a model file, or a stored corpus."""
    from ..model_file._format import content_digest, read_file
    from ..pairs._store import is_store

    if is_store(args.file):
        _info_of_pairs(args)
        return
    header, arrays = read_file(args.file, "model")
    model, record = header["model"], header["record"]
    summary: dict[str, Any] = {
        "file": args.file,
        "format_version": header["format_version"],
        "digest": content_digest(model, arrays),
        "n_molecules": len(record["molecule_keys"]),
        "n_iter": record["n_iter"],
        "best_score": record["best_score"],
        "n_features": model["n_profile_columns"],
        "features": model["profile_features"],
        "standardize": model["standardize"],
        "profile_transformer": model["profile_transformer"]["estimator"],
        "parameters": record["parameters"] | model["architecture"],
        "versions": record["versions"],
        "history": record["history"],
    }
    if args.json:
        # JSON lacks NaN and infinities
        print(json.dumps(json.loads(json.dumps(summary), parse_constant=lambda _: None), indent=2))
        return
    names = summary["features"] or ["without names"]
    parameters = (f"{name}={value!r}" for name, value in summary["parameters"].items() if value is not None)
    print_table(
        file=f"{args.file} (format version {summary['format_version']}, {megabytes(args.file)})",
        digest=summary["digest"],
        molecules=f"{summary['n_molecules']:,} seen in pretraining",
        epochs=_epochs(summary["n_iter"], summary["best_score"]),
        features=f"{summary['n_features']:,}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}",
        standardize=str(summary["standardize"]),
        transformer=f"{summary['profile_transformer']}, {model['architecture']['n_profile_features']:,} features out",
        parameters=", ".join(parameters),
        versions=", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    )


def _info_of_pairs(args: argparse.Namespace) -> None:
    from ..pairs._store import read_store

    header = read_store(args.file).header
    if args.json:
        print(json.dumps(header, indent=2))
    else:
        print_report(args.file, header)


def _epochs(n_iter: int, best_score: float) -> str:
    validation = "no validation" if math.isnan(best_score) else f"best validation score {best_score:.3f}, chance 0"
    return f"{n_iter} ({validation})"
