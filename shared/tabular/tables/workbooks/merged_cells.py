"""Merged cells of a sheet: their value counts for each of the rows and columns that they cover."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.tabular.tables.rows import NumberedRow
from shared.tabular.tables.workbooks.pieces import column_number

_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^<>]*>")
_RANGE = re.compile(
    rb"""\sref\s*=\s*["']\$?([A-Za-z]{1,3})\$?(\d{1,7}):\$?([A-Za-z]{1,3})\$?(\d{1,7})["']"""
)


class _Block(NamedTuple):
    first_column: int
    """From 0."""
    last_column: int
    last_row: int


class MergedCells:
    """The blocks of merged cells of a sheet.

    Args:
        tail: the sheet's XML behind its rows.
    """

    def __init__(self, tail: bytes) -> None:
        self._blocks: dict[int, list[_Block]] = defaultdict(list)
        """By their first row."""
        for tag in _MERGED.findall(tail):
            found = _RANGE.search(tag)
            if found is not None:
                left, right = (column_number(found[part].upper()) - 1 for part in (1, 3))
                self._blocks[int(found[2])].append(_Block(left, right, int(found[4])))
        self.filled_cells = 0
        """Cells that `fill` filled."""

    def fill_down(self, rows: Iterable[NumberedRow]) -> list[NumberedRow]:
        """The first rows of a sheet, with titles that are merged over the lines of its header.

        A name that is two lines high counts in the second, which holds the names of narrower
        columns. A group's title, which covers several columns, stays in the first of them.
        """
        return list(self._filled(rows, ()) if self._blocks else rows)

    def fill(self, rows: Iterator[NumberedRow], header: Sequence[str]) -> Iterator[NumberedRow]:
        """The rows below the header, with a block's value in each of its blank cells.

        Rows that hold nothing else stay away. Blocks that begin above these rows do not count: they
        belong to the header. Numbers count in the first column of their block only: nobody knows
        which of several columns a number is meant for.

        Args:
            rows: the rows below the header that hold something.
            header: the names of the columns; blocks are as wide as the named ones.
        """
        return self._counted(rows, header) if self._blocks else rows

    def _counted(self, rows: Iterator[NumberedRow], header: Sequence[str]) -> Iterator[NumberedRow]:
        before = 0

        def watched() -> Iterator[NumberedRow]:
            nonlocal before
            for number, cells in rows:
                before = sum(map(bool, cells))
                yield number, cells

        for number, cells in self._filled(watched(), header):
            self.filled_cells += sum(map(bool, cells)) - before
            yield number, cells

    def _filled(self, rows: Iterable[NumberedRow], header: Sequence[str]) -> Iterator[NumberedRow]:
        values: dict[int, tuple[int, str]] = {}
        """By column: the last row of the block and its value."""
        for number, given in rows:
            self._begin(self._blocks.get(number, ()), given, header, values)
            if not values:
                yield number, given
                continue
            cells = list(given)
            for column, (last, value) in list(values.items()):
                if number > last:
                    del values[column]
                    continue
                cells += [""] * (column + 1 - len(cells))
                cells[column] = cells[column] or value
            yield number, cells

    @staticmethod
    def _begin(
        blocks: Sequence[_Block],
        cells: Sequence[str],
        header: Sequence[str],
        values: dict[int, tuple[int, str]],
    ) -> None:
        """Add the values of the blocks that begin in a row."""
        for block in blocks:
            left = block.first_column
            value = cells[left] if left < len(cells) else ""
            if not value or (header and left >= len(header)):
                continue
            values[left] = block.last_row, value
            if any(map(str.isalpha, value)):
                for column in range(left + 1, min(block.last_column + 1, len(header))):
                    if header[column].strip():
                        values[column] = block.last_row, value
