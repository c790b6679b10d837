"""Cleans cells of listings files, so that the car's field definitions can parse them."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from shared.domain.names import plain_text
from shared.fields.dates import MONTH_NAMES
from shared.fields.numbers import parse_number
from shared.fields.units import MPG_PER_KMPL, NM_PER_KGM

CellCleaner = Callable[[str], str | None]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_RANGE = re.compile(
    r"^\s*([\d\s\u00a0\u202f.]+?)\s*(?:-|à|\u2013)\s*([\d\s\u00a0\u202f.]+?)\s*(?:km)?\s*$",
    re.IGNORECASE,
)
_OPEN_RANGE = re.compile(r"^\s*(?:plus de|moins de|more than|less than)\s+", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_YEAR_FIRST = re.compile(r"((?:19|20)\d\d)[-/. ]?(\d{1,2})(?:[-/. ]?\d{1,2})?(?:\D.*)?$")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ]((?:19|20)?\d\d)(?:\D.*)?$")
_MONTH_YEAR = re.compile(r"(\d{1,2})[-/. ]((?:19|20)\d\d)$")
_WORD = re.compile(r"[^\W\d_]{3,}")
_UNIX_TIME = re.compile(r"1\d{9}(?:\d{3})?(?:\.0+)?$")
_MONTHS_A_YEAR = 12
_CENTURY = 2000
_CURRENCY = re.compile(r"(?:mad|dhs?|dirhams?|درهم|₹|rs\.?|inr)", re.IGNORECASE)


def range_midpoint(text: str) -> str:
    """The middle of a range, the bound of an open range; any other text unchanged.

    >>> range_midpoint("100 000 - 109 999"), range_midpoint("Plus de 500 000")
    ('105000', '500 000')
    """
    match = _RANGE.match(text)
    if match is None:
        return _OPEN_RANGE.sub("", text)
    low, high = (parse_number(bound, whole=True) for bound in match.groups())
    return text if low is None or high is None else str(round((low + high) / 2))


def first_number(text: str) -> str | None:
    """The first number in a text.

    >>> first_number("1248 CC"), first_number("Plus de 48 CV"), first_number("-")
    ('1248', '48', None)
    """
    match = _NUMBER.search(text)
    return match[0] if match else None


def first_year(text: str) -> str | None:
    """The first year in a text.

    >>> first_year("2016"), first_year("1980 ou plus ancien"), first_year("03/2019")
    ('2016', '1980', '2019')
    """
    match = _YEAR.search(text)
    return match[0] if match else None


def fuel_economy_mpg(text: str) -> str | None:
    """Kilometres per litre (or per kilogram of gas) as miles per gallon.

    >>> fuel_economy_mpg("23.4 kmpl")
    '55.0'
    """
    number = first_number(text)
    kmpl = float(number.replace(",", ".")) if number else 0.0
    return f"{kmpl * MPG_PER_KMPL:.1f}" if kmpl else None


def torque_nm(text: str) -> str | None:
    """Torque in newton metres, from newton metres or kilogram metres at an engine speed.

    >>> torque_nm("190Nm@ 2000rpm"), torque_nm("22.4 kgm at 1750-2750rpm")
    ('190.0', '219.7')
    """
    number = first_number(text)
    if number is None:
        return None
    factor = NM_PER_KGM if "kgm" in text.casefold() and "nm" not in text.casefold() else 1
    return f"{float(number.replace(',', '.')) * factor:.1f}"


def money(text: str) -> float | None:
    """An amount of money without its currency; None if there is none.

    >>> money("145 000 DH"), money("Prix à négocier")
    (145000.0, None)
    """
    return parse_number(_CURRENCY.sub("", text).strip(), whole=True)


def parse_month(text: str, *, is_month_first: bool = False) -> str | None:
    """The month of a date, as YYYY-MM.

    Args:
        text: the date.
        is_month_first: whether "03/04/2024" is in March.

    >>> parse_month("2024-03-17"), parse_month("17/03/2024"), parse_month("hier")
    ('2024-03', '2024-03', None)
    >>> parse_month("14 mars 2024"), parse_month("03/2024"), parse_month("20240317")
    ('2024-03', '2024-03', '2024-03')
    """
    plain = plain_text(text).strip(" .")
    if _UNIX_TIME.match(plain):
        seconds = float(plain[:10])
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m}"
    if match := _YEAR_FIRST.match(plain):
        year, month = match.groups()
    elif match := _YEAR_LAST.match(plain):
        first, second, year = match.groups()
        month = first if is_month_first else second
    elif match := _MONTH_YEAR.match(plain):
        month, year = match.groups()
    else:
        named = {MONTH_NAMES[word] for word in _WORD.findall(plain) if word in MONTH_NAMES}
        years = set(_YEAR.findall(plain))
        if len(named) != 1 or len(years) != 1:
            return None
        month, year = str(named.pop()), years.pop()
    number = int(year) if len(year) > 2 else _CENTURY + int(year)  # noqa: PLR2004
    return f"{number}-{int(month):02d}" if 1 <= int(month) <= _MONTHS_A_YEAR else None


def parse_months(column: Sequence[str]) -> list[str | None]:
    """The months of a column of dates, as YYYY-MM; None where blank or unreadable.

    Dates with the year last begin with the day, unless the column proves that the month is first.
    """
    known = dict.fromkeys(column)
    pairs = [match.groups() for cell in known if (match := _YEAR_LAST.match(cell.strip()))]
    is_month_first = any(int(second) > _MONTHS_A_YEAR for _, second, _ in pairs) and not any(
        int(first) > _MONTHS_A_YEAR for first, _, _ in pairs
    )
    months = {cell: parse_month(cell, is_month_first=is_month_first) for cell in known}
    return [months[cell] for cell in column]


def value_mapper(words: Mapping[str, str]) -> CellCleaner:
    """A cleaner that replaces whole cells, ignoring case; other cells are unchanged.

    >>> value_mapper({"yes": "First"})("Yes")
    'First'
    """
    return lambda text: words.get(text.strip().casefold(), text)
