"""The general chunk engine: rows parsed as cells and validated by column.

It defines the result: the fast CSV engine must write the same bytes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from shared.blobs.parts import Part
from shared.domain.batch import (
    VERDICT_COLUMNS,
    BatchManifest,
    RowCounts,
    RowStatus,
    source_columns,
)
from shared.domain.clock import Clock
from shared.tabular.cells import csv_lines, escape_column
from shared.tabular.headers import ASKING_PRICE
from worker.batches.asking_prices import verdict_cells
from worker.batches.audit_segments import encode_segment
from worker.batches.engine import (
    PRICE_INDEXES,
    EstimatePrices,
    RowErrors,
    ValidatorFor,
    audit_members,
    error_lines,
    key_column,
    rejection_reasons,
    row_error,
)
from worker.batches.rows.chunk import CellChunk
from worker.batches.steps import ATTEMPTS_EXHAUSTED


class ValidCars(NamedTuple):
    """The result of validating a chunk."""

    rows: Sequence[int]
    """Numbers of the valid rows in the file, from 1."""
    values: Mapping[str, Sequence[Any]]
    """Their normal forms by field; a field that the file lacks has no entry."""
    errors: RowErrors
    """The errors of the other rows."""


class PricedRows(NamedTuple):
    """Prices of the valid rows of a chunk, in order, MAD."""

    price_mad: Sequence[float]
    low_mad: Sequence[float]
    high_mad: Sequence[float]
    verdicts: Sequence[Sequence[Any]] = ()
    """Cells of `VERDICT_COLUMNS`, if the file has asking prices."""


NO_PRICES = PricedRows((), (), ())


class GeneralEngine:
    """A `ChunkEngine` for every chunk."""

    def __init__(self, estimate: EstimatePrices, validator_for: ValidatorFor, clock: Clock) -> None:
        self._estimate = estimate
        self._validator_for = validator_for
        self._clock = clock

    def value(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """Value the rows of a chunk."""
        started = time.perf_counter()
        cars = self._validate(manifest, chunk)
        if manifest.options.dry_run:
            return _make_part(manifest, chunk, cars.errors, NO_PRICES)
        prices = self._price(manifest, chunk, cars) if cars.rows else NO_PRICES
        elapsed_ms = (time.perf_counter() - started) * 1000
        shared = audit_members(manifest, self._clock(), elapsed_ms)
        audit = encode_segment(_audit_records(shared, cars, prices))
        return _make_part(manifest, chunk, cars.errors, prices, audit=audit)

    def fail(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """The part of a chunk that is given up: none of its rows has a price or an error."""
        rows = len(chunk)
        keys = _row_keys(manifest, chunk)
        errors = {
            row: [row_error(line, ATTEMPTS_EXHAUSTED, row_key=key)]
            for row, (line, key) in enumerate(zip(chunk.lines, keys, strict=True))
        }
        reason = rejection_reasons({0: errors[0]}, manifest)[0]
        prices = 3 if manifest.dialect.asking_index is None else 3 + len(VERDICT_COLUMNS)
        added = [*[[""] * rows] * prices, [str(RowStatus.FAILED)] * rows, [reason] * rows]
        results = csv_lines([*_source_cells(manifest, chunk), *added], manifest.result_delimiter)
        return Part(RowCounts(failed=rows), results, error_lines(errors), b"")

    def _validate(self, manifest: BatchManifest, chunk: CellChunk) -> ValidCars:
        """Validate all rows, column by column.

        A row that cannot be read as a row has that one error; its cells are not looked at.
        """
        header, columns = manifest.dialect.header, manifest.dialect.column_indexes
        values, cell_errors = self._validator_for(manifest.dialect.decimal).validate(
            {field: chunk.columns[index] for field, index in columns.items()}
        )
        keys = _row_keys(manifest, chunk)
        errors: RowErrors = defaultdict(list)
        for row, (code, cells) in chunk.faults.items():
            error = row_error(chunk.lines[row], code, row_key=keys[row])
            errors[row].append(error | {"found": cells, "expected": len(header)})
        for row, field, code in cell_errors:
            if row not in chunk.faults:
                index = columns[field]
                error = row_error(
                    chunk.lines[row], code, row_key=keys[row], column=header[index], field=field,
                    value=chunk.columns[index][row],
                )  # fmt: skip
                errors[row].append(error)
        if errors:
            is_valid = [row not in errors for row in range(len(chunk))]
            values = {field: list(compress(cells, is_valid)) for field, cells in values.items()}
        rows = [chunk.first_row + row for row in range(len(chunk)) if row not in errors]
        return ValidCars(rows, values, errors)

    def _price(self, manifest: BatchManifest, chunk: CellChunk, cars: ValidCars) -> PricedRows:
        quantiles = self._estimate(manifest.model_version, cars.values, len(cars.rows))
        prices = PricedRows(*quantiles[:, PRICE_INDEXES].T.tolist())
        column = manifest.dialect.asking_index
        if column is None:
            return prices
        cells = [chunk.columns[column][row - chunk.first_row] for row in cars.rows]
        # A cell without a price, like "on request", is no error.
        validator = self._validator_for(manifest.dialect.decimal)
        asking, _ = validator.validate({ASKING_PRICE: cells})
        asking_mad = np.array(asking[ASKING_PRICE], dtype=np.float64)
        return prices._replace(verdicts=verdict_cells(asking_mad, quantiles))


def _row_keys(manifest: BatchManifest, chunk: CellChunk) -> Sequence[str | None]:
    """The cells that identify the rows in the error report; None without a key column."""
    key = key_column(manifest)
    return [None] * len(chunk) if key is None else chunk.columns[key]


def _source_cells(manifest: BatchManifest, chunk: CellChunk) -> list[Sequence[str]]:
    """The file's own columns as the result files repeat them."""
    kept = source_columns(manifest.dialect.header)
    return [escape_column(chunk.columns[index]) for index in kept]


