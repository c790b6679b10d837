"""Reads the rows of a fast CSV chunk with compiled loops and validates their cells."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from shared.domain.batch import source_columns
from shared.domain.table import Dialect, FileKind
from shared.fields.blanks import is_blank
from shared.fields.kinds.text import WRONG_TYPE
from shared.tabular.cells import escape_formula
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.units import stated_unit
from worker.batches.fast_csv import read_kernels
from worker.batches.fast_csv.interner import (
    FIELD_INDEX,
    IS_NUMBER,
    NUMBERS,
    StringInterner,
    decode_cell,
)
from worker.batches.fast_csv.pairs import PairTable
from worker.batches.fast_csv.row_index import EMBEDDED_LINE_FEED, SEPARATOR
from worker.batches.fast_csv.spans import FastCsvChunk
from worker.batches.names import NAME_FIELDS

MAX_FORMULAS_PER_ROW = 4
"""Cells that may be formulas, by row on average: telephone numbers, lists with dashes."""

NO_CONSTANTS: Mapping[str, Any] = MappingProxyType({})
_PLACEHOLDERS = bytes([SEPARATOR]), bytes([EMBEDDED_LINE_FEED])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FastCsvRows:
    """The n rows of a chunk and the codes and numbers of their cells."""

    first_row: int
    """Number of the first row in the file, from 1, without the header."""
    text: bytes
    """The chunk's text without quotes around cells; see `read_kernels.unquote`."""
    delimiter: int
    """The byte between the cells in `text`."""
    positions: NDArray[np.int64]
    """(n, 3) line in the chunk, offset of the first byte in `text`, offset after the last cell.

    Row numbers, the first column of numbered CSV, are left out."""
    lines: NDArray[np.int64]
    """(n,) line of the file on which each row begins, or its row number."""
    codes: NDArray[np.int32]
    """(fields, n) interned code of each cell; -1: the cell is a whole number."""
    numbers: NDArray[np.float64]
    """(fields, n) of the fields that are numbers; NaN: no value."""
    columns: Mapping[str, int]
    """Column of each field that the file has."""
    pairs: PairTable
    """The pairs of brand and model of the file."""
    pair_numbers: NDArray[np.int64]
    """(n,) the number of each row's pair."""
    constants: Mapping[str, Any]
    """Normal forms of the other fields that the caller stated for all rows."""
    is_valid: NDArray[np.bool_]
    """(n,) whether the row states brand and model, and no cell breaks a rule."""
    valid: int
    """Number of valid rows."""
    cars: Mapping[str, Column]
    """The valid rows as columns for the model."""
    formula_starts: NDArray[np.int64]
    """Offsets in `text` of the cells that a spreadsheet would take for formulas."""
    asking_mad: NDArray[np.float64] | None
    """(n,) asking prices, NaN for none; None if the file has no such column."""


def read_rows(
    chunk: FastCsvChunk,
    dialect: Dialect,
    interner: StringInterner,
    constants: Mapping[str, Any] = NO_CONSTANTS,
) -> FastCsvRows | None:
    """Read and validate rows; None if they need the general engine.

    Args:
        chunk: the rows.
        dialect: of their file.
        interner: of the file's validator.
        constants: normal forms of the fields that the caller stated for all rows.
    """
    has_marks = dialect.kind is FileKind.JSON and WRONG_TYPE.encode() in chunk.text
    if has_marks or len(source_columns(dialect.header)) != len(dialect.header):
        return None
    form = dialect.text_form
    unquoted = _unquote(chunk.text, form.delimiter)
    if unquoted is None:
        return None
    text, delimiter = unquoted
    lines = text.count(b"\n")
    columns, asking = dialect.column_indexes, dialect.asking_index
    fields = {FIELD_INDEX[name]: index for name, index in columns.items()}
    if asking is not None:
        fields[FIELD_INDEX[ASKING_PRICE]] = asking
    field_of_column = np.full(form.width, -1, dtype=np.int64)
    field_of_column[form.is_numbered :][list(fields.values())] = list(fields)
    positions = np.empty((lines, 3), dtype=np.int64)
    codes = np.full((len(FIELD_INDEX), lines), -1, dtype=np.int32)
    numbers = np.zeros((len(FIELD_INDEX), lines))
    formula_spans = np.empty((MAX_FORMULAS_PER_ROW * lines, 2), dtype=np.int64)
    formula_count = np.zeros(1, dtype=np.int64)
    interner.reserve(lines * len(fields), len(text))
    rows = read_kernels.read_rows(
        np.frombuffer(text, np.uint8), delimiter, field_of_column, IS_NUMBER, interner.limits,
        interner.secret, interner.slots, interner.keys, interner.arena, interner.filled, positions,
        codes, numbers, formula_spans, formula_count,
    )  # fmt: skip
    codes = np.ascontiguousarray(codes[:, : max(rows, 0)])
    numbers = np.ascontiguousarray(numbers[:, : max(rows, 0)])
    is_valid = interner.resolve(codes, numbers, list(fields))
    if rows == read_kernels.PROBE_LIMIT_EXCEEDED:
        interner.reset()
    if rows != chunk.rows:
        return None
    positions = positions[:rows]
    if not _have_usual_units(text, delimiter, positions, dialect):
        return None
    for name, other in dialect.other_columns.items():
        is_blank_row = _lack_value(interner, codes[FIELD_INDEX[name]])
        at = other.index + form.is_numbered
        if _are_filled(text, delimiter, positions[is_blank_row], at):
            return None
    pairs = interner.pair_table(constants.get("company"), constants.get("model"))
    company, model = (
        codes[FIELD_INDEX[name]] if name in columns else None for name in ("company", "model")
    )
    pair_numbers = pairs.numbers(company, model, interner.values.values)
    pair_numbers = np.ascontiguousarray(np.broadcast_to(pair_numbers, rows))
    is_valid &= pairs.is_read(pair_numbers)
    valid = int(np.count_nonzero(is_valid))
    # A slice is a view: no array is copied if all rows are valid.
    kept = slice(None) if valid == rows else is_valid
    # The encoder looks each pair up once if both columns have the same codes.
    pairs_of_cars = pair_numbers[kept]
    return FastCsvRows(
        first_row=chunk.first_row,
        text=text,
        delimiter=delimiter,
        lines=(
            _take_row_numbers(text, delimiter, positions)
            if form.is_numbered
            else chunk.first_line + positions[:, 0]
        ),
        positions=positions,
        codes=codes,
        numbers=numbers,
        columns=columns,
        pairs=pairs,
        pair_numbers=pair_numbers,
        constants={name: value for name, value in constants.items() if name not in NAME_FIELDS},
        is_valid=is_valid,
        valid=valid,
        cars={
            **{name: _constant_column(value, valid) for name, value in constants.items()},
            **{
                name: numbers[FIELD_INDEX[name]][kept]
                if name in NUMBERS
                else CategoricalColumn(
                    interner.values, codes[FIELD_INDEX[name]][kept].astype(np.int64)
                )
                for name in columns
                if name not in NAME_FIELDS
            },
            "company": CategoricalColumn(pairs.companies, pairs_of_cars),
            "model": CategoricalColumn(pairs.models, pairs_of_cars),
        },
        formula_starts=_formula_starts(text, formula_spans[: formula_count[0]]),
        asking_mad=None if asking is None else numbers[FIELD_INDEX[ASKING_PRICE]],
    )


