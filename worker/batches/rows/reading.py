"""Validates the rows of a chunk and reads their names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import Any, NamedTuple, TypeVar

import numpy as np

from shared.domain.batch import BatchManifest
from shared.domain.files.notes import NoteCount
from shared.fields.columns import CellError, ColumnValidator
from shared.tabular.rows.chunk import CellChunk
from shared.tabular.rows.units import RowUnits, cells_by_field
from worker.batches.engine import (
    RowErrors,
    RowNote,
    constant_values,
    key_column,
    pair_error,
    row_error,
    summary_error,
)
from worker.batches.mileages import MILEAGE, unusual_mileages
from worker.batches.names import NAME_FIELDS, ReadPair, read_pair

_Value = TypeVar("_Value")


class ReadRows(NamedTuple):
    """The result of validating and reading a chunk of n rows."""

    valid: Sequence[int]
    """Indexes of the valid rows in the chunk."""
    values: Mapping[str, Sequence[Any]]
    """Their normal forms by field; a field that the file lacks has no entry."""
    pairs: Sequence[ReadPair]
    """The distinct pairs of brand and model."""
    pair_numbers: Sequence[int]
    """(n,) index in `pairs` of all rows."""
    errors: RowErrors
    """The errors of the other rows."""
    notes: Mapping[int, Sequence[RowNote]]
    """What was ignored in valid rows, by index of the row."""
    changed_units: Sequence[NoteCount] = ()
    """Rows that are read in another unit than the first ones."""


def read_rows(
    manifest: BatchManifest, chunk: CellChunk, marked: CellChunk, validator: ColumnValidator
) -> ReadRows:
    """Validate all rows, column by column, and read their names.

    A row that cannot be read as a row has that one error; its cells are not looked at.

    Args:
        manifest: of the batch.
        chunk: the rows, as they are quoted.
        marked: the same, with the marks of values of another type.
        validator: of the cells of the file.
    """
    cells = cells_by_field(manifest.dialect, chunk)
    units = RowUnits(manifest.dialect, chunk)
    validated = cells if marked is chunk else cells_by_field(manifest.dialect, marked)
    values, cell_errors, cell_notes = validator.validate(validated, units.by_field)
    constants = constant_values(manifest.dialect, validator)
    values = {field: [value] * len(chunk) for field, value in constants.items()} | values
    absent = [None] * len(chunk)
    number_of: dict[tuple[str | None, str | None], int] = {}
    pair_numbers = [
        number_of.setdefault(pair, len(number_of))
        for pair in zip(values.pop("company", absent), values.pop("model", absent), strict=True)
    ]
    pairs = [read_pair(*pair) for pair in number_of]
    errors = _row_errors(manifest, chunk, cell_errors, pairs, pair_numbers, cells=cells)
    if errors:
        is_valid = [row not in errors for row in range(len(chunk))]
        values = {field: list(compress(column, is_valid)) for field, column in values.items()}
    notes: dict[int, list[RowNote]] = defaultdict(list)
    for row, field, code in cell_notes:
        if row not in errors:
            quoted = units.quote(field, code, row, cells[field][row])
            notes[row].append(RowNote(field, code, quoted))
    valid = [row for row in range(len(chunk)) if row not in errors]
    for index, code, km_driven in _unusual_mileages(values):
        notes[valid[index]].append(RowNote(MILEAGE, code, km_driven))
    changed = units.count_changed(cells)
    return ReadRows(valid, values, pairs, pair_numbers, errors, notes, changed)


def _unusual_mileages(values: Mapping[str, Sequence[Any]]) -> Iterator[tuple[int, str, str]]:
    """See `unusual_mileages`, of valid rows."""
    if MILEAGE not in values:
        return iter(())
    years, km_driven = (np.array(values[name], dtype=np.float64) for name in ("year", MILEAGE))
    return unusual_mileages(years, km_driven, datetime.now(UTC).year)


def _row_errors(
    manifest: BatchManifest,
    chunk: CellChunk,
    cell_errors: Sequence[CellError],
    pairs: Sequence[ReadPair],
    pair_numbers: Sequence[int],
    *,
    cells: Mapping[str, Sequence[str]],
) -> RowErrors:
    """The errors of the rows that are rejected."""
    header, columns = manifest.dialect.header, manifest.dialect.column_indexes
    keys = row_keys(manifest, chunk)
    errors: RowErrors = defaultdict(list)
    for row, (code, count) in chunk.faults.items():
        error = row_error(chunk.lines[row], code, row_key=keys[row])
        errors[row].append(error | {"found": count, "expected": len(header)})
    judged = set(chunk.faults)
    summaries = _summary_rows(pairs, pair_numbers)
    for row, error in _summaries_without_names(chunk, header, keys, pairs, pair_numbers):
        errors[row].append(error)
        judged.add(row)
        summaries.add(row)
    for row, field, code in cell_errors:
        if row not in chunk.faults and row not in summaries:
            index, value = columns[field], cells[field][row]
            if value != chunk.columns[index][row]:
                index = manifest.dialect.other_columns[field].index
            error = row_error(
                chunk.lines[row], code, row_key=keys[row], column=header[index], field=field,
                value=value,
            )  # fmt: skip
            errors[row].append(error)
            if field in NAME_FIELDS:
                judged.add(row)
    if any(pair.reading is None for pair in pairs):
        for row, number in enumerate(pair_numbers):
            if (pair := pairs[number]).reading is None and row not in judged:
                written = {name: cells[name][row] for name in NAME_FIELDS & cells.keys()}
                error = pair_error(
                    chunk.lines[row], pair, columns, header, keys[row], written=written
                )
                errors[row].append(error)
    return errors


def _summaries_without_names(
    chunk: CellChunk,
    header: Sequence[str],
    keys: Sequence[str | None],
    pairs: Sequence[ReadPair],
    pair_numbers: Sequence[int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows that add up others and say so in another column, and their errors."""
    nameless = {number for number, pair in enumerate(pairs) if pair.is_blank}
    if not nameless:
        return
    for row, number in enumerate(pair_numbers):
        if number in nameless and row not in chunk.faults:
            cells = [column[row] for column in chunk.columns]
            error = summary_error(chunk.lines[row], cells, header, keys[row])
            if error is not None:
                yield row, error


def _summary_rows(pairs: Sequence[ReadPair], pair_numbers: Sequence[int]) -> set[int]:
    """Rows that add up others: the errors of their cells say nothing."""
    summaries = {number for number, pair in enumerate(pairs) if pair.is_summary}
    if not summaries:
        return set()
    return {row for row, number in enumerate(pair_numbers) if number in summaries}


def row_keys(manifest: BatchManifest, chunk: CellChunk) -> Sequence[str | None]:
    """The cells that identify the rows in the error report; None without a key column."""
    key = key_column(manifest)
    return [None] * len(chunk) if key is None else chunk.columns[key]


def of_valid(rows: ReadRows, column: Sequence[_Value]) -> Sequence[_Value]:
    """The values of the valid rows in a column of all rows."""
    return column if len(rows.valid) == len(column) else [column[row] for row in rows.valid]
