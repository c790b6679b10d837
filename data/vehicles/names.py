"""Names of brands and models: aliases, corrections, brand classes, candidates for a spelling."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from shared.domain.names import by_spelling

MODEL_ALIASES: Mapping[str, Mapping[str, str]] = {
    "alfa romeo": {"mi to": "mito", "gulietta": "giulietta"},
    "citroen": by_spelling(
        {"c elysee": "elysee", "c4 picasso": "grand c4 picasso, grand picasso, c4 spacetourer"}
    ),
    "dacia": {"stepway": "sandero", "mcv": "logan mcv"},
    "ds automobiles": by_spelling({"ds3": "3", "ds5": "5", "ds7": "7, crossback"}),
    "fiat": {"cinquecento": "500", "500 l": "500l", "500 x": "500x"},
    "ford": {"grand c max": "c max", "eco sport": "ecosport"},
    "hyundai": {"i 10 grand": "grand i10", "i10 grand": "grand i10"},
    "land rover": by_spelling(
        {
            "range rover sport": "sport, range sport, rr sport",
            "range rover evoque": "evoque, range evoque",
            "range rover velar": "velar, range velar",
            "range rover vogue": "vogue, range vogue",
            "range rover": "range",
        }
    ),
    "mercedes benz": {
        "glc coupe": "classe glc",
        "gle coupe": "classe gle",
        "coupe cla": "classe cla",
    },
    "mini": {"s": "cooper", "john cooper works": "cooper", "jcw": "cooper"},
    "peugeot": {"partner tepee": "tepee"},
    "porsche": {"cayene": "cayenne"},
    "renault": by_spelling(
        {"scenic": "grand scenic", "kangoo": "grand kangoo", "4": "r4, r 4", "19": "r19, r 19"}
    ),
    "tesla": {"3": "model 3"},
    "toyota": {"land cruiser prado": "prado", "landcruiser prado": "prado"},
    "volkswagen": {"beetle": "coccinelle"},
}
"""Name in the statistics, by company and by the name that sellers write."""

_DACIA_MODELS = ("dokker", "duster", "lodgy", "logan", "sandero")
BRAND_CORRECTIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    **{
        ("citroen", f"ds{gap}{n}"): ("ds automobiles", f"ds{n}") for n in "357" for gap in ("", " ")
    },
    **{("renault", name): ("dacia", name) for name in _DACIA_MODELS},
    ("bmw", "mini"): ("mini", "cooper"),
    ("bmw", "mini cooper"): ("mini", "cooper"),
    ("fiat", "abarth"): ("abarth", "595"),
    ("fiat", "595"): ("abarth", "595"),
    ("rover", "evoque"): ("land rover", "range rover evoque"),
    ("rover", "range rover"): ("land rover", "range rover"),
    ("rover", "range rover sport"): ("land rover", "range rover sport"),
}
"""(company, model) in the statistics, for models that sellers list under another brand."""


EXOTIC, PREMIUM, BUDGET = "exotic", "premium", "budget"

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    EXOTIC: (
        "aston martin", "bentley", "bugatti", "ferrari", "koenigsegg", "lamborghini", "lotus",
        "maserati", "maybach", "mclaren", "pagani", "porsche", "rolls royce",
    ),
    PREMIUM: (
        "acura", "alpine", "audi", "bmw", "cadillac", "genesis", "gmc", "hummer", "infiniti",
        "jaguar", "land rover", "lexus", "lincoln", "lucid", "lynk co", "mercedes benz", "nio",
        "polestar", "ram", "rivian", "tesla", "volvo", "xpeng", "zeekr",
    ),
    BUDGET: (
        "baic", "brilliance", "byd", "chana", "changan", "chery", "daewoo", "dfm", "dfsk",
        "dongfeng", "faw", "foton", "gaz", "geely", "great wall", "gwm", "hafei", "haima",
        "jac", "jmc", "lada", "lifan", "mahindra", "proton", "tata", "uaz", "wuling", "zotye",
    ),
}  # fmt: skip

BRAND_CLASSES: Mapping[str, str] = {
    brand: name for name, brands in _MEMBERS.items() for brand in brands
}
"""Class of a brand, by its folded name; brands without a class are ordinary ones."""

_SERIES = re.compile(r"^(\d)( series|er)?$")
_SERIES_DIGITS = re.compile(r"^(?:serie )?(\d)\d\d ?[a-z]{0,2}$")
_CLASS = re.compile(r"^(?:classe |class )?([a-z]{1,3})(?: class| klasse| ?\d{2,3} ?[a-z]{0,2})?$")
GENERATION = re.compile(r"^(.+) (\d{1,2})$")
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
BMW, MERCEDES = "bmw", "mercedes benz"


def candidates(company: str, model: str) -> Iterable[str]:
    """Other names under which `model` may be known, best first.

    >>> list(candidates("bmw", "320 d")), list(candidates("volkswagen", "golf vii"))
    (['320 d', 'serie 3', '320', 'serie 3'], ['golf 7', 'golf', 'golf vii', 'golf'])
    """
    words = model.split(" ")
    numbered = [words[0], *(_ROMAN.get(word, word) for word in words[1:])]
    for spelled in (numbered, words) if numbered != words else (words,):
        for length in range(len(spelled), 0, -1):
            shortened = " ".join(spelled[:length])
            yield shortened
            yield from _aliases(company, shortened)
    for prefix in brand_prefixes(company):
        if model.startswith(prefix):
            yield from candidates(company, model[len(prefix) :])


@lru_cache(maxsize=1024)
def brand_prefixes(company: str) -> tuple[str, ...]:
    """Forms of the brand that sellers write before the model's name."""
    words = company.split(" ")
    return tuple(dict.fromkeys(f"{name} " for name in (company, words[0], words[-1])))


def _aliases(company: str, model: str) -> Iterator[str]:
    """The names of the model in `MODEL_ALIASES` or in the series of its brand."""
    if (alias := MODEL_ALIASES.get(company, {}).get(model)) is not None:
        yield alias
    if company == BMW and (match := _SERIES.match(model) or _SERIES_DIGITS.match(model)):
        yield f"serie {match[1]}"
    if company == MERCEDES and (match := _CLASS.match(model)):
        yield f"classe {match[1]}"
