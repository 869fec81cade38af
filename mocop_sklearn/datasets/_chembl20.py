"""The ChEMBL 20 benchmark of bioactivities, with the splits of the MoCoP paper."""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import os
import re
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from numbers import Integral, Real
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from filelock import FileLock
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from ..utils._sklearn import Interval, StrOptions, validate_params
from ._download import Patience, download
from ._local_file import digest, forget
from ._transfer import Remote

CHEMBL20_URL = "https://github.com/GSK-AI/mocop/raw/HEAD/data/chembl20.tar.gz"
#: Known digests of archives, by their URL.
CHEMBL20_SHA256: dict[str, str] = {}
_URL_VARIABLE = "MOCOP_CHEMBL20_URL"
_FRACTIONS = (1, 5, 10, 25, 50, 100)
_SPLITS = (1, 2, 3)
_PARTS = ("train", "val", "test")
_TABLE = "chembl20.csv"
_DIGEST_FILE = "archive.sha256"
_SPLIT_FILE = re.compile(r"chembl20(-frac\d+)?-split\d+-(train|val|test)\.csv")
_N_ROWS = 4096  # in memory at a time
_MIB = 1 << 20
_MAX_BYTES = 8 << 30  # of all files: four times what they have
_MAX_PADDING = 64 * _MIB


@validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "url": [str, None],
        "sha256": [str, None],
        "dtype": [StrOptions({"float32", "int8"})],
        "return_X_y": ["boolean"],
        "download_if_missing": ["boolean"],
        "n_retries": [Interval(Integral, 0, None, closed="left")],
        "delay": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def fetch_chembl20(
    data_home: str | os.PathLike[str] | None = None,
    *,
    url: str | None = None,
    sha256: str | None = None,
    dtype: str = "float32",
    return_X_y: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 5,
    delay: float = 0.5,
) -> Any:
    """Load the ChEMBL 20 benchmark: 456,331 molecules, 1,310 binary tasks, most labels not measured.

    The data are those of Mayr et al. [1]_, with the splits by which the MoCoP paper [2]_ fine-tunes: three splits,
    and training parts of 1 to 100 %. They are downloaded from the authors' repository and converted once.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder of data sets; files go to its subfolder ``chembl20``. By default scikit-learn's, ``~/scikit_learn_data``.
        Data that are there already are used, whatever ``url`` says.
    url : str, default=None
        The archive. By default the environment variable ``MOCOP_CHEMBL20_URL``, or else the authors' repository.
    sha256 : str, default=None
        The digest that the archive must have. By default that of ``CHEMBL20_SHA256``, a dict from URLs to digests, if
        it lists the URL. The authors publish none, so it is empty: pin the ``sha256`` that a first download returns.
    dtype : {"float32", "int8"}, default="float32"
        How labels are given. ``"float32"`` is an array in memory, with NaN for what was not measured: 2.4 GB.
        ``"int8"`` is a read-only array mapped from a file of 0.6 GB, with −1 for what was not measured. Only the rows
        that are used come into memory: ``np.where(y[rows] < 0, np.nan, y[rows])``.
    return_X_y : bool, default=False
        Return ``(smiles, y)`` instead of a Bunch.
    download_if_missing : bool, default=True
        If False, an archive that is not there already is an error.
    n_retries, delay
        As in :func:`fetch_jump_cp`.

    Returns
    -------
    Bunch
        - smiles : ndarray of str (object), shape (n_molecules,)
        - y : ndarray of ``dtype``, shape (n_molecules, n_tasks): 1 active, 0 inactive
        - task_names : list of str
        - splits : dict of (fraction, split, part) to ndarray of int64, rows of ``smiles`` and ``y``: fraction 1, 5, 10,
          25, 50 or 100 (per cent of the training part), split 1, 2 or 3, part ``"train"``, ``"val"`` or ``"test"``.
          Files that leave the fraction out of their name, as validation and test, belong to every fraction.
        - paths : dict of file name to Path, the CSV files
        - sha256 : str or None, the digest of the archive that they came in

    Raises
    ------
    FileNotFoundError
        When the server does not have the archive, or when ``download_if_missing`` is False and the data are not there.
    OSError
        When the archive cannot be downloaded, as in :func:`fetch_jump_cp`.
    ValueError
        When the archive is damaged, is not such an archive, holds more than 8 GiB, lacks files or has unsafe ones: it
        is deleted, so that the next call downloads it again. When a file lacks a column, a label is not −1, 0 or 1, or
        an index is out of range: the message names the file, line and column.
    ImportError
        Without pandas or obstore: the extra ``data`` brings them.

    References
    ----------
    .. [1] Mayr et al., Large-scale comparison of machine learning methods for drug target prediction on ChEMBL,
       Chemical Science 9 (2018) 5441, doi:10.1039/C8SC00148K.
    .. [2] Nguyen, Pertusi, Branson, Molecule-Morphology Contrastive Pretraining for Transferable Molecular
       Representation, arXiv 2305.09790.

    Examples
    --------
    >>> from mocop_sklearn.datasets import fetch_chembl20
    >>> chembl = fetch_chembl20(dtype="int8")  # doctest: +SKIP
    >>> train = chembl.splits[1, 1, "train"]  # doctest: +SKIP
    >>> labels = np.where(chembl.y[train] < 0, np.nan, chembl.y[train])  # doctest: +SKIP
    """
    folder = Path(get_data_home(data_home)) / "chembl20"
    files, arrays = folder / "csv", folder / "arrays"
    if not arrays.is_dir():
        if not (download_if_missing or files.is_dir()):
            raise FileNotFoundError(f"Data not found in {folder} and `download_if_missing` is False.")
        folder.mkdir(parents=True, exist_ok=True)
        # a second process waits until the first has converted the files
        with FileLock(folder / ".lock"):
            if not files.is_dir():
                url = url or os.environ.get(_URL_VARIABLE) or CHEMBL20_URL
                archive = folder / "chembl20.tar.gz"
                remote = Remote(url, sha256=sha256 or CHEMBL20_SHA256.get(url))
                download(remote, archive, Patience(n_retries, delay))
                (folder / _DIGEST_FILE).write_text(digest(archive, hashlib.sha256))
                _extract(archive, files)
                forget(archive)
            if not arrays.is_dir():
                _convert(files, arrays)
    return _load(files, arrays, dtype, return_X_y)


