"""Numbers, amounts, dates and lists of words as the language of a page writes them.

Each function takes the language as `language`; without it, it is that of the page that answers the
current request, and French outside of a request.
"""

import datetime as dt
import re
from collections.abc import Sequence
from functools import reduce
from typing import Final, Literal

from babel.dates import format_datetime as babel_datetime
from flask import has_request_context

from api.pages.language import page_language
from shared.i18n.catalogue import (
    mark,
    mark_in_context,
    translate,
    translate_in_context,
    translate_plural,
)
from shared.i18n.languages import DEFAULT_LANGUAGE, Language
from shared.i18n.numbers import COMMA, group, sign

THIN_SPACE = "\u202f"
"""Narrow no-break space: in French, between thousands and before `%`, `:` and similar signs."""
NO_BREAK_SPACE = "\u00a0"
MINUS = "\u2212"
APOSTROPHE = "\u2019"
CENTIMES_PER_MILLION_MAD = 10_000
"""Dirhams in a million centimes."""

LOCALES: Final[dict[Language, str]] = {"fr": "fr", "ar": "ar_MA", "en": "en"}
"""Names of months as in Morocco."""
DATES: Final[dict[Language, str]] = {"fr": "dd/MM/y", "ar": "d MMMM y", "en": "d MMM y"}
TIMES: Final[dict[Language, str]] = {"fr": "{} 'à' HH:mm", "ar": "{}، HH:mm", "en": "{}, HH:mm"}

_ELISION = re.compile(r"(?<=\w)'(?=\w)")
_SPACED_PUNCTUATION = re.compile(r" (?=[;:?!»%])|(?<=«) ")
_LISTS: Final = {"and": mark("{first} and {last}"), "or": mark("{first} or {last}")}


def typographic(text: str, language: Language | None = None) -> str:
    """French with typographic apostrophes and spaces before punctuation; others unchanged.

    >>> typographic("L'année est obligatoire ; attendu : 2020.")
    'L\u2019année est obligatoire\u202f; attendu\u202f: 2020.'
    """
    if (language or _page_language()) != "fr":
        return text
    return _SPACED_PUNCTUATION.sub(THIN_SPACE, _ELISION.sub(APOSTROPHE, text))


def format_number(value: float, decimals: int = 0, language: Language | None = None) -> str:
    """A number with the separators of the language.

    >>> format_number(1234567.4), format_number(-1600.5, 1)
    ('1\u202f234\u202f567', '\u22121\u202f600,5')
    >>> format_number(1234567.4, language="ar")
    '1.234.567'
    """
    language = language or _page_language()
    text = group(abs(value), decimals, language)
    negative = value < 0 and any(char in "123456789" for char in text)
    return sign(-1, language) + text if negative else text


def format_percent(
    percent: float, decimals: int = 0, language: Language | None = None, *, signed: bool = False
) -> str:
    """A percentage, with its sign also if it is positive.

    >>> format_percent(12.4), format_percent(12.4, language="en", signed=True)
    ('12\u202f%', '+12%')
    """
    language = language or _page_language()
    number = format_number(percent, decimals, language)
    plus = sign(percent, language, signed=True) if signed and percent > 0 else ""
    return f"{plus}{number}{THIN_SPACE if language == 'fr' else ''}%"


def round_price(price_mad: float) -> int:
    """A price rounded to the nearest hundred, the precision of an estimate.

    >>> round_price(187_342.18)
    187300
    """
    return round(price_mad / 100) * 100


def format_price(price_mad: float, language: Language | None = None) -> str:
    """A rounded price with its currency.

    >>> format_price(187_342.18), format_price(187_342.18, "en")
    ('187\u202f300\u00a0MAD', '187,300\u00a0MAD')
    """
    return format_amount(round_price(price_mad), language)


def format_amount(
    amount_mad: float, language: Language | None = None, *, signed: bool = False
) -> str:
    """An amount in whole dirhams with its currency, and with its sign also if it is positive.

    >>> format_amount(7_900, "fr", signed=True), format_amount(7_900, "en", signed=True)
    ('+7\u202f900\u00a0MAD', '+7,900\u00a0MAD')
    """
    language = language or _page_language()
    number = format_number(abs(amount_mad), 0, language)
    amount = translate_in_context("amount", _AMOUNT, language).format(amount=number)
    return sign(round(amount_mad), language, signed=signed) + amount


_AMOUNT = mark_in_context("amount", "{amount}\u00a0MAD")


def format_centimes(price_mad: float, language: Language | None = None) -> str:
    """A price in millions of centimes, as is usual in Morocco.

    >>> format_centimes(187_300), format_centimes(187_300, "en")
    ('18,7 millions de centimes', '18.7 million centimes')
    """
    language = language or _page_language()
    millions = round(price_mad / CENTIMES_PER_MILLION_MAD, 1)
    decimals = 0 if millions == int(millions) else 1
    text = translate_plural(
        "{number} million centimes", "{number} million centimes", int(millions), language
    )
    return text.format(number=format_number(millions, decimals, language))


def format_month(month: str, language: Language | None = None) -> str:
    """A month `YYYY-MM` in words; any other text unchanged.

    >>> format_month("2025-08"), format_month("2025-08", "ar"), format_month("2025-08", "en")
    ('août 2025', 'غشت 2025', 'August 2025')
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        return month
    first = dt.datetime.strptime(f"{month}-01", "%Y-%m-%d").astimezone()
    return babel_datetime(first, "MMMM y", locale=LOCALES[language or _page_language()])


def format_date(at: float, language: Language | None = None) -> str:
    """A Unix time as a day, in the time zone of this machine.

    >>> format_date(1786000000.0), format_date(1786000000.0, "en")
    ('06/08/2026', '6 Aug 2026')
    """
    language = language or _page_language()
    return _format_time(at, DATES[language], language)


def format_datetime(at: float, language: Language | None = None) -> str:
    """A Unix time as date and time of day, in the time zone of this machine.

    >>> format_datetime(1786000000.0)[:13]
    '06/08/2026 à '
    """
    language = language or _page_language()
    return _format_time(at, TIMES[language].format(DATES[language]), language)


def join_words(
    words: Sequence[str],
    last: Literal["and", "or"] = "and",
    language: Language | None = None,
) -> str:
    """A list in words.

    >>> join_words(["Clio"]), join_words(["Clio", "Captur", "Kadjar"], "or")
    ('Clio', 'Clio, Captur ou Kadjar')
    >>> join_words(["Clio", "Captur", "Kadjar"], "or", "ar")
    'Clio أو Captur أو Kadjar'
    """
    language = language or _page_language()
    *first, end = words
    if not first:
        return end
    text = translate(_LISTS[last], language)
    if language == "ar":  # Arabic repeats the word where others have a comma
        return reduce(lambda before, word: text.format(first=before, last=word), words)
    return text.format(first=COMMA[language].join(first), last=end)


def _format_time(at: float, pattern: str, language: Language) -> str:
    moment = dt.datetime.fromtimestamp(at).astimezone()
    return babel_datetime(moment, pattern, tzinfo=moment.tzinfo, locale=LOCALES[language])


def _page_language() -> Language:
    return page_language() if has_request_context() else DEFAULT_LANGUAGE
