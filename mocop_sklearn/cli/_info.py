"""``mocop info``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..model_file._shipped import path_of
from ._shared import epochs_text, fine_tuning_text, megabytes, print_report, print_table, provenance_text


def info_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``info``."""
    parser.add_argument("file", metavar="FILE",
                        help="a file of mocop pretrain or mocop finetune, the name of a model that comes with the "
                        "package, hf://owner/name on the Hugging Face Hub, or a folder of mocop build")  # fmt: skip
    parser.add_argument("--verify", action="store_true",
                        help="compare all content of a corpus with its digest; that of a model always is")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with all feature names and the history")


def info(args: argparse.Namespace) -> None:
    """Describe a model file, of mocop pretrain or mocop finetune, or a stored corpus."""
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
    from ..model_file._format import FINE_TUNED, MODEL, read_file

    header, arrays = read_file(path_of(args.file), MODEL, FINE_TUNED)
    is_fine_tuned = header["kind"] == FINE_TUNED
    summary = _fine_tuned_summary(args.file, header) if is_fine_tuned else _summary(args.file, header, arrays)
    if args.json:
        # JSON lacks NaN and infinities
        print(json.dumps(json.loads(json.dumps(summary), parse_constant=lambda _: None), indent=2))
    elif is_fine_tuned:
        _print_fine_tuned(summary)
    else:
        _print_model(summary)


def _print_model(summary: dict[str, Any]) -> None:
    names = summary["features"] or ["without names"]
    print_table(
        file=_file(summary),
        digest=summary["digest"],
        molecules=f"{summary['n_molecules']:,} seen with a profile, {summary['n_structures']:,} as structures only",
        epochs=epochs_text(summary["n_iter"], summary["best_score"]),
        features=f"{summary['n_features']:,}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}",
        standardize=str(summary["standardize"]),
        transformer=f"{summary['profile_transformer']}, {summary['n_profile_features']:,} features out",
        **_settings(summary),
        **provenance_text(summary["provenance"]),
    )


def _print_fine_tuned(summary: dict[str, Any]) -> None:
    is_regressor = summary["estimator"] == "MoCoPRegressor"
    print_table(
        file=_file(summary),
        estimator=f"{summary['estimator']}, {summary['n_networks']} network{'s' * (summary['n_networks'] > 1)}",
        targets=", ".join(summary["targets"]),
        **({} if is_regressor else {"classes": ", ".join(map(str, summary["classes"]))}),
        encoder=f"{summary['digest']} (digest of its first network)",
        molecules=f"{summary['n_molecules']:,} seen with a measurement, or a profile in pretraining, "
        f"{summary['n_structures']:,} as structures only",
        domain=summary["domain"],
        epochs=fine_tuning_text(summary["n_iter"], summary["best_score"], is_regressor),
        standardize=str(summary["standardize"]),
        **({"start": summary["start"]} if summary["start"] else {}),
        **_settings(summary),
    )


def _file(summary: dict[str, Any]) -> str:
    path = summary["file"]
    return f"{path} (format version {summary['format_version']}, {megabytes(path_of(path))})"


def _settings(summary: dict[str, Any]) -> dict[str, str]:
    parameters = (f"{name}={value!r}" for name, value in summary["parameters"].items() if value is not None)
    versions = (f"{name} {version}" for name, version in summary["versions"].items())
    return {"parameters": ", ".join(parameters), "versions": ", ".join(versions)}


def _fine_tuned_summary(path: str, header: dict[str, Any]) -> dict[str, Any]:
    from ._finetune import domain_text
    from ._predict import load_fine_tuned

    estimator = load_fine_tuned(path)
    classes = getattr(estimator, "classes_", None)
    several = len(estimator.task_names_) > 1
    return {
        "file": path,
        "format_version": header["format_version"],
        "estimator": header["estimator"],
        "digest": estimator.model_.digest,
        "targets": estimator.task_names_,
        "classes": None if classes is None else [0, 1] if several else classes.tolist(),
        "domain": domain_text(estimator),
        "n_networks": len(estimator.weights_),
        "n_molecules": len(estimator.molecule_keys_),
        "n_structures": len(estimator.structure_keys_),
        "n_iter": estimator.n_iter_,
        "best_score": estimator.best_score_,
        "standardize": header["standardize"],
        "start": getattr(estimator, "start_", ""),
        "parameters": header["parameters"] | header["architecture"],
        "versions": header["versions"],
        "history": estimator.history_,
    }


def _summary(path: str, header: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    from ..model_file._compact import KEYS, unpack_keys, unpacked
    from ..model_file._format import content_digest
    from ..model_file._schema import check_header

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
