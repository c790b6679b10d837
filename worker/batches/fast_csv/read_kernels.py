"""Compiled loops that read the cells of fast CSV rows.

Numba compiles them when this module is imported, or loads them from its cache. No cell becomes a
Python object: a cell is a whole number, or the code of its text (`StringInterner`). This module
imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN201, ANN202, C901, D417, PLR0912, PLR0915, PLR0917
# mypy: disable-error-code="no-untyped-def, assignment"

import numba
import numpy as np
from numba import types

from data.compilation import compiled
from worker.batches.fast_csv.row_index import EMBEDDED_LINE_FEED, SEPARATOR

LINE_FEED, RETURN, ZERO, POINT = 10, 13, 48, 46
QUOTE, PLUS, MINUS = 34, 43, 45
NUMBER_MAX_DIGITS = 9

COLUMN_COUNT_MISMATCH, TOO_MANY_FORMULAS, PROBE_LIMIT_EXCEEDED = -1, -2, -3
"""Why rows need the general engine: their number of cells, too many cells that may be formulas, or
too many hash collisions."""

MAX_PROBE_STEPS = 256
"""Occupied slots that a lookup may pass. In a table that is at most half full no lookup gets near
this by chance; it bounds the cost of a file whose author guessed the secret."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)

_text = types.Array(types.uint8, 1, "C", readonly=True)
_out = types.uint8[::1]
_ints = types.int64[::1]
_codes = types.int32[:, ::1]
_numbers = types.float64[:, ::1]
_flags = types.boolean[::1]


@numba.njit
def _may_be_formula(raw, start, stop):
    """Whether a spreadsheet might take a cell for a formula; a signed number is none."""
    first = raw[start]
    if first in (PLUS, MINUS):
        for at in range(start + 1, stop):
            if raw[at] < ZERO or raw[at] > ZERO + 9:
                return True
        return first == PLUS and stop == start + 1
    # = @ tab, an apostrophe, a line feed, and the first byte of their full-width forms
    return first in (61, 64, 9, 39, EMBEDDED_LINE_FEED, 0xEF)


@numba.njit
def _parse_whole_number(raw, start, stop):
    """The whole number of a cell that holds digits and perhaps ".0"; else -1."""
    if stop - start > 2 and raw[stop - 1] == ZERO and raw[stop - 2] == POINT:  # noqa: PLR2004
        stop -= 2
    if stop == start or stop - start > NUMBER_MAX_DIGITS:
        return -1
    value = 0
    for at in range(start, stop):
        digit = np.int64(raw[at]) - ZERO
        if digit < 0 or digit > 9:  # noqa: PLR2004
            return -1
        value = 10 * value + digit
    return value


@numba.njit
def _intern(raw, start, stop, field, secret, slots, keys, arena, filled):
    """The code of a cell's text in its column, a new one if needed; or `PROBE_LIMIT_EXCEEDED`."""
    mask = np.uint64(len(slots) - 1)
    mixed = (secret ^ np.uint64(field)) * _PRIME
    for at in range(start, stop):
        mixed = (mixed ^ np.uint64(raw[at])) * _PRIME
    # The upper bits depend on the whole text, the lower ones on the secret's lower bits only.
    slot = (mixed >> np.uint64(32)) & mask
    length = stop - start
    steps = 0
    while slots[slot] >= 0:
        steps += 1
        if steps > MAX_PROBE_STEPS:
            return PROBE_LIMIT_EXCEEDED
        code = slots[slot]
        if keys[code, 0] == field and keys[code, 2] == length:
            first, same = keys[code, 1], True
            for offset in range(length):
                if arena[first + offset] != raw[start + offset]:
                    same = False
                    break
            if same:
                return code
        slot = (slot + np.uint64(1)) & mask
    code = filled[0]
    slots[slot] = code
    keys[code, 0], keys[code, 1], keys[code, 2] = field, filled[1], length
    for offset in range(length):
        arena[filled[1] + offset] = raw[start + offset]
    filled[0] += 1
    filled[1] += length
    return code


@compiled(types.int64(_text, types.int64, _out))
def unquote(raw, delimiter, out):
    """Write rows without the quotes around their cells, with `SEPARATOR` and `EMBEDDED_LINE_FEED`.

    Args:
        raw: whole rows; a carriage return stands before a line feed only.
        delimiter: the byte between cells.
        out: as long as `raw`; filled.

    Returns:
        Bytes written; -1 if a quoted cell contains a carriage return, or a quote does not enclose
        a cell.
    """
    size = len(raw)
    at = to = 0
    while at < size:
        if raw[at] == QUOTE:
            at += 1
            while True:
                if at == size or raw[at] == RETURN:
                    return -1
                if raw[at] == QUOTE:
                    at += 1
                    if at == size or raw[at] != QUOTE:
                        break
                out[to] = EMBEDDED_LINE_FEED if raw[at] == LINE_FEED else raw[at]
                to += 1
                at += 1
            if at < size and raw[at] != delimiter and raw[at] != LINE_FEED and raw[at] != RETURN:
                return -1
        while at < size:
            char = raw[at]
            if char == QUOTE:
                return -1
            at += 1
            is_between = char == delimiter
            out[to] = SEPARATOR if is_between else char
            to += 1
            if is_between or char == LINE_FEED:
                break
    return to


