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
from worker.batches.fast_csv.placeholders import EMBEDDED_LINE_FEED

COMMA, QUOTE, APOSTROPHE, ZERO, POINT, MINUS, LINE_FEED = 44, 34, 39, 48, 46, 45, 10

_text = types.Array(types.uint8, 1, "C", readonly=True)
_out = types.uint8[::1]
_ints = types.int64[::1]
_codes = types.int32[:, ::1]
_numbers = types.float64[:, ::1]
_flags = types.boolean[::1]


@numba.njit
def _copy_bytes(out, at, text, start, stop):
    """Copy bytes; a signed place might count from the end, and would be looked at twice."""
    to, source = np.uint64(at), np.uint64(start)
    for offset in range(np.uint64(stop - start)):
        out[to + offset] = text[source + offset]
    return at + stop - start


@numba.njit
def _write_int(out, at, value):
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
def _write_cents(out, at, value):
    """Write cents as Python writes the float: one or two digits after the point."""
    if value < 0:
        out[at] = MINUS
        at += 1
        value = -value
    at = _write_int(out, at, value // 100)
    cents = value % 100
    out[at] = POINT
    out[at + 1] = ZERO + cents // 10
    if cents % 10 == 0:
        return at + 2
    out[at + 2] = ZERO + cents % 10
    return at + 3


@numba.njit
def _write_quoted(out, at, text, start, stop, is_escaped):
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
        out[at] = LINE_FEED if text[source] == EMBEDDED_LINE_FEED else text[source]
        at += 1
    out[at] = QUOTE
    return at + 1


@numba.njit
def _write_input_cells(out, at, raw, start, stop, delimiter, escapes):
    """Write a row's own cells with commas between them; what needs quotes gets them.

    Those that begin at the next of `escapes` get an apostrophe.

    Returns:
        The place after them, and how many apostrophes were written.
    """
    escaped = 0
    if delimiter == COMMA and (len(escapes) == 0 or escapes[0] >= stop):
        return _copy_bytes(out, at, raw, start, stop), escaped
    cell = start
    while True:
        end, needs_quotes = cell, False
        while end < stop and raw[end] != delimiter:
            needs_quotes |= raw[end] == COMMA or raw[end] == QUOTE or raw[end] == EMBEDDED_LINE_FEED
            end += 1
        is_escaped = escaped < len(escapes) and escapes[escaped] == cell
        escaped += is_escaped
        if needs_quotes:
            at = _write_quoted(out, at, raw, cell, end, is_escaped)
        else:
            if is_escaped:
                out[at] = APOSTROPHE
                at += 1
            at = _copy_bytes(out, at, raw, cell, end)
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
    raw, delimiter, positions, suffix_ids, cents, extras, extra_ends, texts, text_ends, good,
    escapes, own, out,
):  # fmt: skip
    """Write the lines of a result file.

    Args:
        raw, delimiter, positions: as in `read_rows`, one place for each row.
        suffix_ids: (rows,) which of `texts` ends the row; -1: its prices and `good` do.
        cents: (columns, rows) prices; no columns if nothing is priced.
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
    for row in range(len(suffix_ids)):
        own[row, 0] = at
        at, count = _write_input_cells(
            out, at, raw, positions[row, 1], positions[row, 2], delimiter, escapes[escaped:]
        )
        escaped += count
        own[row, 1] = at
        suffix_id = suffix_ids[row]
        if suffix_id >= 0:
            at = _copy_bytes(
                out, at, texts, text_ends[suffix_id - 1] if suffix_id else 0, text_ends[suffix_id]
            )
            continue
        for column in range(len(cents)):
            out[at] = COMMA
            at = _write_cents(out, at + 1, cents[column, row])
        at = _copy_bytes(out, at, extras, extra_ends[row - 1] if row else 0, extra_ends[row])
        at = _copy_bytes(out, at, good, 0, len(good))
    return at


@compiled(
    types.int64(
        types.int64[::1], _flags, types.int64, _codes, _numbers, _flags, _text, _ints, _text,
        _ints, types.int64[:, ::1], _text, _ints, _out, _ints,
    )
)  # fmt: skip
def write_audit(
    order, is_valid, first_row, codes, numbers, is_decimal, names, name_ends, fragments,
    fragment_ends, cents, template, template_ends, out, last,
):  # fmt: skip
    """Write the audit records of the rows that are valued.

    Args:
        order: (fields,) positions in `codes` in the order of the file's columns.
        is_valid: (rows,) whether the row is valued.
        first_row: number of the first row.
        codes, numbers: as in `read_rows`.
        is_decimal: (fields,) whether the field's normal form is a fraction.
        names, name_ends: the beginning of each field's JSON member.
        fragments, fragment_ends: the JSON member of each code; empty for no value.
        cents: (3, rows) price, low, high.
        template, template_ends: what is the same in all records, cut where something is put in.
        out: filled.
        last: (1,) filled with where the last record begins.

    Returns:
        Bytes written.
    """
    at = 0
    for row in range(len(is_valid)):
        if not is_valid[row]:
            continue
        last[0] = at
        at = _copy_bytes(out, at, template, 0, template_ends[0])
        at = _write_int(out, at, first_row + row)
        at = _copy_bytes(out, at, template, template_ends[0], template_ends[1])
        at = _write_int(out, at, first_row + row)
        at = _copy_bytes(out, at, template, template_ends[1], template_ends[2])
        members = 0
        for slot in order:
            code = codes[slot, row]
            before = at
            if members:
                out[at] = COMMA
                at += 1
            if code < 0:
                at = _copy_bytes(
                    out, at, names, name_ends[slot - 1] if slot else 0, name_ends[slot]
                )
                at = _write_int(out, at, np.int64(numbers[slot, row]))
                if is_decimal[slot]:
                    out[at], out[at + 1] = POINT, ZERO
                    at += 2
            else:
                start = fragment_ends[code - 1] if code else 0
                if start == fragment_ends[code]:
                    at = before
                    continue
                at = _copy_bytes(out, at, fragments, start, fragment_ends[code])
            members += 1
        for column in range(3):
            start, stop = template_ends[2 + column], template_ends[3 + column]
            at = _copy_bytes(out, at, template, start, stop)
            at = _write_cents(out, at, cents[column, row])
        at = _copy_bytes(out, at, template, template_ends[5], template_ends[6])
    return at
