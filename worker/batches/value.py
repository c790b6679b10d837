"""Values one chunk: loads it, has its engine make the part, writes the part, records and counts."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.blobs.batch_files import BatchFiles, chunk_name
from shared.blobs.parts import PartHead, read_part_head, write_part
from shared.domain.batch import BatchManifest, OnError
from shared.domain.clock import Clock, month_at
from shared.domain.ids import BatchId
from shared.domain.table import Dialect
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.number import next_year
from shared.logging import get_logger
from shared.metrics import BATCH_CHUNKS, BATCH_ROWS, INFERENCE, observe_price_histogram
from shared.queue.names import QueueName
from shared.redis.batch_ledger.ledger import BatchLedger, StepDecision
from shared.redis.dead_letters import DeadLetters
from shared.tabular.rows.chunk import CellChunk
from worker.batches.audit_segments import publish_part_segment, segment_name, store_segment_sums
from worker.batches.engine import ChunkEngine, EngineName, Estimates
from worker.batches.fast_csv.spans import FastCsvChunk, unpack_chunk
from worker.batches.rows.engine import GeneralEngine
from worker.batches.shared_segments import SharedSegments
from worker.batches.steps import ATTEMPTS_EXHAUSTED, BatchStepSender, step_attempt
from worker.model import ModelRuntime
from worker.shadow import ChunkShadowSampler, ShadowEvaluator

if TYPE_CHECKING:
    from worker.batches.fast_csv.engine import FastCsvEngine

MAX_GIVE_UP_ATTEMPTS = 3
"""Attempts to write the failed part of a chunk; after them the batch is aborted."""

MAX_VALIDATORS = 8
"""Validators that are kept, by decimal sign and stated units."""

log = get_logger("batch.value")


class BatchValuation:
    """Values chunks. Repeating a chunk gives the same part and counts it once.

    Args:
        files: records and blobs of batches.
        ledger: the ledger.
        step_sender: sends the next steps.
        models: the model versions.
        audit_folder: folder of the audit log.
        clock: Unix time, seconds.
        dead_letters: list of the chunks that were given up.
        max_attempts: attempts before a chunk is given up.
        shadow_evaluator: values a sample of the rows with the shadow version; None: no shadow.
        segments: publishes audit segments once on all hosts; None: this host records alone.
    """

    def __init__(
        self,
        files: BatchFiles,
        ledger: BatchLedger,
        step_sender: BatchStepSender,
        *,
        models: ModelRuntime,
        audit_folder: Path,
        clock: Clock,
        dead_letters: DeadLetters,
        max_attempts: int,
        shadow_evaluator: ShadowEvaluator | None = None,
        segments: SharedSegments | None = None,
    ) -> None:
        self._segments = segments
        self._shadow_sampler = ChunkShadowSampler(shadow_evaluator)
        self._files = files
        self._ledger = ledger
        self._step_sender = step_sender
        self._models = models
        self._audit_folder = audit_folder
        self._clock = clock
        self._dead_letters = dead_letters
        self._max_attempts = max_attempts
        self._validators: dict[tuple[Any, ...], ColumnValidator] = {}
        self._general = GeneralEngine(self._estimate, self._validator, clock)
        self._estimates: list[tuple[Mapping[str, Any], Any, str]] = []
        """Estimates of the current chunk: columns of the cars, quantiles and model version."""
        self._month = 0
        """Month in which the current chunk's batch was accepted: its intervals hold for it, so
        that a chunk has the same prices whenever it is valued."""

    def run(self, batch_id: BatchId, chunk: int) -> range | None:
        """Value a chunk unless it is done, and send the next steps.

        Returns:
            Numbers of its rows in the file, from 1; None if they were not valued here.
        """
        rows = None
        with step_attempt(self._ledger, batch_id, str(chunk)) as start:
            if start.decision is StepDecision.RUN:
                rows = self._value(batch_id, chunk)
            elif start.decision is StepDecision.EXHAUSTED:
                self._give_up(batch_id, chunk, start.attempt)
        if start.decision is not StepDecision.UNKNOWN:
            self._step_sender.advance(batch_id)
        return rows

    def _value(self, batch_id: BatchId, number: int) -> range | None:
        manifest = self._files.existing_manifest(batch_id)
        head, part, rows = read_part_head(self._files.blobs, batch_id, number), None, None
        if head is None:
            self._estimates.clear()
            self._month = month_at(manifest.accepted_at)
            engine, chunk = self._load(manifest, number)
            part = engine.value(manifest, chunk)
            head = write_part(self._files.blobs, batch_id, number, part)
            rows = range(chunk.first_row, chunk.first_row + sum(head.counts))
            # Only rows whose results are durable are sampled: a chunk that fails is valued again.
            for estimate in self._estimates:
                self._shadow_sampler.draw(*estimate)
            self._shadow_sampler.submit_sample()
            self._estimates.clear()
        self._finish(manifest, number, head, "done", part.audit if part is not None else b"")
        if part is not None:
            name = segment_name(batch_id, number)
            store_segment_sums(self._audit_folder, name, manifest.accepted_at, part)
        return rows

    def _give_up(self, batch_id: BatchId, number: int, attempt: int) -> None:
        """Write the failed part of a chunk; abort the batch if that fails repeatedly."""
        log.error("batch_chunk_dead", batch_id=batch_id, chunk=number, attempt=attempt)
        if attempt > self._max_attempts + MAX_GIVE_UP_ATTEMPTS:
            self._list_dead(self._files.existing_manifest(batch_id), number, attempt)
            self._ledger.abort(batch_id, ATTEMPTS_EXHAUSTED)
            return
        manifest, outcome = self._files.existing_manifest(batch_id), "done"
        head = read_part_head(self._files.blobs, batch_id, number)
        if head is None:
            self._list_dead(manifest, number, attempt)
            engine, chunk = self._load(manifest, number)
            part, outcome = engine.fail(manifest, chunk), "dead"
            head = write_part(self._files.blobs, batch_id, number, part)
        self._finish(manifest, number, head, outcome)

    def _list_dead(self, manifest: BatchManifest, number: int, attempt: int) -> None:
        reason = self._ledger.last_failure(manifest.id, str(number))
        attempts = min(attempt, self._max_attempts)
        self._dead_letters.add_step(manifest.id, manifest.caller, str(number), reason, attempts)

    def _finish(
        self,
        manifest: BatchManifest,
        chunk: int,
        part: PartHead,
        outcome: str,
        records: bytes | memoryview = b"",
    ) -> None:
        """Publish the audit segment of a part, mark its chunk done and count the rows.

        The segment's `records` are given if they are in memory.
        """
        if self._segments is None:
            folder, blobs = self._audit_folder, self._files.blobs
            publish_part_segment(folder, blobs, manifest, chunk, part, lines=records)
        else:
            self._segments.publish(manifest, chunk, part, lines=records)
        abort = manifest.options.on_error is OnError.ABORT and part.counts.invalid > 0
        if self._ledger.finish_chunk(manifest.id, chunk, part.counts, abort=abort):
            BATCH_CHUNKS.labels(outcome=outcome).inc()
            _count_rows(part, dry_run=manifest.options.dry_run)
        else:
            BATCH_CHUNKS.labels(outcome="repeated").inc()

    def _load(
        self, manifest: BatchManifest, number: int
    ) -> tuple[ChunkEngine[Any], CellChunk | FastCsvChunk]:
        """A stored chunk with its rows, and the engine that it was cut for."""
        packed = self._files.blobs.load(manifest.id, chunk_name(number))
        chunk = unpack_chunk(packed, manifest, lambda: self._files.open_text(manifest))
        return self._general if chunk.engine == EngineName.GENERAL else self._fast_csv, chunk

    @cached_property
    def _fast_csv(self) -> "FastCsvEngine":
        # The import loads kernels: only workers that value fast CSV chunks need their memory, and
        # the kernel cache must be filled before it.
        from worker.batches.fast_csv.engine import FastCsvEngine  # noqa: PLC0415

        return FastCsvEngine(self._estimate, self._validator, self._clock, general=self._general)

    def _estimate(self, version: str, columns: Mapping[str, Any], n: int) -> Estimates:
        """Estimates of n cars given by column."""
        model = self._models.load(version)
        with INFERENCE.labels(queue=str(QueueName.BULK)).time():
            estimates = model.estimate_columns(columns, n, month=self._month)
        self._estimates.append((columns, estimates.quantiles_mad, version))
        return estimates

    def _validator(self, dialect: Dialect) -> ColumnValidator:
        """The validator of a decimal sign and units; a new year has new ones, for its bounds."""
        units = tuple(sorted(dialect.units.items()))
        key = (dialect.decimal, units, next_year())
        if key not in self._validators:
            outdated = [each for each in self._validators if each[-1] != key[-1]]
            for former in outdated or list(self._validators)[: 1 - MAX_VALIDATORS]:
                del self._validators[former]
            self._validators[key] = ColumnValidator(dialect.decimal, dialect.units)
        return self._validators[key]


def _count_rows(part: PartHead, *, dry_run: bool) -> None:
    """Add the rows of a finished chunk to the metrics."""
    outcomes = ("validated" if dry_run else "valued", "rejected", "failed")
    for outcome, rows in zip(outcomes, part.counts, strict=True):
        BATCH_ROWS.labels(outcome=outcome).inc(rows)
    observe_price_histogram(part.histogram)
