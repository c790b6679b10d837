"""Brands under one name each. Keys and values are folded (`shared.domain.text`)."""

_ALIASES = {
    "vw": "volkswagen",
    "volkswagon": "volkswagen",
    "mercedes": "mercedes benz",
    "mercedesbenz": "mercedes benz",
    "merc": "mercedes benz",
    "benz": "mercedes benz",
    "landrover": "land rover",
    "range rover": "land rover",
    "alfa": "alfa romeo",
    "alfaromeo": "alfa romeo",
    "chevy": "chevrolet",
    "citroen ds": "citroen",
    "ds": "ds automobiles",
    "aston": "aston martin",
    "rolls": "rolls royce",
    "ssang yong": "ssangyong",
    "kgm": "ssangyong",
    "maruti suzuki": "maruti",
    "beemer": "bmw",
    "mini cooper": "mini",
}


def canonical_brand(folded: str) -> str:
    """The one name of a folded brand; a brand that nobody knows keeps its own.

    >>> canonical_brand("vw")
    'volkswagen'
    """
    return _ALIASES.get(folded, folded)
