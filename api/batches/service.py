"""Batches: accept a file, tell how it is going, cancel it."""

import contextlib
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import orjson

from api.batches.results import storage_errors
from api.batches.uploads import Upload
from api.events.subscriptions import JobEvents
from api.jobs.idempotency import RedisIdempotency
from model_store.registry.registry import ActiveVersionCache
from shared.blobs.batch_files import SOURCE, BatchFiles
from shared.domain.batch import Batch, BatchManifest, BatchOptions, BatchProgress
from shared.domain.clock import Clock
from shared.domain.errors import (
    BatchAlreadyEnded,
    BatchExpired,
    BatchNotFound,
    BrokerUnavailable,
    DomainError,
    ModelNotLoaded,
    StorageUnavailable,
)
from shared.domain.ids import BatchId, CallerId, is_id, new_id
from shared.domain.table import Dialect, FileKind
from shared.logging import get_logger
from shared.redis.batches import BatchLedger
from shared.tabular.file_kinds import check_readable

LIST_TIMES = 8
"""A caller's list outlives the last batch on it by this multiple of the retention time."""

log = get_logger("batches")


class FileSource(Protocol):
    """The bytes of a file as they arrive."""

    file_name: str
    """Known once the bytes have arrived."""

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, block by block."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class IncomingFile:
    """What a caller uploads."""

    file: FileSource
    options: BatchOptions
    idempotency_key: str | None = None


