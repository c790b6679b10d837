"""Writes the rows of a workbook or Parquet file as numbered CSV; see `shared.tabular.rows.text`."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, Literal, NamedTuple

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.csv_reader import COLUMNS_MAX, FIELD_MAX_CHARS
from shared.tabular.files.file_kinds import MAX_COMPRESSION_RATIO, RATIO_CHECK_MIN_BYTES
from shared.tabular.header_row import TITLE_ROWS_MAX, find_header, header_index_of
from shared.tabular.rows.text import NUMBER_COLUMN

BLOCK_ROWS = 1_000
CUT_ROWS_SHOWN = 5


NumberedRow = tuple[int, Sequence[str]]
"""The number of a row in its sheet or file, from 1, and its cells."""


class RowWriter:
    """Writes numbered rows, with a limit on the size relative to the source.

    Args:
        target: the output.
        source_bytes: size of the source file.
        max_bytes: maximum bytes of the output.
        max_rows: rows that are written, for a preview; None: all.
    """

    def __init__(
        self, target: BinaryIO, source_bytes: int, max_bytes: int, max_rows: int | None = None
    ) -> None:
        self._target = target
        self.max_rows = max_rows
        self._limit = min(
            max_bytes, max(RATIO_CHECK_MIN_BYTES, MAX_COMPRESSION_RATIO * source_bytes)
        )
        self._written = 0
        self._rows: list[Sequence[int | str]] = []
        self.cut_rows: list[int] = []
        """Numbers of the first rows with cells beyond the header, `CUT_ROWS_SHOWN` and one more."""

    def header(self, names: Sequence[str], number: int | None = None) -> None:
        """Write the header line.

        Args:
            names: of the columns, or the first car of a table without a header.
            number: of that row in its sheet, if it may be a car.

        Raises:
            UnreadableUpload: it has too many columns.
        """
        if len(names) > COLUMNS_MAX:
            problem = FieldProblem(
                "/header", "too-many-columns", maximum=COLUMNS_MAX, count=len(names)
            )
            raise UnreadableUpload([problem])
        self._rows.append([NUMBER_COLUMN if number is None else number, *names])

    def rows(self, rows: Iterable[NumberedRow], width: int) -> None:
        """Write rows in the width of the header.

        Short ones are filled up. Cells beyond the header are left out: nothing says what they mean,
        and, other than in a CSV, they cannot have moved the cells before them.
        """
        for number, cells in islice(rows, self.max_rows):
            if len(cells) > width:
                cells = cells[:width]  # noqa: PLW2901
                if len(self.cut_rows) <= CUT_ROWS_SHOWN:
                    self.cut_rows.append(number)
                if not any(cells):
                    continue
            row: list[int | str] = [number, *cells]
            row += [""] * (width - len(cells))
            self._rows.append(row)
            if len(self._rows) >= BLOCK_ROWS:
                self.flush()
        self.flush()

    def flush(self) -> None:
        """Write the buffered rows to the output."""
        lines = self._lines(csv.QUOTE_MINIMAL)
        if "\r" in lines:
            # The writer quotes its own line terminator only, and readers know others.
            lines = self._lines(csv.QUOTE_ALL)
        self._rows.clear()
        self.block(lines.encode("utf-8", "replace"))

    def _lines(self, quoting: Literal[0, 1]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", quoting=quoting).writerows(self._rows)
        return text.getvalue()

    def block(self, lines: bytes) -> None:
        """Write lines to the output.

        Raises:
            UnreadableUpload: the output exceeds its limit.
        """
        self._written += len(lines)
        if self._written > self._limit:
            raise UnreadableUpload([FieldProblem("/file", "table-too-large")])
        self._target.write(lines)


def truncate_cell(cell: str) -> str:
    """A cell; one over the length limit becomes one line that the reader reports as too long."""
    if len(cell) <= FIELD_MAX_CHARS:
        return cell
    return cell[: FIELD_MAX_CHARS + 1].translate(_ONE_LINE)


_ONE_LINE = str.maketrans({"\n": " ", "\r": " ", '"': "'", ",": ";"})


class TitledTable(NamedTuple):
    """A sheet's table and the titles above it."""

    titles: Sequence[Sequence[str]]
    header: Sequence[str]
    rows: Iterator[NumberedRow]
    number: int
    """Of the row of the header."""


def split_titles(
    rows: Iterator[NumberedRow], given: Sequence[str], header_row: int | None = None
) -> TitledTable | None:
    """Find the header among a sheet's first rows; None if there are no rows.

    Args:
        rows: the non-empty rows of the sheet.
        given: column names from the caller's options; they count as known.
        header_row: number of the row that the caller names as the header.

    Raises:
        UnreadableUpload: none of the first rows has this number.
    """
    first = list(islice(rows, max(TITLE_ROWS_MAX, header_row or 0)))
    if not first:
        return None
    cells = [row for _, row in first]
    if header_row is None:
        header_index = find_header(cells, given)
    else:
        header_index = header_index_of([number for number, _ in first], header_row)
    return TitledTable(
        cells[:header_index],
        cells[header_index],
        chain(first[header_index + 1 :], rows),
        first[header_index][0],
    )
