"""``mocop info``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..model_file._shipped import path_of
from ._shared import epochs_text, megabytes, print_report, print_table, provenance_text


def info_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``info``."""
    parser.add_argument("file", metavar="FILE", help="a file of mocop pretrain, or a folder of mocop build")
    parser.add_argument("--verify", action="store_true",
                        help="compare all content of a corpus with its digest; that of a model always is")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with all feature names and the history")


def info(args: argparse.Namespace) -> None:
    """Describe a model file, or a stored corpus."""
    from ..pairs._store import is_store, read_store

    if not is_store(args.file):
        _describe_model(args)
        return
    header = read_store(args.file, verify=args.verify).header
    if args.json:
        print(json.dumps(header, indent=2))
    else:
        print_report(args.file, header)


def _describe_model(args: argparse.Namespace) -> None:
    summary = _summary(args.file)
    if args.json:
        # JSON lacks NaN and infinities
        print(json.dumps(json.loads(json.dumps(summary), parse_constant=lambda _: None), indent=2))
        return
    names = summary["features"] or ["without names"]
    parameters = (f"{name}={value!r}" for name, value in summary["parameters"].items() if value is not None)
    print_table(
        file=f"{args.file} (format version {summary['format_version']}, {megabytes(path_of(args.file))})",
        digest=summary["digest"],
        molecules=f"{summary['n_molecules']:,} seen with a profile, {summary['n_structures']:,} as structures only",
        epochs=epochs_text(summary["n_iter"], summary["best_score"]),
        features=f"{summary['n_features']:,}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}",
        standardize=str(summary["standardize"]),
        transformer=f"{summary['profile_transformer']}, {summary['n_profile_features']:,} features out",
        parameters=", ".join(parameters),
        versions=", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        **provenance_text(summary["provenance"]),
    )


def _summary(path: str) -> dict[str, Any]:
    from ..model_file._compact import KEYS, unpack_keys, unpacked
    from ..model_file._format import content_digest, read_file
    from ..model_file._schema import check_header

    header, arrays = read_file(path_of(path), "model")
    check_header(path, header)
    model, record = header["model"], header["record"]
    keys = {name: unpack_keys(name, record, arrays) for name in KEYS}
    arrays = {name: array for name, array in unpacked(arrays).items() if not name.startswith("statistics.")}
    return {
        "file": path,
        "format_version": header["format_version"],
        "digest": content_digest(model, arrays),
        "n_molecules": len(keys["molecule_keys"]),
        "n_structures": len(keys["structure_keys"]),
        "n_iter": record["n_iter"],
        "best_score": record["best_score"],
        "n_features": model["n_profile_columns"],
        "n_profile_features": model["architecture"]["n_profile_features"],
        "features": model["profile_features"],
        "standardize": model["standardize"],
        "profile_transformer": (model["profile_transformer"] or {}).get("estimator"),
        "parameters": record["parameters"] | model["architecture"],
        "versions": record["versions"],
        "history": record["history"],
        "provenance": record["provenance"],
    }
