"""The index of JUMP's assembled profiles: one file per kind of perturbation and stage of correction."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

JUMP_INDEX_URL = "https://raw.githubusercontent.com/jump-cellpainting/datasets/main/manifests/profile_index.json"
_S3_ADDRESS = re.compile(r"https://([\w.-]+)\.s3[\w.-]*\.amazonaws\.com/(.+)")
_ETAG = re.compile(r"[0-9a-f]{32}(-[1-9]\d*)?")
_FILE_NAME = re.compile(r"[\w+=-][\w.+=-]*\.parquet")
# Steps of broadinstitute/jump-profiling-recipe, as the names of its files list them.
_NORMALISING = {"mad", "int", "sphering", "harmony"}
_STEPS = _NORMALISING | {"wellpos", "cc", "var", "outlier", "featselect", "PCA", "corrected"}


@dataclass(frozen=True)
class AssembledProfiles:
    """A file of the profiles of all plates, as the index describes it.

    Attributes
    ----------
    subset : str
        Its name in the index, such as ``compound`` or ``compound_no_source7``.
    url : str
        ``s3://bucket/key``, or another address.
    etag : str or None
        The ETag that the file must have.
    corrections : tuple of str
        What was done to the profiles, in order, by the name of the file: ``("var", "mad", "int", "featselect",
        "harmony")``. Empty where they are not normalised.
    recipe : str
        Address of the code that made the file; empty where the index does not say.
    """

    subset: str
    url: str
    etag: str | None
    corrections: tuple[str, ...]
    recipe: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return unquote(self.url.rpartition("/")[2])


def read_index(path: Path) -> dict[str, AssembledProfiles]:
    """Read an index of assembled profiles, in JSON or CSV.

    Raises
    ------
    ValueError
        When it is something else, or an entry lacks what is needed; the message names the entry.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = json.loads(text) if text.lstrip()[:1] == "[" else list(csv.DictReader(text.splitlines()))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as an index: {error}. Delete it to download it again.") from error
    found = [_entry(number, entry, path) for number, entry in enumerate(entries)]
    if not found:
        raise ValueError(f"{path} lists no profiles. Delete it to download it again.")
    return {profiles.subset: profiles for profiles in found}


def _entry(number: int, entry: Any, path: Path) -> AssembledProfiles:
    if not isinstance(entry, dict):
        raise ValueError(f"{path}, entry {number}: {entry!r} is not an object with subset, url and etag.")
    subset, url, etag = (str(entry.get(name) or "").strip() for name in ("subset", "url", "etag"))
    address = _S3_ADDRESS.fullmatch(url)
    url = f"s3://{address[1]}/{unquote(address[2])}" if address else url
    profiles = AssembledProfiles(
        subset, url, etag.strip('"') or None, corrections_of(url), str(entry.get("recipe_permalink") or "")
    )
    # these become names of a folder and of a file: none may lead out of the folder
    for name, value, pattern in (("subset", subset, r"\w[\w.-]*"), ("url", profiles.file_name, _FILE_NAME)):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{path}, entry {number}: {entry.get(name)!r} is not a usable {name}.")
    if profiles.etag is not None and not _ETAG.fullmatch(profiles.etag):
        raise ValueError(f"{path}, entry {number}: {etag!r} is not a usable etag.")
    return profiles


def corrections_of(name: str) -> tuple[str, ...]:
    """Steps of JUMP's recipe that normalised the profiles of a file, by its name; none for other names.

    >>> corrections_of("COMPOUND/v1.0/profiles_var_mad_int_featselect_harmony.parquet")
    ('var', 'mad', 'int', 'featselect', 'harmony')
    >>> corrections_of("BR00117035.parquet"), corrections_of("profiles_var.parquet")
    ((), ())
    """
    first, *steps = Path(name).stem.split("_")
    is_normalised = first == "profiles" and _STEPS.issuperset(steps) and not _NORMALISING.isdisjoint(steps)
    return tuple(steps) if is_normalised else ()


def corrections_of_columns(names: Iterable[str]) -> tuple[str, ...]:
    """As :func:`corrections_of`, by the columns: JUMP's last stages have coordinates ``X_1``, ``X_2``, not features."""
    names = list(names)
    features = [name for name in names if not name.startswith("Metadata_")]
    is_corrected = bool(features) and all(re.fullmatch(r"X_\d+", name) for name in features)
    return ("coordinates X_1, X_2 and so on",) if is_corrected and "Metadata_JCP2022" in names else ()
