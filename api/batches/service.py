"""Batches: accept an uploaded file, read its state, wait for its end, cancel or delete it."""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import orjson

from api.batches.corrections import CorrectionGate, correction_options
from api.batches.results import storage_errors
from api.events.thread_waits import ThreadWaits
from api.jobs.idempotency import RedisIdempotency
from api.middleware.key_limits import Admission
from model_store.registry.registry import ActiveVersionCache
from shared.blobs.batch_files import SOURCE, BatchFiles
from shared.domain.batch import (
    MANIFEST_SCHEMA,
    Batch,
    BatchManifest,
    BatchOptions,
    BatchProgress,
)
from shared.domain.clock import Clock
from shared.domain.errors import (
    BatchAlreadyEnded,
    BatchDeleted,
    BatchExpired,
    BatchNotFound,
    BrokerUnavailable,
    CorrectionInProgress,
    DomainError,
    ModelNotLoaded,
    ResultNotReady,
    StorageUnavailable,
    UploadTooLarge,
    check_schema,
)
from shared.domain.files.exports import result_delimiter
from shared.domain.ids import BatchId, CallerId, is_id, new_id
from shared.domain.job import TOMBSTONE_TTL_FACTOR, Callback
from shared.domain.table import Dialect, FileKind
from shared.logging import get_logger
from shared.queue.names import TaskName
from shared.queue.work import SendWork
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.job_store.memory import BrokerMemory
from shared.tabular.files.file_kinds import check_readable
from shared.tabular.files.upload import Upload
from shared.tracing.current import current_traceparent

LEDGER_BYTES = 65_536
"""What the ledger and the messages of a batch of a million rows take in Redis."""

START_TIMEOUT_S, START_POLL_S = 2.0, 0.05
"""Longest wait for another upload with the same key that has been received and not yet started."""

ROUTE = "batches"
"""Of the Idempotency-Keys of batches."""

log = get_logger("batches")


