"""Reading of a brand's name."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from shared.domain.reading import Match
from shared.vehicles.catalogue import Catalogue, compact
from shared.vehicles.similar import within

MIN_CORRECTED_LETTERS = 5
"""A shorter brand is corrected only if the model confirms it."""
_TWO_ERRORS_LETTERS = 6
_MAX_BRAND_WORDS = 3
_CACHED_TEXTS = 256
"""Each step of a reading asks for the brand of the same few texts."""


class BrandReading(NamedTuple):
    """A known brand found in a text."""

    name: str
    match: Match
    rest: str = ""
    """The words of the text that do not belong to the brand, or name a model, too."""


@lru_cache(_CACHED_TEXTS)
def find_brand(catalogue: Catalogue, text: str) -> BrandReading | None:
    """The known brand that a folded text is, or begins with; None if there is none."""
    words = text.split(" ")
    for length in range(min(len(words), _MAX_BRAND_WORDS), 0, -1):
        spelling = "".join(words[:length])
        if (name := catalogue.brand_spellings.get(spelling)) is not None:
            if spelling == compact(name):
                return BrandReading(name, Match.EXACT, " ".join(words[length:]))
            is_model = spelling in catalogue.brands[name].spellings  # "range rover"
            return BrandReading(name, Match.ALIAS, " ".join(words[0 if is_model else length :]))
    return None


def find_brand_inside(catalogue: Catalogue, text: str) -> tuple[str, BrandReading] | None:
    """The words before a known brand within a text, and the brand; None if there is none."""
    words = text.split(" ")
    for place in range(1, len(words)):
        found = find_brand(catalogue, " ".join(words[place:]))
        if found is not None:
            return " ".join(words[:place]), found
    return None


def near_brands(catalogue: Catalogue, text: str) -> list[tuple[str, int]]:
    """Brands within one error, or two in long names, and their errors, fewest first."""
    written = compact(text)
    errors = 2 if len(written) >= _TWO_ERRORS_LETTERS else 1
    best: dict[str, int] = {}
    for spelling, distance in within(written, catalogue.brand_spellings, errors):
        if distance < len(spelling) - 1:
            name = catalogue.brand_spellings[spelling]
            best[name] = min(best.get(name, distance), distance)
    popular = catalogue.brands
    return sorted(best.items(), key=lambda item: (item[1], -popular[item[0]].listings))


def near_beginnings(catalogue: Catalogue, text: str) -> Iterator[tuple[str, str]]:
    """Brands with listings that the first words of a text are a slip of, and the other words."""
    words = text.split(" ")
    for length in range(min(len(words) - 1, _MAX_BRAND_WORDS - 1), 0, -1):
        for name, _ in near_brands(catalogue, " ".join(words[:length])):
            if catalogue.brands[name].listings:
                yield name, " ".join(words[length:])
