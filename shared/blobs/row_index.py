"""The row index: a blob beside the results that finds pages of their rows, sorted and filtered.

The head is JSON after its length; sections of little-endian numbers follow. `offsets` is where each
row begins in the stored results, and where the last one ends. `lines` is its line in the file (0:
not known). For each order `rows.ORDER` has the row numbers from 0 (not for the order of the file),
and `verdicts.ORDER`, `statuses.ORDER` and `brands.ORDER` the codes of these rows, one byte each.
`prices`, `differences` and `brand_names` (indexes of the head's `names`) are the values themselves:
a worker makes the index anew of them when rows change. `error_rows` and `error_offsets` are the
rows with entries in the error report, and where the first entry of each begins.

Workers write it with numpy; the API reads the bytes that a page needs, without numeric libraries.
"""

import bisect
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Self

import orjson

from shared.domain.batch import RowStatus
from shared.domain.errors import record_errors
from shared.domain.names import fold_name

HEAD_LENGTH = struct.Struct("<I")
OFFSET, NUMBER = struct.Struct("<Q"), struct.Struct("<I")
VERDICTS = ("", "below_market", "fair", "above_market", "uncertain")
"""Verdicts by their code; empty: the row has no asking price that was compared."""
STATUSES = tuple(map(str, RowStatus))
NO_BRAND, OTHER_BRANDS = 0, 255
"""Codes of rows without a brand, and of those whose brand is a rare one."""
INDEX_MAX_ROWS = 2_000_000
"""Rows of the largest results that have an index: a worker holds its columns in memory."""
SKIP = 4096
"""Rows whose matches are counted at once."""


class RowOrder(StrEnum):
    """What the rows of a page are sorted by."""

    LINE = "line"
    PRICE = "price"
    BRAND = "brand"
    DIFFERENCE = "difference"


class RowFilter(NamedTuple):
    """Which rows are wanted; None: all."""

    verdict: str | None = None
    status: str | None = None
    brand: str | None = None


class RowPlace(NamedTuple):
    """Where a row is."""

    row: int
    """Its number in the results, from 0."""
    line: int
    """Of the file; 0: not known."""
    start: int
    """Offset in the stored results."""
    stop: int
    errors_at: int | None
    """Offset of its first entry in the error report; None: it has none."""


class RowIndex:
    """Reads a row index.

    Args:
        blob: the index, open and seekable.
    """

    def __init__(self, blob: BinaryIO) -> None:
        self._blob = blob
        (length,) = HEAD_LENGTH.unpack(blob.read(HEAD_LENGTH.size))
        with record_errors():
            self.head: Mapping[str, Any] = orjson.loads(blob.read(length))
            self.rows: int = self.head["rows"]
            """Number of rows of the results."""
            self.brands: Sequence[str] = self.head["brands"]
            """Brands by their code from 1."""
            self._sections: Mapping[str, tuple[int, int]] = self.head["sections"]
        self._start = HEAD_LENGTH.size + length
        self._kept: dict[str, array[int]] = {}

    def find(
        self,
        order: RowOrder,
        wanted: RowFilter,
        first: int,
        count: int,
        *,
        descending: bool,
        matching: bytes | None = None,
    ) -> tuple[int, list[RowPlace]]:
        """The number of wanted rows, and some of them in an order.

        Args:
            order: of the rows; those without a value come last.
            wanted: which rows.
            first: number of the first of them, from 0.
            count: how many at most.
            descending: whether the largest value comes first.
            matching: a byte for each row of the file, 1 if it is wanted; None: all are.
        """
        valued = self.head["valued"].get(str(order), self.rows)
        masks = [self._mask(f"{name}.{order}", code) for name, code in self._codes(wanted)]
        if matching is not None:
            masks.append(self._ordered(matching, order))
        total, positions = _matches(masks, self.rows, valued, first, count, descending=descending)
        return total, [self.place(self._row_at(order, position)) for position in positions]

    def place(self, row: int) -> RowPlace:
        """Where a row is; raises `IndexError` for a number that no row has."""
        if not 0 <= row < self.rows:
            raise IndexError(row)
        start, stop = struct.unpack("<QQ", self._bytes("offsets", row * OFFSET.size, 16))
        (line,) = NUMBER.unpack(self._bytes("lines", row * NUMBER.size, NUMBER.size))
        return RowPlace(row, line, start, stop, self._errors_of(row))

    def row_of_line(self, line: int) -> int | None:
        """The number of the row that begins on a line of the file; None if there is none."""
        lines = self._numbers("lines")
        row = bisect.bisect_left(lines, line)
        return row if row < len(lines) and lines[row] == line else None

    def section(self, name: str) -> bytes:
        """The content of a section."""
        return self._bytes(name)

    def _codes(self, wanted: RowFilter) -> Iterator[tuple[str, int | None]]:
        if wanted.verdict is not None:
            yield "verdicts", _code(VERDICTS, wanted.verdict)
        if wanted.status is not None:
            yield "statuses", _code(STATUSES, wanted.status)
        if wanted.brand is not None:
            yield "brands", self._brand_code(wanted.brand)

    def _brand_code(self, brand: str) -> int | None:
        if not brand:
            return NO_BRAND
        folded = fold_name(brand)
        codes = (code for code, name in enumerate(self.brands, 1) if fold_name(name) == folded)
        return next(codes, None)

    def _mask(self, section: str, code: int | None) -> bytes:
        """A byte for each row of an order: 1 if it has the code."""
        table = bytearray(256)
        if code is not None:
            table[code] = 1
        return self._bytes(section).translate(bytes(table))

    def _ordered(self, of_rows: bytes, order: RowOrder) -> bytes:
        """The bytes of the rows, in an order."""
        if order is RowOrder.LINE:
            return of_rows
        return bytes(map(of_rows.__getitem__, self._numbers(f"rows.{order}")))

    def _row_at(self, order: RowOrder, position: int) -> int:
        if order is RowOrder.LINE:
            return position
        packed = self._bytes(f"rows.{order}", position * NUMBER.size, NUMBER.size)
        (row,) = NUMBER.unpack(packed)
        return int(row)

    def _errors_of(self, row: int) -> int | None:
        rows = self._numbers("error_rows")
        at = bisect.bisect_left(rows, row)
        if at == len(rows) or rows[at] != row:
            return None
        (offset,) = OFFSET.unpack(self._bytes("error_offsets", at * OFFSET.size, OFFSET.size))
        return int(offset)

    def _numbers(self, section: str) -> "array[int]":
        if section not in self._kept:
            numbers = array("I")
            numbers.frombytes(self._bytes(section))
            self._kept[section] = numbers
        return self._kept[section]

    def _bytes(self, section: str, at: int = 0, size: int | None = None) -> bytes:
        start, length = self._sections[section]
        self._blob.seek(self._start + start + at)
        return self._blob.read(length if size is None else size)

    def __enter__(self) -> Self:
        """Use the index."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the blob."""
        self._blob.close()


