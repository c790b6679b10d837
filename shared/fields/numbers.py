"""Parses numbers as people write them in French and English."""

import math
import re

_SPACES = re.compile(r"[\s\u00a0\u202f'’]")
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_GROUPED_BY_DOT = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_GROUPED_BY_COMMA = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

_RANGE = re.compile(
    r"(?P<low>\d[\d\s\u00a0\u202f.,]*)(?:km)?\s*(?:-|–|à|to)\s*(?P<high>\d.*)", re.IGNORECASE
)
_THOUSANDS = re.compile(r"(?P<number>\d+(?:[.,]\d)?)\s*k", re.IGNORECASE)


def range_midpoint(text: str) -> float | None:
    """The midpoint of a range, or a number of thousands ("120k"); None if `text` is neither.

    >>> range_midpoint("120 000 - 129 999"), range_midpoint("120k"), range_midpoint("120 000")
    (124999.5, 120000.0, None)
    """
    if (thousands := _THOUSANDS.fullmatch(text.strip())) is not None:
        return 1000 * float(thousands["number"].replace(",", "."))
    band = _RANGE.fullmatch(text.strip())
    if band is None:
        return None
    low, high = parse_number(band["low"], whole=True), parse_number(band["high"], whole=True)
    return None if low is None or high is None or low > high else (low + high) / 2


def parse_number(text: str, *, whole: bool) -> float | None:
    """Read a number from `text`; None if it is not one.

    Spaces group thousands; the last one of `.` and `,` is the decimal sign, unless it groups.
    "25.000" is ambiguous: 25000 where a whole number is expected (`whole`), else 25.

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
