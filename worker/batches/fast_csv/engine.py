"""Value plain rows: read by compiled loops, validated by distinct text, one call of the forest."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shared.domain.batch import BatchManifest
from shared.domain.clock import Clock
from shared.domain.valuation import QUANTILE_LEVELS
from shared.fields.columns import ColumnValidator
from shared.logging import get_logger
from worker.batches.fast_csv.interner import StringInterner
from worker.batches.fast_csv.spans import FastCsvChunk
from worker.batches.parts import Part

if TYPE_CHECKING:
    from worker.batches.fast_csv.rows import FastCsvRows

MAX_INTERNERS = 3
"""Memories of texts, one for each validator: one for each way to write decimals."""

log = get_logger("plain")

Quantiles = Callable[[str, Mapping[str, Any], int], Any]
"""Prices at `QUANTILE_LEVELS` of n cars by a model version, as an array (n, levels)."""


class FastCsvEngine(NamedTuple):
    """The compiled loops, behind two functions."""

    read_rows: Callable[[FastCsvChunk, BatchManifest, StringInterner], "FastCsvRows | None"]
    make_part: Callable[..., Part]


class FastCsvValuation:
    """Makes parts of plain chunks. Remembers what texts mean from one chunk to the next.

    Args:
        quantiles: asks the model.
        clock: the time of day.
    """

    def __init__(self, quantiles: Quantiles, clock: Clock) -> None:
        self._quantiles = quantiles
        self._clock = clock
        self._tables: dict[ColumnValidator, StringInterner] = {}

    def part(
        self, manifest: BatchManifest, chunk: FastCsvChunk, validator: ColumnValidator
    ) -> Part | None:
        """The part of a chunk; None if its rows need the general reader."""
        engine = fast_csv_engine()
        if engine is None:
            return None
        try:
            return self._part(engine, manifest, chunk, self._table(validator))
        except BaseException:
            # Out of time or memory half way: what is known of each text may not fit together.
            self._tables.pop(validator, None)
            raise

    def _part(
        self,
        engine: FastCsvEngine,
        manifest: BatchManifest,
        chunk: FastCsvChunk,
        table: StringInterner,
    ) -> Part | None:
        started = time.perf_counter()
        rows = engine.read_rows(chunk, manifest, table)
        if rows is None:
            return None
        quantiles = None
        if not manifest.options.dry_run:
            quantiles = self._value(manifest.model_version, rows.cars(table), rows.good)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return engine.make_part(
            rows, manifest, table, quantiles, at=self._clock(), elapsed_ms=elapsed_ms
        )

    def _value(self, version: str, cars: Mapping[str, Any], n: int) -> Any:
        return self._quantiles(version, cars, n) if n else np.zeros((0, len(QUANTILE_LEVELS)))

    def _table(self, validator: ColumnValidator) -> StringInterner:
        """The texts that this process knows, by the validator that judged them."""
        if validator not in self._tables:
            if len(self._tables) == MAX_INTERNERS:
                self._tables.clear()
            self._tables[validator] = StringInterner(validator)
        return self._tables[validator]


@lru_cache(maxsize=1)
def fast_csv_engine() -> FastCsvEngine | None:
    """The compiled loops; None where numba cannot be imported: everything is read as cells then."""
    try:
        # Optional, and slow to import.
        from worker.batches.fast_csv import part, rows  # noqa: PLC0415
    except ImportError as error:
        log.warning("plain_rows_fallback", error=str(error))
        return None
    return FastCsvEngine(rows.read_rows, part.make_fast_csv_part)
