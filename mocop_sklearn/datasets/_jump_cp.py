"""Plates of the JUMP Cell Painting data set, from the public bucket of the Cell Painting Gallery."""

from __future__ import annotations

import os
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from ..utils._sklearn import Interval, StrOptions, validate_params
from ._assembled import fetch_assembled
from ._download import Patience, download, download_all
from ._jump_places import fetch_metadata, folder_of, plate_url
from ._local_file import is_downloaded
from ._transfer import NotOnServer, Remote

#: DMSO, the negative control of every compound plate.
JUMP_NEGCON = "JCP2022_033924"
#: A well without a treatment.
JUMP_EMPTY = "JCP2022_999999"
#: The eight positive controls: Aloxistatin, AMG900, Dexamethasone, FK-866, LY2109761, NVS-PAK1-1, Quinidine, TC-S-7004.
JUMP_POSITIVE_CONTROLS = (
    "JCP2022_085227",
    "JCP2022_037716",
    "JCP2022_025848",
    "JCP2022_046054",
    "JCP2022_035095",
    "JCP2022_064022",
    "JCP2022_050797",
    "JCP2022_012818",
)

_KEYS = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]

_COMMON_CONSTRAINTS: dict[str, list[Any]] = {
    "data_home": [str, os.PathLike, None],
    "sources": ["array-like", str, None],
    "plate_types": ["array-like", str, None],
    "plates": ["array-like", str, None],
    "n_plates": [Interval(Integral, 1, None, closed="left"), None],
    "n_retries": [Interval(Integral, 0, None, closed="left")],
    "delay": [Interval(Real, 0, None, closed="left")],
    "endpoint_url": [str, None],
    "metadata_url": [str, None],
    "download_if_missing": ["boolean"],
}


