"""The lines of a chunk in the three result files."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import orjson

from shared.domain.batch import BatchManifest, RowCounts, RowStatus, kept_columns
from shared.schemas.columns import CellError, ColumnValidator, match_header
from shared.schemas.csv_cells import escape_column
from shared.schemas.csv_dialect import key_index
from shared.schemas.messages import Language, describe_row_error
from shared.schemas.upload_messages import BATCH_ERROR_MESSAGES
from worker.services.batch_chunk import Chunk
from worker.services.batch_part import Part

VALUE_MAX_CHARS = 200
"""A wrong value is quoted up to this length in the error report."""

RowErrors = dict[int, list[dict[str, Any]]]


class Prices(NamedTuple):
    """Prices of the valid rows of a chunk, in order, MAD."""

    price_mad: Sequence[float]
    low_mad: Sequence[float]
    high_mad: Sequence[float]


NO_PRICES = Prices((), (), ())


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
    columns = match_header(manifest.dialect.header)
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
    key = key_index(header, manifest.options.key_column)
    errors: RowErrors = defaultdict(list)

    def add(row: int, column: int | None, code: str, field: str | None, **more: Any) -> None:
        errors[row].append(
            {
                "line": chunk.lines[row],
                "row_key": None if key is None else chunk.columns[key][row],
                "column": None if column is None else header[column],
                "field": field,
                "value": None if column is None else chunk.columns[column][row][:VALUE_MAX_CHARS],
                "code": code,
                **more,
            }
        )

    for row, (code, cells) in chunk.faults.items():
        add(row, None, code, None, found=cells, expected=len(header))
    for row, field, code in cell_errors:
        if row not in chunk.faults:
            add(row, columns[field], code, field)
    return errors


def make_part(
    chunk: Chunk, manifest: BatchManifest, errors: RowErrors, prices: Prices, *, good: RowStatus
) -> Part:
    """The chunk's sections of the result files.

    Args:
        chunk: the rows.
        manifest: of their batch.
        errors: of the rows that have some.
        prices: of the other rows; none if they were not valued.
        good: what became of those other rows.
    """
    language: Language = "en" if manifest.options.language == "en" else "fr"
    reasons = {
        row: " ".join(describe_row_error(error, language) for error in found)
        for row, found in errors.items()
    }
    rows = len(chunk)
    kept = kept_columns(manifest.dialect.header)
    own = [escape_column(chunk.columns[index]) for index in kept]
    given_up = BATCH_ERROR_MESSAGES["attempts-exhausted"][language]
    ours = _our_columns(rows, reasons, prices, good, given_up if good is RowStatus.FAILED else "")
    rejected = sorted(errors)
    return Part(
        RowCounts(
            valid=0 if good is RowStatus.FAILED else rows - len(errors),
            invalid=len(errors),
            failed=rows - len(errors) if good is RowStatus.FAILED else 0,
        ),
        csv_lines([*own, *ours]),
        b"".join(orjson.dumps(error) + b"\n" for row in rejected for error in errors[row]),
        csv_lines(
            [
                *([column[row] for row in rejected] for column in own),
                [chunk.lines[row] for row in rejected],
                [reasons[row] for row in rejected],
            ]
        ),
    )


def _our_columns(
    rows: int, reasons: dict[int, str], prices: Prices, good: RowStatus, text: str
) -> list[Sequence[Any]]:
    """Price, low, high, status and error of all rows; `good` and `text` are of those in order."""
    status: list[str] = [str(good)] * rows
    texts: list[str] = [text] * rows
    for row, reason in reasons.items():
        status[row] = str(RowStatus.REJECTED)
        texts[row] = reason
    if not reasons and prices.price_mad:
        return [*prices, status, texts]
    spread: list[Sequence[Any]] = []
    is_good = [row not in reasons for row in range(rows)]
    for column in prices:
        cells: list[Any] = [""] * rows
        for row, value in zip(compress(range(rows), is_good), column, strict=False):
            cells[row] = value
        spread.append(cells)
    return [*spread, status, texts]


def csv_lines(columns: Sequence[Sequence[Any]]) -> bytes:
    """Lines of a result file: UTF-8, comma, line feed."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(zip(*columns, strict=True))
    return lines.getvalue().encode()
