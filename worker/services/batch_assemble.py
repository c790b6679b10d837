"""Put the parts of a batch together, in the order of its file, and end it."""

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

from shared.adapters.batch_files import (
    ERRORS,
    PARTS,
    REJECTED,
    RESULTS,
    BatchFiles,
)
from shared.batch_ports import BatchStore, BlobWriter, StepVerdict
from shared.domain.batch import (
    REJECTED_COLUMNS,
    BatchManifest,
    BatchOutcome,
    BatchProgress,
    RowCounts,
    kept_columns,
    result_header,
)
from shared.domain.ids import BatchId
from shared.domain.job import JobState
from shared.logging import get_logger
from shared.metrics import BATCHES
from shared.ports import Clock
from worker.services.batch_flow import ASSEMBLE
from worker.services.batch_part import PartHead, read_head
from worker.services.batch_retry import ATTEMPTS_EXHAUSTED, retried

RENEW_PARTS = 200
"""Parts after which the lease is renewed: some seconds of copying."""

ROWS_MISSING = "rows-missing"

log = get_logger("batch.assemble")


class EndedMeanwhile(Exception):
    """Another worker has ended the batch: what is being written here must not replace it."""


class BatchAssembly:
    """Ends batches.

    Args:
        files: records and blobs of batches.
        store: the ledger.
        clock: the time of day.
    """

    def __init__(self, files: BatchFiles, store: BatchStore, clock: Clock) -> None:
        self._files = files
        self._store = store
        self._clock = clock

    def run(self, batch_id: BatchId) -> None:
        """Write the result files and the final word, unless that is done."""
        start = self._store.begin(batch_id, ASSEMBLE)
        if start.verdict not in (StepVerdict.RUN, StepVerdict.EXHAUSTED):
            return
        with retried(self._store, batch_id, ASSEMBLE, start.attempt):
            try:
                self._run(batch_id, give_up=start.verdict is StepVerdict.EXHAUSTED)
            except EndedMeanwhile:
                log.info("batch_assembled_elsewhere", batch_id=batch_id)

    def _run(self, batch_id: BatchId, *, give_up: bool) -> None:
        final = self._files.final(batch_id)
        if final is None:
            final = self._end(batch_id, give_up=give_up)
            self._files.write_final(batch_id, final)
        if self._store.finish(batch_id, final):
            BATCHES.labels(state=str(final.state)).inc()
            log.info("batch_ended", batch_id=batch_id, state=final.state, outcome=final.outcome)
        self._files.drop_work(batch_id)

    def _end(self, batch_id: BatchId, *, give_up: bool) -> BatchProgress:
        """Write the result files of whatever is there; how the batch ends."""
        manifest = self._files.manifest(batch_id)
        progress = self._store.progress(batch_id)
        if manifest is None or progress is None:
            raise FileNotFoundError(f"records of {batch_id}")
        names = self._files.blobs.names(batch_id, PARTS)
        counts = self._copy(manifest, names)
        error = ATTEMPTS_EXHAUSTED if give_up else progress.error
        if error is None and not progress.cancel_requested and counts.done != progress.total:
            error = ROWS_MISSING
        return conclude(manifest, progress, counts, error, self._clock())

    def _copy(self, manifest: BatchManifest, names: Sequence[str]) -> RowCounts:
        """Write the three result files; nothing of them is seen before all is in them."""
        blobs, batch_id = self._files.blobs, manifest.id
        counts = RowCounts()
        with ExitStack() as files:
            outputs = [
                files.enter_context(blobs.write(batch_id, name))
                for name in (RESULTS, ERRORS, REJECTED)
            ]
            for output, head in zip(outputs, header_lines(manifest), strict=True):
                output.write(head)
            for number, name in enumerate(names):
                if number % RENEW_PARTS == 0:
                    self._store.renew(batch_id, ASSEMBLE)
                with blobs.read(batch_id, name) as part:
                    head_of_part = read_head(part)
                    _copy_sections(part, head_of_part, outputs)
                counts = _sum(counts, head_of_part.counts)
            if self._files.final(batch_id) is not None:
                raise EndedMeanwhile
        return counts


def conclude(
    manifest: BatchManifest,
    progress: BatchProgress,
    counts: RowCounts,
    error: str | None,
    now: float,
) -> BatchProgress:
    """How a batch ends whose rows met these ends."""
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
    return BatchProgress(
        state=state,
        outcome=outcome,
        counts=counts,
        total=progress.total,
        started_at=progress.started_at,
        finished_at=now,
        cancel_requested=progress.cancel_requested,
        error=error,
    )


def header_lines(manifest: BatchManifest) -> tuple[bytes, bytes, bytes]:
    """What the result files begin with."""
    header = manifest.dialect.header
    own = [header[index] for index in kept_columns(header)]
    return _csv_line(result_header(header)), b"", _csv_line([*own, *REJECTED_COLUMNS])


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def _copy_sections(part: BinaryIO, head: PartHead, outputs: Sequence[BlobWriter]) -> None:
    for output, length in zip(outputs, head.lengths, strict=True):
        section = part.read(length)
        if len(section) != length:
            raise EOFError(f"a part ends after {len(section)} of {length} bytes")
        output.write(section)


def _sum(one: RowCounts, other: RowCounts) -> RowCounts:
    return RowCounts(
        valid=one.valid + other.valid,
        invalid=one.invalid + other.invalid,
        failed=one.failed + other.failed,
    )
