"""Sweeps batches: resends lost steps, restores lost ledgers, deletes expired batches.

The unfinished batches are found by their marks in the blob store, so that they go on within seconds
after the broker has lost its data, however many ended batches are retained. Those are looked at in
slices, and their blobs are read only when something is due.
"""

import contextlib
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.blobs.batch_files import PARTS, BatchFiles, Tombstone, chunk_of
from shared.blobs.draft_files import DraftFiles
from shared.blobs.parts import read_part_head
from shared.domain.batch import BatchManifest, BatchProgress
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, UnreadableRecord
from shared.domain.files.draft import DRAFT_TTL_S
from shared.domain.ids import BatchId, id_timestamp
from shared.domain.job import TOMBSTONE_TTL_FACTOR
from shared.logging import describe, get_logger
from shared.metrics import BATCH_CHUNKS, RECORDS_UNREADABLE
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.batch_ledger.retained import RetainedBatch, RetainedBatches
from worker.batches.audit_segments import remove_stale
from worker.batches.steps import BatchStepSender

SCAN_INTERVAL_S = 600
"""Time between two scans of the blob store. After the broker lost its data the next sweep scans at
once, because the marker of the last scan is lost too."""

SCAN_CLAIM_S = 60
"""Time after which another process begins a scan again whose process has died or failed."""

SLICE_S = 10.0
"""Time that one sweep spends on ended batches; the next one goes on."""

READERS = 8
"""Blobs that are read at the same time: of an object store, most of the time is waiting."""

ABANDONED_UPLOAD_TTL_S = DRAFT_TTL_S
"""Age at which the blobs of an unfinished upload, or of a draft, are deleted."""

log = get_logger("batch.sweep")


