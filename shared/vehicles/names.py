"""Reads written names of brands and models, and shows names as their makers write them."""

import re
from functools import cache, lru_cache

from shared.domain.names import fold_name
from shared.domain.reading import Match, NameReading, NamesMissing, VehicleName
from shared.vehicles.catalogue import Brand, catalogue, compact
from shared.vehicles.reading import NameReader
from shared.vehicles.several import OR_WORDS, member_or_generation
from shared.vehicles.similar import similar_models

__all__ = [
    "Match",
    "NameReading",
    "NamesMissing",
    "VehicleName",
    "canonical_brand",
    "display_names",
    "is_generation",
    "read_names",
    "suggest",
]

_CACHED_NAMES = 20_000
"""About 15 MB if all are distinct and unknown."""


_MAX_NAME_WORDS = 4
_SMALL_WORDS = OR_WORDS | {"et", "and"}

_UNNAMED = re.compile(r"rare \d+")
"""Names of generated cars whose model has no name ("(rare 17)", see `data.market.generator`): each
is unique, and a search for similar names would take most of the time of a generated file."""


@cache
def _reader() -> NameReader:
    """The reader of the package's catalogue, made at the first call."""
    return NameReader(catalogue())


@lru_cache(_CACHED_NAMES)
def read_names(company: str | None, model: str | None) -> NameReading:
    """The canonical names of a car, from the folded texts of its brand and model.

    Args:
        company: normal form of the field (`shared.domain.names.fold_name`); None if absent.
        model: as `company`. One text may hold both names.

    Raises:
        NamesMissing: neither text gives a brand, or a model.
    """
    if company and model and _UNNAMED.fullmatch(model):
        return NameReading(canonical_brand(company), model, Match.UNKNOWN)
    return _reader().read(company, model)


@lru_cache(_CACHED_NAMES)
def display_names(company: str, model: str) -> tuple[str, str]:
    """Brand and model as their makers write them; unknown names with capitals.

    >>> display_names("mercedes benz", "classe c"), display_names("nobody", "model x9")
    (('Mercedes-Benz', 'Classe C'), ('Nobody', 'Model X9'))
    >>> display_names("honda", "cr v ou hr v")
    ('Honda', 'CR-V ou HR-V')
    """
    brand = catalogue().brands.get(company)
    if brand is None:
        return company.title(), model.title()
    if model in brand.generations and member_or_generation(brand, model):
        base, _, number = model.rpartition(" ")  # "A3 4" may be an A4
        return brand.display, f"{brand.models[base].display} Mk{number}"
    known = brand.models.get(model)
    return brand.display, known.display if known else _display_parts(brand, model)


def _display_parts(brand: Brand, text: str) -> str:
    """A text that is no model's name, the names of models in it as their maker writes them."""
    words, parts, place = text.split(" "), [], 0
    while place < len(words):
        for length in range(min(_MAX_NAME_WORDS, len(words) - place), 0, -1):
            if (known := brand.models.get(" ".join(words[place : place + length]))) is not None:
                parts.append(known.display)
                break
        else:
            length, word = 1, words[place]
            parts.append(word if word in _SMALL_WORDS else word.title())
        place += length
    return " ".join(parts)


def is_generation(company: str, model: str) -> bool:
    """Whether a canonical name is a model with the number of a generation, as "golf 7"."""
    brand = catalogue().brands.get(company)
    return brand is not None and model in brand.generations


def suggest(company: str | None, text: str, limit: int = 10) -> tuple[VehicleName, ...]:
    """Models that may be meant by the beginning, or a slip, of a name; the likeliest first.

    Args:
        company: the brand in any spelling; None for all brands.
        text: what is written so far of the model; blank for the most listed models.
        limit: how many are returned at most.
    """
    written = compact(fold_name(text))
    known = catalogue().brands
    name = canonical_brand(fold_name(company)) if company else None
    brands = list(known.values()) if name is None else [known[name]] if name in known else []
    found: dict[VehicleName, tuple[int, int]] = {}
    for brand in brands:
        for spelling, model in brand.spellings.items():
            if spelling.startswith(written):
                found.setdefault(VehicleName(brand.name, model), (0, -brand.popularity(model)))
        if len(brands) == 1 and written:
            for place, model in enumerate(similar_models(brand, written, limit), start=1):
                found.setdefault(VehicleName(brand.name, model), (place, 0))
    return tuple(sorted(found, key=lambda each: found[each])[:limit])


@lru_cache(4096)
def canonical_brand(folded: str) -> str:
    """The canonical name of a folded brand; an unknown brand keeps its name.

    >>> canonical_brand("vw"), canonical_brand("peugot"), canonical_brand("nobody")
    ('volkswagen', 'peugeot', 'nobody')
    """
    return _reader().read_brand(folded)