def pack_index(head: Mapping[str, Any], sections: Mapping[str, bytes]) -> Iterator[bytes]:
    """The bytes of an index.

    Args:
        head: members of the head but `sections`.
        sections: their content by name.
    """
    places, at = {}, 0
    for name, content in sections.items():
        places[name] = (at, len(content))
        at += len(content)
    packed = orjson.dumps({**head, "sections": places})
    yield HEAD_LENGTH.pack(len(packed))
    yield packed
    yield from sections.values()


def _code(values: Sequence[str], value: str) -> int | None:
    return values.index(value) if value in values else None


def _matches(
    masks: Sequence[bytes], rows: int, valued: int, first: int, count: int, *, descending: bool
) -> tuple[int, list[int]]:
    """The number of positions that all masks have, and those from `first` on.

    Args:
        masks: a byte for each position, 1 or 0.
        rows: number of positions.
        valued: those before it have a value to sort by; only these are reversed.
        first: of the matches.
        count: of them, at most.
        descending: whether the valued positions are taken from the last one.
    """
    if not masks:
        places = range(first, min(first + count, rows))
        if descending:
            return rows, [valued - 1 - at if at < valued else at for at in places]
        return rows, list(places)
    mask = masks[0]
    for other in masks[1:]:
        both = int.from_bytes(mask, "little") & int.from_bytes(other, "little")
        mask = both.to_bytes(rows, "little")
    head, rest = mask[:valued], mask[valued:]
    before = head.count(1)
    found: list[int] = []
    if first < before:
        some = min(count, before - first)
        if descending:
            found = [valued - 1 - at for at in _nth(head[::-1], first, some)]
        else:
            found = _nth(head, first, some)
    if len(found) < count:
        after = _nth(rest, max(first - before, 0), count - len(found))
        found += [valued + at for at in after]
    return before + rest.count(1), found


def _nth(mask: bytes, first: int, count: int) -> list[int]:
    """The positions of the ones of a mask from number `first` on."""
    start = 0
    while start < len(mask) and (ones := mask.count(1, start, start + SKIP)) <= first:
        first -= ones
        start += SKIP
    found: list[int] = []
    at = mask.find(1, start)
    while at >= 0 and len(found) < count:
        if first:
            first -= 1
        else:
            found.append(at)
        at = mask.find(1, at + 1)
    return found
