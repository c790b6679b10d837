"""Reads a file of corrected rows: the rejected rows of a batch, sent back in any format."""

import bisect
import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.domain.batch import REJECTED_COLUMNS, BatchManifest, source_columns
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.names import fold
from shared.tabular.cells import escape_header, restore_formula
from shared.tabular.columns.missing_columns import format_header
from shared.tabular.csv_reader import SourceRow
from shared.tabular.header_row import name_columns

LINE_COLUMN = REJECTED_COLUMNS[0]
"""The column that says which row of the batch a corrected row replaces."""

PROBLEMS_SHOWN = 10
"""Refused rows that a refusal names."""

LINE_MAX_DIGITS = 15


def rejected_header(manifest: BatchManifest) -> tuple[str, ...]:
    """The header of the rejected rows of a batch, with unique names."""
    header = manifest.dialect.header
    own = escape_header([header[index] for index in source_columns(header)])
    return tuple(name_columns([*own, *REJECTED_COLUMNS]))


def rejected_lines(lines: Iterable[str], manifest: BatchManifest) -> "array[int]":
    """The values of `row_line` in the stored rejected rows of a batch, in order.

    Args:
        lines: of the CSV.
        manifest: of the batch.
    """
    rows = csv.reader(lines, delimiter=manifest.result_delimiter)
    next(rows)
    return array("q", (int(row[-2]) for row in rows))


class CorrectedRow(NamedTuple):
    """A corrected row, with its cells as the columns of the batch that it corrects."""

    line: int
    """Line of the row in the file of that batch."""
    cells: Sequence[str]


class CorrectedColumns(NamedTuple):
    """Where the columns of a batch are in a file of corrected rows."""

    line: int
    """Index of the column `row_line`."""
    width: int
    """Columns of the file."""
    cells: Sequence[int | None]
    """Index of each column of the batch; None for those that its results leave out."""

    @classmethod
    def find(cls, header: Sequence[str], manifest: BatchManifest) -> "CorrectedColumns":
        """Find the columns by their names, in any order; further columns are left out.

        Args:
            header: of the file of corrected rows.
            manifest: of the batch that it corrects.

        Raises:
            UnreadableUpload: columns are missing.
        """
        expected = rejected_header(manifest)
        places = {fold(name): index for index, name in enumerate(header)}
        places |= {name.strip(): index for index, name in enumerate(header)}
        found: dict[str, int] = {}
        for name in expected:
            place = places.get(name, places.get(fold(name)))
            if place is not None and place not in found.values():
                found[name] = place
        line, *own = (found.get(name) for name in (expected[-2], *expected[:-2]))
        missing = [name for name in expected[:-1] if name not in found]
        if missing or line is None:
            raise UnreadableUpload.of(
                "missing-correction-columns",
                "/header",
                columns=", ".join(missing),
                found=format_header(header),
            )
        cells: list[int | None] = [None] * len(manifest.dialect.header)
        for index, place in zip(source_columns(manifest.dialect.header), own, strict=True):
            cells[index] = place
        return cls(line, len(header), cells)


def check_corrections(
    rows: Iterable[SourceRow],
    header: Sequence[str],
    manifest: BatchManifest,
    rejected: "array[int]",
) -> bool:
    """Check that each row replaces another rejected row of a batch.

    Args:
        rows: of the file of corrected rows.
        header: of that file.
        manifest: of the batch.
        rejected: `row_line` of its rejected rows, in order.

    Returns:
        Whether the rows are in the order of the batch.

    Raises:
        UnreadableUpload: columns are missing, or rows are no correction of a rejected row.
    """
    columns = CorrectedColumns.find(header, manifest)
    seen = bytearray(len(rejected))
    problems: list[FieldProblem] = []
    count, before, is_ordered = 0, -1, True
    for row in rows:
        count += 1
        text = row.cells[columns.line] if columns.line < len(row.cells) else ""
        index = _find_line(text, rejected)
        code = None if _has_cells(row, columns) else row.fault
        if code is None and index is None:
            code = "not-a-rejected-row"
        elif code is None and index is not None and seen[index]:
            code = "repeated-correction"
        if code is not None:
            problems.append(_problem(row, code, text, len(header)))
            if len(problems) == PROBLEMS_SHOWN:
                break
        elif index is not None:
            seen[index] = 1
            is_ordered, before = is_ordered and index > before, index
    if problems:
        raise UnreadableUpload(problems)
    if not count:
        raise UnreadableUpload.of("no-rows")
    return is_ordered


def _problem(row: SourceRow, code: str, text: str, expected: int) -> FieldProblem:
    pointer = f"/line/{row.line}"
    if code == "cell-too-long":
        return FieldProblem(pointer, "correction-cell-too-long", line=row.line)
    if code == row.fault:
        return FieldProblem(
            pointer, "unreadable-correction", line=row.line, found=len(row.cells), expected=expected
        )
    return FieldProblem(pointer, code, line=row.line, value=text[:40] or "—")


def corrected_rows(
    rows: Iterable[SourceRow], header: Sequence[str], manifest: BatchManifest
) -> Iterator[CorrectedRow]:
    """The rows of a file of corrections that was checked.

    Their cells are those of the file: result files have an apostrophe before formulas.
    """
    columns = CorrectedColumns.find(header, manifest)
    for row in rows:
        line = _line_number(row.cells[columns.line])
        if line is not None:
            width = len(row.cells)
            yield CorrectedRow(
                line,
                [
                    "" if place is None or place >= width else restore_formula(row.cells[place])
                    for place in columns.cells
                ],
            )


def _has_cells(row: SourceRow, columns: CorrectedColumns) -> bool:
    """Whether a row has its line, even if empty cells at its end are missing."""
    return row.fault == "wrong-cell-count" and columns.line < len(row.cells) < columns.width


def _find_line(text: str, rejected: "array[int]") -> int | None:
    """Index of a line among the rejected ones."""
    line = _line_number(text)
    if line is None:
        return None
    index = bisect.bisect_left(rejected, line)
    return index if index < len(rejected) and rejected[index] == line else None


def _line_number(text: str) -> int | None:
    """A line number as a spreadsheet may write it.

    >>> _line_number(" 12 "), _line_number("12.0"), _line_number("1 204"), _line_number("x")
    (12, 12, 1204, None)
    """
    digits = "".join(text.split()).removesuffix(".0").removesuffix(",0")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= LINE_MAX_DIGITS
    return int(digits) if is_number else None
