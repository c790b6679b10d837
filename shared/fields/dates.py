"""Finds the year in a date, in any form that leaves no doubt about the year."""

import re
from datetime import UTC, datetime

from shared.domain.names import by_spelling, plain_text
from shared.fields.quantities import SEVERAL_VALUES, UnreadableQuantity

_CENTURY = 100
_MONTHS, _DAYS = 12, 31

MONTH_NAMES = by_spelling(
    {
        1: "janvier, january, januar, janner, enero, gennaio, janeiro, janv, jan, ene, gen, يناير, "
        "كانون الثاني, جانفي",
        2: "fevrier, february, februar, feber, febrero, febbraio, fevereiro, fevr, fev, feb, "
        "فبراير, شباط, فيفري",
        3: "mars, march, marz, maerz, marzo, marco, mar, mrz, mrs, مارس, اذار",
        4: "avril, april, abril, aprile, avr, apr, abr, ابريل, نيسان, افريل",
        5: "mai, may, mayo, maggio, maio, mag, ماي, مايو, ايار",
        6: "juin, june, juni, junio, giugno, junho, jun, giu, يونيو, حزيران, جوان",
        7: "juillet, july, juli, julio, luglio, julho, juil, jul, lug, يوليو, يوليوز, تموز, جويلية",
        8: "aout, august, agosto, aug, aou, ago, غشت, اغسطس, اب, اوت",
        9: "septembre, september, septiembre, settembre, setembro, sept, sep, set, شتنبر, سبتمبر, "
        "ايلول",
        10: "octobre, october, oktober, octubre, ottobre, outubro, oct, okt, ott, out, اكتوبر",
        11: "novembre, november, noviembre, novembro, nov, نونبر, نوفمبر",
        12: "decembre, december, dezember, diciembre, dicembre, dezembro, dec, dez, dic, دجنبر, "
        "ديسمبر",
    }
)
"""Months by their names and abbreviations, as `plain_text` writes them."""

_NOISE = frozenset({
    "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche", "lun", "mer", "jeu",
    "ven", "sam", "dim", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    "sunday", "mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun", "montag",
    "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "mo", "di", "mi", "do",
    "fr", "sa", "so", "الاثنين", "الثلاثاء", "الاربعاء", "الخميس", "الجمعة", "السبت", "الاحد",
    "annee", "an", "modele", "model", "year", "my", "date", "de", "du", "of", "the", "le", "la",
    "en", "mise", "circulation", "premiere", "1ere", "mec", "immatriculation", "immatricule",
    "immatriculee", "registration", "registered", "reg", "first", "ez", "erstzulassung", "baujahr",
    "bj", "jahr", "vom", "am", "سنة", "عام", "موديل", "er", "ere", "st", "nd", "rd", "th", "eme",
    "ieme", "anno", "del", "ano",
})  # fmt: skip
"""Words around a date that do not change it; days of the week among them."""

_TIME = re.compile(
    r"(?:[ ,]+|(?<=\d)t)(?:a |at |um )?\d{1,2}(?:[:h]\d{2}(?:[:m]\d{2}(?:[.,]\d+)?s?)?|h)"
    r"\s*(?:[ap]\.?m\.?)?\s*(?:z|utc|gmt)?\s*(?:[+-]\d{2}(?::?\d{2})?)?(?:\[[^\]]*\]| ?\([^)]*\))?$"
)
_YEAR_FIRST = re.compile(
    r"(\d{4})(?:[-/](\d{1,2})|[. ](\d{2}))|(\d{4})(?P<sign>[-/. ])(\d{1,2})(?P=sign)(\d{1,2})"
)
_YEAR_LAST = re.compile(r"(?:(\d{1,2})[-/. ])?(\d{1,2})[-/. ](\d{4})")
_SHORT_YEAR_LAST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{2})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{4}|\d{6})?")
_COMPACT_YEAR_LAST = re.compile(r"(\d{2})(\d{2})(\d{4})")
_QUARTER = re.compile(
    r"(?:[qt][1-4]|[1-4](?:er|e|eme|st|nd|rd|th)? (?:trimestre|quarter))[ /-]+(\d{4})"
    r"|(\d{4})[ /-]?[qt][1-4]"
)
_ZONE = re.compile(r"(?<=\d{4}-\d{2}-\d{2})(?:z|[+-]\d{2}(?::\d{2})?)$")
"""The time zone that XML writes behind a date without time: "2018-03-15+01:00"."""
_PLATE = re.compile(r"(\d{4}) ?\(\d{2}(?: (?:reg|plate))?\)")
_TOKENS = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")
_YEARS = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d)")
_OLDER = re.compile(
    r"(?:(?P<year>\d{4}) (?:(?:ou|et|and|or|und|oder) )?(?:plus (?:ancien(?:ne)?s?|vieux)|older"
    r"|earlier|avant|before|anterieure?s?|moins|alter|(?:plus )?tot|اقدم|او اقدم|وما قبل))"
    r"|(?:avant|before|vor|anterieure? a|<=?|قبل) ?(?P<before>\d{4})"
)
_AROUND = re.compile(r"(?P<before>\D*?)[ .,:'(-]*(?P<date>\d(?:.*\d)?)(?P<after>\D*)")
_WORD = re.compile(r"[^\W\d_]+")
_SPAN = re.compile(r"\d{4}[-/]\d{2}")
_FIRST_YEAR, _LAST_YEAR = 1900, 2099


