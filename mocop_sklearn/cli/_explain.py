"""``mocop explain``."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._molecules import inference_parameters, molecule_arguments, worked_on
from ._shared import count, refuse_to_replace, say

_OWN = ("row", "score", "reference", "attributions", "invalid")  # entries of a row


def explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``explain``."""
    molecule_arguments(parser, model="a file of mocop finetune; or, with --profiles, an embedder")
    add = parser.add_argument
    add("-o", "--out", required=True, type=_out, help="an .html page, a .json file, or a folder for .svg files")
    add("--task", metavar="NAME", help="the target or the class that is explained, where there are several")
    add("--profiles", metavar="PROFILES",
        help="a table of normalised profiles, or a corpus of mocop build: explain why the molecules are near to one "
        "of them")  # fmt: skip
    add("--profile-row", type=int, default=0, metavar="N", help="which of the profiles, from 0 (default: 0)")
    add("--by", choices=("masking", "gradient"), default="masking", help="how (default: masking)")
    add("--n-orders", type=count, default=8, metavar="N",
        help="of masking: orders in which atoms are put back (default: 8)")  # fmt: skip


def _out(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in ("", ".html", ".json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a folder nor does it end in .html or .json")
    if path.exists() and path.is_dir() != (path.suffix == ""):
        raise argparse.ArgumentTypeError(f"{text!r} exists already and is {'a' if path.is_dir() else 'not a'} folder")
    return path


def explain(args: argparse.Namespace) -> None:
    """Tell which atoms a prediction rests on, for the molecules of a file.

    What is explained is the log-odds of a class, the logarithm of the probability of one of several
    classes, or the predicted number. With --profiles it is the cosine that the network gives the molecule
    and a profile. By masking, atoms leave the molecule and come back in random orders; the attribution of an atom is
    the mean change at its turn. Attributions add up to `score` less `reference`, the score of one atom
    without features.

    An .html page shows the molecules with an orange circle around atoms that raise the score and a blue
    one around those that lower it. A folder gets a drawing for each row (row-000000.svg). A .json file
    has for each row `row`, the structure, for a .smi or .sdf file the name, those of --keep, `score`,
    `reference` and `attributions`, in the order of the atoms in the structure; null for an atom that
    standardisation takes away. `invalid` says why a row is not a molecule.
    """
    from ..tables._molecules import MoleculeFile
    from ..utils._files import atomic_write

    refuse_to_replace(args.out, args.molecules, args.model, args.profiles)
    estimator, profiles = _load(args)
    library = MoleculeFile(args.molecules, args.smiles, args.keep)
    taken = [name for name in library.columns if name in _OWN]
    if taken:
        raise ValueError(
            f"{str(args.out)!r} would have two entries called {taken[0]!r}. Rename one of them in the input."
        )
    args.batch_rows = min(args.batch_rows, 256)  # so that the progress is seen

    def work(values: list[Any]) -> tuple[list[dict[str, Any]], dict[int, str]]:
        return _explained(args, estimator, profiles, values)

    entries: list[dict[str, Any]] = []
    for batch, found in worked_on(args, library, range(library.n_rows), work):
        cells = [dict(zip(batch.columns, row, strict=True)) for row in zip(*batch.columns.values(), strict=True)]
        entries += [{"row": row} | cell | part for row, cell, part in zip(batch.rows, cells, found, strict=True)]
    if args.out.suffix == "":
        _draw_files(args.out, entries, library.columns[0])
    else:
        if args.out.suffix.lower() == ".html":
            target = args.task or next(iter(getattr(estimator, "task_names_", [])), "")
            text = _page(args, target, entries, library.columns)
        else:
            text = json.dumps(entries)
        with atomic_write(args.out) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
    if not args.quiet:
        say(f"{sum('score' in entry for entry in entries):,} of {len(entries):,} rows are explained in {args.out}")


def _load(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return the estimator, and the profile as a matrix of one row where there is one."""
    from ..embedder import MoCoPEmbedder
    from ._predict import load_fine_tuned

    parameters = inference_parameters(args) | {"invalid": "nan"}
    if args.profiles is None:
        return load_fine_tuned(args.model, **parameters), None
    embedder = MoCoPEmbedder.load(args.model, **parameters)
    return embedder, _profile(args, embedder.model_.profile_features)


def _profile(args: argparse.Namespace, features: list[str] | None) -> Any:
    import pandas as pd

    from ..pairs._pairs import PairedProfiles
    from ..pairs._store import is_store
    from ..pairs._wells import profiles_of_table

    if is_store(args.profiles):
        pairs = PairedProfiles.open(args.profiles)
        names, matrix = pairs.feature_names, pairs.profiles
    else:
        _, names, matrix = profiles_of_table(args.profiles, features)
    if not 0 <= args.profile_row < len(matrix):
        raise ValueError(f"profile_row={args.profile_row}, but {args.profiles!r} has {len(matrix):,} rows, from 0.")
    row = matrix[args.profile_row : args.profile_row + 1]
    return pd.DataFrame(row, columns=names) if names else row


def _reasons(estimator: Any, values: list[Any], rows: list[int]) -> dict[int, str]:
    """Return why the values of some rows are not molecules."""
    from ..molecules._featurize import featurize

    if not rows:
        return {}
    model = estimator.model_
    found = featurize(
        [values[row] for row in rows],
        model.architecture.featurizer,
        model.standardize,
        max_atoms=estimator.max_atoms,
        n_jobs=estimator.n_jobs,
    )
    return {row: found.reasons[i] for i, row in enumerate(rows)}


def _explained(
    args: argparse.Namespace, estimator: Any, profiles: Any, values: list[Any]
) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Return what is known of each value, and the reason for each that is not a molecule."""
    import warnings

    import numpy as np
    from rdkit.rdBase import BlockLogs

    from ..inspection import atom_attributions

    with warnings.catch_warnings(), BlockLogs():
        warnings.filterwarnings("ignore", r"\d+ of \d+ rows of X are not valid molecules", UserWarning)
        found, scores, references = atom_attributions(
            estimator,
            values,
            method=args.by,
            profiles=profiles,
            task=_task(estimator, args.task),
            n_orders=args.n_orders,
            return_scores=True,
        )
    entries: list[dict[str, Any]] = []
    reasons = _reasons(estimator, values, [i for i, atoms in enumerate(found) if atoms is None])
    for i, atoms in enumerate(found):
        if atoms is None:
            entries.append({"invalid": reasons[i]})
            continue
        numbers = [None if np.isnan(a) else round(float(a), 6) for a in atoms]
        entries.append({"score": float(scores[i]), "reference": float(references[i]), "attributions": numbers})
    return entries, reasons


def _task(estimator: Any, name: str | None) -> Any:
    """Return a class as the estimator has it, because on the command line it is a text; of several targets, a name."""
    has_classes = len(getattr(estimator, "task_names_", ())) == 1 and len(getattr(estimator, "classes_", ())) > 2
    classes = estimator.classes_.tolist() if has_classes else []
    return next((label for label in classes if str(label) == name), name)


def _scale(entries: Sequence[dict[str, Any]]) -> float:
    known = [abs(a) for entry in entries for a in entry.get("attributions", ()) if a is not None]
    return max(known, default=0.0)


def _drawing(entry: dict[str, Any], column: str, scale: float) -> str:
    import numpy as np

    from ..inspection import draw_attributions

    return draw_attributions(entry[column], np.array(entry["attributions"], dtype=float), scale=scale)


def _draw_files(folder: Path, entries: Sequence[dict[str, Any]], column: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scale = _scale(entries)
    for entry in entries:
        if "attributions" in entry:
            path = folder / f"row-{entry['row']:06d}.svg"
            path.write_text(_drawing(entry, column, scale), encoding="iso-8859-1")  # as its first line says


def _page(args: argparse.Namespace, target: str, entries: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    from ..inspection._page import Section, page, paragraph
    from ..utils._html import element, grid_table

    scale = _scale(entries)
    rows = []
    for entry in entries:
        texts = [entry["row"], *(entry[name] or "" for name in columns)]
        if "attributions" not in entry:
            rows.append([*texts, "", f"not a molecule: {entry['invalid']}"])
            continue
        drawing = base64.b64encode(_drawing(entry, columns[0], scale).encode("iso-8859-1")).decode()
        source = f"data:image/svg+xml;base64,{drawing}"
        image = element("img", src=source, alt=f"attributions of {entry[columns[0]]}", width="300")
        rows.append([*texts, f"{entry['score']:.4g}", image])
    table = grid_table(["row", *columns, "score", f"attributions, full colour at {scale:.3g}"], rows)
    asked = f"the retrieval of row {args.profile_row} of {args.profiles}" if args.profiles else target or "the target"
    words = "An orange circle raises the score, a blue one lowers it. All drawings have one scale."
    return page(
        "What predictions rest on", f"{args.model}: {asked}, by {args.by}", [paragraph(words)],
        [Section("molecules", "Molecules", [table])],
    )  # fmt: skip
