"""The rows of a batch and of its correction, and the replacement of the ones by the others."""

import csv
import io
import re
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.domain.batch import RowCounts, RowStatus
from shared.tabular.csv_reader import SourceRow


class MergedRow(NamedTuple):
    """A row as it stands in the result files."""

    line: int
    result: bytes
    """Its line of the results."""
    rejected: bytes
    """Its line of the rejected rows; empty if it is not rejected."""
    status: RowStatus = RowStatus.VALUED
    """`valued`, `rejected` or `failed`."""

    @property
    def counts(self) -> RowCounts:
        """The row in the counts of its batch."""
        return RowCounts(
            valid=self.status is RowStatus.VALUED,
            invalid=self.status is RowStatus.REJECTED,
            failed=self.status is RowStatus.FAILED,
        )


class Replacement:
    """Replaces rows of a batch by their corrections, both in the order of the file.

    Args:
        corrected: the rows of the correction.
    """

    def __init__(self, corrected: Iterator[MergedRow]) -> None:
        self._corrected = corrected
        self.next = next(corrected, None)
        """The correction whose row has not come yet."""
        self.lines = array("q")
        """Lines of the replaced rows."""
        self.change = RowCounts()
        """What the replacements add to the counts of the batch."""

    def of(self, row: MergedRow) -> MergedRow:
        """The row, or its correction; a correction that could not be valued changes nothing."""
        new = self.next
        if new is None or new.line != row.line:
            return row
        self.next = next(self._corrected, None)
        if new.status is RowStatus.FAILED:
            return row
        self.lines.append(row.line)
        before, after = row.counts, new.counts
        self.change += RowCounts(*(b - a for a, b in zip(before, after, strict=True)))
        return new


def rows_of_correction(
    rows: Iterable[SourceRow], records: Iterator[bytes], rejected: Iterator[bytes], delimiter: str
) -> Iterator[MergedRow]:
    """The rows of a correction with their lines in the batch that they correct."""
    for row, record in zip(rows, records, strict=True):
        status = row_status(record, delimiter)
        is_rejected = status is RowStatus.REJECTED
        yield MergedRow(row.line, record, next(rejected) if is_rejected else b"", status)


_UNUSUAL = re.compile(b"|".join(each.encode() for each in (RowStatus.REJECTED, RowStatus.FAILED)))


def row_status(record: bytes, delimiter: str) -> RowStatus:
    r"""The status of a row by its line of the results; `valued` unless `rejected` or `failed`.

    >>> row_status(b'rejected,"1,5",valued,\n', ",")
    <RowStatus.VALUED: 'valued'>
    """
    if _UNUSUAL.search(record) is None:  # faster than reading the cells
        return RowStatus.VALUED
    cells = next(csv.reader(io.StringIO(record.decode(), newline=""), delimiter=delimiter))
    status = RowStatus(cells[-2])
    return status if status in {RowStatus.REJECTED, RowStatus.FAILED} else RowStatus.VALUED
