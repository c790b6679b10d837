"""Words of a title that name no car, and brands written in one word with the model."""

import re

from shared.vehicles.catalogue import Catalogue

_NOISE = frozenset({
    "a", "affaire", "auto", "automobile", "beau", "bel", "belle", "bon", "bonne", "cherche", "je",
    "joli", "jolie", "la", "le", "ma", "magnifique", "main", "marque", "modele", "mon", "neuf",
    "neuve", "new", "nouveau", "nouvelle", "occasion", "premiere", "propre", "super", "superbe",
    "top", "tres", "type", "un", "une", "urgence", "urgent", "vehicule", "vend", "vendre", "vends",
    "vente", "voiture", "voitures", "vrai", "vraie", "ww",
})  # fmt: skip
"""Words before the name of a car."""
_FUELS = frozenset({
    "automatique", "cdi", "crdi", "dci", "diesel", "electrique", "essence", "gasoil", "hdi",
    "hybride", "manuelle", "tdci", "tdi",
})  # fmt: skip
"""Words of fuels, engines and gearboxes that every brand has."""
PLACEHOLDERS = frozenset({
    "autre", "autres", "autre marque", "autres marques", "aucune", "divers", "inconnu", "inconnue",
    "marque", "n a", "na", "non renseigne", "none", "null", "other", "others", "toutes marques",
    "undefined", "unknown",
})  # fmt: skip
"""Texts that stand where a brand is not given."""
_YEAR = re.compile(r"(?:19[5-9]|20[0-4])\d")
_MIN_BRAND = 2
_SWAPPED_KEYS = str.maketrans("aqzw", "qawz")


def without_noise(text: str) -> str:
    """The text from its first word that may name a car; blank if there is none.

    >>> without_noise("vends belle golf 7"), without_noise("a 180")
    ('golf 7', 'a 180')
    """
    words = text.split(" ")
    while words and words[0] in _NOISE and not _is_letter_of_class(words):
        del words[0]
    return " ".join(words)


def _is_letter_of_class(words: list[str]) -> bool:
    """Whether the words begin with "a 180", a Mercedes-Benz."""
    return words[0] == "a" and len(words) > 1 and words[1].isdigit()


def names_no_model(text: str) -> bool:
    """Whether a text is blank or has no words but a year, a fuel and the like.

    >>> names_no_model("diesel 2018"), names_no_model("clio diesel")
    (True, False)
    """
    return all(
        word in _NOISE or word in _FUELS or _YEAR.fullmatch(word) is not None
        for word in text.split()
    )


def without_year(text: str) -> str:
    """The text behind a year that it begins with: "2008 clio" is no Peugeot; or else the text."""
    first, _, rest = without_noise(text).partition(" ")
    return without_noise(rest) if rest and _YEAR.fullmatch(first) else text


def without_repeats(text: str) -> str:
    """The text without words that repeat the one before.

    >>> without_repeats("clio clio 4")
    'clio 4'
    """
    words = text.split(" ")
    kept = [
        word
        for place, word in enumerate(words)
        if place == 0 or word != words[place - 1] or len(word) == 1 or word.isdigit()
    ]
    return text if len(kept) == len(words) else " ".join(kept)


def join_names(company: str, model: str) -> str:
    """Both texts as one, without what one repeats of the other.

    >>> join_names("golf 7", "golf"), join_names("golf", "golf 7"), join_names("clio", "4")
    ('golf 7', 'golf 7', 'clio 4')
    """
    for longer, shorter in ((model, company), (company, model)):
        if f"{longer} ".startswith(f"{shorter} "):
            return longer
    return without_repeats(f"{company} {model}")


def glued_brands(catalogue: Catalogue, text: str) -> list[tuple[str, str]]:
    """Brands that the first word begins with, and the rest of the text, longest first.

    >>> from shared.vehicles.catalogue import catalogue
    >>> glued_brands(catalogue(), "vwgolf 7")
    [('volkswagen', 'golf 7')]
    """
    end = len(text.partition(" ")[0])
    spellings = catalogue.brand_spellings
    return [
        (spellings[text[:length]], text[length:])
        for length in range(min(end - 1, catalogue.longest_brand), _MIN_BRAND - 1, -1)
        if text[:length] in spellings
    ]


def swap_keys(text: str) -> str:
    """The text typed on an AZERTY keyboard that is set to QWERTY, or the other way round.

    >>> swap_keys("dqciq")
    'dacia'
    """
    return text.translate(_SWAPPED_KEYS)
