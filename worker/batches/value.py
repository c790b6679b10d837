"""Value the rows of one chunk: validate by column, one call of the forest, one part."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from shared.blobs.batch_files import SOURCE, BatchFiles, chunk_name
from shared.blobs.direct_io import drop_from_page_cache
from shared.blobs.parts import PartHead
from shared.domain.batch import BatchManifest, OnError
from shared.domain.clock import Clock
from shared.domain.ids import BatchId
from shared.fields.columns import ColumnValidator
from shared.fields.kinds import next_year
from shared.logging import get_logger
from shared.metrics import BATCH_CHUNKS, BATCH_ROWS, INFERENCE, observe_price_histogram
from shared.queue.names import QueueName
from shared.redis.batches import BatchLedger, StepDecision
from shared.tabular.headers import asking_column_index
from worker.batches.audit_segments import encode_segment
from worker.batches.fast_csv.engine import FastCsvValuation
from worker.batches.fast_csv.spans import FastCsvChunk, unpack
from worker.batches.parts import Part, read_part_head, write_part
from worker.batches.rows.audit import audit_records, record_part
from worker.batches.rows.chunk import Chunk
from worker.batches.rows.part import (
    NO_PRICES,
    PRICE_INDEXES,
    Prices,
    ValidCars,
    make_failed_part,
    make_part,
    validate,
)
from worker.batches.rows.verdicts import asked, verdict_cells
from worker.batches.steps import ATTEMPTS_EXHAUSTED, BatchStepSender, retry_on_failure
from worker.shadow import ChunkShadowSampler, ShadowEvaluator

MAX_GIVE_UP_ATTEMPTS = 3
"""Tries to note that a chunk is given up; if even that fails, its batch ends."""

log = get_logger("batch.value")


class EstimateTable(Protocol):
    """Estimates of many cars, as numpy arrays."""

    @property
    def quantiles_mad(self) -> Any:
        """Shape (n, levels), at `QUANTILE_LEVELS`."""
        ...


class BatchModel(Protocol):
    """A loaded model."""

    def estimate_columns(self, columns: Mapping[str, Sequence[Any]], n: int) -> EstimateTable:
        """Estimates of `n` cars given by column, in normal form."""
        ...


class ModelProvider(Protocol):
    """Gives model versions."""

    def load(self, version: str) -> BatchModel:
        """The model of a version; the last one stays in memory."""
        ...


class BatchValuation:
    """Values chunks. Doing it again gives the same part, and counts once.

    Args:
        files: records and blobs of batches.
        store: the ledger.
        step_sender: sends what comes next.
        models: the batches' pinned model versions.
        audit_folder: where the audit log lies; each chunk has a file of its own in it.
        clock: the time of day.
        max_attempts: tries before a chunk is given up.
        shadow_evaluator: tries another version on a share of the rows; None: nothing is tried.
    """

    def __init__(
        self,
        files: BatchFiles,
        store: BatchLedger,
        step_sender: BatchStepSender,
        *,
        models: ModelProvider,
        audit_folder: Path,
        clock: Clock,
        max_attempts: int,
        shadow_evaluator: ShadowEvaluator | None = None,
    ) -> None:
        self._shadow_sampler = ChunkShadowSampler(shadow_evaluator)
        self._files = files
        self._store = store
        self._step_sender = step_sender
        self._models = models
        self._audit_folder = audit_folder
        self._clock = clock
        self._max_attempts = max_attempts
        self._validators: dict[tuple[str, float], ColumnValidator] = {}
        self._fast_csv = FastCsvValuation(self._quantiles, clock)

    def run(self, batch_id: BatchId, chunk: int) -> None:
        """Value a chunk unless it is done, and send what comes next."""
        step = str(chunk)
        start = self._store.begin(batch_id, step)
        if start.verdict is StepDecision.UNKNOWN:
            return
        if start.verdict is StepDecision.RUN:
            with retry_on_failure(self._store, batch_id, step, start.attempt):
                self._value(batch_id, chunk)
        elif start.verdict is StepDecision.EXHAUSTED:
            with retry_on_failure(self._store, batch_id, step, start.attempt):
                self._give_up(batch_id, chunk, start.attempt)
        self._step_sender.advance(batch_id)

    def _value(self, batch_id: BatchId, chunk: int) -> None:
        manifest = self._manifest(batch_id)
        head = read_part_head(self._files.blobs, batch_id, chunk)
        if head is None:
            self._shadow_sampler.forget()
            part = self._make_part(manifest, chunk)
            write_part(self._files.blobs, batch_id, chunk, part)
            self._shadow_sampler.submit_sample()
            head = part.head
        self._finish(manifest, chunk, head, "done")

    def _finish(self, manifest: BatchManifest, chunk: int, part: PartHead, outcome: str) -> None:
        """Record what the part answers, and mark its chunk done."""
        record_part(self._audit_folder, self._files.blobs, manifest, chunk, part)
        abort = manifest.options.on_error is OnError.ABORT and part.counts.invalid > 0
        if self._store.finish_chunk(manifest.id, chunk, part.counts, abort=abort):
            BATCH_CHUNKS.labels(outcome=outcome).inc()
            _count_rows(part, dry_run=manifest.options.dry_run)
        else:
            BATCH_CHUNKS.labels(outcome="repeated").inc()

    def _make_part(self, manifest: BatchManifest, number: int) -> Part:
        """Validate and estimate a chunk."""
        started = time.perf_counter()
        validator = self._validator(manifest.dialect.decimal)
        chunk = self._chunk(manifest, number)
        if isinstance(chunk, FastCsvChunk):
            part = self._fast_csv.part(manifest, chunk, validator)
            if part is not None:
                return part
            chunk = chunk.as_cells(manifest.dialect)
        cars = validate(chunk, manifest, validator)
        if manifest.options.dry_run:
            return make_part(chunk, manifest, cars.errors, NO_PRICES)
        prices = self._estimate(manifest, chunk, cars)
        elapsed_ms = (time.perf_counter() - started) * 1000
        records = audit_records(manifest, cars, prices, at=self._clock(), elapsed_ms=elapsed_ms)
        audit = encode_segment(records)
        return make_part(chunk, manifest, cars.errors, prices, audit=audit)

    def _estimate(self, manifest: BatchManifest, chunk: Chunk, cars: ValidCars) -> Prices:
        if not cars.rows:
            return NO_PRICES
        quantiles = self._quantiles(manifest.model_version, cars.values, len(cars.rows))
        prices = Prices(*quantiles[:, PRICE_INDEXES].T.tolist())
        column = asking_column_index(manifest.dialect)
        if column is None:
            return prices
        cells = [chunk.columns[column][row - chunk.first_row] for row in cars.rows]
        asking = asked(cells, self._validator(manifest.dialect.decimal))
        return prices._replace(verdicts=verdict_cells(asking, quantiles))

    def _quantiles(self, version: str, cars: Mapping[str, Any], n: int) -> Any:
        """Prices at `QUANTILE_LEVELS` of n cars by column, (n, levels)."""
        model = self._models.load(version)
        with INFERENCE.labels(queue=str(QueueName.BULK)).time():
            quantiles = model.estimate_columns(cars, n).quantiles_mad
        self._shadow_sampler.draw(cars, quantiles, version)
        return quantiles

    def _give_up(self, batch_id: BatchId, number: int, attempt: int) -> None:
        """Note the chunk's rows as failed; if not even that works, end the batch."""
        log.error("batch_chunk_dead", batch_id=batch_id, chunk=number, attempt=attempt)
        if attempt > self._max_attempts + MAX_GIVE_UP_ATTEMPTS:
            self._store.abort(batch_id, ATTEMPTS_EXHAUSTED)
            return
        manifest, outcome = self._manifest(batch_id), "done"
        head = read_part_head(self._files.blobs, batch_id, number)
        if head is None:
            chunk = self._chunk(manifest, number)
            if isinstance(chunk, FastCsvChunk):
                chunk = chunk.as_cells(manifest.dialect)
            part, outcome = make_failed_part(chunk, manifest), "dead"
            write_part(self._files.blobs, batch_id, number, part)
            head = part.head
        self._finish(manifest, number, head, outcome)

    def _manifest(self, batch_id: BatchId) -> BatchManifest:
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            raise FileNotFoundError(f"manifest of {batch_id}")
        return manifest

    def _chunk(self, manifest: BatchManifest, number: int) -> Chunk | FastCsvChunk:
        blobs = self._files.blobs
        with blobs.read(manifest.id, chunk_name(number)) as blob:
            chunk = unpack(blob.read())
        if isinstance(chunk, Chunk):
            return chunk
        with blobs.read(manifest.id, SOURCE) as source:
            rows = chunk.read(source, manifest.dialect.encoding)
            drop_from_page_cache(source, chunk.offset, chunk.size)
        return rows

    def _validator(self, decimal: str) -> ColumnValidator:
        """The validator of a decimal sign; the bounds of the year are this year's."""
        key = (decimal, next_year())
        if key not in self._validators:
            for former in [each for each in self._validators if each[1] != key[1]]:
                del self._validators[former]
            self._validators[key] = ColumnValidator(decimal)
        return self._validators[key]


def _count_rows(part: PartHead, *, dry_run: bool) -> None:
    """Add the rows of a chunk that is done now to the metrics."""
    BATCH_ROWS.labels(outcome="validated" if dry_run else "valued").inc(part.counts.valid)
    BATCH_ROWS.labels(outcome="rejected").inc(part.counts.invalid)
    BATCH_ROWS.labels(outcome="failed").inc(part.counts.failed)
    observe_price_histogram(part.histogram)
