"""How a file writes its table, found out from its beginning."""

import codecs
import dataclasses
import io
import re
from collections import Counter
from itertools import islice

from shared.domain.batch import BatchOptions, Dialect
from shared.domain.errors import FieldProblem, UnreadableUpload, UnsupportedUpload
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS
from shared.schemas.columns import field_of, match_header
from shared.schemas.csv_reader import BOMS, CsvReader, SourceRow, clean
from shared.schemas.fields import Number

HEAD_BYTES = 1 << 18
"""How much of a file is looked at."""

DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-1", "iso8859-15", "cp1256")
"""Codec names, as `codecs.lookup` gives them."""

SAMPLE_ROWS = 50
FOREIGN_FORMATS = {
    b"PK\x03\x04": "Excel/ZIP",
    b"\xd0\xcf\x11\xe0": "Excel (xls)",
    b"PAR1": "Parquet",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"%PDF": "PDF",
}


@dataclasses.dataclass(slots=True)
class TextEvidence:
    """What the bytes of a file say of its encoding, gathered while it passes by."""

    _decoder: codecs.IncrementalDecoder = dataclasses.field(
        default_factory=codecs.getincrementaldecoder("utf-8")
    )
    is_utf8: bool = True
    """No byte so far contradicts UTF-8."""
    has_utf8_signs: bool = False
    """A sign of several bytes was read as UTF-8 before anything contradicted it."""

    def see(self, block: bytes) -> None:
        """Take note of the next bytes."""
        if not self.is_utf8:
            return
        try:
            text = self._decoder.decode(block)
        except UnicodeDecodeError as error:
            self.is_utf8 = False
            self.has_utf8_signs = self.has_utf8_signs or not error.object[: error.start].isascii()
        else:
            self.has_utf8_signs = self.has_utf8_signs or not text.isascii()

    @property
    def encoding(self) -> str:
        """UTF-8 unless the first sign beyond ASCII was none: then Windows' Western encoding."""
        return "utf-8" if self.is_utf8 or self.has_utf8_signs else "cp1252"


def detect(head: bytes, evidence: TextEvidence, options: BatchOptions, *, whole: bool) -> Dialect:
    """The dialect of a file; what the options say is believed.

    Args:
        head: the file's first bytes.
        evidence: of the whole file, as far as it has arrived.
        options: the caller's.
        whole: whether `head` is the whole file.

    Raises:
        UnsupportedUpload: the file is not a text at all.
        UnreadableUpload: it is empty, has no rows, or lacks needed columns.
    """
    _refuse_foreign(head)
    encoding = _encoding(head, evidence, options.encoding)
    if not whole:
        head = _whole_lines(head, encoding)
    delimiter = options.delimiter or _delimiter(head, encoding)
    rows = _sample(head, encoding, delimiter)
    if not rows:
        raise _unreadable("empty-file")
    header = name_columns(rows[0].cells)
    columns = match_header(header)
    if whole and len(rows) == 1:
        raise _unreadable("no-rows")
    _check_key_column(header, options.key_column)
    decimal = options.decimal or _decimal(rows[1:], columns)
    return Dialect(encoding=encoding, delimiter=delimiter, decimal=decimal, header=tuple(header))


def name_columns(cells: list[str]) -> list[str]:
    """Header cells as names; a column without one is named by its position.

    >>> name_columns([" Marque ", ""])
    ['Marque', 'column_2']
    """
    return [cell.strip() or f"column_{index + 1}" for index, cell in enumerate(cells)]


def key_index(header: tuple[str, ...] | list[str], key_column: str | None) -> int | None:
    """Index of the column that names the rows, found by its name in any spelling."""
    if key_column is None:
        return None
    if key_column in header:
        return list(header).index(key_column)
    folded = [fold(name) for name in header]
    return folded.index(fold(key_column)) if fold(key_column) in folded else None


def _check_key_column(header: list[str], key_column: str | None) -> None:
    if key_column is not None and key_index(header, key_column) is None:
        raise UnreadableUpload(
            [
                FieldProblem(
                    "/header", "unknown-key-column", column=key_column, found=", ".join(header[:40])
                )
            ]
        )


def _unreadable(code: str, pointer: str = "/file", **params: object) -> UnreadableUpload:
    return UnreadableUpload([FieldProblem(pointer, code, **params)])


def _refuse_foreign(head: bytes) -> None:
    if not head:
        raise _unreadable("empty-file")
    for magic, name in FOREIGN_FORMATS.items():
        if head.startswith(magic):
            raise UnsupportedUpload(given=name, expected="CSV")


def _encoding(head: bytes, evidence: TextEvidence, wanted: str | None) -> str:
    if wanted == "utf-16":
        return "utf-16-be" if head.startswith(BOMS["utf-16-be"]) else "utf-16-le"
    if wanted:
        return wanted
    for encoding, bom in BOMS.items():
        if head.startswith(bom):
            return encoding
    wide = _wide_encoding(head)
    if wide:
        return wide
    nul = head.find(b"\0")
    if nul >= 0:
        raise _unreadable("binary-file", line=head.count(b"\n", 0, nul) + 1)
    return evidence.encoding


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a mark: of plain text, every second byte is 0."""
    half = len(head) // 2
    if not half:
        return None
    for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
        zeros = head[first::2].count(0)
        if zeros > half * 0.4 and head[1 - first :: 2].count(0) < half * 0.05:
            return encoding
    return None


def _whole_lines(head: bytes, encoding: str) -> bytes:
    """`head` without its last line, which may be cut off; all of it if there is only one."""
    newline = "\n".encode(encoding)
    end = head.rfind(newline)
    if end < 0:
        newline, end = "\r".encode(encoding), head.rfind("\r".encode(encoding))
    return head[: end + len(newline)] if end >= 0 else head


def _sample(head: bytes, encoding: str, delimiter: str) -> list[SourceRow]:
    rows = CsvReader(io.BytesIO(head), encoding, delimiter)
    return [
        row._replace(cells=[clean(cell) for cell in row.cells]) for row in islice(rows, SAMPLE_ROWS)
    ]


def _delimiter(head: bytes, encoding: str) -> str:
    """The sign that gives the most columns we know, then the most even rows."""

    def score(delimiter: str) -> tuple[int, int, int]:
        rows = _sample(head, encoding, delimiter)
        if not rows:
            return 0, 0, 0
        header = rows[0].cells
        known = sum(field_of(name) is not None for name in header)
        even = sum(len(row.cells) == len(header) for row in rows)
        return known, even if len(header) > 1 else 0, len(header)

    return max(DELIMITERS, key=score)


_COMMA_DECIMALS = re.compile(r"(?:^|\D)\d+,\d{1,2}(?:\D|$)")
_DOT_DECIMALS = re.compile(r"(?:^|\D)\d+\.\d{1,2}(?:\D|$)")


def _decimal(rows: list[SourceRow], columns: dict[str, int]) -> str:
    """The decimal sign that the numbers of the sample prove."""
    votes: Counter[str] = Counter()
    numeric = [index for name, index in columns.items() if isinstance(CAR_FIELDS[name], Number)]
    for row in rows:
        for index in numeric:
            cell = row.cells[index] if index < len(row.cells) else ""
            votes[","] += _COMMA_DECIMALS.search(cell) is not None
            votes["."] += _DOT_DECIMALS.search(cell) is not None
    if votes[","] and not votes["."]:
        return ","
    if votes["."] and not votes[","]:
        return "."
    return "auto"
