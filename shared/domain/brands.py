"""Brands under one name each. Keys and values are folded (`shared.domain.text`)."""

from functools import lru_cache

from shared.domain.near_names import FuzzyNameIndex

BRANDS = frozenset({
    "abarth", "acura", "alfa romeo", "alpine", "aston martin", "audi", "baic", "bentley", "bmw",
    "brilliance", "bugatti", "byd", "cadillac", "chana", "changan", "chery", "chevrolet",
    "chrysler", "citroen", "cupra", "dacia", "daewoo", "daihatsu", "datsun", "dfsk", "dodge",
    "dongfeng", "ds automobiles", "faw", "ferrari", "fiat", "ford", "foton", "gaz", "geely",
    "genesis", "gmc", "great wall", "gwm", "hafei", "haima", "haval", "honda", "hummer", "hyundai",
    "infiniti", "isuzu", "iveco", "jac", "jaecoo", "jaguar", "jeep", "jetour", "kia", "lada",
    "lamborghini", "lancia", "land rover", "leapmotor", "lexus", "lifan", "lincoln", "lotus",
    "mahindra", "maruti", "maserati", "mazda", "mclaren", "mercedes benz", "mg", "mini",
    "mitsubishi", "nissan", "omoda", "opel", "peugeot", "polestar", "porsche", "proton", "ram",
    "renault", "rolls royce", "rover", "saab", "seat", "seres", "skoda", "smart", "ssangyong",
    "subaru", "suzuki", "tata", "tesla", "toyota", "volkswagen", "volvo", "zeekr", "zotye",
})  # fmt: skip
"""Brands that are sold in Morocco or written about; others keep the name that they are given."""

_ALIASES = {
    "vw": "volkswagen",
    "wolkswagen": "volkswagen",
    "wolswagen": "volkswagen",
    "volswagen": "volkswagen",
    "volks": "volkswagen",
    "mercedes": "mercedes benz",
    "mercedesbenz": "mercedes benz",
    "mercedes amg": "mercedes benz",
    "merc": "mercedes benz",
    "benz": "mercedes benz",
    "landrover": "land rover",
    "land": "land rover",
    "range rover": "land rover",
    "rangerover": "land rover",
    "range": "land rover",
    "alfa": "alfa romeo",
    "alfaromeo": "alfa romeo",
    "alpha romeo": "alfa romeo",
    "chevy": "chevrolet",
    "citroen ds": "ds automobiles",
    "ds": "ds automobiles",
    "ds3": "ds automobiles",
    "ds4": "ds automobiles",
    "ds5": "ds automobiles",
    "ds7": "ds automobiles",
    "ds 3": "ds automobiles",
    "ds 4": "ds automobiles",
    "ds 5": "ds automobiles",
    "ds 7": "ds automobiles",
    "aston": "aston martin",
    "rolls": "rolls royce",
    "rollsroyce": "rolls royce",
    "lambo": "lamborghini",
    "ssang yong": "ssangyong",
    "kgm": "ssangyong",
    "maruti suzuki": "maruti",
    "beemer": "bmw",
    "mini cooper": "mini",
    "byd auto": "byd",
    "great wall motors": "gwm",
    "lynk": "lynk co",
    "mc laren": "mclaren",
    "seat cupra": "cupra",
}
_FUZZY_BRANDS = FuzzyNameIndex({*BRANDS, "mercedes", "citroen"})


def canonical_brand(folded: str) -> str:
    """The one name of a folded brand; a brand that nobody knows keeps its own.

    >>> canonical_brand("vw"), canonical_brand("peugot"), canonical_brand("nobody")
    ('volkswagen', 'peugeot', 'nobody')
    """
    if folded in BRANDS:
        return folded
    return _ALIASES.get(folded) or _nearest(folded)


@lru_cache(maxsize=4096)
def _nearest(folded: str) -> str:
    """The known brand that is a slip away, or the name itself."""
    near = _FUZZY_BRANDS.find(folded)
    return folded if near is None else _ALIASES.get(near, near)
