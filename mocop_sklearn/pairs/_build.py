"""Plates → a stored corpus, one file at a time, so that memory is bounded by the largest of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ..molecules._parse import Standardize, check_standardize
from ..profiles._filter import ProfileFilter
from ..profiles._normalizer import ProfileNormalizer
from ..utils._files import atomic_write
from ..utils._names import describe_callable
from ._assembly import Finish, assemble
from ._pairs import PairedProfiles
from ._plates import PlatePlan, identify, plain_text, write_part

_NORMALIZER_COLUMNS = {
    "plate_column": "set plate_columns of build_pairs",
    "control_column": "set control_column of build_pairs",
    "control_label": "set control_label of build_pairs",
    "batch_column": "batches are those of Metadata_Batch",
}


def build_pairs(
    path: Any,
    plates: Sequence[Any],
    *,
    metadata: Sequence[Any] = (),
    smiles: str | None = None,
    plate_columns: str | Sequence[str] = (),
    control_column: str | None = None,
    control_label: str | Sequence[str] = (),
    dose_column: str | None = None,
    weight_column: str | None = None,
    features: Sequence[str] = (),
    columns: str = "same",
    missing_files: str = "raise",
    keep: Mapping[str, Sequence[str]] | None = None,
    exclude: Mapping[str, Sequence[str]] | None = None,
    controls: str = "exclude",
    hold_out: Sequence[str] = (),
    repeated_wells: str = "keep",
    max_wells: int | None = None,
    normalizer: Any = None,
    feature_filter: ProfileFilter | None = None,
    standardize: Standardize = "parent",
    dtype: str = "float16",
    clip: float | None = 100.0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> PairedProfiles:
    """Normalise plates and store them, with their molecules, as a corpus to pretrain on.

    Every file is read once, normalised, and written to a part of its own; the parts then become one memory-mapped
    matrix. A build that was killed goes on where it was: the parts lie in ``{path}.partial``, and the result is
    byte-equal to that of a build without a break. The disk needs twice the size of the store.

    Parameters
    ----------
    path : str or Path
        The folder to make. Where it holds the result of the same build, that is opened.
    plates : sequence of str or Path
        Parquet, CSV or TSV files with one row per well: one plate, or several. Objects with a ``name`` and a
        context manager ``local()`` that yields a path, as from :func:`mocop_sklearn.datasets.jump_cp_plates`, are
        files that come when they are needed.
    metadata : sequence of str, Path or DataFrame
        Tables that are joined to the wells on the ``Metadata_*`` columns which they share, such as JUMP's of plates,
        wells and compounds. Each must have at most one row per combination of these.
    smiles : str, optional
        The column of structures; by default ``Metadata_SMILES``, ``Metadata_InChI`` or the like.
    plate_columns : str or sequence of str, optional
        What tells plates apart; by default those of ``Metadata_Source``, ``Metadata_Batch`` and ``Metadata_Plate``
        that there are, or else the file. Only wells of one file are taken for one plate.
    control_column, control_label : str (or sequence of str), optional
        The negative controls, as in ``ProfileNormalizer``. By default ``Metadata_IsNegcon``, or where there is no
        such column the wells with dimethyl sulfoxide.
    dose_column, weight_column : str, optional
        Numeric columns to keep as ``doses`` and ``sample_weight``.
    features : sequence of str
        Names of feature columns, or patterns like ``Cells_*``; by default all but ``Metadata_*``.
    columns : {"same", "intersection", "union"}, default="same"
        Files with different features: an error, the features that all have, or all features with NaN.
    missing_files : {"raise", "skip"}, default="raise"
        Files that are not there: an error, or left out and counted.
    keep, exclude : dict of column to values, optional
        Store only, or do not store, the wells with these values: ``keep={"Metadata_PlateType": ["COMPOUND"]}``,
        ``exclude={"Metadata_JCP2022": JUMP_POSITIVE_CONTROLS}``.
    controls : {"exclude", "keep"}, default="exclude"
        Whether the negative controls are stored, as the molecule that they are.
    hold_out : sequence of str
        Molecules to leave out of the store and of all its statistics, with their salts and stereoisomers.
    repeated_wells : {"keep", "first", "raise"}, default="keep"
        Rows with the plate and the well of an earlier row.
    max_wells : int, optional
        At most so many wells of a molecule, spread over the files: for positive controls with thousands.
    normalizer : ProfileNormalizer or "passthrough", default=None
        Applied to each file, the plates in it one by one. None: ``ProfileNormalizer()``. Its columns are those of
        this function. With ``whiten``, batches (``Metadata_Batch``, else the file) must each be in one file.
    feature_filter : ProfileFilter, optional
        Drops columns by exact moments, merged over the files, of all wells that may be stored (``repeated_wells`` and
        ``max_wells`` come later), before clipping. Rules that need more (repeats, correlation) belong into
        ``profile_transformer``.
    standardize : {"parent", None} or callable, default="parent"
        As in ``MoCoPEmbedder``.
    dtype : {"float16", "float32"}, default="float16"
    clip : float or None, default=100.0
        Limit of the stored values, in the normaliser's unit. None, for float32 alone: no limit.
    n_jobs : int, default=None
        Processes, each of which holds one file at a time.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    PairedProfiles
        ``report_`` counts what became of every well.

    Raises
    ------
    ValueError
        Naming the file: when it cannot be read, has no rows, lacks columns, holds text among numbers, or has a plate
        without controls. When ``path`` holds something else, and when no well is left.

    Examples
    --------
    >>> import tempfile
    >>> from mocop_sklearn import build_pairs
    >>> from mocop_sklearn.datasets import make_paired_profiles
    >>> folder = tempfile.mkdtemp()
    >>> wells = make_paired_profiles(n_molecules=50, n_features=20, as_frame=True, random_state=0).frame
    >>> wells.to_parquet(f"{folder}/wells.parquet")
    >>> pairs = build_pairs(f"{folder}/wells.pairs", [f"{folder}/wells.parquet"])
    >>> pairs, pairs.report_["fates"]["control"]
    (PairedProfiles(200 rows, 20 features), 64)
    """
    path = Path(path)
    choices = {
        "columns": columns,
        "controls": controls,
        "repeated_wells": repeated_wells,
        "missing_files": missing_files,
        "dtype": dtype,
    }
    _check(choices, clip)
    checked_normalizer = _normalizer(normalizer)
    check_standardize(standardize)
    for name, values in (("plates", plates), ("metadata", metadata)):
        if isinstance(values, (str, os.PathLike)) or hasattr(values, "columns"):
            raise TypeError(f"{name} must be a list of files, got one {type(values).__name__}: put it into a list.")
    files = [plate if hasattr(plate, "local") else Path(plate) for plate in plates]
    if not files:
        raise ValueError("There are no plates: give at least one file.")
    if max_wells is not None and max_wells < 1:
        raise ValueError(f"max_wells must be at least 1, got {max_wells!r}.")
    finish = Finish(columns, repeated_wells, max_wells, feature_filter)
    if path.exists():
        PairedProfiles.open(path)  # or else say what it is
    partial = path.with_name(f"{path.name}.partial")
    lock = path.with_name(f"{path.name}.partial.lock")  # not in the folder, which goes while others wait
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        partial.mkdir(exist_ok=True)
        plan = PlatePlan(
            tables=_local_tables(metadata, partial),
            smiles=smiles,
            plate_columns=_texts(plate_columns),
            control_column=control_column,
            control_label=_texts(control_label),
            dose_column=dose_column,
            weight_column=weight_column,
            features=_texts(features),
            missing_files=missing_files,
            keep=tuple((column, _texts(values)) for column, values in (keep or {}).items()),
            exclude=tuple((column, _texts(values)) for column, values in (exclude or {}).items()),
            controls=controls,
            hold_out=_held_out_keys(hold_out, standardize),
            normalizer=checked_normalizer,
            standardize=standardize,
            dtype=dtype,
            clip=clip,
        )
        names = _names(files)
        recipe = _recipe(plan, finish, names)
        if not path.exists():
            _check_resumed(partial / "recipe.json", recipe)
            parts = [partial / f"{i:06d}.npz" for i in range(len(files))]
            pending = [i for i, part in enumerate(parts) if not part.exists() or _is_newer(files[i], part)]
            jobs = (delayed(write_part)(plan, files[i], names[i], parts[i]) for i in pending)
            done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
            for _ in tqdm(done, "plates", len(files), initial=len(files) - len(pending), disable=not verbose):
                pass
            shutil.rmtree(partial / "store", ignore_errors=True)
            assemble(partial / "store", parts, finish, plan, recipe)
            os.replace(partial / "store", path)
        pairs = PairedProfiles.open(path)
        shutil.rmtree(partial)
        with suppress(PermissionError):  # Windows keeps what is open
            lock.unlink(missing_ok=True)
    if pairs.recipe_ != recipe or not _same_files(path, pairs, names, files):
        raise ValueError(f"{str(path)!r} holds pairs of another build: remove it, or choose another path.")
    return pairs


def _check(choices: dict[str, str], clip: float | None) -> None:
    allowed = {
        "columns": ("same", "intersection", "union"),
        "controls": ("exclude", "keep"),
        "repeated_wells": ("keep", "first", "raise"),
        "missing_files": ("raise", "skip"),
        "dtype": ("float16", "float32"),
    }
    for name, value in choices.items():
        if value not in allowed[name]:
            raise ValueError(f"{name} must be one of {allowed[name]}, got {value!r}.")
    dtype = choices["dtype"]
    largest = float(np.finfo(np.float16).max) if dtype == "float16" else np.inf
    if (clip is None and dtype == "float16") or (clip is not None and not 0 < clip <= largest):
        raise ValueError(f"clip must be above 0, and at most {largest:.0f} for {dtype}; got {clip!r}.")


def _normalizer(normalizer: Any) -> ProfileNormalizer | None:
    """What is applied to each file; None for ``"passthrough"``."""
    if normalizer is None:
        return ProfileNormalizer()
    if isinstance(normalizer, str) and normalizer == "passthrough":
        return None
    if not isinstance(normalizer, ProfileNormalizer):
        raise ValueError(f'normalizer must be a ProfileNormalizer, None or "passthrough", got {normalizer!r}.')
    defaults = ProfileNormalizer()
    for name, instead in _NORMALIZER_COLUMNS.items():
        given = getattr(normalizer, name)
        if given != getattr(defaults, name) and (name, given) != ("control_column", None):
            raise ValueError(f"The normalizer has {name}={given!r}, which is not looked at here: {instead}.")
    return normalizer


def _names(files: Sequence[Any]) -> list[str]:
    """Names of the files, of paths as seen from the folder that all are in."""
    paths = [Path(os.path.abspath(file)) for file in files if isinstance(file, Path)]
    root = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return [Path(os.path.relpath(f, root)).as_posix() if isinstance(f, Path) else str(f.name) for f in files]


def _texts(values: str | Sequence[Any]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(map(plain_text, values))


def _local_tables(tables: Sequence[Any], folder: Path) -> tuple[str, ...]:
    """Paths of the tables of metadata, which every process reads for itself."""
    paths = []
    for i, table in enumerate(tables):
        if hasattr(table, "to_parquet"):
            path = folder / f"metadata{i}.parquet"
            with atomic_write(path) as temporary:
                table.to_parquet(temporary, index=False)
            paths.append(str(path))
        else:
            paths.append(str(table))
    return tuple(paths)


def _held_out_keys(molecules: str | Sequence[str], standardize: Standardize) -> tuple[str, ...]:
    molecules = [molecules] if isinstance(molecules, str) else molecules
    found = {text: identify(text, standardize) for text in molecules}
    bad = [text for text, item in found.items() if item is None]
    if bad:
        raise ValueError(f"{len(bad)} of the molecules to hold out are none, such as {bad[0]!r}.")
    return tuple(sorted({item[1] for item in found.values() if item is not None}))


# ---------------------------------------------------------------------------------------------
# Telling builds apart
# ---------------------------------------------------------------------------------------------


def _recipe(plan: PlatePlan, finish: Finish, names: list[str]) -> dict[str, Any]:
    """All that decides the content of a store; of the files, their names."""
    options = {f.name: getattr(each, f.name) for each in (plan, finish) for f in fields(each)}
    options["standardize"] = describe_callable(plan.standardize)
    for name in ("normalizer", "feature_filter"):  # their repr leaves out the middle of long lists
        if options[name] is not None:
            options[name] = f"{type(options[name]).__name__}({options[name].get_params()})"
    options["hold_out"] = _digest("\n".join(plan.hold_out).encode())
    options["tables"] = [_digest(Path(table).read_bytes()) for table in plan.tables]
    recipe = {"files": _digest(json.dumps(names).encode()), "n_files": len(names)}
    plain = {name: value if isinstance(value, (str, int, float, list, type(None))) else repr(value)
             for name, value in options.items()}  # fmt: skip
    return recipe | plain


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_newer(file: Any, than: Path) -> bool:
    return isinstance(file, Path) and file.exists() and file.stat().st_mtime_ns > than.stat().st_mtime_ns


def _same_files(path: Path, pairs: PairedProfiles, names: list[str], files: Sequence[Any]) -> bool:
    """Whether the files, where they are at hand, are those that the pairs were made of.

    By their sizes; by their content, too, where they have been written since.
    """
    at_hand = {name: file for name, file in zip(names, files, strict=True) if isinstance(file, Path) and file.exists()}
    for recorded in pairs.files_:
        file = at_hand.get(recorded["name"])
        if file is None:
            continue
        if file.stat().st_size != recorded["bytes"]:
            return False
        if _is_newer(file, path / "header.json"):
            with open(file, "rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != recorded["sha256"]:
                    return False
    return True


def _check_resumed(path: Path, recipe: dict[str, Any]) -> None:
    """See to it that the parts in a folder belong to this build."""
    if path.exists() and any(path.parent.glob("*.npz")):
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in recipe if before.get(name) != recipe[name]]
        if changed:
            raise ValueError(
                f"{str(path.parent)!r} holds the parts of an unfinished build that differs in {changed}: finish that "
                "one, or remove the folder."
            )
    else:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(recipe), encoding="utf-8")