def _audit_records(
    shared: Mapping[str, Any], cars: ValidCars, prices: PricedRows
) -> Iterator[dict[str, Any]]:
    """Records with the fields of `shared.domain.valuation.AuditRecord`, and the row."""
    names = tuple(cars.values)
    features = zip(*cars.values.values(), strict=True)
    for row, car, price, low, high in zip(cars.rows, features, *prices[:3], strict=True):
        yield {
            "id": f"{shared['batch_id']}-{row}",
            **shared,
            "row": row,
            "features": {
                name: value for name, value in zip(names, car, strict=True) if value is not None
            },
            "price_mad": price,
            "low_mad": low,
            "high_mad": high,
        }


def _make_part(
    manifest: BatchManifest,
    chunk: CellChunk,
    errors: RowErrors,
    prices: PricedRows,
    *,
    audit: bytes = b"",
) -> Part:
    """The part of a chunk; `prices` are `NO_PRICES` if its valid rows were not valued."""
    reasons = rejection_reasons(errors, manifest)
    source_cells = _source_cells(manifest, chunk)
    rejected = sorted(errors)
    return Part(
        RowCounts(valid=len(chunk) - len(errors), invalid=len(errors)),
        csv_lines(
            [*source_cells, *_added_columns(manifest, len(chunk), reasons, prices)],
            manifest.result_delimiter,
        ),
        error_lines(errors),
        csv_lines(
            [
                *([column[row] for row in rejected] for column in source_cells),
                [chunk.lines[row] for row in rejected],
                [reasons[row] for row in rejected],
            ],
            manifest.result_delimiter,
        ),
        audit,
        prices.price_mad,
    )


def _added_columns(
    manifest: BatchManifest, rows: int, reasons: Mapping[int, str], prices: PricedRows
) -> list[Sequence[Any]]:
    """The columns that the result file has after the file's own."""
    valid = RowStatus.VALID if manifest.options.dry_run else RowStatus.VALUED
    status = [str(RowStatus.REJECTED if row in reasons else valid) for row in range(rows)]
    texts = [reasons.get(row, "") for row in range(rows)]
    columns = [*prices[:3], *prices.verdicts]
    if manifest.dialect.asking_index is not None and not prices.verdicts:
        columns += [()] * len(VERDICT_COLUMNS)
    if reasons or not prices.price_mad:
        columns = [_spread(column, rows, reasons) for column in columns]
    return [*columns, status, texts]


def _spread(values: Sequence[Any], rows: int, reasons: Mapping[int, str]) -> list[Any]:
    """The values of the valid rows as a column of all rows; blank where there is no value."""
    cells: list[Any] = [""] * rows
    valid = (row for row in range(rows) if row not in reasons)
    for row, value in zip(valid, values, strict=False):
        cells[row] = value
    return cells
