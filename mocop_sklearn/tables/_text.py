"""Text files of separated values, checked line by line."""

from __future__ import annotations

import codecs
import csv
import gzip
from collections.abc import Collection, Iterator
from itertools import islice
from typing import IO, Any

from ._columns import is_text
from ._formats import TableError, TablePath, refuse_repeated, separator_of

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP = b"\x1f\x8b"
# What stands for a missing number. In columns of text it is text.
_MISSING = "NA N/A n/a NaN nan -NaN -nan null NULL None none <NA> #NA #N/A".split()


def open_text(path: TablePath, errors: str = "strict", newline: str | None = None) -> IO[str]:
    """Open a text file, compressed or not, in UTF-8, UTF-16 or UTF-32.

    Its first bytes tell whether it is compressed: pycytominer writes plain text under names like ``P1.csv.gz``.

    Parameters
    ----------
    path : str or Path
    errors : {"strict", "replace"}
        What to do with bytes that are not text.
    newline : str or None
        As for :func:`open`.

    Raises
    ------
    TableError
        When the file is not text.
    """
    with open(path, "rb") as raw:
        opener: Any = gzip.open if raw.read(2) == _GZIP else open
    with opener(path, "rb") as raw:
        encoding = _encoding(path, raw.read(4096))
    return opener(path, "rt", encoding=encoding, errors=errors, newline=newline)


def _encoding(path: TablePath, head: bytes) -> str:
    for bom, encoding in _BOMS.items():
        if head.startswith(bom):
            return encoding
    zeros = head[0::2].count(0), head[1::2].count(0)
    if not any(zeros):
        return "utf-8"
    # most letters have one zero byte in UTF-16
    if min(zeros) == 0 and 8 * max(zeros) > len(head):
        return "utf-16-be" if zeros[0] else "utf-16-le"
    raise TableError(path, "it holds zero bytes, so it is not a text file")


class TextTable:
    """A file of separated values: every row has as many fields as the header.

    An empty line is a row without values, except at the end of a table of several columns.

    Parameters
    ----------
    path : str or Path
        A ``.csv``, ``.tsv`` or ``.txt`` file, which may be compressed as ``.gz``. Where the usual separator does not
        split the header and the first row into columns, a comma, a semicolon or a tab is tried.
    errors : {"strict", "replace"}
        What to do with bytes that are not text.

    Attributes
    ----------
    header : list of str
        Names of the columns; a column without one is called ``Unnamed: 0`` after its place.
    separator : str

    Raises
    ------
    TableError
        When there is no header, or it names two columns alike.
    """

    def __init__(self, path: TablePath, errors: str = "strict"):
        self.path, self._errors = path, errors
        self.separator = self._find_separator(separator_of(path))
        first = next(self._records(), None)
        if first is None or not any(name.strip() for name in first[1]):
            raise TableError(path, "it has no header", None if first is None else 1)
        self.header = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(first[1])]
        refuse_repeated(path, self.header, line=1)

    def _find_separator(self, usual: str) -> str:
        with open_text(self.path, "replace", newline="") as file:
            head = list(islice(file, 2))
        for separator in dict.fromkeys([usual, ",", ";", "\t"]):
            try:
                counts = [len(fields) for fields in csv.reader(head, delimiter=separator)]
            except csv.Error:
                continue
            if counts and counts[0] > 1 and counts[-1] == counts[0]:
                return separator
        return usual

    def rows(self) -> Iterator[list[str]]:
        """Yield the fields of each row below the header.

        Raises
        ------
        TableError
            At the first row that has another number of fields or an unbalanced quotation mark, or repeats the header.
        """
        n, gap = len(self.header), 0
        records = self._records()
        _, names = next(records)
        for line, fields in records:
            if not fields and n > 1:
                gap += 1
                continue
            yield from ([""] * n for _ in range(gap))
            gap = 0
            fields = fields or [""]
            if len(fields) != n:
                problem = f"it has {len(fields)} fields, but the header has {n}{_trailing(fields, n)}"
                raise TableError(self.path, problem, line)
            if fields == names:
                raise TableError(self.path, "it repeats the header", line)
            yield fields

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the first line, and the fields, of each record with the header."""
        line = 1
        with self._open() as file:
            reader = csv.reader(file, delimiter=self.separator, strict=True)
            try:
                for fields in reader:
                    if reader.line_num > line:
                        self._check_line_breaks(fields, line)
                    yield line, fields
                    line = reader.line_num + 1
            except csv.Error as error:
                problem = f"a quotation mark is not balanced, or misplaced ({error})"
                raise TableError(self.path, problem, line) from error
            except UnicodeDecodeError as error:
                raise TableError(
                    self.path, f"there or below, it is not {error.encoding.upper()} text. Save it as UTF-8", line
                ) from error

    def _check_line_breaks(self, fields: list[str], line: int) -> None:
        """Refuse a quoted field that holds other rows, as one does whose end is missing."""
        swallowed = [f for f in fields if ("\n" in f or "\r" in f) and (self.separator in f or len(fields) == 1)]
        if swallowed:
            raise TableError(self.path, "a quotation mark is not balanced: the field goes on in the next line", line)

    def _open(self) -> IO[str]:
        return open_text(self.path, self._errors, newline="")


def _trailing(fields: list[str], n: int) -> str:
    return " (a separator at the end of the line makes a field)" if len(fields) == n + 1 and not fields[-1] else ""


def read_text_table(path: TablePath, text: Collection[str] = ()) -> Any:
    """Read a text file into a DataFrame.

    Metadata, structures and the columns in ``text`` are texts as written, empty where nothing is written. Other
    columns are numbers or booleans if all their cells are, or else texts.

    Raises
    ------
    TableError
        With the line that is at fault.
    """
    import pandas as pd

    table = TextTable(path)
    n_rows = sum(1 for _ in table.rows())
    options = {"sep": table.separator, "names": table.header, "header": 0, "index_col": False, "nrows": n_rows,
               "skip_blank_lines": False, "keep_default_na": False, "low_memory": False}  # fmt: skip
    as_written = [name for name in table.header if is_text(name) or name in text]
    missing = {name: ["", *_MISSING] for name in table.header if name not in as_written}
    with open_text(path, newline="") as file:
        frame = pd.read_csv(file, dtype=dict.fromkeys(as_written, str), na_values=missing, **options)
    texts = [name for name in missing if frame[name].dtype.kind == "O" and not _holds_a_number(frame[name])]
    if texts:
        with open_text(path, newline="") as file:
            frame[texts] = pd.read_csv(file, usecols=texts, dtype=str, **options)[texts]
    if len(frame) != n_rows:
        raise TableError(path, f"{n_rows} rows were counted, but {len(frame)} were read")
    return frame.fillna(dict.fromkeys(as_written, ""))


def _holds_a_number(column: Any) -> bool:
    import pandas as pd

    return bool(pd.to_numeric(column, errors="coerce").notna().any())
