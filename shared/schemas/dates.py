"""Years in dates, as people write them."""

import re
from datetime import UTC, datetime

_MONTH = "jan|f[eé]v|feb|mar|a[vp]r|ma[iy]|jui|jun|jul|ao[uû]|aug|sep|oct|nov|d[eé]c"
_DATE = re.compile(
    r"(?P<first>\d{4})[/-]\d{1,2}(?:[/-]\d{1,2}(?:[T ][\d:.+Z-]+)?)?"
    r"|(?:\d{1,2}[/-]|\d{1,2}[/.-]\d{1,2}[/.-])(?P<last>\d{4})"
    r"|\d{1,2}[/.-]\d{1,2}[/.-](?P<short>\d{2})"
    rf"|(?:\d{{1,2}}[ .-])?(?:{_MONTH})[^\W\d]{{0,7}}\.?[ /-](?P<named>\d{{4}}|\d{{2}})",
    re.IGNORECASE,
)
"""2020-03-15, 2020-03-15 00:00:00, 15/03/2020, 03/2020, 15/03/20, mars 2020, 15-mars-20."""

_CENTURY = 100


def parse_year(text: str) -> int | None:
    """The year of a date; None if `text` is none.

    >>> parse_year("15/03/18"), parse_year("mars 2018"), parse_year("2018")
    (2018, 2018, None)
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year = int(found["first"] or found["last"] or found["short"] or found["named"])
    return year if year >= _CENTURY else _with_century(year)


def _with_century(year: int) -> int:
    """A year of two digits: one that has been, or is next."""
    latest = datetime.now(UTC).year + 1
    return year + latest - latest % _CENTURY - (_CENTURY if year > latest % _CENTURY else 0)
