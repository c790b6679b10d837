"""Retries: a batch that was cancelled or has failed runs on from what is done."""

import dataclasses

from api.batches.corrections import CorrectionGate
from api.batches.results import storage_errors
from api.batches.service import Batches
from api.middleware.key_limits import Admission
from shared.blobs.batch_files import PARTS, RESULT_PREFIXES, SOURCE, chunk_of, part_name
from shared.blobs.parts import read_part_head
from shared.domain.batch import Batch, BatchManifest, BatchOutcome, RowCounts
from shared.domain.errors import BrokerUnavailable, NothingToRetry
from shared.domain.ids import BatchId, CallerId
from shared.logging import get_logger
from shared.queue.names import TaskName
from shared.redis.batch_ledger.ledger import ROW_REJECTED

WHOLE_OUTCOMES = (BatchOutcome.COMPLETE, BatchOutcome.WITH_ERRORS, BatchOutcome.DRY_RUN)

log = get_logger("batches")


def may_be_retried(batch: Batch) -> bool:
    """Whether another run may complete an ended batch, if its file is still stored."""
    progress = batch.progress
    return (
        progress.state.is_terminal
        and progress.outcome not in WHOLE_OUTCOMES
        and progress.error != ROW_REJECTED
        and not batch.refusal
        and not progress.corrections
        and batch.manifest.corrects is None
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchRetries:
    """Runs ended batches again."""

    batches: Batches

    @storage_errors()
    def retry(
        self, batch_id: BatchId, caller: CallerId, admission: Admission | None = None
    ) -> Batch:
        """Have the rows valued that were not; a batch that runs or is complete stays as it is.

        The rows that are done keep their results. Rows that could not be valued are tried again.

        Args:
            batch_id: a batch of this caller.
            caller: its owner.
            admission: the limits of the caller.

        Raises:
            BatchNotFound, BatchExpired, BatchDeleted: this caller has no such batch (any more).
            NothingToRetry: its file is refused, or not stored any more.
            CorrectionInProgress: rows of it are being corrected, or it is being retried.
            RateLimited: `admission` does not allow it.
            BrokerUnavailable, StorageUnavailable: it cannot be restarted now.
        """
        batch = self.batches.get(batch_id, caller)
        progress = batch.progress
        if not progress.state.is_terminal or progress.outcome in WHOLE_OUTCOMES:
            return batch
        if not may_be_retried(batch) or not self.has_file(batch_id):
            raise NothingToRetry(id=batch_id)
        if admission is not None and admission.limits_batches:
            admission.check_batch(is_valued=not batch.manifest.options.dry_run)
        with CorrectionGate(self.batches.files, self.batches.ledger).closed(batch_id):
            # Another request may have restarted it meanwhile.
            if self.batches.files.final(batch_id) is not None:
                self._restart(batch.manifest)
        return self.batches.get(batch_id, caller)

    @storage_errors()
    def has_file(self, batch_id: BatchId) -> bool:
        """Whether the file of a batch is still stored."""
        return self.batches.files.blobs.size(batch_id, SOURCE) is not None

    def _restart(self, manifest: BatchManifest) -> None:
        files, batch_id = self.batches.files, manifest.id
        done = self._keep_complete_parts(batch_id)
        cut = files.split_state(batch_id)
        self.batches.ledger.ping()
        # Without final record and ledger it is an unfinished batch whose ledger was lost: should
        # this process die now, the sweep restores it.
        self.batches.ledger.forget(batch_id)
        names = files.blobs.names(batch_id, "")
        results = [name for name in names if name.startswith(RESULT_PREFIXES)]
        # Results first: should this process die now, another retry is possible, and no export of
        # the first rows is left.
        files.blobs.remove(batch_id, results)
        files.reopen(batch_id)
        self.batches.ledger.restore(
            batch_id,
            manifest.accepted_at,
            manifest.caller,
            chunks_cut=cut.chunks,
            total=cut.rows if cut.is_whole else None,
            done=done,
            callback=manifest.callback,
        )
        if not cut.is_whole:
            try:
                order = {"batch_id": batch_id}
                self.batches.send(
                    TaskName.SPLIT_BATCH, order, manifest.caller, part=cut.chunks, is_slow=True
                )
            except BrokerUnavailable as error:  # the sweep sends it
                log.warning("batch_split_not_sent", batch_id=batch_id, error=str(error))
        log.info("batch_retried", batch_id=batch_id, chunks_done=len(done))

    def _keep_complete_parts(self, batch_id: BatchId) -> dict[int, RowCounts]:
        """Remove the parts with rows that could not be valued; the counts of the others."""
        blobs, done, failed = self.batches.files.blobs, {}, []
        for chunk in map(chunk_of, blobs.names(batch_id, PARTS)):
            head = read_part_head(blobs, batch_id, chunk)
            if head is not None and head.counts.failed:
                failed.append(part_name(chunk))
            elif head is not None:
                done[chunk] = head.counts
        blobs.remove(batch_id, failed)
        return done