@dataclass(frozen=True)
class RemotePlate:
    """A plate in the bucket, downloaded only for as long as it is read.

    It can be pickled, so that worker processes each download the plates that they read.

    Attributes
    ----------
    name : str
        ``"source/batch/plate"``, the same wherever the plate is downloaded from.
    url : str
    n_retries : int
    delay : float
        As in :func:`fetch_jump_cp`.

    Examples
    --------
    >>> from mocop_sklearn.datasets import RemotePlate
    >>> plate = RemotePlate("source_4/2021_04_26_Batch1/BR00117035", "https://host/BR00117035.parquet")
    >>> with plate.local() as path:  # doctest: +SKIP
    ...     wells = pd.read_parquet(path)
    """

    name: str
    url: str
    n_retries: int = 5
    delay: float = 0.5

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Download the plate into a temporary folder, which is removed when the block ends.

        Yields
        ------
        Path
            The verified file, in a folder of :func:`tempfile.gettempdir`.

        Raises
        ------
        FileNotFoundError
            When the bucket does not have the plate.
        OSError
            When it cannot be downloaded, as in :func:`fetch_jump_cp`.
        """
        with tempfile.TemporaryDirectory(prefix="mocop-") as folder:
            path = Path(folder, f"{self.name.rpartition('/')[2]}.parquet")
            download(Remote(self.url, s3=True), path, Patience(self.n_retries, self.delay))
            yield path


@validate_params(
    {
        **_COMMON_CONSTRAINTS,
        "profiles": [str, None],
        "index_url": [str, None],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "on_missing": [StrOptions({"raise", "skip"})],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_jump_cp(
    data_home: str | os.PathLike[str] | None = None,
    *,
    profiles: str | None = None,
    sources: Iterable[str] | None = None,
    plate_types: Iterable[str] | None = ("COMPOUND",),
    plates: Iterable[str] | None = None,
    n_plates: int | None = None,
    n_jobs: int = 4,
    n_retries: int = 5,
    delay: float = 0.5,
    endpoint_url: str | None = None,
    metadata_url: str | None = None,
    index_url: str | None = None,
    on_missing: str = "raise",
    download_if_missing: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Download profiles of the wells of JUMP-CP (cpg0016), plate by plate or assembled, and tables that describe them.

    The plates come anonymously from the public bucket of the Cell Painting Gallery [1]_, the tables from the
    repository of the consortium [2]_. The 1,730 compound plates take tens of gigabytes; :func:`jump_cp_plates`
    reads them without keeping them. With ``profiles``, one file with the profiles of all plates comes instead, which
    the consortium has normalised and corrected; for ``"compound"`` it takes 2.8 GB.

    A file that was downloaded once is kept. It is recognised by its size and time of change, or else by its digest,
    without asking the server. An interrupted download goes on where it ended when the same call is made again. Every
    plate is compared with the MD5 digests in its ETag. Several processes may share one ``data_home``.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder of data sets; files go to its subfolder ``jump_cp``. By default scikit-learn's, ``~/scikit_learn_data``.
    profiles : str, default=None
        A name in the consortium's index of assembled profiles. ``"compound"``, ``"compound_no_source7"``, ``"orf"``,
        ``"crispr"`` and ``"all"`` are those after the last correction; ``"compound_interpretable"`` and the like still
        have CellProfiler's features. The file must have the ETag that the index states. None downloads plates, whose
        profiles are raw.
    sources : str or sequence of str, default=None
        Only plates of these data-generating centres, such as ``["source_4"]``.
    plate_types : str, sequence of str or None, default=("COMPOUND",)
        Only plates of these types; None is every type.
    plates : str or sequence of str, default=None
        Only plates with these names.
    n_plates : int, default=None
        At most this number of the plates that are left. They are taken in turn from each source, in the order of the
        table, so that every call gives the same plates and a few plates come from several laboratories.
    n_jobs : int, default=4
        Threads that download.
    n_retries : int, default=5
        Further tries of each file after a server error (408, 429, 500, 502, 503, 504), a timeout, a broken
        connection, a body cut short or content that does not agree with its digest. Other answers, such as 403 and
        404, are final.
    delay : float, default=0.5
        Seconds before the first further try. The waits double, each varied at random by up to a half. They last at
        least as long as the server asks for, and at most two minutes.
    endpoint_url : str, default=None
        An S3 store that has a copy of the bucket. The default is the environment variable ``AWS_ENDPOINT_URL_S3``, then
        ``AWS_ENDPOINT_URL``, then Amazon.
    metadata_url : str, default=None
        Folder of ``plate.csv.gz``, ``well.csv.gz`` and ``compound.csv.gz``, ``https://`` or ``s3://``. By default
        the repository, or, with another endpoint, ``s3://cellpainting-gallery/cpg0016-jump/metadata/`` there.
    index_url : str, default=None
        The index of assembled profiles, JSON or CSV, ``https://`` or ``s3://``. By default the repository's, or, with
        another endpoint, ``profile_index.json`` beside the tables there.
    on_missing : {"raise", "skip"}, default="raise"
        What to do about plates of the table that are not in the bucket, once all the others are downloaded.
    download_if_missing : bool, default=True
        If False, nothing is downloaded, and a plate that is not there already counts as missing.
    verbose : int, default=0
        1 shows progress.

    Returns
    -------
    Bunch
        - plates : list of Path, the parquet files in the order of the table, or the one assembled file
        - metadata : Bunch of Path: ``plate``, ``well`` and ``compound``
        - missing : list of str, names ``"source/batch/plate"`` of plates that are not in the bucket
        - profiles : of an assembled file its entry in the index, with the attributes ``subset``, ``url``, ``etag``,
          ``corrections`` (what was done to the profiles, by the name of the file) and ``recipe``
        - report : dict: ``n_selected``, ``n_downloaded``, ``n_kept``, ``n_missing``, and ``n_bytes`` received

    Raises
    ------
    FileNotFoundError
        When plates are missing, which the message lists, or when a table is.
    PermissionError
        When the server refuses access.
    ConnectionError
        When a file did not arrive in the allowed number of tries.
    OSError
        After any other answer of the server, or when the disk is full.
    ValueError
        When no plate fits, when the table lacks a source, plate type or plate that was asked for, or when the table
        lacks columns or has unusable names. When the index lacks ``profiles``, when plates are chosen of an assembled
        file, or when the server holds another version of it.
    ImportError
        Without pandas or obstore: the extra ``data`` brings them.

    Warns
    -----
    UserWarning
        The number of plates that ``on_missing="skip"`` left out.

    References
    ----------
    .. [1] https://registry.opendata.aws/cellpainting-gallery/
    .. [2] https://github.com/jump-cellpainting/datasets

    Examples
    --------
    >>> from mocop_sklearn.datasets import fetch_jump_cp
    >>> jump = fetch_jump_cp(n_plates=12)  # doctest: +SKIP
    >>> jump.plates[0]  # doctest: +SKIP
    PosixPath('.../jump_cp/source_1/Batch1_20221004/UL001641.parquet')
    """
    patience = Patience(n_retries, delay)
    folder = folder_of(data_home)
    if profiles is not None:
        _refuse_choices(profiles, sources=sources, plates=plates, n_plates=n_plates)
        urls = endpoint_url, metadata_url, index_url
        return fetch_assembled(folder, profiles, *urls, patience, download_if_missing)
    metadata = fetch_metadata(folder, endpoint_url, metadata_url, patience, download_if_missing)
    keys = _select(metadata.plate, sources, plate_types, plates, n_plates)
    paths = [folder.joinpath(source, batch, f"{plate}.parquet") for source, batch, plate in keys]
    there = [is_downloaded(path) for path in paths] if not download_if_missing else [True] * len(paths)
    received = [0] * len(paths)
    if download_if_missing:
        jobs = [(Remote(plate_url(key, endpoint_url), s3=True), path) for key, path in zip(keys, paths, strict=True)]
        for i, outcome in enumerate(_with_progress(jobs, n_jobs, patience, verbose)):
            there[i] = not isinstance(outcome, NotOnServer)
            received[i] = 0 if isinstance(outcome, NotOnServer) else outcome
    missing = ["/".join(key) for key, found in zip(keys, there, strict=True) if not found]
    if missing:
        _report_missing(missing, len(keys), on_missing, "in the bucket" if download_if_missing else f"in {folder}")
    n_downloaded = sum(map(bool, received))
    report = {
        "n_selected": len(keys),
        "n_downloaded": n_downloaded,
        "n_kept": sum(there) - n_downloaded,
        "n_missing": len(missing),
        "n_bytes": sum(received),
    }
    found = [path for path, is_there in zip(paths, there, strict=True) if is_there]
    return Bunch(plates=found, metadata=metadata, missing=missing, report=report)


