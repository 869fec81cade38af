"""The command ``mocop``: from plates and measurements to embeddings and predictions, in a shell or a job script.

Slow imports are left to the command that needs them, so that ``mocop --help`` is quick.
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
from ..utils._warnings import TrainingInterrupted
from ._build import build, build_arguments
from ._embed import embed, embed_arguments
from ._evaluate import evaluate, evaluate_arguments
from ._explain import explain, explain_arguments
from ._fetch import fetch, fetch_arguments
from ._finetune import finetune, finetune_arguments
from ._info import info, info_arguments
from ._models import models, models_arguments
from ._predict import predict, predict_arguments
from ._pretrain import pretrain, pretrain_arguments
from ._report import report, report_arguments
from ._retrieve import retrieve, retrieve_arguments
from ._shared import in_words_of_the_shell, say

__all__ = ["build_parser", "main"]

_INTERRUPTED = 130
_TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        The exit status: 0; 1 after an error in the input; 130 after Ctrl-C. Wrong usage is ``SystemExit(2)``.
    """
    if argv is None:
        argv = sys.argv[1:]
        for number in _signals_to_end():
            signal.signal(number, _end)
    args = build_parser(argv).parse_args(argv)
    try:
        with _warnings_on_stderr(args) as categories:
            args.run(args)
            sys.stdout.flush()
        return _INTERRUPTED if any(issubclass(category, TrainingInterrupted) for category in categories) else 0
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        say(f"error: {in_words_of_the_shell(str(error), args)}")
        return 1


def _signals_to_end() -> list[int]:
    """Signals by which a scheduler or a closed terminal ends a job."""
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _end(number: int, _: Any) -> None:
    """Leave by an exception, so that temporary files are removed; more signals do not stop the removal."""
    for other in _signals_to_end():
        signal.signal(other, signal.SIG_IGN)
    sys.exit(_TERMINATED if number == signal.SIGTERM else 128 + number)


@contextmanager
def _warnings_on_stderr(args: argparse.Namespace) -> Iterator[list[type[Warning]]]:
    """Print the warnings of this package as messages; yield the list that their classes are added to."""
    shown: list[type[Warning]] = []

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        shown.append(category)
        say(f"warning: {in_words_of_the_shell(str(message), args)}")

    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.filterwarnings("always", category=category, module=r"mocop_sklearn\.")
        warnings.showwarning = show
        yield shown


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; the parameters of an estimator are added only when ``argv`` begins with a command for them."""
    parser = argparse.ArgumentParser(prog="mocop", description="Molecular embeddings learned from Cell Painting.")
    parser.add_argument("--version", action="version", version=f"mocop-sklearn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        style = argparse.RawDescriptionHelpFormatter
        text = inspect.getdoc(run)
        added = commands.add_parser(
            run.__name__, help=summary, description=text, formatter_class=style, allow_abbrev=False
        )
        added.set_defaults(run=run, parser=added)
        return added

    fetch_arguments(command(fetch, "download public data sets"))
    build_arguments(command(build, "normalise plates and store them as a corpus"))
    pretrain_arguments(command(pretrain, "train a model on wells"), with_parameters="pretrain" in argv[:1])
    embed_arguments(command(embed, "turn molecules into embeddings"))
    retrieve_arguments(command(retrieve, "find the molecules nearest to profiles, or the reverse"))
    finetune_arguments(command(finetune, "train a model on measurements"), with_parameters="finetune" in argv[:1])
    predict_arguments(command(predict, "predict measurements of molecules"))
    evaluate_arguments(
        command(evaluate, "test a model on measurements, beside simple models"), with_parameters="evaluate" in argv[:1]
    )
    explain_arguments(command(explain, "tell which atoms a prediction rests on"))
    report_arguments(command(report, "write a page about a model"))
    models_arguments(command(models, "list the models that come with the package"))
    info_arguments(command(info, "describe a model file or a stored corpus"))
    return parser