@compiled(
    types.int64(
        _text, types.int64, _ints, _flags, types.float64[:, ::1], types.uint64, types.int32[::1],
        types.int64[:, ::1], _out, _ints, types.int64[:, ::1], _codes, _numbers,
        types.int64[:, ::1], _ints,
    )
)  # fmt: skip
def read_rows(
    raw, delimiter, field_of_column, is_number, limits, secret, slots, keys, arena, filled,
    positions, codes, numbers, formula_spans, formula_count,
):  # fmt: skip
    """Find the rows of a text, and the codes and numbers of their cells.

    Args:
        raw: rows without quotes around cells; a carriage return stands before a line feed only.
        delimiter: the byte between cells.
        field_of_column: (width,) index of each column's field in `codes` and `numbers`, or -1.
        is_number: (fields,) whether the field is a number.
        limits: (fields, 2) least and greatest value.
        secret, slots, keys, arena, filled: of `StringInterner`.
        positions: (lines, 3) filled with each row's line, first byte, and the byte after it.
        codes: (fields, lines) filled with the code of each cell; -1: it is a whole number.
        numbers: (fields, lines) filled with the whole numbers.
        formula_spans: (capacity, 2) filled with the first byte, and the byte after it, of each
            cell that may be a formula.
        formula_count: (1,) filled with the number of these cells.

    Returns:
        The number of rows; `COLUMN_COUNT_MISMATCH`, `TOO_MANY_FORMULAS` or
        `PROBE_LIMIT_EXCEEDED`.
    """
    size, width = len(raw), len(field_of_column)
    # Most cells of most files are empty.
    empty_codes = np.full(len(is_number), -1, dtype=np.int64)
    at = line = row = found = 0
    while at < size:
        first, start, column, end, begin = at, at, 0, at, line
        is_empty = True
        while True:
            is_end = at == size or raw[at] == LINE_FEED
            if is_end or raw[at] == delimiter:
                stop = at
                if is_end and stop > start and raw[stop - 1] == RETURN:
                    stop -= 1
                if stop > start:
                    is_empty = False
                    if column >= width:
                        return COLUMN_COUNT_MISMATCH
                    if _may_be_formula(raw, start, stop):
                        if found == len(formula_spans):
                            return TOO_MANY_FORMULAS
                        formula_spans[found, 0], formula_spans[found, 1] = start, stop
                        found += 1
                if column < width:
                    end = stop
                    field = field_of_column[column]
                    if field >= 0:
                        value = -1
                        if is_number[field]:
                            value = _parse_whole_number(raw, start, stop)
                        if value >= 0 and limits[field, 0] <= value <= limits[field, 1]:
                            codes[field, row] = -1
                            numbers[field, row] = value
                        else:
                            known = empty_codes[field] if start == stop else -1
                            if known < 0:
                                known = _intern(
                                    raw, start, stop, field, secret, slots, keys, arena, filled
                                )
                                if known < 0:
                                    return known
                                if start == stop:
                                    empty_codes[field] = known
                            codes[field, row] = known
                column += 1
                start = at + 1
                if is_end:
                    break
            elif raw[at] == EMBEDDED_LINE_FEED:
                line += 1
            at += 1
        at += 1
        line += 1
        if not is_empty:
            if column < width:
                return COLUMN_COUNT_MISMATCH
            positions[row, 0], positions[row, 1], positions[row, 2] = begin, first, end
            row += 1
    formula_count[0] = found
    return row


@numba.njit
def _cell_start(raw, delimiter, start, stop, column, width):
    """The first byte of a cell of a row, counted from the nearer end of the row."""
    if column < width // 2:
        at = start
        for _ in range(column):
            while raw[at] != delimiter:
                at += 1
            at += 1
        return at
    at = stop
    for _ in range(width - column):
        at -= 1
        while at >= start and raw[at] != delimiter:
            at -= 1
    return at + 1


@compiled(types.int64(_text, types.int64, types.int64[:, ::1], types.int64, types.int64))
def uniform_size(raw, delimiter, positions, column, width):
    """The bytes of a column's cells if they are the same in all rows; else -1.

    Args:
        raw: rows without quotes around cells.
        delimiter: the byte between cells.
        positions: (n, 3) of `read_rows`, at least one.
        column: index of the column.
        width: number of columns.
    """
    stop = positions[0, 2]
    first = _cell_start(raw, delimiter, positions[0, 1], stop, column, width)
    size = 0
    while first + size < stop and raw[first + size] != delimiter:
        size += 1
    for row in range(1, len(positions)):
        stop = positions[row, 2]
        at = _cell_start(raw, delimiter, positions[row, 1], stop, column, width)
        if at + size > stop or (at + size < stop and raw[at + size] != delimiter):
            return -1
        for offset in range(size):
            if raw[at + offset] != raw[first + offset]:
                return -1
    return size