@validate_params(_COMMON_CONSTRAINTS, prefer_skip_nested_validation=True)
def jump_cp_plates(
    data_home: str | os.PathLike[str] | None = None,
    *,
    sources: Iterable[str] | None = None,
    plate_types: Iterable[str] | None = ("COMPOUND",),
    plates: Iterable[str] | None = None,
    n_plates: int | None = None,
    n_retries: int = 5,
    delay: float = 0.5,
    endpoint_url: str | None = None,
    metadata_url: str | None = None,
    download_if_missing: bool = True,
) -> tuple[list[RemotePlate], Bunch]:
    """List plates of JUMP-CP, to be downloaded one by one while they are read.

    Only the tables are downloaded and kept.

    Parameters
    ----------
    data_home, sources, plate_types, plates, n_plates, n_retries, delay, endpoint_url, metadata_url
        As in :func:`fetch_jump_cp`.
    download_if_missing : bool, default=True
        If False, the tables must be there already.

    Returns
    -------
    plates : list of RemotePlate
        In the order of the table. Whether the bucket has a plate turns out when it is read.
    metadata : Bunch of Path
        ``plate``, ``well`` and ``compound``.

    Raises
    ------
    OSError, ValueError, ImportError
        As in :func:`fetch_jump_cp`.
    """
    patience = Patience(n_retries, delay)
    metadata = fetch_metadata(folder_of(data_home), endpoint_url, metadata_url, patience, download_if_missing)
    keys = _select(metadata.plate, sources, plate_types, plates, n_plates)
    return [RemotePlate("/".join(key), plate_url(key, endpoint_url), n_retries, delay) for key in keys], metadata


