"""Accepts corrections: rejected rows of a batch that are sent back to it."""

import contextlib
import dataclasses
from collections.abc import Iterator

from shared.blobs.batch_files import SOURCE, BatchFiles, table_name
from shared.blobs.row_lines import all_lines
from shared.domain.batch import Batch, BatchManifest, BatchOptions, OnError, ResultTable
from shared.domain.errors import CorrectionInProgress, NothingToCorrect
from shared.domain.ids import BatchId
from shared.domain.table import FileKind
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.corrections import check_corrections, rejected_header, rejected_lines
from shared.tabular.csv_reader import CsvReader


def correction_options(batch: BatchManifest, *, any_row: bool = False) -> BatchOptions:
    """The options under which the corrected rows of a batch are read and valued.

    Args:
        batch: the batch.
        any_row: whether rows that are not rejected may be replaced.
    """
    return dataclasses.replace(
        batch.options,
        on_error=OnError.CONTINUE,
        encoding=None,
        delimiter=None,
        decimal=None,
        sheet=None,
        header=True,
        expected_header=rejected_header(batch),
        any_row=any_row,
    )


class CorrectionGate:
    """Lets one correction of a batch in at a time.

    Args:
        files: records and blobs of batches.
        ledger: the ledger.
    """

    def __init__(self, files: BatchFiles, ledger: BatchLedger) -> None:
        self._files = files
        self._ledger = ledger

    @contextlib.contextmanager
    def admit(self, manifest: BatchManifest, corrected: Batch) -> Iterator[None]:
        """Check a stored correction, and record it with the batch when the context ends.

        Args:
            manifest: of the correction.
            corrected: the batch, as it was before the correction was received.

        Raises:
            CorrectionInProgress: another one is under way, or ended meanwhile.
            NothingToCorrect: the batch has no rejected rows.
            UnreadableUpload: rows of a CSV are no corrections of rejected rows. Those of other
                files are checked by a worker.
        """
        batch_id = corrected.manifest.id
        if not self._ledger.lock_corrections(batch_id):
            raise CorrectionInProgress(id=batch_id)
        try:
            self._check(manifest, corrected)
            self._files.write_last_correction(batch_id, manifest.id)
            yield
        finally:
            self._ledger.unlock_corrections(batch_id)

    @contextlib.contextmanager
    def closed(self, batch_id: BatchId) -> Iterator[None]:
        """Keep corrections of a batch out while the context lasts.

        Raises:
            CorrectionInProgress: one is under way.
        """
        if not self._ledger.lock_corrections(batch_id):
            raise CorrectionInProgress(id=batch_id)
        try:
            if self._files.has_pending_correction(batch_id):
                raise CorrectionInProgress(id=batch_id)
            yield
        finally:
            self._ledger.unlock_corrections(batch_id)

    def _check(self, manifest: BatchManifest, corrected: Batch) -> None:
        batch_id, revision = corrected.manifest.id, corrected.progress.revision
        current = self._files.final(batch_id)
        if self._files.has_pending_correction(batch_id):
            raise CorrectionInProgress(id=batch_id)
        if current is None or current.revision != revision:
            raise CorrectionInProgress(id=batch_id)
        if not current.counts.invalid and not manifest.options.any_row:
            raise NothingToCorrect(id=batch_id)
        if manifest.dialect.kind is FileKind.CSV:
            self._check_rows(manifest, corrected.manifest, revision)

    def _check_rows(self, manifest: BatchManifest, corrected: BatchManifest, revision: str) -> None:
        blobs = self._files.blobs
        runs = self._files.line_runs(corrected.id) if manifest.options.any_row else []
        if runs:
            lines = all_lines(runs)
        else:
            name = table_name(ResultTable.REJECTED, revision=revision)
            with blobs.read(corrected.id, name) as blob:
                lines = rejected_lines((line.decode() for line in blob), corrected)
        with blobs.read(manifest.id, SOURCE) as source:
            rows = CsvReader.of(source, manifest.dialect)
            check_corrections(rows, manifest.dialect.header, corrected, lines)
