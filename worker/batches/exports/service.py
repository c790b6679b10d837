"""Makes exports: a result table in another format, from its CSV, on the first request.

An export is stored like the CSV: it has a length, can be downloaded in ranges, costs the API no
time, and is made once.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import orjson

from shared.blobs.batch_files import BatchFiles, table_name
from shared.blobs.stores import BlobWriter
from shared.domain.batch import ExportFormat, ResultTable, number_columns, source_columns
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.redis.batches import BatchLedger

BLOCK_ROWS = 500
"""Rows of a text format that are written at once."""

RENEW_INTERVAL_S = 5.0
"""Time between two renewals of the claim of an export."""

log = get_logger("batch.forms")


class StoredResults:
    """A stored result table.

    Args:
        lines: of its CSV.
        source_count: number of its first columns, which are those of the file.
    """

    def __init__(self, lines: Iterable[str], source_count: int) -> None:
        self.rows: Iterator[list[str]] = csv.reader(lines)
        """The rows after the header; can be read once."""
        self.header = next(self.rows)
        self.source_count = source_count
        self.numbers = number_columns(self.header, source_count)
        """Indexes of the added number columns; their empty cells are null."""
        self.texts = [
            index for index in range(source_count, len(self.header)) if index not in self.numbers
        ]
        """Indexes of the other added columns; their empty cells are null."""


def write_excel_fr(table: StoredResults, target: BlobWriter) -> None:
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


def write_ndjson(table: StoredResults, target: BlobWriter) -> None:
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


def write_parquet(table: StoredResults, target: BlobWriter) -> None:
    """Write the table as Parquet."""
    from worker.batches.exports import parquet  # noqa: PLC0415 - memory that only Parquet needs

    parquet.write_parquet(table, target)


WRITERS: Mapping[ExportFormat, Callable[[StoredResults, BlobWriter], None]] = {
    ExportFormat.EXCEL_FR: write_excel_fr,
    ExportFormat.NDJSON: write_ndjson,
    ExportFormat.PARQUET: write_parquet,
}


class BatchExporter:
    """Makes exports."""

    def __init__(self, files: BatchFiles, ledger: BatchLedger) -> None:
        self._files = files
        self._ledger = ledger

    def run(self, batch_id: BatchId, table: ResultTable, file_format: ExportFormat) -> None:
        """Make an export unless it exists; after a failure the next request orders it again.

        Args:
            batch_id: a batch that has ended.
            table: which of its tables.
            file_format: any except `CSV`.
        """
        name = table_name(table, file_format)
        try:
            if self._files.blobs.size(batch_id, name) is None:
                self._make(batch_id, table, file_format)
        except FileNotFoundError:
            log.warning("batch_form_without_batch", batch_id=batch_id, form=name)
        except OSError as error:
            log.warning("batch_form_not_stored", batch_id=batch_id, form=name, error=str(error))
        finally:
            self._ledger.finish_export(batch_id, name)

    def _make(self, batch_id: BatchId, table: ResultTable, file_format: ExportFormat) -> None:
        manifest = self._files.existing_manifest(batch_id)
        started = time.monotonic()
        source_count = len(source_columns(manifest.dialect.header))
        name = table_name(table, file_format)
        with (
            self._files.blobs.read(batch_id, table_name(table, ExportFormat.CSV)) as source,
            self._files.blobs.write(batch_id, name) as target,
        ):
            lines = self._lines_with_renewal(source, batch_id, name)
            WRITERS[file_format](StoredResults(lines, source_count), target)
        elapsed_s = round(time.monotonic() - started, 3)
        log.info("batch_form_made", batch_id=batch_id, form=name, elapsed_s=elapsed_s)

    def _lines_with_renewal(self, source: BinaryIO, batch_id: BatchId, name: str) -> Iterator[str]:
        """The lines of a table; the claim of the export is renewed while they are read."""
        renewed_at = time.monotonic()
        for number, line in enumerate(source):
            if number % 1000 == 0 and time.monotonic() - renewed_at > RENEW_INTERVAL_S:
                renewed_at = time.monotonic()
                try:
                    self._ledger.renew_export(batch_id, name)
                except BrokerUnavailable as error:  # at worst the export is made twice
                    log.warning("batch_form_not_renewed", batch_id=batch_id, error=str(error))
            yield line.decode()
