"""Detects the dialect of a text file from its first bytes."""

import io
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from shared.domain.batch import BatchOptions
from shared.domain.car import REQUIRED_FIELDS
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Detection, Dialect, Notice
from shared.tabular.csv_reader import CsvReader, SourceRow, replace_unreadable
from shared.tabular.encoding import EncodingDetector, detect_encoding
from shared.tabular.headers import field_for_header, find_header
from shared.tabular.sample import Sample, complete_dialect, name_columns, title_notices

HEAD_BYTES = 1 << 18
"""Bytes of a file that are looked at."""

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_ROWS = 50


def detect_dialect(
    head: bytes, detector: EncodingDetector, options: BatchOptions, *, whole: bool
) -> Dialect:
    """Detect the dialect of a file; the caller's options take precedence.

    Args:
        head: the file's first bytes.
        detector: fed with the file as far as it has arrived.
        options: of the caller.
        whole: whether `head` is the whole file.

    Raises:
        UnreadableUpload: it is empty, is no text, has no rows, or lacks required columns.
    """
    if not head:
        raise UnreadableUpload.of("empty-file")
    encoding = detect_encoding(head, detector, options.encoding)
    if not whole:
        head = _complete_lines(head, encoding.value)
    given = options.given_headers
    delimiter = _detect_delimiter(head, encoding.value, options.delimiter, given)
    titles, (header, *rows) = _table(head, encoding.value, delimiter.value, given)
    notices = title_notices(titles)
    if encoding.basis == "western-letters" and detector.stray_utf8_chars:
        notices += (Notice(code="mixed-encodings", values=(str(detector.stray_utf8_chars),)),)
    known = Dialect(
        encoding=encoding.value,
        delimiter=delimiter.value,
        titles=len(titles),
        findings={"encoding": encoding, "delimiter": delimiter},
        notices=notices,
    )
    is_whole = whole and len(titles) + 1 + len(rows) < SAMPLE_ROWS
    dialect = complete_dialect(Sample(name_columns(header), rows, is_whole), options, known)
    if whole and not rows:
        raise UnreadableUpload.of("no-rows")
    return dialect


def _table(
    head: bytes, encoding: str, delimiter: str, given: Sequence[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """The title rows above the header, and the first rows from the header on."""
    rows = [row.cells for row in sample_rows(head, encoding, delimiter)]
    if not rows:
        raise UnreadableUpload.of("empty-file")
    header_index = find_header(rows, given)
    return rows[:header_index], rows[header_index:]


def sample_rows(head: bytes, encoding: str, delimiter: str) -> list[SourceRow]:
    """The first rows of a text, including the header."""
    rows = CsvReader(io.BytesIO(head), encoding, delimiter)
    return [
        row._replace(cells=[replace_unreadable(cell) for cell in row.cells])
        for row in islice(rows, SAMPLE_ROWS)
    ]


def _complete_lines(head: bytes, encoding: str) -> bytes:
    """`head` without its last line, which may be incomplete.

    Raises:
        UnreadableUpload: not even the first line ends.
    """
    newline = "\n".encode(encoding)
    end = head.rfind(newline)
    if end < 0:
        newline, end = "\r".encode(encoding), head.rfind("\r".encode(encoding))
    if end < 0:
        raise UnreadableUpload.of("line-too-long", "/line/1", line=1, maximum=HEAD_BYTES)
    return head[: end + len(newline)]


class _DelimiterScore(NamedTuple):
    """How well a delimiter fits, compared field by field; more is better."""

    known: int
    """Number of headers that are fields of the car."""
    even: float
    """Share of the rows that are as wide as the header; 0 for a single column."""
    width: int


def _detect_delimiter(
    head: bytes, encoding: str, wanted: str | None, given: Sequence[str] = ()
) -> Detection:
    """The candidate with the most known columns, then the most rows as wide as the header."""
    if wanted:
        return Detection(value=wanted, confidence=1.0, basis="given")
    scores = {candidate: _score(head, encoding, candidate, given) for candidate in DELIMITERS}
    best = max(DELIMITERS, key=scores.__getitem__)
    score = scores[best]
    if score.width <= 1:
        return Detection(value=best, confidence=0.2, basis="one-column")
    if not score.known:
        return Detection(value=best, confidence=round(0.5 * score.even, 2), basis="even-rows")
    share = min(score.known / len(REQUIRED_FIELDS), 1.0)
    confidence = round((0.5 + 0.5 * share) * (0.5 + 0.5 * score.even), 2)
    return Detection(value=best, confidence=confidence, basis="known-headers")


def _score(head: bytes, encoding: str, delimiter: str, given: Sequence[str]) -> _DelimiterScore:
    _, rows = _table(head, encoding, delimiter, given)
    header = rows[0]
    known = sum(field_for_header(name) is not None for name in header)
    even = sum(len(row) == len(header) for row in rows) / len(rows)
    return _DelimiterScore(known, even if len(header) > 1 else 0.0, len(header))
