"""Plates → a stored corpus, one file at a time, so that the largest file bounds the memory."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..molecules._parse import Standardize, check_standardize
from ..profiles._filter import ProfileFilter
from ..tables._frames import index_as_columns
from ..utils._files import atomic_write
from ._assembly import assemble
from ._files import write_parts
from ._pairs import PairedProfiles
from ._plan import Finish, PlatePlan, as_texts, check_choices, chosen_normalizer, list_of_files, list_of_plates
from ._recipe import changed_files, differences, recipe_of_parts, recipe_of_store, take_up_parts
from ._structures import keys_to_hold_out


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
    normalizer: Any = "auto",
    feature_filter: ProfileFilter | None = None,
    standardize: Standardize = "parent",
    dtype: str = "float16",
    clip: float | None = 100.0,
    licence: str | None = None,
    notes: str | None = None,
    restart: bool = False,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> PairedProfiles:
    """Normalise plates and store them, with their molecules, as a corpus to pretrain on.

    Every file is read once, normalised, and written to a part of its own; the parts then become one memory-mapped
    matrix. A build that was killed goes on where it was when the same call is made again: the parts lie in
    ``{path}.partial``, and the result is byte-equal to that of a build without a break (but for the date). The disk
    needs twice the size of the store.

    With several processes, a structure that ends the process that reads it, or that takes longer than 20 seconds, is
    not a molecule: its wells are counted as ``unparsable``, and a warning names it. With one process it ends the build;
    when the same call is made again, the structures of that file are read in another process.

    Parameters
    ----------
    path : str or Path
        The folder to make. If it holds the result of the same build already, that result is opened.
    plates : sequence of str or Path
        Parquet, CSV or TSV files with one row per well: one plate, or several. Objects with a ``name`` and a
        context manager ``local()`` that yields a path, as from :func:`mocop_sklearn.datasets.jump_cp_plates`, are
        files that are fetched when they are needed.
    metadata : sequence of str, Path or DataFrame
        Tables that are joined to the wells on the ``Metadata_*`` columns that both have, such as JUMP's tables of
        plates, wells and compounds. Each must have at most one row per combination of these columns. A row in which
        all of these are empty belongs to no well.
    smiles : str, optional
        The column of structures; by default ``Metadata_SMILES``, ``Metadata_InChI`` or the like.
    plate_columns : str or sequence of str, optional
        Columns that tell plates apart. By default ``Metadata_Source``, ``Metadata_Batch`` and ``Metadata_Plate``, as
        far as they exist, or else the name of the file. Only wells of one file can be one plate.
    control_column, control_label : str (or sequence of str), optional
        The negative controls, as in ``ProfileNormalizer``. By default ``Metadata_IsNegcon`` decides. Without that
        column, a well is a control when a convention of JUMP or the Broad Institute marks it
        (``Metadata_control_type``, ``Metadata_pert_type``, ``Metadata_broad_sample``, ``Metadata_JCP2022``, or a name
        of the compound that is DMSO), or when its stated structure is dimethyl sulfoxide and nothing else: a
        solvate is not a control. ``report_["controls"]`` counts the wells that each rule found.
    dose_column, weight_column : str, optional
        Numeric columns to keep as ``doses`` and ``sample_weight``.
    features : sequence of str
        Names of feature columns, or patterns like ``Cells_*``; by default all but ``Metadata_*``.
    columns : {"same", "intersection", "union"}, default="same"
        What to do with files that have different features: raise an error, take the features that all have, or take
        all features, with NaN where a file lacks one.
    missing_files : {"raise", "skip"}, default="raise"
        What to do with files that do not exist: raise an error, or leave them out and count them.
    keep, exclude : dict of column to values, optional
        Store only, or do not store, the wells with these values: ``keep={"Metadata_PlateType": ["COMPOUND"]}``,
        ``exclude={"Metadata_JCP2022": JUMP_POSITIVE_CONTROLS}``. A value that no well has is warned of.
    controls : {"exclude", "keep"}, default="exclude"
        Whether the negative controls are stored, like any other molecule.
    hold_out : sequence of str
        Molecules to leave out of the store and of all its statistics, with their stereoisomers and, unless
        ``standardize`` is None, their salts. Molecules that no well holds are warned of.
    repeated_wells : {"keep", "first", "raise"}, default="keep"
        What to do with rows that have the plate and the well of an earlier row. Kept rows are warned of when they
        seem to be another plate of the same name: the molecule differs, or the folder of images, or the microscope.
    max_wells : int, optional
        Store at most this number of wells of a molecule, spread over the files. It limits positive controls, which
        may have thousands.
    normalizer : ProfileNormalizer, "auto", "robust", "mad", "standardize" or None, default="auto"
        Applied to each file, the plates in it one by one. "robust", "mad" and "standardize" are the ``method`` of a
        ``ProfileNormalizer``. None (or ``"passthrough"``) stores the values as they are, and needs neither plates nor
        controls: for profiles of compounds, or of wells that are normalised already. A parquet file is then read a
        block at a time, so that it may be larger than the memory. "auto" is None for JUMP's assembled profiles, which
        are recognised by the name of their file (``profiles_var_mad_int_featselect_harmony.parquet``) or by their
        columns (``X_1``, ``X_2``), and for what pycytominer has normalised, by the names of Broad's profiling recipe
        (``BR00117035_normalized_feature_select_negcon_batch.csv.gz``), and "robust" for all others; ``provenance``
        says which. Columns of plates and
        controls are named here, not in the normaliser. With ``whiten``, each batch (``Metadata_Batch``, else the file)
        must be in one file.
    feature_filter : ProfileFilter, optional
        Drops columns by the exact moments of all wells that may be stored, before clipping; ``repeated_wells`` and
        ``max_wells`` come later. Rules that need more than moments (repeats, correlation) belong into
        ``profile_transformer``.
    standardize : {"parent", None} or callable, default="parent"
        As in ``MoCoPEmbedder``.
    dtype : {"float16", "float32"}, default="float16"
    clip : float or None, default=100.0
        Limit of the stored values, in the unit of the normaliser. None sets no limit, for float32 only.
    licence, notes : str, optional
        Licence of the data, and anything else that should stay with them in ``provenance``.
    restart : bool, default=False
        Begin anew where ``{path}.partial`` holds parts of an unfinished build with other options. By default this is
        an error. A finished store is never removed.
    n_jobs : int, default=None
        Number of processes, each of which holds one file at a time.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    PairedProfiles
        ``report_`` counts what became of every well, and ``provenance`` says where the profiles come from.

    Raises
    ------
    ValueError
        With the name of the file, when it cannot be read, has no rows, lacks columns, holds text among numbers, or
        has a plate without controls; when ``path`` holds something else, and when no well is left.

    Warns
    -----
    UserWarning
        When an option (``keep``, ``exclude``, ``control_label``, ``hold_out``, a table of metadata) matches nothing,
        when the name of a plate seems to stand for several plates, when many values are clipped, and when structures
        end the process that reads them or take too long.

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
    check_choices(columns=columns, controls=controls, repeated_wells=repeated_wells, missing_files=missing_files,
                  dtype=dtype, clip=clip, max_wells=max_wells)  # fmt: skip
    check_standardize(standardize)
    plates, metadata = list_of_plates(plates), list_of_files("metadata", metadata)
    chosen = _assignments("keep", keep), _assignments("exclude", exclude)
    normalizer, corrections = chosen_normalizer(normalizer, plates)
    held_out = keys_to_hold_out(hold_out, standardize)
    finish = Finish(columns, repeated_wells, max_wells, feature_filter, licence, notes, tuple(held_out.items()))
    path = Path(path)
    if path.exists():
        PairedProfiles.open(path)  # or else say what it is
    with _workplace(path) as folder:
        plan = PlatePlan(
            _local_tables(metadata, folder), smiles, as_texts(plate_columns), control_column, as_texts(control_label),
            dose_column, weight_column, as_texts(features), missing_files, *chosen, controls,
            tuple(sorted(set(held_out.values()))), normalizer, corrections, standardize, dtype,
            clip,
        )  # fmt: skip
        return _build(path, folder, plates, plan, finish, restart=restart, n_jobs=n_jobs, verbose=verbose)


