"""Result files of batches: stored tables, exports, error reports and partial results."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import orjson

from api.events.thread_waits import ThreadWaits
from shared.blobs.batch_files import BatchFiles, errors_name, table_name
from shared.blobs.parts import partial_results, read_blocks
from shared.domain.batch import Batch, BatchOutcome, ExportFormat, ResultTable
from shared.domain.errors import (
    BrokerUnavailable,
    ExportNotReady,
    ResultNotReady,
    StorageUnavailable,
    TooManyRowsForSheet,
)
from shared.domain.files.exports import STORED, Export
from shared.i18n.languages import Language
from shared.logging import get_logger
from shared.messages.texts import describe_row_error
from shared.queue.names import TaskName
from shared.queue.work import SendWork
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.cells import escape_formula

log = get_logger("storage")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of the disk or object store into `StorageUnavailable`."""
    try:
        yield
    except OSError as error:
        log.warning("storage_unavailable", error=str(error))
        raise StorageUnavailable(reason=error.strerror or str(error)) from error


EXPORT_WAIT_S = 20.0
"""Longest wait for an export that is being made; then the caller is asked to retry."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """An immutable result file."""

    name: str
    """Unique within the batch; the content under a name never changes."""
    size: int
    """Bytes."""
    blocks: Callable[[int, int], Iterator[bytes]]
    """Reads the bytes from the first offset up to, not including, the second."""
    download_url: Callable[[str, str], str | None]
    """An address of the store for a media type and a `Content-Disposition`; None: there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchResults:
    """Reads the result files of batches."""

    files: BatchFiles
    ledger: BatchLedger
    waits: ThreadWaits
    """If too many threads wait, a caller is asked to retry at once."""
    send: SendWork
    url_s: int = 0
    """How long the address of a file in the store holds, seconds; 0: none is given."""

    @storage_errors()
    def file(
        self,
        batch: Batch,
        table: ResultTable,
        export: Export,
        wait_s: float | None = None,
    ) -> StoredFile:
        """A result table of an ended batch; a missing export is made on the first request.

        Args:
            batch: the batch.
            table: which of its tables.
            export: its form.
            wait_s: longest wait for an export that is being made, seconds; `EXPORT_WAIT_S` by
                default.

        Raises:
            ResultNotReady: the batch has not ended.
            TooManyRowsForSheet: a sheet cannot hold the rows.
            ExportNotReady: the export was not finished within `wait_s`.
            BrokerUnavailable: the export cannot be queued.
            StorageUnavailable: the store does not answer.
        """
        if not batch.progress.state.is_terminal:
            raise _not_ready(batch)
        export = export.of(batch.manifest)
        _check_sheet(batch, table, export)
        batch_id = batch.manifest.id
        name = table_name(table, export, batch.progress.revision)
        size = self.files.blobs.size(batch_id, name)
        if size is None and export != STORED:
            wait_s = EXPORT_WAIT_S if wait_s is None else wait_s
            size = self._export(batch, table, export, wait_s)
        if size is None:
            raise _not_ready(batch)

        @storage_errors()
        def blocks(start: int, stop: int) -> Iterator[bytes]:
            return read_blocks(self.files.blobs.read(batch_id, name), start, stop)

        @storage_errors()
        def download_url(media_type: str, disposition: str) -> str | None:
            if not self.url_s:
                return None
            return self.files.blobs.download_url(
                batch_id,
                name,
                for_s=self.url_s,
                media_type=media_type,
                disposition=disposition,
            )

        return StoredFile(name=name, size=size, blocks=blocks, download_url=download_url)

    def first_rows(self, batch: Batch) -> Iterator[bytes]:
        """The results of a running batch as CSV, up to the first chunk that is not valued yet."""
        return partial_results(self.files.blobs, batch.manifest)

    @storage_errors()
    def errors(self, batch: Batch, language: Language) -> Iterator[bytes]:
        """The error report: one line of JSON for each violated rule.

        Raises:
            ResultNotReady: the batch has not ended.
            StorageUnavailable: the store does not answer.
        """
        batch_id, name = batch.manifest.id, errors_name(batch.progress.revision)
        if not batch.progress.state.is_terminal or self.files.blobs.size(batch_id, name) is None:
            raise _not_ready(batch)
        return _with_messages(self.files.blobs.read(batch_id, name), language)

    def _export(self, batch: Batch, table: ResultTable, export: Export, wait_s: float) -> int:
        """Queue the task that makes an export, unless it is in progress; the size in bytes."""
        batch_id, revision = batch.manifest.id, batch.progress.revision
        name = table_name(table, export, revision)
        if self.ledger.claim_export(batch_id, name):
            try:
                order = {
                    "batch_id": batch_id,
                    "table": str(table),
                    "export": export.to_json(),
                    "revision": revision,
                }
                self.send(TaskName.MAKE_EXPORT, order, batch.manifest.caller)
            except BrokerUnavailable:
                self.ledger.finish_export(batch_id, name)
                raise
        size = self.waits.poll(
            batch_id,
            lambda: self.files.blobs.size(batch_id, name),
            lambda size: size is not None,
            wait_s,
            progress=True,
        )
        if size is None:
            raise ExportNotReady(id=batch_id, form=name)
        return size


def is_partial(batch: Batch) -> bool:
    """Whether the results lack rows at the end of the file, for now or for good."""
    ended_early = (BatchOutcome.CANCELLED, BatchOutcome.ABORTED)
    return not batch.progress.state.is_terminal or batch.progress.outcome in ended_early


def _not_ready(batch: Batch) -> ResultNotReady:
    return ResultNotReady(id=batch.manifest.id, state=batch.progress.state)


SHEET_MAX_ROWS = 1_048_576
"""Rows of a sheet of a workbook, with the header."""

FILE_TEXTS = ("row_key", "column", "value")
"""Members of the error report whose text comes from the file."""


def _check_sheet(batch: Batch, table: ResultTable, export: Export) -> None:
    counts = batch.progress.counts
    rows = counts.done if table is ResultTable.RESULTS else counts.invalid
    if export.format is ExportFormat.XLSX and rows >= SHEET_MAX_ROWS:
        raise TooManyRowsForSheet(rows=rows, maximum=SHEET_MAX_ROWS - 1)


def _with_messages(report: BinaryIO, language: Language) -> Iterator[bytes]:
    """The lines with their messages; texts of the file are safe in a spreadsheet."""
    with report:
        for line in report:
            error = orjson.loads(line)
            error["message"] = describe_row_error(error, language)
            for name in FILE_TEXTS:
                if error[name]:
                    error[name] = escape_formula(error[name])
            yield orjson.dumps(error) + b"\n"
