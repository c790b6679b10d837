"""A sheet's XML, cut between rows into pieces that python-calamine can hold.

Calamine holds a sheet as the rectangle around its cells: for a full sheet that is a gigabyte, and
one cell far to the right makes it larger still. Neither the text of a piece nor its rectangle is
large.
"""

import operator
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, NamedTuple

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.tables.workbooks.cell_repair import CellRepair

EXCEL_MAX_COLUMNS = 16_384
"""Excel's own limit."""

MAX_ROW_NUMBER = 999_999_999
"""Calamine has 32 bits for it; Excel has 1,048,576 rows, some writers more."""

PIECE_MAX_CELLS = 3_000_000
"""Of a piece's rectangle; each takes 24 bytes in calamine and 8 in Python."""

BLOCK_BYTES = 1 << 20
HEAD_MAX_BYTES = 8_000_000
TAIL_MAX_BYTES = 16_000_000
TAG_MAX_BYTES = 1_000
SAMPLE_BYTES = 65_536
"""Of each piece: oddities that a writer puts into every row are looked for in so much of it."""

_WORKSHEET = re.compile(rb"<(?:\w+:)?worksheet[\s/>]")
_SHEET_DATA = re.compile(rb"<((?:\w+:)?)sheetData(?:\s[^<>]*)?>")
_SHEET_DATA_END = re.compile(rb"</(?:\w+:)?sheetData\s*>")
_COLUMNS = re.compile(rb"<(?:\w+:)?col\s[^<>]*>")
_BOUND = re.compile(rb"""\s(min|max)\s*=\s*["'](\d{1,5})["']""")
_IS_HIDDEN = re.compile(rb"""\s(?:hidden\s*=\s*["'](?:1|true)|width\s*=\s*["']0(?:\.0*)?)["']""")
"""A column without width is as invisible as a hidden one."""
_TWO_LETTERS = re.compile(rb' r="([A-Z]{2,})\d')


def workbook_error(code: str = "wrong-workbook") -> UnreadableUpload:
    """The error of a workbook that cannot be read."""
    return UnreadableUpload([FieldProblem("/file", code)])


def column_number(letters: bytes) -> int:
    """Number of a column, from 1.

    >>> column_number(b"A"), column_number(b"AB")
    (1, 28)
    """
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def read_tail(stream: IO[bytes]) -> bytes:
    """The beginning of the XML that follows the rows of a sheet; empty if nothing does."""
    window, tail = b"", b""
    while block := stream.read(BLOCK_BYTES):
        if tail:
            tail += block if len(tail) < TAIL_MAX_BYTES else b""
            continue
        window = window[-TAG_MAX_BYTES:] + block
        if b"sheetData" in window and (found := _SHEET_DATA_END.search(window)) is not None:
            tail = window[found.end() :]
    return tail


def tail_of(xml: bytes) -> bytes:
    """The XML that follows the rows of a sheet whose whole XML is given."""
    end = xml.rfind(b"sheetData")
    return xml[end:] if end >= 0 else b""


class Piece(NamedTuple):
    """Consecutive rows of a sheet."""

    xml: bytes
    """A whole document."""
    hidden_rows: frozenset[int]
    """Numbers of those rows that are hidden."""


