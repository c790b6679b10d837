"""Parses numbers as people write them in French, English, German, Arabic and Indian English."""

import math
import re

from shared.domain.names import clean_text

_SPACES_AFTER_SIGN = re.compile(r"^([+-])\s+")

_GROUPED_BY_SPACE = re.compile(
    r"[+-]?(?:\d{1,3}(?P<sign>[ '])\d{3}(?:(?P=sign)\d{3})*"
    r"|\d{1,2}(?P<indian>[ '])(?:\d\d(?P=indian))+\d{3})(?:[.,]\d+)?"
)
"""120 000, 120'000,50, 3 25 000."""
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,3}")
_GROUPED_BY_DOT = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_GROUPED_BY_COMMA = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_GROUPED_AS_IN_INDIA = re.compile(r"[+-]?\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_NUMERIC = re.compile(r"[\d .,'+eE-]+")
_WORD_LETTER = re.compile("[A-DF-Za-df-z]")
"""Only the letter of an exponent may stand in a number."""
_THREE_DECIMALS = re.compile(r"[.,]\d{3}$")

_BY_SPACE, _BY_DOT = (_GROUPED_BY_SPACE, " '", ","), (_GROUPED_BY_DOT, ".", ",")
_BY_COMMA, _AS_IN_INDIA = (_GROUPED_BY_COMMA, ",", "."), (_GROUPED_AS_IN_INDIA, ",", ".")
_UNGROUPED = ((_PLAIN, "", "."), (_SCIENTIFIC, "", ","))
_WITH_COMMA = (_DECIMAL_COMMA, "", ",")
_WHOLE_FORMS = (_BY_SPACE, _BY_DOT, _BY_COMMA, *_UNGROUPED, _WITH_COMMA, _AS_IN_INDIA)
_DECIMAL_FORMS = (_BY_SPACE, *_UNGROUPED, _BY_DOT, _WITH_COMMA, _BY_COMMA, _AS_IN_INDIA)
"""Forms of numbers in the order in which they are tried: pattern, grouping signs, decimal sign."""


def parse_number(text: str, *, whole: bool) -> float | None:
    """Read a number from `text`; None if it is not one.

    Spaces and apostrophes group thousands; the last one of `.` and `,` is the decimal sign, unless
    it groups. "25.000" is ambiguous: 25000 where a whole number is expected (`whole`), else 25.
    Digits that are not grouped by three, or by two and three as in India, are no number.

    >>> parse_number("145 000", whole=True), parse_number("145.000,50", whole=False)
    (145000.0, 145000.5)
    >>> parse_number("25.000", whole=True), parse_number("25.000", whole=False)
    (25000.0, 25.0)
    >>> parse_number("1,2E+05", whole=True), parse_number("3,25,000", whole=True)
    (120000.0, 325000.0)
    """
    if _WORD_LETTER.search(text) is not None:
        return None
    compact = _compact(text)
    if not _NUMERIC.fullmatch(compact):
        return None
    for pattern, grouping, decimal in _WHOLE_FORMS if whole else _DECIMAL_FORMS:
        if pattern.fullmatch(compact):
            if whole and pattern is _GROUPED_BY_SPACE and _THREE_DECIMALS.search(compact):
                return None
            digits = compact.translate(dict.fromkeys(map(ord, grouping)))
            number = float(digits.replace(decimal, "."))
            return number if math.isfinite(number) else None
    return None


def _compact(text: str) -> str:
    """A text with plain digits and single spaces, without the marks around a number."""
    if text.isdecimal() and text.isascii():
        return text
    plain = " ".join(clean_text(text).split()).strip("' ")
    if plain[-1:] in {".", ","}:
        plain = plain[:-1]
    return _SPACES_AFTER_SIGN.sub(r"\1", plain)
