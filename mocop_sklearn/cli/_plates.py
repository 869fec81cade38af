"""Arguments about wells and their normalisation, which ``build``, ``pretrain`` and ``retrieve`` have in common."""

from __future__ import annotations

import argparse
from typing import Any

from ._shared import SEVERAL


def well_arguments(group: Any) -> None:
    """Add the arguments that name columns of the wells."""
    add = group.add_argument
    add("--plate-columns", **SEVERAL, metavar="COLUMN",
        help="columns that tell plates apart (default: Metadata_Source, _Batch and _Plate, if they exist)")  # fmt: skip
    add("--control-column", metavar="COLUMN",
        help="column that marks negative controls (default: Metadata_IsNegcon, or else the conventions of JUMP and the "
        "Broad Institute, and wells with DMSO alone)")  # fmt: skip
    add("--control-label", **SEVERAL, metavar="VALUE", help="values in it that mark a negative control")


def normalisation_arguments(group: Any, default: bool | None) -> None:
    """Add the arguments about the normalisation of plates.

    Parameters
    ----------
    group : ArgumentParser or argument group
    default : bool or None
        Whether plates are normalised if nothing is said; None: unless they are known to be.
    """
    add = group.add_argument
    state = "not normalised" if default is False else "normalised, unless JUMP or pycytominer has normalised them"
    add("--normalize", action=argparse.BooleanOptionalAction, default=default,
        help=f"scale each plate on its negative controls, or take values as they are (default: {state})")  # fmt: skip
    add("--method", choices=("robust", "mad", "standardize"), default="robust",
        help="center and scale: median and quartiles, median and absolute deviation, or mean and standard deviation "
        "(default: robust)")  # fmt: skip
    add("--on-missing", choices=("raise", "plate", "drop"), default="raise",
        help="what to do with plates that have too few controls: stop with an error, scale them on all wells, or leave "
        "them out (default: raise)")  # fmt: skip
    add("--clip", type=float, default=100.0, metavar="X", help="limit of the values (default: 100)")


def normalizer_of(args: argparse.Namespace) -> Any:
    """Return the normaliser that the arguments describe; None for values as they are, "auto" if nothing is said."""
    from ..profiles._normalizer import ProfileNormalizer

    if args.normalize is None and (args.method, args.on_missing) == ("robust", "raise"):
        return "auto"
    return None if args.normalize is False else ProfileNormalizer(args.method, on_missing=args.on_missing)
