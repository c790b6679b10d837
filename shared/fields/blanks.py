"""Texts that say that there is no value."""

import re
from functools import lru_cache
from typing import Any

from shared.domain.names import clean_text, fold, fold_script

_EMPTY = re.compile(
    r"[\s'\"\u00b4`]*(?:[-\u2010-\u2015\u2212\u2500_]+|\.+|\u2026|\?+|/+|\*+)?[\s'\"]*"
)
"""Nothing, or one mark repeated: "", "--", "...", "???"."""

_NULLS = frozenset({
    "n/a", "n.a.", "n.a", "na", "nan", "null", "none", "nil", "nat", "\\n", "<na>", "<n/a>",
    "<null>", "<none>", "<nan>", "(null)", "(none)", "(na)", "[null]", "n.c.", "n.c", "n/c",
    "n.d.", "n.d", "n/d", "n.r.", "n/r", "k.a.", "k. a.", "s/o", "-1.#ind", "1.#qnan", "-nan",
    "(vide)", "(vides)", "<vide>", "(blank)", "(blanks)", "(empty)", "<empty>", "(leer)", "<leer>",
    "(فارغ)", "undefined", "#null",
})  # fmt: skip
"""What databases, programs and clerks write; none is a name."""

_SHEET_ERRORS = re.compile(
    r"#(?:n/?[ad]|nv|ref|rif|bezug|valeur|value|wert|val|valor|div/0|nom|name|nombre|nombre\?|nom\?"
    r"|name\?|num|nombre|zahl|null|nul|calc|spill|epars|propagation|getting_data|field|champ"
    r"|blocked|connect|error|erreur|busy|unknown|####*)?[!?]*|err(?:or)?:\d{3}|#+"
)
"""Error cells of spreadsheets in several languages."""

_PHRASES = re.compile(
    r"(?:(?:information|info|valeur|donnee|value|data)s? )?"
    r"(?:(?:non|pas) (?:renseigne|specifie|precise|indique|disponible|communique|defini|connu"
    r"|applicable|mentionne|determine|fourni)e?s?"
    r"|not (?:specified|available|applicable|known|given|provided|stated|set|disclosed|defined)"
    r"|(?:unspecified|unknown|missing|unavailable)"
    r"|inconnue?s?|indisponible|indetermine(?:e|s)?|aucune?|neant|sans objet|vide"
    r"|a (?:renseigner|completer|preciser|definir)|tbd|tba|no (?:data|value|info)"
    r"|keine angabe(?:n)?|nicht (?:angegeben|bekannt|verfugbar)|unbekannt|ohne angabe|leer"
    r"|sin (?:especificar|datos)|desconocido|non (?:specificato|disponibile))"
)
"""Sentences that no brand or model is named after, folded."""

_ARABIC_PHRASES = frozenset({  # as `fold_script` returns them
    "غير محدد", "غير محددة", "غير معروف", "غير معروفة", "غير متوفر", "غير متوفرة", "غير متاح",
    "غير مذكور", "مجهول", "لا يوجد", "لا شيء", "فارغ", "بدون",
})  # fmt: skip

_WORDS = frozenset({
    "nc", "nd", "nr", "ns", "ne", "so", "ka", "x", "xx", "xxx", "autre", "autres", "other",
    "others", "sonstige", "sonstiges", "andere", "otro", "altro", "divers", "اخرى", "اخر",
    "tous", "toutes", "all", "any", "choisir", "selectionner", "select",
})  # fmt: skip
"""Words that mean no value in a number or category, but may be part of a name."""

BLANK_MAX_CHARS = 60
"""Longer texts say something."""


def is_blank(value: Any) -> bool:
    """Whether a value is missing in every field: None, or a text like "", "N/A" and "#REF!".

    >>> [is_blank(text) for text in ("-", "n.c.", "Non renseigné", "#VALEUR!", "NC", "0")]
    [True, True, True, True, False, False]
    """
    if not isinstance(value, str):
        return value is None
    return len(value) <= BLANK_MAX_CHARS and _says_nothing(value)


def is_blank_word(value: str) -> bool:
    """Whether a text is a word that means no value where no name is expected.

    >>> is_blank_word("NC"), is_blank_word("Autre"), is_blank_word("Diesel")
    (True, True, False)
    """
    if len(value) > BLANK_MAX_CHARS:
        return False
    return (fold(value) or fold_script(value)) in _WORDS


@lru_cache(maxsize=16_384)
def _says_nothing(text: str) -> bool:
    plain = clean_text(text)
    if _EMPTY.fullmatch(plain):
        return True
    written = plain.strip().casefold()
    if written in _NULLS or (written[0] in "#e" and _SHEET_ERRORS.fullmatch(written)):
        return True
    folded = fold(plain)
    return _PHRASES.fullmatch(folded) is not None or (
        not folded and fold_script(plain) in _ARABIC_PHRASES
    )
