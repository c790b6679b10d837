"""Makes exports: a result table in another form, from its stored CSV, on the first request.

An export is stored like the CSV: it has a length, can be downloaded in ranges, costs the API no
time, and is made once.
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from shared.blobs.batch_files import BatchFiles, errors_name, table_name
from shared.blobs.stores import BlobWriter
from shared.domain.batch import ExportFormat, ResultTable
from shared.domain.errors import BrokerUnavailable
from shared.domain.files.exports import STORED, Export
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.redis.batch_ledger.ledger import BatchLedger
from worker.batches.exports.table import StoredResults, Writer
from worker.batches.exports.text import write_csv, write_ndjson

RENEW_INTERVAL_S = 5.0
"""Time between two renewals of the claim of an export."""

log = get_logger("batch.forms")


def write_parquet(table: StoredResults, target: BlobWriter) -> None:
    """Write the table as Parquet."""
    from worker.batches.exports import parquet  # noqa: PLC0415 - memory that only Parquet needs

    parquet.write_parquet(table, target)


def write_xlsx(table: StoredResults, target: BlobWriter, spool: Path) -> None:
    """Write the table as an Excel workbook, with temporary files in `spool`."""
    from worker.batches.exports import xlsx  # noqa: PLC0415 - memory that only workbooks need

    xlsx.write_xlsx(table, target, spool)


class BatchExporter:
    """Makes exports.

    Args:
        files: records and blobs of batches.
        ledger: the ledger, which holds the claims of exports.
        spool: folder for temporary files.
    """

    def __init__(self, files: BatchFiles, ledger: BatchLedger, *, spool: Path) -> None:
        self._files = files
        self._ledger = ledger
        self._writers: Mapping[ExportFormat, Writer] = {
            ExportFormat.CSV: write_csv,
            ExportFormat.EXCEL_FR: write_csv,
            ExportFormat.NDJSON: write_ndjson,
            ExportFormat.PARQUET: write_parquet,
            ExportFormat.XLSX: partial(write_xlsx, spool=spool),
        }

    def run(self, batch_id: BatchId, table: ResultTable, export: Export, revision: str) -> None:
        """Make an export unless it exists; after a failure the next request orders it again.

        Args:
            batch_id: a batch that has ended.
            table: which of its tables.
            export: its form; not the stored one.
            revision: of the results.
        """
        name = table_name(table, export, revision)
        try:
            if self._files.blobs.size(batch_id, name) is None:
                self._make(batch_id, table, export, revision)
        except FileNotFoundError:
            log.warning("batch_form_without_batch", batch_id=batch_id, form=name)
        except OSError as error:
            log.warning("batch_form_not_stored", batch_id=batch_id, form=name, error=str(error))
        finally:
            self._ledger.finish_export(batch_id, name)

    def _make(self, batch_id: BatchId, table: ResultTable, export: Export, revision: str) -> None:
        manifest = self._files.existing_manifest(batch_id)
        started = time.monotonic()
        name, stored = table_name(table, export, revision), table_name(table, STORED, revision)

        def lines() -> Iterator[str]:
            return self._lines_with_renewal(batch_id, stored, name)

        is_rejected = table is ResultTable.REJECTED
        results = StoredResults(lines, manifest, export, is_rejected=is_rejected)
        with self._files.blobs.write(batch_id, name) as target:
            if export.format is ExportFormat.ROW_INDEX:
                self._write_index(results, revision, target)
            else:
                self._writers[export.format](results, target)
        if self._files.tombstone(batch_id) is not None:  # deleted meanwhile
            self._files.discard_remains(batch_id)
            return
        self._ledger.record_bytes(batch_id, manifest.caller, self._files.blobs.total_size(batch_id))
        elapsed_s = round(time.monotonic() - started, 3)
        log.info("batch_form_made", batch_id=batch_id, form=name, elapsed_s=elapsed_s)

    def _write_index(self, results: StoredResults, revision: str, target: BlobWriter) -> None:
        """Write the row index of the results."""
        # Imported here: memory that only the index needs.
        from worker.batches.row_index import RowIndexWriter  # noqa: PLC0415

        blobs, manifest = self._files.blobs, results.manifest
        writer = RowIndexWriter(manifest, self._files.line_runs(manifest.id))
        with blobs.read(manifest.id, errors_name(revision)) as errors:
            for block in writer.pack(results.open_lines(), errors):
                target.write(block)

    def _lines_with_renewal(self, batch_id: BatchId, stored: str, name: str) -> Iterator[str]:
        """The lines of a table; the claim of the export is renewed while they are read."""
        renewed_at = time.monotonic()
        with self._files.blobs.read(batch_id, stored) as source:
            for number, line in enumerate(source):
                if number % 1000 == 0 and time.monotonic() - renewed_at > RENEW_INTERVAL_S:
                    renewed_at = time.monotonic()
                    try:
                        self._ledger.renew_export(batch_id, name)
                    except BrokerUnavailable as error:  # at worst the export is made twice
                        log.warning("batch_form_not_renewed", batch_id=batch_id, error=str(error))
                yield line.decode()
