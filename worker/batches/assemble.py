"""Assembles the result files from the parts, in the order of the file, and ends the batch."""

import dataclasses
from collections.abc import Container, Sequence
from contextlib import ExitStack
from pathlib import Path

from shared.audit.checkpoints import Checkpoints
from shared.blobs.batch_files import (
    ERRORS,
    LINES,
    PARTS,
    REJECTED,
    RESULTS,
    BatchFiles,
    chunk_of,
)
from shared.blobs.parts import (
    PartHead,
    contiguous_parts,
    header_lines,
    split_part,
)
from shared.blobs.row_lines import encode_runs
from shared.domain.batch import BatchManifest, BatchOutcome, BatchProgress, RowCounts
from shared.domain.clock import Clock
from shared.domain.files.notes import AskingSides, NoteCount, NoteCounter
from shared.domain.ids import BatchId
from shared.domain.job import JobState
from shared.logging import get_logger
from shared.metrics import BATCHES
from shared.redis.batch_ledger.ledger import BatchLedger, StepDecision
from shared.redis.dead_letters import DeadLetters
from worker.batches.audit_segments import (
    fsync_segment_names,
    list_batch_segments,
    publish_part_segment,
)
from worker.batches.corrections.merger import CorrectionMerger, CorrectionOutdated
from worker.batches.shared_segments import SharedSegments
from worker.batches.steps import ASSEMBLE, ATTEMPTS_EXHAUSTED, step_attempt

RENEW_EVERY_PARTS = 100
"""Parts between two renewals of the lease: some seconds of copying."""

ROWS_MISSING = "rows-missing"
CORRECTION_OUTDATED = "correction-outdated"

log = get_logger("batch.assemble")


class BatchEndedElsewhere(Exception):
    """Another worker has ended the batch: its result files must not be replaced."""


