"""Names of models that no rule explains. All names are folded (`shared.domain.text`)."""

from collections.abc import Mapping

MODEL_ALIASES: Mapping[str, Mapping[str, str]] = {
    "alfa romeo": {"mi to": "mito", "gulietta": "giulietta"},
    "citroen": {
        "elysee": "c elysee",
        "grand c4 picasso": "c4 picasso",
        "grand picasso": "c4 picasso",
        "c4 spacetourer": "c4 picasso",
    },
    "dacia": {"stepway": "sandero", "mcv": "logan mcv"},
    "ds automobiles": {
        "3": "ds3",
        "5": "ds5",
        "7": "ds7",
        "crossback": "ds7",
    },
    "fiat": {"cinquecento": "500", "500 l": "500l", "500 x": "500x"},
    "ford": {"grand c max": "c max", "eco sport": "ecosport"},
    "hyundai": {"i 10 grand": "grand i10", "i10 grand": "grand i10"},
    "land rover": {
        "sport": "range rover sport",
        "range sport": "range rover sport",
        "rr sport": "range rover sport",
        "evoque": "range rover evoque",
        "range evoque": "range rover evoque",
        "velar": "range rover velar",
        "range velar": "range rover velar",
        "vogue": "range rover vogue",
        "range vogue": "range rover vogue",
        "range": "range rover",
    },
    "mercedes benz": {
        "glc coupe": "classe glc",
        "gle coupe": "classe gle",
        "coupe cla": "classe cla",
    },
    "mini": {"s": "cooper", "john cooper works": "cooper", "jcw": "cooper"},
    "peugeot": {"partner tepee": "tepee"},
    "porsche": {"cayene": "cayenne"},
    "renault": {
        "grand scenic": "scenic",
        "grand kangoo": "kangoo",
        "r4": "4",
        "r 4": "4",
        "r19": "19",
        "r 19": "19",
    },
    "tesla": {"3": "model 3"},
    "toyota": {"land cruiser prado": "prado", "landcruiser prado": "prado"},
    "volkswagen": {"beetle": "coccinelle"},
}
"""By company, then by the name that sellers write: the name of the statistics."""

BRAND_CORRECTIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    **{("citroen", name): ("ds automobiles", "ds3") for name in ("ds3", "ds 3")},
    **{("citroen", name): ("ds automobiles", "ds5") for name in ("ds5", "ds 5")},
    **{("citroen", name): ("ds automobiles", "ds7") for name in ("ds7", "ds 7")},
    **{
        ("renault", name): ("dacia", name)
        for name in ("dokker", "duster", "lodgy", "logan", "sandero")
    },
    ("bmw", "mini"): ("mini", "cooper"),
    ("bmw", "mini cooper"): ("mini", "cooper"),
    ("fiat", "abarth"): ("abarth", "595"),
    ("fiat", "595"): ("abarth", "595"),
    ("rover", "evoque"): ("land rover", "range rover evoque"),
    ("rover", "range rover"): ("land rover", "range rover"),
    ("rover", "range rover sport"): ("land rover", "range rover sport"),
}
"""Models that are written under another brand than the one of their statistics."""
