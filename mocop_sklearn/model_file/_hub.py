"""Models on the Hugging Face Hub: ``hf://owner/name@revision``, downloaded into its cache, and uploaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEME = "hf://"
MODEL_NAME, CARD_NAME = "model.safetensors", "README.md"  # the files of a repository
_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = rf"{_NAME}/{_NAME}"
_ADDRESS = re.compile(rf"{SCHEME}({_REPOSITORY})(?:@([\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_address(what: Any) -> bool:
    """Tell whether a value is an address on the hub."""
    return isinstance(what, str) and what.startswith(SCHEME)


def downloaded(address: str) -> Path:
    """Return the local file of a model on the hub; what the cache of huggingface_hub holds is not downloaded again.

    Raises
    ------
    ImportError
        Without huggingface_hub.
    ValueError
        When the address is malformed, or the file was not written by this package.
    FileNotFoundError
        When there is no such repository, revision or file.
    OSError
        When the hub cannot be reached, and the file is not in the cache.
    """
    from ._format import is_model_file  # slow to import

    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(
            f"{address!r} is not an address of a model: write hf://owner/name or hf://owner/name@revision."
        )
    repository, revision = found.groups()
    with _explained(address):
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(repository, MODEL_NAME, revision=revision, endpoint=_endpoint()))
    if not is_model_file(path):
        raise ValueError(f"{MODEL_NAME} of {address!r} was not written by mocop_sklearn: name another repository.")
    return path


def pinned(address: str, path: Path) -> str:
    """Return the address with the commit that a downloaded file is of."""
    commit = path.parent.name
    return f"{address.partition('@')[0]}@{commit}" if _COMMIT.fullmatch(commit) else address


def upload(repository: str, files: Mapping[str, bytes | Path], message: str, private: bool | None, token: Any) -> str:
    """Write files into a repository in one commit; it is created if there is none. Return the address of the commit.

    Raises
    ------
    ImportError
        Without huggingface_hub.
    ValueError
        When the name of the repository is malformed.
    OSError
        When the hub cannot be reached, or refuses.
    """
    if not re.fullmatch(_REPOSITORY, repository):
        raise ValueError(f"repo_id={repository!r} is not the name of a repository: write owner/name.")
    with _explained(SCHEME + repository):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(endpoint=_endpoint(), token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        operations = [
            CommitOperationAdd(name, content if isinstance(content, bytes) else os.fspath(content))
            for name, content in files.items()
        ]
        commit = api.create_commit(repository, operations, commit_message=message)
    return f"{SCHEME}{repository}@{commit.oid}"


def _endpoint() -> str | None:
    """Server of HF_ENDPOINT as it is now; huggingface_hub reads it once, when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Raise the errors of huggingface_hub as errors that name the address and the remedy."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            f"{address!r} needs huggingface_hub: pip install 'mocop-sklearn[hub]'.", name=error.name
        ) from error
    try:
        yield
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"{address!r}: the owner grants access on request. Ask for it on the page of the repository, and log in "
            "with hf auth login."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{address!r}: there is no such repository, or it is private. Check the name; for a private one, log in "
            "with hf auth login, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{address!r}: the repository has no such revision. Name a branch, a tag or a commit of it."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{address!r} is not in the cache of huggingface_hub, and the hub cannot be reached. Check the connection, "
            "HF_ENDPOINT and HF_HUB_OFFLINE, or copy the file by hand and give its path."
        ) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{address!r}: the repository has no {MODEL_NAME}, so it was not made by push_to_hub. For another file, "
            "download it and give its path."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ConnectionError(f"{address!r} cannot be reached offline: unset HF_HUB_OFFLINE.") from error
    except errors.HfHubHTTPError as error:
        refused = error.response.status_code in (401, 403)
        remedy = "Log in with hf auth login, or set HF_TOKEN." if refused else "Try again later."
        raise OSError(f"{address!r}: the hub answered {_first_line(error)} {remedy}") from error
    except RuntimeError as error:  # a large file was not transferred
        raise OSError(f"{address!r}: {_first_line(error.__cause__ or error)} Try again later.") from error
    except (errors.HTTPError, errors.FileMetadataError) as error:  # type: ignore[attr-defined]
        raise ConnectionError(
            f"{address!r}: the hub cannot be reached ({_first_line(error)}) Check the connection and HF_ENDPOINT."
        ) from error


def _first_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text.rstrip(".:") + "."
