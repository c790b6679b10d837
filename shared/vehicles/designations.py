"""Designations that are no names: "320 d" is a BMW Série 3, "C 220 CDI" a Mercedes Classe C."""

import re

BMW, LEXUS, MERCEDES = "bmw", "lexus", "mercedes benz"
_SERIES = re.compile(r"(?:serie |series )?(\d)(?: ?series| ?serie| ?er)\b")
_SERIES_DIGITS = re.compile(
    r"(?:series? |m)?([1-8])(?:14|15|16|18|20|23|24|25|28|30|33|35|38|40|44|45|50|60)(?!\d)"
)
_SERIES_CLASS = re.compile(r"(?:classe|class|klasse) ([1-8])\b")
_SERIES_LETTER = re.compile(r"series? ([imxz]\d)\b")
_LEXUS = re.compile(r"([a-z]{2}) ?\d{3}[a-z]{0,2}\b")
_BMW_ALONE = re.compile(
    r"(?:1(?:14|16|18|20|23|25|28|30|35|40)|3(?:16|18|20|24|25|28|30|35|40)|4(?:18|20|25|28|30|35|40)"
    r"|5(?:18|20|23|24|25|28|30|35|40|45|50)|7(?:25|28|30|35|40|45|50|60)) ?"
    r"(?:[deix]|xd|xi|da|ia|ci|cd|ti|td|tds|ld|li)\b"
)
"""Designations that no other brand has; "220 d" may be a Mercedes-Benz."""
_MERCEDES_ALONE = re.compile(
    r"(?:[abcegsv] ?(?:1[4-9]0|2[0-9]0|[3-6][0-9]0|43|45|53|55|63|65)(?:[a-z]{1,3})?(?! ?\d{3})"
    r"|(?:sl|gls?) ?\d{3}|cl[acks]|gl[abcek]|sl[ck]|ml)(?: ?\d{2,3}[a-z]{0,3})?\b"
)
_SPACED_CLASS = re.compile(
    r"(?:(?:classe|class|klasse) )?(?:(c) ?l ?([aks])|(g) ?l ?([abceks])|(s) ?l ?([ck]))\b"
)
"""A class of three letters with spaces between them, as "c l a" or "gl e"."""
_CLASS = re.compile(
    r"(?:(?P<word>classe|class|klasse) )?(?:amg )?(?P<letters>[a-z]{1,3})(?![a-z]) ?"
    r"(?:(?P<after>classe|class|klasse)\b ?)?(?P<number>\d{2,3}(?:\.\d)?(?! ?\d))?"
)


def designated(company: str, model: str) -> str | None:
    """The model that a designation at the start of `model` belongs to; None if there is none.

    >>> designated("bmw", "320 d pack m"), designated("mercedes benz", "c220 cdi")
    ('serie 3', 'classe c')
    >>> designated("lexus", "rx450h")
    'rx'
    """
    if company == BMW:
        if (letter := _SERIES_LETTER.match(model)) is not None:
            return letter[1]
        patterns = (_SERIES, _SERIES_CLASS, _SERIES_DIGITS)
        found = next(filter(None, (each.match(model) for each in patterns)), None)
        return f"serie {found[1]}" if found else None
    if company == MERCEDES:
        return _mercedes_class(model)
    if company == LEXUS and (found := _LEXUS.match(model)) is not None:
        return found[1]
    return None


def designated_brand(text: str) -> str | None:
    """The brand whose designation a text without a brand begins with; None if several may be meant.

    >>> designated_brand("c220 cdi"), designated_brand("118 d"), designated_brand("220 d")
    ('mercedes benz', 'bmw', None)
    """
    if _BMW_ALONE.match(text):
        return BMW
    return MERCEDES if _MERCEDES_ALONE.match(text) else None


def _mercedes_class(model: str) -> str | None:
    if (spaced := _SPACED_CLASS.match(model)) is not None:
        first, last = (letter for letter in spaced.groups() if letter)
        return f"classe {first}l{last}"
    found = _CLASS.match(model)
    if found is None:
        return None
    letters = found["letters"]
    # A single letter is a class only with the word or a number: "b 180", but not "b rouge".
    is_class = found["word"] or found["after"] or found["number"] or found[0] == model
    return f"classe {letters}" if is_class or len(letters) > 1 else None