def _build(
    path: Path,
    folder: Path,
    plates: Sequence[Any],
    plan: PlatePlan,
    finish: Finish,
    *,
    restart: bool,
    n_jobs: int | None,
    verbose: int,
) -> PairedProfiles:
    """Write the parts that are missing and join them, unless the store is there; open it."""
    files = [plate if hasattr(plate, "local") else Path(plate) for plate in plates]
    names = _names(files)
    of_parts = recipe_of_parts(plan, names)
    recipe = recipe_of_store(of_parts, finish)
    notices: list[str] = []
    if not path.exists():
        date = take_up_parts(folder, of_parts, restart)
        parts = [folder / f"{i:06d}.npz" for i in range(len(files))]
        write_parts(plan, files, names, parts, n_jobs, verbose)
        store = folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        notices = assemble(store, parts, plan, finish, recipe, date)
        os.replace(store, path)
    pairs = PairedProfiles.open(path)
    if changed := differences(pairs.recipe_, recipe) or changed_files(path, pairs.files_, names, files):
        raise ValueError(
            f"{str(path)!r} holds pairs of another build, which differs in {changed[:10]}: remove it, or choose "
            "another path."
        )
    for notice in notices:
        warnings.warn(notice, UserWarning, stacklevel=3)
    return pairs


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """Yield the folder of the parts; one build at a time has it, and it goes when the store is there."""
    folder = path.with_name(f"{path.name}.partial")
    lock = path.with_name(f"{path.name}.partial.lock")  # not in the folder, which goes while others wait
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        finally:
            if path.exists():
                shutil.rmtree(folder)
                with suppress(PermissionError):  # Windows keeps what is open
                    lock.unlink(missing_ok=True)


def _names(files: Sequence[Any]) -> list[str]:
    """Names of the files; of paths, relative to the folder that holds all of them."""
    paths = [Path(os.path.abspath(file)) for file in files if isinstance(file, Path)]
    root = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return [Path(os.path.relpath(f, root)).as_posix() if isinstance(f, Path) else str(f.name) for f in files]


def _assignments(option: str, values: Mapping[str, Sequence[str]] | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"{option} must be a dict of column to values, got a {type(values).__name__}.")
    return tuple((column, as_texts(own)) for column, own in (values or {}).items())


def _local_tables(tables: Sequence[Any], folder: Path) -> tuple[str, ...]:
    """Paths of the tables of metadata, which every process reads for itself."""
    paths = []
    for i, table in enumerate(tables):
        if isinstance(table, (str, os.PathLike)):
            paths.append(str(table))
            continue
        path = folder / f"metadata{i}.parquet"
        with atomic_write(path) as temporary:
            _write_table(table, temporary, f"metadata[{i}]")
        paths.append(str(path))
    return tuple(paths)


def _write_table(table: Any, path: Path, name: str) -> None:
    """Write a DataFrame of pandas or polars, or a table of pyarrow, to a parquet file."""
    table = table.to_pandas() if hasattr(table, "to_pandas") else table
    if not hasattr(table, "to_parquet"):
        raise TypeError(f"{name} is a {type(table).__name__}: give a path or a DataFrame.")
    try:
        index_as_columns(table).to_parquet(path, index=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be written as a table: {error}. Give each column a name of its own, and values of one type."
        ) from error
