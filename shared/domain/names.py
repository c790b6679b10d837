"""Names of brands and models: folding of text, spelling variants, Arabic names."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

CACHED_MAX_CHARS = 80
"""Longer texts are no names and are not cached."""
CACHED_TEXTS = 32_768
_NOT_ALPHANUMERIC = re.compile(r"[^0-9a-z]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_STRETCH_MARK = "\N{ARABIC TATWEEL}"


def fold(text: str) -> str:
    """Convert to lower case without accents; other characters become single spaces.

    >>> fold("  Citroën C4-Picasso ")
    'citroen c4 picasso'
    """
    return _fold_short(text) if len(text) <= CACHED_MAX_CHARS else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():  # no accents to remove: takes a third of the time
        return _NOT_ALPHANUMERIC.sub(" ", text.lower()).strip()
    return _NOT_ALPHANUMERIC.sub(" ", _without_accents(text)).strip()


def fold_script(text: str) -> str:
    """As `fold`, for texts in other scripts, whose letters and digits are kept.

    Vowel signs, the tatweel and the variants of alif, which many writers do not distinguish, are
    removed.

    >>> fold_script("دَاسِيـا"), fold_script("أودي")
    ('داسيا', 'اودي')
    """
    return _NOT_A_LETTER.sub(" ", _without_accents(text).replace(_STRETCH_MARK, "")).strip()


def _without_accents(text: str) -> str:
    """Convert to lower case, decompose (NFKD) and remove the combining marks."""
    # Twice: the decomposition may be a capital ("\N{MATHEMATICAL BOLD CAPITAL A}" becomes "A").
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in text if not unicodedata.combining(character))


_fold_short = lru_cache(maxsize=CACHED_TEXTS)(_fold)


MIN_NAME_LENGTH = 5
"""Shorter names are not matched: one letter is too large a part of them."""
MAX_NAME_LENGTH = 40


class FuzzyNameIndex:
    """Finds known names despite one missing, doubled, wrong or transposed letter.

    Args:
        names: the known names; those with digits, spaces or fewer than `MIN_NAME_LENGTH` letters
            are not matched.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, set[str]] = {}
        for name in names:
            if name.isalpha() and MIN_NAME_LENGTH <= len(name) <= MAX_NAME_LENGTH:
                for shortened in _deletion_variants(name):
                    self._known.setdefault(shortened, set()).add(name)

    def find(self, written: str) -> str | None:
        """The only known name within one error; None if there is none or more than one."""
        if not (written.isalpha() and MIN_NAME_LENGTH <= len(written) <= MAX_NAME_LENGTH):
            return None
        found: set[str] = set()
        for shortened in _deletion_variants(written):
            found |= self._known.get(shortened, set())
        return found.pop() if len(found) == 1 else None


def _deletion_variants(name: str) -> Iterator[str]:
    """The name, then the name without each of its letters."""
    yield name
    for place in range(len(name)):
        yield name[:place] + name[place + 1 :]


ARABIC_BRANDS = {
    "تويوتا": "toyota",
    "طويوطا": "toyota",
    "داسيا": "dacia",
    "داتشيا": "dacia",
    "رونو": "renault",
    "رينو": "renault",
    "بيجو": "peugeot",
    "بوجو": "peugeot",
    "سيتروين": "citroen",
    "ستروين": "citroen",
    "سيتروان": "citroen",
    "فولكسفاغن": "volkswagen",
    "فولكسفاجن": "volkswagen",
    "فولكس فاكن": "volkswagen",
    "فولكسواكن": "volkswagen",
    "مرسيدس": "mercedes benz",
    "مرسديس": "mercedes benz",
    "مرسيدس بنز": "mercedes benz",
    "بي ام دبليو": "bmw",
    "بي ام": "bmw",
    "اودي": "audi",
    "فورد": "ford",
    "فيات": "fiat",
    "فياط": "fiat",
    "هيونداي": "hyundai",
    "هيوندا": "hyundai",
    "هونداي": "hyundai",
    "كيا": "kia",
    "نيسان": "nissan",
    "اوبل": "opel",
    "سكودا": "skoda",
    "سيات": "seat",
    "هوندا": "honda",
    "ميتسوبيشي": "mitsubishi",
    "سوزوكي": "suzuki",
    "مازدا": "mazda",
    "جيب": "jeep",
    "لاند روفر": "land rover",
    "رنج روفر": "land rover",
    "رانج روفر": "land rover",
    "بورش": "porsche",
    "فولفو": "volvo",
    "جاكوار": "jaguar",
    "جاغوار": "jaguar",
    "ميني": "mini",
    "الفا روميو": "alfa romeo",
    "شيري": "chery",
    "شيفروليه": "chevrolet",
    "ايسوزو": "isuzu",
    "لكزس": "lexus",
    "تسلا": "tesla",
    "فيراري": "ferrari",
    "لامبورغيني": "lamborghini",
}

ARABIC_MODELS = {
    "لوغان": "logan",
    "لوكان": "logan",
    "لوجان": "logan",
    "داستر": "duster",
    "دستر": "duster",
    "سانديرو": "sandero",
    "دوكر": "dokker",
    "لودجي": "lodgy",
    "كليو": "clio",
    "ميغان": "megane",
    "ميكان": "megane",
    "كونغو": "kangoo",
    "كانغو": "kangoo",
    "اكسبريس": "express",
    "غولف": "golf",
    "كولف": "golf",
    "جولف": "golf",
    "بولو": "polo",
    "باسات": "passat",
    "تيغوان": "tiguan",
    "طوارق": "touareg",
    "كورولا": "corolla",
    "ياريس": "yaris",
    "برادو": "prado",
    "فوكس": "focus",
    "فيستا": "fiesta",
    "كوغا": "kuga",
    "بارتنر": "partner",
    "برلينغو": "berlingo",
    "بيرلينغو": "berlingo",
    "اكسنت": "accent",
    "توسان": "tucson",
    "توكسون": "tucson",
    "سبورتاج": "sportage",
    "بيكانتو": "picanto",
    "اونو": "uno",
    "بونتو": "punto",
    "دوبلو": "doblo",
    "تيبو": "tipo",
    "قشقاي": "qashqai",
    "اوكتافيا": "octavia",
    "ايبيزا": "ibiza",
    "ليون": "leon",
}


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
"""Brands that are sold in Morocco or written about; other brands keep the given name."""

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
    """The canonical name of a folded brand; an unknown brand keeps its name.

    >>> canonical_brand("vw"), canonical_brand("peugot"), canonical_brand("nobody")
    ('volkswagen', 'peugeot', 'nobody')
    """
    if folded in BRANDS:
        return folded
    return _ALIASES.get(folded) or _nearest(folded)


@lru_cache(maxsize=4096)
def _nearest(folded: str) -> str:
    """The known brand within one error, or the name itself."""
    near = _FUZZY_BRANDS.find(folded)
    return folded if near is None else _ALIASES.get(near, near)
