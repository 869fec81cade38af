"""A flag for every parameter of an estimator."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import re
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

# Parameters of the embedder that take objects, or that the command line says in another way.
NO_FLAGS = ("pairs", "profile_transformer", "memory", "output", "verbose", "callbacks")
# The same of the classifier.
NO_FLAGS_OF_FINE_TUNING = (
    "pretrained", "loss", "missing", "validation_fraction", "validation_groups", "verbose", "callbacks",
)  # fmt: skip


def parameter_arguments(group: Any, estimator: Any, without: Sequence[str]) -> None:
    """Add a flag for every parameter of an estimator's class that a command line can express.

    Parameters
    ----------
    group : ArgumentParser or argument group
    estimator : class
    without : sequence of str
        Parameters without a flag.
    """
    from ..utils._sklearn import Interval

    texts = _parameter_texts(inspect.getdoc(estimator) or "")
    for name, parameter in inspect.signature(estimator).parameters.items():
        if name in without:
            continue
        default = parameter.default
        constraints = estimator._parameter_constraints[name]
        options: dict[str, Any]
        if constraints == ["boolean"]:
            options = {"action": argparse.BooleanOptionalAction}
        elif isinstance(default, tuple):
            numbers = isinstance(default[0], int)
            options = {"nargs": "+"}
            options |= _value_options([Interval(Integral, 1, None, closed="left")] if numbers else constraints)
            default = " ".join(map(str, default))
        else:
            options = _value_options(constraints)
        text = f"{texts.get(name, '')} (default: {str(default).lower()})".strip()
        group.add_argument(
            f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, help=text.replace("%", "%%"), **options
        )


def _parameter_texts(doc: str) -> dict[str, str]:
    """Plain descriptions of the parameters in a numpydoc docstring."""
    section = doc.partition("Parameters\n----------\n")[2].partition("\n\nAttributes")[0]
    found = re.findall(r"^(\w+) : .*\n((?:    .*(?:\n|$))*)", section, re.MULTILINE)
    plain = {name: re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`|``", r"\1", text) for name, text in found}
    plain = {name: re.sub(r",? \[[2-9]\]_", "", text.replace("[1]_", "the paper")) for name, text in plain.items()}
    return {name: " ".join(text.split()) for name, text in plain.items()}


def given_parameters(args: argparse.Namespace, estimator: Any, without: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of an estimator's class that were given as flags."""
    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(args).items()}
    return {name: flags[name] for name in inspect.signature(estimator).parameters if name in flags.keys() - without}


def _value_options(constraints: list[Any]) -> dict[str, Any]:
    """``type`` and ``metavar`` of a flag, from those of scikit-learn's constraints that a word can satisfy."""
    from ..utils._sklearn import Interval, StrOptions, make_constraint

    metavars = {None: "none", str: "TEXT", Integral: "INT", "random_state": "INT"}
    checks, words = [], []
    for constraint in constraints:
        if isinstance(constraint, StrOptions):
            words += sorted(constraint.options)
        elif isinstance(constraint, Interval):
            words.append("INT" if constraint.type is Integral else "FLOAT")
        elif constraint in metavars:
            words.append(metavars[constraint])
        else:
            continue
        checks.append(make_constraint(constraint))

    def convert(text: str) -> Any:
        for value in _readings(text):
            if any(check.is_satisfied_by(value) for check in checks):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {' or '.join(map(str, checks))}")

    return {"type": convert, "metavar": "|".join(words)}


def _readings(text: str) -> Iterator[Any]:
    """What a word on the command line may stand for."""
    if text.lower() == "none":
        yield None
    for number in (int, float):
        with contextlib.suppress(ValueError):
            yield number(text)
    yield text
