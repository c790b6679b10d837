"""A compiled loop that finds the rows of fast CSV that may be headers among the cars.

Numba compiles it when this module is imported, or loads it from its cache.
"""

# Numba infers the types of what it compiles, from the signature that the function states.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"

from numba import types

from data.compilation import compiled

LINE_FEED, QUOTE, ZERO = 10, 34, 48

_text = types.Array(types.uint8, 1, "C", readonly=True)
_ints = types.int64[::1]


@compiled(types.int64(_text, types.int64, _ints, types.int64, types.int64[:, ::1]))
def find_rows_without_digits(raw, delimiter, ends, column, places):
    """Find the rows that have no digit in a column.

    Args:
        raw: whole rows; cells may stand in quotes.
        delimiter: the byte between cells.
        ends: (n,) offset of the line feed of each row; lines without a value may precede a row.
        column: index of the column.
        places: (n, 2), filled with (start, stop) of each row found.

    Returns:
        Number of rows found.
    """
    found = start = 0
    for row in range(len(ends)):
        stop = ends[row]
        at = start
        place = 0
        has_digit = is_quoted = False
        while at < stop and place <= column and not has_digit:
            char = raw[at]
            at += 1
            if char == QUOTE:
                is_quoted = not is_quoted
            elif char == delimiter and not is_quoted:
                place += 1
            elif char == LINE_FEED and not is_quoted:
                start, place = at, 0
            elif place == column:
                has_digit = ZERO <= char <= ZERO + 9
        if not has_digit:
            places[found, 0], places[found, 1] = start, stop
            found += 1
        start = stop + 1
    return found
