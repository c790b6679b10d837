"""Folding of free text, so that spellings of the same name compare equal."""

import re
import unicodedata
from functools import lru_cache

CACHED_MAX_CHARS = 80
"""Names are shorter. Longer texts come from mistakes and attacks: they are never kept."""
CACHED_TEXTS = 32_768
_NOT_ALPHANUMERIC = re.compile(r"[^0-9a-z]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_STRETCH_MARK = "\N{ARABIC TATWEEL}"


def fold(text: str) -> str:
    """Lower case, without accents, every other character a single space.

    >>> fold("  Citroën C4-Picasso ")
    'citroen c4 picasso'
    """
    return _fold_short(text) if len(text) <= CACHED_MAX_CHARS else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():  # nothing to take apart: a third of the time
        return _NOT_ALPHANUMERIC.sub(" ", text.lower()).strip()
    return _NOT_ALPHANUMERIC.sub(" ", _without_accents(text)).strip()


def fold_script(text: str) -> str:
    """As `fold`, for texts in letters that are not Latin: its own letters and digits stay.

    Vowel signs, the stretch mark and the forms of alif, which few writers tell apart, are left
    out.

    >>> fold_script("دَاسِيـا"), fold_script("أودي")
    ('داسيا', 'اودي')
    """
    return _NOT_A_LETTER.sub(" ", _without_accents(text).replace(_STRETCH_MARK, "")).strip()


def _without_accents(text: str) -> str:
    """Lower case, taken apart, marks left out."""
    # Twice: what is taken apart may be a capital ("\N{MATHEMATICAL BOLD CAPITAL A}" becomes "A").
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in text if not unicodedata.combining(character))


_fold_short = lru_cache(maxsize=CACHED_TEXTS)(_fold)
