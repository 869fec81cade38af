"""Work done ahead and in several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import joblib
from joblib.parallel import get_active_backend

_T = TypeVar("_T")


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yield items; a thread prepares the next one while the current one is in use."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        upcoming = thread.submit(next, items, end)
        while (item := upcoming.result()) is not end:
            upcoming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def results(jobs: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    """Yield the results of delayed calls in order, each when it is ready if joblib's active backend supports that."""
    backend, _ = get_active_backend()
    return_as = "generator" if getattr(backend, "supports_return_generator", False) else "list"
    return iter(joblib.Parallel(n_jobs, return_as=return_as)(jobs))
