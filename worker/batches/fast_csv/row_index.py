"""The row index: where the rows of a CSV end, found without parsing.

A row ends at a line feed outside of quotes.
"""

import dataclasses
import re

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]
"""Offsets of bytes, in order."""

SEPARATOR = 31
"""The unit separator: replaces the delimiter between cells, which unquoted cells may contain."""

EMBEDDED_LINE_FEED = 30
"""The record separator: replaces a line feed inside of a cell."""

_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'
_NONE: Offsets = np.zeros(0, dtype=np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RowIndex:
    """Offsets of quotes and line feeds in a block of whole lines.

    The rows are right only if `are_quotes_sound`.
    """

    chars: NDArray[np.uint8]
    """The bytes of the lines."""
    delimiter: int
    quotes: Offsets
    lines: Offsets
    """All line feeds."""
    rows: Offsets
    """The line feeds that end a row; lines without any value are no rows."""

    @classmethod
    def of(cls, block: bytes, delimiter: str) -> "RowIndex":
        """Index a block; what follows the last line feed is no row yet.

        Args:
            block: begins between two rows.
            delimiter: ASCII character between cells.
        """
        chars = np.frombuffer(block, np.uint8)
        lines = np.flatnonzero(chars == _LINE_FEED)
        quotes = np.flatnonzero(chars == _QUOTE) if b'"' in block else _NONE
        ends = lines[_is_outside(lines, quotes)] if len(quotes) else lines
        return cls(
            chars=chars,
            delimiter=ord(delimiter),
            quotes=quotes,
            lines=lines,
            rows=_drop_blank_lines(block, ends, delimiter),
        )

    def first(self, rows: int) -> "RowIndex":
        """The index of the first rows; there are at least that many."""
        size = int(self.rows[rows - 1]) + 1
        return dataclasses.replace(
            self,
            chars=self.chars[:size],
            quotes=self.quotes[: np.searchsorted(self.quotes, size)],
            lines=self.lines[: np.searchsorted(self.lines, size)],
            rows=self.rows[:rows],
        )

    @property
    def is_quote_open(self) -> bool:
        """Whether the number of quotes is odd."""
        return len(self.quotes) % 2 == 1

    def longest_row(self) -> int:
        """Bytes of the longest row, including the empty lines before it."""
        return int(np.diff(self.rows, prepend=-1).max())

    def are_quotes_sound(self, width: int) -> bool:
        """Whether each opening quote is the first character of a cell.

        The general reader then ends rows at the same line feeds. A row of several lines must also
        have as many cells as the header, and only a delimiter after a closing quote: otherwise the
        general reader takes its first quote for an unclosed one.

        Args:
            width: number of cells of the header.
        """
        if not len(self.quotes):
            return True
        opening = self.quotes[0::2]
        before = self.chars[opening[opening > 0] - 1]
        is_first = np.isin(before, [self.delimiter, _LINE_FEED, _QUOTE])
        return bool(is_first.all()) and self._are_long_rows_whole(width)

    def _are_long_rows_whole(self, width: int) -> bool:
        """Whether all rows of several lines have `width` cells and sound closing quotes."""
        is_end = _is_outside(self.lines, self.quotes)
        ends, inside = self.lines[is_end], self.lines[~is_end]
        if not len(inside):
            return True
        after = self.chars[self.quotes[1::2] + 1]
        if not np.isin(after, [self.delimiter, _LINE_FEED, _RETURN, _QUOTE]).all():
            return False
        delimiters = np.flatnonzero(self.chars == self.delimiter)
        delimiters = delimiters[_is_outside(delimiters, self.quotes)]
        rows = np.unique(np.searchsorted(ends, inside))
        until = np.searchsorted(delimiters, ends)
        return bool((np.diff(until, prepend=0)[rows] == width - 1).all())


def _is_outside(offsets: Offsets, quotes: Offsets) -> NDArray[np.bool_]:
    """Whether an even number of quotes precedes each offset."""
    return np.asarray(np.searchsorted(quotes, offsets) % 2 == 0)


def _drop_blank_lines(block: bytes, ends: Offsets, delimiter: str) -> Offsets:
    """The ends of the lines that have a value."""
    if not len(ends):
        return ends
    starts = np.concatenate(([0], ends[:-1] + 1))
    # Only a line whose first cell is empty can be without values.
    chars = np.frombuffer(block, np.uint8)
    begins = [ord(delimiter), _LINE_FEED, _RETURN]
    second = chars[np.minimum(starts + 1, len(chars) - 1)]
    may_be_blank = np.isin(chars[starts], begins) | ((chars[starts] == _QUOTE) & (second == _QUOTE))
    nothing = re.compile(rb'(?:(?:"")?%b)*(?:"")?\r*' % re.escape(delimiter.encode()))
    blank = [
        line
        for line in np.flatnonzero(may_be_blank)
        if nothing.fullmatch(block, starts[line], ends[line])
    ]
    return np.delete(ends, blank)
