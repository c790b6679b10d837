"""The fast CSV engine: compiled loops read and write the rows, texts are validated once."""

import time
from collections.abc import Mapping
from typing import Any

from shared.blobs.parts import Part
from shared.domain.batch import BatchManifest
from shared.domain.clock import Clock
from shared.fields.columns import ColumnValidator
from worker.batches.engine import EstimatePrices, ValidatorFor, constant_values
from worker.batches.fast_csv.interner import StringInterner
from worker.batches.fast_csv.part import NOTHING_VALUED, make_part
from worker.batches.fast_csv.rows import NO_CONSTANTS, read_rows
from worker.batches.fast_csv.spans import FastCsvChunk
from worker.batches.rows.engine import GeneralEngine

MAX_INTERNERS = 3
"""Interners that are kept, one per validator: there is a validator per decimal sign and units."""


class FastCsvEngine:
    """A `ChunkEngine` for simple CSV files. Keeps validated texts from one chunk to the next.

    Importing this module compiles its kernels, or loads them from numba's cache.

    Args:
        estimate: calls the model.
        validator_for: gives the validator for a decimal sign.
        clock: Unix time, seconds.
        general: handles the chunks that the compiled loops cannot handle.
    """

    def __init__(
        self,
        estimate: EstimatePrices,
        validator_for: ValidatorFor,
        clock: Clock,
        *,
        general: GeneralEngine,
    ) -> None:
        self._estimate = estimate
        self._validator_for = validator_for
        self._clock = clock
        self._general = general
        self._interners: dict[ColumnValidator, StringInterner] = {}

    def value(self, manifest: BatchManifest, chunk: FastCsvChunk) -> Part:
        """Value the rows of a chunk."""
        validator = self._validator_for(manifest.dialect)
        try:
            constants = constant_values(manifest.dialect, validator)
            part = self.try_value(manifest, chunk, self._interner(validator), constants)
        except BaseException:
            # An interrupted update (time limit, memory) leaves the arrays inconsistent.
            self._interners.pop(validator, None)
            raise
        if part is None:
            return self._general.value(manifest, chunk.as_cells(manifest.dialect))
        return part

    def fail(self, manifest: BatchManifest, chunk: FastCsvChunk) -> Part:
        """The part of a chunk that is given up."""
        return self._general.fail(manifest, chunk.as_cells(manifest.dialect))

    def try_value(
        self,
        manifest: BatchManifest,
        chunk: FastCsvChunk,
        interner: StringInterner,
        constants: Mapping[str, Any] = NO_CONSTANTS,
    ) -> Part | None:
        """The part of a chunk; None if its rows need the general engine."""
        started = time.perf_counter()
        rows = read_rows(chunk, manifest.dialect, interner, constants)
        if rows is None:
            return None
        valued = None
        if not manifest.options.dry_run:
            valued = NOTHING_VALUED
            if rows.valid:
                valued = self._estimate(manifest.model_version, rows.cars, rows.valid)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return make_part(
            rows, manifest, interner, valued, at=self._clock(), elapsed_ms=elapsed_ms
        )  # fmt: skip

    def _interner(self, validator: ColumnValidator) -> StringInterner:
        if validator not in self._interners:
            if len(self._interners) == MAX_INTERNERS:
                self._interners.clear()
            self._interners[validator] = StringInterner(validator)
        return self._interners[validator]
