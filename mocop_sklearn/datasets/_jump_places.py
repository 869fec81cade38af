"""Where the files of JUMP-CP are: on this machine, in the public bucket, or in a copy of it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from ._download import Patience, download_all
from ._local_file import is_downloaded
from ._transfer import NotOnServer, Remote

JUMP_BUCKET = "cellpainting-gallery"
JUMP_METADATA_URL = "https://raw.githubusercontent.com/jump-cellpainting/datasets/main/metadata/"
JUMP_PROJECT = "cpg0016-jump"
_TABLES = ("plate", "well", "compound")
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def folder_of(data_home: str | os.PathLike[str] | None) -> Path:
    return Path(get_data_home(data_home)) / "jump_cp"


def custom_endpoint(endpoint_url: str | None) -> str | None:
    candidates = (endpoint_url, *(os.environ.get(name) for name in _ENDPOINT_VARIABLES))
    return next((url.rstrip("/") for url in candidates if url), None)


def https(url: str, endpoint_url: str | None) -> str:
    """The address of an ``s3://`` URL; other URLs stay as they are."""
    if not url.startswith("s3://"):
        return url
    bucket, _, key = url.removeprefix("s3://").partition("/")
    endpoint = custom_endpoint(endpoint_url)
    return f"{endpoint}/{bucket}/{quote(key)}" if endpoint else f"https://{bucket}.s3.amazonaws.com/{quote(key)}"


def plate_url(key: tuple[str, str, str], endpoint_url: str | None) -> str:
    source, batch, plate = key
    return https(
        f"s3://{JUMP_BUCKET}/{JUMP_PROJECT}/{source}/workspace/profiles/{batch}/{plate}/{plate}.parquet", endpoint_url
    )


def fetch_metadata(
    folder: Path, endpoint_url: str | None, metadata_url: str | None, patience: Patience, download_if_missing: bool
) -> Bunch:
    """Paths of the tables, which are downloaded when they are not there."""
    paths = {name: folder / "metadata" / f"{name}.csv.gz" for name in _TABLES}
    if not download_if_missing:
        absent = [str(path) for path in paths.values() if not is_downloaded(path)]
        if absent:
            raise FileNotFoundError(f"Data not found and `download_if_missing` is False: {', '.join(absent)}.")
        return Bunch(**paths)
    if metadata_url is None:
        mirror = f"s3://{JUMP_BUCKET}/{JUMP_PROJECT}/metadata/"
        metadata_url = mirror if custom_endpoint(endpoint_url) else JUMP_METADATA_URL
    base, s3 = https(metadata_url, endpoint_url).rstrip("/"), metadata_url.startswith("s3://")
    jobs = [(Remote(f"{base}/{name}.csv.gz", s3), path) for name, path in paths.items()]
    absent = [str(outcome) for outcome in download_all(jobs, len(jobs), patience) if isinstance(outcome, NotOnServer)]
    if absent:
        raise FileNotFoundError(f"{' '.join(absent)} Say where the tables are with `metadata_url`.")
    return Bunch(**paths)
