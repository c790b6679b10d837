"""Numbers as people write them, in French and in English."""

import math
import re

_SPACES = re.compile(r"[\s\u00a0\u202f'’]")
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_GROUPED_BY_DOT = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_GROUPED_BY_COMMA = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def parse_number(text: str, *, whole: bool) -> float | None:
    """Read a number from `text`; None if it is not one.

    Spaces group thousands; of `.` and `,` the last one is the decimal sign, unless it only
    groups. "25.000" is ambiguous: twenty-five thousand where a whole number is expected
    (`whole`), twenty-five otherwise.

    >>> parse_number("145 000", whole=True), parse_number("145.000,50", whole=False)
    (145000.0, 145000.5)
    >>> parse_number("25.000", whole=True), parse_number("25.000", whole=False)
    (25000.0, 25.0)
    """
    compact = _SPACES.sub("", text)
    if whole and _GROUPED_BY_DOT.fullmatch(compact):
        compact = compact.replace(".", "").replace(",", ".")
    elif whole and _GROUPED_BY_COMMA.fullmatch(compact):
        compact = compact.replace(",", "")
    elif _PLAIN.fullmatch(compact):
        pass
    elif _GROUPED_BY_DOT.fullmatch(compact):
        compact = compact.replace(".", "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(compact):
        compact = compact.replace(",", ".")
    elif _GROUPED_BY_COMMA.fullmatch(compact):
        compact = compact.replace(",", "")
    else:
        return None
    number = float(compact)
    return number if math.isfinite(number) else None
