"""``mocop predict``."""

from __future__ import annotations

import argparse
from typing import Any

from .._version import __version__
from ._molecules import inference_parameters, molecule_arguments, rows_of_shard, shard_argument, worked_on
from ._shared import in_words_of_the_shell, output, refuse_to_replace, say


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``predict``."""
    molecule_arguments(parser, model="a file of mocop finetune")
    parser.add_argument("-o", "--out", required=True, type=output(".csv", ".parquet"), help="a .csv or .parquet file")
    parser.add_argument("--domain", action=argparse.BooleanOptionalAction, default=True,
                        help="whether to say how near molecules are to those of training, which takes longer than the "
                        "prediction (default: yes, if the file holds these)")  # fmt: skip
    shard_argument(parser)


def predict(args: argparse.Namespace) -> None:
    """Predict the targets of a fine-tuned model for the molecules of a file, in bounded memory.

    The output has one row per row of the input, in its order. Its columns are `row` (from 0), the
    structure, for a .smi or .sdf file the name, those of --keep, and for each target:

    TARGET         the predicted number; for classes 0 and 1 the probability of 1; for other classes
                   the most probable one
    TARGET_CLASS   for other classes, the probability of each of them
    ..._std        the standard deviation among the networks, for a model of two or more
                   (mocop finetune --n-estimators)

    If the file holds the training molecules, three columns say how near the molecule is to them:

    nearest        the most similar training molecule, other than the molecule itself
    similarity     to it (Tanimoto, ECFP4 counts)
    inside         1 inside the applicability domain, 0 outside: do not trust that prediction

    The last column, `invalid`, says why a row is not a molecule. Nothing is predicted for such a row.
    --shard is as for mocop embed.
    """
    from ..tables._embeddings import molecule_columns
    from ..tables._molecules import MoleculeFile
    from ..tables._rows import row_writer

    refuse_to_replace(args.out, args.molecules, args.model)
    estimator = load_fine_tuned(args.model, **inference_parameters(args))
    if not args.domain:
        vars(estimator).pop("domain_", None)
    library = MoleculeFile(args.molecules, args.smiles, args.keep)
    rows = rows_of_shard(args, library.n_rows)
    kinds = {name: str if a.dtype == object else float for name, a in estimator.predict_table(["C"]).items()}
    names = molecule_columns(library.columns, list(kinds))
    record = {"version": __version__, "model": estimator.model_.digest, "targets": estimator.task_names_}

    def work(values: list[Any]) -> tuple[list[Any], dict[int, str]]:
        table = estimator.predict_table(values)
        reasons = {i: in_words_of_the_shell(reason, args) for i, reason in enumerate(table["invalid"]) if reason}
        reasons |= {i: library.why_missing for i, value in enumerate(values) if value is None}
        table["invalid"] = [reasons.get(i) for i in range(len(values))]
        return [_texts(column) if kinds[name] is str else column for name, column in table.items()], reasons

    with row_writer(args.out, [*((name, str) for name in names), *kinds.items()], len(rows), record) as write:
        for batch, columns in worked_on(args, library, rows, work):
            write(batch.rows, [*batch.columns.values(), *columns])
    if not args.quiet:
        say(f"{', '.join(estimator.task_names_)}: predictions for {len(rows):,} rows are in {args.out}")


def _texts(column: Any) -> list[str | None]:
    return [None if value is None else str(value) for value in column]


def load_fine_tuned(path: str, **parameters: Any) -> Any:
    """Return the classifier or regressor of a file.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file cannot be read, or holds a model that predicts nothing.
    """
    from ..classifier import MoCoPClassifier
    from ..model_file._format import FINE_TUNED, MODEL, read_file
    from ..model_file._shipped import path_of
    from ..regressor import MoCoPRegressor

    header, _ = read_file(path_of(path), MODEL, FINE_TUNED)
    if header["kind"] == MODEL:
        raise ValueError(
            f"{path!r} holds an embedder, which predicts no assay. Make a model of labels: mocop finetune."
        )
    cls: Any = MoCoPRegressor if header.get("estimator") == "MoCoPRegressor" else MoCoPClassifier
    estimator = cls.load(path, **parameters)
    if hasattr(estimator, "domain_"):
        estimator.domain_.set_params(n_jobs=estimator.n_jobs)
    return estimator
