"""The command ``mocop``: build, fetch, pretrain, embed and retrieve from a shell or a job script.

What is slow to import is imported by the command that needs it, so that ``mocop --help`` is quick.
"""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .._version import __version__
from ._corpora import build, build_arguments
from ._fetch import fetch, fetch_arguments
from ._models import info, info_arguments, pretrain, pretrain_arguments
from ._molecules import embed, embed_arguments, retrieve, retrieve_arguments
from ._shared import say

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        0; 1 after an error in the input; 130 after Ctrl-C. Wrong usage is ``SystemExit(2)``.
    """
    if argv is None:
        argv = sys.argv[1:]
        # a job that its scheduler ends removes its temporary file, too
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = build_parser(argv).parse_args(argv)
    try:
        with _warnings_on_stderr() as shown:
            args.run(args)
            sys.stdout.flush()
        return 130 if any(message.startswith("Training was interrupted") for message in shown) else 0
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        say(f"error: {error}")
        return 1


@contextmanager
def _warnings_on_stderr() -> Iterator[list[str]]:
    """Print this package's warnings as messages; yield the list that they are appended to."""
    shown: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        shown.append(str(message))
        say(f"warning: {message}")

    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.filterwarnings("always", category=category, module=r"mocop_sklearn\.")
        warnings.showwarning = show
        yield shown


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; the parameters of ``pretrain`` are added only when ``argv`` begins with it."""
    parser = argparse.ArgumentParser(prog="mocop", description="Molecular embeddings learned from Cell Painting.")
    parser.add_argument("--version", action="version", version=f"mocop-sklearn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        style = argparse.RawDescriptionHelpFormatter
        text = inspect.getdoc(run)
        added = commands.add_parser(
            run.__name__, help=summary, description=text, formatter_class=style, allow_abbrev=False
        )
        added.set_defaults(run=run)
        return added

    fetch_arguments(command(fetch, "download public data sets"))
    build_arguments(command(build, "normalise plates and store them as a corpus"))
    pretrain_arguments(command(pretrain, "train a model on wells"), with_parameters="pretrain" in argv[:1])
    embed_arguments(command(embed, "turn molecules into embeddings"))
    retrieve_arguments(command(retrieve, "find the molecules nearest to profiles"))
    info_arguments(command(info, "describe a model file or a stored corpus"))
    return parser
