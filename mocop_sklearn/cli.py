"""The command ``mocop``: pretrain, embed and retrieve from a shell or a job script.

What is slow to import is imported by the command that needs it, so that ``mocop --help`` is quick.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import math
import os
import re
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

from . import __version__

# Parameters of the class that take objects, or that the command line says in another way.
_NO_FLAGS = ("pairs", "profile_transformer", "memory", "output", "verbose")


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
        _say("interrupted")
        return 130
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        _say(f"error: {error}")
        return 1


def _say(message: str) -> None:
    print(f"mocop: {message}", file=sys.stderr)


@contextmanager
def _warnings_on_stderr() -> Iterator[list[str]]:
    """Print this package's warnings as messages; yield the list that they are appended to."""
    shown: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        shown.append(str(message))
        _say(f"warning: {message}")

    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.filterwarnings("always", category=category, module=r"mocop_sklearn\.")
        warnings.showwarning = show
        yield shown


# ---------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; the parameters of ``pretrain`` are added only when ``argv`` begins with it."""
    parser = argparse.ArgumentParser(prog="mocop", description="Molecular embeddings learned from Cell Painting.")
    parser.add_argument("--version", action="version", version=f"mocop-sklearn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        style = argparse.RawDescriptionHelpFormatter
        text = inspect.getdoc(run)
        name = run.__name__.strip("_")
        added = commands.add_parser(name, help=summary, description=text, formatter_class=style, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    _pretrain_arguments(command(_pretrain, "train a model on tables of wells"), with_parameters="pretrain" in argv[:1])
    _embed_arguments(command(_embed, "turn molecules into embeddings"))
    _retrieve_arguments(command(_retrieve, "find the molecules nearest to profiles"))
    info = command(_info, "describe a model file")
    info.add_argument("model", metavar="MODEL")
    info.add_argument("--json", action="store_true", help="print JSON, with all feature names and the history")
    return parser


def _pretrain_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    add = parser.add_argument
    parser.usage = "%(prog)s WELLS [WELLS ...] -o MODEL [options]"
    add("wells", nargs="+", metavar="WELLS", help="tables with one row per well: .parquet, .csv, .tsv")
    add("-o", "--out", required=True, type=_output(), metavar="MODEL", help="the model file to write")
    add("--smiles", metavar="COLUMN", help="column of structures (default: Metadata_SMILES or the like)")
    add("--features", nargs="+", default=(), metavar="COLUMN",
        help="names or patterns like 'Cells_*' (default: every numeric column but Metadata_*)")  # fmt: skip
    add("--columns", choices=("same", "intersection"), default="same",
        help="files with different features: refuse them (same), or take the features that all have")  # fmt: skip
    add("--paper", action="store_true", help="start from the recipe of the paper, arXiv 2305.09790")
    add("-q", "--quiet", action="store_true", help="neither progress nor summary")
    if with_parameters:
        _parameter_arguments(parser.add_argument_group("parameters of the model and of its training"))


def _embed_arguments(parser: argparse.ArgumentParser) -> None:
    _molecule_arguments(parser)
    parser.add_argument("-o", "--out", required=True, type=_output(".parquet", ".npy", ".csv"),
                        help="a .parquet, .npy or .csv file")  # fmt: skip
    parser.add_argument("--output", choices=("encoder", "projection"), default="encoder",
                        help="the representation, or the unit vector in the shared space")  # fmt: skip
    parser.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts, from 1")


def _retrieve_arguments(parser: argparse.ArgumentParser) -> None:
    _molecule_arguments(parser)
    parser.add_argument("profiles", metavar="PROFILES", help="a table of profiles: .parquet, .csv, .tsv")
    parser.add_argument("-o", "--out", required=True, type=_output(".csv", ".parquet"), help="a .csv or .parquet file")
    parser.add_argument("-k", type=_count, default=10, help="molecules for each profile (default: 10)")
    parser.add_argument("--id", metavar="COLUMN", help="column that names the profiles (default: their row number)")


def _molecule_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("molecules", metavar="MOLECULES", help="a .smi, .csv, .tsv or .parquet file")
    add("-m", "--model", required=True, help="a file of mocop pretrain or MoCoPEmbedder.save")
    add("--smiles", metavar="COLUMN", help="column of structures (default: Metadata_SMILES or the like)")
    add("--batch-rows", type=_count, default=16384, metavar="N", help="rows in memory at a time (default: 16384)")
    add("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, the GPU when there is one)")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--n-jobs", type=int, metavar="N", help="processes that parse molecules")
    add("-q", "--quiet", action="store_true", help="only errors and counts of bad rows")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, as in 3/8")
    return int(found[1]), int(found[2])


def _output(*suffixes: str) -> Callable[[str], Path]:
    def check(text: str) -> Path:
        if suffixes and Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} is no {' or '.join(suffixes)} file")
        if Path(text).is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a directory")
        return Path(text)

    return check


def _parameter_arguments(group: Any) -> None:
    """Add a flag for every parameter of the embedder that a command line can express."""
    from sklearn.utils._param_validation import Interval

    from .embedder import MoCoPEmbedder

    texts = _parameter_texts(inspect.getdoc(MoCoPEmbedder) or "")
    for name, parameter in inspect.signature(MoCoPEmbedder).parameters.items():
        if name in _NO_FLAGS:
            continue
        default = parameter.default
        constraints = MoCoPEmbedder._parameter_constraints[name]
        options: dict[str, Any]
        if constraints == ["boolean"]:
            options = {"action": argparse.BooleanOptionalAction}
        elif isinstance(default, tuple):
            options = {"nargs": "+"} | _value_options([Interval(Integral, 1, None, closed="left")])
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
    return {name: " ".join(text.replace("[1]_", "the paper").split()) for name, text in plain.items()}


def _value_options(constraints: list[Any]) -> dict[str, Any]:
    """``type`` and ``metavar`` of a flag, from those of scikit-learn's constraints that a word can satisfy."""
    from sklearn.utils._param_validation import Interval, StrOptions, make_constraint

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


# ---------------------------------------------------------------------------------------------
# Commands
# ---------------------------------------------------------------------------------------------


def _pretrain(args: argparse.Namespace) -> None:
    """Train a model on one or several tables of wells.

    Wells of one molecule are its replicates. Wells without a structure are left out and counted.
    Ctrl-C ends the training; the best weights so far are written then, with exit status 130.
    """
    from .embedder import MoCoPEmbedder
    from .pairs import read_pairs
    from .runtime import atomic_write

    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(args).items()}
    given: dict[str, Any] = {name: flags[name] for name in MoCoPEmbedder().get_params(deep=False) if name in flags}
    make: Any = MoCoPEmbedder.paper if args.paper else MoCoPEmbedder
    with atomic_write(args.out) as temporary:
        source = read_pairs(args.wells, args.smiles, args.features, args.columns)
        embedder = make(**given, pairs=source, verbose=int(not args.quiet and sys.stderr.isatty()))
        embedder.fit(source.molecules)
        if not embedder.n_iter_:
            raise KeyboardInterrupt
        embedder.save(temporary)
    if not args.quiet:
        _print_table(
            molecules=f"{len(embedder.molecule_keys_):,} ({len(source):,} wells)",
            features=f"{source.profiles.shape[1]:,}",
            epochs=_epochs(embedder.n_iter_, embedder.best_score_),
            digest=embedder.digest_,
            file=f"{args.out} ({_megabytes(args.out)})",
        )


