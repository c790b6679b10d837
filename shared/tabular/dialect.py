"""Detects the dialect of a text file from its first bytes."""

import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from shared.domain.batch import BatchOptions
from shared.domain.car import REQUIRED_FIELDS
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Detection, Dialect, Notice
from shared.tabular.cell_evidence import is_car
from shared.tabular.column_names import field_for_header
from shared.tabular.csv_reader import PLAIN, CsvReader, CsvStyle, SourceRow, replace_unreadable
from shared.tabular.encoding import EncodingDetector, detect_encoding, find_misreading
from shared.tabular.header_row import find_header, header_index_of
from shared.tabular.sample import Sample, complete_dialect

HEAD_BYTES = 1 << 18
"""Bytes of a file that are looked at."""

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_ROWS = 50

QUOTED_MIN_SHARE = 0.8
"""Share of the lines below the header that stand in quotes, if all lines do."""

_QUOTED_LINE = re.compile(r'\s*"([^"]*(?:""[^"]*)*)"[\s,;|]*')
_SPACE_BEFORE_QUOTE = re.compile(r'[,;\t|] +"[^"]*"\s*(?:[,;\t|]|$)')


def detect_dialect(
    head: bytes,
    detector: EncodingDetector,
    options: BatchOptions,
    *,
    whole: bool,
    charset: str | None = None,
) -> Dialect:
    """Detect the dialect of a file; the caller's options take precedence.

    Args:
        head: the file's first bytes.
        detector: fed with the file as far as it has arrived.
        options: of the caller.
        whole: whether `head` is the whole file.
        charset: the parameter of the file's Content-Type, if it has one.

    Raises:
        UnreadableUpload: it is empty, is no text, has no rows, or lacks required columns.
    """
    if not head:
        raise UnreadableUpload.of("empty-file")
    encoding = detect_encoding(head, detector, options.encoding, charset)
    if not whole:
        head = _complete_lines(head, encoding.value)
    text = head.decode(encoding.value, "replace")
    style = _detect_style(text)
    delimiter = _detect_delimiter(head, encoding.value, options, style)
    titles, (header, *rows) = _table(head, encoding.value, delimiter.value, options, style)
    known = Dialect(
        encoding=encoding.value,
        delimiter=delimiter.value,
        titles=len(titles),
        findings={"encoding": encoding, "delimiter": delimiter},
        notices=(
            *_encoding_notices(encoding, detector, charset),
            *_style_notices(style),
        ),
        **style._asdict(),
    )
    is_whole = whole and len(titles) + 1 + len(rows) < SAMPLE_ROWS
    dialect = complete_dialect(Sample(header, rows, is_whole, titles), options, known)
    if whole and len(rows) + (not dialect.has_header) <= dialect.unit_rows:
        raise UnreadableUpload.of("no-rows")
    return dialect


def _encoding_notices(
    encoding: Detection, detector: EncodingDetector, charset: str | None
) -> Iterator[Notice]:
    """Notices about an encoding that was assumed, or is not that of the request."""
    if encoding.basis == "western-letters" and detector.stray_utf8_chars:
        yield Notice(code="mixed-encodings", values=(str(detector.stray_utf8_chars),))
    if encoding.basis == "words":
        yield Notice(code="assumed-encoding", values=(encoding.value,))
    if charset is not None and encoding.basis not in ("given", "content-type", "ascii"):
        yield Notice(code="other-charset", values=(charset[:40], encoding.value))


def _style_notices(style: CsvStyle) -> Iterator[Notice]:
    """Notices about unusual ways of writing that are undone."""
    if style.misread_as:
        yield Notice(code="misread-text", values=(style.misread_as,))
    if style.quoted_lines:
        yield Notice(code="quoted-lines")
    if style.skip_initial_space:
        yield Notice(code="space-before-quotes")


def _detect_style(text: str) -> CsvStyle:
    """How a text writes its cells, by its first lines."""
    lines = [line for line in text.splitlines()[: SAMPLE_ROWS + 1] if line.strip()]
    quoted = list(map(_is_quoted_line, lines[1:]))
    return CsvStyle(
        quoted_lines=bool(quoted) and sum(quoted) > QUOTED_MIN_SHARE * len(quoted),
        skip_initial_space=any(map(_SPACE_BEFORE_QUOTE.search, lines)),
        misread_as=find_misreading(text),
    )


def _is_quoted_line(line: str) -> bool:
    """Whether a line is a single quoted cell with delimiters inside."""
    found = _QUOTED_LINE.fullmatch(line)
    return found is not None and any(delimiter in found[1] for delimiter in DELIMITERS)


def _table(
    head: bytes, encoding: str, delimiter: str, options: BatchOptions, style: CsvStyle
) -> tuple[list[list[str]], list[list[str]]]:
    """The title rows above the header, and the first rows from the header on."""
    found = sample_rows(head, encoding, delimiter, style)
    if not found:
        raise UnreadableUpload.of("empty-file")
    rows = [row.cells for row in found]
    if options.header_row is None:
        header_index = find_header(rows, options.given_headers)
    else:
        header_index = header_index_of([row.line for row in found], options.header_row)
    return rows[:header_index], rows[header_index:]


def sample_rows(
    head: bytes, encoding: str, delimiter: str, style: CsvStyle = PLAIN
) -> list[SourceRow]:
    """The first rows of a text, including the header."""
    rows = CsvReader(io.BytesIO(head), encoding, delimiter, style=style)
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
    head: bytes, encoding: str, options: BatchOptions, style: CsvStyle
) -> Detection:
    """The candidate with the most known columns, then the most rows as wide as the header."""
    if options.delimiter:
        return Detection(value=options.delimiter, confidence=1.0, basis="given")
    scores = {
        candidate: _score(head, encoding, candidate, options, style) for candidate in DELIMITERS
    }
    best = max(DELIMITERS, key=scores.__getitem__)
    score = scores[best]
    if score.width <= 1:
        return Detection(value=best, confidence=0.2, basis="one-column")
    if not score.known:
        return Detection(value=best, confidence=round(0.5 * score.even, 2), basis="even-rows")
    share = min(score.known / len(REQUIRED_FIELDS), 1.0)
    confidence = round((0.5 + 0.5 * share) * (0.5 + 0.5 * score.even), 2)
    return Detection(value=best, confidence=confidence, basis="known-headers")


def _score(
    head: bytes, encoding: str, delimiter: str, options: BatchOptions, style: CsvStyle
) -> _DelimiterScore:
    try:
        _, rows = _table(head, encoding, delimiter, options, style)
    except UnreadableUpload:  # with this delimiter no row begins on the line of the header
        return _DelimiterScore(0, 0.0, 0)
    header = rows[0]
    known = sum(field_for_header(name) is not None for name in header) or int(is_car(header))
    even = sum(len(row) == len(header) for row in rows) / len(rows)
    return _DelimiterScore(known, even if len(header) > 1 else 0.0, len(header))
