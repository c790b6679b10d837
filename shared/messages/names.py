"""Spelling of folded names (brands, models, trims, cities) for people."""

import re

_SPELLINGS = {
    "bmw": "BMW", "byd": "BYD", "citroen": "Citroën", "cr v": "CR-V", "dfsk": "DFSK", "ds": "DS",
    "gwm": "GWM", "hr v": "HR-V", "ssangyong": "SsangYong", "mercedes benz": "Mercedes-Benz",
    "rolls royce": "Rolls-Royce", "serie": "Série", "megane": "Mégane", "scenic": "Scénic",
    "elysee": "Élysée", "rav4": "RAV4", "fes": "Fès", "kenitra": "Kénitra", "meknes": "Meknès",
    "sale": "Salé", "tetouan": "Tétouan",
}  # fmt: skip
_SHORT_WORDS = frozenset(
    {"fox", "gol", "ka", "kia", "mii", "one", "rio", "uno", "up", "fe", "zoe", "mx", "van"}
)
MAX_ABBREVIATION_CHARS = 3
_LETTER_PREFIX = re.compile(r"^([a-z]) (?=[a-z])")
_LOWER_CASE_MODEL = re.compile(r"(i|ix)\d+")


def format_name(folded: str) -> str:
    """A folded brand, model or city in its usual spelling.

    >>> format_name("mercedes benz"), format_name("x trail"), format_name("classe gla")
    ('Mercedes-Benz', 'X-Trail', 'Classe GLA')
    >>> format_name("kia"), format_name("grand i10"), format_name("serie 3")
    ('Kia', 'Grand i10', 'Série 3')
    """
    if folded in _SPELLINGS:
        return _SPELLINGS[folded]
    words = _LETTER_PREFIX.sub(r"\1-", folded).split(" ")
    return " ".join(_format_word(word) for word in words)


def format_city(folded: str) -> str:
    """A folded city in its usual spelling.

    >>> format_city("el jadida"), format_city("fes"), format_city("ait melloul")
    ('El Jadida', 'Fès', 'Ait Melloul')
    """
    return " ".join(_SPELLINGS.get(word, word.title()) for word in folded.split(" "))


def _format_word(word: str) -> str:
    if word in _SPELLINGS:
        return _SPELLINGS[word]
    if _LOWER_CASE_MODEL.fullmatch(word):
        return word
    if len(word) <= MAX_ABBREVIATION_CHARS and word not in _SHORT_WORDS:
        return word.upper()
    return "-".join(
        _SPELLINGS.get(part, part.upper() if part == "hr" else part.capitalize())
        for part in word.split("-")
    )
