"""One file with the profiles of all plates of JUMP-CP, as the consortium assembled and corrected them."""

from __future__ import annotations

from pathlib import Path

from sklearn.utils import Bunch

from ._download import Patience, download
from ._jump_places import JUMP_BUCKET, JUMP_PROJECT, custom_endpoint, fetch_metadata, https
from ._jump_profiles import JUMP_INDEX_URL, read_index
from ._local_file import is_downloaded
from ._transfer import NotOnServer, Remote


def fetch_assembled(
    folder: Path,
    name: str,
    endpoint_url: str | None,
    metadata_url: str | None,
    index_url: str | None,
    patience: Patience,
    download_if_missing: bool,
) -> Bunch:
    """Return one file of the index, and the tables, as ``fetch_jump_cp`` documents them."""
    metadata = fetch_metadata(folder, endpoint_url, metadata_url, patience, download_if_missing)
    index_path = _fetch_index(folder / "metadata", endpoint_url, index_url, patience, download_if_missing)
    index = read_index(index_path)
    if name not in index:
        raise ValueError(f"profiles={name!r} is not in {index_path}, which has {sorted(index)}: choose one of these.")
    found = index[name]
    # a file that another version of the index names does not take the place of the one that is there
    path = folder / "assembled" / found.subset / (found.etag or "of_any_etag") / found.file_name
    remote = Remote(https(found.url, endpoint_url), found.url.startswith("s3://"), etag=found.etag)
    n_bytes = _there(remote, path, patience, download_if_missing)
    kept = {"n_downloaded": 0, "n_kept": 1} if not n_bytes else {"n_downloaded": 1, "n_kept": 0}
    report = {"n_selected": 1, **kept, "n_missing": 0, "n_bytes": n_bytes}
    return Bunch(plates=[path], metadata=metadata, missing=[], profiles=found, report=report)


def _fetch_index(
    folder: Path, endpoint_url: str | None, index_url: str | None, patience: Patience, download_if_missing: bool
) -> Path:
    if index_url is None:
        mirror = f"s3://{JUMP_BUCKET}/{JUMP_PROJECT}/metadata/profile_index.json"
        index_url = mirror if custom_endpoint(endpoint_url) else JUMP_INDEX_URL
    path = folder / ("profile_index.csv" if index_url.endswith(".csv") else "profile_index.json")
    remote = Remote(https(index_url, endpoint_url), index_url.startswith("s3://"))
    try:
        _there(remote, path, patience, download_if_missing)
    except NotOnServer as error:
        raise FileNotFoundError(f"{error} Say where the index of profiles is with `index_url`.") from error
    return path


def _there(remote: Remote, path: Path, patience: Patience, download_if_missing: bool) -> int:
    """Make sure that a file is there, and return how many bytes were received."""
    if download_if_missing:
        return download(remote, path, patience)
    if not is_downloaded(path):
        raise FileNotFoundError(f"Data not found and `download_if_missing` is False: {path}.")
    return 0
