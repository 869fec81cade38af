"""Plates → a stored corpus, one file at a time, so that memory is bounded by the largest of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from joblib import Parallel, delayed
from sklearn.base import clone
from tqdm.auto import tqdm

from .checkpoint import describe_callable
from .molecules import Standardize, check_standardize
from .normalization import ProfileNormalizer
from .pairs import PairedProfiles
from .plates import Part, PlatePlan, identify, write_part
from .runtime import atomic_write
from .selection import ProfileFilter
from .store import WELL_COLUMNS, Labels, write_store

_MANY_CLIPPED = 0.01
# What becomes of a well, in the order of the checks.
FATES = (
    "not_kept",
    "excluded",
    "control",
    "without_structure",
    "unparsable",
    "held_out",
    "without_values",
    "without_controls",
    "repeated",
    "capped",
    "stored",
)


@dataclass(frozen=True)
class _Finish:
    """How the parts become one; the fields are documented at ``build_pairs``."""

    columns: str
    repeated_wells: str
    max_wells: int | None
    feature_filter: ProfileFilter | None


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
        Applied to each file, the plates in it one by one. None: ``ProfileNormalizer()``.
    feature_filter : ProfileFilter, optional
        Drops columns by the statistics of all stored wells before clipping: exact moments, merged over the files.
        Rules that need more than moments (repeats, correlation) belong into ``profile_transformer``.
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
    >>> from mocop_sklearn.build import build_pairs
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
    _check(choices, clip, normalizer)
    check_standardize(standardize)
    files = [plate if hasattr(plate, "local") else Path(plate) for plate in plates]
    if not files:
        raise ValueError("There are no plates: give at least one file.")
    if max_wells is not None and max_wells < 1:
        raise ValueError(f"max_wells must be at least 1, got {max_wells!r}.")
    finish = _Finish(columns, repeated_wells, max_wells, feature_filter)
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
            normalizer=ProfileNormalizer()
            if normalizer is None
            else None
            if normalizer == "passthrough"
            else normalizer,
            standardize=standardize,
            dtype=dtype,
            clip=clip,
        )
        recipe = _recipe(plan, finish, files)
        if not path.exists():
            _check_resumed(partial / "recipe.json", recipe)
            parts = [partial / f"{i:06d}.npz" for i in range(len(files))]
            pending = [i for i, part in enumerate(parts) if not part.exists()]
            jobs = (delayed(write_part)(plan, files[i], parts[i]) for i in pending)
            done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
            for _ in tqdm(done, "plates", len(files), initial=len(files) - len(pending), disable=not verbose):
                pass
            shutil.rmtree(partial / "store", ignore_errors=True)
            _assemble(partial / "store", [Part(part) for part in parts], finish, plan, recipe)
            os.replace(partial / "store", path)
        pairs = PairedProfiles.open(path)
        shutil.rmtree(partial)
        with suppress(PermissionError):  # Windows keeps what is open
            lock.unlink(missing_ok=True)
    if pairs.recipe_ != recipe:
        raise ValueError(f"{str(path)!r} holds pairs of another build: remove it, or choose another path.")
    return pairs


def _check(choices: dict[str, str], clip: float | None, normalizer: Any) -> None:
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
    if not isinstance(normalizer, (ProfileNormalizer, type(None))) and normalizer != "passthrough":
        raise ValueError(f'normalizer must be a ProfileNormalizer, None or "passthrough", got {normalizer!r}.')


def _texts(values: str | Sequence[Any]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(map(str, values))


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


def _recipe(plan: PlatePlan, finish: _Finish, files: Sequence[Any]) -> dict[str, Any]:
    """All that decides the content of a store, but the content of the files of plates."""
    options = {f.name: getattr(each, f.name) for each in (plan, finish) for f in fields(each)}
    options["standardize"] = describe_callable(plan.standardize)
    for name in ("normalizer", "feature_filter"):  # their repr leaves out the middle of long lists
        if options[name] is not None:
            options[name] = f"{type(options[name]).__name__}({options[name].get_params()})"
    options["hold_out"] = _digest("\n".join(plan.hold_out).encode())
    options["tables"] = [_digest(Path(table).read_bytes()) for table in plan.tables]
    recipe = {"files": _digest("\n".join(str(file.name) for file in files).encode()), "n_files": len(files)}
    plain = {name: value if isinstance(value, (str, int, float, list, type(None))) else repr(value)
             for name, value in options.items()}  # fmt: skip
    return recipe | plain


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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


# ---------------------------------------------------------------------------------------------
# Parts → one store
# ---------------------------------------------------------------------------------------------


def _assemble(folder: Path, parts: list[Part], finish: _Finish, plan: PlatePlan, recipe: dict[str, Any]) -> None:
    """Join the parts in the order of the files."""
    n_files = len(parts)
    parts = [part for part in parts if part.facts["counts"]]
    totals: Counter[str] = Counter()
    for part in parts:
        totals.update(part.facts["counts"] | part.facts["fates"])
    if not totals["stored"]:
        raise ValueError(f"No well is left to store: {dict(totals)}.")
    if plan.normalizer is not None and plan.normalizer.whiten:
        _check_batches(parts)
    names = _common_features(parts, finish.columns)
    support, dropped = _filtered(parts, names, finish.feature_filter)
    kept_names = [name for name, kept in zip(names, support, strict=True) if kept]
    _warn_of_clipping(totals["values_clipped"] / (totals["stored"] * len(names)), plan.clip)

    known = [name for name in (*WELL_COLUMNS, "dose", "weight") if all(part.get(name) is not None for part in parts)]
    wells = {name: np.concatenate([part.get(name) for part in parts]) for name in known}
    all_smiles, all_keys = (np.concatenate([getattr(part, name) for part in parts]) for name in ("smiles", "keys"))
    smiles, first, molecule = np.unique(all_smiles, return_index=True, return_inverse=True)
    repeated = _repeated(wells)
    if repeated.any() and finish.repeated_wells == "raise":
        plate, well = (str(wells[name][repeated][0]) for name in ("plate", "well"))
        raise ValueError(
            f"{repeated.sum()} rows repeat the plate and the well of another, such as {plate!r}, {well!r}: remove "
            "them, say with plate_columns what tells plates apart, or set repeated_wells."
        )
    unwanted = repeated & (finish.repeated_wells == "first")
    capped = _beyond(molecule, ~unwanted, finish.max_wells)
    stored = ~(unwanted | capped)
    used, molecule = np.unique(molecule[stored], return_inverse=True)
    smiles, first = smiles[used], first[used]
    fates = {"repeated": int(unwanted.sum()), "capped": int(capped.sum()), "stored": int(stored.sum())}
    report = {
        "files": n_files,
        "missing_files": n_files - len(parts),
        "plates": totals["plates"],
        "wells": totals["wells"],
        "fates": {name: fates.get(name, totals[name]) for name in FATES},
        "repeated_wells": int(repeated.sum()),
        "molecules": len(smiles),
        "other_names": len(set().union(*(part.facts["names"] for part in parts))) - len(smiles),
        "values_clipped": totals["values_clipped"],
        "values_missing": totals["values_missing"],
        "features_read": len(set().union(*(part.facts["features"] for part in parts))),
        "features_dropped": dropped,
        "features": len(kept_names),
    }
    folder.mkdir()
    write_store(
        folder,
        _blocks(parts, kept_names, stored, plan.dtype),
        dtype=plan.dtype,
        smiles=smiles.tolist(),
        keys=all_keys[first].tolist(),
        molecule=molecule,
        labels={name: Labels.of(wells[name][stored]) for name in WELL_COLUMNS if name in wells},
        numbers={name: wells[name][stored] for name in ("dose", "weight") if name in wells},
        header={
            "feature_names": kept_names,
            "clip": plan.clip,
            "report": report,
            "recipe": recipe,
            "files": [part.facts["file"] for part in parts],
        },
    )


def _warn_of_clipping(share: float, clip: float | None) -> None:
    if share > _MANY_CLIPPED:
        warnings.warn(
            f"{share:.1%} of the values were clipped at {clip}: normalise them, or raise clip.",
            UserWarning,
            stacklevel=4,
        )


def _check_batches(parts: list[Part]) -> None:
    """A batch is whitened on its own controls, and only those of one file are known together."""
    file_of: dict[str, str] = {}
    for part in parts:
        batches = part.get("batch")
        name = part.facts["file"]["name"]
        for batch in set(() if batches is None else batches.tolist()):
            other = file_of.setdefault(batch, name)
            if other != name:
                raise ValueError(
                    f"The batch {batch!r} is spread over {other!r} and {name!r}, and a normalizer with whiten needs it "
                    "in one file: join the plates of a batch, or leave out whiten."
                )


def _common_features(parts: list[Part], columns: str) -> list[str]:
    """Features of the store, in the order of the first file."""
    names = list(dict.fromkeys(name for part in parts for name in part.facts["features"]))
    if columns == "union":
        return names
    for part in parts:
        lacking = sorted(set(names).difference(part.facts["features"]))
        if lacking and columns == "same":
            raise ValueError(
                f"{part.facts['file']['name']!r} lacks {len(lacking)} feature columns that another file has: "
                f'{lacking[:10]}. Choose columns with features, or set columns to "intersection" or "union".'
            )
        names = [name for name in names if name not in set(lacking)]
    if not names:
        raise ValueError("The files have no feature column in common.")
    return names


def _filtered(
    parts: list[Part], names: list[str], feature_filter: ProfileFilter | None
) -> tuple[np.ndarray, dict[str, int]]:
    """Which features stay, and how many each rule dropped."""
    if feature_filter is None:
        return np.ones(len(names), dtype=bool), {}
    n, mean, scatter, peak = np.zeros((4, len(names)))
    for part in parts:  # Chan, Golub and LeVeque's update of mean and sum of squares
        own, theirs = _shared(names, part.facts["features"])
        count, part_mean, variance, part_peak = part.moments[:, theirs]
        total = np.maximum(n[own] + count, 1)
        delta = part_mean - mean[own]
        scatter[own] += count * variance + delta**2 * n[own] * count / total
        mean[own] += delta * count / total
        n[own] += count
        peak[own] = np.maximum(peak[own], part_peak)
    n_rows = sum(part.n_stored for part in parts)
    chosen = clone(feature_filter).fit_statistics(names, 1 - n / n_rows, mean, scatter / np.maximum(n, 1), peak)
    if not chosen.support_.any():
        raise ValueError("The feature_filter leaves no column.")
    return chosen.support_, {rule: len(columns) for rule, columns in chosen.report_.items()}


def _shared(names: list[str], others: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Places, in both lists, of the names that are in both."""
    if names == others:
        return np.arange(len(names)), np.arange(len(names))
    place = {name: i for i, name in enumerate(others)}
    pairs = [(i, place[name]) for i, name in enumerate(names) if name in place]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return own, theirs


