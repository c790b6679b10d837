"""Texts that say that there is no value."""

import re
from itertools import product
from typing import Any

from shared.domain.names import clean_text, fold, fold_script

_MARKS = re.compile(
    r"[\s'\"\u00b4`]*(?:[-\u2010-\u2015\u2212\u2500_]+|\.+|\u2026|\?+|/+|\*+|#+)?[\s'\"]*"
)
"""Nothing, or one mark repeated: "", "--", "...", "???"."""

_NULLS = frozenset({
    "n/a", "n.a.", "n.a", "na", "nan", "null", "none", "nil", "nat", "\\n", "<na>", "<n/a>",
    "<null>", "<none>", "<nan>", "(null)", "(none)", "(na)", "(n/a)", "[null]", "n.c.", "n.c",
    "n/c", "n.d.", "n.d", "n/d", "n.r.", "n/r", "k.a.", "k. a.", "s/o", "s.o.", "n / a", "n / c",
    "n/s", "n/k", "nul", "nulo", "-nan", "-1.#ind", "1.#qnan", "undefined",
})  # fmt: skip
"""What databases, programs and clerks write; none is a name."""

_SHEET_ERROR = re.compile(
    r"#(?:[\u00a1\u00bf]?[^\W\d_][\w/]{0,15}[!?]|n/[ad]|nv|ref|value|valeur|name|num|null|null!|div/0)"
)
"""Error cells of spreadsheets in any language: "#REF!", "#VALEUR!", "#NV"."""
_OFFICE_ERROR = re.compile(r"err(?:or)? \d{3}")
"""Error cells of LibreOffice, folded."""

_NOT_STATED = frozenset(
    f"{no} {stated}{ending}"
    for no, stated, ending in product(
        ("non", "pas"),
        (
            "renseigne",
            "specifie",
            "precise",
            "indique",
            "communique",
            "defini",
            "connu",
            "mentionne",
            "determine",
            "fourni",
            "disponible",
            "applicable",
            "saisi",
        ),
        ("", "e", "s", "es"),
    )
)
_PHRASES = _NOT_STATED | {
    "not specified", "not available", "not applicable", "not known", "not given", "not provided",
    "not stated", "not set", "not disclosed", "not defined", "unspecified", "unknown", "missing",
    "unavailable", "inconnu", "inconnue", "inconnus", "inconnues", "indisponible", "indetermine",
    "indeterminee", "aucun", "aucune", "neant", "sans objet", "vide", "vides", "blank", "blanks",
    "empty", "leer", "a renseigner", "a completer", "a preciser", "a definir", "tbd", "tba",
    "no data", "no value", "no info", "no information", "information non disponible",
    "donnee manquante", "donnees manquantes", "manquant", "manquante", "keine angabe",
    "keine angaben", "nicht angegeben", "nicht bekannt", "nicht verfugbar", "unbekannt",
    "ohne angabe", "sin especificar", "sin datos", "desconocido", "non specificato",
}  # fmt: skip
"""Sentences that no brand or model is named after, folded."""

_ARABIC_PHRASES = frozenset(map(fold_script, (
    "غير محدد", "غير محددة", "غير معروف", "غير معروفة", "غير متوفر", "غير متوفرة", "غير متاح",
    "غير مذكور", "مجهول", "لا يوجد", "لا شيء", "فارغ", "بدون",
)))  # fmt: skip

_WORDS = frozenset({
    "nc", "nd", "nr", "ns", "so", "ka", "x", "xx", "xxx", "autre", "autres", "other", "others",
    "sonstige", "sonstiges", "andere", "otro", "altro", "divers", "tous", "toutes",
    "all", "any", "choisir", "selectionner", "select",
    *map(fold_script, ("أخرى", "آخر")),
})  # fmt: skip
"""Words that mean no value in a number or category, but may be part of a name; folded."""

_DIGIT = re.compile("[0-9]")

BLANK_MAX_CHARS = 60
"""Longer texts say something."""


def is_blank(value: Any) -> bool:
    """Whether a value is missing in every field: None, or a text like "", "N/A" and "#REF!".

    >>> [is_blank(text) for text in ("-", "n.c.", "Non renseigné", "#VALEUR!", "NC", "0")]
    [True, True, True, True, False, False]
    """
    if not isinstance(value, str):
        return value is None
    if len(value) > BLANK_MAX_CHARS:
        return False
    written = value.strip().lower()
    if _is_null(written):
        return True
    if not value.isascii() and _is_null(written := clean_text(value).strip().lower()):
        return True
    # No phrase holds a digit. Folding takes longest, and most cells that are no number hold one.
    if _DIGIT.search(written) is not None and "err" not in written:
        return False
    return _is_phrase(value, written)


def _is_null(written: str) -> bool:
    """Whether a text, in lower case, is what a program writes for no value."""
    if written in _NULLS:
        return True
    return written[:1] == "#" and _SHEET_ERROR.fullmatch(written) is not None


def _is_phrase(value: str, written: str) -> bool:
    """Whether a text says in words or marks that there is no value.

    Args:
        value: the text.
        written: cleaned, in lower case.
    """
    folded = fold(value)
    if not folded:
        return _MARKS.fullmatch(written) is not None or fold_script(written) in _ARABIC_PHRASES
    if folded in _PHRASES:
        return True
    if value.isascii():
        return folded.startswith("err") and _OFFICE_ERROR.fullmatch(folded) is not None
    return _MARKS.fullmatch(written) is not None


def is_blank_word(value: str) -> bool:
    """Whether a text is a word that means no value where no name is expected.

    >>> is_blank_word("NC"), is_blank_word("Autre"), is_blank_word("Diesel")
    (True, True, False)
    """
    if len(value) > BLANK_MAX_CHARS or _DIGIT.search(value) is not None:
        return False
    return (fold(value) or fold_script(value)) in _WORDS
