"""Compiled loops that write the result and audit lines of plain CSV rows.

Compiled by numba when this module is imported, as `plain_read_kernels` are.
"""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN201, ANN202, D417, PLR0917
# mypy: disable-error-code="no-untyped-def, assignment"

import numba
import numpy as np
from numba import types

from data.compilation import compiled
from worker.runtime.plain_signs import LINE_MARK

COMMA, QUOTE, APOSTROPHE, ZERO, POINT, MINUS, LINE_FEED = 44, 34, 39, 48, 46, 45, 10

_text = types.Array(types.uint8, 1, "C", readonly=True)
_out = types.uint8[::1]
_ints = types.int64[::1]
_codes = types.int32[:, ::1]
_numbers = types.float64[:, ::1]
_flags = types.boolean[::1]


@numba.njit
def _put(out, at, text, start, stop):
    """Copy bytes; a signed place might count from the end, and would be looked at twice."""
    to, source = np.uint64(at), np.uint64(start)
    for offset in range(np.uint64(stop - start)):
        out[to + offset] = text[source + offset]
    return at + stop - start


@numba.njit
def _put_whole(out, at, value):
    """Write a whole number from 0 up."""
    digits, rest = 1, value
    while rest > 9:  # noqa: PLR2004
        rest //= 10
        digits += 1
    place = at + digits - 1
    while place >= at:
        out[place] = ZERO + value % 10
        value //= 10
        place -= 1
    return at + digits