class FileSource(Protocol):
    """The bytes of a file as they arrive."""

    file_name: str
    """Set when the last byte has been read."""
    charset: str | None
    """Of its Content-Type; set when the first byte is read."""

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, block by block."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batches:
    """Accepts batches, reads their state, waits for their end, cancels and deletes them."""

    files: BatchFiles
    ledger: BatchLedger
    active_model: ActiveVersionCache
    idempotency: RedisIdempotency
    waits: ThreadWaits
    send: SendWork
    clock: Clock
    max_bytes: int
    """Limit of an upload, compressed and decompressed."""
    retention_s: int
    """How long an ended batch can be read."""
    memory: BrokerMemory | None = None
    """Refuses batches while the broker lacks memory; None: the broker alone refuses."""
    protocol: Callable[[], int] = lambda: MANIFEST_SCHEMA
    """`WorkerRegistry.protocol`: a file that a live worker cannot read is refused for now."""

    def accept(
        self,
        file: FileSource,
        options: BatchOptions,
        caller: CallerId,
        idempotency_key: str | None = None,
        admission: Admission | None = None,
        *,
        callback: Callback | None = None,
    ) -> Batch:
        """Receive a file and start its batch; the batch is durable when this returns.

        Raises:
            ModelNotLoaded: no version is active.
            UnreadableUpload, UnsupportedUpload, UploadTooLarge: the file is refused.
            IdempotencyConflict: the key came before with another file.
            RateLimited: `admission` does not allow it.
            BrokerUnavailable, StorageUnavailable: it cannot be accepted now.
        """
        version = self.active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        return self._accept(
            file, options, caller, version, idempotency_key, admission=admission, callback=callback
        )

    def correct(
        self,
        batch_id: BatchId,
        file: FileSource,
        caller: CallerId,
        idempotency_key: str | None = None,
        admission: Admission | None = None,
        *,
        callback: Callback | None = None,
        any_row: bool = False,
        revision: str | None = None,
    ) -> Batch:
        """Receive corrected rows of an ended batch and start the correction, a batch of its own.

        The rows are valued by the model version of the batch, and replace its rejected rows (with
        `any_row` any of its rows) when the correction ends. Rows that a correction rejected again
        are rows of the batch. With `revision`, only results of that revision are corrected.

        Raises:
            BatchNotFound, BatchExpired: this caller has no such batch.
            ResultNotReady: the batch has not ended.
            NothingToCorrect, CorrectionInProgress: see `CorrectionGate`.
            UnreadableUpload, UnsupportedUpload, UploadTooLarge: the file is refused.
            IdempotencyConflict: the key came before with another file.
            RateLimited: `admission` does not allow it.
            BrokerUnavailable, StorageUnavailable: it cannot be accepted now.
        """
        corrected = self.get(batch_id, caller)
        if corrected.manifest.corrects is not None:
            corrected = self.get(corrected.manifest.corrects, caller)
        if not corrected.progress.state.is_terminal:
            raise ResultNotReady(id=batch_id, state=corrected.progress.state)
        if revision not in (None, corrected.progress.revision):
            raise CorrectionInProgress(id=batch_id)
        options = correction_options(corrected.manifest, any_row=any_row)
        version = corrected.manifest.model_version
        return self._accept(
            file,
            options,
            caller,
            version,
            idempotency_key,
            admission=admission,
            callback=callback,
            corrects=corrected,
        )

    def _accept(
        self,
        file: FileSource,
        options: BatchOptions,
        caller: CallerId,
        version: str,
        idempotency_key: str | None,
        *,
        admission: Admission | None,
        callback: Callback | None,
        corrects: Batch | None = None,
    ) -> Batch:
        """Receive a file, and start its batch unless it is a repetition."""
        self.ledger.ping()
        if self.memory is not None:
            self.memory.check(LEDGER_BYTES)
        max_bytes = self._max_bytes(options, caller, admission, idempotency_key)
        batch_id = BatchId(new_id())
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard, batch_id, caller)
            try:
                with self._named_limit(admission, max_bytes):
                    upload, dialect = self._receive(batch_id, file, options, max_bytes)
                manifest = BatchManifest(
                    id=batch_id,
                    caller=caller,
                    accepted_at=self.clock(),
                    model_version=version,
                    options=options,
                    dialect=dialect,
                    sha256=upload.sha256,
                    size_bytes=upload.size,
                    file_name=file.file_name,
                    result_delimiter=result_delimiter(dialect),
                    callback=callback,
                    trace=current_traceparent(),
                )
                if corrects is not None:
                    manifest = dataclasses.replace(
                        manifest,
                        corrects=corrects.manifest.id,
                        result_delimiter=corrects.manifest.result_delimiter,
                    )
                check_schema(manifest.schema, self.protocol())
                # Before the key is claimed: another upload that finds the key reads the manifest.
                self.files.write_manifest(manifest)
                batch = self._repeated(manifest, idempotency_key)
                if batch is None:
                    undo.callback(self._shorten_key, manifest, idempotency_key)
                    with self._admitted(manifest, corrects), self._limited(manifest, admission):
                        batch = self._start(manifest)
                    undo.pop_all()
            except OSError as error:
                log.exception("batch_not_stored", batch_id=batch_id)
                raise StorageUnavailable(reason=error.strerror or str(error)) from error
        return batch

    def _admitted(
        self, manifest: BatchManifest, corrects: Batch | None
    ) -> contextlib.AbstractContextManager[None]:
        if corrects is None:
            return contextlib.nullcontext()
        return CorrectionGate(self.files, self.ledger).admit(manifest, corrects)

    def _max_bytes(
        self,
        options: BatchOptions,
        caller: CallerId,
        admission: Admission | None,
        idempotency_key: str | None,
    ) -> int:
        """The largest file that the caller may send now.

        An upload with a known key may be a repetition, which no limit refuses: whether it is one is
        known only when the file has been read.
        """
        if admission is None or not admission.limits_batches:
            return self.max_bytes
        if idempotency_key and self.idempotency.find(caller, ROUTE, idempotency_key):
            return self.max_bytes
        free = admission.check_batch(is_valued=not options.dry_run)
        return self.max_bytes if free is None else min(self.max_bytes, free)

    @contextlib.contextmanager
    def _named_limit(self, admission: Admission | None, max_bytes: int) -> Iterator[None]:
        """Name the limit of the key if it is what makes a file too large."""
        try:
            yield
        except UploadTooLarge:
            if admission is not None and max_bytes < self.max_bytes:
                admission.refuse_size(max_bytes)
            raise

    def _limited(
        self, manifest: BatchManifest, admission: Admission | None
    ) -> contextlib.AbstractContextManager[None]:
        if admission is None:
            return contextlib.nullcontext()
        is_valued = not manifest.options.dry_run
        return admission.batch(manifest.id, manifest.size_bytes, is_valued=is_valued)

    @storage_errors()
    def get(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """Read a batch of this caller.

        Raises:
            BatchNotFound: this caller has no such batch.
            BatchExpired: its retention time is over.
            BatchDeleted: this caller has deleted it.
            StorageUnavailable: the store does not answer.
        """
        if not is_id(batch_id):
            raise BatchNotFound(id=batch_id[:64])
        manifest = self.files.manifest(batch_id)
        if manifest is None:
            tombstone = self.files.tombstone(batch_id)
            if tombstone is not None and tombstone.caller == caller:
                raise (BatchDeleted if tombstone.is_deleted else BatchExpired)(id=batch_id)
        if manifest is None or manifest.caller != caller:
            raise BatchNotFound(id=batch_id)
        return Batch(
            manifest=manifest,
            progress=self._progress(batch_id),
            refusal=self.files.refusal(manifest),
        )

    def wait(self, batch_id: BatchId, caller: CallerId, timeout_s: float) -> Batch:
        """Read a batch when it has ended, or after `timeout_s`; for threads."""
        return self.waits.poll(
            batch_id,
            lambda: self.get(batch_id, caller),
            lambda batch: batch.progress.state.is_terminal,
            timeout_s,
        )

    def cancel_or_delete(self, batch_id: BatchId, caller: CallerId) -> Batch | None:
        """Request the cancellation of an open batch and return it, or delete an ended one.

        Raises as `cancel` and `delete`.
        """
        if self.get(batch_id, caller).progress.state.is_terminal:
            self.delete(batch_id, caller)
            return None
        return self.cancel(batch_id, caller)

    @storage_errors()
    def cancel(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """Request the cancellation of a batch; rows that are done stay readable.

        Raises:
            BatchNotFound, BatchExpired, BatchDeleted, StorageUnavailable: as for `get`.
            BatchAlreadyEnded: the batch has ended.
        """
        batch = self.get(batch_id, caller)
        if batch.progress.state.is_terminal:
            raise BatchAlreadyEnded(id=batch_id, state=batch.progress.state)
        if not self.ledger.request_cancel(batch_id):
            if self.files.final(batch_id) is not None:
                raise BatchAlreadyEnded(id=batch_id)
            # The ledger has lost its data, and the sweep has not restored them yet.
            raise BrokerUnavailable(reason="the ledger is being refilled")
        return self.get(batch_id, caller)

    @storage_errors()
    def delete(self, batch_id: BatchId, caller: CallerId) -> None:
        """Delete the files of an ended batch; its id is then answered by `BatchDeleted`.

        The audit log keeps its records.

        Raises:
            BatchNotFound, BatchExpired, BatchDeleted, StorageUnavailable: as for `get`.
            ResultNotReady: the batch has not ended.
            CorrectionInProgress: rows of it are being corrected.
        """
        with CorrectionGate(self.files, self.ledger).closed(batch_id):
            state = self.get(batch_id, caller).progress.state
            if not state.is_terminal:
                raise ResultNotReady(id=batch_id, state=state)
            # First the bytes: if this process dies, the next scan counts what is still there.
            self.ledger.forget_bytes(batch_id, caller)
            self.files.reap(batch_id, caller, self.clock(), is_deleted=True)
            self.ledger.delete_ended(batch_id, caller)
        log.info("batch_deleted", batch_id=batch_id)

    def _receive(
        self, batch_id: BatchId, file: FileSource, options: BatchOptions, max_bytes: int
    ) -> tuple[Upload, Dialect]:
        """Stream the file into the blob store."""
        with self.files.blobs.write(batch_id, SOURCE) as target:
            upload = Upload(target, options, max_bytes)
            for block in file:
                upload.charset = file.charset
                upload.write(block)
            dialect = upload.close()
        if dialect.kind is not FileKind.CSV:
            with self.files.blobs.read(batch_id, SOURCE) as source:
                check_readable(dialect.kind, source, self.max_bytes)
        return upload, dialect

    def _repeated(self, manifest: BatchManifest, key: str | None) -> Batch | None:
        """The batch of an earlier upload with the same key, file and options, if there is one."""
        if key is None:
            return None
        fingerprint = _fingerprint(manifest)
        claim = self.idempotency.claim(manifest.caller, ROUTE, key, fingerprint, manifest.id)
        if claim.is_new:
            return None
        try:
            return self._started(BatchId(claim.id), manifest.caller)
        except BatchNotFound:  # the first upload failed and was discarded
            self.idempotency.rebind(manifest.caller, ROUTE, key, fingerprint, manifest.id)
            return None

    def _started(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """The batch of another upload, once that one is known to be accepted.

        Raises:
            BatchNotFound: it was refused, or failed.
            BatchExpired, BatchDeleted, StorageUnavailable: as for `get`.
        """
        until = time.monotonic() + START_TIMEOUT_S
        while self.files.manifest(batch_id) is not None:
            if self.ledger.progress(batch_id) or self.files.final(batch_id):
                break
            if time.monotonic() > until:
                # Its process died, or the broker lost it: the sweep starts or restores it.
                self.ledger.request_scan()
                break
            time.sleep(START_POLL_S)
        return self.get(batch_id, caller)

    def _shorten_key(self, manifest: BatchManifest, key: str | None) -> None:
        """Forget the key of an upload that was refused, soon, unless another one has it now."""
        if key is not None:
            entry = (manifest.caller, ROUTE, key, _fingerprint(manifest), manifest.id)
            self.idempotency.shorten(*entry, keys.batch(manifest.id))

    def _start(self, manifest: BatchManifest) -> Batch:
        # The list is written first because its entries expire if a later step fails.
        self.ledger.index_by_caller(
            manifest.id, manifest.caller, self.retention_s * TOMBSTONE_TTL_FACTOR
        )
        self.ledger.record_bytes(manifest.id, manifest.caller, manifest.size_bytes)
        self.ledger.create(manifest.id, manifest.accepted_at, manifest.caller, manifest.callback)
        # Other files than CSV are converted by the first step, and corrections are merged.
        is_slow = manifest.dialect.kind is not FileKind.CSV or manifest.corrects is not None
        order = {"batch_id": manifest.id}
        try:
            self.send(TaskName.SPLIT_BATCH, order, manifest.caller, is_slow=is_slow)
        except BrokerUnavailable as error:
            # The batch is in the ledger already, so the sweep will send the task.
            log.warning("batch_split_not_sent", batch_id=manifest.id, error=str(error))
        return Batch(manifest=manifest, progress=BatchProgress())

    def _discard(self, batch_id: BatchId, caller: CallerId) -> None:
        with contextlib.suppress(BrokerUnavailable):
            self.ledger.forget_bytes(batch_id, caller)
        with contextlib.suppress(OSError):
            self.files.discard(batch_id)

    def _progress(self, batch_id: BatchId) -> BatchProgress:
        """From the ledger, or from the blobs if the ledger is down or has lost the batch."""
        try:
            progress = self.ledger.progress(batch_id)
        except DomainError:
            final = self.files.final(batch_id)
            if final is None:
                raise
            return final
        if progress is not None and not progress.state.is_terminal:
            return progress
        return self.files.final(batch_id) or progress or BatchProgress()


def _fingerprint(manifest: BatchManifest) -> str:
    """Digest of what uploads with the same Idempotency-Key must not differ in."""
    terms = orjson.dumps([dataclasses.asdict(manifest.options), manifest.corrects])
    if manifest.callback is not None:
        terms += manifest.callback.url.encode()
    return hashlib.sha256(manifest.sha256.encode() + terms).hexdigest()
