"""Writes a result table as CSV of another dialect, or as NDJSON."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from shared.blobs.stores import BlobWriter
from shared.domain.batch import ExportFormat
from shared.tabular.cells import csv_lines
from worker.batches.exports.table import StoredResults

BLOCK_ROWS = 500
"""Rows that are written at once."""

BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()


def write_csv(table: StoredResults, target: BlobWriter) -> None:
    """Write the table as CSV with the delimiter, decimal sign and line ends of the export.

    A decimal comma between commas is quoted, as RFC 4180 asks.
    """
    export = table.export
    delimiter, decimal, line_end = export.delimiter, export.decimal, "\n"
    if export.format is ExportFormat.EXCEL_FR:
        delimiter, decimal, line_end = ";", ",", "\r\n"
        target.write(BYTE_ORDER_MARK)
    delimiter = delimiter or table.manifest.result_delimiter
    target.write(csv_lines([[name] for name in table.header], delimiter, line_end))
    for rows in _blocks(table.rows):
        if decimal != ".":
            for row in rows:
                for index in table.numbers:
                    row[index] = row[index].replace(".", decimal)
        target.write(csv_lines(list(zip(*rows, strict=True)), delimiter, line_end))


def write_ndjson(table: StoredResults, target: BlobWriter) -> None:
    """Write one JSON object per row; prices are numbers or null."""
    for rows in _blocks(table.rows):
        target.write(b"".join(_json_line(row, table) for row in rows))


def _json_line(row: list[str], table: StoredResults) -> bytes:
    cells: list[Any] = list(row)
    for index in table.numbers:
        cells[index] = float(row[index]) if row[index] else None
    for index in table.texts:
        cells[index] = row[index] or None
    return orjson.dumps(dict(zip(table.header, cells, strict=True))) + b"\n"


def _blocks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while block := list(islice(rows, BLOCK_ROWS)):
        yield block