def parse_year(text: str) -> int | None:
    """The year of a date; None if `text` is none.

    >>> parse_year("15/03/18"), parse_year("mars 2018"), parse_year("Année 2018")
    (2018, 2018, 2018)
    >>> parse_year("3/15/2018 12:00:00 AM"), parse_year("20180315"), parse_year("03/18")
    (2018, 2018, None)

    Raises:
        UnreadableQuantity: the text names several years, or a span without an exact year.
    """
    plain = _ZONE.sub("", _TIME.sub("", plain_text(text).strip("' "))).strip(" .,")
    if (older := _OLDER.fullmatch(plain)) is not None:
        return _bound(int(older["year"] or 0) or int(older["before"]) - 1)
    if (found := _QUARTER.fullmatch(plain) or _PLATE.fullmatch(plain)) is not None:
        return int(found[1] or found[2])
    year = _numeric(_without_noise(plain))
    if year is None:
        year = _named(plain)
    if year is None and (len(set(_YEARS.findall(plain))) > 1 or _SPAN.fullmatch(plain)):
        raise UnreadableQuantity(SEVERAL_VALUES)
    return year


def _bound(year: int) -> int:
    """The year of "1980 or older", which is too old itself; a younger one is no exact year."""
    if year >= MIN_YEAR:
        raise UnreadableQuantity(SEVERAL_VALUES)
    return year


MIN_YEAR = 1990
"""The oldest year that is valued."""


def _without_noise(plain: str) -> str:
    """The date without the words before and behind it; empty if one of them has a meaning."""
    found = _AROUND.fullmatch(plain)
    if found is None or not _NOISE.issuperset(
        _WORD.findall(found["before"] + " " + found["after"])
    ):
        return ""
    return found["date"]


def _numeric(text: str) -> int | None:
    """The year of a date in digits; None if there is none, or its month or day is impossible."""
    if len(text) == len("2018") and text.isdecimal():
        return int(text)
    return _separated(text) or _compact(text)


def _separated(text: str) -> int | None:
    """The year of "2018-03-15", "15/03/2018", "03.2018" and "15/03/18"."""
    if (found := _YEAR_FIRST.fullmatch(text)) is not None:
        if found[4] is None:
            return int(found[1]) if _is_day(int(found[2] or found[3]), 1) else None
        month, day = int(found[6]), int(found[7])
        # Databases write zeros where month or day is not known.
        return int(found[4]) if _is_either(month or 1, day or 1) else None
    if (found := _YEAR_LAST.fullmatch(text)) is not None:
        day, month = int(found[1] or 1), int(found[2])
        return int(found[3]) if _is_day(month, day) or (found[1] and _is_day(day, month)) else None
    if (found := _SHORT_YEAR_LAST.fullmatch(text)) is not None:
        is_date = _is_either(int(found[1]), int(found[2]))
        return _with_century(int(found[3])) if is_date else None
    return None


def _compact(text: str) -> int | None:
    """The year of "20180315", also with a time, and "15032018"."""
    if (found := _COMPACT.fullmatch(text)) is not None:
        year = int(found[1])
        if _is_year(year) and _is_day(int(found[2]), int(found[3])):
            return year
    if (found := _COMPACT_YEAR_LAST.fullmatch(text)) is not None:
        year = int(found[3])
        return year if _is_year(year) and _is_day(int(found[2]), int(found[1])) else None
    return None


def _is_day(month: int, day: int) -> bool:
    return 1 <= month <= _MONTHS and 1 <= day <= _DAYS


def _is_either(first: int, second: int) -> bool:
    """Whether two numbers are day and month in any order: the year is the same."""
    return _is_day(first, second) or _is_day(second, first)


def _is_year(year: int) -> bool:
    return _FIRST_YEAR <= year <= _LAST_YEAR


def _named(plain: str) -> int | None:
    """The year of a date with the name of its month: "15 mars 2018", "March 15, 2018"."""
    numbers, months = [], []
    for token in _TOKENS.findall(plain):
        if token.isdecimal():
            numbers.append(token)
        elif token in MONTH_NAMES:
            months.append(token)
        elif token[0].isalpha() and token not in _NOISE:
            return None
    if len(months) != 1 or not 1 <= len(numbers) <= 2:  # noqa: PLR2004
        return None
    *days, last = numbers if len(numbers[0]) != len("2018") else numbers[::-1]
    if days and not 1 <= int(days[0]) <= _DAYS:
        return None
    if len(last) == len("2018"):
        return int(last)
    follows = plain.rfind(last) > plain.rfind(months[0])
    return _with_century(int(last)) if len(last) == len("18") and follows else None


def _with_century(year: int) -> int:
    """The latest year with these two digits that is not after next year."""
    latest = datetime.now(UTC).year + 1
    return year + latest - latest % _CENTURY - (_CENTURY if year > latest % _CENTURY else 0)
