"""Drafts: store an uploaded file, have its first rows read, start its batch from it."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from api.batches.results import storage_errors
from api.batches.service import Batches, FileSource
from api.middleware.key_limits import Admission
from shared.blobs.batch_files import SOURCE
from shared.blobs.draft_files import DraftFiles, choices_digest
from shared.domain.batch import BatchOptions
from shared.domain.clock import Clock
from shared.domain.errors import (
    BatchExpired,
    BatchNotFound,
    BrokerUnavailable,
    IdempotencyConflict,
    StorageUnavailable,
)
from shared.domain.files.draft import DRAFT_TTL_S, Draft
from shared.domain.ids import BatchId, CallerId, id_timestamp, is_id, new_id
from shared.domain.table import FileKind
from shared.logging import get_logger
from shared.queue.names import TaskName
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.files.file_kinds import check_readable
from shared.tabular.files.upload import Upload

PREVIEW_CLAIM = "preview"
"""Name of the claim of a preview in the ledger: one is made at a time per draft."""
PREVIEW_WAIT_S, PREVIEW_POLL_S = 2.0, 0.05
"""Longest wait for a preview; then the page refreshes itself until it is there."""
BLOCK_BYTES = 1 << 18

log = get_logger("drafts")


class StoredDraft:
    """The file of a draft as a `FileSource`, so that a batch takes it as it takes an upload."""

    def __init__(self, files: DraftFiles, draft: Draft) -> None:
        self._files = files
        self._draft = draft
        self.file_name = draft.file_name
        self.charset = draft.charset

    def __iter__(self) -> Iterator[bytes]:
        """The file's bytes, decompressed."""
        with self._files.blobs.read(self._draft.id, SOURCE) as source:
            while block := source.read(BLOCK_BYTES):
                yield block


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Drafts:
    """Stores drafts, has them read, starts their batches, deletes them."""

    files: DraftFiles
    ledger: BatchLedger
    batches: Batches
    send: Callable[[TaskName, dict[str, Any]], None]
    """`TaskSender.send`."""
    clock: Clock
    max_bytes: int
    """Limit of a file, compressed and decompressed."""

    @storage_errors()
    def create(
        self, file: FileSource, options: BatchOptions, caller: CallerId, admission: Admission
    ) -> Draft:
        """Receive a file and store it.

        Raises:
            UnreadableUpload, UnsupportedUpload, UploadTooLarge: the file is refused.
            RateLimited: `admission` does not allow it.
            BrokerUnavailable, StorageUnavailable: it cannot be stored now.
        """
        self.ledger.ping()
        free = admission.check_batch(is_valued=False) if admission.limits_batches else None
        draft_id = BatchId(new_id())
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard, draft_id, caller)
            draft = self._receive(draft_id, file, options, caller, free)
            self.ledger.record_draft_bytes(draft_id, caller, draft.size_bytes)
            self.files.write_draft(draft)
            undo.pop_all()
        log.info("draft_stored", draft_id=draft_id, size_bytes=draft.size_bytes)
        return draft

    def _receive(
        self,
        draft_id: BatchId,
        file: FileSource,
        options: BatchOptions,
        caller: CallerId,
        free: int | None,
    ) -> Draft:
        max_bytes = self.max_bytes if free is None else min(self.max_bytes, free)
        with self.files.blobs.write(draft_id, SOURCE) as target:
            upload = Upload(target, options, max_bytes, is_draft=True)
            for block in file:
                upload.charset = file.charset
                upload.write(block)
            dialect = upload.close()
        if dialect.kind is not FileKind.CSV:
            with self.files.blobs.read(draft_id, SOURCE) as source:
                check_readable(dialect.kind, source, self.max_bytes)
        return Draft(
            id=draft_id,
            caller=caller,
            created_at=self.clock(),
            file_name=file.file_name,
            size_bytes=upload.size,
            dialect=dialect,
            charset=file.charset,
            options=options,
        )

    @storage_errors()
    def get(self, draft_id: str, caller: CallerId) -> Draft:
        """Read a draft of this caller.

        Raises:
            BatchExpired: drafts of this age are deleted.
            BatchNotFound: this caller has no such draft (any more).
            StorageUnavailable: the store does not answer.
        """
        if not is_id(draft_id):
            raise BatchNotFound(id=draft_id[:64])
        if id_timestamp(draft_id) + DRAFT_TTL_S < self.clock():
            raise BatchExpired(id=draft_id)
        draft = self.files.draft(BatchId(draft_id))
        if draft is None or draft.caller != caller:
            raise BatchNotFound(id=draft_id)
        return draft

    @storage_errors()
    def choose(self, draft: Draft, options: BatchOptions) -> Draft:
        """Record the choices for which the next preview is made."""
        if options == draft.options:
            return draft
        chosen = dataclasses.replace(draft, options=options)
        self.files.write_draft(chosen)
        return chosen

    @storage_errors()
    def preview(self, draft: Draft, timeout_s: float = PREVIEW_WAIT_S) -> dict[str, Any] | None:
        """The preview for the choices of a draft; None if it is not made within `timeout_s`.

        A worker is asked for it unless one is making a preview of this draft: that one reads the
        choices when it begins.

        Raises:
            BrokerUnavailable: no worker can be asked.
            StorageUnavailable: the store does not answer.
        """
        digest, until = choices_digest(draft.options), time.monotonic() + timeout_s
        while True:
            preview = self.files.preview(draft.id)
            if preview is not None and preview["digest"] == digest:
                return preview
            if self.ledger.claim_export(draft.id, PREVIEW_CLAIM):
                self.send(TaskName.PREVIEW_DRAFT, {"draft_id": draft.id})
            if time.monotonic() > until:
                return None
            time.sleep(PREVIEW_POLL_S)

    @storage_errors()
    def start(self, draft: Draft, options: BatchOptions, admission: Admission) -> BatchId:
        """Start the batch of a draft from its stored file; a repetition gives the same batch.

        Raises:
            UnreadableUpload: the file cannot be read with these options.
            RateLimited, BrokerUnavailable, StorageUnavailable: as for `Batches.accept`.
        """
        if draft.batch_id is not None:
            return draft.batch_id
        # The batch counts with the same bytes: together they may be more than the caller may store.
        self.ledger.forget_bytes(draft.id, draft.caller)
        try:
            batch_id = self._start(draft, options, admission)
        except BaseException:
            with contextlib.suppress(BrokerUnavailable):
                self.ledger.record_draft_bytes(draft.id, draft.caller, draft.size_bytes)
            raise
        self.files.write_draft(dataclasses.replace(draft, batch_id=batch_id))
        self.files.delete_file(draft.id)
        return batch_id

    def _start(self, draft: Draft, options: BatchOptions, admission: Admission) -> BatchId:
        try:
            batch = self.batches.accept(
                StoredDraft(self.files, draft),
                options,
                draft.caller,
                f"draft-{draft.id}",
                admission,
            )
        except (IdempotencyConflict, FileNotFoundError, StorageUnavailable):
            # Another request has started it meanwhile, perhaps with other choices.
            started = self.files.draft(draft.id)
            if started is None or started.batch_id is None:
                raise
            return started.batch_id
        return batch.manifest.id

    @storage_errors()
    def delete(self, draft: Draft) -> None:
        """Delete a draft and its file; a batch that was started from it stays."""
        self.ledger.forget_bytes(draft.id, draft.caller)
        self.files.discard(draft.id)

    def _discard(self, draft_id: BatchId, caller: CallerId) -> None:
        with contextlib.suppress(BrokerUnavailable):
            self.ledger.forget_bytes(draft_id, caller)
        with contextlib.suppress(OSError):
            self.files.discard(draft_id)
