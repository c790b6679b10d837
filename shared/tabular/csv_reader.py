"""The general CSV reader: one row at a time, in bounded memory, from any row of the file on.

An unreadable row affects no other row: an unclosed quote costs its own line only, and undecodable
bytes cost the rows that contain them. Optional cells may be missing at the end of a row.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from shared.domain.car import REQUIRED_FIELDS
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Dialect
from shared.tabular.encoding import BOMS, restore

FIELD_MAX_CHARS = 100_000
LINE_MAX_BYTES = 2_000_000
COLUMNS_MAX = 500
BLOCK_BYTES = 1 << 20
REPLACEMENT = "\ufffd"

_UTF16 = frozenset({"utf-16-le", "utf-16-be"})
_UNREADABLE = re.compile("[\0\ud800-\udfff]")
_UNREADABLE_WIDE = re.compile("[\0\ufffd]")

csv.field_size_limit(FIELD_MAX_CHARS)


class Position(NamedTuple):
    """A position between two rows of a file."""

    offset: int
    """Bytes before it."""
    line: int
    """Lines before it."""


START = Position(0, 0)


class SourceRow(NamedTuple):
    """One row of a file."""

    line: int
    """Number of its first line, from 1."""
    cells: list[str]
    fault: str | None = None
    """Message code if the row is unreadable."""


class CsvStyle(NamedTuple):
    """Unusual ways of writing cells; see the members of `Dialect` of the same names."""

    quoted_lines: bool = False
    skip_initial_space: bool = False
    misread_as: str = ""


PLAIN = CsvStyle()
REPEATED_HEADER = "repeated-header"
HEADER_MIN_NAMES = 2
"""A row that repeats so many names of the header, and has nothing else, is the header again."""


class CsvReader:
    """Reads the rows of a file of a known dialect; lines without any value are skipped.

    Args:
        stream: the file, binary and seekable.
        encoding: codec name.
        delimiter: one character.
        start: where to begin, from `position`.
        width: number of cells of a row; None: any.
        min_cells: a row with at least so many is filled up with empty cells, because spreadsheets
            omit them at the end of a line; None: `width`.
        style: unusual ways of writing cells.
    """

    def __init__(
        self,
        stream: BinaryIO,
        encoding: str,
        delimiter: str,
        *,
        start: Position = START,
        width: int | None = None,
        min_cells: int | None = None,
        style: CsvStyle = PLAIN,
    ) -> None:
        self._min_cells = width if min_cells is None else min_cells
        self._lines = _LineBuffer(stream, encoding, start)
        self._delimiter = delimiter
        self._width = width
        self._style = style
        self._header: Sequence[str] = ()

    @classmethod
    def of(cls, stream: BinaryIO, dialect: Dialect, start: Position = START) -> "CsvReader":
        """A reader of the data rows of a file whose dialect was detected."""
        width, min_cells = len(dialect.header), _min_row_cells(dialect)
        codec, delimiter = dialect.encoding, dialect.delimiter
        style = CsvStyle(dialect.quoted_lines, dialect.skip_initial_space, dialect.misread_as)
        reader = cls(
            stream, codec, delimiter, start=start, width=width, min_cells=min_cells, style=style
        )
        if start == START:
            reader._width = None
            rows = iter(reader)
            for _ in range(dialect.titles + dialect.has_header + dialect.unit_rows):
                next(rows, None)
            reader._width = width
        reader._header = dialect.header if dialect.has_header else ()
        return reader

    @property
    def position(self) -> Position:
        """The position after the last row that was yielded."""
        return self._lines.position

    def __iter__(self) -> Iterator[SourceRow]:
        lines = self._lines
        rows = self._csv_rows(lines.feed())
        before = 0
        while True:
            try:
                cells: list[str] | None = next(rows)
            except StopIteration:
                return
            except csv.Error:
                cells = None
            count, before = rows.line_num - before, rows.line_num
            if cells is None or self._has_open_quote(cells, count):
                yield self._skip_broken_line()
                rows, before = self._csv_rows(lines.feed()), 0
                continue
            if self._style is not PLAIN:
                cells = self._restyle(cells)
            row = self._row(cells, count) if any(cells) else None
            lines.index += count
            if row is not None:
                yield row

    def _csv_rows(self, lines: Iterable[str]) -> Any:
        skip_space = self._style.skip_initial_space
        return csv.reader(lines, delimiter=self._delimiter, skipinitialspace=skip_space)

    def _restyle(self, cells: list[str]) -> list[str]:
        """The cells without quotes around the whole line, and with their letters restored."""
        style = self._style
        if style.quoted_lines and self._delimiter in cells[0] and not any(cells[1:]):
            with contextlib.suppress(csv.Error, StopIteration):
                cells = next(self._csv_rows([cells[0]]))
        if style.misread_as:
            cells = [restore(cell, style.misread_as) for cell in cells]
        return cells

    def _has_open_quote(self, cells: list[str], count: int) -> bool:
        """Whether the record has an unclosed quote, which includes the following lines."""
        if self._lines.at_eof:
            return True
        return count > 1 and (self._width not in {None, len(cells)} or not self._is_closed(count))

    def _is_closed(self, count: int) -> bool:
        """Whether only delimiters follow the closing quotes of a record of several lines.

        Text after one means that it opens another cell, and that the quote before was unclosed.
        """
        record = self._lines.window[self._lines.index : self._lines.index + count]
        try:
            next(csv.reader(record, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return False
        return True

    def _skip_broken_line(self) -> SourceRow:
        """Reject the record's first line only; its other lines are read again."""
        first = self._lines.window[self._lines.index]
        line = self._lines.number + 1
        self._lines.index += 1
        fault = "cell-too-long" if len(first) > FIELD_MAX_CHARS else "open-quote"
        cells = first.rstrip("\r\n").split(self._delimiter)
        return SourceRow(
            line, [replace_unreadable(cell[:FIELD_MAX_CHARS]) for cell in cells], fault
        )

    def _row(self, cells: list[str], count: int) -> SourceRow:
        lines = self._lines
        line = lines.number + 1
        if lines.suspicious and lines.is_unreadable(count):
            return SourceRow(line, [replace_unreadable(cell) for cell in cells], "unreadable-text")
        if self._header and repeats_header(cells, self._header):
            return SourceRow(line, cells, REPEATED_HEADER)
        if self._width is None or len(cells) == self._width:
            return SourceRow(line, cells)
        if len(cells) > self._width and not any(cells[self._width :]):
            return SourceRow(line, cells[: self._width])
        if self._min_cells is not None and self._min_cells <= len(cells) < self._width:
            return SourceRow(line, cells + [""] * (self._width - len(cells)))
        return SourceRow(line, cells, "wrong-cell-count")