def _repeated(wells: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows with the plate and the well of an earlier row; none where wells are unknown."""
    plate = wells["plate"]
    if "well" not in wells:
        return np.zeros(len(plate), dtype=bool)
    codes = [np.unique(wells[name], return_inverse=True)[1].astype(np.int64) for name in ("plate", "well")]
    place = codes[0] * (codes[1].max() + 1) + codes[1]
    repeated = np.ones(len(place), dtype=bool)
    repeated[np.unique(place, return_index=True)[1]] = False
    return repeated & (wells["well"] != "")


def _beyond(molecule: np.ndarray, stored: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows to leave out so that no molecule has more than ``limit``, those that stay being spread evenly."""
    beyond = np.zeros(len(molecule), dtype=bool)
    if limit is None:
        return beyond
    rows = np.flatnonzero(stored)
    rows = rows[np.argsort(molecule[rows], kind="stable")]
    counts = np.bincount(molecule[rows])
    place = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    n = np.repeat(counts, counts)
    beyond[rows[(n > limit) & ((place + 1) * limit // n == place * limit // n)]] = True
    return beyond


def _blocks(parts: list[Part], names: list[str], stored: np.ndarray, dtype: str) -> Iterator[np.ndarray]:
    """Profiles of the rows that are stored, file by file, with the features in their order."""
    first = 0
    for part in parts:
        rows = stored[first : first + part.n_stored]
        first += part.n_stored
        own, theirs = _shared(names, part.facts["features"])
        block = np.full((int(rows.sum()), len(names)), np.nan, dtype=dtype)
        block[:, own] = part.profiles()[rows][:, theirs]
        yield block
