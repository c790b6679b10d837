"""Cells merged over several rows of a sheet: their value counts for each of the rows."""

import re
from collections import defaultdict
from collections.abc import Iterator

from worker.batches.tables.pieces import column_number
from worker.batches.tables.rows import NumberedRow

_MERGED = re.compile(
    rb'<(?:\w+:)?mergeCell\s[^<>]*?\bref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"'
)


class MergedCells:
    """The blocks of merged cells of a sheet that are more than one row high.

    Args:
        tail: the sheet's XML behind its rows.
    """

    def __init__(self, tail: bytes) -> None:
        self._blocks: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Column, from 0, and last row of the blocks that begin in a row."""
        for letters, first, last in _MERGED.findall(tail):
            if int(last) > int(first):
                self._blocks[int(first)].append((column_number(letters) - 1, int(last)))

    def fill(self, rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
        """The rows, with a block's value in each of its rows that holds anything else.

        Only the block's first column is filled, for in its first row, too, the others are blank.
        """
        return self._fill(rows) if self._blocks else rows

    def _fill(self, rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
        values: dict[int, tuple[int, str]] = {}
        for number, given in rows:
            cells = list(given)
            for column, (last, value) in list(values.items()):
                if number > last:
                    del values[column]
                    continue
                cells += [""] * (column + 1 - len(cells))
                cells[column] = cells[column] or value
            for column, last in self._blocks.get(number, ()):
                if column < len(given) and given[column]:
                    values[column] = last, given[column]
            yield number, cells
