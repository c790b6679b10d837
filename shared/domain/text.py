"""Folding of free text, so that spellings of the same name compare equal."""

import re
import unicodedata
from functools import lru_cache

_NOT_ALPHANUMERIC = re.compile(r"[^0-9a-z]+")


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """Lower case, without accents, every other sign a single space.

    >>> fold("  Citroën C4-Picasso ")
    'citroen c4 picasso'
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return _NOT_ALPHANUMERIC.sub(" ", without_accents).strip()
