"""Imports the workbook or Parquet file of a batch: stores its rows as text, detects its dialect."""

import time
from pathlib import Path

from shared.blobs.batch_files import SOURCE, TABLE, BatchFiles
from shared.domain.batch import BatchManifest
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import Dialect
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.dialect import HEAD_BYTES
from shared.tabular.tables.dialect import table_dialect
from shared.tabular.tables.process import PROGRESS_INTERVAL_S, TableReadRequest, read_table
from worker.batches.steps import SPLIT


class TableImporter:
    """Imports workbooks, Parquet and JSON files.

    Args:
        files: records and blobs of batches.
        ledger: the ledger, for renewals of the lease.
        spool: folder for temporary copies of files of a remote store.
        max_bytes: maximum bytes of a table as text.
    """

    def __init__(
        self, files: BatchFiles, ledger: BatchLedger, *, spool: Path, max_bytes: int
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._spool = spool
        self._max_bytes = max_bytes

    def open(self, manifest: BatchManifest) -> BatchManifest:
        """Store the rows of the file; return the manifest with its columns.

        Raises:
            UnreadableUpload: it is no table of cars; the reason is recorded.
            ReadCancelled: the batch was cancelled.
        """
        try:
            dialect = self._read(manifest)
        except UnreadableUpload as error:
            self._files.write_refusal(manifest.id, error.problems)
            raise
        self._files.write_table(manifest.id, dialect)
        opened = self._files.manifest(manifest.id)
        if opened is None:
            raise FileNotFoundError(f"manifest of {manifest.id}")
        return opened

    def _read(self, manifest: BatchManifest) -> Dialect:
        options, batch_id = manifest.options, manifest.id
        order = TableReadRequest(
            kind=manifest.dialect.kind,
            sheet=options.sheet,
            headers=options.given_headers,
            max_bytes=self._max_bytes,
            header_row=options.header_row,
        )
        with (
            self._files.blobs.read(batch_id, SOURCE) as source,
            self._files.blobs.write(batch_id, TABLE) as table,
        ):
            found = read_table(
                source, table, order, self._spool, _LeaseRenewal(self._ledger, batch_id)
            )
        with self._files.blobs.read(batch_id, TABLE) as table:
            head = table.read(HEAD_BYTES)
        return table_dialect(head, found, options, manifest.dialect.kind)


class _LeaseRenewal:
    """Renews the lease of the step at an interval; False once the batch is cancelled."""

    def __init__(self, ledger: BatchLedger, batch_id: BatchId) -> None:
        self._ledger = ledger
        self._batch_id = batch_id
        self._next = time.monotonic() + PROGRESS_INTERVAL_S

    def __call__(self) -> bool:
        if time.monotonic() < self._next:
            return True
        self._next = time.monotonic() + PROGRESS_INTERVAL_S
        self._ledger.renew(self._batch_id, SPLIT)
        progress = self._ledger.progress(self._batch_id)
        return progress is not None and not progress.cancel_requested