class BatchAssembler:
    """Ends batches."""

    def __init__(
        self,
        files: BatchFiles,
        ledger: BatchLedger,
        clock: Clock,
        dead_letters: DeadLetters,
        *,
        audit_folder: Path,
        checkpoints: Checkpoints | None = None,
        segments: SharedSegments | None = None,
    ) -> None:
        self._segments = segments
        self._dead_letters = dead_letters
        self._files = files
        self._ledger = ledger
        self._clock = clock
        self._audit_folder = audit_folder
        self._checkpoints = checkpoints
        self._corrections = CorrectionMerger(files, ledger)

    def run(self, batch_id: BatchId) -> None:
        """Write the result files and the final record, unless that is done."""
        with step_attempt(self._ledger, batch_id, ASSEMBLE) as start:
            if start.decision not in {StepDecision.RUN, StepDecision.EXHAUSTED}:
                return
            manifest = self._files.manifest(batch_id)
            if manifest is None:
                self._close(batch_id)
                return
            if start.decision is StepDecision.EXHAUSTED:
                reason = self._ledger.last_failure(batch_id, ASSEMBLE)
                attempts = start.attempt - 1
                self._dead_letters.add_step(batch_id, manifest.caller, ASSEMBLE, reason, attempts)
            try:
                self._run(manifest, give_up=start.decision is StepDecision.EXHAUSTED)
            except BatchEndedElsewhere:
                log.info("batch_assembled_elsewhere", batch_id=batch_id)

    def _close(self, batch_id: BatchId) -> None:
        """Close a ledger whose batch is gone: the upload was refused, or its files are deleted."""
        log.warning("batch_without_manifest", batch_id=batch_id)
        progress = BatchProgress(
            state=JobState.FAILED,
            outcome=BatchOutcome.ABORTED,
            finished_at=self._clock(),
            error=ROWS_MISSING,
        )
        self._ledger.finish(batch_id, progress)

    def _run(self, manifest: BatchManifest, *, give_up: bool) -> None:
        batch_id = manifest.id
        final = self._files.final(batch_id)
        if final is None:
            final = self._end(manifest, give_up=give_up)
            if manifest.corrects is not None and final.state is JobState.SUCCEEDED:
                final = self._return_rows(manifest, manifest.corrects, final)
            self._files.write_final(batch_id, final)
        if self._ledger.finish(batch_id, final):
            BATCHES.labels(state=str(final.state)).inc()
            log.info("batch_ended", batch_id=batch_id, state=final.state, outcome=final.outcome)
        self._files.blobs.mark_ended(batch_id)
        if not may_run_again(manifest, final):
            self._files.delete_intermediates(batch_id)
        for each in filter(None, (batch_id, manifest.corrects)):
            self._ledger.record_bytes(each, manifest.caller, self._files.blobs.total_size(each))

    def _return_rows(
        self, manifest: BatchManifest, corrected: BatchId, final: BatchProgress
    ) -> BatchProgress:
        """Put the rows of a correction into the batch that it corrects; return how it ends."""
        try:
            self._corrections.merge(manifest, corrected, final)
        except CorrectionOutdated as error:
            log.warning("correction_outdated", batch_id=manifest.id, error=str(error))
            return dataclasses.replace(
                final,
                state=JobState.FAILED,
                outcome=BatchOutcome.ABORTED,
                error=CORRECTION_OUTDATED,
            )
        return final

    def _end(self, manifest: BatchManifest, *, give_up: bool) -> BatchProgress:
        """Write the result files of the gap-free prefix of the rows; return how the batch ends."""
        progress = self._ledger.progress(manifest.id)
        if progress is None:
            raise FileNotFoundError(f"ledger of {manifest.id}")
        names = contiguous_parts(self._files.blobs, manifest.id)
        counts, notes, sides = self._copy(manifest, names)
        progress = dataclasses.replace(progress, notes=notes, asking_sides=sides)
        error = ATTEMPTS_EXHAUSTED if give_up else progress.error
        if error is None and not progress.cancel_requested and counts.done != progress.total:
            error = ROWS_MISSING
        return final_progress(manifest, progress, counts, error, self._clock())

    def _copy(
        self, manifest: BatchManifest, names: Sequence[str]
    ) -> tuple[RowCounts, tuple[NoteCount, ...], AskingSides]:
        """Write the three result files, which become visible when all are complete.

        The audit segment of each part is published before, in case its worker was killed.
        """
        blobs, batch_id = self._files.blobs, manifest.id
        counts, notes, sides = RowCounts(), NoteCounter(), AskingSides()
        published: set[int] = set()
        if self._segments is not None:
            published = self._segments.published(manifest, map(chunk_of, names))
        with ExitStack() as files:
            outputs = [
                files.enter_context(blobs.write(batch_id, name))
                for name in (RESULTS, ERRORS, REJECTED)
            ]
            lines = files.enter_context(blobs.write(batch_id, LINES))
            for output, head in zip(outputs, header_lines(manifest), strict=True):
                output.write(head)
            for number, (name, part) in enumerate(
                zip(names, blobs.load_all(batch_id, names), strict=True)
            ):
                if number % RENEW_EVERY_PARTS == 0:
                    self._ledger.renew(batch_id, ASSEMBLE)
                head_of_part, sections = split_part(part)
                for output, section in zip(outputs, sections, strict=True):
                    output.write(section)
                lines.write(encode_runs(head_of_part.line_runs))
                self._publish(manifest, chunk_of(name), head_of_part, published)
                counts += head_of_part.counts
                notes.merge(head_of_part.notes)
                sides += head_of_part.asking_sides
            # The audit blobs are deleted with the parts: the links to them must be durable.
            fsync_segment_names(self._audit_folder)
            chunks = map(chunk_of, blobs.names(batch_id, PARTS))
            if self._segments is None:
                list_batch_segments(self._audit_folder, self._checkpoints, manifest, chunks)
            if self._files.final(batch_id) is not None:
                raise BatchEndedElsewhere
        return counts, notes.result(), sides

    def _publish(
        self, manifest: BatchManifest, chunk: int, head: PartHead, published: Container[int]
    ) -> None:
        """Publish the audit segment of a part, unless it is."""
        if self._segments is None:
            publish_part_segment(self._audit_folder, self._files.blobs, manifest, chunk, head)
        elif chunk not in published:
            self._segments.publish(manifest, chunk, head)


def may_run_again(manifest: BatchManifest, final: BatchProgress) -> bool:
    """Whether an ended batch can be retried, or has a dead letter: its file and parts are kept."""
    has_failed = final.counts.failed > 0 or final.error in {ATTEMPTS_EXHAUSTED, ROWS_MISSING}
    is_cancelled = final.outcome is BatchOutcome.CANCELLED
    return (has_failed or is_cancelled) and manifest.corrects is None


def final_progress(
    manifest: BatchManifest,
    progress: BatchProgress,
    counts: RowCounts,
    error: str | None,
    now: float,
) -> BatchProgress:
    """How a batch with these results ends; `now` is the Unix time."""
    if error is not None:
        state, outcome = JobState.FAILED, BatchOutcome.ABORTED
    elif progress.cancel_requested and counts.done != progress.total:
        state, outcome = JobState.CANCELLED, BatchOutcome.CANCELLED
    elif counts.failed:
        outcome = BatchOutcome.PARTIAL
        state = JobState.SUCCEEDED if counts.valid else JobState.FAILED
        error = None if counts.valid else ATTEMPTS_EXHAUSTED
    elif manifest.options.dry_run:
        state, outcome = JobState.SUCCEEDED, BatchOutcome.DRY_RUN
    else:
        state = JobState.SUCCEEDED
        outcome = BatchOutcome.WITH_ERRORS if counts.invalid else BatchOutcome.COMPLETE
    return dataclasses.replace(
        progress, state=state, outcome=outcome, counts=counts, finished_at=now, error=error
    )
