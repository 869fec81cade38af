"""Where the profiles of a stored corpus come from, in plain values that go into models made of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .._version import __version__
from ._gathered import Gathered
from ._plan import Finish, PlatePlan

_MAX_NAMES = 100  # of files that are listed by name; all of them are in the header of the store


def today() -> str:
    """The date, or that of ``SOURCE_DATE_EPOCH``, by which builds are made to repeat to the byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return moment.date().isoformat()


def provenance_of_build(
    plan: PlatePlan, finish: Finish, gathered: Gathered, report: Mapping[str, Any], date: str
) -> dict[str, Any]:
    """Describe a build.

    Parameters
    ----------
    plan : PlatePlan
    finish : Finish
    gathered : Gathered
    report : dict
        As ``PairedProfiles.report_``.
    date : str

    Returns
    -------
    dict
    """
    return {
        "files": _files(gathered),
        "metadata": [join["table"] for join in report["joins"]],
        "normalization": _normalization(plan, report),
        "features": {
            "read": report["features_read"],
            "kept": report["features"],
            "chosen": list(plan.features),
            "of_several_files": finish.columns,
            "filter": _described(finish.feature_filter),
            "dropped": report["features_dropped"],
        },
        "wells": {
            "read": report["wells"],
            "fates": report["fates"],
            "keep": {column: list(values) for column, values in plan.keep},
            "exclude": {column: list(values) for column, values in plan.exclude},
            "controls": plan.controls,
            "held_out_molecules": len(plan.hold_out),
            "repeated_wells": finish.repeated_wells,
            "max_wells": finish.max_wells,
        },
        "plates": report["plates"],
        "dtype": plan.dtype,
        "clip": plan.clip,
        "date": date,
        "licence": finish.licence,
        "notes": finish.notes,
        "version": __version__,
    }


def _files(gathered: Gathered) -> dict[str, Any]:
    """How many files there are, what they are called, and one digest of the contents of all."""
    sha = hashlib.sha256()
    for file in gathered.files:
        sha.update(file["sha256"].encode())
    return {
        "count": len(gathered.files),
        "bytes": sum(file["bytes"] for file in gathered.files),
        "sha256": sha.hexdigest(),
        "names": [file["name"] for file in gathered.files[:_MAX_NAMES]],
    }


def _normalization(plan: PlatePlan, report: Mapping[str, Any]) -> dict[str, Any]:
    """How plates were normalised; the method is ``none`` where the values are stored as they came."""
    if plan.normalizer is None:
        return {"method": "none"} | ({"done_before": list(plan.corrections)} if plan.corrections else {})
    parameters = plan.normalizer.get_params()
    shown = ("method", "whiten", "epsilon", "whiten_epsilon", "on_missing", "min_controls")
    on_controls = parameters["control_column"] is not None
    return {name: parameters[name] for name in shown} | {
        "plates_by": list(plan.plate_columns) or "Metadata_Source, Metadata_Batch and Metadata_Plate, or the file",
        "reference": "controls" if on_controls else "all wells",
        "controls": report["controls"] if on_controls else {},
    }


def _described(estimator: Any) -> dict[str, Any] | None:
    """Type and parameters of an estimator, in plain values."""
    if estimator is None:
        return None
    plain = (bool, int, float, str, type(None))
    parameters = {
        name: value if isinstance(value, plain) else list(map(str, value)) if isinstance(value, (list, tuple)) else
        str(value) for name, value in estimator.get_params().items()
    }  # fmt: skip
    return {"type": type(estimator).__name__} | parameters