def _refuse_choices(profiles: str, **choices: Any) -> None:
    given = [name for name, value in choices.items() if value is not None]
    if given:
        raise ValueError(
            f"profiles={profiles!r} is one file with all its plates, so {' and '.join(given)} cannot choose among "
            "them: build a corpus of it with keep={'Metadata_Source': [...]} or the like."
        )


def _with_progress(
    jobs: list[tuple[Remote, Path]], n_jobs: int, patience: Patience, verbose: int
) -> list[int | NotOnServer]:
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit=" plates", disable=not verbose) as bar:
        return download_all(jobs, n_jobs, patience, bar.update)


def _report_missing(missing: list[str], n_plates: int, on_missing: str, where: str) -> None:
    message = f"{len(missing)} of {n_plates} plates are not {where}"
    if on_missing == "raise":
        raise FileNotFoundError(
            f"{message}: {', '.join(missing)}. The others are. on_missing='skip' goes on without these."
        )
    examples = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
    warnings.warn(f"{message} and are left out: {examples}.", UserWarning, stacklevel=4)


# ---------------------------------------------------------------------------------------------
# Which plates
# ---------------------------------------------------------------------------------------------


def _select(
    path: Path,
    sources: Iterable[str] | None,
    plate_types: Iterable[str] | None,
    plates: Iterable[str] | None,
    n_plates: int | None,
) -> list[tuple[str, str, str]]:
    """Source, batch and name of the plates of a table that are asked for."""
    table = _read_plate_table(path)
    filters = {
        "Metadata_Source": _names(sources),
        "Metadata_PlateType": _names(plate_types),
        "Metadata_Plate": _names(plates),
    }
    for column, wanted in filters.items():
        _check_names(table, column, wanted, path)
    for column, wanted in filters.items():
        if wanted is not None:
            table = table[table[column].isin(wanted)]
    excluded = sorted(set(filters["Metadata_Plate"] or ()) - set(table["Metadata_Plate"]))
    if excluded:
        raise ValueError(f"sources or plate_types leave out {len(excluded)} of the plates asked for: {excluded[:8]}.")
    if table.empty:
        raise ValueError(f"No plate of {path} fits sources={sources!r} and plate_types={plate_types!r}.")
    if n_plates is not None:
        turn = table.groupby("Metadata_Source").cumcount()
        table = table.loc[turn.sort_values(kind="stable").index[:n_plates]].sort_index()
    return list(table[_KEYS].itertuples(index=False, name=None))


def _read_plate_table(path: Path) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Reading tables needs pandas: pip install 'mocop-sklearn[data]'.") from error
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a name such as 00123 stays what it is
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}. Delete it to download it again.") from error
    columns = [*_KEYS, "Metadata_PlateType"]
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise ValueError(f"{path} has no column {', '.join(absent)}.")
    table = table[columns]
    for column in _KEYS:
        # these become names of files: none may lead out of the folder
        bad = table[column][~table[column].str.fullmatch(r"[\w+= -][\w.+= -]*")]
        if len(bad):
            raise ValueError(f"{path}, row {bad.index[0]}: {bad.iloc[0]!r} is not a usable {column}.")
    repeated = table.duplicated(_KEYS)
    if repeated.any():
        raise ValueError(f"{path}, row {repeated.idxmax()}: the plate is in the table twice.")
    return table


def _names(wanted: Iterable[str] | None) -> list[str] | None:
    return [wanted] if isinstance(wanted, str) else None if wanted is None else list(map(str, wanted))


def _check_names(table: Any, column: str, wanted: list[str] | None, path: Path) -> None:
    if wanted is None:
        return
    known = table[column].unique().tolist()
    unknown = [name for name in wanted if name not in set(known)]
    if unknown:
        raise ValueError(
            f"{path} has no {column} {', '.join(map(repr, unknown[:8]))}; the first of {len(known)} are {known[:12]}."
        )
