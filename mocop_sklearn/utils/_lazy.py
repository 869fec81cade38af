"""Names of a package that are imported on first access."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, module_of: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose modules are heavy to import.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    module_of : mapping of str to str
        The module below the package that defines each name.
    """

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{module_of[name]}", package), name)

    def __dir__() -> list[str]:
        return sorted(module_of)

    return __getattr__, __dir__
