"""``mocop pretrain``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ._molecules import structure_argument
from ._parameters import NO_FLAGS, given_parameters, parameter_arguments
from ._plates import normalisation_arguments, normalizer_of, well_arguments
from ._shared import SEVERAL, epochs_text, left_out_text, megabytes, output, print_table, refuse_to_replace


def pretrain_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    """Add the arguments of ``pretrain``."""
    add = parser.add_argument
    parser.usage = "%(prog)s WELLS [WELLS ...] -o MODEL [options]"
    add(
        "wells",
        nargs="+",
        metavar="WELLS",
        help="tables with one row per well (.parquet, .csv, .tsv, .h5ad), or one corpus of mocop build",
    )
    add("-o", "--out", required=True, type=output(), metavar="MODEL", help="the model file to write")
    structure_argument(parser)
    add("--features", **SEVERAL, metavar="COLUMN",
        help="names or patterns like 'Cells_*' (default: every numeric column except metadata, identifiers and object "
        "numbers)")  # fmt: skip
    add("--columns", choices=("same", "intersection"), default="same",
        help="what to do with files that have different features: stop with an error, or take the features that all "
        "have (default: same)")  # fmt: skip
    add("--controls", choices=("exclude", "keep"), default="exclude",
        help="whether the model learns from the negative controls in tables (default: exclude)")  # fmt: skip
    add("--paper", action="store_true", help="start from the recipe of the paper, arXiv 2305.09790")
    add("-q", "--quiet", action="store_true", help="print neither progress nor summary")
    plates = parser.add_argument_group("tables of plates that are not normalised yet (see mocop build --help)")
    normalisation_arguments(plates, default=False)
    well_arguments(plates)
    if with_parameters:
        from ..embedder import MoCoPEmbedder

        group = parser.add_argument_group("parameters of the model and of its training")
        parameter_arguments(group, MoCoPEmbedder, NO_FLAGS)


def pretrain(args: argparse.Namespace) -> None:
    """Train a model on one or several tables of wells, or on a corpus of mocop build.

    Wells of one molecule are its replicates. Wells without a structure, and negative controls, are left
    out and counted. Ctrl-C ends the training; the best weights so far are written then, with exit status
    130.

    On several GPUs: torchrun --nproc-per-node=N -m mocop_sklearn pretrain ... The batch size is that of
    all processes together.
    """
    from ..embedder import MoCoPEmbedder
    from ..utils._distributed import joined_process_group
    from ..utils._files import atomic_write

    refuse_to_replace(args.out, *args.wells)
    given = given_parameters(args, MoCoPEmbedder, NO_FLAGS)
    make: Any = MoCoPEmbedder.paper if args.paper else MoCoPEmbedder
    with joined_process_group() as rank, _source(args) as source:
        embedder = make(**given, pairs=source, verbose=int(not args.quiet and sys.stderr.isatty()))
        with atomic_write(args.out) if rank == 0 else nullcontext() as temporary:
            embedder.fit(source.molecules)
            if not embedder.n_iter_ and embedder.max_epochs:
                raise KeyboardInterrupt
            if temporary is not None:
                embedder.save(temporary)
        if not args.quiet and rank == 0:
            print_table(
                molecules=f"{len(embedder.molecule_keys_):,} ({len(source):,} wells)",
                features=f"{source.n_features:,}",
                **left_out_text(source.report_.get("features_left_out", {})),
                epochs=epochs_text(embedder.n_iter_, embedder.best_score_),
                digest=embedder.digest_,
                file=f"{args.out} ({megabytes(args.out)})",
            )


@contextmanager
def _source(args: argparse.Namespace) -> Iterator[Any]:
    """Yield the pairs to learn from."""
    from ..pairs._reading import read_pairs
    from ..pairs._store import is_store

    if not args.normalize:
        yield read_pairs(args.wells, args.smiles, args.features, args.columns, args.controls)
        return
    stores = [path for path in args.wells if is_store(path)]
    if stores:
        raise ValueError(f"{stores[0]!r} is a stored corpus: --normalize is for tables of plates.")
    with _normalized(args) as pairs:
        yield pairs


@contextmanager
def _normalized(args: argparse.Namespace) -> Iterator[Any]:
    """Yield the pairs of plates that are normalised first, in a temporary folder.

    Of the processes that train together, the first on each computer builds them; the others open what it has built.
    """
    from ..pairs._build import build_pairs
    from ..pairs._pairs import PairedProfiles
    from ..utils._distributed import is_first_of_computer, of_first_of_computer

    args.out.parent.mkdir(parents=True, exist_ok=True)
    same = ("smiles", "plate_columns", "control_column", "control_label", "features", "columns", "controls", "clip")
    options = {name: getattr(args, name) for name in same}
    if not is_first_of_computer():
        path = of_first_of_computer(None)
        if path is None:
            sys.exit(1)  # the first process says why
        yield PairedProfiles.open(path)
        return
    with tempfile.TemporaryDirectory(prefix=f".{args.out.name}.", dir=args.out.parent) as folder:
        path = Path(folder) / "pairs"
        try:
            pairs = build_pairs(path, args.wells, normalizer=normalizer_of(args), **options)
        except Exception:
            of_first_of_computer(None)
            raise
        of_first_of_computer(str(path.resolve()))
        yield pairs
