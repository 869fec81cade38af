"""``mocop models``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ._shared import megabytes, print_table


def models_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``models``."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="print the whole card of this model")
    parser.add_argument("--json", action="store_true", help="print JSON")


def models(args: argparse.Namespace) -> None:
    """List the models that come with the package.

    Every command takes their names where it takes a model file.
    """
    from ..model_file._shipped import list_models

    found = list_models()
    if args.name is not None:
        chosen = [model for model in found if model.name == args.name]
        if not chosen:
            raise ValueError(f"{args.name!r} is not a model that comes with the package: {[m.name for m in found]}.")
        print(chosen[0].card)
        return
    if args.json:
        print(json.dumps([asdict(model) | {"path": str(model.path)} for model in found], indent=2))
        return
    for model in found:
        print_table(
            name=f"{model.name} ({megabytes(str(model.path))})",
            summary=model.summary,
            corpus=model.corpus,
            molecules=f"{model.n_molecules:,} seen with a profile, {model.n_structures:,} as structures only",
            license=model.license,
            digest=model.digest,
            **model.figures,
        )
        print()
