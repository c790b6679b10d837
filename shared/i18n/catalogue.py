"""The message catalogue: the code holds English texts, `locale/` their translations.

`make messages` collects the texts that are passed to the functions of this module and to `_` of the
templates, adds them to the `.po` files, and compiles these.
"""

from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from shared.i18n.languages import SOURCE_LANGUAGE, Language

LOCALE = Path(__file__).parent / "locale"
DOMAIN = "messages"
KEPT_TEXTS = 4096
"""Translations that are kept ready: more than the code has."""


@lru_cache(maxsize=KEPT_TEXTS)
def translate(text: str, language: Language) -> str:
    """An English text of the code in `language`.

    A text without a translation stays English; the tests allow none.
    """
    return _translations(language).gettext(text) if text else ""


def translate_plural(singular: str, plural: str, number: int, language: Language) -> str:
    """The form of a text that `number` takes in `language`; `{number}` is left in place.

    Arabic has six forms, French uses the singular for zero.
    """
    return _translations(language).ngettext(singular, plural, number)


@lru_cache(maxsize=KEPT_TEXTS)
def translate_in_context(context: str, text: str, language: Language) -> str:
    """An English text that has several meanings, in `language`: the context tells them apart."""
    return _translations(language).pgettext(context, text) if text else ""


def mark_in_context(context: str, text: str) -> str:
    """As `mark`, for `translate_in_context`."""
    del context
    return text


def mark(text: str) -> str:
    """Mark an English text for the catalogue, where it is defined but not yet translated."""
    return text


@cache
def _translations(language: Language) -> NullTranslations:
    if language == SOURCE_LANGUAGE:
        return NullTranslations()
    with (LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as compiled:
        return GNUTranslations(compiled)
