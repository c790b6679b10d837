"""Separators of numbers and of lists, by language."""

from typing import Final

from shared.i18n.languages import RIGHT_TO_LEFT, Language

GROUPS: Final[dict[Language, str]] = {"fr": "\N{NARROW NO-BREAK SPACE}", "ar": ".", "en": ","}
"""Between thousands. Arabic as in Morocco: Latin digits, with the separators of Spanish."""
DECIMALS: Final[dict[Language, str]] = {"fr": ",", "ar": ",", "en": "."}
COMMA: Final[dict[Language, str]] = {"fr": ", ", "ar": "، ", "en": ", "}
"""Between the words of a list."""
COLON: Final[dict[Language, str]] = {"fr": " : ", "ar": ": ", "en": ": "}
MINUS: Final = "\N{MINUS SIGN}"
_LEFT_TO_RIGHT: Final = "\N{LEFT-TO-RIGHT MARK}"
_SWAPPED: Final = {
    language: str.maketrans({",": GROUPS[language], ".": DECIMALS[language]}) for language in GROUPS
}


def group(value: float, decimals: int, language: Language) -> str:
    """A number with the thousands and decimal separators of a language.

    >>> group(1234567.4, 0, "en"), group(1600.5, 1, "ar")
    ('1,234,567', '1.600,5')
    """
    return f"{value:,.{decimals}f}".translate(_SWAPPED[language])


def sign(value: float, language: Language, *, signed: bool = False) -> str:
    """The sign of a number: a minus; with `signed`, a plus of a positive one.

    In Arabic text, a mark keeps the sign to the left of its number.
    """
    shown = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return _LEFT_TO_RIGHT + shown if shown and language in RIGHT_TO_LEFT else shown
