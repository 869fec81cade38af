"""``mocop finetune``, and the model of labels that ``mocop evaluate`` trains as well."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

from ._labels import Labels, read_labels, table_arguments
from ._parameters import NO_FLAGS_OF_FINE_TUNING, given_parameters, parameter_arguments
from ._shared import fine_tuning_text, megabytes, output, print_table, refuse_to_replace, say


class GroupsAndFraction(argparse.Action):
    """Two values of an option: the groups that a split keeps whole, and the share of one part."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Check the values and set them."""
        groups, text = values
        try:
            fraction = float(text)
        except ValueError:
            fraction = math.nan
        if groups not in ("scaffold", "molecule") or not 0 < fraction < 1:
            raise argparse.ArgumentError(self, f"'{groups} {text}' is not scaffold or molecule and a share, as in 0.2")
        setattr(namespace, self.dest, (groups, fraction))


def finetune_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    """Add the arguments of ``finetune``."""
    parser.usage = "%(prog)s TABLE --target COLUMN [COLUMN ...] [-m MODEL] -o FILE [options]"
    table_arguments(parser)
    parser.add_argument("-o", "--out", required=True, type=output(), metavar="FILE", help="the model file to write")
    parser.add_argument("--domain", action=argparse.BooleanOptionalAction, default=True,
                        help="whether the file holds the training molecules, so that mocop predict tells which "
                        "molecules are near them (default: it does)")  # fmt: skip
    fine_tuning_arguments(parser, with_parameters)


def fine_tuning_arguments(parser: argparse.ArgumentParser, with_parameters: bool) -> None:
    """Add the arguments about the training on labels."""
    add = parser.add_argument
    add("--validation", nargs=2, action=GroupsAndFraction, metavar=("GROUPS", "SHARE"),
        help="let this share of the scaffolds or molecules choose the best epoch, as in: --validation scaffold 0.1 "
        "(default: all rows are trained on, and the last epoch is kept)")  # fmt: skip
    add("--paper", action="store_true", help="start from the recipe of the paper, arXiv 2305.09790")
    add("-q", "--quiet", action="store_true", help="print neither progress nor summary")
    if with_parameters:
        from ..classifier import MoCoPClassifier

        group = parser.add_argument_group("parameters of the model and of its training")
        parameter_arguments(group, MoCoPClassifier, NO_FLAGS_OF_FINE_TUNING)


def finetune(args: argparse.Namespace) -> None:
    """Train a model on measurements of molecules: classes or numbers, one target or many.

    Rows of one molecule are its replicates. A cell that is empty was not measured. The targets are
    classes if they hold words, 0 and 1, true and false, or for one target any two numbers, and else
    numbers; what was found is printed, and --task says otherwise. Of several targets, all must hold
    numbers, or all 0, 1 and empty cells. The file remembers the names of the targets and, unless
    --no-domain is given, the structures of the training molecules.
    """
    refuse_to_replace(args.out, args.table, args.model)
    labels = read_labels(args)
    _check_names(args, labels.names)
    if not args.quiet:
        found = " (found in the data; --task says otherwise)" if args.task == "auto" else ""
        say(f"{', '.join(labels.names)}: {labels.kind()}{found}")
    estimator = fine_tuned(args, labels)
    if args.domain:
        estimator.domain_ = _domain(estimator, labels)
    estimator.save(args.out)
    if not args.quiet:
        print_table(
            rows=f"{len(labels.structures):,}",
            targets="\n".join(f"{name}: {text}" for name, text in labels.summaries().items()),
            start=args.model or "random weights",
            networks=f"{len(estimator.weights_)}",
            domain=domain_text(estimator),
            epochs=fine_tuning_text(estimator.n_iter_, estimator.best_score_, labels.task == "regression"),
            file=f"{args.out} ({megabytes(args.out)})",
        )


def _check_names(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse targets with which ``mocop predict`` would write two columns of one name, before hours of training."""
    from ..classifier import MoCoPClassifier

    columns = ["row", "invalid", *(["nearest", "similarity", "inside"] if args.domain else [])]
    if given_parameters(args, MoCoPClassifier, NO_FLAGS_OF_FINE_TUNING).get("n_estimators", 1) > 1:
        columns += [f"{name}_std" for name in names]
    taken = [name for name in names if name in columns]
    if taken:
        raise ValueError(
            f"The target {taken[0]!r} has the name of another column that mocop predict writes: rename it in the table."
        )


def fine_tuned(args: argparse.Namespace, labels: Labels, rows: Sequence[int] | None = None) -> Any:
    """Return a classifier or regressor that was trained on some rows, with the names of the targets."""
    from ..classifier import MoCoPClassifier
    from ..regressor import MoCoPRegressor

    cls: Any = MoCoPClassifier if labels.task == "classification" else MoCoPRegressor
    given = given_parameters(args, MoCoPClassifier, NO_FLAGS_OF_FINE_TUNING)
    if labels.task == "regression" and given.pop("class_weight", None) is not None:
        raise ValueError("--class-weight is for classes, but the targets hold numbers.")
    if args.validation is not None:
        given["validation_groups"], given["validation_fraction"] = args.validation
    verbose = int(not args.quiet and sys.stderr.isatty())
    make = cls.paper if args.paper else cls
    estimator = make(**given, pretrained=args.model, verbose=verbose)
    structures = labels.structures if rows is None else [labels.structures[row] for row in rows]
    estimator.fit(structures, labels.y(rows))
    estimator.task_names_ = list(labels.names)
    return estimator


def _domain(estimator: Any, labels: Labels) -> Any:
    """Return the applicability domain of the molecules that have a label."""
    from ..inspection import ApplicabilityDomain
    from ..molecules import canonical_smiles

    standardize = estimator.model_.standardize
    measured = [row for row, cells in enumerate(zip(*labels.columns, strict=True)) if any(c is not None for c in cells)]
    structures = [labels.structures[row] for row in measured]
    smiles = canonical_smiles(structures, standardize, estimator.max_atoms, estimator.n_jobs)
    distinct = sorted({text for text in smiles if text is not None})
    n_neighbors = max(1, min(ApplicabilityDomain().n_neighbors, len(distinct) - 1))
    return ApplicabilityDomain(n_neighbors=n_neighbors, standardize=standardize).fit(distinct)


def domain_text(estimator: Any) -> str:
    """Return what the applicability domain of an estimator is."""
    domain = getattr(estimator, "domain_", None)
    if domain is None:
        return "none"
    return (
        f"similarity of {domain.offset_:.3f} or more to {domain.n_neighbors} of {len(domain.molecules_):,} training "
        "molecules on average"
    )
