"""Compiled loops that write the result and audit lines of fast CSV rows.

Numba compiles them when this module is imported, or loads them from its cache. This module
imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN201, ANN202, D417, PLR0917
# mypy: disable-error-code="no-untyped-def, assignment"

import numba
import numpy as np
from numba import types

from data.compilation import compiled
from worker.batches.fast_csv.row_index import EMBEDDED_LINE_FEED

COMMA, QUOTE, APOSTROPHE, ZERO, POINT, MINUS, LINE_FEED = 44, 34, 39, 48, 46, 45, 10

_text = types.Array(types.uint8, 1, "C", readonly=True)
_out = types.uint8[::1]
_ints = types.int64[::1]
_codes = types.int32[:, ::1]
_numbers = types.float64[:, ::1]
_flags = types.boolean[::1]


@numba.njit
def _copy_bytes(out, at, text, start, stop):
    """Copy bytes."""
    # A signed index may be negative, which numba would have to check at each access.
    to, source = np.uint64(at), np.uint64(start)
    for offset in range(np.uint64(stop - start)):
        out[to + offset] = text[source + offset]
    return at + stop - start


@numba.njit
def _write_int(out, at, value):
    """Write a whole number, at least 0."""
    # Unsigned: a signed division by a constant takes more steps, and a signed index is checked.
    ten, one = np.uint64(10), np.uint64(1)
    rest, digits = np.uint64(value), 1
    limit = ten
    while rest >= limit:
        limit *= ten
        digits += 1
    digit_at = np.uint64(at + digits)
    for _ in range(digits):
        digit_at -= one
        quotient = rest // ten
        out[digit_at] = np.uint8(rest - quotient * ten) + np.uint8(ZERO)
        rest = quotient
    return at + digits


@numba.njit
def _write_cents(out, at, value):
    """Write cents as Python writes the float: one or two digits after the point."""
    if value < 0:
        out[at] = MINUS
        at += 1
        value = -value
    hundred, ten = np.uint64(100), np.uint64(10)
    whole = np.uint64(value) // hundred
    cents = np.uint64(value) - whole * hundred
    at = _write_int(out, at, whole)
    to = np.uint64(at)
    out[to] = POINT
    out[to + np.uint64(1)] = np.uint8(ZERO) + np.uint8(cents // ten)
    last = cents % ten
    if last == 0:
        return at + 2
    out[to + np.uint64(2)] = np.uint8(ZERO) + np.uint8(last)
    return at + 3


@numba.njit
def _write_quoted(out, at, text, start, stop, is_escaped):
    """Write a quoted cell: its quotes doubled, its line feeds restored."""
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
def _write_input_cells(out, at, raw, start, stop, delimiter, separator, formula_starts):
    """Write a row's own cells with `separator` between them, quoted where a CSV needs it.

    The cells that begin at the next of `formula_starts` get an apostrophe.

    Returns:
        The offset after them, and the number of apostrophes.
    """
    escaped = 0
    if delimiter == separator and (len(formula_starts) == 0 or formula_starts[0] >= stop):
        return _copy_bytes(out, at, raw, start, stop), escaped
    cell = start
    while True:
        end, needs_quotes = cell, False
        while end < stop and raw[end] != delimiter:
            needs_quotes |= (
                raw[end] == separator or raw[end] == QUOTE or raw[end] == EMBEDDED_LINE_FEED
            )
            end += 1
        is_escaped = escaped < len(formula_starts) and formula_starts[escaped] == cell
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
        out[at] = separator
        at += 1
        cell = end + 1


@compiled(
    types.int64(
        _text, types.int64, types.int64, types.int64[:, ::1], _flags, types.int64[:, ::1], _text,
        _ints, _ints, _text, _ints, _ints, types.int64[:, ::1], _out,
    )
)  # fmt: skip
def write_results(
    raw, delimiter, separator, positions, is_valid, cents, verdicts, verdict_ends, text_ids, texts,
    text_ends, formula_starts, own, out,
):  # fmt: skip
    """Write the lines of a result file.

    Args:
        raw, delimiter, positions: as in `read_rows`, one position for each row.
        separator: byte between the cells that are written.
        is_valid: (rows,) whether prices and a verdict follow the row's own cells.
        cents: (columns, rows) prices; no columns in a dry run.
        verdicts, verdict_ends: what follows each row's prices, concatenated, and where each ends.
        text_ids: (rows,) which of `texts` ends the row.
        texts, text_ends: last cells of rows, concatenated, and where each ends.
        formula_starts: offsets of the cells that get an apostrophe, in order.
        own: (rows, 2) filled with where each row's own cells begin and end in `out`.
        out: filled.

    Returns:
        Bytes written.
    """
    at = escaped = 0
    for row in range(len(text_ids)):
        own[row, 0] = at
        at, count = _write_input_cells(
            out, at, raw, positions[row, 1], positions[row, 2], delimiter, separator,
            formula_starts[escaped:],
        )  # fmt: skip
        escaped += count
        own[row, 1] = at
        if is_valid[row]:
            for column in range(len(cents)):
                out[at] = separator
                at = _write_cents(out, at + 1, cents[column, row])
            start = verdict_ends[row - 1] if row else 0
            at = _copy_bytes(out, at, verdicts, start, verdict_ends[row])
        text = text_ids[row]
        at = _copy_bytes(out, at, texts, text_ends[text - 1] if text else 0, text_ends[text])
    return at


@compiled(
    types.int64(
        types.int64[::1], _flags, types.int64, _codes, _numbers, _flags, _text, _ints, _text,
        _ints, _ints, _text, _ints, types.int64[:, ::1], _text, _ints, _out, _ints,
    )
)  # fmt: skip
def write_audit(
    order, is_valid, first_row, codes, numbers, is_decimal, names, name_ends, fragments,
    fragment_ends, head_ids, heads, head_ends, cents, template, template_ends, out, last,
):  # fmt: skip
    """Write the audit records of the valid rows.

    Args:
        order: indexes in `codes` of the file's fields but brand and model, in the order of its
            columns.
        is_valid: (rows,) whether the row is valid.
        first_row: number of the first row.
        codes, numbers: as in `read_rows`.
        is_decimal: (fields,) whether the field's normal form has decimals.
        names, name_ends: the start of each field's JSON member, and where it ends.
        fragments, fragment_ends: the JSON member of each code, empty for no value.
        head_ids: (rows,) which of `heads` begins the features of the row.
        heads, head_ends: what was read of brand and model, concatenated, and where each ends.
        cents: (3, rows) price, low, high.
        template, template_ends: what all records share, split where something is inserted.
        out: filled.
        last: (1,) filled with the offset of the last record.

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
        head = head_ids[row]
        at = _copy_bytes(out, at, heads, head_ends[head - 1] if head else 0, head_ends[head])
        for field in order:
            code = codes[field, row]
            before = at
            out[at] = COMMA
            at += 1
            if code < 0:
                at = _copy_bytes(
                    out, at, names, name_ends[field - 1] if field else 0, name_ends[field]
                )
                at = _write_int(out, at, np.int64(numbers[field, row]))
                if is_decimal[field]:
                    out[at], out[at + 1] = POINT, ZERO
                    at += 2
            else:
                start = fragment_ends[code - 1] if code else 0
                if start == fragment_ends[code]:
                    at = before
                    continue
                at = _copy_bytes(out, at, fragments, start, fragment_ends[code])
        for column in range(3):
            start, stop = template_ends[2 + column], template_ends[3 + column]
            at = _copy_bytes(out, at, template, start, stop)
            at = _write_cents(out, at, cents[column, row])
        at = _copy_bytes(out, at, template, template_ends[5], template_ends[6])
    return at
