"""The lines of a chunk in the three result files."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import orjson

from shared.domain.batch import BatchManifest, RowCounts, RowStatus, source_columns
from shared.domain.valuation import DEFAULT_COVERAGE, QUANTILE_LEVELS
from shared.fields.columns import CellError, ColumnValidator
from shared.messages.texts import Language, describe_row_error
from shared.metrics import PriceHistogram
from shared.tabular.cells import escape_column
from shared.tabular.headers import asking_column_index
from shared.tabular.sample import key_index
from worker.batches.parts import Part
from worker.batches.rows.chunk import Chunk
from worker.batches.rows.verdicts import empty_verdict_cells
from worker.batches.steps import ATTEMPTS_EXHAUSTED

VALUE_MAX_CHARS = 200
"""A wrong value is quoted up to this length in the error report."""

RowErrors = dict[int, list[dict[str, Any]]]


class Prices(NamedTuple):
    """Prices of the valid rows of a chunk, in order, MAD."""

    price_mad: Sequence[float]
    low_mad: Sequence[float]
    high_mad: Sequence[float]
    verdicts: Sequence[Sequence[Any]] = ()
    """Cells of `VERDICT_COLUMNS`, if the file says what is asked."""

    @property
    def columns(self) -> Sequence[Sequence[Any]]:
        """All of them, in the order of the result file."""
        return (self.price_mad, self.low_mad, self.high_mad, *self.verdicts)


NO_PRICES = Prices((), (), ())
_LOW = QUANTILE_LEVELS.index(round((1 - DEFAULT_COVERAGE) / 2, 6))
PRICE_INDEXES = [QUANTILE_LEVELS.index(0.50), _LOW, len(QUANTILE_LEVELS) - 1 - _LOW]
"""Places of price, low and high among the quantiles."""


class ValidCars(NamedTuple):
    """What the validation of a chunk found."""

    rows: Sequence[int]
    """Numbers of the valid rows in the file, from 1."""
    values: Mapping[str, Sequence[Any]]
    """Their values by field, in normal form; a field that the file lacks has no entry."""
    errors: RowErrors
    """What is wrong with each of the other rows, by their index in the chunk."""


def validate(chunk: Chunk, manifest: BatchManifest, validator: ColumnValidator) -> ValidCars:
    """Validate all rows of a chunk, column by column."""
    columns = manifest.dialect.column_indexes
    values, cell_errors = validator.validate(
        {field: chunk.columns[index] for field, index in columns.items()}
    )
    errors = row_errors(chunk, manifest, columns, cell_errors)
    if errors:
        good = [row not in errors for row in range(len(chunk))]
        values = {field: list(compress(cells, good)) for field, cells in values.items()}
    rows = [chunk.first_row + row for row in range(len(chunk)) if row not in errors]
    return ValidCars(rows, values, errors)


def row_errors(
    chunk: Chunk, manifest: BatchManifest, columns: dict[str, int], cell_errors: Iterable[CellError]
) -> RowErrors:
    """What is wrong with each row that has something wrong, as the error report says it.

    A row that could not be read as a row has that one error: its cells mean nothing.
    """
    header = manifest.dialect.header
    key = key_column(manifest)
    errors: RowErrors = defaultdict(list)
    for row, (code, cells) in chunk.faults.items():
        error = _row_error(chunk, row, key, code, None)
        errors[row].append(error | {"found": cells, "expected": len(header)})
    for row, field, code in cell_errors:
        if row not in chunk.faults:
            cell = chunk.columns[columns[field]][row][:VALUE_MAX_CHARS]
            error = _row_error(chunk, row, key, code, field)
            errors[row].append(error | {"column": header[columns[field]], "value": cell})
    return errors


def key_column(manifest: BatchManifest) -> int | None:
    """Index of the column that names a row in the error report."""
    return key_index(manifest.dialect.header, manifest.options.key_column)


def _language(manifest: BatchManifest) -> Language:
    return "en" if manifest.options.language == "en" else "fr"


def _row_error(
    chunk: Chunk, row: int, key: int | None, code: str, field: str | None
) -> dict[str, Any]:
    """An entry of the error report that is of the whole row."""
    return {
        "line": chunk.lines[row],
        "row_key": None if key is None else chunk.columns[key][row],
        "column": None,
        "field": field,
        "value": None,
        "code": code,
    }


def make_part(
    chunk: Chunk, manifest: BatchManifest, errors: RowErrors, prices: Prices, *, audit: bytes = b""
) -> Part:
    """The chunk's sections of the result files.

    Args:
        chunk: the rows.
        manifest: of their batch.
        errors: of the rows that have some.
        prices: of the other rows; none if they were not valued.
        audit: the audit segment of those other rows.
    """
    reasons = rejection_reasons(errors, manifest)
    rows = len(chunk)
    kept = source_columns(manifest.dialect.header)
    own = [escape_column(chunk.columns[index]) for index in kept]
    good = RowStatus.VALID if manifest.options.dry_run else RowStatus.VALUED
    if asking_column_index(manifest.dialect) is not None and not prices.verdicts:
        prices = prices._replace(verdicts=empty_verdict_cells(0))
    added_columns = _added_columns(rows, reasons, prices, good)
    rejected = sorted(errors)
    return Part(
        RowCounts(valid=rows - len(errors), invalid=len(errors)),
        csv_lines([*own, *added_columns]),
        error_lines(errors),
        csv_lines(
            [
                *([column[row] for row in rejected] for column in own),
                [chunk.lines[row] for row in rejected],
                [reasons[row] for row in rejected],
            ]
        ),
        audit,
        PriceHistogram.of(prices.price_mad),
    )


def rejection_reasons(errors: RowErrors, manifest: BatchManifest) -> dict[int, str]:
    """Why each row is rejected, for people; many rows are rejected for the same reason."""
    language = _language(manifest)
    known: dict[tuple[str, str | None, str | None], str] = {}
    reasons = {}
    for row, found in errors.items():
        sentences = []
        for error in found:
            kind = error["code"], error["field"], error["value"]
            if error["field"] is None or kind not in known:
                known[kind] = describe_row_error(error, language)
            sentences.append(known[kind])
        reasons[row] = " ".join(sentences)
    return reasons


def make_failed_part(chunk: Chunk, manifest: BatchManifest) -> Part:
    """The sections of a chunk that was given up: none of its rows is priced or to blame."""
    rows = len(chunk)
    key = key_column(manifest)
    errors = {row: [_row_error(chunk, row, key, ATTEMPTS_EXHAUSTED, None)] for row in range(rows)}
    reason = describe_row_error(errors[0][0], _language(manifest))
    blank = [""] * rows
    kept = source_columns(manifest.dialect.header)
    own = [escape_column(chunk.columns[index]) for index in kept]
    verdicts = [] if asking_column_index(manifest.dialect) is None else empty_verdict_cells(rows)
    added_columns = [
        blank,
        blank,
        blank,
        *verdicts,
        [str(RowStatus.FAILED)] * rows,
        [reason] * rows,
    ]
    return Part(RowCounts(failed=rows), csv_lines([*own, *added_columns]), error_lines(errors), b"")


def error_lines(errors: RowErrors) -> bytes:
    """The error report, in the order of the rows."""
    return b"".join(orjson.dumps(error) + b"\n" for row in sorted(errors) for error in errors[row])


def _added_columns(
    rows: int, reasons: dict[int, str], prices: Prices, good: RowStatus
) -> list[Sequence[Any]]:
    """Price, low, high, status and error of all rows; `good` is the status of those in order."""
    status: list[str] = [str(good)] * rows
    texts: list[str] = [""] * rows
    for row, reason in reasons.items():
        status[row] = str(RowStatus.REJECTED)
        texts[row] = reason
    if not reasons and prices.price_mad:
        return [*prices.columns, status, texts]
    spread: list[Sequence[Any]] = []
    is_valid = [row not in reasons for row in range(rows)]
    for column in prices.columns:
        cells: list[Any] = [""] * rows
        for row, value in zip(compress(range(rows), is_valid), column, strict=False):
            cells[row] = value
        spread.append(cells)
    return [*spread, status, texts]


def csv_lines(columns: Sequence[Sequence[Any]]) -> bytes:
    """Lines of a result file: UTF-8, comma, line feed."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(zip(*columns, strict=True))
    if "\r" in lines.getvalue():
        # The writer quotes its own line end only; a carriage return ends a line for others.
        lines = io.StringIO()
        quoted = csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_ALL)
        quoted.writerows(zip(*columns, strict=True))
    return lines.getvalue().encode()
