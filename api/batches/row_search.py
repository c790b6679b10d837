"""Which rows of the results of a batch have a text in a cell."""

import threading
from array import array
from collections import OrderedDict
from typing import BinaryIO

from shared.blobs.row_index import RowIndex
from shared.domain.text_search import TextQuery

SEARCH_MAX_ROWS = 500_000
"""Rows of the largest results that are searched: 100,000 take about a tenth of a second."""
KEPT_SEARCHES = 16
"""Answers that are kept for the next page of a table: a byte for each row."""
ROWS_AT_ONCE = 2_000
"""Rows that are read from the store at once."""


class KeptSearches:
    """The last answers of searches, by what was asked."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...]) -> bytes | None:
        """An answer that is still kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, ...], answer: bytes) -> None:
        """Keep an answer, and drop the one that was used least recently."""
        with self._lock:
            self._kept[key] = answer
            if len(self._kept) > KEPT_SEARCHES:
                self._kept.popitem(last=False)


def search_rows(results: BinaryIO, index: RowIndex, query: TextQuery) -> bytes:
    """A byte for each row: 1 if a cell has the text.

    Args:
        results: the stored results, open and seekable.
        index: of the results.
        query: the text, and the cells in which it counts.
    """
    offsets = array("Q")
    offsets.frombytes(index.section("offsets"))
    found = bytearray(index.rows)
    for first in range(0, index.rows, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, index.rows)
        start = offsets[first]
        results.seek(start)
        piece = results.read(offsets[last] - start)
        if piece.count(b"\n") == last - first and piece.endswith(b"\n"):
            found[first:last] = bytes(query.in_lines(piece))
            continue
        for row in range(first, last):  # a cell has a line break
            found[row] = query.is_in(piece[offsets[row] - start : offsets[row + 1] - start])
    return bytes(found)
