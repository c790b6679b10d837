"""Taking the full name of a listing apart: "Mercedes-Benz Classe C 220 d" has three parts."""

from functools import cache

from data.hedonic.model import SEPARATOR
from data.market.reference import ReferenceMarket
from shared.domain.names import canonical_brand, fold

_TWO_WORD_BRANDS = frozenset(
    {"land rover", "alfa romeo", "aston martin", "mercedes benz", "rolls royce", "ds automobiles"}
)
_MAX_MODEL_WORDS = 3


def split_name(name: str) -> tuple[str, str, str]:
    """Company, model and edition of a listing's full name.

    Models of the reference market are known by all their words; of others the first word counts.

    >>> split_name("Maruti Swift Dzire VDI"), split_name("Mercedes-Benz Classe C 220 d")
    (('maruti', 'swift', 'dzire vdi'), ('mercedes benz', 'classe c', '220 d'))
    """
    words = fold(name).split(" ")
    size = 2 if " ".join(words[:2]) in _TWO_WORD_BRANDS else 1
    company, rest = " ".join(words[:size]), words[size:]
    length = _model_length(canonical_brand(company), rest)
    return company, " ".join(rest[:length]), " ".join(rest[length:])


def _model_length(company: str, words: list[str]) -> int:
    """How many of the words name the model."""
    known = _known_vehicles()
    for length in range(min(_MAX_MODEL_WORDS, len(words)), 1, -1):
        if (company, " ".join(words[:length])) in known:
            return length
    return 1


@cache
def _known_vehicles() -> frozenset[tuple[str, str]]:
    """(company, model) pairs of the reference market."""
    vehicles = ReferenceMarket.load().hedonic.vehicle_years
    pairs = (vehicle.split(SEPARATOR) for vehicle in vehicles)
    return frozenset((company, model) for company, model in pairs)
