"""French typography of the pages: numbers, amounts, months, names."""

import re
from collections.abc import Sequence

THIN_SPACE = "\u202f"
"""Narrow no-break space: thousands separator, and space before `%`, `:` and similar signs."""
NO_BREAK_SPACE = "\u00a0"
MINUS = "\u2212"
APOSTROPHE = "\u2019"
MIN_PLURAL = 2
"""Numbers below two take the singular in French."""

MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin",
    "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip

_ELISION = re.compile(r"(?<=\w)'(?=\w)")
_SPACED_PUNCTUATION = re.compile(r" (?=[;:?!»%])|(?<=«) ")


def typographic(text: str) -> str:
    """Replace apostrophes and the spaces before punctuation by their typographic forms.

    >>> typographic("L'année est obligatoire ; attendu : 2020.")
    'L\u2019année est obligatoire\u202f; attendu\u202f: 2020.'
    """
    return _SPACED_PUNCTUATION.sub(THIN_SPACE, _ELISION.sub(APOSTROPHE, text))


def format_number(value: float, decimals: int = 0) -> str:
    """A number with French separators.

    >>> format_number(1234567.4), format_number(-1600.5, 1)
    ('1\u202f234\u202f567', '\u22121\u202f600,5')
    """
    text = f"{abs(value):,.{decimals}f}".replace(",", THIN_SPACE).replace(".", ",")
    negative = value < 0 and any(char in "123456789" for char in text)
    return MINUS + text if negative else text


def round_price(price_mad: float) -> int:
    """A price rounded to the nearest hundred, the precision of an estimate.

    >>> round_price(187_342.18)
    187300
    """
    return round(price_mad / 100) * 100


def format_price(price_mad: float) -> str:
    """A rounded price with its currency.

    >>> format_price(187_342.18)
    '187\u202f300\u00a0MAD'
    """
    return f"{format_number(round_price(price_mad))}{NO_BREAK_SPACE}MAD"


def format_centimes(price_mad: float) -> str:
    """A price in millions of centimes, as is usual in Morocco.

    >>> format_centimes(187_300)
    '18,7 millions de centimes'
    """
    millions = round(price_mad / 10_000, 1)
    unit = "millions" if millions >= MIN_PLURAL else "million"
    decimals = 0 if millions == int(millions) else 1
    return f"{format_number(millions, decimals)} {unit} de centimes"


def format_month(month: str) -> str:
    """A month `YYYY-MM` in words; any other text unchanged.

    >>> format_month("2025-08")
    'août 2025'
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        return month
    return f"{MONTHS[int(month[5:]) - 1]} {month[:4]}"


def join_words(words: Sequence[str], last: str = "et") -> str:
    """A list in words.

    >>> join_words(["Clio"]), join_words(["Clio", "Captur", "Kadjar"], "ou")
    ('Clio', 'Clio, Captur ou Kadjar')
    """
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end
