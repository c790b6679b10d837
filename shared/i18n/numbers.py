"""Separators of numbers and of lists, by language."""

from typing import Final

from shared.i18n.languages import Language

GROUPS: Final[dict[Language, str]] = {"fr": "\N{NARROW NO-BREAK SPACE}", "ar": ".", "en": ","}
"""Between thousands. Arabic as in Morocco: Latin digits, with the separators of Spanish."""
DECIMALS: Final[dict[Language, str]] = {"fr": ",", "ar": ",", "en": "."}
COMMA: Final[dict[Language, str]] = {"fr": ", ", "ar": "، ", "en": ", "}
"""Between the words of a list."""
_SWAPPED: Final = {
    language: str.maketrans({",": GROUPS[language], ".": DECIMALS[language]}) for language in GROUPS
}


def group(value: float, decimals: int, language: Language) -> str:
    """A number with the thousands and decimal separators of a language.

    >>> group(1234567.4, 0, "en"), group(1600.5, 1, "ar")
    ('1,234,567', '1.600,5')
    """
    return f"{value:,.{decimals}f}".translate(_SWAPPED[language])
