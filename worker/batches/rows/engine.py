"""The general chunk engine: rows parsed as cells and validated by column.

It defines the result: the fast CSV engine must write the same bytes.
"""

import time
from collections.abc import Sequence

import numpy as np

from shared.blobs.parts import Part
from shared.domain.batch import (
    NAME_COLUMNS,
    PRICE_COLUMNS,
    VERDICT_COLUMNS,
    BatchManifest,
    RowCounts,
    RowStatus,
)
from shared.domain.car import KM_HIGH
from shared.domain.clock import Clock
from shared.domain.reading import Match, NameReading
from shared.tabular.cells import csv_lines
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.rows.chunk import CellChunk
from worker.batches.asking_prices import verdict_cells
from worker.batches.audit_segments import encode_segment
from worker.batches.engine import (
    PRICE_INDEXES,
    EstimatePrices,
    ValidatorFor,
    asking_sides,
    audit_members,
    error_lines,
    rejection_reasons,
    row_error,
)
from worker.batches.model_notes import without_high_mileages
from worker.batches.rows.part import (
    NO_PRICES,
    ChunkNames,
    PricedRows,
    audit_records,
    make_part,
    source_cells,
)
from worker.batches.rows.reading import ReadRows, of_valid, read_rows, row_keys
from worker.batches.steps import ATTEMPTS_EXHAUSTED

_NOT_READ = NameReading("", "", Match.UNKNOWN)


class GeneralEngine:
    """A `ChunkEngine` for every chunk."""

    def __init__(self, estimate: EstimatePrices, validator_for: ValidatorFor, clock: Clock) -> None:
        self._estimate = estimate
        self._validator_for = validator_for
        self._clock = clock

    def value(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """Value the rows of a chunk."""
        started = time.perf_counter()
        marked, chunk = chunk, chunk.without_marks(manifest.dialect)
        rows = read_rows(manifest, chunk, marked, self._validator_for(manifest.dialect))
        if manifest.options.dry_run:
            names = ChunkNames.of(manifest, rows, NO_PRICES)
            return make_part(manifest, chunk, rows, NO_PRICES, names)
        prices = self._price(manifest, rows) if rows.valid else NO_PRICES
        elapsed_ms = (time.perf_counter() - started) * 1000
        shared = audit_members(manifest, self._clock(), elapsed_ms)
        names = ChunkNames.of(manifest, rows, prices)
        audit = encode_segment(audit_records(shared, chunk, rows, prices, names.rows))
        return make_part(manifest, chunk, rows, prices, names, audit=audit)

    def fail(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """The part of a chunk that is given up: none of its rows has a price or an error."""
        rows, chunk = len(chunk), chunk.without_marks(manifest.dialect)
        keys = row_keys(manifest, chunk)
        errors = {
            row: [row_error(line, ATTEMPTS_EXHAUSTED, row_key=key)]
            for row, (line, key) in enumerate(zip(chunk.lines, keys, strict=True))
        }
        reason = rejection_reasons({0: errors[0]}, manifest)[0]
        has_asking = manifest.dialect.asking_index is not None
        prices = len(PRICE_COLUMNS) + has_asking * len(VERDICT_COLUMNS)
        blank = [""] * rows
        added = [*[blank] * (prices + len(NAME_COLUMNS) + 1), [str(RowStatus.FAILED)] * rows]
        added.append([reason] * rows)
        results = csv_lines([*source_cells(manifest, chunk), *added], manifest.result_delimiter)
        return Part(RowCounts(failed=rows), results, error_lines(errors), b"", lines=chunk.lines)

    def _price(self, manifest: BatchManifest, rows: ReadRows) -> PricedRows:
        values = dict(rows.values)
        asking = values.pop(ASKING_PRICE, None)
        numbers = of_valid(rows, rows.pair_numbers)
        readings = [pair.reading or _NOT_READ for pair in rows.pairs]
        for name, names in (
            ("company", [reading.company for reading in readings]),
            ("model", [reading.model for reading in readings]),
        ):
            values[name] = list(map(names.__getitem__, numbers))
        estimates = self._estimate(manifest.model_version, values, len(rows.valid))
        quantiles = estimates.quantiles_mad
        prices = PricedRows(*quantiles[:, PRICE_INDEXES].T.tolist())
        prices = prices._replace(
            model_known=estimates.model_known.tolist(),
            notes=without_high_mileages(estimates.notes, _high_mileages(rows)),
            without_effect=estimates.without_effect,
        )
        if asking is None:
            return prices
        asking_mad = np.array(asking, dtype=np.float64)
        return prices._replace(
            verdicts=verdict_cells(asking_mad, quantiles, estimates.model_known, estimates.notes),
            asking_sides=asking_sides(asking_mad, quantiles),
        )


def _high_mileages(rows: ReadRows) -> Sequence[int]:
    """Indexes of the valid rows whose mileage is very high for the age of the car."""
    noted = (row for row, found in rows.notes.items() if any(n.code == KM_HIGH for n in found))
    place = {row: index for index, row in enumerate(rows.valid)}
    return [place[row] for row in noted]