class BatchSweeper:
    """Ensures that every accepted batch ends.

    Args:
        files: records and blobs of batches.
        ledger: the ledger.
        retained: what is known about ended batches.
        step_sender: sends steps.
        clock: Unix time, seconds.
        audit_folder: folder of the audit log.
        retention_s: time after its end until a batch expires.
    """

    def __init__(
        self,
        files: BatchFiles,
        ledger: BatchLedger,
        retained: RetainedBatches,
        step_sender: BatchStepSender,
        clock: Clock,
        *,
        audit_folder: Path,
        retention_s: int,
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._retained = retained
        self._step_sender = step_sender
        self._clock = clock
        self._audit_folder = audit_folder
        self._retention_s = retention_s
        self._keep_s = retention_s * TOMBSTONE_TTL_FACTOR

    def sweep(self) -> int:
        """Resend lost steps; return their number."""
        try:
            self._find_open_batches()
        except OSError as error:  # another scan begins when the claim is over
            log.warning("batches_not_scanned", error=describe(error))
        resent = sum(self._resend(batch_id) for batch_id in self._ledger.open_batches())
        try:
            self._look_at_retained()
        except OSError as error:
            log.warning("batches_not_scanned", error=describe(error))
        return resent

    def _find_open_batches(self) -> None:
        """Restore the lost ledgers of unfinished batches, if a scan is due."""
        if not self._ledger.claim_scan(SCAN_CLAIM_S):
            return
        for batch_id in self._files.blobs.open_batches():
            self._safely(batch_id, self._go_on)
        self._retained.begin_scan()
        self._ledger.finish_scan(SCAN_INTERVAL_S)
        with contextlib.suppress(OSError):  # the next scan tries again
            remove_stale(self._audit_folder, self._clock())

    def _go_on(self, batch_id: BatchId) -> None:
        """Restore the ledger of a batch that is marked as open, or remove its mark."""
        progress = self._ledger.progress(batch_id)
        if progress is not None and not progress.state.is_terminal:
            return
        manifest = self._files.manifest(batch_id)
        if manifest is not None and self._files.final(batch_id) is None:
            self._restore(manifest)
        elif manifest is not None or self._is_abandoned(batch_id):
            self._files.blobs.mark_ended(batch_id)

    def _look_at_retained(self) -> None:
        """Go on with the scan of all batches, if one is under way, for `SLICE_S` at most."""
        with self._retained.slice() as place:
            if place is None:
                return
            until = time.monotonic() + SLICE_S
            existing = list(self._files.blobs.batches())
            marked = set(self._files.blobs.open_batches())
            rest = [batch_id for batch_id in existing if batch_id > place]

            def look_at(batch_id: BatchId) -> None:
                self._safely(batch_id, lambda each: self._look_at(each, marked))

            with ThreadPoolExecutor(READERS, "sweep") as readers:
                for start in range(0, len(rest), READERS):
                    group = rest[start : start + READERS]
                    list(readers.map(look_at, group))
                    self._retained.record_place(group[-1])
                    if time.monotonic() > until:
                        return
            self._retained.end_scan(existing)

    def _resend(self, batch_id: BatchId) -> int:
        steps = self._ledger.claim_overdue(batch_id)
        for step in steps:
            log.warning("batch_step_resent", batch_id=batch_id, step=step)
            BATCH_CHUNKS.labels(outcome="resent").inc()
            self._step_sender.send_step(batch_id, step)
        self._step_sender.advance(batch_id)
        return len(steps)

    def _safely(self, batch_id: BatchId, process: Callable[[BatchId], None]) -> None:
        """Process one batch; a failure does not stop the others."""
        try:
            process(batch_id)
        except BrokerUnavailable:
            raise
        except UnreadableRecord as error:
            RECORDS_UNREADABLE.labels(record="batch").inc()
            log.warning("batch_record_unreadable", batch_id=batch_id, error=str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("batch_not_swept", batch_id=batch_id, error=describe(error))

    def _look_at(self, batch_id: BatchId, marked: Collection[BatchId]) -> None:
        """Restore, expire or delete one batch, whichever is due."""
        now, known = self._clock(), self._retained.get(batch_id)
        if known is None or known.until < now:
            known = self._read(batch_id, now, marked)
        if known is None or known.is_tombstone:
            return
        self._ledger.index_by_caller(batch_id, known.caller, self._keep_s)
        if not self._ledger.has_bytes(batch_id, known.caller):
            size = self._files.blobs.total_size(batch_id)
            self._ledger.record_bytes(batch_id, known.caller, size)

    def _read(
        self, batch_id: BatchId, now: float, marked: Collection[BatchId]
    ) -> RetainedBatch | None:
        """Read the records of a batch and do what is due; None if nothing is left of it."""
        tombstone = self._files.tombstone(batch_id)
        if tombstone is not None:
            return self._keep_tombstone(batch_id, tombstone, now)
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            if self._is_abandoned(batch_id):
                self._forget_draft(batch_id)
                self._files.discard(batch_id)
            return None
        final = self._files.final(batch_id)
        if final is None:
            if batch_id not in marked:  # a release without marks has accepted it
                self._files.blobs.mark_open(batch_id)
            self._restore(manifest)
            return RetainedBatch(manifest.caller, now, is_tombstone=False)
        known = RetainedBatch(manifest.caller, self._expires_at(final), is_tombstone=False)
        if known.until >= now:
            self._retained.note(batch_id, known)
            return known
        # First the bytes: after the manifest is gone, no scan would find them.
        self._ledger.forget_bytes(batch_id, manifest.caller)
        self._files.reap(batch_id, manifest.caller, now)
        return None

    def _expires_at(self, final: BatchProgress) -> float:
        return max(final.finished_at or 0, final.corrected_at or 0) + self._retention_s

    def _keep_tombstone(
        self, batch_id: BatchId, tombstone: Tombstone, now: float
    ) -> RetainedBatch | None:
        """Delete what a slow writer has added to a tombstone, or the tombstone in its time."""
        known = RetainedBatch(tombstone.caller, tombstone.at + self._keep_s, is_tombstone=True)
        if known.until < now:
            self._files.discard(batch_id)
            return None
        self._files.discard_remains(batch_id)
        self._retained.note(batch_id, known)
        return known

    def _is_abandoned(self, batch_id: BatchId) -> bool:
        return id_timestamp(batch_id) + ABANDONED_UPLOAD_TTL_S < self._clock()

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
        chunks = [chunk_of(name) for name in blobs.names(manifest.id, PARTS)]
        with ThreadPoolExecutor(READERS, "parts") as readers:
            heads = readers.map(lambda chunk: read_part_head(blobs, manifest.id, chunk), chunks)
            found = zip(chunks, heads, strict=True)
            done = {chunk: head.counts for chunk, head in found if head is not None}
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
