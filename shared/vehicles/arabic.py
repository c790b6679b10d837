"""Latin names of brands and models written in Arabic."""

from functools import cache

from shared.domain.names import ARABIC_BRANDS, ARABIC_MODELS

_MAX_WORDS = 3


def to_latin(text: str) -> str:
    """Replace the known Arabic names in a folded text; other words stay.

    >>> to_latin("رونو كليو 4"), to_latin("clio 4")
    ('renault clio 4', 'clio 4')
    """
    if text.isascii():
        return text
    names = _latin_names()
    words, latin = text.split(" "), []
    while words:
        for length in range(min(_MAX_WORDS, len(words)), 0, -1):
            written = " ".join(words[:length])
            if length == 1 or written in names:
                latin.append(names.get(written, written))
                del words[:length]
                break
    return " ".join(latin)


@cache
def _latin_names() -> dict[str, str]:
    return ARABIC_MODELS | ARABIC_BRANDS