class SheetCutter:
    """Cuts a sheet's XML into pieces.

    Args:
        stream: the sheet's part.
        piece_bytes: least size of a piece that is not the last one.
        repair: changes cells before they are read.
    """

    def __init__(self, stream: IO[bytes], piece_bytes: int, repair: CellRepair) -> None:
        self._stream = stream
        self._repair = repair
        self.hidden_columns: list[range] = []
        """Indexes of hidden columns, from 0; known once the first piece is."""
        self._piece_bytes = piece_bytes
        self._block_bytes = min(piece_bytes, BLOCK_BYTES)

    @property
    def missing_values(self) -> int:
        """Formulas without a saved value so far."""
        return self._repair.missing_values

    def __iter__(self) -> Iterator[Piece]:
        """The pieces.

        Raises:
            UnreadableUpload: it is no sheet, or is cut off, or has a column that Excel has not.
        """
        head = self._read_head()
        if head is None:
            return
        prefix, block = head
        tags = RowTags(prefix)
        self._repair.prepare(prefix)
        last = 0
        for rows in self._cut(block, tags.row_end, b"</%bsheetData" % prefix):
            rows = self._repair.repair(tags.strip_values(rows))  # noqa: PLW2901
            numbers = tags.sound_numbers(rows)
            if numbers is None or (numbers and numbers[0] <= last):
                rows, numbers = tags.renumber(rows, last)  # noqa: PLW2901
            last = numbers[-1] if numbers else last
            for part in _split(rows, numbers, tags):
                yield Piece(tags.document(part), tags.hidden_rows(part))

    def _read_head(self) -> tuple[bytes, bytes] | None:
        """The prefix of the sheet's elements, and what was read of its rows; None: it has none."""
        head = b""
        while len(head) < HEAD_MAX_BYTES and (block := self._stream.read(self._block_bytes)):
            head += block
            found = _SHEET_DATA.search(head)
            if b"<!DOCTYPE" in head[: found.start() if found else None]:
                raise workbook_error()
            if found is not None:
                self.hidden_columns = _hidden_columns(head[: found.start()])
                return None if found[0].endswith(b"/>") else (found[1], head[found.end() :])
        if _WORKSHEET.search(head) is None or len(head) >= HEAD_MAX_BYTES:
            raise workbook_error()
        return None

    def _cut(self, block: bytes, row_end: bytes, data_end: bytes) -> Iterator[bytes]:
        """The XML of the rows, cut between two of them."""
        buffer, searched = bytearray(block), 0
        while (end := buffer.find(data_end, max(0, searched - len(data_end)))) < 0:
            searched = len(buffer)
            cut = buffer.rfind(row_end) if searched >= self._piece_bytes else -1
            if cut >= 0:
                cut += len(row_end)
                yield bytes(memoryview(buffer)[:cut])
                del buffer[:cut]
                searched -= cut
            more = self._stream.read(self._block_bytes)
            if not more:
                raise workbook_error()
            buffer += more
        yield bytes(memoryview(buffer)[:end])


def _hidden_columns(head: bytes) -> list[range]:
    """The hidden columns that the XML before the rows of a sheet names."""
    hidden = []
    for tag in _COLUMNS.findall(head):
        bounds = {name: int(value) for name, value in _BOUND.findall(tag)}
        if _IS_HIDDEN.search(tag) and bounds.keys() == {b"min", b"max"}:
            hidden.append(range(bounds[b"min"] - 1, bounds[b"max"]))
    return hidden


def _split(rows: bytes, numbers: Sequence[int], tags: "RowTags") -> Iterator[bytes]:
    """The rows in parts whose rectangles of cells are not too large."""
    width = tags.width(rows)
    if width > EXCEL_MAX_COLUMNS:
        raise workbook_error()
    height = PIECE_MAX_CELLS // max(width, 1)
    if not numbers or numbers[-1] - numbers[0] < height:
        yield rows
        return
    starts, cuts, first = tags.starts(rows), [0], 0
    while (first := bisect_left(numbers, numbers[first] + height)) < len(numbers):
        cuts.append(starts[first])
    for start, stop in pairwise([*cuts, len(rows)]):
        yield rows[start:stop]


