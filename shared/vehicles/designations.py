"""Designations of BMW and Mercedes-Benz cars: "320 d" is a Série 3, "C 220 CDI" a Classe C."""

import re

BMW, MERCEDES = "bmw", "mercedes benz"
_SERIES = re.compile(r"(?:serie |series )?(\d)(?: ?series| ?serie| ?er)\b")
_SERIES_DIGITS = re.compile(r"(?:serie |series |m)?(\d)[1-9][058] ?(?:[a-z]{1,3}\b)?")
_CLASS = re.compile(
    r"(?:(?P<word>classe|class|klasse) )?(?:amg )?(?P<letters>[a-z]{1,3})(?![a-z]) ?"
    r"(?:(?P<after>classe|class|klasse)\b ?)?(?P<number>\d{2,3}(?:\.\d)?(?! ?\d))?"
)


def designated(company: str, model: str) -> str | None:
    """The model that a designation at the start of `model` belongs to; None if there is none.

    >>> designated("bmw", "320 d pack m"), designated("mercedes benz", "c220 cdi")
    ('serie 3', 'classe c')
    """
    if company == BMW:
        found = _SERIES.match(model) or _SERIES_DIGITS.match(model)
        return f"serie {found[1]}" if found else None
    if company == MERCEDES:
        return _mercedes_class(model)
    return None


def _mercedes_class(model: str) -> str | None:
    found = _CLASS.match(model)
    if found is None:
        return None
    letters = found["letters"]
    # A single letter is a class only with the word or a number: "b 180", but not "b rouge".
    is_class = found["word"] or found["after"] or found["number"] or found[0] == model
    return f"classe {letters}" if is_class or len(letters) > 1 else None
