"""Reads a result table row by row; writes it as Excel CSV and NDJSON."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from shared.blobs.stores import BlobWriter
from shared.domain.batch import number_columns

BLOCK_ROWS = 500


class Table:
    """A stored result table.

    Args:
        lines: of its CSV.
        own: number of its columns that are the file's; the added ones follow.
    """

    def __init__(self, lines: Iterable[str], own: int) -> None:
        self.rows: Iterator[list[str]] = csv.reader(lines)
        """The rows after the header; can be read once."""
        self.header = next(self.rows)
        self.own = own
        self.numbers = number_columns(self.header, own)
        """Indexes of the added number columns; their empty cells are null."""
        self.texts = [index for index in range(own, len(self.header)) if index not in self.numbers]
        """Indexes of the other added columns; their empty cells are null."""


def write_excel_fr(table: Table, target: BlobWriter) -> None:
    """Write the table as CSV for a French Excel."""
    text = io.StringIO()
    lines = csv.writer(text, delimiter=";", lineterminator="\r\n")
    text.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    lines.writerow(table.header)
    for number, row in enumerate(table.rows, start=1):
        for index in table.numbers:
            row[index] = row[index].replace(".", ",")
        lines.writerow(row)
        if number % BLOCK_ROWS == 0:
            target.write(text.getvalue().encode())
            text.seek(0)
            text.truncate()
    target.write(text.getvalue().encode())


def write_ndjson(table: Table, target: BlobWriter) -> None:
    """Write one JSON object per row; prices are numbers or null."""
    lines: list[bytes] = []
    for row in table.rows:
        cells: list[Any] = list(row)
        for index in table.numbers:
            cells[index] = float(row[index]) if row[index] else None
        for index in table.texts:
            cells[index] = row[index] or None
        lines.append(orjson.dumps(dict(zip(table.header, cells, strict=True))))
        if len(lines) == BLOCK_ROWS:
            target.write(b"\n".join(lines) + b"\n")
            lines.clear()
    if lines:
        target.write(b"\n".join(lines) + b"\n")
