"""The header of a store: what it must hold, and a checksum of its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ._labels import WELL_COLUMNS

FORMAT = 1
_MAX_BYTES = 2**24  # some 80,000 files of plates
_MAX_LETTERS = 2**24  # of a list of names as an array, in which each takes the room of the longest
_MAX_ROWS = 2**31
_HEX = re.compile(r"[0-9a-f]{64}")


class DamagedStore(ValueError):
    """A store whose files are not as they were written.

    Parameters
    ----------
    path : Path
    reason : str
    """

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{str(path)!r} is damaged ({reason}): build it anew.")


def read_header(path: Path) -> dict[str, Any]:
    """Read and check the header of a store.

    Raises
    ------
    DamagedStore
        When an entry is missing or not what it should be.
    ValueError
        When the store is of a newer format.
    """
    file = path / "header.json"
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES:,} bytes")
        header = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        json.dumps(header, ensure_ascii=False).encode()  # lone surrogates are not text
        version = int(header["format"])
    except PermissionError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, OSError) as error:
        raise DamagedStore(path, f"header.json: {type(error).__name__}: {error}") from error
    if version > FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {version}, but this version of mocop-sklearn reads up to "
            f"{FORMAT}: upgrade it, or build the store anew."
        )
    lacking = [name for name in _SCHEMA if name not in header]
    if lacking:
        raise DamagedStore(path, f"without {lacking}")
    wrong = [name for name, is_right in _SCHEMA.items() if not is_right(header[name])]
    if wrong:
        raise DamagedStore(path, f"header.json: {wrong} cannot be so")
    if header["n_features"] != len(header["feature_names"]):
        raise DamagedStore(path, f"{len(header['feature_names'])} names for {header['n_features']} features")
    if header["checksum"] != checksum(header):
        raise DamagedStore(path, "header.json was altered")
    return header


def header_text(content: Mapping[str, Any]) -> str:
    """Return the text of a header, with its checksum.

    Raises
    ------
    ValueError
        When it is too long to be read again.
    """
    header = dict(content)
    # what JSON makes of tuples and NumPy's numbers is what will be read
    header = json.loads(json.dumps(header))
    text = json.dumps(header | {"checksum": checksum(header)}, indent=1) + "\n"
    if len(text) > _MAX_BYTES:
        raise ValueError(
            f"The header of the store would take {len(text):,} bytes, more than {_MAX_BYTES:,}: join the "
            f"{len(header['files']):,} files to fewer, or shorten the names of plates and features."
        )
    return text


def checksum(header: Mapping[str, Any]) -> str:
    """SHA-256 of all entries but the checksum."""
    content = {name: value for name, value in header.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


# ---------------------------------------------------------------------------------------------
# What each entry must be
# ---------------------------------------------------------------------------------------------


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_size(value: Any) -> bool:
    return _is_count(value) and 0 < value < _MAX_ROWS


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(_HEX.fullmatch(value))


def _are_names(value: Any) -> bool:
    """A list of texts, each only once."""
    if not isinstance(value, list) or not all(map(_is_text, value)) or len(set(value)) < len(value):
        return False
    return len(value) * max(map(len, value), default=0) <= _MAX_LETTERS


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _list_of(**entries: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(_dict_of(**entries)(item) for item in value)


def _dict_of(**entries: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict) and all(name in value and is_right(value[name]) for name, is_right in entries.items())
    )


def _is_clip(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)


def _are_labels(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= set(WELL_COLUMNS) and all(map(_are_names, value.values()))


_COUNTS = ("files", "missing_files", "plates", "wells", "repeated_wells", "molecules", "values_clipped",
           "values_missing", "features_read", "features")  # fmt: skip
_SCHEMA: dict[str, Callable[[Any], bool]] = {
    "format": _is_count,
    "n_rows": _is_size,
    "n_features": _is_size,
    "dtype": lambda value: value in ("float16", "float32"),
    "clip": _is_clip,
    "digest": _is_digest,
    "digest_of_profiles": _is_digest,
    "checksum": _is_digest,
    "feature_names": _are_names,
    "labels": _are_labels,
    "recipe": lambda value: isinstance(value, dict),
    "provenance": lambda value: isinstance(value, dict),
    "files": _list_of(name=_is_text, bytes=_is_count, sha256=_is_digest),
    "report": _dict_of(
        **dict.fromkeys(_COUNTS, _is_count),
        other_names=lambda value: isinstance(value, int),
        fates=_are_counts,
        controls=_are_counts,
        features_dropped=_are_counts,
        features_left_out=lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
        joins=_list_of(table=_is_text, on=_are_texts, wells=_is_count, found=_is_count),
        notices=_are_texts,
    ),
}