@numba.njit
def _put_hundredths(out, at, value):
    """Write hundredths as Python writes the float: one or two digits after the point."""
    if value < 0:
        out[at] = MINUS
        at += 1
        value = -value
    at = _put_whole(out, at, value // 100)
    cents = value % 100
    out[at] = POINT
    out[at + 1] = ZERO + cents // 10
    if cents % 10 == 0:
        return at + 2
    out[at + 2] = ZERO + cents % 10
    return at + 3


@numba.njit
def _put_quoted(out, at, text, start, stop, is_escaped):
    """Write a cell between quotes, each quote in it twice, and its line feeds as such."""
    out[at] = QUOTE
    at += 1
    if is_escaped:
        out[at] = APOSTROPHE
        at += 1
    for source in range(start, stop):
        if text[source] == QUOTE:
            out[at] = QUOTE
            at += 1
        out[at] = LINE_FEED if text[source] == LINE_MARK else text[source]
        at += 1
    out[at] = QUOTE
    return at + 1


@numba.njit
def _put_own_cells(out, at, raw, start, stop, delimiter, escapes):
    """Write a row's own cells with commas between them; what needs quotes gets them.

    Those that begin at the next of `escapes` get an apostrophe.

    Returns:
        The place after them, and how many apostrophes were written.
    """
    escaped = 0
    if delimiter == COMMA and (len(escapes) == 0 or escapes[0] >= stop):
        return _put(out, at, raw, start, stop), escaped
    cell = start
    while True:
        end, needs_quotes = cell, False
        while end < stop and raw[end] != delimiter:
            needs_quotes |= raw[end] == COMMA or raw[end] == QUOTE or raw[end] == LINE_MARK
            end += 1
        is_escaped = escaped < len(escapes) and escapes[escaped] == cell
        escaped += is_escaped
        if needs_quotes:
            at = _put_quoted(out, at, raw, cell, end, is_escaped)
        else:
            if is_escaped:
                out[at] = APOSTROPHE
                at += 1
            at = _put(out, at, raw, cell, end)
        if end == stop:
            return at, escaped
        out[at] = COMMA
        at += 1
        cell = end + 1


@compiled(
    types.int64(
        _text, types.int64, types.int64[:, ::1], _ints, types.int64[:, ::1], _text, _ints, _text,
        _ints, _text, _ints, types.int64[:, ::1], _out,
    )
)  # fmt: skip
def write_results(
    raw, delimiter, places, endings, hundredths, extras, extra_ends, texts, text_ends, good,
    escapes, own, out,
):  # fmt: skip
    """Write the lines of a result file.

    Args:
        raw, delimiter, places: as in `read_rows`, one place for each row.
        endings: (rows,) which of `texts` ends the row; -1: its prices and `good` do.
        hundredths: (columns, rows) prices; no columns if nothing is priced.
        extras, extra_ends: what stands after each row's prices, and where it ends.
        texts, text_ends: texts one after the other, and where each ends.
        good: what stands after the prices.
        escapes: where the cells begin that get an apostrophe, in order.
        own: (rows, 2) filled with where each row's own cells begin and end in `out`.
        out: filled.

    Returns:
        Bytes written.
    """
    at = escaped = 0
    for row in range(len(endings)):
        own[row, 0] = at
        at, count = _put_own_cells(
            out, at, raw, places[row, 1], places[row, 2], delimiter, escapes[escaped:]
        )
        escaped += count
        own[row, 1] = at
        ending = endings[row]
        if ending >= 0:
            at = _put(out, at, texts, text_ends[ending - 1] if ending else 0, text_ends[ending])
            continue
        for column in range(len(hundredths)):
            out[at] = COMMA
            at = _put_hundredths(out, at + 1, hundredths[column, row])
        at = _put(out, at, extras, extra_ends[row - 1] if row else 0, extra_ends[row])
        at = _put(out, at, good, 0, len(good))
    return at


@compiled(
    types.int64(
        types.int64[::1], _flags, types.int64, _codes, _numbers, _flags, _text, _ints, _text,
        _ints, types.int64[:, ::1], _text, _ints, _out, _ints,
    )
)  # fmt: skip
def write_audit(
    order, is_good, first_row, codes, numbers, is_decimal, names, name_ends, fragments,
    fragment_ends, hundredths, frame, frame_ends, out, last,
):  # fmt: skip
    """Write the audit records of the rows that are valued.

    Args:
        order: (fields,) places in `codes` in the order of the file's columns.
        is_good: (rows,) whether the row is valued.
        first_row: number of the first row.
        codes, numbers: as in `read_rows`.
        is_decimal: (fields,) whether the field's normal form is a fraction.
        names, name_ends: the beginning of each field's JSON member.
        fragments, fragment_ends: the JSON member of each code; empty for no value.
        hundredths: (3, rows) price, low, high.
        frame, frame_ends: what is the same in all records, cut where something is put in.
        out: filled.
        last: (1,) filled with where the last record begins.

    Returns:
        Bytes written.
    """
    at = 0
    for row in range(len(is_good)):
        if not is_good[row]:
            continue
        last[0] = at
        at = _put(out, at, frame, 0, frame_ends[0])
        at = _put_whole(out, at, first_row + row)
        at = _put(out, at, frame, frame_ends[0], frame_ends[1])
        at = _put_whole(out, at, first_row + row)
        at = _put(out, at, frame, frame_ends[1], frame_ends[2])
        members = 0
        for slot in order:
            code = codes[slot, row]
            before = at
            if members:
                out[at] = COMMA
                at += 1
            if code < 0:
                at = _put(out, at, names, name_ends[slot - 1] if slot else 0, name_ends[slot])
                at = _put_whole(out, at, np.int64(numbers[slot, row]))
                if is_decimal[slot]:
                    out[at], out[at + 1] = POINT, ZERO
                    at += 2
            else:
                start = fragment_ends[code - 1] if code else 0
                if start == fragment_ends[code]:
                    at = before
                    continue
                at = _put(out, at, fragments, start, fragment_ends[code])
            members += 1
        for column in range(3):
            start, stop = frame_ends[2 + column], frame_ends[3 + column]
            at = _put(out, at, frame, start, stop)
            at = _put_hundredths(out, at, hundredths[column, row])
        at = _put(out, at, frame, frame_ends[5], frame_ends[6])
    return at