@contextmanager
def _appearing_at_once(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block ends without an error."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# ---------------------------------------------------------------------------------------------
# Archive → CSV files
# ---------------------------------------------------------------------------------------------


def _extract(archive: Path, files: Path) -> None:
    """Take the files that are expected out of the archive, whatever folder they are in."""
    try:
        with _appearing_at_once(files) as temporary, tarfile.open(archive, "r:*") as tar:
            for member in _members(tar, archive):
                name = _safe_name(member, archive)
                if name != _TABLE and not _SPLIT_FILE.fullmatch(name):
                    continue
                if not member.isreg() or (temporary / name).exists():
                    raise ValueError(f"{archive} has {member.name!r} twice, or it is not a plain file.")
                source: Any = tar.extractfile(member)
                with source, open(temporary / name, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            absent = sorted({_TABLE, *(_split_file(temporary, *key) for key in _keys())} - set(os.listdir(temporary)))
            if absent:
                raise ValueError(f"{archive} lacks {len(absent)} files: {', '.join(absent)}.")
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
            raise
        forget(archive)
        raise ValueError(
            f"{archive} is damaged, or it is not a .tar.gz or .tar.xz archive: {error}. It was deleted. Call again to "
            "download it again, and check the URL."
        ) from error
    except ValueError:
        forget(archive)
        raise


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Members one by one, as long as they are not larger than the data can be; then check the end of the archive."""
    n_bytes = 0
    for member in tar:
        n_bytes += member.size
        if n_bytes > _MAX_BYTES:
            raise ValueError(f"{archive} holds more than {_MAX_BYTES:,} bytes, which the ChEMBL 20 benchmark does not.")
        yield member
    stream: Any = tar.fileobj
    for _ in range(_MAX_PADDING // _MIB):  # the checksum of the compressed stream comes last
        if not stream.read(_MIB):
            return
    raise ValueError(f"{archive} goes on for more than {_MAX_PADDING:,} bytes after its last file.")


def _safe_name(member: tarfile.TarInfo, archive: Path) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise ValueError(f"{archive} has {member.name!r}, which leads out of the folder.")
    return path.name


def _keys() -> Iterator[tuple[int, int, str]]:
    return product(_FRACTIONS, _SPLITS, _PARTS)


def _split_file(files: Path, fraction: int, split: int, part: str) -> str:
    """Name of the file of a part: its own, or else, except for training, the one of all fractions."""
    own, shared = f"chembl20-frac{fraction}-split{split}-{part}.csv", f"chembl20-split{split}-{part}.csv"
    return shared if part != "train" and not (files / own).exists() else own


# ---------------------------------------------------------------------------------------------
# CSV files → arrays
# ---------------------------------------------------------------------------------------------


def _convert(files: Path, arrays: Path) -> None:
    """Check the CSV files; write ``labels.int8``, ``table.json`` and ``splits.npz``, which load in a second."""
    with _appearing_at_once(arrays) as temporary:
        smiles, tasks = _convert_table(files / _TABLE, temporary / "labels.int8")
        (temporary / "table.json").write_text(json.dumps({"smiles": smiles, "task_names": tasks}))
        names = sorted({_split_file(files, *key) for key in _keys()})
        splits: dict[str, Any] = {name: _read_index(files / name, len(smiles)) for name in names}
        np.savez(temporary / "splits.npz", **splits)


def _read_csv(path: Path, **options: Any) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Reading tables needs pandas: pip install 'mocop-sklearn[data]'.") from error
    # na_filter: an empty cell is not a number, and the message shows it as it is
    return pd.read_csv(path, na_filter=False, low_memory=False, **options)


def _convert_table(path: Path, labels: Path) -> tuple[list[str], list[str]]:
    """Write the labels of a table to a file, and return its molecules and tasks."""
    smiles: list[str] = []
    try:
        tasks, numbered = _check_header(path)
        with open(labels, "wb") as file, _read_csv(path, chunksize=_N_ROWS, dtype={"smiles": str}) as frames:
            for frame in frames:
                lines = np.arange(len(smiles), len(smiles) + len(frame))
                if numbered and not np.array_equal(frame.iloc[:, 0], lines):
                    raise ValueError(
                        f"{path}: the first column does not count the rows from 0, line {lines[0] + 2} on."
                    )
                smiles += frame["smiles"].tolist()
                _check_labels(frame[tasks], path, lines).tofile(file)
    except Exception as error:
        if isinstance(error, (ImportError, MemoryError)) or str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    blank = next((i for i, text in enumerate(smiles) if not text.strip()), None)
    if blank is not None or not smiles:
        raise ValueError(f"{path}: no SMILES in line {(blank or 0) + 2}.")
    return smiles, tasks


def _check_header(path: Path) -> tuple[list[str], bool]:
    """Names of the tasks, and whether a column without a name, which numbers the rows, comes first."""
    with open(path, newline="", encoding="utf-8") as file:
        header = next(csv.reader(file), [])
    numbered = header[:1] == [""]
    tasks = header[1 + numbered :]
    if header[numbered : numbered + 1] != ["smiles"] or not tasks:
        raise ValueError(f"{path} has the columns {header[:4]}, not 'smiles' and then the tasks.")
    if len(set(tasks)) < len(tasks) or "" in tasks or "smiles" in tasks:
        raise ValueError(f"{path} has tasks without a name, or two with the same.")
    return tasks, numbered


def _check_labels(frame: Any, path: Path, lines: np.ndarray) -> np.ndarray:
    values = frame.to_numpy()
    good = (values == -1) | (values == 0) | (values == 1)
    if not np.array_equal(frame.index, lines):  # pandas took the first cell of each line for its name
        raise ValueError(f"{path}: lines from {lines[0] + 2} on have more cells than the header.")
    for row, column in np.argwhere(~good):
        value = str(values[row, column])
        if not _is_label(value):  # one cell that is not a number leaves its whole column as text
            raise ValueError(
                f"{path}, line {lines[row] + 2}: {frame.columns[column]} is {value!r}; labels are −1 (not measured), "
                "0 and 1."
            )
    return np.asarray(values, dtype=np.int8)


def _is_label(text: str) -> bool:
    try:
        return float(text) in (-1, 0, 1)
    except ValueError:
        return False


def _read_index(path: Path, n_rows: int) -> np.ndarray:
    """Rows of the table that a split file names."""
    try:
        table = _read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    if "index" not in table.columns:
        raise ValueError(f"{path} has no column 'index', only {list(map(str, table.columns[:8]))}.")
    index = table["index"].to_numpy()
    if not len(index):
        raise ValueError(f"{path} names no rows.")
    if index.dtype.kind != "i":
        raise ValueError(f"{path}: the column 'index' is not of integers.")
    bad = np.flatnonzero((index < 0) | (index >= n_rows))
    if len(bad):
        raise ValueError(f"{path}, line {bad[0] + 2}: index {index[bad[0]]} is out of range for {n_rows} molecules.")
    return index.astype(np.int64)


# ---------------------------------------------------------------------------------------------
# Arrays → the user
# ---------------------------------------------------------------------------------------------


def _load(files: Path, arrays: Path, dtype: str, return_X_y: bool) -> Any:
    table = json.loads((arrays / "table.json").read_bytes())
    smiles, tasks = np.array(table["smiles"], dtype=object), table["task_names"]
    labels = np.memmap(arrays / "labels.int8", np.int8, "r", shape=(len(smiles), len(tasks)))
    y = labels if dtype == "int8" else _with_nan(labels)
    if return_X_y:
        return smiles, y
    with np.load(arrays / "splits.npz") as stored:
        indices = dict(stored)
    splits = {key: indices[_split_file(files, *key)] for key in _keys()}
    paths = {name: files / name for name in (_TABLE, *sorted(indices))}
    sha256 = (files.parent / _DIGEST_FILE).read_text() if (files.parent / _DIGEST_FILE).exists() else None
    return Bunch(smiles=smiles, y=y, task_names=tasks, splits=splits, paths=paths, sha256=sha256)


def _with_nan(labels: np.ndarray) -> np.ndarray:
    y = np.empty(labels.shape, dtype=np.float32)
    for start in range(0, len(labels), _N_ROWS):
        rows = slice(start, start + _N_ROWS)
        y[rows] = np.where(labels[rows] < 0, np.float32(np.nan), labels[rows])
    return y