class RowTags:
    """Finds the tags of rows and cells in a sheet's XML.

    Nearly all writers begin these tags in the same way, `<row r="…"` and `<c r="…"`. Patterns that
    begin with such a text are several times as fast as others; the others are for the rest.

    Args:
        prefix: of the names of all elements, with its colon; few writers have one.
    """

    def __init__(self, prefix: bytes) -> None:
        row, cell = b"<%brow" % prefix, b"<%bc" % prefix
        self._prefix, self._row, self._cell = prefix, row, cell
        self.row_end = b"</%brow>" % prefix
        self._usual_number = re.compile(rb'%b(?: r="(\d{1,9})"|(?=[\s/>]))' % row)
        self._other_number = re.compile(rb'%b r="(\d+)"[^<>]*>%b r="[A-Z]+(?!\1")\d' % (row, cell))
        self._cell_beyond_z = re.compile(rb'%b(?! r="[A-Z]\d)[\s/>]' % cell)
        self._unplaced_cell = re.compile(rb'%b(?! r="[A-Z])[\s/>]' % cell)
        self._padding = re.compile(rb"<%bv>\s" % prefix)
        self._padded = re.compile(rb"(<%bv>)\s+([-+.\dEe]+)\s*(?=<)" % prefix)
        self._tag = re.compile(rb"%b(?=[\s/>])[^<>]*>" % row)
        self._number = re.compile(rb"""\sr\s*=\s*["']\s*(\d*)[^"']*["']""")
        self._hidden = re.compile(
            rb'%b r="(\d+)"(?=\s)(?:[^<>]*?\s)(?:hidden=.(?:1|true)|ht=.0(?:\.0*)?)["\']' % row
        )
        place = rb"""%b\s(?:[^<>]*?\s)?r\s*=\s*["']""" % cell
        self._column = re.compile(place + rb"([A-Z]+)\d")
        self._place_row = re.compile(rb"(%b[A-Za-z]+)\d+" % place)

    def document(self, rows: bytes) -> bytes:
        """A sheet with these rows alone."""
        return b"<{0}worksheet><{0}sheetData>%b</{0}sheetData></{0}worksheet>".replace(
            b"{0}", self._prefix
        ) % (rows,)

    def strip_values(self, rows: bytes) -> bytes:
        """The rows without space around numbers: calamine reads no number there, or a wrong one."""
        return (
            self._padded.sub(rb"\1\2", rows)
            if self._padding.search(rows, 0, SAMPLE_BYTES)
            else rows
        )

    def sound_numbers(self, rows: bytes) -> list[int] | None:
        """Numbers of the rows; None unless all have one, they rise, and first cells agree."""
        found = self._usual_number.findall(rows)
        if b"" in found or self._other_number.search(rows, 0, SAMPLE_BYTES):
            return None
        numbers = list(map(int, found))
        return numbers if all(map(operator.lt, numbers, numbers[1:])) else None

    def renumber(self, rows: bytes, last: int) -> tuple[bytes, list[int]]:
        """The rows with numbers that rise, and these; calamine loses rows of the same number.

        A row keeps its number if it is greater than the one before.

        Args:
            rows: XML of rows.
            last: number of the row before them.
        """
        tags = self._tag.findall(rows)
        before, *bodies = self._tag.split(rows)
        name = len(self._row)
        out, numbers = [before], []
        for tag, body in zip(tags, bodies, strict=True):
            given = self._number.search(tag)
            last = max(last + 1, int(given[1] or 0) if given else 0)
            if last > MAX_ROW_NUMBER:
                raise workbook_error()
            numbers.append(last)
            attributes = self._number.sub(b"", tag, 1)[name:]
            cells = self._place_row.sub(rb"\g<1>%d" % last, body)
            out += [tag[:name], b' r="%d"' % last, attributes, cells]
        return b"".join(out), numbers

    def starts(self, rows: bytes) -> list[int]:
        """Where the rows begin."""
        return [found.start() for found in self._tag.finditer(rows)]

    def hidden_rows(self, rows: bytes) -> frozenset[int]:
        """Numbers of the rows that are hidden or have no height; the rows are numbered."""
        if b"hidden=" not in rows and b"ht=" not in rows:
            return frozenset()
        return frozenset(map(int, self._hidden.findall(rows)))

    def width(self, rows: bytes) -> int:
        """Columns up to the last one that has a cell; at least 26."""
        if not self._cell_beyond_z.search(rows):
            return 26
        widest = _max_column(_TWO_LETTERS.findall(rows))
        is_unplaced = self._unplaced_cell.search(rows) is not None
        if is_unplaced or widest > EXCEL_MAX_COLUMNS:  # or a text that looks like a cell's place
            widest = _max_column(self._column.findall(rows))
        if is_unplaced:
            cells = max(row.count(self._cell) for row in rows.split(self.row_end))
            widest = max(widest, cells)
        return widest


def _max_column(letters: Sequence[bytes]) -> int:
    return max(map(column_number, set(letters)), default=26)