def _have_usual_units(
    text: bytes, delimiter: int, positions: NDArray[np.int64], dialect: Dialect
) -> bool:
    """Whether all rows state the units for which the validator reads the cells."""
    chars, form = np.frombuffer(text, np.uint8), dialect.text_form
    for field, column in dialect.unit_columns.items():
        at = column.index + form.is_numbered
        if read_kernels.uniform_size(chars, delimiter, positions, at, form.width) < 0:
            return False
        _, start, stop = positions[0].tolist()
        cell = decode_cell(text[start:stop].split(bytes([delimiter]))[at])
        if stated_unit(field, cell, column.stated) != column.usual:
            return False
    return True


def _lack_value(interner: StringInterner, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether rows have no value in a column: a blank cell, or one that cannot be read."""
    values = interner.values.values
    blank = [code for code in np.unique(codes).tolist() if code >= 0 and values[code] is None]
    return np.isin(codes, blank) if blank else np.zeros(len(codes), dtype=np.bool_)


def _are_filled(text: bytes, delimiter: int, positions: NDArray[np.int64], column: int) -> bool:
    """Whether one of some rows has a value in a column."""
    between = bytes([delimiter])
    return any(
        not is_blank(decode_cell(text[start:stop].split(between)[column]))
        for _, start, stop in positions.tolist()
    )


def _constant_column(value: Any, n: int) -> Column:
    """A column of n equal values."""
    if isinstance(value, str):
        return CategoricalColumn(CategoryTable([value]), np.zeros(n, dtype=np.int64))
    return np.full(n, np.nan if value is None else value, dtype=np.float64)


def _unquote(text: bytes, delimiter: str) -> tuple[bytes, int] | None:
    """Rows without quotes around their cells, and the byte between these; None if impossible."""
    # Two searches are faster than one regular expression.
    if any(placeholder in text for placeholder in _PLACEHOLDERS):
        return None
    if b'"' not in text:
        return text, ord(delimiter)
    out = np.empty(len(text), dtype=np.uint8)
    size = read_kernels.unquote(np.frombuffer(text, np.uint8), ord(delimiter), out)
    return None if size < 0 else (out[:size].tobytes(), SEPARATOR)


def _take_row_numbers(
    text: bytes, delimiter: int, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The numbers with which the rows begin; the rows begin behind them then."""
    chars = np.frombuffer(text, np.uint8)
    at = positions[:, 1]
    numbers = np.zeros(len(at), dtype=np.int64)
    while (is_digit := chars[at] != delimiter).any():
        numbers = np.where(is_digit, 10 * numbers + chars[at] - ord("0"), numbers)
        at += is_digit
    at += 1
    return numbers


def _formula_starts(text: bytes, formula_spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets of the cells that get an apostrophe; signed numbers get none."""
    starts = [start for start, stop in formula_spans.tolist() if _is_formula(text[start:stop])]
    return np.array(starts, dtype=np.int64)


@lru_cache(maxsize=4096)
def _is_formula(cell: bytes) -> bool:
    text = decode_cell(cell)
    return escape_formula(text) != text
