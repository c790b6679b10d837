"""The result files of a batch, exports of them, and the first rows of an unfinished batch."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from api.events.subscriptions import JobEvents
from shared.blobs.batch_files import ERRORS, BatchFiles, table_name
from shared.blobs.parts import partial_results, read_blocks
from shared.domain.batch import Batch, BatchOutcome, ExportFormat, ResultTable
from shared.domain.errors import (
    BrokerUnavailable,
    ExportNotReady,
    ResultNotReady,
    StorageUnavailable,
)
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.messages.texts import Language, describe_row_error
from shared.queue.names import TaskName
from shared.redis.batches import BatchLedger

log = get_logger("storage")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a disk or an object store refuses into `StorageUnavailable`."""
    try:
        yield
    except OSError as error:
        log.warning("storage_unavailable", error=str(error))
        raise StorageUnavailable(reason=error.strerror or str(error)) from error


EXPORT_WAIT_S = 20.0
"""How long a caller waits for a form that is being made, before being asked to come again."""

Send = Callable[[TaskName, dict[str, Any]], None]
"""Puts a task with its arguments on the queue; raises `BrokerUnavailable`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A result file that will not change any more."""

    name: str
    """Unique within the batch; the same name is the same bytes for ever."""
    size: int
    """Bytes."""
    blocks: Callable[[int, int], Iterator[bytes]]
    """The bytes from the first up to, not including, the second place."""


class BatchResults:
    """Reads the result files of batches.

    Args:
        files: records and blobs of batches.
        store: the ledger: who makes which form.
        events: wakes the threads that wait for a form.
        send: puts a task on the queue.
        long_waits: the threads that may wait at once; beyond, a caller is asked to come again.
    """

    def __init__(
        self,
        files: BatchFiles,
        *,
        store: BatchLedger,
        events: JobEvents,
        send: Send,
        long_waits: threading.Semaphore,
    ) -> None:
        self._files = files
        self._store = store
        self._events = events
        self._send = send
        self._long_waits = long_waits

    @storage_errors()
    def file(self, batch: Batch, table: ResultTable, form: ExportFormat) -> StoredFile:
        """A result table of a batch that has ended; a form nobody asked for yet is made now.

        Raises:
            ResultNotReady: the batch is under way.
            ExportNotReady: the form is being made, which takes longer than a caller can wait.
            BrokerUnavailable: the form cannot be ordered.
            StorageUnavailable: the store does not answer.
        """
        if not batch.progress.state.is_terminal:
            raise _not_ready(batch)
        batch_id, name = batch.manifest.id, table_name(table, form)
        size = self._files.blobs.size(batch_id, name)
        if size is None and form is not ExportFormat.CSV:
            size = self._wait_for(batch_id, table, form)
        if size is None:
            raise _not_ready(batch)

        @storage_errors()
        def blocks(start: int, stop: int) -> Iterator[bytes]:
            return read_blocks(self._files.blobs.read(batch_id, name), start, stop)

        return StoredFile(name=name, size=size, blocks=blocks)

    def first_rows(self, batch: Batch) -> Iterator[bytes]:
        """The CSV of a batch that is under way, up to the first chunk that is not valued yet."""
        return partial_results(self._files.blobs, batch.manifest)

    @storage_errors()
    def errors(self, batch: Batch, language: Language) -> Iterator[bytes]:
        """The error report: one JSON object for every broken rule.

        Raises:
            ResultNotReady: the batch is under way.
            StorageUnavailable: the store does not answer.
        """
        batch_id = batch.manifest.id
        if not batch.progress.state.is_terminal or self._files.blobs.size(batch_id, ERRORS) is None:
            raise _not_ready(batch)
        return _with_messages(self._files, batch_id, language)

    def _wait_for(self, batch_id: BatchId, table: ResultTable, form: ExportFormat) -> int | None:
        """The size of a form once it is made."""
        name = table_name(table, form)
        with self._events.listen(batch_id, progress=True) as listener:
            self._request_export(batch_id, table, form)
            until = time.monotonic() + EXPORT_WAIT_S
            may_wait = self._long_waits.acquire(blocking=False)
            try:
                size = self._files.blobs.size(batch_id, name)
                while size is None and may_wait and (rest := until - time.monotonic()) > 0:
                    listener.wait(rest)
                    size = self._files.blobs.size(batch_id, name)
            finally:
                if may_wait:
                    self._long_waits.release()
        if size is None:
            raise ExportNotReady(id=batch_id, form=name)
        return size

    def _request_export(self, batch_id: BatchId, table: ResultTable, form: ExportFormat) -> None:
        """Have a form made, unless that is under way."""
        name = table_name(table, form)
        if not self._store.claim_export(batch_id, name):
            return
        try:
            order = {"batch_id": batch_id, "table": str(table), "form": str(form)}
            self._send(TaskName.MAKE_EXPORT, order)
        except BrokerUnavailable:
            self._store.finish_export(batch_id, name)
            raise


def is_partial(batch: Batch) -> bool:
    """Whether the results are, or will stay, only the first rows of the file."""
    ended_early = (BatchOutcome.CANCELLED, BatchOutcome.ABORTED)
    return not batch.progress.state.is_terminal or batch.progress.outcome in ended_early


def _not_ready(batch: Batch) -> ResultNotReady:
    return ResultNotReady(id=batch.manifest.id, state=batch.progress.state)


def _with_messages(files: BatchFiles, batch_id: BatchId, language: Language) -> Iterator[bytes]:
    with files.blobs.read(batch_id, ERRORS) as blob:
        for line in blob:
            error = orjson.loads(line)
            error["message"] = describe_row_error(error, language)
            yield orjson.dumps(error) + b"\n"