def _min_row_cells(dialect: Dialect) -> int:
    """Minimum number of cells of a row: up to the last required field."""
    places = [dialect.columns[name].index for name in REQUIRED_FIELDS if name in dialect.columns]
    return 1 + max(places, default=len(dialect.header) - 1)


def repeats_header(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row is the header again: files that were appended to each other have it.

    >>> repeats_header(["Marque", "", "Prix"], ["Marque", "column_2", "Prix"])
    True
    """
    if len(cells) != len(header) or cells[-1].strip() not in ("", header[-1]):
        return False
    names = [(cell.strip(), name) for cell, name in zip(cells, header, strict=True) if cell.strip()]
    return len(names) >= HEADER_MIN_NAMES and all(cell == name for cell, name in names)


def replace_unreadable(text: str) -> str:
    """Replace NUL and surrogates, which cannot be written."""
    return _UNREADABLE.sub(REPLACEMENT, text)


class _LineBuffer:
    """Decoded lines of a file with their line ends, read in blocks.

    `window` holds the current lines, `window[index]` is the first line of the current record, and
    `at_eof` tells that the end of the file was reached.
    """

    def __init__(self, stream: BinaryIO, encoding: str, start: Position) -> None:
        self._stream = stream
        self._encoding = encoding
        self._is_utf16 = encoding in _UTF16
        self._errors = "replace" if self._is_utf16 else "surrogateescape"
        self._unreadable = _UNREADABLE_WIDE if self._is_utf16 else _UNREADABLE
        self._rest = b""
        self._lines_before = start.line
        self._bytes_before = self._skip_bom(start.offset)
        self.window: list[str] = []
        self.index = 0
        self.suspicious = False
        self.at_eof = False

    @property
    def number(self) -> int:
        """Number of lines before the current record."""
        return self._lines_before + self.index

    @property
    def position(self) -> Position:
        """Where the current record begins."""
        return Position(self._bytes_before + self._size(self.window[: self.index]), self.number)

    def feed(self) -> Iterator[str]:
        """The lines from the current record to the end of the file."""
        self.at_eof = False
        yield from self.window[self.index :]
        while fresh := self._next_lines():
            yield from fresh
        self.at_eof = True

    def is_unreadable(self, count: int) -> bool:
        """Whether the record's `count` lines have unreadable characters."""
        record = self.window[self.index : self.index + count]
        return any(map(self._unreadable.search, record))

    def _size(self, lines: list[str]) -> int:
        errors = "strict" if self._is_utf16 else self._errors
        return len("".join(lines).encode(self._encoding, errors))

    def _skip_bom(self, offset: int) -> int:
        self._stream.seek(offset)
        bom = BOMS.get(self._encoding, b"")
        if offset == 0 and bom and self._stream.read(len(bom)) == bom:
            return len(bom)
        self._stream.seek(offset)
        return offset

    def _next_lines(self) -> list[str]:
        """Read a block; the lines of the current record stay in the window."""
        data, self._rest = self._next_block()
        text = data.decode(self._encoding, self._errors)
        fresh = list(io.StringIO(text, newline=""))
        self._bytes_before, self._lines_before = self.position
        self.window = self.window[self.index :] + fresh
        self.index = 0
        self.suspicious = any(map(self._unreadable.search, (text, *self.window[: -len(fresh)])))
        return fresh

    def _next_block(self) -> tuple[bytes, bytes]:
        """Bytes up to the end of a line, and the bytes after it."""
        data = self._rest
        while True:
            more = self._stream.read(BLOCK_BYTES)
            data += more
            if not more:
                return data, b""
            end = self._end_of_lines(data)
            if end:
                return data[:end], data[end:]
            if len(data) > LINE_MAX_BYTES:
                line = self.number + 1
                raise UnreadableUpload.of(
                    "line-too-long", f"/line/{line}", maximum=LINE_MAX_BYTES, line=line
                )

    def _end_of_lines(self, data: bytes) -> int:
        """Length of the part of `data` that ends with a line end; 0 if there is none."""
        if not self._is_utf16:
            # A carriage return at the very end may be the first half of a line end.
            return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1
        newline = "\n".encode(self._encoding)
        end = data.rfind(newline)
        while end >= 0 and end % 2:
            end = data.rfind(newline, 0, end + 1)
        return end + 2 if end >= 0 else 0
