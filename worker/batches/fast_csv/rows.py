"""Plain rows, read by compiled loops: where they stand, and what their cells mean."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoricalColumn, Column
from shared.domain.batch import BatchManifest, source_columns
from shared.tabular.cells import escape_formula
from shared.tabular.headers import ASKING_PRICE, asking_column_index
from worker.batches.fast_csv import read_kernels
from worker.batches.fast_csv.interner import (
    FIELD_INDEX,
    IS_NUMBER,
    NUMBERS,
    StringInterner,
    chars,
    decode_cell,
)
from worker.batches.fast_csv.placeholders import EMBEDDED_LINE_FEED, SEPARATOR
from worker.batches.fast_csv.spans import FastCsvChunk

MAX_FORMULAS_PER_ROW = 4
"""Cells that a spreadsheet might run, by row: telephone numbers, lists with dashes."""

_MARKS = (bytes([SEPARATOR]), bytes([EMBEDDED_LINE_FEED]))
"""No text of a person's has them."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FastCsvRows:
    """Rows that were read, and what their cells mean; n rows."""

    chunk: FastCsvChunk
    text: bytes
    """The chunk's text without quotes around cells; see `read_kernels.unquote`."""
    delimiter: int
    """The sign between the cells in `text`."""
    positions: NDArray[np.int64]
    """(n, 3) line in the chunk; first byte in `text`, and the byte after the last cell."""
    codes: NDArray[np.int32]
    """(fields, n) code of each cell; -1: it is a plain number."""
    numbers: NDArray[np.float64]
    """(fields, n) of the fields that are numbers; NaN: no value."""
    columns: Mapping[str, int]
    """Column of each field that the file has."""
    is_valid: NDArray[np.bool_]
    """(n,) whether no cell breaks a rule."""
    escapes: NDArray[np.int64]
    """Where the cells begin in `text` that a spreadsheet would run."""
    asking_mad: NDArray[np.float64] | None
    """(n,) what is asked, NaN where nothing is; None if the file does not say."""

    @property
    def good(self) -> int:
        """How many rows are in order."""
        return int(np.count_nonzero(self.is_valid))

    def cars(self, table: StringInterner) -> dict[str, Column]:
        """The good rows as columns for the model."""
        found: dict[str, Column] = {}
        for name in self.columns:
            slot = FIELD_INDEX[name]
            if name in NUMBERS:
                found[name] = self.numbers[slot][self.is_valid]
            else:
                codes = self.codes[slot][self.is_valid].astype(np.int64)
                found[name] = CategoricalColumn(table.values, codes)
        return found


def read_rows(
    chunk: FastCsvChunk, manifest: BatchManifest, table: StringInterner
) -> FastCsvRows | None:
    """Read and validate rows; None if they need the general reader."""
    header, columns = manifest.dialect.header, manifest.dialect.column_indexes
    if len(source_columns(header)) != len(header):
        return None
    bare = _without_quotes(chunk.text, manifest.dialect.delimiter)
    if bare is None:
        return None
    text, delimiter = bare
    lines = text.count(b"\n")
    slots = np.full(len(header), -1, dtype=np.int64)
    for name, index in columns.items():
        slots[index] = FIELD_INDEX[name]
    asking = asking_column_index(manifest.dialect)
    if asking is not None:
        slots[asking] = FIELD_INDEX[ASKING_PRICE]
    positions = np.empty((lines, 3), dtype=np.int64)
    codes = np.full((len(FIELD_INDEX), lines), -1, dtype=np.int32)
    numbers = np.zeros((len(FIELD_INDEX), lines))
    formula_spans, count = (
        np.empty((MAX_FORMULAS_PER_ROW * lines, 2), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )
    table.reserve(lines * (len(columns) + 1), len(text))
    rows = read_kernels.read_rows(
        chars(text), delimiter, slots, IS_NUMBER, table.limits, table.secret,
        table.slots, table.keys, table.arena, table.filled, positions, codes, numbers,
        formula_spans, count,
    )  # fmt: skip
    table.validate_new_strings()
    if rows == read_kernels.PROBE_LIMIT_EXCEEDED:
        table.reset()
    if rows != len(chunk):
        return None
    codes, numbers = codes[:, :rows], numbers[:, :rows]
    used = [FIELD_INDEX[name] for name in columns]
    is_valid = np.logical_not(table.refused(codes[used]).any(axis=0))
    for name in {*columns, ASKING_PRICE} & NUMBERS.keys():
        coded = codes[FIELD_INDEX[name]] >= 0
        numbers[FIELD_INDEX[name]][coded] = table.numbers[codes[FIELD_INDEX[name]][coded]]
    return FastCsvRows(
        chunk=chunk,
        text=text,
        delimiter=delimiter,
        positions=positions[:rows],
        codes=np.ascontiguousarray(codes),
        numbers=np.ascontiguousarray(numbers),
        columns=columns,
        is_valid=is_valid,
        escapes=_escapes(text, formula_spans[: count[0]]),
        asking_mad=None if asking is None else numbers[FIELD_INDEX[ASKING_PRICE]].copy(),
    )


def _escapes(text: bytes, formula_spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where those cells begin that get an apostrophe; numbers with a sign get none."""
    starts = [start for start, stop in formula_spans.tolist() if _is_formula(text[start:stop])]
    return np.array(starts, dtype=np.int64)


@lru_cache(maxsize=4096)
def _is_formula(cell: bytes) -> bool:
    text = decode_cell(cell)
    return escape_formula(text) != text


def _without_quotes(text: bytes, delimiter: str) -> tuple[bytes, int] | None:
    """Rows without quotes around their cells, and the sign between these; None if that is lost."""
    if any(mark in text for mark in _MARKS):  # faster than one pattern for both
        return None
    if b'"' not in text:
        return text, ord(delimiter)
    out = np.empty(len(text), dtype=np.uint8)
    size = read_kernels.unquote(chars(text), ord(delimiter), out)
    return None if size < 0 else (out[:size].tobytes(), SEPARATOR)