def _embed(args: argparse.Namespace) -> None:
    """Turn the molecules of a file into embeddings, in bounded memory.

    The output has one row per row of the input, in its order; rows that are no molecules are NaN and
    are counted. Every line of a .smi file is a row. In .parquet and .csv files the columns are `row`
    (from 0), the structure, for a .smi file the name, and one float32 column per dimension. An .npy
    file holds the matrix alone.

    Shard I of N has the rows from R (I - 1) / N up to R I / N of all R, rounded down: the shards,
    concatenated in order, are the whole.
    """
    from .tables import MoleculeFile, embedding_writer

    embedder = _load(args, args.output)
    library = MoleculeFile(args.molecules, args.smiles)
    shard, n_shards = args.shard
    rows = range(library.n_rows * (shard - 1) // n_shards, library.n_rows * shard // n_shards)
    names = embedder.get_feature_names_out().tolist()
    with embedding_writer(args.out, library.columns, names, len(rows)) as write:
        for frame, z in _embedded(args, embedder, library, rows):
            write(frame, z)
    if not args.quiet:
        _say(f"{len(rows):,} rows embedded in {args.out}")


def _load(args: argparse.Namespace, output: str) -> Any:
    from .embedder import MoCoPEmbedder

    return MoCoPEmbedder.load(
        args.model, invalid="nan", output=output, device=args.device, precision=args.precision, n_jobs=args.n_jobs
    )


def _embedded(args: argparse.Namespace, embedder: Any, library: Any, rows: range) -> Iterator[tuple[Any, Any]]:
    """Yield rows of the molecule file and their embeddings; in the end, report the bad rows."""
    import numpy as np
    from tqdm import tqdm

    n_bad = 0
    examples: list[str] = []
    # disable=None: a bar only where stderr is a terminal
    with tqdm(total=len(rows), unit=" molecules", disable=True if args.quiet else None) as progress:
        for frame in library.batches(args.batch_rows, rows):
            values = frame[library.columns[0]].tolist()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # one for each batch
                z = embedder.transform(values)
            yield frame, z
            bad = np.flatnonzero(np.isnan(z).all(axis=1))
            examples += [f"row {frame.index[i]} {values[i]!r:.60}" for i in bad[: 5 - len(examples)]]
            n_bad += len(bad)
            progress.update(len(z))
    if n_bad:
        more = ", ..." if n_bad > len(examples) else ""
        _say(f"{n_bad:,} of {len(rows):,} rows are not valid molecules: {', '.join(examples)}{more}")


def _retrieve(args: argparse.Namespace) -> None:
    """Find, for each profile, the molecules that lie nearest to it in the shared space.

    The output has the columns `query` (--id, or the number of the row), `rank` (from 1), `row` (of the
    molecule, from 0), `smiles`, for a .smi file `name`, and `similarity` (cosine). A molecule that is
    listed more than once, in the same words, is one candidate.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from .tables import write_table

    embedder = _load(args, "projection")
    query, queries = _queries(args, embedder)
    library, z = _library(args, embedder)
    k = min(args.k, len(library))
    neighbors = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=args.n_jobs).fit(z)
    distance, nearest = neighbors.kneighbors(queries)  # (n_queries, k)
    table = library.iloc[nearest.ravel()].reset_index(drop=True)
    table.insert(0, "query", np.repeat(query, k))
    table.insert(1, "rank", np.tile(np.arange(1, k + 1), len(query)))
    table["similarity"] = 1 - distance.ravel() ** 2 / 2  # of unit vectors
    write_table(table, args.out)
    if not args.quiet:
        _say(f"the nearest {k} of {len(library):,} molecules for each of {len(query):,} profiles are in {args.out}")


def _queries(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Names of the profiles that hold a value, and their unit vectors."""
    import numpy as np

    from .profiles import check_profiles, feature_columns
    from .tables import read_table

    profiles = read_table(args.profiles)
    if args.id is not None and args.id not in profiles.columns:
        raise ValueError(f"{args.profiles!r} has no column {args.id!r}.")
    numeric = feature_columns(profiles)
    names = embedder.model_.profile_features or numeric
    lacking = [name for name in names if name not in set(numeric)]
    if lacking:
        raise ValueError(
            f"{args.profiles!r} lacks {len(lacking)} of the model's {len(names)} features: {lacking[:10]}."
        )
    matrix, _ = check_profiles(profiles[names], name=repr(args.profiles))
    measured = np.isfinite(matrix).any(axis=1)
    if not measured.all():
        _say(f"{(~measured).sum():,} of {len(profiles):,} profiles hold no finite value and are left out")
    if not measured.any():
        raise ValueError(f"{args.profiles!r} holds no profiles.")
    query = (profiles.index if args.id is None else profiles[args.id]).to_numpy()
    return query[measured], embedder.transform_profiles(matrix[measured])


def _library(args: argparse.Namespace, embedder: Any) -> tuple[Any, Any]:
    """Row, structure and name of each distinct valid molecule, and their unit vectors."""
    import numpy as np
    import pandas as pd

    from .tables import MoleculeFile

    molecules = MoleculeFile(args.molecules, args.smiles)
    frames, vectors = zip(*_embedded(args, embedder, molecules, range(molecules.n_rows)), strict=True)
    table, z = pd.concat(frames), np.concatenate(vectors)
    table = table.rename(columns={molecules.columns[0]: "smiles"}).rename_axis("row").reset_index()
    candidates = ~np.isnan(z).all(axis=1) & ~table["smiles"].duplicated().to_numpy()
    if not candidates.any():
        raise ValueError(f"{args.molecules!r} holds no valid molecule.")
    return table[candidates], z[candidates]


def _info(args: argparse.Namespace) -> None:
    """Describe a model file."""
    from .checkpoint import content_digest, read_file

    header, arrays = read_file(args.model, "model")
    model, record = header["model"], header["record"]
    summary: dict[str, Any] = {
        "file": args.model,
        "format_version": header["format_version"],
        "digest": content_digest(model, arrays),
        "n_molecules": len(record["molecule_keys"]),
        "n_iter": record["n_iter"],
        "best_score": record["best_score"],
        "n_features": model["n_profile_columns"],
        "features": model["profile_features"],
        "standardize": model["standardize"],
        "profile_transformer": model["profile_transformer"]["estimator"],
        "parameters": record["parameters"] | model["architecture"],
        "versions": record["versions"],
        "history": record["history"],
    }
    if args.json:
        # JSON lacks NaN and infinities
        print(json.dumps(json.loads(json.dumps(summary), parse_constant=lambda _: None), indent=2))
        return
    names = summary["features"] or ["without names"]
    parameters = (f"{name}={value!r}" for name, value in summary["parameters"].items() if value is not None)
    _print_table(
        file=f"{args.model} (format version {summary['format_version']}, {_megabytes(args.model)})",
        digest=summary["digest"],
        molecules=f"{summary['n_molecules']:,} seen in pretraining",
        epochs=_epochs(summary["n_iter"], summary["best_score"]),
        features=f"{summary['n_features']:,}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}",
        standardize=str(summary["standardize"]),
        transformer=f"{summary['profile_transformer']}, {model['architecture']['n_profile_features']:,} features out",
        parameters=", ".join(parameters),
        versions=", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    )


def _epochs(n_iter: int, best_score: float) -> str:
    validation = "no validation" if math.isnan(best_score) else f"best validation score {best_score:.3f}, chance 0"
    return f"{n_iter} ({validation})"


def _megabytes(path: Any) -> str:
    return f"{os.path.getsize(path) / 1e6:.1f} MB"


def _print_table(**rows: str) -> None:
    for name, text in rows.items():
        print(textwrap.fill(text, 116, initial_indent=f"{name:<13}", subsequent_indent=" " * 13,
                            break_long_words=False, break_on_hyphens=False))  # fmt: skip
