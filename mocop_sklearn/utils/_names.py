"""Names of classes and functions, as model files and cache keys record them."""

from __future__ import annotations

import re
import sys
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
from sklearn.base import clone


def public_path(value: Any) -> str:
    """Return the dotted path of a class or function, by its public package where that exports it.

    So a class may move between private files without changing what is written.
    """
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    module = getattr(value, "__module__", None) or "?"
    if name is None:  # an object that can be called; an address would differ in the next process
        return f"{module}.{re.sub(r' at 0x[0-9a-f]+', '', repr(value))}"
    public = ".".join(takewhile(lambda part: not part.startswith("_"), module.split(".")))
    if public in sys.modules and getattr(sys.modules[public], name, None) is value:
        module = public
    return f"{module}.{name}"


def described(value: Any) -> str:
    """Return a text for a component: its public path and, of a ``functools.partial``, the arguments."""
    if isinstance(value, partial):
        arguments = [described(item) for item in value.args]
        arguments += [f"{name}={described(item)}" for name, item in sorted(value.keywords.items())]
        return f"{described(value.func)}({', '.join(arguments)})"
    return public_path(value) if callable(value) else repr(value)


def describe_callable(value: Any) -> Any:
    """Return plain data for a parameter that may be a function: the value itself, or the name of the function."""
    return {"callable": described(value)} if callable(value) else value


def plain_repr(transformer: Any) -> str:
    """Return the representation of a transformer, or of a list with some, as files have it.

    Numpy scalars among the parameters are plain numbers. Directories of caches, which belong to one machine, are left
    out.
    """
    if isinstance(transformer, (tuple, list)):
        return f"[{', '.join(map(plain_repr, transformer))}]"
    if not hasattr(transformer, "get_params") or isinstance(transformer, type):
        return repr(transformer)
    given = transformer.get_params()
    plain = {n: v.item() for n, v in given.items() if isinstance(v, np.generic)}
    plain |= {n: None for n, v in given.items() if n.split("__")[-1] == "memory" and v is not None}
    return repr(clone(transformer).set_params(**plain) if plain else transformer)
