"""Sweeps batches: resends lost steps, restores lost ledgers, deletes expired batches."""

import contextlib
from pathlib import Path

from shared.blobs.batch_files import PARTS, BatchFiles, chunk_of
from shared.blobs.draft_files import DraftFiles
from shared.blobs.parts import read_part_head
from shared.domain.batch import BatchManifest
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, UnreadableRecord
from shared.domain.files.draft import DRAFT_TTL_S
from shared.domain.ids import BatchId, id_timestamp
from shared.domain.job import TOMBSTONE_TTL_FACTOR
from shared.logging import describe, get_logger
from shared.metrics import BATCH_CHUNKS, RECORDS_UNREADABLE
from shared.redis.batch_ledger.ledger import BatchLedger
from worker.batches.audit_segments import remove_stale
from worker.batches.steps import BatchStepSender

SCAN_INTERVAL_S = 600
"""Time between two scans of all batches in the blob store. After the broker lost its data the next
sweep scans at once, because the marker of the last scan is lost too."""

ABANDONED_UPLOAD_TTL_S = DRAFT_TTL_S
"""Age at which the blobs of an unfinished upload, or of a draft, are deleted."""

log = get_logger("batch.sweep")


class BatchSweeper:
    """Ensures that every accepted batch ends.

    Args:
        files: records and blobs of batches.
        ledger: the ledger.
        step_sender: sends steps.
        clock: Unix time, seconds.
        audit_folder: folder of the audit log.
        retention_s: time after its end until a batch expires.
    """

    def __init__(
        self,
        files: BatchFiles,
        ledger: BatchLedger,
        step_sender: BatchStepSender,
        clock: Clock,
        *,
        audit_folder: Path,
        retention_s: int,
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._step_sender = step_sender
        self._clock = clock
        self._audit_folder = audit_folder
        self._retention_s = retention_s

    def sweep(self) -> int:
        """Resend lost steps; return their number."""
        if self._ledger.claim_scan(SCAN_INTERVAL_S):
            for batch_id in self._files.blobs.batches():
                self._process_safely(batch_id)
            with contextlib.suppress(OSError):  # the next scan tries again
                remove_stale(self._audit_folder, self._clock())
        return sum(self._resend(batch_id) for batch_id in self._ledger.open_batches())

    def _resend(self, batch_id: BatchId) -> int:
        steps = self._ledger.claim_overdue(batch_id)
        for step in steps:
            log.warning("batch_step_resent", batch_id=batch_id, step=step)
            BATCH_CHUNKS.labels(outcome="resent").inc()
            self._step_sender.send_step(batch_id, step)
        self._step_sender.advance(batch_id)
        return len(steps)

    def _process_safely(self, batch_id: BatchId) -> None:
        """Process one batch; a failure does not stop the others."""
        try:
            self._process_batch(batch_id)
        except BrokerUnavailable:
            raise
        except UnreadableRecord as error:
            RECORDS_UNREADABLE.labels(record="batch").inc()
            log.warning("batch_record_unreadable", batch_id=batch_id, error=str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("batch_not_swept", batch_id=batch_id, error=describe(error))

    def _process_batch(self, batch_id: BatchId) -> None:
        """Restore, expire or delete one batch, whichever is due."""
        now = self._clock()
        tombstone = self._files.tombstone(batch_id)
        keep_s = self._retention_s * TOMBSTONE_TTL_FACTOR
        if tombstone is not None:
            if tombstone.at + keep_s < now:
                self._files.discard(batch_id)
            else:
                self._files.discard_remains(batch_id)
            return
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            if id_timestamp(batch_id) + ABANDONED_UPLOAD_TTL_S < now:
                self._forget_draft(batch_id)
                self._files.discard(batch_id)
            return
        self._ledger.index_by_caller(batch_id, manifest.caller, keep_s)
        final = self._files.final(batch_id)
        if final is None:
            self._restore(manifest)
        elif max(final.finished_at or 0, final.corrected_at or 0) + self._retention_s < now:
            # First the bytes: after the manifest is gone, no scan would find them.
            self._ledger.forget_bytes(batch_id, manifest.caller)
            self._files.reap(batch_id, manifest.caller, now)
            return
        if not self._ledger.has_bytes(batch_id, manifest.caller):
            size = self._files.blobs.total_size(batch_id)
            self._ledger.record_bytes(batch_id, manifest.caller, size)

    def _forget_draft(self, draft_id: BatchId) -> None:
        """Let an expired draft count no more against the storage of its caller."""
        draft = DraftFiles(self._files.blobs).draft(draft_id)
        if draft is not None:
            self._ledger.forget_bytes(draft_id, draft.caller)

    def _restore(self, manifest: BatchManifest) -> None:
        """Restore the ledger of an unfinished batch if it is lost."""
        if self._ledger.progress(manifest.id) is not None:
            return
        blobs = self._files.blobs
        cut = self._files.split_state(manifest.id)
        heads = {
            chunk: read_part_head(blobs, manifest.id, chunk)
            for chunk in map(chunk_of, blobs.names(manifest.id, PARTS))
        }
        done = {chunk: head.counts for chunk, head in heads.items() if head is not None}
        total, at = cut.rows if cut.is_whole else None, manifest.accepted_at
        if self._ledger.restore(
            manifest.id,
            at,
            manifest.caller,
            chunks_cut=cut.chunks,
            total=total,
            done=done,
            callback=manifest.callback,
        ):
            log.warning("batch_restored", batch_id=manifest.id, chunks_done=len(done))