class Batches:
    """Accepts batches, finds them again, waits for them, cancels them.

    Args:
        files: records and blobs of batches.
        store: their ledger.
        active_model: the version that a new batch is pinned to.
        idempotency: finds the batch of a repeated upload.
        events: wakes the threads that wait for a batch.
        send_split: puts the first step of a batch on the queue.
        clock: the time of day.
        max_bytes: limit of an upload.
        retention_s: how long an ended batch can be read.
        long_waits: the threads that may wait at once; beyond, a caller gets the state as it is.
    """

    def __init__(
        self,
        *,
        files: BatchFiles,
        store: BatchLedger,
        active_model: ActiveVersionCache,
        idempotency: RedisIdempotency,
        events: JobEvents,
        send_split: Callable[[BatchId], None],
        clock: Clock,
        max_bytes: int,
        retention_s: int,
        long_waits: threading.Semaphore,
    ) -> None:
        self._files = files
        self._store = store
        self._active_model = active_model
        self._idempotency = idempotency
        self._events = events
        self._send_split = send_split
        self._clock = clock
        self._max_bytes = max_bytes
        self._list_kept_s = retention_s * LIST_TIMES
        self._long_waits = long_waits

    def accept(self, incoming: IncomingFile, caller: CallerId) -> Batch:
        """Receive a file and start its batch: durable when this returns.

        Raises:
            ModelNotLoaded: no version is active.
            UnreadableUpload, UnsupportedUpload, UploadTooLarge: the file is refused.
            IdempotencyConflict: the key came before with another file.
            BrokerUnavailable, StorageUnavailable: it cannot be accepted now.
        """
        version = self._active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        self._store.ping()
        batch_id = BatchId(new_id())
        try:
            upload, dialect = self._receive(batch_id, incoming)
            manifest = BatchManifest(
                id=batch_id,
                caller=caller,
                accepted_at=self._clock(),
                model_version=version,
                options=incoming.options,
                dialect=dialect,
                sha256=upload.sha256,
                size_bytes=upload.size,
                file_name=incoming.file.file_name,
            )
            # The manifest comes before the key: whoever finds the key finds the batch.
            self._files.write_manifest(manifest)
            repeated = self._repeated(manifest, incoming.idempotency_key)
            if repeated is None:
                return self._start(manifest)
        except OSError as error:
            self._discard(batch_id)
            log.exception("batch_not_stored", batch_id=batch_id)
            raise StorageUnavailable(reason=error.strerror or str(error)) from error
        except BaseException:
            self._discard(batch_id)
            raise
        self._discard(batch_id)
        return repeated

    @storage_errors()
    def get(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """Read a batch of this caller.

        Raises:
            BatchNotFound: this caller has no such batch.
            BatchExpired: it was there, and its retention time is over.
            StorageUnavailable: it cannot be read now.
        """
        if not is_id(batch_id):
            raise BatchNotFound(id=batch_id[:64])
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            tombstone = self._files.tombstone(batch_id)
            if tombstone is not None and tombstone[0] == caller:
                raise BatchExpired(id=batch_id)
        if manifest is None or manifest.caller != caller:
            raise BatchNotFound(id=batch_id)
        return Batch(
            manifest=manifest,
            progress=self._progress(batch_id),
            refusal=self._files.refusal(manifest),
        )

    def wait(self, batch_id: BatchId, caller: CallerId, timeout_s: float) -> Batch:
        """Read a batch, at the latest after `timeout_s`, earlier when it ends."""
        batch = self.get(batch_id, caller)
        if (
            batch.progress.state.is_terminal
            or timeout_s <= 0
            or not self._long_waits.acquire(blocking=False)
        ):
            return batch
        try:
            return self._wait(batch, caller, time.monotonic() + timeout_s)
        finally:
            self._long_waits.release()

    @storage_errors()
    def cancel(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """Ask for the end of a batch; what is done by then stays readable.

        Raises:
            BatchNotFound, BatchExpired, StorageUnavailable: as for `get`.
            BatchAlreadyEnded: nothing is left to cancel.
        """
        batch = self.get(batch_id, caller)
        if batch.progress.state.is_terminal:
            raise BatchAlreadyEnded(id=batch_id, state=batch.progress.state)
        if not self._store.request_cancel(batch_id):
            if self._files.final(batch_id) is not None:
                raise BatchAlreadyEnded(id=batch_id)
            # The ledger lost its memory, and the sweep has not refilled it yet.
            raise BrokerUnavailable(reason="the ledger is being refilled")
        return self.get(batch_id, caller)

    def _receive(self, batch_id: BatchId, incoming: IncomingFile) -> tuple[Upload, Dialect]:
        """Stream the file into the blob store."""
        with self._files.blobs.write(batch_id, SOURCE) as target:
            upload = Upload(target, incoming.options, self._max_bytes)
            for block in incoming.file:
                upload.write(block)
            dialect = upload.close()
        if dialect.kind is not FileKind.CSV:
            with self._files.blobs.read(batch_id, SOURCE) as source:
                check_readable(dialect.kind, source, self._max_bytes)
        return upload, dialect

    def _repeated(self, manifest: BatchManifest, key: str | None) -> Batch | None:
        """The batch of an earlier upload with the same key, file and options."""
        if key is None:
            return None
        options = orjson.dumps(dataclasses.asdict(manifest.options))
        fingerprint = hashlib.sha256(manifest.sha256.encode() + options).hexdigest()
        claim = self._idempotency.claim(manifest.caller, "batches", key, fingerprint, manifest.id)
        if claim.is_new:
            return None
        try:
            return self.get(BatchId(claim.id), manifest.caller)
        except BatchNotFound:  # the first upload was taken back: the key is this one's now
            self._idempotency.rebind(manifest.caller, "batches", key, fingerprint, manifest.id)
            return None

    def _start(self, manifest: BatchManifest) -> Batch:
        # The list comes first: of an upload that is taken back here, it alone forgets by itself.
        self._store.index_by_caller(manifest.id, manifest.caller, self._list_kept_s)
        self._store.create(manifest.id, manifest.accepted_at)
        try:
            self._send_split(manifest.id)
        except BrokerUnavailable as error:
            # It is accepted: the ledger has it, and the sweep sends what was not sent.
            log.warning("batch_split_not_sent", batch_id=manifest.id, error=str(error))
        return Batch(manifest=manifest, progress=BatchProgress())

    def _discard(self, batch_id: BatchId) -> None:
        with contextlib.suppress(OSError):
            self._files.discard(batch_id)

    def _progress(self, batch_id: BatchId) -> BatchProgress:
        """From the ledger; from the blobs when it knows nothing of the batch or is down."""
        try:
            progress = self._store.progress(batch_id)
        except DomainError:
            final = self._files.final(batch_id)
            if final is None:
                raise
            return final
        if progress is not None and not progress.state.is_terminal:
            return progress
        return self._files.final(batch_id) or progress or BatchProgress()

    def _wait(self, batch: Batch, caller: CallerId, until: float) -> Batch:
        batch_id = batch.manifest.id
        with self._events.listen(batch_id) as listener:
            batch = self.get(batch_id, caller)
            while not batch.progress.state.is_terminal:
                remaining_s = until - time.monotonic()
                if remaining_s <= 0:
                    break
                listener.wait(remaining_s)
                batch = self.get(batch_id, caller)
        return batch
